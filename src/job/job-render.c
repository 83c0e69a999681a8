/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "job-render.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "alloc-util.h"
#include "fd-util.h"
#include "fs-util.h"
#include "job-engine.h"
#include "job-folder.h"
#include "log.h"
#include "override.h"
#include "parameters.h"
#include "policy.h"
#include "string-util.h"
#include "template.h"

#define REVISIONS_FOLDER "revisions"
#define CURRENT_LINK "current"
#define CURRENT_LINK_NEW ".current.new"
/* Of folders in a revision: containers that run as other users look into them through mounts. The
 * instance's own folder, above, is closed. */
#define FOLDER_MODE 0755
#define HASH_TEXT_MAX (2 * crypto_hash_sha256_BYTES + 1)

int job_blueprint_load(Job *j, Error *reterr) {
        const InstanceRecord *i = job_instance(j);
        int r;

        r = blueprint_load_by_name(NULL, i->blueprint, &j->blueprint, reterr);
        if (r < 0)
                return r;

        if (!streq_ptr(j->blueprint->version, i->blueprint_version))
                log_notice("The blueprint %s has become version %s since the instance was recorded with %s.",
                                i->blueprint, j->blueprint->version, i->blueprint_version);
        return 0;
}

/* The blueprint that the revision was made from. */
static int load_blueprint_copy(Job *j, Error *reterr) {
        _cleanup_free_ char *path = NULL, *text = NULL, *name = NULL;
        _cleanup_close_ int folder = -EBADF;
        size_t size;
        int r;

        folder = job_folder_open(j, reterr);
        if (folder < 0)
                return folder;

        if (asprintf(&name, REVISIONS_FOLDER "/%" PRIu32 "/" JOB_BLUEPRINT_COPY, j->revision) < 0) {
                name = NULL;
                return error_set_errnof(reterr, ENOMEM, "%m");
        }
        path = strjoin(j->directory, "/", name);
        if (!path)
                return error_set_errnof(reterr, ENOMEM, "%m");

        r = read_file_beneath(folder, name, BLUEPRINT_FILE_SIZE_MAX, &text, &size);
        if (r < 0)
                return error_set_errnof(reterr, r, "Cannot read %s: %m", path);

        return blueprint_parse(path, text, size, &j->blueprint, NULL, reterr);
}

int job_revision_set(Job *j, uint32_t revision) {
        free(j->revision_directory);
        if (asprintf(&j->revision_directory, "%s/" REVISIONS_FOLDER "/%" PRIu32, j->directory, revision) <
                        0) {
                j->revision_directory = NULL;
                return -ENOMEM;
        }

        j->revision = revision;
        return 0;
}

int job_active_revision_find(Job *j, Error *reterr) {
        uint32_t revision = job_instance(j)->revision;
        int r;

        if (j->blueprint)
                return 0;

        if (revision == 0)
                return error_setf(reterr, CCP_ERROR_WRONG_STATE,
                                "The instance '%s' has no revision that could run.", job_instance(j)->slug);

        r = job_revision_set(j, revision);
        if (r < 0)
                return error_set_errnof(reterr, r, "%m");

        r = load_blueprint_copy(j, reterr);
        if (r < 0)
                return r;

        r = strv_extend(&j->profiles, "*");
        if (r < 0)
                return error_set_errnof(reterr, r, "%m");

        return 0;
}

int job_active_revision_load(Job *j, Error *reterr) {
        int r;

        r = job_active_revision_find(j, reterr);
        if (r < 0 || j->values)
                return r;

        j->profiles = strv_free(j->profiles);
        return job_values_build(j, reterr);
}

/* Files that are in memory until all of them could be made. */
typedef struct Rendered {
        char *text;
        size_t size;
} Rendered;

typedef struct RenderedFiles {
        Rendered *items;
        size_t n;
} RenderedFiles;

static void rendered_files_done(RenderedFiles *f) {
        FOREACH_ARRAY(i, f->items, f->n) {
                if (i->text)
                        explicit_bzero(i->text, i->size);
                free(i->text);
        }
        free(f->items);
}
#define _cleanup_rendered_files_ _cleanup_(rendered_files_done)

