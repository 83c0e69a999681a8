/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "job-render.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "alloc-util.h"
#include "fd-util.h"
#include "fs-util.h"
#include "job-engine.h"
#include "job-folder.h"
#include "job-policy.h"
#include "job-revision.h"
#include "job-services.h"
#include "log.h"
#include "override.h"
#include "parameters.h"
#include "policy.h"
#include "string-util.h"
#include "template.h"

/* Of folders in a revision: containers that run as other users look into them through mounts. The
 * instance's own folder, above, is closed. */
#define FOLDER_MODE 0755

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

/* Writes a file and reads it back. 'files' gets what is recorded of it. */
static int put_file(Job *j, int dirfd, const char *target, const void *data, size_t size, mode_t mode,
                json_t *files, Error *reterr) {
        _cleanup_json_ json_t *made = NULL, *read = NULL;
        _cleanup_free_ char *back = NULL;
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

        r = revision_file_describe(data, size, mode, &made);
        if (r >= 0)
                r = revision_file_describe(back, back_size, mode, &read);
        explicit_bzero(back, back_size);
        if (r < 0)
                return error_set_errnof(reterr, r, "%m");
        if (!revision_file_same(made, read))
                return error_setf(reterr, CCP_ERROR_INTERNAL,
                                "The file %s in %s does not read back as it was written.", target,
                                j->directory);

        if (json_object_set(files, target, made) < 0)
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

        r = put_file(j, dirfd, JOB_BLUEPRINT_COPY, copy, size, 0644, files, reterr);
        if (r < 0)
                return r;
        /* Its exceptions from the policy hold for later starts too. */
        if (b->local &&
                        json_object_set_new(json_object_get(files, JOB_BLUEPRINT_COPY), "local",
                                        json_true()) < 0)
                return error_set_errnof(reterr, ENOMEM, "%m");

        return 0;
}

static const Rendered *find_compose_text(const Job *j, const RenderedFiles *rendered) {
        for (size_t i = 0; i < rendered->n; i++)
                if (streq(j->blueprint->files[i].target, j->blueprint->compose))
                        return rendered->items + i;

        return NULL;
}

static int put_override(Job *j, int dirfd, const json_t *config, json_t *files, Error *reterr) {
        const InstanceRecord *i = job_instance(j);
        const ResourceLimits limits = limits_merge(&i->limits, &j->blueprint->limits);
        const OverrideInput input = {
                .slug = i->slug,
                .id = i->id,
                .revision = j->revision,
                .subnet = &i->subnet,
                .limits = &limits,
                .blueprint = j->blueprint,
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

/* What containers may change is not compared later. */
static int mark_writable(const json_t *config, const char *directory, json_t *files, Error *reterr) {
        const char *target;
        json_t *file;

        json_object_foreach(files, target, file) {
                _cleanup_free_ char *path = strjoin(directory, "/", target);

                if (!path ||
                                (policy_path_is_writable(config, path) &&
                                                json_object_set_new(file, "writable", json_true()) < 0))
                        return error_set_errnof(reterr, ENOMEM, "%m");
        }

        return 0;
}

static int resolve(Job *j, const char *directory, Error *reterr) {
        EngineContext c = job_engine_context(j);

        c.directory = directory;
        json_decref(TAKE_PTR(j->config));
        return j->engine->config(&c, 0, &j->config, reterr);
}

/* Every service that the blueprint counts on must be there. */
static int check_services(Job *j, Error *reterr) {
        const json_t *features = json_object_get(j->values, "features");

        FOREACH_ARRAY(s, j->blueprint->services, j->blueprint->n_services)
                if (service_is_enabled(s, features) && !job_service_find(j, s->name))
                        return error_setf(reterr, CCP_ERROR_BLUEPRINT_INVALID,
                                        "The blueprint names the service '%s', but its compose file has no "
                                        "service of this name with the profiles that are on.",
                                        s->name);

        return 0;
}

static int switch_current(int folder, const char *target) {
        if (unlinkat(folder, JOB_CURRENT_LINK_NEW, 0) < 0 && errno != ENOENT)
                return -errno;
        if (symlinkat(target, folder, JOB_CURRENT_LINK_NEW) < 0 ||
                        renameat(folder, JOB_CURRENT_LINK_NEW, folder, JOB_CURRENT_LINK) < 0)
                return -errno;

        return fsync(folder) < 0 ? -errno : 0;
}

/* Makes the revision what it is called: from here on its files never change. */
static int publish(Job *j, int folder, int revisions, const char *temporary, const char *name, json_t *files,
                Error *reterr) {
        const RevisionRecord record = { .number = j->revision, .state = REVISION_RENDERED, .files = files };
        _cleanup_free_ char *link = strjoin(CCP_REVISIONS_FOLDER "/", name);
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
        const Rendered *compose;
        int r;

        if (asprintf(&name, "%" PRIu32, j->revision) < 0)
                name = NULL;
        temporary = name ? strjoin(name, ".tmp") : NULL;
        directory = temporary ? strjoin(j->directory, "/" CCP_REVISIONS_FOLDER "/", temporary) : NULL;
        if (!directory || !files)
                return error_set_errnof(reterr, ENOMEM, "%m");

        /* Nothing is written before all of it could be rendered. */
        r = render_files(j, &rendered, reterr);
        if (r < 0)
                return r;

        r = folder = job_folder_open(j, reterr);
        if (r < 0)
                return r;
        r = revisions = mkdir_open_beneath(folder, CCP_REVISIONS_FOLDER, FOLDER_MODE);
        if (r >= 0)
                r = rm_rf_at(revisions, temporary);
        if (r >= 0)
                r = fd = mkdir_open_beneath(revisions, temporary, FOLDER_MODE);
        if (r >= 0 && (fchmod(revisions, FOLDER_MODE) < 0 || fchmod(fd, FOLDER_MODE) < 0))
                r = -errno;
        if (r < 0)
                return error_set_errnof(reterr, r, "Cannot make the folder %s: %m", directory);

        compose = find_compose_text(j, &rendered);
        if (!compose)
                return error_setf(reterr, CCP_ERROR_BLUEPRINT_INVALID, "The blueprint renders no '%s'.",
                                j->blueprint->compose);

        r = put_all(j, fd, &rendered, files, reterr);
        if (r >= 0)
                r = job_policy_check(j, folder, directory, compose->text, compose->size, &bare, reterr);
        if (r >= 0)
                r = put_override(j, fd, bare, files, reterr);
        if (r >= 0)
                r = mark_writable(bare, directory, files, reterr);
        if (r >= 0)
                r = resolve(j, directory, reterr);
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

        if (!files || asprintf(&name, CCP_REVISIONS_FOLDER "/%" PRIu32, j->revision) < 0) {
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

                if (!was || !revision_file_same(was, file))
                        return error_setf(reterr, CCP_ERROR_INTERNAL,
                                        "The blueprint's file %s changed while the instance was created. "
                                        "Try "
                                        "again.",
                                        target);
        }

        return 0;
}
