/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "store-worker.h"

#include <errno.h>

#include "alloc-util.h"
#include "json-util.h"
#include "store-internal.h"
#include "store-test.h"
#include "string-util.h"
#include "test.h"

/* An instance, the job that makes it, and a worker's connection. */
typedef struct Scene {
        TestDb t;
        DbSync *worker;
        char *id;
        uint64_t job;
} Scene;

static DbSync *open_worker(const char *conninfo) {
        DbSync *db = NULL;

        ASSERT_OK(db_sync_open(&(DbSyncOptions) { .conninfo = conninfo, .patience = 30 * USEC_PER_SEC }, &db,
                        NULL));
        return db;
}

static void scene_open(Scene *s) {
        *s = (Scene) {};
        test_db_open(&s->t, NULL);
        s->id = test_create_instance(&s->t, "oslo", &s->job);
        s->worker = open_worker(s->t.conninfo);
        ASSERT_OK(db_sync_check_schema(s->worker, NULL));
}

static void scene_close(Scene *s) {
        db_sync_free(s->worker);
        free(s->id);
        test_db_close(&s->t);
}

START_TEST(a_claim_gives_all_that_the_work_needs) {
        _cleanup_(scene_close) Scene s;
        _cleanup_job_claim_ JobClaim claim = {};

        scene_open(&s);
        ASSERT_OK(job_claim(s.worker, s.job, &claim, NULL));
        ck_assert_int_eq(claim.job->state, JOB_RUNNING);
        ck_assert_uint_eq(claim.job->attempt, 1);
        ck_assert_uint_gt(claim.job->started_at, 0);
        ck_assert_uint_eq(claim.job->n_steps, 13);
        ck_assert_str_eq(claim.instance->id, s.id);
        ck_assert_uint_eq(claim.instance->n_ports, 2);
        ck_assert_uint_eq(claim.secrets.n, 2);
        ck_assert_str_eq(claim.secrets.items[0].name, "POSTGRES_PASSWORD");
        ck_assert_uint_eq(claim.secrets.items[0].version, 1);
        ck_assert_str_eq(claim.secrets.items[0].key_id, "0123456789abcdef");
        ck_assert_uint_eq(claim.secrets.items[0].sealed_size, 8);
        ck_assert_mem_eq(claim.secrets.items[0].sealed, "\0sealed\xff", 8);
}
END_TEST

START_TEST(attempts_are_counted) {
        _cleanup_(scene_close) Scene s;

        scene_open(&s);
        for (unsigned i = 1; i <= 3; i++) {
                _cleanup_job_claim_ JobClaim claim = {};

                ASSERT_OK(job_claim(s.worker, s.job, &claim, NULL));
                ck_assert_uint_eq(claim.job->attempt, i);
                db_sync_free(s.worker);
                s.worker = open_worker(s.t.conninfo);
        }
}
END_TEST

START_TEST(what_can_not_be_claimed_is_told) {
        _cleanup_(scene_close) Scene s;
        _cleanup_job_claim_ JobClaim claim = {};
        _cleanup_error_ Error error = {};
        StoreFinish finish;

        scene_open(&s);
        ASSERT_ERROR(job_claim(s.worker, 4711, &claim, &error), ENOENT);
        ck_assert_str_eq(error.name, CCP_ERROR_NO_SUCH_JOB);

        free(test_postgres_query(s.t.conninfo, "UPDATE jobs SET state = 'waiting'"));
        error_done(&error);
        ASSERT_ERROR(job_claim(s.worker, s.job, &claim, &error), ESTALE);
        ck_assert_ptr_nonnull(strstr(error.message, "waits for its turn"));
        free(test_postgres_query(s.t.conninfo, "UPDATE jobs SET state = 'queued'"));

        finish = (StoreFinish) { .job = s.job, .state = JOB_SUCCEEDED };
        ASSERT_OK(job_finish(s.worker, &finish, NULL));
        error_done(&error);
        ASSERT_ERROR(job_claim(s.worker, s.job, &claim, &error), ESTALE);
        ck_assert_str_eq(error.name, CCP_ERROR_WRONG_STATE);
        ck_assert_ptr_nonnull(strstr(error.message, "succeeded"));
        ck_assert_ptr_null(claim.job);
}
END_TEST

