/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Restoring an instance: its volumes are made anew beside those that it has, filled, and looked at while it serves; then
 * it is switched over to them by a revision that names them. What it had stays for a while, and comes back when the restore
 * fails or is undone. */

#include "job-restore.h"

#include <inttypes.h>
#include <stdio.h>

#include "alloc-util.h"
#include "job-archive.h"
#include "job-aside.h"
#include "job-engine.h"
#include "job-helper.h"
#include "job-refill.h"
#include "job-render.h"
#include "job-revision.h"
#include "job-services.h"
#include "job-stage.h"
#include "json-util.h"
#include "log.h"
#include "store-restore.h"
#include "string-util.h"
#include "strv.h"

/* --- the backup --- */

/* Another one's data would be of no use to it. */
static int check_origin(Job *j, const JobArchive *a, Error *reterr) {
        return streq(a->record.instance, job_instance(j)->id)
                        ? 0
                        : job_refill_refuse(j, a, "it is of another instance.", reterr);
}

static int run_open(Job *j, Error *reterr) {
        JobArchive *a;
        int r;

        r = job_archive_get(j, &a, reterr);
        if (r >= 0)
                r = check_origin(j, a, reterr);
        if (r >= 0)
                r = job_refill_check_secrets(j, a, reterr);
        if (r >= 0)
                r = job_refill_check(j, a, reterr);
        if (r < 0)
                return r;
        if (asprintf(&j->detail, "backup %" PRIu64 ", %s", a->record.id,
                            FORMAT_TIMESTAMP(a->record.created_at)) < 0)
                j->detail = NULL;
        return 0;
}

/* --- volumes --- */

/* What the engine calls the volumes that the instance has: an object from their keys. */
static int list_volumes(Job *j, json_t **ret, Error *reterr) {
        _cleanup_json_ json_t *result = json_object();
        const char *key;
        json_t *volume;
        int r;

        r = job_engine_resolve(j, reterr);
        if (r < 0)
                return r;
        if (!result)
                return error_set_errnof(reterr, ENOMEM, "%m");
        json_object_foreach(json_object_get(j->config, "volumes"), key, volume) {
                _cleanup_free_ char *name = job_revision_volume_name(j, key);

                if (!name || json_object_set_new(result, key, json_string(name)) < 0)
                        return error_set_errnof(reterr, ENOMEM, "%m");
        }

        *ret = TAKE_PTR(result);
        return 0;
}

/* Begins the record of this restore, or finds it: names are the same for each attempt. */
static int begin(Job *j, RestoreRecord *ret, Error *reterr) {
        RestoreRecord new = {
                .job = j->id,
                .backup = job_archive_number(j),
        };
        _cleanup_json_ json_t *before = NULL, *after = json_object();
        const char *key;
        json_t *name;
        int r;

        r = list_volumes(j, &before, reterr);
        if (r < 0)
                return r;
        if (!after)
                return error_set_errnof(reterr, ENOMEM, "%m");
        json_object_foreach(before, key, name)
                if (json_object_set_new(after, key, json_sprintf("%s_%s.r%s", j->project, key, j->id_text)) <
                                0)
                        return error_set_errnof(reterr, ENOMEM, "%m");

        memcpy(new.instance, j->claim.job->instance, sizeof(new.instance));
        new.volumes_before = before;
        new.volumes_after = after;
        return restore_begin(j->db, &new, ret, reterr);
}

