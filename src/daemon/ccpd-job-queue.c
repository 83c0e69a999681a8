/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "ccpd-job-queue.h"

#include <inttypes.h>

#include "alloc-util.h"
#include "ccpd-announce.h"
#include "ccpd-manager.h"
#include "ccpd-reload.h"
#include "event-util.h"
#include "log.h"
#include "string-util.h"

/* A worker that ends without an end of its job is started again this often. Crashes are not among these:
 * they are PID 1's to restart, and the worker's to count (JOB_ATTEMPTS_MAX). */
#define JOB_STARTS_MAX 5U
#define JOB_RESTART_DELAY_USEC (2 * USEC_PER_SEC)
/* When PID 1 is asked again if it could not say whether it starts a worker. */
#define JOB_BUSY_DELAY_USEC (10 * USEC_PER_SEC)

static void job_start(Job *j);

/* Answers the call that made the job. 'error' NULL: with the paths. */
static void job_answer(Job *j, const Error *error) {
        _cleanup_free_ char *path = NULL, *instance = NULL;
        Operation *o = TAKE_PTR(j->operation);

        if (!o)
                return;
        if (error) {
                operation_fail(o, error);
                return;
        }

        /* Whoever gets the path must have seen the object. */
        manager_emit_changes(j->manager);

        path = job_path(j);
        if (sd_bus_path_encode(CCP_PATH_INSTANCE, j->record->slug, &instance) < 0 || !path) {
                operation_free(o);
                return;
        }

        if (sd_bus_message_is_method_call(operation_message(o), CCP_INTERFACE_MANAGER, "CreateInstance") >
                                        0 ||
                        sd_bus_message_is_method_call(
                                        operation_message(o), CCP_INTERFACE_MANAGER, "RestoreInstance") > 0)
                operation_reply(o, "oo", instance, path);
        else
                operation_reply(o, "o", path);
}

/* Nothing tells when the records take it, or when a worker that is at work all the same ends. So the job is
 * started once more later: with the end of that comes the next attempt to give it up. */
static void jobs_give_up_later(Manager *m, const Error *error) {
        log_warning("Failed to record the end of a job, it will be tried again: %s",
                        strempty(error->message));
        for (Job *j = m->jobs; j; j = j->hh.next) {
                if (!j->giving_up)
                        continue;

                j->giving_up = j->examining = false;
                j->not_before = now(CLOCK_MONOTONIC) + JOB_BUSY_DELAY_USEC;
        }
        manager_resync_later(m);
}

static void on_job_given_up(int r, JobRecord *record, Error *error, void *userdata) {
        _cleanup_(job_record_freep) JobRecord *taken = record;

        if (r < 0)
                jobs_give_up_later(userdata, error);
        else if (taken)
                /* With what became of the instance. */
                manager_reload_job(userdata, taken->id);
}

/* Until that is recorded it must not be started again. */
static void job_record_end(Job *j, const StoreFinish *finish) {
        _cleanup_error_ Error e = {};

        j->giving_up = j->examining = true;
        if (store_finish_job(j->manager->db, finish, on_job_given_up, j->manager, NULL, &e) < 0)
                jobs_give_up_later(j->manager, &e);
}

/* The end of a job that no worker will end. Nothing was made as long as no worker claimed it; else what it
 * made stays visible, under the instance's state "failed". */
static void job_give_up(Job *j, const Error *error) {
        StoreFinish finish = {
                .job = j->record->id,
                .state = JOB_FAILED,
                .error_name = error->name,
                .error_message = error->message,
                .end = job_kind_is_aside(j->record->kind)                        ? STORE_END_ASIDE
                                : j->record->started_at > 0                      ? STORE_END_STATE
                                : IN_SET(j->record->kind, JOB_CREATE, JOB_CLONE) ? STORE_END_RELEASE
                                                                                 : STORE_END_BEFORE,
                .instance_state = INSTANCE_FAILED,
        };

        (void) log_job(j, LOG_ERR, 0, "Job %" PRIu64 " (%s of '%s') can't be run: %s", j->record->id,
                        job_kind_to_string(j->record->kind), j->record->slug, error->message);

        job_record_end(j, &finish);
        job_answer(j, error);
}