static bool raw_allowed(const char *path, void *userdata) {
        const Job *j = userdata;
        const char *name = startswith(path, "parameters.");
        const BlueprintParameter *p = name ? blueprint_find_parameter(j->blueprint, name) : NULL;

        return p && p->raw;
}

static int render_file(Job *j, const BlueprintFile *file, Rendered *ret, Error *reterr) {
        const TemplateOptions options = {
                .format = template_format_from_string(file_format_to_string(file->format)),
                .compose_interpolation = streq(file->target, j->blueprint->compose),
        };
        const TemplateEnvironment env = { .strict = true, .raw_allowed = raw_allowed, .userdata = j };
        _cleanup_template_ Template *t = NULL;
        _cleanup_free_ char *source = NULL;
        size_t size;
        int r;

        r = blueprint_read_text(j->blueprint, file->source, &source, &size, reterr);
        if (r >= 0)
                r = template_parse(file->source, source, size, &options, &t, reterr);
        if (r < 0)
                return r;

        return template_render_verified(t, j->values, &env, &ret->text, &ret->size, reterr);
}

static int render_files(Job *j, RenderedFiles *ret, Error *reterr) {
        const Blueprint *b = j->blueprint;
        _cleanup_rendered_files_ RenderedFiles f = {};
        int r;

        f.items = new0(Rendered, b->n_files);
        if (!f.items)
                return error_set_errnof(reterr, ENOMEM, "%m");

        for (; f.n < b->n_files; f.n++) {
                job_tell(j, (double) f.n / (double) (b->n_files + 1), "Rendering %s", b->files[f.n].target);
                r = job_checkpoint(j);
                if (r < 0)
                        return error_setf(reterr, CCP_ERROR_CANCELLED, "The job was cancelled.");

                r = render_file(j, b->files + f.n, f.items + f.n, reterr);
                if (r < 0)
                        return r;
        }

        *ret = TAKE_GENERIC(f, (RenderedFiles) {});
        return 0;
}

/* Writes a file and reads it back. files, if not NULL, gets its hash and mode. */
static int put_file(Job *j, int dirfd, const char *target, const void *data, size_t size, mode_t mode,
                json_t *files, Error *reterr) {
        unsigned char hash[crypto_hash_sha256_BYTES], back_hash[crypto_hash_sha256_BYTES];
        _cleanup_free_ char *back = NULL;
        char text[HASH_TEXT_MAX];
        size_t back_size = 0;
        mode_t mask;
        int r;

        /* Folders get just the mode that is asked for. */
        mask = umask(0);
        r = mkdir_parents_beneath(dirfd, target, FOLDER_MODE);
        (void) umask(mask);
        if (r >= 0)
                r = write_file_beneath(dirfd, target, data, size, mode);
        if (r >= 0)
                r = read_file_beneath(dirfd, target, size + 1, &back, &back_size);
        if (r < 0)
                return error_set_errnof(reterr, r, "Cannot write %s of revision %" PRIu32 " in %s: %m",
                                target, j->revision, j->directory);

        crypto_hash_sha256(hash, data, size);
        crypto_hash_sha256(back_hash, (const unsigned char *) back, back_size);
        explicit_bzero(back, back_size);
        if (sodium_memcmp(hash, back_hash, sizeof(hash)) != 0)
                return error_setf(reterr, CCP_ERROR_INTERNAL,
                                "The file %s in %s does not read back as it was written.", target,
                                j->directory);

        if (!files)
                return 0;

        sodium_bin2hex(text, sizeof(text), hash, sizeof(hash));
        if (json_object_set_new(files, target, json_pack("{s:s, s:i}", "sha256", text, "mode", (int) mode)) <
                        0)
                return error_set_errnof(reterr, ENOMEM, "%m");

        return 0;
}

/* Static files are copied as they are. They are there before the policy is checked, since compose may read
 * them to resolve its file; step 9 then has only to prove them. */
