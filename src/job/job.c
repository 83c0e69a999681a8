/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "job.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "alloc-util.h"
#include "fd-util.h"
#include "job-archive.h"
#include "job-aside.h"
#include "job-engine.h"
#include "job-services.h"
#include "job-undo.h"
#include "log.h"
#include "string-util.h"

/* The lock of a worker that was killed lasts until PostgreSQL notices its end. */
#define CLAIM_RETRIES 30U
/* How often, each after a second, the schema of the records is looked at if it is another version's. */
#define SCHEMA_RETRIES 60U
/* How long the records are asked why the worker shall end, before it is taken for the machine going down. */
#define ASK_USEC (5 * USEC_PER_SEC)
/* PID 1 is asked for so much more time while the records are away at the start. */
#define EXTEND_USEC (30 * USEC_PER_SEC)
/* A wait for the records that lasts longer than this is told. */
#define TELL_WAIT_USEC (3 * USEC_PER_SEC)
/* How long a step waits for an engine that is away, and how often it then runs again. */
#define ENGINE_PATIENCE_USEC (2 * USEC_PER_MINUTE)
#define ENGINE_RETRIES 5U
/* How often it runs again after the engine lost what it was given, and after what time. */
#define LOST_RETRIES 2U
#define LOST_DELAY_USEC (5 * USEC_PER_SEC)
#define UNDO_RETRIES 8U
#define UNDO_DELAY_MAX_USEC USEC_PER_MINUTE
#define CRASH_PATIENCE_USEC (5 * USEC_PER_SEC)

static const JobOps *const job_ops[_JOB_KIND_MAX] = {
        [JOB_CREATE] = &job_create_ops,
        [JOB_START] = &job_start_ops,
        [JOB_STOP] = &job_stop_ops,
        [JOB_RESTART] = &job_restart_ops,
        [JOB_DELETE] = &job_delete_ops,
        [JOB_BACKUP] = &job_backup_ops,
        [JOB_RESTORE] = &job_restore_ops,
        [JOB_UNDO_RESTORE] = &job_undo_restore_ops,
        [JOB_DISCARD_RESTORE] = &job_discard_restore_ops,
        [JOB_CLONE] = &job_clone_ops,
        [JOB_DRILL] = &job_drill_ops,
        [JOB_REPLICATE] = &job_replicate_ops,
        [JOB_FETCH] = &job_fetch_ops,
        [JOB_IMPORT] = &job_import_ops,
        [JOB_VERIFY] = &job_verify_ops,
        [JOB_DELETE_BACKUP] = &job_delete_backup_ops,
};

static volatile sig_atomic_t terminate_requested;

static void on_signal(int signal _unused_) {
        terminate_requested = 1;
}

int job_install_signals(void) {
        /* No SA_RESTART: what waits shall notice. */
        const struct sigaction end = { .sa_handler = on_signal }, ignore = { .sa_handler = SIG_IGN };

        if (sigaction(SIGTERM, &end, NULL) < 0 || sigaction(SIGINT, &end, NULL) < 0 ||
                        sigaction(SIGPIPE, &ignore, NULL) < 0)
                return -errno;

        return 0;
}

void job_init(Job *j, uint64_t id) {
        *j = (Job) { .id = id, .instances_fd = -EBADF, .progress.fd = -EBADF, .progress_scale = 1 };
        (void) snprintf(j->id_text, sizeof(j->id_text), "%" PRIu64, id);
}

static void strv_erase_and_free(char **l) {
        STRV_FOREACH(s, l)
                explicit_bzero(*s, strlen(*s));
        strv_free(l);
}

void job_done(Job *j) {
        progress_done(&j->progress);
        job_claim_done(&j->claim);
        j->db = db_sync_free(j->db);
        j->docker = docker_free(j->docker);
        j->blueprint = blueprint_free(j->blueprint);
        j->aside = job_aside_free(j->aside);
        j->archive = job_archive_free(j->archive);
        json_decref(j->volumes);
        json_decref(j->secrets);
        json_decref(j->values);
        json_decref(j->config);
        strv_erase_and_free(j->redact);
        strv_free(j->profiles);
        strv_free(j->services);
        free(j->project);
        free(j->directory);
        free(j->revision_directory);
        free(j->detail);
        j->instances_fd = safe_close(j->instances_fd);
        log_set_context(NULL);
        for (size_t i = 0; i < ELEMENTSOF(j->log_fields); i++)
                free(j->log_fields[i]);
}