static int run_volumes(Job *j, Error *reterr) {
        _cleanup_restore_record_ RestoreRecord restore = {};
        size_t n, i = 0;
        const DockerOwner owner = job_engine_owner(j);
        const char *key;
        JobArchive *a;
        json_t *name;
        int r;

        r = job_archive_get(j, &a, reterr);
        if (r >= 0)
                r = job_helper_remove(j, reterr);
        if (r >= 0)
                r = job_aside_remove(j, reterr);
        if (r >= 0)
                r = begin(j, &restore, reterr);
        if (r < 0)
                return r;

        n = json_object_size(restore.volumes_after);
        json_object_foreach(restore.volumes_after, key, name) {
                job_set_range(j, (double) i / (double) n, (double) (i + 1) / (double) n);
                r = job_refill_volume(j, a, &owner, j->project, key, json_string_value(name), reterr);
                if (r < 0)
                        return r;
                i++;
        }
        if (asprintf(&j->detail, "%zu volumes", n) < 0)
                j->detail = NULL;
        return n > 0 ? 0 : 1;
}

static int get_record(Job *j, RestoreRecord *ret, Error *reterr) {
        int r;

        r = restore_get_of_job(j->db, j->id, ret, reterr);
        return r == -ENOENT && !error_is_set(reterr)
                        ? error_setf(reterr, CCP_ERROR_INTERNAL, "The record of the restore is gone.")
                        : r;
}

int job_restore_undo_volumes(Job *j, Error *reterr) {
        _cleanup_restore_record_ RestoreRecord restore = {};
        const DockerOwner owner = job_engine_owner(j);
        const char *key;
        json_t *name;
        int r;

        r = job_helper_remove(j, reterr);
        if (r >= 0)
                r = job_aside_remove(j, reterr);
        if (r < 0)
                return r;

        r = restore_get_of_job(j->db, j->id, &restore, reterr);
        if (r < 0)
                return r == -ENOENT && !error_is_set(reterr) ? 0 : r;
        if (restore.undoes == 0)
                json_object_foreach(restore.volumes_after, key, name) {
                        r = docker_remove(j->docker, DOCKER_VOLUME, json_string_value(name), &owner, reterr);
                        if (r < 0)
                                return r;
                }
        return restore_forget(j->db, j->id, reterr);
}

/* --- databases --- */

static int restore_aside(Job *j, JobArchive *a, bool offline, uint64_t *rows, Error *reterr) {
        int r;

        r = offline ? 0 : job_stage_run_aside(j, reterr);
        if (r >= 0)
                r = job_refill_databases(j, a, offline, rows, reterr);
        /* They end in their own way: the volumes go on to other containers. */
        return r < 0 ? r : job_engine_down(j, false, reterr);
}

/* 1 if there are none. */
static int restore_databases(
                Job *j, const RestoreRecord *restore, bool offline, uint64_t *rows, Error *reterr) {
        _cleanup_strv_free_ char **services = NULL;
        JobArchive *a;
        int r;

        if (job_refill_list_services(j, offline, &services) < 0)
                return error_set_errnof(reterr, ENOMEM, "%m");
        if (!services)
                return 1;

        r = job_archive_get(j, &a, reterr);
        if (r >= 0)
                r = job_aside_remove(j, reterr);
        if (r >= 0)
                r = job_aside_enter(j, services, restore->volumes_after, reterr);
        if (r < 0)
                return r;
        r = restore_aside(j, a, offline, rows, reterr);
        job_aside_leave(j);
        return r < 0 ? r : job_aside_remove(j, reterr);
}

static int run_databases(Job *j, Error *reterr) {
        _cleanup_restore_record_ RestoreRecord restore = {};
        uint64_t rows = 0;
        int r, k;

        r = get_record(j, &restore, reterr);
        if (r >= 0)
                r = restore_databases(j, &restore, true, &rows, reterr);
        if (r < 0)
                return r;
        k = restore_databases(j, &restore, false, &rows, reterr);
        return k < 0 ? k : r && k;
}

/* --- switching over --- */

static int run_render(Job *j, Error *reterr) {
        _cleanup_restore_record_ RestoreRecord restore = {};
        int r;

        r = get_record(j, &restore, reterr);
        if (r >= 0)
                r = job_revision_forget(j, restore.revision_before, reterr);
        if (r >= 0)
                r = job_active_revision_load(j, reterr);
        if (r < 0)
                return r;

        json_decref(j->volumes);
        j->volumes = json_incref(restore.volumes_after);
        return job_render_again(j, restore.revision_after, reterr);
}

