/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The frame of a worker, over records that are kept in this file: it defines all that store-worker.c and
 * db-sync.c define, so the linker takes neither of them. */

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>

#include "alloc-util.h"
#include "fd-util.h"
#include "fs-util.h"
#include "job-folder.h"
#include "job-undo.h"
#include "job.h"
#include "json-util.h"
#include "log.h"
#include "string-util.h"
#include "test.h"

#define ID "11111111-2222-4333-8444-555555555555"

/* --- the records --- */

static struct {
        JobKind kind;
        JobState state;
        InstanceState before;
        unsigned attempt;
        bool cancel, busy;
        unsigned other_schema; /* this often the schema is another version's */
        StepState steps[JOB_STEPS_MAX];
        json_t *undo[JOB_STEPS_MAX];
        char *error_name, *error_message;

        bool finished;
        StoreEnd end;
        InstanceState instance_state;

        StringBuilder trace; /* "running:folder done:folder …" */
} store;

static void trace(const char *what, const char *which) {
        string_builder_appendf(&store.trace, "%s%s:%s", store.trace.size > 0 ? " " : "", what, which);
}

static const char *take_trace(void) {
        static char text[4096];

        (void) snprintf(text, sizeof(text), "%s", strempty(store.trace.data));
        string_builder_done(&store.trace);
        return text;
}

struct DbSync {
        int dummy;
};

int db_sync_open(const DbSyncOptions *options _unused_, DbSync **ret, Error *reterr _unused_) {
        *ret = new0(DbSync, 1);
        return 0;
}

DbSync *db_sync_free(DbSync *db) {
        return mfree(db);
}

int db_sync_run(DbSync *db _unused_, const DbTransaction *t _unused_, void *userdata _unused_,
                Error *reterr _unused_) {
        return -EIO;
}

int db_sync_lock_job(DbSync *db _unused_, uint64_t job _unused_, Error *reterr _unused_) {
        return 0;
}

int db_sync_check_schema(DbSync *db _unused_, Error *reterr) {
        if (store.other_schema == 0)
                return 0;

        store.other_schema--;
        return error_setf(reterr, CCP_ERROR_STORE_UNAVAILABLE, "The records have another schema.");
}

int db_sync_migrate(DbSync *db _unused_, Error *reterr _unused_) {
        return 0;
}

void job_claim_done(JobClaim *c) {
        c->job = job_record_free(c->job);
        c->instance = instance_record_free(c->instance);
}

int job_claim(DbSync *db _unused_, uint64_t id, JobClaim *ret, Error *reterr) {
        const JobStep *steps;
        size_t n;

        if (job_state_is_final(store.state))
                return error_setf(reterr, CCP_ERROR_WRONG_STATE, "The job is at its end.");

        if (store.state == JOB_QUEUED)
                store.state = JOB_RUNNING;
        store.attempt++;

        *ret = (JobClaim) { .job = new0(JobRecord, 1), .instance = new0(InstanceRecord, 1) };
        ret->job->id = id;
        (void) snprintf(ret->job->instance, sizeof(ret->job->instance), "%s", ID);
        (void) snprintf(ret->instance->id, sizeof(ret->instance->id), "%s", ID);
        ret->job->slug = strdup("alpha");
        ret->instance->slug = strdup("alpha");
        ret->instance->engine = strdup("compose");
        ret->job->kind = store.kind;
        ret->job->state = store.state;
        ret->job->state_before = store.before;
        ret->job->attempt = store.attempt;
        ret->job->cancel_requested = store.cancel;
        ret->job->error_name = store.error_name ? strdup(store.error_name) : NULL;
        ret->job->error_message = store.error_message ? strdup(store.error_message) : NULL;

        steps = job_kind_steps(store.kind, &n);
        ret->job->steps = new0(StepRecord, n);
        ret->job->n_steps = n;
        for (size_t i = 0; i < n; i++)
                ret->job->steps[i] = (StepRecord) {
                        .number = (unsigned) i + 1,
                        .name = strdup(steps[i].name),
                        .state = store.steps[i],
                        .undo = json_incref(store.undo[i]),
                };
        return 0;
}