int job_checkpoint(Job *j) {
        if (j->claimed)
                progress_tick(&j->progress);
        else
                (void) sd_notify(0, "WATCHDOG=1");

        if (!terminate_requested || j->deaf || now(CLOCK_MONOTONIC) < j->deaf_until)
                return 0;

        return -ECANCELED;
}

int job_poll(void *userdata) {
        return job_checkpoint(userdata);
}

int job_sleep(Job *j, usec_t span) {
        usec_t end = now(CLOCK_MONOTONIC) + span;

        for (;;) {
                usec_t t = now(CLOCK_MONOTONIC);
                int r;

                r = job_checkpoint(j);
                if (r < 0 || t >= end)
                        return r;

                /* A signal ends it early, which is welcome. */
                (void) usleep((useconds_t) MIN(end - t, USEC_PER_SEC));
        }
}

int job_note_unwell(Job *j, unsigned n_unwell, Error *reterr) {
        if (n_unwell == 0)
                return 0;

        if (asprintf(&j->detail, "%u optional services are not healthy", n_unwell) < 0) {
                j->detail = NULL;
                return error_set_errnof(reterr, ENOMEM, "%m");
        }

        return 0;
}

void job_set_range(Job *j, double from, double to) {
        j->progress_base = from;
        j->progress_scale = to - from;
        progress_set(&j->progress, from, NULL);
}

static double fraction_of_step(const Job *j, double fraction) {
        return fraction < 0 ? -1 : j->progress_base + fraction * j->progress_scale;
}

void job_tell(Job *j, double fraction, const char *format, ...) {
        char message[JOB_MESSAGE_MAX];
        va_list ap;

        va_start(ap, format);
        (void) vsnprintf(message, sizeof(message), format, ap);
        va_end(ap);

        progress_set(&j->progress, fraction_of_step(j, fraction), message);
}

void job_tell_bytes(Job *j, double fraction, uint64_t done, uint64_t total, const char *format, ...) {
        char message[JOB_MESSAGE_MAX];
        va_list ap;

        va_start(ap, format);
        (void) vsnprintf(message, sizeof(message), format, ap);
        va_end(ap);

        if (fraction < 0 && total > 0)
                fraction = (double) done / (double) total;
        progress_set_bytes(&j->progress, fraction_of_step(j, fraction), message, done, total);
}

/* While the records are waited for. Several short waits look like a long one, but for the pauses between. */
static int store_wait(void *userdata) {
        Job *j = userdata;
        usec_t t = now(CLOCK_MONOTONIC);

        if (t - j->store_asked_at > 2 * USEC_PER_SEC)
                j->store_since = t;
        j->store_asked_at = t;

        if (!j->claimed)
                (void) sd_notifyf(0, "EXTEND_TIMEOUT_USEC=%" PRIu64, EXTEND_USEC);
        if (t - j->store_since > TELL_WAIT_USEC) {
                if (j->claimed)
                        job_tell(j, -1, "Waiting for the records (PostgreSQL)");
                else
                        (void) sd_notify(0, "STATUS=Waiting for the records (PostgreSQL)");
        }

        return job_checkpoint(j);
}

/* Looks at a failure: was it only that this worker shall end? Returns 1 if what failed is to be done again,
 * JOB_LEFT, or r. 'forward': a cancel comes too late to turn back. */
static int job_judge(Job *j, int r, bool forward, Error *error) {
        _cleanup_error_ Error ask_error = {};
        bool cancelled = false;
        int k;

        if (r == JOB_LEFT)
                return r;
        if (streq_ptr(error->name, CCP_ERROR_BUSY)) {
                log_warning("Leaving the job: %s", strempty(error->message));
                return JOB_LEFT;
        }
        if (r != -ECANCELED || !terminate_requested || j->deaf)
                return r;

        j->deaf_until = now(CLOCK_MONOTONIC) + ASK_USEC;
        k = job_is_cancelled(j->db, j->id, &cancelled, &ask_error);
        j->deaf_until = 0;
        if (k < 0 || !cancelled) {
                log_info("Asked to end: leaving the job as it is, to be resumed.");
                j->stopped = true;
                return JOB_LEFT;
        }

        j->deaf = true;
        error_done(error);
        if (forward) {
                log_info("The job was cancelled too late: it goes on to its end.");
                return 1;
        }

        return error_setf(error, CCP_ERROR_CANCELLED, "The job was cancelled.");
}