START_TEST(steps_are_recorded) {
        _cleanup_(scene_close) Scene s;
        _cleanup_job_claim_ JobClaim claim = {};
        _cleanup_test_outcome_ TestOutcome o = {};
        _cleanup_error_ Error error = {};
        _cleanup_json_ json_t *undo = json_pack("{s:s}", "remove", "/var/lib/ccpd/instances/oslo");
        StepUpdate update = { .number = 5, .state = STEP_RUNNING, .undo = undo };
        bool cancel = true;

        scene_open(&s);
        ASSERT_OK(job_claim(s.worker, s.job, &claim, NULL));
        ASSERT_OK(job_set_step(s.worker, s.job, &update, &cancel, NULL));
        ck_assert(!cancel);
        TEST_STORE(&s.t, &o, store_load_job, test_on_loaded_job, s.job);
        ck_assert_int_eq(o.job->steps[4].state, STEP_RUNNING);
        ck_assert(json_equal(o.job->steps[4].undo, undo));
        ck_assert_uint_gt(o.job->steps[4].started_at, 0);
        ck_assert_uint_eq(o.job->steps[4].finished_at, 0);

        update = (StepUpdate) { .number = 5, .state = STEP_DONE, .detail = "3 files" };
        ASSERT_OK(job_set_step(s.worker, s.job, &update, NULL, NULL));
        TEST_STORE(&s.t, &o, store_load_job, test_on_loaded_job, s.job);
        ck_assert_int_eq(o.job->steps[4].state, STEP_DONE);
        ck_assert(json_equal(o.job->steps[4].undo, undo));
        ck_assert_str_eq(o.job->steps[4].detail, "3 files");
        ck_assert_uint_ge(o.job->steps[4].finished_at, o.job->steps[4].started_at);

        /* A cancel shows with the next step. */
        TEST_STORE(&s.t, &o, store_cancel_job, test_on_job, s.job, &test_actor);
        update.number = 6;
        ASSERT_OK(job_set_step(s.worker, s.job, &update, &cancel, NULL));
        ck_assert(cancel);
        cancel = false;
        ASSERT_OK(job_is_cancelled(s.worker, s.job, &cancel, NULL));
        ck_assert(cancel);

        update.number = 14;
        ASSERT_ERROR(job_set_step(s.worker, s.job, &update, NULL, &error), ENOENT);
        ck_assert_str_eq(error.name, CCP_ERROR_NO_SUCH_JOB);
}
END_TEST

START_TEST(undoing_keeps_the_reason) {
        _cleanup_(scene_close) Scene s;
        _cleanup_job_claim_ JobClaim claim = {};
        _cleanup_test_outcome_ TestOutcome o = {};

        scene_open(&s);
        ASSERT_OK(job_claim(s.worker, s.job, &claim, NULL));
        ASSERT_OK(job_set_state(s.worker, s.job, JOB_UNDOING, CCP_ERROR_ENGINE_FAILED, "It broke.", NULL));
        ASSERT_OK(job_set_state(s.worker, s.job, JOB_UNDOING, NULL, NULL, NULL));
        TEST_STORE(&s.t, &o, store_load_job, test_on_loaded_job, s.job);
        ck_assert_int_eq(o.job->state, JOB_UNDOING);
        ck_assert_str_eq(o.job->error_name, CCP_ERROR_ENGINE_FAILED);
        ck_assert_str_eq(o.job->error_message, "It broke.");

        /* Claimed again, it goes on undoing. */
        job_claim_done(&claim);
        ASSERT_OK(job_claim(s.worker, s.job, &claim, NULL));
        ck_assert_int_eq(claim.job->state, JOB_UNDOING);
        ck_assert_uint_eq(claim.job->attempt, 2);
}
END_TEST

START_TEST(an_attempt_that_was_none_is_not_counted) {
        _cleanup_(scene_close) Scene s;
        _cleanup_test_outcome_ TestOutcome o = {};
        _cleanup_job_claim_ JobClaim claim = {}, again = {};
        StoreFinish finish;

        scene_open(&s);
        /* None yet. */
        ASSERT_OK(job_mark_left(s.worker, s.job, NULL));
        ASSERT_OK(job_claim(s.worker, s.job, &claim, NULL));
        ck_assert_uint_eq(claim.job->attempt, 1);
        ASSERT_OK(job_mark_left(s.worker, s.job, NULL));
        ASSERT_OK(job_claim(s.worker, s.job, &again, NULL));
        ck_assert_uint_eq(again.job->attempt, 1);
        ck_assert_uint_gt(again.job->started_at, 0);

        finish = (StoreFinish) { .job = s.job, .state = JOB_SUCCEEDED, .end = STORE_END_STATE };
        ASSERT_OK(job_finish(s.worker, &finish, NULL));
        ASSERT_OK(job_mark_left(s.worker, s.job, NULL));
        TEST_STORE(&s.t, &o, store_load_job, test_on_loaded_job, s.job);
        ck_assert_uint_eq(o.job->attempt, 1);
        ASSERT_ERROR(job_mark_left(s.worker, 4711, NULL), ENOENT);
}
END_TEST