int job_set_step(DbSync *db _unused_, uint64_t id _unused_, const StepUpdate *u, bool *ret_cancel,
                Error *reterr) {
        size_t i = u->number - 1;

        if (store.busy)
                return error_setf(reterr, CCP_ERROR_BUSY, "Another process has the job.");
        if (job_state_is_final(store.state))
                return error_setf(reterr, CCP_ERROR_WRONG_STATE, "The job is at its end.");

        store.steps[i] = u->state;
        if (u->undo) {
                json_decref(store.undo[i]);
                store.undo[i] = json_incref((json_t *) u->undo);
        }
        trace(step_state_to_string(u->state), job_kind_steps(store.kind, NULL)[i].name);
        if (ret_cancel)
                *ret_cancel = store.cancel;
        return 0;
}

int job_set_state(DbSync *db _unused_, uint64_t id _unused_, JobState state, const char *name,
                const char *message, Error *reterr) {
        if (job_state_is_final(store.state))
                return error_setf(reterr, CCP_ERROR_WRONG_STATE, "The job is at its end.");

        store.state = state;
        ASSERT_OK(free_and_strdup(&store.error_name, name));
        ASSERT_OK(free_and_strdup(&store.error_message, message));
        return 0;
}

int job_is_cancelled(DbSync *db _unused_, uint64_t id _unused_, bool *ret, Error *reterr _unused_) {
        *ret = store.cancel;
        return 0;
}

int job_finish(DbSync *db _unused_, const StoreFinish *f, Error *reterr _unused_) {
        ck_assert(!store.finished);
        store.finished = true;
        store.state = f->state;
        store.end = f->end;
        store.instance_state = f->instance_state;
        ASSERT_OK(free_and_strdup(&store.error_name, f->error_name));
        ASSERT_OK(free_and_strdup(&store.error_message, f->error_message));
        return 0;
}

int job_mark_crashed(DbSync *db _unused_, uint64_t id _unused_, const char *message, unsigned *ret_attempt,
                char ret_instance[static STORE_ID_MAX], Error *reterr _unused_) {
        if (job_state_is_final(store.state))
                return 0;

        ASSERT_OK(free_and_strdup(&store.error_message, message));
        *ret_attempt = store.attempt;
        (void) snprintf(ret_instance, STORE_ID_MAX, "%s", "00000000-0000-4000-8000-000000000000");
        return 1;
}

int job_mark_left(DbSync *db _unused_, uint64_t id _unused_, Error *reterr _unused_) {
        store.attempt--;
        return 0;
}

int revision_next(DbSync *db _unused_, const char *i _unused_, uint32_t *ret, Error *reterr _unused_) {
        *ret = 1;
        return 0;
}

int revision_put(DbSync *db _unused_, const char *i _unused_, const RevisionRecord *r _unused_,
                Error *reterr _unused_) {
        return 0;
}

int revision_activate(
                DbSync *db _unused_, const char *i _unused_, uint32_t n _unused_, Error *reterr _unused_) {
        return 0;
}

int revision_get(DbSync *db _unused_, const char *i _unused_, uint32_t n _unused_, RevisionRecord **ret,
                Error *reterr _unused_) {
        *ret = NULL;
        return 0;
}

int revision_remove(
                DbSync *db _unused_, const char *i _unused_, uint32_t n _unused_, Error *reterr _unused_) {
        return 0;
}

/* --- steps --- */

static const char *fail_at, *signal_at, *cancel_at, *die_at, *end_at;
static char top[64];

static int act(Job *j, const char *name, Error *reterr) {
        trace("act", name);
        if (die_at && streq(die_at, name))
                return JOB_LEFT;
        if (end_at && streq(end_at, name))
                store.state = JOB_FAILED;
        if (fail_at && streq(fail_at, name))
                return error_setf(reterr, CCP_ERROR_ENGINE_FAILED, "The step %s failed.", name);
        if (cancel_at && streq(cancel_at, name))
                store.cancel = true;
        if (signal_at && streq(signal_at, name)) {
                signal_at = NULL;
                (void) raise(SIGTERM);
                return job_checkpoint(j) < 0 ? error_setf(reterr, CCP_ERROR_CANCELLED, "Interrupted.") : 0;
        }
        return 0;
}