static StepRecord *find_row(const Job *j, const char *name) {
        FOREACH_ARRAY(s, j->claim.job->steps, j->claim.job->n_steps)
                if (streq(s->name, name))
                        return s;

        return NULL;
}

static const StepOps *find_step(const Job *j, const char *name) {
        FOREACH_ARRAY(s, (StepOps *) j->ops->steps, j->ops->n_steps)
                if (streq(s->name, name))
                        return s;

        return NULL;
}

/* Somebody else ended the job: nothing more may be touched, not even to undo. */
static int left_if_ended(int r, Error *error) {
        if (!error_is_set(error) || !streq(error->name, CCP_ERROR_WRONG_STATE))
                return r;

        log_warning("Leaving the job: %s", strempty(error->message));
        error_done(error);
        return JOB_LEFT;
}

/* Writes a step's state, in the records first. */
static int set_row(Job *j, StepRecord *row, StepState state, const char *detail, bool *ret_cancel,
                Error *reterr) {
        const StepUpdate update = {
                .number = row->number,
                .state = state,
                .undo = row->undo,
                .detail = detail,
        };
        int r;

        r = job_set_step(j->db, j->id, &update, ret_cancel, reterr);
        if (r < 0)
                return left_if_ended(r, reterr);

        row->state = state;
        return 0;
}

/* --pause-at: what a test does to a worker, it does while the worker stands here. */
static void pause_at(const Job *j, const char *prefix, const char *name) {
        bool terminated = terminate_requested;
        const char *rest;

        if (!j->pause_at || j->claim.job->attempt > 1)
                return;

        rest = startswith(j->pause_at, prefix);
        if (rest && streq(rest, name)) {
                log_notice("Paused at %s, as --pause-at= asks for; SIGCONT resumes.", j->pause_at);
                (void) raise(SIGSTOP);
                /* One that learned from the records that it shall turn back stands here before PID 1 asks it to end, and has
                 * it continue for that. */
                if (!isempty(prefix) && terminate_requested && !terminated)
                        (void) raise(SIGSTOP);
        }
}

/* An engine that is stopped ends all containers first: what then fails fails because of that. */
static bool engine_is_to_blame(Job *j, usec_t begin, const Error *error) {
        if (streq_ptr(error->name, CCP_ERROR_ENGINE_UNAVAILABLE))
                return true;

        return (streq_ptr(error->name, CCP_ERROR_UNHEALTHY) ||
                               streq_ptr(error->name, CCP_ERROR_ENGINE_FAILED)) &&
                        job_engine_was_away(j, j->engine_active_since ?: begin);
}

/* The engine may have been restarted, between two steps or by what made a step fail. 'again': it was to blame for that. */
static int take_up_engine(Job *j, const StepOps *step, bool again, Error *reterr) {
        int r;

        j->keeps_running = (step->flags & STEP_KEEPS_RUNNING) && job_instance(j) &&
                        j->claim.job->state_before == INSTANCE_RUNNING;
        if (!(step->flags & STEP_ENGINE))
                return 0;
        r = again ? job_engine_wait(j, ENGINE_PATIENCE_USEC, reterr) : 0;
        return r < 0 ? r : job_engine_look(j, reterr);
}

static int refuse_cancelled(Error *reterr) {
        return error_setf(reterr, CCP_ERROR_CANCELLED, "The job was cancelled.");
}

static int run_with_engine(Job *j, const StepOps *step, Error *reterr) {
        unsigned n_lost = 0;
        bool again = false;
        int r;

        for (unsigned n = 0;; n++) {
                usec_t begin = now(CLOCK_MONOTONIC);
                _cleanup_error_ Error error = {};
                bool lost;

                r = take_up_engine(j, step, again, reterr);
                if (r < 0) {
                        j->keeps_running = false;
                        return r;
                }

                j->output_lost = false;
                r = step->run(j, &error);
                j->keeps_running = false;
                if (r >= 0)
                        return r;
                lost = j->output_lost && n_lost++ < LOST_RETRIES;
                if (!(step->flags & STEP_ENGINE) || n >= ENGINE_RETRIES ||
                                (!lost && !engine_is_to_blame(j, begin, &error)))
                        return job_archive_note_step(j, r, &error, reterr);

                log_info("%s: waiting for the engine: %s", step->name, strempty(error.message));
                if (lost && job_sleep(j, LOST_DELAY_USEC) < 0)
                        return refuse_cancelled(reterr);
                again = true;
        }
}

