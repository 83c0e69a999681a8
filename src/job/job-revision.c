/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "job-revision.h"

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
#include "job-remove.h"
#include "job-render.h"
#include "json-util.h"
#include "string-util.h"

int job_revision_set(Job *j, uint32_t revision) {
        free(j->revision_directory);
        if (asprintf(&j->revision_directory, "%s/" CCP_REVISIONS_FOLDER "/%" PRIu32, j->directory,
                            revision) < 0) {
                j->revision_directory = NULL;
                return -ENOMEM;
        }

        j->revision = revision;
        return 0;
}

/* The folder of the job's revision. */
static int open_revision(Job *j, Error *reterr) {
        char name[STRLEN(CCP_REVISIONS_FOLDER "/4294967295") + 1];
        _cleanup_close_ int folder = -EBADF;
        int fd;

        folder = job_folder_open(j, reterr);
        if (folder < 0)
                return folder;

        (void) snprintf(name, sizeof(name), CCP_REVISIONS_FOLDER "/%" PRIu32, j->revision);
        fd = open_beneath(folder, name, O_RDONLY | O_DIRECTORY, 0);
        if (fd < 0)
                return error_set_errnof(reterr, fd, "Cannot open %s: %m", j->revision_directory);

        return fd;
}

static int set_active(Job *j, Error *reterr) {
        uint32_t revision = job_instance(j)->revision;
        int r;

        if (revision == 0)
                return error_setf(reterr, CCP_ERROR_WRONG_STATE,
                                "The instance '%s' has no revision that could run.", job_instance(j)->slug);

        r = job_revision_set(j, revision);
        return r < 0 ? error_set_errnof(reterr, r, "%m") : 0;
}

/* The blueprint that the revision was made from. */
static int load_blueprint_copy(Job *j, Error *reterr) {
        _cleanup_free_ char *path = NULL, *text = NULL;
        _cleanup_close_ int fd = -EBADF;
        size_t size;
        int r;

        fd = open_revision(j, reterr);
        if (fd < 0)
                return fd;

        path = strjoin(j->revision_directory, "/" JOB_BLUEPRINT_COPY);
        if (!path)
                return error_set_errnof(reterr, ENOMEM, "%m");

        r = read_file_beneath(fd, JOB_BLUEPRINT_COPY, BLUEPRINT_FILE_SIZE_MAX, &text, &size);
        if (r < 0)
                return error_set_errnof(reterr, r, "Cannot read %s: %m", path);

        return blueprint_parse(path, text, size, &j->blueprint, NULL, reterr);
}

static int load_volumes(Job *j, Error *reterr) {
        _cleanup_(revision_record_freep) RevisionRecord *record = NULL;
        int r;

        r = revision_get(j->db, job_instance(j)->id, j->revision, &record, reterr);
        if (r < 0)
                return r;
        json_decref(j->volumes);
        j->volumes = record ? json_incref(record->volumes) : NULL;
        return 0;
}

int job_active_revision_find(Job *j, Error *reterr) {
        int r;

        if (j->blueprint)
                return 0;

        r = set_active(j, reterr);
        if (r >= 0)
                r = load_volumes(j, reterr);
        if (r >= 0)
                r = load_blueprint_copy(j, reterr);
        if (r < 0)
                return r;

        r = strv_extend(&j->profiles, "*");
        if (r < 0)
                return error_set_errnof(reterr, r, "%m");

        return 0;
}

char *job_revision_volume_name(const Job *j, const char *key) {
        const char *name = json_object_get_string(j->volumes, key);

        return name ? strdup(name) : strjoin(j->project, "_", key);
}

int job_revision_forget(Job *j, uint32_t active, Error *reterr) {
        j->blueprint = blueprint_free(j->blueprint);
        j->profiles = strv_free(j->profiles);
        json_decref(TAKE_PTR(j->values));
        json_decref(TAKE_PTR(j->config));
        json_decref(TAKE_PTR(j->volumes));
        j->claim.instance->revision = active;
        return job_revision_set(j, active) < 0 ? error_set_errnof(reterr, ENOMEM, "%m") : 0;
}

static int switch_link(int folder, const char *target) {
        if (unlinkat(folder, JOB_CURRENT_LINK_NEW, 0) < 0 && errno != ENOENT)
                return -errno;
        if (symlinkat(target, folder, JOB_CURRENT_LINK_NEW) < 0 ||
                        renameat(folder, JOB_CURRENT_LINK_NEW, folder, JOB_CURRENT_LINK) < 0)
                return -errno;

        return fsync(folder) < 0 ? -errno : 0;
}

int job_revision_point_to(Job *j, uint32_t revision, Error *reterr) {
        char target[STRLEN(CCP_REVISIONS_FOLDER "/4294967295") + 1];
        _cleanup_close_ int folder = -EBADF;
        int r;

        folder = job_folder_open(j, reterr);
        if (folder < 0)
                return folder;
        (void) snprintf(target, sizeof(target), CCP_REVISIONS_FOLDER "/%" PRIu32, revision);
        r = switch_link(folder, target);
        return r < 0 ? error_set_errnof(reterr, r, "Cannot let %s/" JOB_CURRENT_LINK " lead to %s: %m",
                                       j->directory, target)
                     : 0;
}

static int refuse_file(const Job *j, const char *target, const char *what, Error *reterr) {
        return error_setf(reterr, CCP_ERROR_WRONG_STATE,
                        "The file %s/%s %s since it was rendered, so nothing is run from it. Put it back as "
                        "it was, or delete the instance '%s' and create it again.",
                        j->revision_directory, target, what, j->claim.job->slug);
}

typedef struct Verification {
        const Job *job;
        Error *reterr;
} Verification;