#define STEP(name)                                     \
        static int run_##name(Job *j, Error *reterr) { \
                return act(j, #name, reterr);          \
        }                                              \
        struct _require_semicolon_
STEP(source);
STEP(context);
STEP(render);
STEP(containers);
STEP(record);

static int run_folder(Job *j, Error *reterr) {
        int r;

        r = act(j, "folder", reterr);
        return r < 0 ? r : job_folder_make(j, reterr);
}

static const StepOps create_steps[] = {
        { "folder", run_folder, "remove-folder" },
        { "source", run_source, "remove-source" },
        { "context", run_context, NULL, STEP_MEMORY },
        { "render", run_render, "remove-source" },
};
static const JobOps create_ops = {
        .steps = create_steps,
        .n_steps = ELEMENTSOF(create_steps),
        .end = STORE_END_STATE,
        .undone = STORE_END_RELEASE,
};

static const StepOps delete_steps[] = {
        { "containers", run_containers, NULL, STEP_COMMIT },
        { "folder", run_folder, NULL, STEP_COMMIT },
        { "record", run_record, NULL, STEP_COMMIT },
};
static const JobOps delete_ops = {
        .steps = delete_steps,
        .n_steps = ELEMENTSOF(delete_steps),
        .end = STORE_END_RELEASE,
        .undone = STORE_END_BEFORE,
        .fails_instance = true,
};

static void begin(JobKind kind) {
        size_t n;
        const JobStep *steps = job_kind_steps(kind, &n);

        store = (__typeof__(store)) { .kind = kind, .state = JOB_QUEUED, .before = INSTANCE_RUNNING };
        for (size_t i = 0; i < n; i++)
                store.steps[i] = steps[i].by_daemon ? STEP_DONE : STEP_PENDING;
        fail_at = signal_at = cancel_at = die_at = end_at = NULL;
        log_set_target(LOG_TARGET_NULL);
        ASSERT_OK(job_install_signals());
        (void) snprintf(top, sizeof(top), "/tmp/test-job.XXXXXX");
        ck_assert_ptr_nonnull(mkdtemp(top));
}

static void end(void) {
        _cleanup_close_ int tmp_fd = -EBADF;

        for (size_t i = 0; i < JOB_STEPS_MAX; i++)
                json_decref(store.undo[i]);
        store.error_name = mfree(store.error_name);
        store.error_message = mfree(store.error_message);
        string_builder_done(&store.trace);
        tmp_fd = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        ASSERT_OK(tmp_fd);
        ASSERT_OK(rm_rf_at(tmp_fd, top + STRLEN("/tmp/")));
}

static int attempt(void) {
        _cleanup_job_ Job j;

        job_init(&j, 5);
        j.instances_dir = top;
        j.ops = store.kind == JOB_CREATE ? &create_ops : &delete_ops;
        return job_run(&j);
}

START_TEST(each_step_is_recorded_as_running_before_it_acts_and_done_after) {
        begin(JOB_CREATE);
        ASSERT_OK(attempt());
        ck_assert_str_eq(take_trace(),
                        "running:folder act:folder done:folder "
                        "running:source act:source done:source "
                        "running:context act:context done:context "
                        "running:render act:render done:render");
        ck_assert(store.finished);
        ck_assert_int_eq(store.state, JOB_SUCCEEDED);
        ck_assert_int_eq(store.end, STORE_END_STATE);
        ck_assert_int_eq(store.instance_state, INSTANCE_RUNNING);
        ck_assert_ptr_null(store.error_name);
        end();
}
END_TEST

START_TEST(what_undoes_a_step_is_recorded_with_all_that_it_needs) {
        json_t *undo;

        begin(JOB_CREATE);
        ASSERT_OK(attempt());
        undo = store.undo[job_kind_find_step(JOB_CREATE, "folder")];
        ck_assert_str_eq(json_object_get_string(undo, "action"), "remove-folder");
        ck_assert_str_eq(json_object_get_string(undo, "instance"), ID);
        ck_assert_str_eq(json_object_get_string(undo, "project"), "alpha_ccp");
        end();
}
END_TEST