static bool wants_undo(const Job *j, const StepOps *step) {
        InstanceState before = j->claim.job->state_before;

        return step->undo && (before == INSTANCE_STOPPED || !(step->flags & STEP_UNDO_IF_STOPPED)) &&
                        (before == INSTANCE_RUNNING || !(step->flags & STEP_UNDO_IF_RUNNING));
}

static int try_step(Job *j, const StepOps *step, StepRecord *row, Error *reterr) {
        bool cancel = false;
        int r, k;

        job_set_range(j, 0, 1);
        j->detail = mfree(j->detail);

        if (!row->undo && wants_undo(j, step)) {
                r = job_undo_new(j, step->undo, &row->undo);
                if (r < 0)
                        return error_set_errnof(reterr, r, "Could not record how to undo: %m");
        }

        r = set_row(j, row, STEP_RUNNING, NULL, &cancel, reterr);
        if (r < 0)
                return r;
        if (cancel && !j->committed)
                return refuse_cancelled(reterr);

        pause_at(j, "", step->name);
        if (step->flags & STEP_COMMIT)
                j->committed = true;

        r = run_with_engine(j, step, reterr);
        if (r == -ECANCELED || r == JOB_LEFT)
                return r;
        if (r < 0) {
                _cleanup_error_ Error error = {};

                /* The step's own failure is the one that counts. */
                k = set_row(j, row, STEP_FAILED, reterr->message, NULL, &error);
                return IN_SET(k, -ECANCELED, JOB_LEFT) || streq_ptr(error.name, CCP_ERROR_BUSY) ? k : r;
        }

        r = set_row(j, row, r > 0 ? STEP_SKIPPED : STEP_DONE, j->detail, &cancel, reterr);
        if (r < 0)
                return r;

        return cancel && !j->committed ? refuse_cancelled(reterr) : 0;
}

static int run_step(Job *j, const StepOps *step, Error *reterr) {
        const JobStep *known = job_kind_steps(j->claim.job->kind, NULL);
        StepRecord *row = find_row(j, step->name);
        int i = job_kind_find_step(j->claim.job->kind, step->name);
        usec_t begin = now(CLOCK_MONOTONIC);
        int r;

        if (!row || i < 0)
                return error_setf(reterr, CCP_ERROR_INTERNAL, "The job has no step '%s'.", step->name);

        if (IN_SET(row->state, STEP_DONE, STEP_SKIPPED) && !(step->flags & STEP_MEMORY)) {
                j->committed = j->committed || (step->flags & STEP_COMMIT);
                return 0;
        }

        progress_begin_step(&j->progress, (size_t) i, known[i].title);
        do {
                _cleanup_error_ Error error = {};

                r = try_step(j, step, row, &error);
                if (r < 0)
                        r = job_judge(j, r, j->committed, &error);
                if (r < 0)
                        error_move(reterr, &error);
        } while (r > 0);

        if (r >= 0)
                log_info("%s: %s%s%s (%s)", known[i].title, step_state_to_string(row->state),
                                j->detail ? ": " : "", strempty(j->detail),
                                FORMAT_TIMESPAN(now(CLOCK_MONOTONIC) - begin));
        return r;
}

static int run_steps(Job *j, Error *reterr) {
        const JobRecord *job = j->claim.job;
        int r;

        if (job->attempt > JOB_ATTEMPTS_MAX)
                return error_setf(reterr, CCP_ERROR_INTERNAL,
                                "The job's worker died %u times%s%s. The journal tells more: "
                                "journalctl CCP_JOB=%s",
                                job->attempt - 1, job->error_message ? ", the last time: " : "",
                                strempty(job->error_message), j->id_text);
        if (!job_instance(j) && !j->ops->without_instance)
                return error_setf(
                                reterr, CCP_ERROR_NO_SUCH_INSTANCE, "The instance '%s' is gone.", job->slug);

        do {
                _cleanup_error_ Error error = {};

                r = j->ops->prepare ? j->ops->prepare(j, &error) : 0;
                if (r < 0)
                        r = job_judge(j, r, false, &error);
                if (r < 0)
                        error_move(reterr, &error);
        } while (r > 0);

        for (size_t i = 0; r >= 0 && i < j->ops->n_steps; i++)
                r = run_step(j, j->ops->steps + i, reterr);

        return r;
}