/* Where that cannot be read: as above. */
static void jobs_examine_later(Manager *m) {
        for (Job *j = m->jobs; j; j = j->hh.next) {
                if (!j->examining || j->giving_up || j->admission)
                        continue;

                j->examining = false;
                j->not_before = now(CLOCK_MONOTONIC) + JOB_BUSY_DELAY_USEC;
        }
        manager_resync_later(m);
}

/* What became of a worker that did not start, or ended: the record tells. */
static void on_job_examined(
                int r, JobRecord *record, InstanceRecord *instance, Error *error, void *userdata) {
        Manager *m = userdata;
        _cleanup_(job_record_freep) JobRecord *taken = record;
        _cleanup_(instance_record_freep) InstanceRecord *taken_instance = instance;
        _cleanup_error_ Error e = {};
        Job *j;

        if (r < 0) {
                log_debug("Failed to read a job, all is read again later: %s", error->message);
                jobs_examine_later(m);
                return;
        }

        j = record ? job_find(m, record->id) : NULL;
        if (!j)
                return;

        j->examining = false;
        r = manager_take_loaded_job(m, &taken, &taken_instance);
        if (r < 0) {
                log_oom();
                manager_resync_later(m);
                return;
        }
        if (job_state_is_final(j->record->state)) {
                (void) error_setf(&e, error_name_intern(j->record->error_name), "%s",
                                j->record->error_message ?: "The job failed.");
                job_answer(j, j->record->state == JOB_SUCCEEDED ? NULL : &e);
                return;
        }
        if (j->unit_active)
                return;

        if (error_is_set(&j->start_error) || j->n_starts >= JOB_STARTS_MAX) {
                if (error_is_set(&j->start_error))
                        error_move(&e, &j->start_error);
                else
                        (void) error_setf(&e, CCP_ERROR_INTERNAL,
                                        "Its worker ended %u times without a result. See: journalctl "
                                        "CCP_JOB=%" PRIu64,
                                        j->n_starts, j->record->id);
                job_give_up(j, &e);
                return;
        }

        j->not_before = now(CLOCK_MONOTONIC) + JOB_RESTART_DELAY_USEC;
        job_queue_dispatch(m);
}

static void job_examine(Job *j) {
        _cleanup_error_ Error e = {};

        j->examining = true;
        if (store_load_job(j->manager->db, j->record->id, on_job_examined, j->manager, NULL, &e) >= 0)
                return;

        log_debug("Job %" PRIu64 " cannot be read, all is read again later: %s", j->record->id, e.message);
        jobs_examine_later(j->manager);
}

static void on_job_started(const Error *error, void *userdata) {
        Job *j = userdata;

        j->start_request = NULL;
        if (!error) {
                job_answer(j, NULL);
                return;
        }

        j->unit_active = false;

        /* Not now, or perhaps it was started: to be asked again, which does no harm to a unit that runs. If the
         * system goes down, the job is resumed when it is up again. */
        if (streq(error->name, CCP_ERROR_BUSY)) {
                (void) log_job(j, LOG_INFO, 0, "Job %" PRIu64 " waits: %s", j->record->id, error->message);
                j->n_starts--;
                j->not_before = now(CLOCK_MONOTONIC) + JOB_BUSY_DELAY_USEC;
                job_answer(j, error);
                job_queue_dispatch(j->manager);
                return;
        }

        /* A start that was ended by cancelling the job is no failure: the next worker undoes. */
        error_done(&j->start_error);
        if (!j->stop_request)
                (void) error_setf(&j->start_error, error->name, "%s", error->message);
        job_examine(j);
        job_queue_dispatch(j->manager);
}

static void job_start(Job *j) {
        char unit[JOB_UNIT_MAX];
        int r;

        j->unit_active = true;
        j->n_starts++;
        manager_list_units_later(j->manager);
        r = unit_client_start(j->manager->units, job_unit(j, unit), on_job_started, j, &j->start_request);
        if (r < 0) {
                _cleanup_error_ Error e = {};

                (void) error_set_errnof(&e, r, "Cannot ask systemd to start '%s': %m", unit);
                on_job_started(&e, j);
        }
}

static int on_retry(_unused_ sd_event_source *s, _unused_ uint64_t usec, void *userdata) {
        job_queue_dispatch(userdata);
        return 0;
}

/* Looks again at a time (monotonic). */
static void job_queue_retry_at(Manager *m, usec_t at) {
        int r;

        r = event_reset_time(m->event, &m->retry_source, at, 0, on_retry, m);
        if (r < 0)
                log_warning_errno(r, "Failed to set a timer for waiting jobs: %m");
}

