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
#include "path.h"
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
                .volumes = j->volumes,
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

/* The mount that has a path of the container; NULL: none has. */
static const json_t *find_mount(const json_t *service, const char *path) {
        const json_t *mount, *found = NULL;
        size_t i, longest = 0;

        json_array_foreach(json_object_get(service, "volumes"), i, mount) {
                const char *target = strempty(json_object_get_string(mount, "target"));

                if (path_is_beneath(target, path) && strlen(target) > longest) {
                        found = mount;
                        longest = strlen(target);
                }
        }
        return found;
}

/* What is restored into the layer of a container would be gone with it. */
static int check_databases(Job *j, Error *reterr) {
        const BlueprintState *state = &j->blueprint->state;

        FOREACH_ARRAY(d, state->databases, state->n_databases) {
                const json_t *service = job_service_find(j, d->service), *mount;

                if (!d->path || !service)
                        continue;
                mount = find_mount(service, d->path);
                if (!mount || !streq_ptr(json_object_get_string(mount, "type"), "volume") ||
                                json_is_true(json_object_get(mount, "read_only")))
                        return error_setf(reterr, CCP_ERROR_BLUEPRINT_INVALID,
                                        "The database %s of the service '%s' does not lie in a volume, so "
                                        "it could not be restored. Mount a volume there.",
                                        d->path, d->service);
        }

        return 0;
}

/* Makes the revision what it is called: from here on its files never change. */
static int publish(Job *j, int revisions, const char *temporary, const char *name, json_t *files,
                Error *reterr) {
        const RevisionRecord record = {
                .number = j->revision,
                .state = REVISION_RENDERED,
                .files = files,
                .volumes = j->volumes,
        };
        int r;

        r = rm_rf_at(revisions, name);
        if (r >= 0 &&
                        (renameat2(revisions, temporary, revisions, name, RENAME_NOREPLACE) < 0 ||
                                        fsync(revisions) < 0))
                r = -errno;
        if (r < 0)
                return error_set_errnof(reterr, r, "Cannot put revision %s of %s in its place: %m", name,
                                j->directory);
        r = job_revision_point_to(j, j->revision, reterr);
        return r < 0 ? r : revision_put(j->db, job_instance(j)->id, &record, reterr);
}

/* The folder in which a revision is made, and what it and the revision are called. */
typedef struct Draft {
        char *name, *temporary, *directory;
        int folder, revisions, fd;
        json_t *files;
} Draft;

static void draft_done(Draft *d) {
        free(d->name);
        free(d->temporary);
        free(d->directory);
        safe_close(d->folder);
        safe_close(d->revisions);
        safe_close(d->fd);
        json_decref(d->files);
}
#define _cleanup_draft_ _cleanup_(draft_done)
#define DRAFT_NULL { .folder = -EBADF, .revisions = -EBADF, .fd = -EBADF }

static int draft_begin(Job *j, Draft *d, Error *reterr) {
        int r;

        if (asprintf(&d->name, "%" PRIu32, j->revision) < 0)
                d->name = NULL;
        d->temporary = d->name ? strjoin(d->name, ".tmp") : NULL;
        d->directory = d->temporary ? strjoin(j->directory, "/" CCP_REVISIONS_FOLDER "/", d->temporary)
                                    : NULL;
        d->files = json_object();
        if (!d->directory || !d->files)
                return error_set_errnof(reterr, ENOMEM, "%m");

        r = d->folder = job_folder_open(j, reterr);
        if (r < 0)
                return r;
        r = d->revisions = mkdir_open_beneath(d->folder, CCP_REVISIONS_FOLDER, FOLDER_MODE);
        if (r >= 0)
                r = rm_rf_at(d->revisions, d->temporary);
        if (r >= 0)
                r = d->fd = mkdir_open_beneath(d->revisions, d->temporary, FOLDER_MODE);
        if (r >= 0 && (fchmod(d->revisions, FOLDER_MODE) < 0 || fchmod(d->fd, FOLDER_MODE) < 0))
                r = -errno;
        return r < 0 ? error_set_errnof(reterr, r, "Cannot make the folder %s: %m", d->directory) : 0;
}

/* With all files of the blueprint in it: judges them, adds ours, and gives the revision its name. */
static int draft_finish(Job *j, Draft *d, const char *compose, size_t compose_size, Error *reterr) {
        _cleanup_json_ json_t *bare = NULL;
        int r;

        r = job_policy_check(j, d->folder, d->directory, compose, compose_size, &bare, reterr);
        if (r >= 0)
                r = put_override(j, d->fd, bare, d->files, reterr);
        if (r >= 0)
                r = mark_writable(bare, d->directory, d->files, reterr);
        if (r >= 0)
                r = resolve(j, d->directory, reterr);
        if (r >= 0)
                r = check_services(j, reterr);
        if (r >= 0)
                r = check_databases(j, reterr);
        return r < 0 ? r : publish(j, d->revisions, d->temporary, d->name, d->files, reterr);
}