static int finish(Job *j, JobState state, const Error *cause, StoreEnd end, InstanceState instance_state) {
        const StoreFinish f = {
                .job = j->id,
                .state = state,
                .error_name = cause ? cause->name : NULL,
                .error_message = cause ? cause->message : NULL,
                .end = job_instance(j) || end == STORE_END_ASIDE ? end : STORE_END_KEEP,
                .instance_state = instance_state,
        };
        int r;

        do {
                _cleanup_error_ Error error = {};

                r = job_finish(j->db, &f, &error);
                if (r < 0)
                        r = job_judge(j, r, true, &error);
                if (r < 0 && r != JOB_LEFT)
                        log_error("Could not record the end of the job: %s", strempty(error.message));
        } while (r > 0);
        if (r < 0)
                return r;

        if (state == JOB_SUCCEEDED)
                log_info("The job succeeded.");
        else if (state == JOB_CANCELLED)
                log_notice("The job was cancelled.");
        else
                log_error("The job failed: %s", cause ? strempty(cause->message) : "");
        return 0;
}

static int undo_row(Job *j, StepRecord *row, Error *reterr) {
        usec_t delay = USEC_PER_SEC;
        int r;

        r = set_row(j, row, STEP_UNDOING, NULL, NULL, reterr);
        if (r < 0)
                return r;
        pause_at(j, "undo-", row->name);
        j->detail = mfree(j->detail);

        for (unsigned n = 0;; n++) {
                _cleanup_error_ Error error = {};

                j->undo_is_last = n >= UNDO_RETRIES;
                r = job_undo_run(j, row->undo, &error);
                if (r >= 0)
                        break;
                if (streq_ptr(error.name, CCP_ERROR_ENGINE_UNAVAILABLE)) {
                        r = job_engine_wait(j, USEC_INFINITY, reterr);
                        if (r < 0)
                                return r;
                        n = 0;
                        continue;
                }
                if (r == -ECANCELED || n >= UNDO_RETRIES) {
                        error_move(reterr, &error);
                        return r;
                }

                log_warning("Undoing %s failed, trying again: %s", row->name, strempty(error.message));
                job_tell(j, -1, "Undoing failed, trying again: %s", strempty(error.message));
                r = job_sleep(j, delay);
                if (r < 0)
                        return r;
                delay = MIN(delay * 2, UNDO_DELAY_MAX_USEC);
        }

        r = set_row(j, row, STEP_UNDONE, j->detail, NULL, reterr);
        j->detail = mfree(j->detail);
        return r;
}

/* Undoes the steps, the last one first. ret_begun: whether any had begun. */
static int undo_rows(Job *j, bool cancelled, bool *ret_begun, Error *reterr) {
        const JobStep *known = job_kind_steps(j->claim.job->kind, NULL);
        bool begun = false;
        int r = 0;

        for (size_t i = j->claim.job->n_steps; r >= 0 && i-- > 0;) {
                StepRecord *row = j->claim.job->steps + i;
                const StepOps *step = find_step(j, row->name);

                if (!step || IN_SET(row->state, STEP_PENDING, STEP_SKIPPED))
                        continue;
                begun = true;
                if (!row->undo || row->state == STEP_UNDONE ||
                                ((step->flags & STEP_UNDO_IF_CANCELLED) && !cancelled))
                        continue;

                log_info("Undoing: %s", known[i].title);
                job_tell(j, -1, "Undoing: %s", known[i].title);
                do {
                        _cleanup_error_ Error error = {};

                        r = undo_row(j, row, &error);
                        if (r < 0)
                                r = job_judge(j, r, true, &error);
                        if (r < 0)
                                error_move(reterr, &error);
                } while (r > 0);
        }
        if (r < 0)
                return r;

        *ret_begun = begun;
        return 0;
}

/* What ccpd did before the worker was there is undone by the release of the record. */
static int undo_daemon_rows(Job *j, Error *reterr) {
        size_t n;
        const JobStep *known = job_kind_steps(j->claim.job->kind, &n);
        int r;

        for (size_t i = n; i-- > 0;) {
                StepRecord *row = known[i].by_daemon ? find_row(j, known[i].name) : NULL;

                if (!row || row->state == STEP_UNDONE)
                        continue;

                do {
                        _cleanup_error_ Error error = {};

                        r = set_row(j, row, STEP_UNDONE, NULL, NULL, &error);
                        if (r < 0)
                                r = job_judge(j, r, true, &error);
                        if (r < 0)
                                error_move(reterr, &error);
                } while (r > 0);
                if (r < 0)
                        return r;
        }

        return 0;
}