int job_restore_undo_render(Job *j, Error *reterr) {
        _cleanup_restore_record_ RestoreRecord restore = {};
        int r;

        r = restore_get_of_job(j->db, j->id, &restore, reterr);
        if (r < 0)
                return r == -ENOENT && !error_is_set(reterr) ? 0 : r;
        r = job_revision_point_to(j, restore.revision_before, reterr);
        return r < 0 ? r : job_revision_remove(j, restore.revision_after, reterr);
}

/* Gets the revision ready that is the active one by the record. */
static int load_active(Job *j, uint32_t revision, Error *reterr) {
        int r;

        r = job_revision_forget(j, revision, reterr);
        return r < 0 ? r : job_active_revision_load(j, reterr);
}

/* What somebody wants to have stopped is not made anew with the others: its container goes, so that it is never started again
 * with the former volumes. */
static int stop_all(Job *j, Error *reterr) {
        return strv_length(job_instance(j)->stopped_services) > 0 ? job_engine_down(j, false, reterr)
                                                                  : job_engine_stop(j, reterr);
}

/* Of the services that nobody wants to have stopped. */
static int run_stage(Job *j, int (*stage)(Job *j, Error *reterr), Error *reterr) {
        int r;

        r = job_services_choose(j, reterr);
        if (r >= 0)
                r = stage(j, reterr);
        j->services = strv_free(j->services);
        return r;
}

static int run_switch(Job *j, Error *reterr) {
        uint64_t keep_hours =
                        (uint64_t) json_integer_value(json_object_get(j->claim.job->spec, "keep_hours"));
        _cleanup_restore_record_ RestoreRecord restore = {};
        int r;

        r = get_record(j, &restore, reterr);
        if (r >= 0 && restore.state == RESTORE_BUILDING) {
                r = load_active(j, restore.revision_before, reterr);
                if (r >= 0)
                        r = stop_all(j, reterr);
                if (r >= 0)
                        r = restore_switch(j->db, &restore, keep_hours, reterr);
        }
        return r < 0 ? r : load_active(j, restore.revision_after, reterr);
}

/* What the instance had before it has again. It need not have been well with it, and may be less so now: that is to be seen of
 * the instance, and keeps nothing of the restore from being removed. */
static int start_former(Job *j, Error *reterr) {
        usec_t begin = now(CLOCK_MONOTONIC);
        _cleanup_error_ Error error = {};
        bool failed;
        int r;

        r = run_stage(j, job_stage_run_infrastructure, &error);
        if (r >= 0)
                r = run_stage(j, job_stage_run_application, &error);
        failed = streq_ptr(error.name, CCP_ERROR_ENGINE_FAILED);
        if (r >= 0 || (!failed && !streq_ptr(error.name, CCP_ERROR_UNHEALTHY)) ||
                        (!j->undo_is_last && (failed || job_engine_was_away(j, begin)))) {
                error_move(reterr, &error);
                return r;
        }

        log_warning("'%s' has what it had before, and is not well with it: %s", j->claim.job->slug,
                        strempty(error.message));
        free(j->detail);
        if (asprintf(&j->detail, "It has what it had before, and is not well with it: %s",
                            strempty(error.message)) < 0)
                j->detail = NULL;
        error_done(&error);
        r = run_stage(j, job_stage_start, &error);
        if (r == -ECANCELED || streq_ptr(error.name, CCP_ERROR_ENGINE_UNAVAILABLE)) {
                error_move(reterr, &error);
                return r;
        }
        if (r < 0)
                log_warning("Not all of it could be started: %s", strempty(error.message));
        return 0;
}

