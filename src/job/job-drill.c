/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The drill: a backup is restored into containers and volumes of its own, which nobody reaches, until they are healthy and
 * hold what was backed up; how long that took is recorded, and all of it is removed. The instance knows nothing of it. */

#include "job-drill.h"

#include <inttypes.h>
#include <stdio.h>

#include "alloc-util.h"
#include "job-archive.h"
#include "job-aside.h"
#include "job-engine.h"
#include "job-helper.h"
#include "job-refill.h"
#include "job-revision.h"
#include "job-stage.h"
#include "json-util.h"
#include "string-util.h"

/* What the volumes of the project are called, by their key. */
static int name_volumes(Job *j, json_t **ret, Error *reterr) {
        _cleanup_json_ json_t *volumes = json_object();
        const char *key;
        json_t *volume;
        int r;

        r = job_engine_resolve(j, reterr);
        if (r < 0)
                return r;
        if (!volumes)
                return error_set_errnof(reterr, ENOMEM, "%m");
        json_object_foreach(json_object_get(j->config, "volumes"), key, volume)
                if (json_object_set_new(volumes, key,
                                    json_sprintf("%s%s_%s", JOB_ASIDE_PROJECT_PREFIX, j->id_text, key)) < 0)
                        return error_set_errnof(reterr, ENOMEM, "%m");

        *ret = TAKE_PTR(volumes);
        return 0;
}

/* The project is left only at the end: an attempt that was interrupted goes on in the one that it made. */
static int enter(Job *j, Error *reterr) {
        _cleanup_json_ json_t *volumes = NULL;
        int r;

        if (j->aside)
                return 0;
        r = name_volumes(j, &volumes, reterr);
        return r < 0 ? r : job_aside_enter(j, NULL, volumes, reterr);
}

static int run_open(Job *j, Error *reterr) {
        JobArchive *a;
        int r;

        r = job_archive_get(j, &a, reterr);
        if (r >= 0)
                r = job_refill_check_secrets(j, a, reterr);
        return r < 0 ? r : job_refill_check(j, a, reterr);
}

static int run_volumes(Job *j, Error *reterr) {
        _cleanup_json_ json_t *volumes = NULL;
        uint64_t rows = 0;
        size_t n, i = 0;
        const char *key;
        JobArchive *a;
        json_t *name;
        int r;

        r = job_archive_get(j, &a, reterr);
        if (r >= 0)
                r = job_helper_remove(j, reterr);
        /* It may be run again: what it was in goes with what it made. */
        job_aside_leave(j);
        if (r >= 0)
                r = job_aside_remove(j, reterr);
        if (r >= 0)
                r = name_volumes(j, &volumes, reterr);
        if (r >= 0)
                r = enter(j, reterr);
        if (r < 0)
                return r;

        n = json_object_size(volumes);
        json_object_foreach(volumes, key, name) {
                const DockerOwner owner = job_engine_owner(j);

                job_set_range(j, (double) i / (double) n, (double) (i + 1) / (double) n);
                r = job_refill_volume(j, a, &owner, job_engine_context(j).project, key,
                                json_string_value(name), reterr);
                if (r < 0)
                        return r;
                i++;
        }
        if (asprintf(&j->detail, "%zu volumes", n) < 0)
                j->detail = NULL;
        r = job_refill_databases(j, a, true, &rows, reterr);
        return r < 0 ? r : n == 0 && rows == 0;
}

static int run_infrastructure(Job *j, Error *reterr) {
        int r;

        r = enter(j, reterr);
        return r < 0 ? r : job_stage_run_infrastructure(j, reterr);
}

static int run_databases(Job *j, Error *reterr) {
        _cleanup_strv_free_ char **services = NULL;
        uint64_t rows = 0;
        JobArchive *a;
        int r;

        if (job_refill_list_services(j, false, &services) < 0)
                return error_set_errnof(reterr, ENOMEM, "%m");
        if (!services)
                return 1;
        r = job_archive_get(j, &a, reterr);
        if (r >= 0)
                r = enter(j, reterr);
        if (r >= 0)
                r = job_refill_ensure_servers(j, reterr);
        return r < 0 ? r : job_refill_databases(j, a, false, &rows, reterr);
}

static int run_application(Job *j, Error *reterr) {
        int r;

        r = enter(j, reterr);
        return r < 0 ? r : job_stage_run_application(j, reterr);
}

static int run_remove(Job *j, Error *reterr) {
        int r;

        job_aside_leave(j);
        r = job_drill_undo(j, reterr);
        if (r >= 0)
                r = backup_set_drilled(j->db, job_archive_number(j), j->id, reterr);
        if (r < 0)
                return r;
        if (asprintf(&j->detail, "backup %" PRIu64, job_archive_number(j)) < 0)
                j->detail = NULL;
        return 0;
}

int job_drill_undo(Job *j, Error *reterr) {
        int r;

        job_aside_leave(j);
        r = job_helper_remove(j, reterr);
        return r < 0 ? r : job_aside_remove(j, reterr);
}

static const StepOps steps[] = {
        { "open", run_open, NULL, STEP_ENGINE | STEP_KEEPS_RUNNING },
        { "volumes", run_volumes, "remove-aside", STEP_ENGINE | STEP_KEEPS_RUNNING },
        { "infrastructure", run_infrastructure, NULL, STEP_ENGINE | STEP_KEEPS_RUNNING },
        { "databases", run_databases, NULL, STEP_ENGINE | STEP_KEEPS_RUNNING },
        { "application", run_application, NULL, STEP_ENGINE | STEP_KEEPS_RUNNING },
        { "remove", run_remove, NULL, STEP_ENGINE | STEP_KEEPS_RUNNING },
};

const JobOps job_drill_ops = {
        .steps = steps,
        .n_steps = ELEMENTSOF(steps),
        .prepare = job_active_revision_load,
        .end = STORE_END_ASIDE,
        .undone = STORE_END_ASIDE,
};