/* Turns back, and ends the job as failed or cancelled with its cause. */
static int turn_back(Job *j, Error *cause) {
        bool cancelled = streq_ptr(cause->name, CCP_ERROR_CANCELLED), begun = false;
        JobState state = cancelled ? JOB_CANCELLED : JOB_FAILED;
        _cleanup_error_ Error undo_error = {};
        int r;

        do {
                _cleanup_error_ Error error = {};

                r = job_set_state(j->db, j->id, JOB_UNDOING, cause->name, cause->message, &error);
                if (r < 0)
                        r = left_if_ended(r, &error);
                if (r < 0)
                        r = job_judge(j, r, true, &error);
                if (r < 0 && r != JOB_LEFT)
                        log_error("Could not record that the job is undone: %s", strempty(error.message));
        } while (r > 0);
        if (r < 0)
                return r;

        j->claim.job->state = JOB_UNDOING;
        r = job_instance(j) || j->ops->without_instance ? undo_rows(j, cancelled, &begun, &undo_error) : 0;
        if (r >= 0 && j->ops->undone == STORE_END_RELEASE)
                r = undo_daemon_rows(j, &undo_error);
        if (r == JOB_LEFT)
                return r;
        if (r < 0 && j->ops->undone == STORE_END_ASIDE) {
                log_warning("Undoing failed, too: %s", strempty(undo_error.message));
                return finish(j, state, cause, STORE_END_ASIDE, INSTANCE_FAILED);
        }
        if (r < 0) {
                _cleanup_error_ Error both = {};

                error_setf(&both, cause->name,
                                j->ops->undone == STORE_END_RELEASE
                                                ? "%s Undoing it failed too, so what is left keeps its "
                                                  "name, "
                                                  "ports and subnet; delete the instance to try again: %s"
                                                : "%s Undoing it failed, too, and may have left something "
                                                  "behind: %s",
                                strempty(cause->message), strempty(undo_error.message));
                return finish(j, JOB_FAILED, &both, STORE_END_STATE, INSTANCE_FAILED);
        }

        if (begun && !cancelled && j->ops->fails_instance && !job_is_partial(j))
                return finish(j, state, cause, STORE_END_STATE,
                                instance_state_after(j->claim.job->kind, false));

        return finish(j, state, cause, j->ops->undone, INSTANCE_FAILED);
}

static int work(Job *j) {
        const JobRecord *job = j->claim.job;
        _cleanup_error_ Error error = {};
        int r;

        if (job->state == JOB_UNDOING) {
                log_notice("Going on with undoing.");
                error_setf(&error, error_name_intern(job->error_name), "%s",
                                job->error_message ?: "The job failed.");
                return turn_back(j, &error);
        }

        r = run_steps(j, &error);
        if (r == JOB_LEFT)
                return r;
        if (r < 0) {
                if (!error_is_set(&error))
                        error_set_errnof(&error, r, "The job failed: %m");
                log_warning("Turning back: %s", strempty(error.message));
                return turn_back(j, &error);
        }

        return finish(j, JOB_SUCCEEDED, NULL, job_is_partial(j) ? STORE_END_BEFORE : j->ops->end,
                        instance_state_after(job->kind, true));
}

/* Gets ready what everything, undoing too, needs. */
static int get_ready(Job *j) {
        const JobRecord *job = j->claim.job;
        _cleanup_error_ Error error = {};
        int r;

        if (job->kind < 0 || job->kind >= _JOB_KIND_MAX)
                return log_error_errno(EINVAL, "The job is of no kind that this program knows.");

        j->project = strjoin(job->slug, CCP_PROJECT_SUFFIX);
        j->directory = strjoin(j->instances_dir ?: CCP_INSTANCES_DIR, "/", job->slug);
        j->log_fields[0] = strjoin("CCP_JOB=", j->id_text);
        j->log_fields[1] = strjoin("CCP_INSTANCE=", job->slug);
        j->log_fields[2] = strjoin("CCP_ID=", job->instance);
        if (!j->project || !j->directory || !j->log_fields[0] || !j->log_fields[1] || !j->log_fields[2])
                return log_oom();
        log_set_context((const char *const *) j->log_fields);

        progress_init(&j->progress, NULL, j->id, job->kind);
        if (!j->ops)
                j->ops = job_ops[job->kind];
        j->claimed = true;

        r = job_engine_open(j, &error);
        if (r < 0)
                return log_full(LOG_ERR, r, "%s", strempty(error.message));

        return 0;
}