int job_render(Job *j, Error *reterr) {
        _cleanup_rendered_files_ RenderedFiles rendered = {};
        _cleanup_draft_ Draft d = DRAFT_NULL;
        const Rendered *compose;
        int r;

        /* Nothing is written before all of it could be rendered. */
        r = render_files(j, &rendered, reterr);
        if (r >= 0)
                r = draft_begin(j, &d, reterr);
        if (r < 0)
                return r;

        compose = find_compose_text(j, &rendered);
        if (!compose)
                return error_setf(reterr, CCP_ERROR_BLUEPRINT_INVALID, "The blueprint renders no '%s'.",
                                j->blueprint->compose);

        r = put_all(j, d.fd, &rendered, d.files, reterr);
        return r < 0 ? r : draft_finish(j, &d, compose->text, compose->size, reterr);
}

/* --- from another revision --- */

/* What containers may write in a revision's folder stays in that one: nobody sees it from the next. */
static int check_nothing_written(const Job *j, const char *directory, Error *reterr) {
        const char *name;
        json_t *service;

        json_object_foreach(json_object_get(j->config, "services"), name, service) {
                const json_t *mount;
                size_t i;

                json_array_foreach(json_object_get(service, "volumes"), i, mount) {
                        const char *source = json_object_get_string(mount, "source");

                        if (!streq_ptr(json_object_get_string(mount, "type"), "bind") || !source ||
                                        json_is_true(json_object_get(mount, "read_only")) ||
                                        !path_is_beneath(directory, source))
                                continue;
                        return error_setf(reterr, CCP_ERROR_WRONG_STATE,
                                        "The service '%s' may write to %s, in the folder of the revision: "
                                        "the "
                                        "instance cannot get another one without losing that.",
                                        name, source);
                }
        }
        return 0;
}

static int copy_file(Job *j, int from, int to, const char *target, const json_t *record, json_t *files,
                char **ret, size_t *ret_size, Error *reterr) {
        mode_t mode = (mode_t) json_integer_value(json_object_get(record, "mode"));
        _cleanup_erase_ char *data = NULL;
        size_t size;
        int r;

        r = read_file_beneath(from, target, BLUEPRINT_STATIC_SIZE_MAX, &data, &size);
        if (r < 0)
                return error_set_errnof(reterr, r, "Cannot read '%s' of the active revision: %m", target);
        r = put_file(j, to, target, data, size, mode, files, reterr);
        if (r < 0)
                return r;
        if (json_is_true(json_object_get(record, "local")) &&
                        json_object_set_new(json_object_get(files, target), "local", json_true()) < 0)
                return error_set_errnof(reterr, ENOMEM, "%m");

        if (ret) {
                *ret = TAKE_PTR(data);
                *ret_size = size;
        }
        return 0;
}

int job_render_again(Job *j, uint32_t revision, Error *reterr) {
        _cleanup_(revision_record_freep) RevisionRecord *record = NULL;
        _cleanup_free_ char *directory = strdup(strempty(j->revision_directory));
        _cleanup_erase_ char *compose = NULL;
        _cleanup_draft_ Draft d = DRAFT_NULL;
        _cleanup_close_ int from = -EBADF;
        size_t compose_size = 0;
        const char *target;
        json_t *file;
        int r;

        if (!directory)
                return error_set_errnof(reterr, ENOMEM, "%m");
        r = job_engine_resolve(j, reterr);
        if (r >= 0)
                r = check_nothing_written(j, directory, reterr);
        if (r >= 0)
                r = revision_get(j->db, job_instance(j)->id, j->revision, &record, reterr);
        if (r < 0)
                return r;
        if (!record)
                return error_setf(reterr, CCP_ERROR_INTERNAL, "The active revision has no record.");
        from = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (from < 0)
                return error_set_errnof(reterr, errno, "Cannot open %s: %m", directory);

        r = job_revision_set(j, revision);
        if (r < 0)
                return error_set_errnof(reterr, r, "%m");
        r = draft_begin(j, &d, reterr);
        if (r < 0)
                return r;
        json_object_foreach(record->files, target, file) {
                bool is_compose = streq(target, j->blueprint->compose);

                if (streq(target, BLUEPRINT_OVERRIDE_FILE))
                        continue;
                r = copy_file(j, from, d.fd, target, file, d.files, is_compose ? &compose : NULL,
                                &compose_size, reterr);
                if (r < 0)
                        return r;
        }

        return compose ? draft_finish(j, &d, compose, compose_size, reterr)
                       : error_setf(reterr, CCP_ERROR_INTERNAL, "There is no record of the compose file.");
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