START_TEST(a_failed_create_releases_everything) {
        _cleanup_(scene_close) Scene s;
        _cleanup_test_outcome_ TestOutcome o = {};
        StoreFinish finish;

        scene_open(&s);
        finish = (StoreFinish) {
                .job = s.job,
                .state = JOB_FAILED,
                .error_name = CCP_ERROR_RENDER_FAILED,
                .error_message = "x",
                .end = STORE_END_RELEASE,
        };
        ASSERT_OK(job_finish(s.worker, &finish, NULL));
        ASSERT_OK(job_finish(s.worker, &finish, NULL));
        ASSERT_QUERY(s.t.conninfo, "SELECT count(*) FROM instances", "0");
        ASSERT_QUERY(s.t.conninfo, "SELECT count(*) FROM ports", "0");
        TEST_STORE(&s.t, &o, store_load_job, test_on_loaded_job, s.job);
        ck_assert_int_eq(o.job->state, JOB_FAILED);

        /* The slug can be had again. */
        free(test_create_instance(&s.t, "oslo", NULL));
}
END_TEST

START_TEST(a_crash_is_noted) {
        _cleanup_(scene_close) Scene s;
        _cleanup_test_outcome_ TestOutcome o = {};
        _cleanup_job_claim_ JobClaim claim = {};
        char instance[STORE_ID_MAX];
        unsigned attempt = 0;
        StoreFinish finish;

        scene_open(&s);
        ASSERT_OK(job_claim(s.worker, s.job, &claim, NULL));
        ck_assert_int_eq(job_mark_crashed(s.worker, s.job, "The worker was killed (SEGV).", &attempt,
                                         instance, NULL),
                        1);
        ck_assert_uint_eq(attempt, 1);
        ck_assert_str_eq(instance, claim.job->instance);
        TEST_STORE(&s.t, &o, store_load_job, test_on_loaded_job, s.job);
        ck_assert_int_eq(o.job->state, JOB_RUNNING);
        ck_assert_str_eq(o.job->error_name, CCP_ERROR_INTERNAL);
        ck_assert_str_eq(o.job->error_message, "The worker was killed (SEGV).");

        finish = (StoreFinish) { .job = s.job, .state = JOB_SUCCEEDED };
        ASSERT_OK(job_finish(s.worker, &finish, NULL));
        attempt = 4711;
        ck_assert_int_eq(job_mark_crashed(s.worker, s.job, "Too late.", &attempt, instance, NULL), 0);
        ck_assert_uint_eq(attempt, 4711);
        TEST_STORE(&s.t, &o, store_load_job, test_on_loaded_job, s.job);
        ck_assert_ptr_null(o.job->error_name);
        ASSERT_ERROR(job_mark_crashed(s.worker, 4711, "x", &attempt, instance, NULL), ENOENT);
}
END_TEST