int job_restore_undo_switch(Job *j, Error *reterr) {
        _cleanup_restore_record_ RestoreRecord restore = {};
        int r;

        r = restore_get_of_job(j->db, j->id, &restore, reterr);
        if (r < 0)
                return r == -ENOENT && !error_is_set(reterr) ? 0 : r;
        /* Nothing may use the new volumes any more. What was not switched over yet may still run. */
        if (restore.state != RESTORE_BUILDING) {
                r = job_engine_down(j, false, reterr);
                if (r >= 0)
                        r = restore_switch_back(j->db, &restore, reterr);
        }
        if (r >= 0)
                r = job_revision_point_to(j, restore.revision_before, reterr);
        if (r >= 0)
                r = load_active(j, restore.revision_before, reterr);
        return r < 0 || job_began_stopped(j) ? r : start_former(j, reterr);
}

/* An attempt after the one that switched over. */
static int ensure_loaded(Job *j, Error *reterr) {
        _cleanup_restore_record_ RestoreRecord restore = {};
        int r;

        r = get_record(j, &restore, reterr);
        if (r < 0 || j->revision == restore.revision_after)
                return r;
        return load_active(j, restore.revision_after, reterr);
}

static int run_infrastructure(Job *j, Error *reterr) {
        int r;

        r = ensure_loaded(j, reterr);
        return r < 0 ? r : run_stage(j, job_stage_run_infrastructure, reterr);
}

static int run_application(Job *j, Error *reterr) {
        int r;

        r = ensure_loaded(j, reterr);
        if (r >= 0)
                r = run_stage(j, job_stage_run_application, reterr);
        return r < 0 ? r : job_revision_confirm(j, reterr);
}

static int prepare(Job *j, Error *reterr) {
        return job_active_revision_load(j, reterr);
}

static const StepOps steps[] = {
        { "open", run_open, NULL, STEP_ENGINE | STEP_KEEPS_RUNNING },
        { "volumes", run_volumes, "discard-restore", STEP_ENGINE | STEP_KEEPS_RUNNING },
        { "databases", run_databases, NULL, STEP_ENGINE | STEP_KEEPS_RUNNING },
        { "render", run_render, "discard-revision", STEP_ENGINE | STEP_KEEPS_RUNNING },
        { "switch", run_switch, "switch-back", STEP_ENGINE },
        { "infrastructure", run_infrastructure, NULL, STEP_ENGINE },
        { "application", run_application, NULL, STEP_ENGINE },
};

const JobOps job_restore_ops = {
        .steps = steps,
        .n_steps = ELEMENTSOF(steps),
        .prepare = prepare,
        .end = STORE_END_STATE,
        .undone = STORE_END_BEFORE,
};

/* --- undoing one that succeeded --- */

/* The one that the job is to undo, 0: the latest, if its former volumes are there. */
static int find_kept(Job *j, RestoreRecord *ret, Error *reterr) {
        uint64_t id = (uint64_t) json_integer_value(json_object_get(j->claim.job->spec, "restore"));
        _cleanup_restore_records_ RestoreRecords l = {};
        int r;

        r = restore_list(j->db, j->claim.job->instance, RESTORE_LIST_KEPT, &l, reterr);
        if (r < 0)
                return r;
        FOREACH_ARRAY(k, l.items, l.n)
                if (id == 0 || k->id == id) {
                        *ret = TAKE_GENERIC(*k, (RestoreRecord) {});
                        return 0;
                }
        if (id == 0)
                return error_setf(reterr, CCP_ERROR_WRONG_STATE,
                                "Nothing is kept of what '%s' had before a restore.", j->claim.job->slug);
        return error_setf(reterr, CCP_ERROR_WRONG_STATE,
                        "What '%s' had before restore %" PRIu64
                        " is not kept any more. See: ccpctl restore list %s",
                        j->claim.job->slug, id, j->claim.job->slug);
}

static int check_volumes(Job *j, json_t *volumes, Error *reterr) {
        const char *key;
        json_t *name;

        json_object_foreach(volumes, key, name) {
                _cleanup_docker_object_ DockerObject o = {};
                int r;

                r = docker_inspect(j->docker, DOCKER_VOLUME, json_string_value(name), &o, reterr);
                if (r < 0)
                        return error_prefixf(reterr, r, "'%s' cannot have its former volumes again",
                                        j->claim.job->slug);
        }
        return 0;
}