/* What waits for others, and what others wait for. */
typedef struct JobLoad {
        unsigned n_active, n_backups, n_copies;
} JobLoad;

static void load_add(JobLoad *l, const Job *j) {
        bool beside = job_kind_is_beside(j->record->kind);

        l->n_active += !beside && !job_is_own(j);
        l->n_backups += j->record->kind == JOB_BACKUP;
        l->n_copies += beside;
}

/* How many there are of our own is up to us; nobody else waits for them. Backups read and write all that there is; copies of them
 * share the way out, and nobody's work waits for them either. */
static bool job_has_its_turn(const Job *j, const JobLoad *l) {
        const Settings *s = j->manager->settings;

        if (job_kind_is_beside(j->record->kind))
                return l->n_copies < s->backup_concurrency;
        if (j->record->kind == JOB_BACKUP && l->n_backups >= s->backup_concurrency)
                return false;
        return job_is_own(j) || l->n_active < s->job_concurrency;
}

/* --- those that wait for their turn --- */

/* It had none, and its instance was not touched. */
static void job_end_waiting(Job *j, const char *name, const char *message) {
        const StoreFinish finish = {
                .job = j->record->id,
                .state = JOB_CANCELLED,
                .error_name = name,
                .error_message = message,
                .end = STORE_END_ASIDE,
        };

        (void) log_job(j, LOG_NOTICE, 0, "Job %" PRIu64 " (%s of '%s') ends before it began: %s",
                        j->record->id, job_kind_to_string(j->record->kind), j->record->slug, message);
        job_record_end(j, &finish);
}

/* The store is away, or somebody has its instance of whom we did not hear yet. */
static void job_wait_on(Job *j, usec_t delay) {
        if (!j->record->cancel_requested)
                j->not_before = now(CLOCK_MONOTONIC) + delay;
}

static void job_note_admission(Job *j, int r, InstanceRecord *instance, JobRecord *record, Error *error) {
        _cleanup_error_ Error e = {};

        job_end_admission(j);
        j->examining = false;
        if (r < 0 &&
                        (streq_ptr(error->name, CCP_ERROR_WRONG_STATE) ||
                                        streq_ptr(error->name, CCP_ERROR_NO_SUCH_INSTANCE))) {
                job_end_waiting(j, error->name, error->message);
                return;
        }

        r = manager_take_made(j->manager, r, instance, record, error, &e);
        if (r < 0) {
                (void) log_job(j, LOG_INFO, 0, "Job %" PRIu64 " waits on: %s", j->record->id, e.message);
                job_wait_on(j, JOB_BUSY_DELAY_USEC);
                manager_resync_later(j->manager);
        } else if (j->record->state == JOB_WAITING)
                job_wait_on(j, JOB_RESTART_DELAY_USEC);
}

static void on_job_admitted(
                int r, InstanceRecord *instance, JobRecord *record, Error *error, void *userdata) {
        Job *j = userdata;
        Manager *m = j->manager;

        job_note_admission(j, r, instance, record, error);
        job_queue_dispatch(m);
}

/* Whether its instance is still there and runs is for the records to say, in the transaction that gives it to the job. */
static void job_admit(Job *j, Instance *i) {
        _cleanup_error_ Error e = {};
        int r;

        j->examining = true;
        if (i)
                i->admits = j;
        r = store_admit_job(j->manager->db, j->record->id, on_job_admitted, j, &j->admission, &e);
        if (r < 0)
                job_note_admission(j, r, NULL, NULL, &e);
}

/* --- */

static bool job_is_due(const Job *j, usec_t monotonic, usec_t *retry_at) {
        if (job_state_is_final(j->record->state) || j->unit_active || j->examining)
                return false;
        if (j->not_before <= monotonic)
                return true;

        *retry_at = MIN(*retry_at, j->not_before);
        return false;
}

static void start_queued(Manager *m, JobLoad *load, usec_t monotonic, usec_t *retry_at) {
        Job *j, *next;

        for (j = m->jobs; j; j = next) {
                next = j->hh.next;
                if (j->record->state == JOB_WAITING || !job_is_due(j, monotonic, retry_at))
                        continue;
                if (job_has_its_turn(j, load)) {
                        load_add(load, j);
                        job_start(j);
                } else
                        /* It waits for others: its caller does not have to. */
                        job_answer(j, NULL);
        }
}