START_TEST(revisions_follow_each_other) {
        _cleanup_(scene_close) Scene s;
        _cleanup_test_outcome_ TestOutcome o = {};
        _cleanup_json_ json_t *files = json_pack("{s:{s:s}}", "docker-compose.yml", "sha256", "abc");
        RevisionRecord revision = { .number = 1, .state = REVISION_RENDERED, .files = files };
        RevisionRecord *read = NULL;
        uint32_t next = 0;

        scene_open(&s);
        ASSERT_OK(revision_next(s.worker, s.id, &next, NULL));
        ck_assert_uint_eq(next, 1);
        ASSERT_OK(revision_put(s.worker, s.id, &revision, NULL));
        ASSERT_OK(revision_put(s.worker, s.id, &revision, NULL));
        ASSERT_OK(revision_activate(s.worker, s.id, 1, NULL));

        ASSERT_OK(revision_next(s.worker, s.id, &next, NULL));
        ck_assert_uint_eq(next, 2);
        revision.number = 2;
        ASSERT_OK(revision_put(s.worker, s.id, &revision, NULL));
        ASSERT_OK(revision_activate(s.worker, s.id, 2, NULL));
        ASSERT_OK(revision_activate(s.worker, s.id, 2, NULL));
        TEST_STORE(&s.t, &o, store_load_instance, test_on_instance, s.id);
        ck_assert_uint_eq(o.instance->revision, 2);

        ASSERT_OK(revision_get(s.worker, s.id, 1, &read, NULL));
        ck_assert_int_eq(read->state, REVISION_SUPERSEDED);
        ck_assert(json_equal(read->files, files));
        ck_assert_uint_eq(json_object_size(read->images), 0);
        read = revision_record_free(read);
        ASSERT_OK(revision_get(s.worker, s.id, 2, &read, NULL));
        ck_assert_int_eq(read->state, REVISION_ACTIVE);
        read = revision_record_free(read);

        ASSERT_ERROR(revision_activate(s.worker, s.id, 3, NULL), EIO);
        ASSERT_QUERY(s.t.conninfo, "SELECT count(*) FROM revisions WHERE state = 'active' AND number = 2",
                        "1");

        ASSERT_OK(revision_remove(s.worker, s.id, 1, NULL));
        ASSERT_OK(revision_remove(s.worker, s.id, 1, NULL));
        ASSERT_OK(revision_get(s.worker, s.id, 1, &read, NULL));
        ck_assert_ptr_null(read);
}
END_TEST

START_TEST(a_job_at_its_end_takes_no_step) {
        _cleanup_(scene_close) Scene s;
        _cleanup_error_ Error error = {};
        StepUpdate update = { .number = 5, .state = STEP_RUNNING };

        scene_open(&s);
        test_finish(&s.t, s.job, JOB_FAILED, INSTANCE_FAILED);
        ASSERT_ERROR(job_set_step(s.worker, s.job, &update, NULL, &error), ESTALE);
        ck_assert_str_eq(error.name, CCP_ERROR_WRONG_STATE);
        ck_assert_ptr_nonnull(strstr(error.message, "it failed"));
        error_done(&error);
        ASSERT_ERROR(job_set_state(s.worker, s.job, JOB_UNDOING, NULL, NULL, &error), ESTALE);
        ck_assert_str_eq(error.name, CCP_ERROR_WRONG_STATE);
        ASSERT_QUERY(s.t.conninfo, "SELECT state FROM job_steps WHERE number = 5", "skipped");
        ASSERT_QUERY(s.t.conninfo, "SELECT state FROM jobs", "failed");

        error_done(&error);
        ASSERT_ERROR(job_set_state(s.worker, 4711, JOB_UNDOING, NULL, NULL, &error), ENOENT);
        ck_assert_str_eq(error.name, CCP_ERROR_NO_SUCH_JOB);
}
END_TEST

START_TEST(nobody_else_ends_what_a_worker_works_on) {
        _cleanup_(scene_close) Scene s;
        _cleanup_test_outcome_ TestOutcome o = {};
        _cleanup_job_claim_ JobClaim claim = {};
        StoreFinish finish;

        scene_open(&s);
        ASSERT_OK(job_claim(s.worker, s.job, &claim, NULL));
        finish = (StoreFinish) { .job = s.job, .state = JOB_FAILED, .error_name = CCP_ERROR_INTERNAL };
        TEST_STORE(&s.t, &o, store_finish_job, test_on_job, &finish);
        ck_assert_int_eq(o.r, -EBUSY);
        ck_assert_str_eq(o.error.name, CCP_ERROR_BUSY);
        ASSERT_QUERY(s.t.conninfo, "SELECT state FROM jobs", "running");

        /* The worker itself can, and what is at its end can be asked for. */
        finish.state = JOB_SUCCEEDED;
        finish.error_name = NULL;
        ASSERT_OK(job_finish(s.worker, &finish, NULL));
        TEST_STORE(&s.t, &o, store_finish_job, test_on_job, &finish);
        ck_assert_int_eq(o.r, 0);
        ck_assert_int_eq(o.job->state, JOB_SUCCEEDED);
}
END_TEST

START_TEST(the_end_is_on_record_once) {
        _cleanup_(scene_close) Scene s;
        StoreFinish finish;

        scene_open(&s);
        finish = (StoreFinish) { .job = s.job, .state = JOB_FAILED, .error_name = CCP_ERROR_UNHEALTHY };
        ASSERT_OK(job_finish(s.worker, &finish, NULL));
        ASSERT_OK(job_finish(s.worker, &finish, NULL));
        ASSERT_QUERY(s.t.conninfo,
                        "SELECT string_agg(concat_ws(' ', action, outcome, instance, user_name, uid, job, "
                        "error_name), ',' ORDER BY seq) FROM ccpd_audit.entries",
                        "INSTANCE_CREATE accepted oslo alice 1000 1,"
                        "INSTANCE_CREATE failed oslo alice 1000 1 " CCP_ERROR_UNHEALTHY);
}
END_TEST