static int claim(Job *j) {
        const DbSyncOptions options = { .conninfo = j->conninfo, .wait = store_wait, .userdata = j };
        _cleanup_error_ Error error = {};
        int r;

        r = db_sync_open(&options, &j->db, &error);
        /* In an upgrade this program may be there before the daemon that brings the records up to date. */
        for (unsigned n = 0; r >= 0; n++) {
                error_done(&error);
                r = db_sync_check_schema(j->db, &error);
                if (r >= 0 || !streq_ptr(error.name, CCP_ERROR_STORE_UNAVAILABLE) || n >= SCHEMA_RETRIES)
                        break;
                r = job_sleep(j, USEC_PER_SEC);
        }
        for (unsigned n = 0; r >= 0; n++) {
                error_done(&error);
                r = job_claim(j->db, j->id, &j->claim, &error);
                if (r >= 0 || !streq_ptr(error.name, CCP_ERROR_BUSY) || n >= CLAIM_RETRIES)
                        break;
                r = job_sleep(j, USEC_PER_SEC);
        }
        if (r == -ECANCELED)
                return JOB_LEFT;
        if (r < 0 && streq_ptr(error.name, CCP_ERROR_WRONG_STATE)) {
                log_info("There is nothing to do: %s", error.message);
                return 0;
        }
        if (r < 0)
                return log_full(LOG_ERR, r, "Could not claim job %s: %s", j->id_text,
                                strempty(error.message));

        return 1;
}

int job_run(Job *j) {
        int r;

        r = claim(j);
        if (r == 0)
                (void) sd_notify(0, "READY=1");
        if (r <= 0)
                return r;

        r = get_ready(j);
        if (r < 0)
                return r;

        (void) sd_notify(0, "READY=1");
        log_info("Job %s: %s %s, attempt %u.", j->id_text, job_kind_to_string(j->claim.job->kind),
                        j->claim.job->slug, j->claim.job->attempt);
        r = work(j);
        progress_flush(&j->progress);
        return r;
}

/* The machine goes down, which is no fault of the job's. */
static int record_left(Job *j, const DbSyncOptions *options) {
        _cleanup_error_ Error error = {};
        int r;

        r = db_sync_open(options, &j->db, &error);
        if (r >= 0)
                r = job_mark_left(j->db, j->id, &error);
        if (r < 0)
                return log_full(LOG_WARNING, r, "Could not record that the worker was asked to end: %s",
                                strempty(error.message));

        return 0;
}

int job_record_crash(Job *j, const char *result, const char *code, const char *status) {
        const DbSyncOptions options = { .conninfo = j->conninfo, .patience = CRASH_PATIENCE_USEC };
        _cleanup_error_ Error error = {};
        _cleanup_free_ char *message = NULL;
        char instance[STORE_ID_MAX], field[STRLEN("CCP_ID=") + STORE_ID_MAX];
        unsigned attempt;
        int r;

        /* It ended in order: at the job's end, or leaving the job to a later attempt. */
        if (streq_ptr(result, "success"))
                return streq_ptr(code, "exited") && streq_ptr(status, STRINGIFY(JOB_EXIT_STOPPED))
                                ? record_left(j, &options)
                                : 0;

        if (asprintf(&message, "the worker ended with %s (%s %s)", strempty(result), strempty(code),
                            strempty(status)) < 0) {
                message = NULL;
                return log_oom();
        }

        r = db_sync_open(&options, &j->db, &error);
        if (r >= 0)
                r = job_mark_crashed(j->db, j->id, message, &attempt, instance, &error);
        if (r < 0)
                return log_full(LOG_WARNING, r, "Could not record that %s: %s", message,
                                strempty(error.message));
        if (r == 0)
                return 0;

        (void) snprintf(field, sizeof(field), "CCP_ID=%s", instance);
        (void) log_struct(LOG_WARNING, 0, ((const char *const[]) { field, NULL }), "Job %s, attempt %u: %s.",
                        j->id_text, attempt, message);

        return 0;
}