static int put_statics(Job *j, int dirfd, json_t *files, Error *reterr) {
        const Blueprint *b = j->blueprint;
        _cleanup_close_ int folder = -EBADF;
        int r;

        if (b->n_statics == 0)
                return 0;

        folder = open(b->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (folder < 0)
                return error_set_errnof(
                                reterr, errno, "Cannot open the blueprint's folder %s: %m", b->folder);

        FOREACH_ARRAY(f, b->statics, b->n_statics) {
                _cleanup_free_ char *data = NULL;
                size_t size;

                if (job_checkpoint(j) < 0)
                        return error_setf(reterr, CCP_ERROR_CANCELLED, "The job was cancelled.");

                r = read_file_beneath(folder, f->source, BLUEPRINT_STATIC_SIZE_MAX, &data, &size);
                if (r < 0)
                        return error_set_errnof(reterr, r, "Cannot read %s/%s: %m", b->folder, f->source);

                r = put_file(j, dirfd, f->target, data, size, f->mode, files, reterr);
                if (r < 0)
                        return r;
        }

        return 0;
}

static int put_all(Job *j, int dirfd, const RenderedFiles *rendered, json_t *files, Error *reterr) {
        const Blueprint *b = j->blueprint;
        _cleanup_free_ char *copy = NULL;
        size_t size;
        int r;

        for (size_t i = 0; i < rendered->n; i++) {
                r = put_file(j, dirfd, b->files[i].target, rendered->items[i].text, rendered->items[i].size,
                                b->files[i].mode, files, reterr);
                if (r < 0)
                        return r;
        }

        r = put_statics(j, dirfd, files, reterr);
        if (r < 0)
                return r;

        r = blueprint_read_text(b, BLUEPRINT_FILE, &copy, &size, reterr);
        if (r < 0)
                return r;

        return put_file(j, dirfd, JOB_BLUEPRINT_COPY, copy, size, 0644, NULL, reterr);
}

static const Rendered *find_compose_text(const Job *j, const RenderedFiles *rendered) {
        for (size_t i = 0; i < rendered->n; i++)
                if (streq(j->blueprint->files[i].target, j->blueprint->compose))
                        return rendered->items + i;

        return NULL;
}

static int resolve(Job *j, const char *directory, EngineConfigFlags flags, char *const *profiles,
                json_t **ret, Error *reterr) {
        EngineContext c = job_engine_context(j);

        c.directory = directory;
        c.profiles = profiles;
        return j->engine->config(&c, flags, ret, reterr);
}

/* The policy, first of what compose would read, then of what it made of it. The result is that resolved
 * file. */
static int check_policy(Job *j, int folder, const char *directory, const Rendered *text, json_t **ret,
                Error *reterr) {
        static char *const all_profiles[] = { (char *) "*", NULL };
        const InstanceRecord *i = job_instance(j);
        _cleanup_policy_violations_ PolicyViolations violations = {};
        _cleanup_free_ uint16_t *ports = new0(uint16_t, i->n_ports);
        _cleanup_strv_free_ char **files = NULL;
        _cleanup_json_ json_t *config = NULL;
        PolicyInput input = {
                .project = j->project,
                .directory = j->directory,
                .revision = directory,
                .compose = j->blueprint->compose,
                .bind_address = i->bind_address,
                .ports = ports,
                .n_ports = i->n_ports,
                .subnet = i->has_subnet ? &i->subnet : NULL,
                .allowed = blueprint_exceptions(j->blueprint),
        };
        int r;

        if (!ports)
                return error_set_errnof(reterr, ENOMEM, "%m");
        for (size_t k = 0; k < i->n_ports; k++)
                ports[k] = i->ports[k].number;

        if (!text)
                return error_setf(reterr, CCP_ERROR_BLUEPRINT_INVALID, "The blueprint renders no '%s'.",
                                j->blueprint->compose);

        r = policy_check_text(text->text, text->size, &input, &violations, &files);
        if (r < 0)
                return error_set_errnof(reterr, r, "Cannot check the policy: %m");
        r = policy_violations_to_error(&violations, reterr);
        if (r < 0)
                return r;
        input.files = files;

        r = resolve(j, directory, ENGINE_CONFIG_BARE, all_profiles, &config, reterr);
        if (r < 0)
                return r;

        r = policy_check(config, &input, &violations);
        if (r >= 0)
                r = policy_check_links(config, &input, folder, &violations);
        if (r < 0)
                return error_set_errnof(reterr, r, "Cannot check the policy: %m");
        r = policy_violations_to_error(&violations, reterr);
        if (r < 0)
                return r;

        *ret = TAKE_PTR(config);
        return 0;
}

static int put_override(Job *j, int dirfd, const json_t *config, json_t *files, Error *reterr) {
        const InstanceRecord *i = job_instance(j);
        const OverrideInput input = {
                .slug = i->slug,
                .id = i->id,
                .revision = j->revision,
                .subnet = &i->subnet,
                .limits = &j->blueprint->limits,
        };
        _cleanup_free_ char *text = NULL;
        int r;

        r = override_make(config, &input, &text, reterr);
        if (r < 0)
                return error_is_set(reterr)
                                ? r
                                : error_set_errnof(reterr, r, "Cannot make the override file: %m");

        return put_file(j, dirfd, BLUEPRINT_OVERRIDE_FILE, text, strlen(text), 0644, files, reterr);
}

/* Every service that the blueprint counts on must be there. */
static int check_services(Job *j, Error *reterr) {
        const json_t *features = json_object_get(j->values, "features");

        FOREACH_ARRAY(s, j->blueprint->services, j->blueprint->n_services)
                if (service_is_enabled(s, features) && !job_engine_find_service(j, s->name))
                        return error_setf(reterr, CCP_ERROR_BLUEPRINT_INVALID,
                                        "The blueprint names the service '%s', but its compose file has no "
                                        "service of this name with the profiles that are on.",
                                        s->name);

        return 0;
}

static int switch_current(int folder, const char *target) {
        if (unlinkat(folder, CURRENT_LINK_NEW, 0) < 0 && errno != ENOENT)
                return -errno;
        if (symlinkat(target, folder, CURRENT_LINK_NEW) < 0 ||
                        renameat(folder, CURRENT_LINK_NEW, folder, CURRENT_LINK) < 0)
                return -errno;

        return fsync(folder) < 0 ? -errno : 0;
}

/* Makes the revision what it is called: from here on its files never change. */
static int publish(Job *j, int folder, int revisions, const char *temporary, const char *name, json_t *files,
                Error *reterr) {
        const RevisionRecord record = { .number = j->revision, .state = REVISION_RENDERED, .files = files };
        _cleanup_free_ char *link = strjoin(REVISIONS_FOLDER "/", name);
        int r;

        if (!link)
                return error_set_errnof(reterr, ENOMEM, "%m");

        r = rm_rf_at(revisions, name);
        if (r >= 0 &&
                        (renameat2(revisions, temporary, revisions, name, RENAME_NOREPLACE) < 0 ||
                                        fsync(revisions) < 0))
                r = -errno;
        if (r >= 0)
                r = switch_current(folder, link);
        if (r < 0)
                return error_set_errnof(reterr, r, "Cannot put revision %s of %s in its place: %m", name,
                                j->directory);

        return revision_put(j->db, job_instance(j)->id, &record, reterr);
}

int job_render(Job *j, Error *reterr) {
        _cleanup_rendered_files_ RenderedFiles rendered = {};
        _cleanup_free_ char *name = NULL, *temporary = NULL, *directory = NULL;
        _cleanup_close_ int folder = -EBADF, revisions = -EBADF, fd = -EBADF;
        _cleanup_json_ json_t *files = json_object(), *bare = NULL;
        int r;

        if (asprintf(&name, "%" PRIu32, j->revision) < 0)
                name = NULL;
        temporary = name ? strjoin(name, ".tmp") : NULL;
        directory = temporary ? strjoin(j->directory, "/" REVISIONS_FOLDER "/", temporary) : NULL;
        if (!directory || !files)
                return error_set_errnof(reterr, ENOMEM, "%m");

        /* Nothing is written before all of it could be rendered. */
        r = render_files(j, &rendered, reterr);
        if (r < 0)
                return r;

        r = folder = job_folder_open(j, reterr);
        if (r < 0)
                return r;
        r = revisions = mkdir_open_beneath(folder, REVISIONS_FOLDER, FOLDER_MODE);
        if (r >= 0)
                r = rm_rf_at(revisions, temporary);
        if (r >= 0)
                r = fd = mkdir_open_beneath(revisions, temporary, FOLDER_MODE);
        if (r >= 0 && (fchmod(revisions, FOLDER_MODE) < 0 || fchmod(fd, FOLDER_MODE) < 0))
                r = -errno;
        if (r < 0)
                return error_set_errnof(reterr, r, "Cannot make the folder %s: %m", directory);

        r = put_all(j, fd, &rendered, files, reterr);
        if (r >= 0)
                r = check_policy(j, folder, directory, find_compose_text(j, &rendered), &bare, reterr);
        if (r >= 0)
                r = put_override(j, fd, bare, files, reterr);
        if (r < 0)
                return r;

        json_decref(TAKE_PTR(j->config));
        r = resolve(j, directory, 0, j->profiles, &j->config, reterr);
        if (r >= 0)
                r = check_services(j, reterr);
        if (r < 0)
                return r;

        return publish(j, folder, revisions, temporary, name, files, reterr);
}

int job_static_copy(Job *j, Error *reterr) {
        _cleanup_(revision_record_freep) RevisionRecord *record = NULL;
        _cleanup_close_ int folder = -EBADF, fd = -EBADF;
        _cleanup_json_ json_t *files = json_object();
        _cleanup_free_ char *name = NULL;
        const char *target;
        json_t *file;
        int r;

        if (j->blueprint->n_statics == 0)
                return 1;

        if (!files || asprintf(&name, REVISIONS_FOLDER "/%" PRIu32, j->revision) < 0) {
                name = NULL;
                return error_set_errnof(reterr, ENOMEM, "%m");
        }

        folder = job_folder_open(j, reterr);
        if (folder < 0)
                return folder;
        fd = open_beneath(folder, name, O_RDONLY | O_DIRECTORY, 0);
        if (fd < 0)
                return error_set_errnof(reterr, fd, "Cannot open %s: %m", j->revision_directory);

        r = put_statics(j, fd, files, reterr);
        if (r >= 0)
                r = revision_get(j->db, job_instance(j)->id, j->revision, &record, reterr);
        if (r < 0)
                return r;

        json_object_foreach(files, target, file) {
                const json_t *was = record ? json_object_get(record->files, target) : NULL;

                if (!was || !json_equal(was, file))
                        return error_setf(reterr, CCP_ERROR_INTERNAL,
                                        "The blueprint's file %s changed while the instance was created. "
                                        "Try "
                                        "again.",
                                        target);
        }

        return 0;
}

int job_revision_remove(Job *j, uint32_t revision, Error *reterr) {
        _cleanup_free_ char *name = NULL, *temporary = NULL;
        _cleanup_close_ int folder = -EBADF, revisions = -EBADF;
        _cleanup_error_ Error error = {};
        int r;

        if (asprintf(&name, "%" PRIu32, revision) < 0)
                name = NULL;
        temporary = name ? strjoin(name, ".tmp") : NULL;
        if (!temporary)
                return error_set_errnof(reterr, ENOMEM, "%m");

        r = revision_remove(j->db, j->claim.job->instance, revision, reterr);
        if (r < 0)
                return r;

        /* Where there is no folder of ours, there is no file of ours. */
        folder = job_folder_open(j, &error);
        if (folder < 0)
                return 0;

        revisions = open_beneath(folder, REVISIONS_FOLDER, O_RDONLY | O_DIRECTORY, 0);
        if (revisions == -ENOENT)
                return 0;
        r = revisions;
        if (r >= 0)
                r = rm_rf_at(revisions, temporary);
        if (r >= 0)
                r = rm_rf_at(revisions, name);
        if (r >= 0)
                r = rm_rf_at(folder, CURRENT_LINK);
        if (r >= 0)
                r = rm_rf_at(folder, CURRENT_LINK_NEW);
        if (r < 0)
                return error_set_errnof(
                                reterr, r, "Cannot remove revision %s of %s: %m", name, j->directory);

        return 0;
}