START_TEST(an_attempt_goes_on_at_the_first_step_that_is_not_done) {
        begin(JOB_CREATE);
        die_at = "render";
        ck_assert_int_eq(attempt(), JOB_LEFT);
        (void) take_trace();

        die_at = NULL;
        ASSERT_OK(attempt());
        /* The values of the templates were lost with the process. */
        ck_assert_str_eq(take_trace(),
                        "running:context act:context done:context "
                        "running:render act:render done:render");
        ck_assert_int_eq(store.state, JOB_SUCCEEDED);
        end();
}
END_TEST

START_TEST(a_step_that_fails_turns_the_job_back_and_its_error_stays) {
        begin(JOB_CREATE);
        fail_at = "render";
        ASSERT_OK(attempt());
        ck_assert_str_eq(take_trace(),
                        "running:folder act:folder done:folder "
                        "running:source act:source done:source "
                        "running:context act:context done:context "
                        "running:render act:render failed:render "
                        "undoing:render undone:render undoing:source undone:source "
                        "undoing:folder undone:folder "
                        "undone:record undone:secrets undone:allocate undone:validate");
        ck_assert_int_eq(store.state, JOB_FAILED);
        ck_assert_int_eq(store.end, STORE_END_RELEASE);
        ck_assert_str_eq(store.error_name, CCP_ERROR_ENGINE_FAILED);
        ck_assert_str_eq(store.error_message, "The step render failed.");
        end();
}
END_TEST

START_TEST(a_cancel_that_was_asked_for_is_noticed_before_a_step_acts) {
        begin(JOB_CREATE);
        store.cancel = true;
        ASSERT_OK(attempt());
        ck_assert_str_eq(take_trace(),
                        "running:folder undoing:folder undone:folder "
                        "undone:record undone:secrets undone:allocate undone:validate");
        ck_assert_int_eq(store.state, JOB_CANCELLED);
        ck_assert_int_eq(store.end, STORE_END_RELEASE);
        ck_assert_str_eq(store.error_name, CCP_ERROR_CANCELLED);
        end();
}
END_TEST

START_TEST(a_cancel_during_the_last_step_is_noticed_at_its_end) {
        begin(JOB_CREATE);
        cancel_at = "render";
        ASSERT_OK(attempt());
        ck_assert_int_eq(store.state, JOB_CANCELLED);
        ck_assert_int_eq(store.end, STORE_END_RELEASE);
        ck_assert_int_eq(store.steps[job_kind_find_step(JOB_CREATE, "render")], STEP_UNDONE);
        end();
}
END_TEST

START_TEST(a_signal_with_a_cancel_turns_the_job_back_and_is_not_heard_again) {
        begin(JOB_CREATE);
        signal_at = cancel_at = "source";
        ASSERT_OK(attempt());
        ck_assert_str_eq(take_trace(),
                        "running:folder act:folder done:folder running:source act:source "
                        "undoing:source undone:source undoing:folder undone:folder "
                        "undone:record undone:secrets undone:allocate undone:validate");
        ck_assert_int_eq(store.state, JOB_CANCELLED);
        end();
}
END_TEST

START_TEST(a_signal_without_a_cancel_leaves_the_job_as_it_is) {
        begin(JOB_CREATE);
        signal_at = "source";
        ck_assert_int_eq(attempt(), JOB_LEFT);
        ck_assert(!store.finished);
        ck_assert_int_eq(store.state, JOB_RUNNING);
        ck_assert_int_eq(store.steps[job_kind_find_step(JOB_CREATE, "source")], STEP_RUNNING);
        end();
}
END_TEST