static int run_find(Job *j, Error *reterr) {
        _cleanup_restore_record_ RestoreRecord kept = {}, restore = {};
        RestoreRecord new = { .job = j->id };
        _cleanup_json_ json_t *before = NULL;
        int r;

        r = find_kept(j, &kept, reterr);
        if (r >= 0)
                r = list_volumes(j, &before, reterr);
        if (r >= 0)
                r = check_volumes(j, kept.volumes_before, reterr);
        if (r < 0)
                return r;

        memcpy(new.instance, j->claim.job->instance, sizeof(new.instance));
        new.undoes = kept.id;
        new.volumes_before = before;
        new.volumes_after = kept.volumes_before;
        r = restore_begin(j->db, &new, &restore, reterr);
        if (r < 0)
                return r;
        if (asprintf(&j->detail, "as it was until %s", FORMAT_TIMESTAMP(kept.switched_at)) < 0)
                j->detail = NULL;
        return 0;
}

static const StepOps undo_steps[] = {
        { "find", run_find, "discard-restore", STEP_ENGINE | STEP_KEEPS_RUNNING },
        { "render", run_render, "discard-revision", STEP_ENGINE | STEP_KEEPS_RUNNING },
        { "switch", run_switch, "switch-back", STEP_ENGINE },
        { "infrastructure", run_infrastructure, NULL, STEP_ENGINE },
        { "application", run_application, NULL, STEP_ENGINE },
};

const JobOps job_undo_restore_ops = {
        .steps = undo_steps,
        .n_steps = ELEMENTSOF(undo_steps),
        .prepare = prepare,
        .end = STORE_END_STATE,
        .undone = STORE_END_BEFORE,
};

/* --- no longer keeping what was before --- */

static int discard(Job *j, const RestoreRecord *restore, const json_t *present, Error *reterr) {
        const DockerOwner owner = job_engine_owner(j);
        const char *key;
        json_t *name;
        int r;

        json_object_foreach(restore->volumes_before, key, name) {
                if (json_equal(name, json_object_get(present, key)))
                        continue;
                r = docker_remove(j->docker, DOCKER_VOLUME, json_string_value(name), &owner, reterr);
                if (r < 0)
                        return r;
        }
        return restore_set_discarded(j->db, restore->id, reterr);
}

static int run_discard(Job *j, Error *reterr) {
        const json_t *spec = j->claim.job->spec;
        RestoreListFlags due = json_is_true(json_object_get(spec, "due")) ? RESTORE_LIST_DUE : 0;
        uint64_t id = (uint64_t) json_integer_value(json_object_get(spec, "restore")); /* 0: all */
        _cleanup_restore_records_ RestoreRecords l = {};
        _cleanup_json_ json_t *present = NULL;
        size_t n = 0;
        int r;

        r = list_volumes(j, &present, reterr);
        if (r >= 0)
                r = restore_list(j->db, j->claim.job->instance, RESTORE_LIST_KEPT | due, &l, reterr);
        if (r < 0)
                return r;
        FOREACH_ARRAY(restore, l.items, l.n) {
                if (id > 0 && restore->id != id)
                        continue;
                r = discard(j, restore, present, reterr);
                if (r < 0)
                        return r;
                n++;
        }
        return n > 0 ? 0 : 1;
}

static const StepOps discard_steps[] = {
        { "volumes", run_discard, NULL, STEP_ENGINE | STEP_COMMIT | STEP_KEEPS_RUNNING },
};

const JobOps job_discard_restore_ops = {
        .steps = discard_steps,
        .n_steps = ELEMENTSOF(discard_steps),
        .prepare = prepare,
        .end = STORE_END_ASIDE,
        .undone = STORE_END_ASIDE,
};