static int on_difference(const char *target, RevisionFileState state, void *userdata) {
        static const char *const what[_REVISION_FILE_STATE_MAX] = {
                [REVISION_FILE_CHANGED] = "was changed",
                [REVISION_FILE_REPLACED] = "was replaced",
                [REVISION_FILE_MISSING] = "has vanished",
        };
        Verification *v = userdata;

        /* Of what was added, compose would take this one alone, whoever put it there. */
        if (state == REVISION_FILE_ADDED)
                return streq(target, ENGINE_ENV_FILE) ? refuse_file(v->job, target, "was added", v->reterr)
                                                      : 0;

        return refuse_file(v->job, target, what[state], v->reterr);
}

int job_revision_verify(Job *j, json_t *files, Error *reterr) {
        /* Without these, nothing else counts. */
        static const char *const needed[] = { JOB_BLUEPRINT_COPY, BLUEPRINT_OVERRIDE_FILE };
        Verification v = { j, reterr };
        _cleanup_close_ int fd = -EBADF;
        int r;

        fd = open_revision(j, reterr);
        if (fd < 0)
                return fd;

        FOREACH_ARRAY(name, needed, ELEMENTSOF(needed))
                if (!json_object_get(files, *name))
                        return error_setf(reterr, CCP_ERROR_INTERNAL,
                                        "There is no record of what the file %s/%s was.",
                                        j->revision_directory, *name);

        r = revision_files_check(fd, files, 0, on_difference, &v);
        if (r < 0 && !error_is_set(reterr))
                return error_set_errnof(reterr, r, "Cannot read the files in %s: %m", j->revision_directory);
        return r;
}

static int verify_active(Job *j, bool *ret_local, Error *reterr) {
        _cleanup_(revision_record_freep) RevisionRecord *record = NULL;
        int r;

        r = revision_get(j->db, job_instance(j)->id, j->revision, &record, reterr);
        if (r < 0)
                return r;

        r = job_revision_verify(j, record ? record->files : NULL, reterr);
        if (r < 0)
                return r;

        *ret_local = json_is_true(
                        json_object_get(json_object_get(record->files, JOB_BLUEPRINT_COPY), "local"));
        return 0;
}

/* The files are as they were, but the policy may have become stricter, and so may compose, and folders that
 * containers can write may hold links now. */
static int judge_active(Job *j, Error *reterr) {
        _cleanup_close_ int folder = -EBADF, fd = -EBADF;
        _cleanup_json_ json_t *config = NULL;
        _cleanup_erase_ char *text = NULL;
        size_t size;
        int r;

        folder = job_folder_open(j, reterr);
        if (folder < 0)
                return folder;
        fd = open_revision(j, reterr);
        if (fd < 0)
                return fd;

        r = read_file_beneath(fd, j->blueprint->compose, BLUEPRINT_STATIC_SIZE_MAX, &text, &size);
        if (r < 0)
                return error_set_errnof(reterr, r, "Cannot read %s/%s: %m", j->revision_directory,
                                j->blueprint->compose);

        return job_policy_check(j, folder, j->revision_directory, text, size, &config, reterr);
}

int job_active_revision_load(Job *j, Error *reterr) {
        bool local;
        int r;

        r = set_active(j, reterr);
        if (r >= 0)
                r = verify_active(j, &local, reterr);
        if (r >= 0)
                r = job_active_revision_find(j, reterr);
        if (r < 0)
                return r;

        j->blueprint->local = local;
        if (!j->values)
                j->profiles = strv_free(j->profiles);
        r = job_values_build(j, reterr);
        if (r < 0)
                return r;

        return judge_active(j, reterr);
}

int job_revision_confirm(Job *j, Error *reterr) {
        _cleanup_(revision_record_freep) RevisionRecord *record = NULL;
        _cleanup_json_ json_t *images = NULL;
        int r;

        job_tell(j, 1, "Checking what runs");
        r = job_engine_verify(j, &images, reterr);
        if (r < 0)
                return r;

        /* With the record of the files, which is replaced too. */
        r = revision_get(j->db, job_instance(j)->id, j->revision, &record, reterr);
        if (r < 0)
                return r;
        if (!record)
                return error_setf(reterr, CCP_ERROR_INTERNAL, "The revision %" PRIu32 " has no record.",
                                j->revision);

        json_decref(record->images);
        record->images = TAKE_PTR(images);
        return revision_put(j->db, job_instance(j)->id, record, reterr);
}

static bool leads_to(int folder, const char *revision) {
        char target[STRLEN(CCP_REVISIONS_FOLDER "/4294967295") + 1];
        const char *name;
        ssize_t n;

        n = readlinkat(folder, JOB_CURRENT_LINK, target, sizeof(target) - 1);
        if (n < 0)
                return false;
        target[n] = 0;
        name = startswith(target, CCP_REVISIONS_FOLDER "/");
        return name && streq(name, revision);
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

        revisions = open_beneath(folder, CCP_REVISIONS_FOLDER, O_RDONLY | O_DIRECTORY, 0);
        if (revisions == -ENOENT)
                return 0;
        if (revisions < 0)
                return error_set_errnof(reterr, revisions, "Cannot open %s/" CCP_REVISIONS_FOLDER ": %m",
                                j->directory);

        r = job_tree_remove(j, revisions, j->directory, temporary, reterr);
        if (r >= 0)
                r = job_tree_remove(j, revisions, j->directory, name, reterr);
        if (r < 0)
                return r;

        r = leads_to(folder, name) ? rm_rf_at(folder, JOB_CURRENT_LINK) : 0;
        if (r >= 0)
                r = rm_rf_at(folder, JOB_CURRENT_LINK_NEW);
        if (r < 0)
                return error_set_errnof(
                                reterr, r, "Cannot remove revision %s of %s: %m", name, j->directory);

        return 0;
}