/* What PID 1 does when the machine goes down, as often as it does. */
START_TEST(to_be_asked_to_end_is_no_attempt) {
        for (unsigned asked_by_pid1 = 0; asked_by_pid1 < 2; asked_by_pid1++) {
                begin(JOB_CREATE);
                for (unsigned i = 0; i <= JOB_ATTEMPTS_MAX; i++) {
                        _cleanup_job_ Job j, finish;

                        signal_at = "source";
                        job_init(&j, 5);
                        j.instances_dir = top;
                        j.ops = &create_ops;
                        if (job_run(&j) != JOB_LEFT) {
                                ck_assert(!asked_by_pid1);
                                break;
                        }
                        ck_assert(j.stopped);

                        /* A worker that runs for too long is asked to end too. */
                        job_init(&finish, 5);
                        ASSERT_OK(job_record_crash(&finish, asked_by_pid1 ? "success" : "timeout", "exited",
                                        STRINGIFY(JOB_EXIT_STOPPED)));
                }
                ck_assert_int_eq(store.state, asked_by_pid1 ? JOB_RUNNING : JOB_FAILED);
                ck_assert_uint_eq(store.attempt, asked_by_pid1 ? 0 : JOB_ATTEMPTS_MAX + 1);
                end();
        }
}
END_TEST

START_TEST(too_many_attempts_turn_the_job_back) {
        begin(JOB_CREATE);
        die_at = "source";
        for (unsigned i = 0; i < JOB_ATTEMPTS_MAX; i++)
                ck_assert_int_eq(attempt(), JOB_LEFT);
        (void) take_trace();
        store.error_message = strdup("the worker ended with signal");

        ASSERT_OK(attempt());
        ck_assert_str_eq(take_trace(),
                        "undoing:source undone:source undoing:folder undone:folder "
                        "undone:record undone:secrets undone:allocate undone:validate");
        ck_assert_int_eq(store.state, JOB_FAILED);
        ck_assert_ptr_nonnull(strstr(store.error_message, "died 3 times"));
        ck_assert_ptr_nonnull(strstr(store.error_message, "the worker ended with signal"));
        end();
}
END_TEST

START_TEST(a_worker_that_died_while_it_undid_goes_on_with_undoing) {
        begin(JOB_CREATE);
        die_at = "source";
        ck_assert_int_eq(attempt(), JOB_LEFT);
        (void) take_trace();
        die_at = NULL;
        store.state = JOB_UNDOING;
        store.error_name = strdup(CCP_ERROR_UNHEALTHY);
        store.error_message = strdup("The service web is unhealthy.");
        store.steps[job_kind_find_step(JOB_CREATE, "source")] = STEP_UNDOING;

        ASSERT_OK(attempt());
        ck_assert_str_eq(take_trace(),
                        "undoing:source undone:source undoing:folder undone:folder "
                        "undone:record undone:secrets undone:allocate undone:validate");
        ck_assert_int_eq(store.state, JOB_FAILED);
        ck_assert_str_eq(store.error_name, CCP_ERROR_UNHEALTHY);
        ck_assert_str_eq(store.error_message, "The service web is unhealthy.");
        end();
}
END_TEST

START_TEST(whoever_lost_the_job_to_another_touches_nothing_more) {
        begin(JOB_CREATE);
        store.busy = true;
        ck_assert_int_eq(attempt(), JOB_LEFT);
        ck_assert_str_eq(take_trace(), "");
        ck_assert(!store.finished);
        end();
}
END_TEST

START_TEST(a_job_at_its_end_is_nothing_to_do) {
        begin(JOB_CREATE);
        store.state = JOB_SUCCEEDED;
        ASSERT_OK(attempt());
        ck_assert_str_eq(take_trace(), "");
        end();
}
END_TEST

START_TEST(what_can_not_be_undone_goes_on_although_it_is_cancelled) {
        begin(JOB_DELETE);
        die_at = "folder";
        ck_assert_int_eq(attempt(), JOB_LEFT);
        (void) take_trace();

        die_at = NULL;
        store.cancel = true;
        ASSERT_OK(attempt());
        ck_assert_str_eq(take_trace(),
                        "running:folder act:folder done:folder "
                        "running:record act:record done:record");
        ck_assert_int_eq(store.state, JOB_SUCCEEDED);
        ck_assert_int_eq(store.end, STORE_END_RELEASE);
        end();
}
END_TEST

START_TEST(a_delete_that_is_cancelled_in_time_leaves_the_instance_as_it_was) {
        begin(JOB_DELETE);
        store.cancel = true;
        ASSERT_OK(attempt());
        ck_assert_int_eq(store.state, JOB_CANCELLED);
        ck_assert_int_eq(store.end, STORE_END_BEFORE);
        end();
}
END_TEST