/* Why it is not its turn, as a sentence; NULL: it is. */
static const char *job_find_hindrance(const Job *j, const Instance *i, const JobLoad *l) {
        const Manager *m = j->manager;

        if (m->engine_state == ENGINE_UNAVAILABLE)
                return "Docker is not available.";
        if (!recovery_is_ready(m->recovery))
                return "It is not known yet what Docker runs. If that lasts: systemctl status ccp-watch "
                       "ccp-gate";
        if (manager_check_sealing(m, NULL) < 0)
                return "The master key is not there. See: ccpctl doctor";
        if (instance_has_job(i) || i->schedule_begins)
                return "Another job is at work on its instance.";
        /* What failed may come back by itself: it is given up with the last attempt. */
        if (instance_is_busy(i) || recovery_next_of(m->recovery, i) > 0)
                return "Its instance is brought back first.";
        return job_has_its_turn(j, l) ? NULL : "As many jobs as may be are at work.";
}

static void job_set_hindrance(Job *j, const char *hindrance) {
        if (j->hindrance == hindrance)
                return;
        j->hindrance = hindrance;
        job_set_changed(j);
}

static void job_look_for_turn(Job *j, JobLoad *load) {
        Instance *i = instance_find_by_id(j->manager, j->record->instance);

        if (j->record->cancel_requested) {
                job_end_waiting(j, CCP_ERROR_CANCELLED, "The job was cancelled.");
                return;
        }
        job_set_hindrance(j, i ? job_find_hindrance(j, i, load) : NULL);
        if (j->hindrance)
                return;
        /* Without its instance it comes to its end. */
        if (i)
                load_add(load, j);
        job_admit(j, i);
}

static void admit_waiting(Manager *m, JobLoad *load, usec_t monotonic, usec_t *retry_at) {
        Job *j, *next;

        for (j = m->jobs; j; j = next) {
                next = j->hh.next;
                if (j->record->state != JOB_WAITING || !job_is_due(j, monotonic, retry_at))
                        continue;
                job_look_for_turn(j, load);
                /* Where that failed at once. */
                if (j->not_before > monotonic)
                        *retry_at = MIN(*retry_at, j->not_before);
        }
}

void job_queue_dispatch(Manager *m) {
        usec_t retry_at = USEC_INFINITY, monotonic = now(CLOCK_MONOTONIC);
        JobLoad load = {};

        /* Workers need the store, and what runs already must be known. */
        if (!m->units_listed || !db_is_available(m->db) || !m->loaded)
                return;

        for (Job *j = m->jobs; j; j = j->hh.next)
                if (j->unit_active || j->admission)
                        load_add(&load, j);

        /* What has its instance keeps it from others until it is done: it comes before what waits without one. */
        start_queued(m, &load, monotonic, &retry_at);
        admit_waiting(m, &load, monotonic, &retry_at);

        if (retry_at != USEC_INFINITY)
                job_queue_retry_at(m, retry_at);
}

void job_queue_unit_ended(Job *j) {
        j->unit_active = false;
        job_examine(j);
}

void job_queue_ended(Job *j) {
        /* Its unit may still be ending; it does no more work. */
        j->n_starts = 0;
        job_queue_dispatch(j->manager);
}

static void on_job_stopped(const Error *error, void *userdata) {
        Job *j = userdata;

        j->stop_request = NULL;
        if (!error)
                return;

        (void) log_job(j, LOG_WARNING, 0, "Failed to stop the worker of job %" PRIu64 ": %s", j->record->id,
                        error->message);
        if (streq(error->name, CCP_ERROR_BUSY))
                manager_resync_later(j->manager);
}

void job_queue_cancel(Job *j) {
        char unit[JOB_UNIT_MAX];
        int r;

        if (job_state_is_final(j->record->state))
                return;
        if (j->record->state == JOB_WAITING) {
                j->not_before = 0;
                job_queue_dispatch(j->manager);
                return;
        }
        if (!j->unit_active) {
                /* Before its turn: others wait for work, this one for its end. */
                if (j->manager->units_listed && db_is_available(j->manager->db))
                        job_start(j);
                return;
        }
        if (j->stop_request)
                return;

        r = unit_client_stop(j->manager->units, job_unit(j, unit), on_job_stopped, j, &j->stop_request);
        if (r < 0)
                (void) log_job(j, LOG_WARNING, r, "Failed to ask systemd to stop '%s': %m", unit);
}