START_TEST(an_end_that_was_committed_unheard_is_told_once) {
        _cleanup_(scene_close) Scene s;
        StoreFinishOp op;

        /* As DbSync does it when the connection is lost in COMMIT. */
        scene_open(&s);
        op = (StoreFinishOp) { .finish = { .job = s.job, .state = JOB_SUCCEEDED } };
        ASSERT_OK(db_sync_run(s.worker, &store_finish_transaction, &op, NULL));
        ck_assert_ptr_nonnull(op.audit);
        store_finish_transaction.reset(&op);
        ASSERT_OK(db_sync_run(s.worker, &store_finish_transaction, &op, NULL));
        ck_assert(op.ended);
        ck_assert_ptr_nonnull(op.audit);
        ck_assert_uint_eq(op.audit->seq, 2);
        store_finish_op_done(&op);

        /* What another process ended is that one's to tell. */
        op = (StoreFinishOp) { .finish = { .job = s.job, .state = JOB_SUCCEEDED } };
        ASSERT_OK(db_sync_run(s.worker, &store_finish_transaction, &op, NULL));
        ck_assert_ptr_null(op.audit);
        store_finish_op_done(&op);
}
END_TEST

START_TEST(a_job_without_an_end_on_record_does_not_end) {
        _cleanup_(scene_close) Scene s;
        _cleanup_error_ Error error = {};
        StoreFinish finish;

        scene_open(&s);
        test_postgres_tamper(s.t.conninfo, "REVOKE EXECUTE ON FUNCTION ccpd_audit.finish FROM ccpd");
        finish = (StoreFinish) { .job = s.job, .state = JOB_SUCCEEDED };
        ASSERT_ERROR(job_finish(s.worker, &finish, &error), EHOSTDOWN);
        ck_assert_str_eq(error.name, CCP_ERROR_STORE_UNAVAILABLE);
        ck_assert_ptr_nonnull(strstr(error.message, "ccp-setup --database"));
        ASSERT_QUERY(s.t.conninfo, "SELECT state FROM jobs", "queued");
}
END_TEST

START_TEST(work_goes_on_over_a_crash_of_the_server) {
        _cleanup_(scene_close) Scene s;
        _cleanup_job_claim_ JobClaim claim = {};
        _cleanup_test_outcome_ TestOutcome o = {};
        StepUpdate update = { .number = 5, .state = STEP_RUNNING };
        StoreFinish finish;

        scene_open(&s);
        ASSERT_OK(job_claim(s.worker, s.job, &claim, NULL));
        test_postgres_kill();
        test_postgres_restart();
        ASSERT_OK(job_set_step(s.worker, s.job, &update, NULL, NULL));
        test_postgres_kill();
        test_postgres_restart();
        finish = (StoreFinish) { .job = s.job,
                .state = JOB_SUCCEEDED,
                .end = STORE_END_STATE,
                .instance_state = INSTANCE_RUNNING };
        ASSERT_OK(job_finish(s.worker, &finish, NULL));

        TEST_DB_WAIT(&s.t, s.t.n_available >= 2);
        TEST_STORE(&s.t, &o, store_load_job, test_on_loaded_job, s.job);
        ck_assert_int_eq(o.job->state, JOB_SUCCEEDED);
        ck_assert_uint_eq(o.job->attempt, 1);
        ck_assert_int_eq(o.job->steps[4].state, STEP_FAILED);
}
END_TEST

TESTS("store-worker", a_claim_gives_all_that_the_work_needs, attempts_are_counted,
                what_can_not_be_claimed_is_told, steps_are_recorded, undoing_keeps_the_reason,
                a_failed_create_releases_everything, an_attempt_that_was_none_is_not_counted,
                a_crash_is_noted, revisions_follow_each_other, a_job_at_its_end_takes_no_step,
                nobody_else_ends_what_a_worker_works_on, the_end_is_on_record_once,
                an_end_that_was_committed_unheard_is_told_once, a_job_without_an_end_on_record_does_not_end,
                work_goes_on_over_a_crash_of_the_server)