START_TEST(a_delete_that_fails_leaves_the_instance_failed) {
        begin(JOB_DELETE);
        fail_at = "containers";
        ASSERT_OK(attempt());
        ck_assert_int_eq(store.state, JOB_FAILED);
        ck_assert_int_eq(store.end, STORE_END_STATE);
        ck_assert_int_eq(store.instance_state, INSTANCE_FAILED);
        end();
}
END_TEST

START_TEST(an_undo_about_another_instance_is_refused) {
        _cleanup_json_ json_t *record = json_pack("{s:s, s:s, s:s}", "action", "remove-folder", "slug",
                        "alpha", "instance", "99999999-2222-4333-8444-555555555555");
        _cleanup_error_ Error error = {};
        _cleanup_job_ Job j;

        begin(JOB_CREATE);
        job_init(&j, 5);
        ASSERT_OK(job_claim(NULL, 5, &j.claim, NULL));
        ck_assert_int_lt(job_undo_run(&j, record, &error), 0);
        ck_assert_str_eq(error.name, CCP_ERROR_INTERNAL);
        end();
}
END_TEST

START_TEST(a_worker_that_died_is_recorded_but_not_one_that_ended_in_order) {
        _cleanup_job_ Job j, k;

        begin(JOB_CREATE);
        store.state = JOB_RUNNING;
        job_init(&j, 5);
        ASSERT_OK(job_record_crash(&j, "success", "exited", "0"));
        ck_assert_ptr_null(store.error_message);
        job_init(&k, 5);
        ASSERT_OK(job_record_crash(&k, "signal", "killed", "KILL"));
        ck_assert_str_eq(store.error_message, "the worker ended with signal (killed KILL)");
        end();
}
END_TEST

START_TEST(a_job_that_somebody_else_ended_is_left_as_it_is) {
        begin(JOB_CREATE);
        end_at = "source";
        ck_assert_int_eq(attempt(), JOB_LEFT);
        ck_assert_str_eq(take_trace(), "running:folder act:folder done:folder running:source act:source");
        ck_assert(!store.finished);
        end();

        begin(JOB_CREATE);
        fail_at = end_at = "source";
        ck_assert_int_eq(attempt(), JOB_LEFT);
        ck_assert(!store.finished);
        end();
}
END_TEST

/* Before any that is ended by a signal, which lasts. */
START_TEST(another_schema_is_waited_for) {
        begin(JOB_DELETE);
        store.other_schema = 2;
        ASSERT_OK(attempt());
        ck_assert_uint_eq(store.other_schema, 0);
        ck_assert_int_eq(store.state, JOB_SUCCEEDED);
        end();
}
END_TEST

/* The last three: the signal stays noticed. */
TESTS("job", another_schema_is_waited_for, each_step_is_recorded_as_running_before_it_acts_and_done_after,
                what_undoes_a_step_is_recorded_with_all_that_it_needs,
                an_attempt_goes_on_at_the_first_step_that_is_not_done,
                a_step_that_fails_turns_the_job_back_and_its_error_stays,
                a_cancel_that_was_asked_for_is_noticed_before_a_step_acts,
                too_many_attempts_turn_the_job_back, a_worker_that_died_while_it_undid_goes_on_with_undoing,
                whoever_lost_the_job_to_another_touches_nothing_more, a_job_at_its_end_is_nothing_to_do,
                what_can_not_be_undone_goes_on_although_it_is_cancelled,
                a_delete_that_is_cancelled_in_time_leaves_the_instance_as_it_was,
                a_delete_that_fails_leaves_the_instance_failed, an_undo_about_another_instance_is_refused,
                a_worker_that_died_is_recorded_but_not_one_that_ended_in_order,
                a_cancel_during_the_last_step_is_noticed_at_its_end,
                a_signal_with_a_cancel_turns_the_job_back_and_is_not_heard_again,
                a_signal_without_a_cancel_leaves_the_job_as_it_is, to_be_asked_to_end_is_no_attempt,
                a_job_that_somebody_else_ended_is_left_as_it_is)
