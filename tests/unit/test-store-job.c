/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <errno.h>
#include <stdio.h>

#include "alloc-util.h"
#include "json-util.h"
#include "store-test.h"
#include "string-util.h"
#include "test.h"

static const AuditActor bob = { .uid = 4294967295U, .user = "bob", .login_uid = -1 };

static StoreJobCreate job_create(const char *instance, JobKind kind) {
        return (StoreJobCreate) {
                .instance = instance,
                .kind = kind,
                .actor = &bob,
        };
}

START_TEST(a_job_is_recorded_with_its_steps) {
        _cleanup_test_db_ TestDb t;
        _cleanup_test_outcome_ TestOutcome o = {};
        _cleanup_free_ char *id = NULL;
        _cleanup_json_ json_t *spec = json_pack("{s:[s]}", "services", "api");
        StoreJobCreate create;
        const JobStep *steps;
        uint64_t job;
        size_t n;

        test_db_open(&t, NULL);
        id = test_create_instance(&t, "oslo", &job);
        test_finish(&t, job, JOB_SUCCEEDED, INSTANCE_RUNNING);

        create = job_create(id, JOB_DELETE);
        create.spec = spec;
        TEST_STORE(&t, &o, store_create_job, test_on_created, &create);
        ck_assert_msg(o.r == 0, "%s", o.error.message);
        ck_assert_int_eq(o.instance->state, INSTANCE_DELETING);
        ck_assert_uint_ge(o.instance->state_changed_at, o.instance->created_at);
        ck_assert_int_eq(o.job->kind, JOB_DELETE);
        ck_assert_int_eq(o.job->state, JOB_QUEUED);
        ck_assert_int_eq(o.job->state_before, INSTANCE_RUNNING);
        ck_assert_str_eq(o.job->started_by, "bob");
        ck_assert_uint_eq(o.job->started_by_uid, 4294967295U);
        ck_assert(json_equal(o.job->spec, spec));
        steps = job_kind_steps(JOB_DELETE, &n);
        ck_assert_uint_eq(o.job->n_steps, n);
        for (size_t i = 0; i < n; i++) {
                ck_assert_str_eq(o.job->steps[i].name, steps[i].name);
                ck_assert_int_eq(o.job->steps[i].state, STEP_PENDING);
        }
}
END_TEST

START_TEST(one_job_at_a_time_works_on_an_instance) {
        _cleanup_test_db_ TestDb t;
        _cleanup_test_outcome_ TestOutcome o = {};
        _cleanup_free_ char *id = NULL, *other = NULL, *number = NULL;
        StoreJobCreate create;
        uint64_t job, other_job;

        test_db_open(&t, NULL);
        id = test_create_instance(&t, "oslo", &job);
        other = test_create_instance(&t, "bergen", &other_job);

        create = job_create(id, JOB_STOP);
        TEST_STORE(&t, &o, store_create_job, test_on_created, &create);
        ck_assert_int_eq(o.r, -EBUSY);
        ck_assert_str_eq(o.error.name, CCP_ERROR_BUSY);
        ck_assert_int_ge(asprintf(&number, "job %u (create)", (unsigned) job), 0);
        ck_assert_ptr_nonnull(strstr(o.error.message, number));
        ck_assert_ptr_nonnull(strstr(o.error.message, "'oslo'"));

        test_finish(&t, job, JOB_SUCCEEDED, INSTANCE_RUNNING);
        TEST_STORE(&t, &o, store_create_job, test_on_created, &create);
        ck_assert_int_eq(o.r, 0);
        /* The state does not change while it is being stopped. */
        ck_assert_int_eq(o.instance->state, INSTANCE_RUNNING);
}
END_TEST

START_TEST(states_that_do_not_allow_a_job_refuse_it) {
        _cleanup_test_db_ TestDb t;
        _cleanup_test_outcome_ TestOutcome o = {};
        _cleanup_free_ char *id = NULL;
        StoreJobCreate create;
        uint64_t job;

        test_db_open(&t, NULL);
        id = test_create_instance(&t, "oslo", &job);
        test_finish(&t, job, JOB_SUCCEEDED, INSTANCE_STOPPED);

        create = job_create(id, JOB_RESTART);
        TEST_STORE(&t, &o, store_create_job, test_on_created, &create);
        ck_assert_int_eq(o.r, -ESTALE);
        ck_assert_str_eq(o.error.name, CCP_ERROR_WRONG_STATE);
        ck_assert_ptr_nonnull(strstr(o.error.message, "'stopped'"));
        ASSERT_QUERY(t.conninfo, "SELECT count(*) FROM jobs", "1");

        create = job_create("00000000-1111-2222-3333-444444444444", JOB_RESTART);
        TEST_STORE(&t, &o, store_create_job, test_on_created, &create);
        ck_assert_int_eq(o.r, -ENOENT);
        ck_assert_str_eq(o.error.name, CCP_ERROR_NO_SUCH_INSTANCE);
        create = job_create("nonsense'; --", JOB_RESTART);
        TEST_STORE(&t, &o, store_create_job, test_on_created, &create);
        ck_assert_str_eq(o.error.name, CCP_ERROR_NO_SUCH_INSTANCE);
}
END_TEST

START_TEST(many_who_ask_at_once_get_one_job) {
        enum { N = 8 };
        static TestOutcome outcomes[N];
        _cleanup_free_ char *conninfo = test_postgres_new_database(), *id = NULL;
        unsigned n_ok = 0;
        StoreJobCreate create;
        TestDb all[N];
        uint64_t job;

        test_db_open(all, conninfo);
        for (unsigned i = 1; i < N; i++)
                test_db_open_beside(all + i, all);
        id = test_create_instance(all, "oslo", &job);
        test_finish(all, job, JOB_SUCCEEDED, INSTANCE_RUNNING);

        create = job_create(id, JOB_RESTART);
        for (unsigned i = 0; i < N; i++)
                ASSERT_OK(store_create_job(all[i].db, &create, test_on_created, outcomes + i, NULL, NULL));
        for (unsigned i = 0; i < N; i++)
                TEST_DB_WAIT(all, outcomes[i].done);
        for (unsigned i = 0; i < N; i++) {
                if (outcomes[i].r == 0)
                        n_ok++;
                else
                        ck_assert_str_eq(outcomes[i].error.name, CCP_ERROR_BUSY);
                test_outcome_done(outcomes + i);
                test_db_close(all + i);
        }
        ck_assert_uint_eq(n_ok, 1);
}
END_TEST

START_TEST(a_cancelled_job_is_marked) {
        _cleanup_test_db_ TestDb t;
        _cleanup_test_outcome_ TestOutcome o = {};
        uint64_t job;

        test_db_open(&t, NULL);
        free(test_create_instance(&t, "oslo", &job));
        TEST_STORE(&t, &o, store_cancel_job, test_on_job, job, &test_actor);
        ck_assert_int_eq(o.r, 0);
        ck_assert(o.job->cancel_requested);
        ck_assert_int_eq(o.job->state, JOB_QUEUED);
        TEST_STORE(&t, &o, store_cancel_job, test_on_job, job, &test_actor);
        ck_assert_int_eq(o.r, 0);

        test_finish(&t, job, JOB_CANCELLED, INSTANCE_FAILED);
        TEST_STORE(&t, &o, store_cancel_job, test_on_job, job, &test_actor);
        ck_assert_int_eq(o.r, -ESTALE);
        ck_assert_str_eq(o.error.name, CCP_ERROR_WRONG_STATE);
        ck_assert_ptr_nonnull(strstr(o.error.message, "was cancelled"));

        TEST_STORE(&t, &o, store_cancel_job, test_on_job, job + 4711, &test_actor);
        ck_assert_int_eq(o.r, -ENOENT);
        ck_assert_str_eq(o.error.name, CCP_ERROR_NO_SUCH_JOB);
}
END_TEST

START_TEST(the_end_of_a_job_decides_over_its_instance) {
        _cleanup_test_db_ TestDb t;
        _cleanup_test_outcome_ TestOutcome o = {};
        _cleanup_free_ char *id = NULL;
        StoreFinish finish;
        StoreJobCreate create;
        uint64_t job;

        test_db_open(&t, NULL);
        id = test_create_instance(&t, "oslo", &job);

        /* A failure leaves its reason with both. */
        finish = (StoreFinish) {
                .job = job,
                .state = JOB_FAILED,
                .error_name = CCP_ERROR_UNHEALTHY,
                .error_message = "The service 'api' is not healthy.",
                .end = STORE_END_STATE,
                .instance_state = INSTANCE_FAILED,
        };
        TEST_STORE(&t, &o, store_finish_job, test_on_job, &finish);
        ck_assert_int_eq(o.r, 0);
        ck_assert_int_eq(o.job->state, JOB_FAILED);
        ck_assert_str_eq(o.job->error_name, CCP_ERROR_UNHEALTHY);
        ck_assert_uint_gt(o.job->finished_at, 0);
        ck_assert_int_eq(o.job->steps[0].state, STEP_DONE);
        ck_assert_int_eq(o.job->steps[4].state, STEP_SKIPPED);
        TEST_STORE(&t, &o, store_load_instance, test_on_instance, id);
        ck_assert_int_eq(o.instance->state, INSTANCE_FAILED);
        ck_assert_uint_gt(o.instance->state_changed_at, o.instance->created_at);
        ck_assert_uint_ge(o.instance->updated_at, o.instance->state_changed_at);
        ck_assert_str_eq(o.instance->error_name, CCP_ERROR_UNHEALTHY);
        ck_assert_str_eq(o.instance->error_message, "The service 'api' is not healthy.");

        /* Who reads that it ended reads what became of the instance. */
        TEST_STORE(&t, &o, store_load_job, test_on_loaded_job, job);
        ck_assert_int_eq(o.job->state, JOB_FAILED);
        ck_assert_str_eq(o.instance->id, id);
        ck_assert_int_eq(o.instance->state, INSTANCE_FAILED);

        /* What is at its end stays so. */
        finish.state = JOB_SUCCEEDED;
        TEST_STORE(&t, &o, store_finish_job, test_on_job, &finish);
        ck_assert_int_eq(o.r, 0);
        ck_assert_int_eq(o.job->state, JOB_FAILED);

        /* A delete that gives up leaves the state that it found. */
        create = job_create(id, JOB_DELETE);
        TEST_STORE(&t, &o, store_create_job, test_on_created, &create);
        ck_assert_int_eq(o.instance->state, INSTANCE_DELETING);
        job = o.job->id;
        TEST_STORE(&t, &o, store_load_job, test_on_loaded_job, job);
        ck_assert_int_eq(o.job->state, JOB_QUEUED);
        ck_assert_ptr_null(o.instance);
        finish = (StoreFinish) { .job = o.job->id, .state = JOB_CANCELLED, .end = STORE_END_BEFORE };
        TEST_STORE(&t, &o, store_finish_job, test_on_job, &finish);
        TEST_STORE(&t, &o, store_load_instance, test_on_instance, id);
        ck_assert_int_eq(o.instance->state, INSTANCE_FAILED);
        ck_assert_ptr_null(o.instance->error_name);

        /* Released, everything is free again; the job stays. */
        TEST_STORE(&t, &o, store_create_job, test_on_created, &create);
        finish = (StoreFinish) { .job = o.job->id, .state = JOB_SUCCEEDED, .end = STORE_END_RELEASE };
        TEST_STORE(&t, &o, store_finish_job, test_on_job, &finish);
        ck_assert_int_eq(o.job->state, JOB_SUCCEEDED);
        ck_assert_str_eq(o.job->slug, "oslo");
        job = o.job->id;
        TEST_STORE(&t, &o, store_load_job, test_on_loaded_job, job);
        ck_assert_int_eq(o.job->state, JOB_SUCCEEDED);
        ck_assert_ptr_null(o.instance);
        TEST_STORE(&t, &o, store_load_instance, test_on_instance, id);
        ck_assert_int_eq(o.r, 0);
        ck_assert_ptr_null(o.instance);
        ASSERT_QUERY(t.conninfo,
                        "SELECT (SELECT count(*) FROM ports) + (SELECT count(*) FROM subnets) + "
                        "(SELECT count(*) FROM secrets)",
                        "0");

        finish.job = 4711;
        TEST_STORE(&t, &o, store_finish_job, test_on_job, &finish);
        ck_assert_str_eq(o.error.name, CCP_ERROR_NO_SUCH_JOB);
}
END_TEST

/* A job that waits for its turn. */
static uint64_t create_waiting(TestDb *t, const char *id) {
        _cleanup_test_outcome_ TestOutcome o = {};
        StoreJobCreate create = job_create(id, JOB_BACKUP);

        create.waits = true;
        TEST_STORE(t, &o, store_create_job, test_on_created, &create);
        ck_assert_msg(o.r == 0, "%s", o.error.message);
        ck_assert_int_eq(o.job->state, JOB_WAITING);
        return o.job->id;
}

/* A job that holds the instance, and is not at its end. */
static uint64_t create_active(TestDb *t, const char *id, JobKind kind) {
        _cleanup_test_outcome_ TestOutcome o = {};
        StoreJobCreate create = job_create(id, kind);

        TEST_STORE(t, &o, store_create_job, test_on_created, &create);
        ck_assert_msg(o.r == 0, "%s", o.error.message);
        return o.job->id;
}

START_TEST(everything_is_loaded_for_a_start) {
        _cleanup_test_db_ TestDb t;
        _cleanup_test_outcome_ TestOutcome o = {};
        _cleanup_free_ char *answer = NULL;
        _cleanup_free_ char *id = NULL;
        uint64_t first;

        test_db_open(&t, NULL);
        free(test_create_instance(&t, "oslo", &first));
        id = test_create_instance(&t, "bergen", NULL);
        free(test_postgres_query(t.conninfo, "UPDATE instances SET state = 'running'"));
        (void) create_waiting(&t, id);
        answer = test_postgres_query(t.conninfo,
                        "INSERT INTO jobs (instance, slug, kind, state, state_before, started_by, "
                        "started_by_uid, finished_at) SELECT gen_random_uuid(), 'gone', 'stop', "
                        "'succeeded', "
                        "'running', 'root', 0, now() FROM generate_series(1, 300)");
        TEST_STORE(&t, &o, store_load, test_on_contents);
        ck_assert_int_eq(o.r, 0);
        ck_assert_uint_eq(o.contents->instances.n, 2);
        ck_assert_str_eq(o.contents->instances.items[0]->slug, "bergen");
        /* The three that are not at their end, and the last ones, in their order */
        ck_assert_uint_eq(o.contents->jobs.n, JOB_OBJECTS_MAX + 3);
        ck_assert_uint_eq(o.contents->jobs.items[0]->id, first);
        ck_assert_int_eq(o.contents->jobs.items[2]->state, JOB_WAITING);
        for (size_t i = 1; i < o.contents->jobs.n; i++)
                ck_assert_uint_gt(o.contents->jobs.items[i]->id, o.contents->jobs.items[i - 1]->id);
        ck_assert_uint_eq(o.contents->settings->job_concurrency, JOB_CONCURRENCY_DEFAULT);
}
END_TEST

START_TEST(jobs_are_listed_by_filter_and_page) {
        _cleanup_test_db_ TestDb t;
        _cleanup_test_outcome_ TestOutcome o = {};
        _cleanup_free_ char *id = NULL;
        StoreJobFilter any = { .state = _JOB_STATE_INVALID, .kind = _JOB_KIND_INVALID, .limit = 100 },
                       filter;
        StoreJobCreate create;
        uint64_t job;

        test_db_open(&t, NULL);
        free(test_create_instance(&t, "bergen", NULL));
        id = test_create_instance(&t, "oslo", &job);
        test_finish(&t, job, JOB_SUCCEEDED, INSTANCE_RUNNING);
        create = job_create(id, JOB_STOP);
        TEST_STORE(&t, &o, store_create_job, test_on_created, &create);

        TEST_STORE(&t, &o, store_list_jobs, test_on_jobs, &any);
        ck_assert_uint_eq(o.jobs.n, 3);
        ck_assert_int_eq(o.jobs.items[0]->kind, JOB_STOP);
        ck_assert_str_eq(o.jobs.items[2]->slug, "bergen");
        ck_assert_uint_eq(o.jobs.items[2]->n_steps, 13);

        filter = any;
        filter.instance = "oslo";
        TEST_STORE(&t, &o, store_list_jobs, test_on_jobs, &filter);
        ck_assert_uint_eq(o.jobs.n, 2);
        filter.state = JOB_SUCCEEDED;
        TEST_STORE(&t, &o, store_list_jobs, test_on_jobs, &filter);
        ck_assert_uint_eq(o.jobs.n, 1);
        ck_assert_uint_eq(o.jobs.items[0]->id, job);
        filter.kind = JOB_STOP;
        TEST_STORE(&t, &o, store_list_jobs, test_on_jobs, &filter);
        ck_assert_uint_eq(o.jobs.n, 0);

        filter = any;
        filter.offset = 1;
        filter.limit = 1;
        TEST_STORE(&t, &o, store_list_jobs, test_on_jobs, &filter);
        ck_assert_uint_eq(o.jobs.n, 1);
        ck_assert_uint_eq(o.jobs.items[0]->id, job);
        filter.offset = UINT64_MAX;
        TEST_STORE(&t, &o, store_list_jobs, test_on_jobs, &filter);
        ck_assert_uint_eq(o.jobs.n, 0);

        TEST_STORE(&t, &o, store_load_job, test_on_loaded_job, job);
        ck_assert_uint_eq(o.job->id, job);
        TEST_STORE(&t, &o, store_load_job, test_on_loaded_job, (uint64_t) 4711);
        ck_assert_int_eq(o.r, 0);
        ck_assert_ptr_null(o.job);
}
END_TEST

/* The row of the only instance, as text. */
#define ASSERT_UPKEEP(t, text)                                                                            \
        ASSERT_QUERY((t)->conninfo,                                                                       \
                        "SELECT state || ' ' || stopped_services::text || ' ' || recovery_reason || ' ' " \
                        "|| "                                                                             \
                        "recovery_attempts FROM instances",                                               \
                        text)

static void run_job(TestDb *t, const char *id, JobKind kind, const char *spec, RecoveryReason reason,
                unsigned attempt, StoreFinish finish) {
        _cleanup_json_ json_t *json = spec ? json_loads(spec, 0, NULL) : NULL;
        _cleanup_test_outcome_ TestOutcome o = {};
        StoreJobCreate create = job_create(id, kind);

        create.spec = json;
        create.reason = reason;
        create.attempt = attempt;
        TEST_STORE(t, &o, store_create_job, test_on_created, &create);
        ASSERT_OK(o.r);
        finish.job = o.job->id;
        TEST_STORE(t, &o, store_finish_job, test_on_job, &finish);
        ASSERT_OK(o.r);
}

static char *create_running(TestDb *t, const char *slug) {
        uint64_t job;
        char *id = test_create_instance(t, slug, &job);

        test_finish(t, job, JOB_SUCCEEDED, INSTANCE_RUNNING);
        return id;
}

START_TEST(what_is_stopped_on_purpose_stays_so) {
        static const StoreFinish done = { .state = JOB_SUCCEEDED, .end = STORE_END_BEFORE },
                                 failed = { .state = JOB_FAILED, .end = STORE_END_BEFORE };
        _cleanup_test_db_ TestDb t;
        _cleanup_free_ char *id = NULL;

        test_db_open(&t, NULL);
        id = create_running(&t, "oslo");
        run_job(&t, id, JOB_STOP, "{\"services\":[\"web\",\"db\"]}", RECOVERY_NONE, 0, done);
        ASSERT_UPKEEP(&t, "running {db,web} none 0");
        run_job(&t, id, JOB_STOP, "{\"services\":[\"web\"]}", RECOVERY_NONE, 0, done);
        ASSERT_UPKEEP(&t, "running {db,web} none 0");
        run_job(&t, id, JOB_STOP, "{\"services\":[\"x\"]}", RECOVERY_NONE, 0, failed);
        ASSERT_UPKEEP(&t, "running {db,web} none 0");
        run_job(&t, id, JOB_RESTART, NULL, RECOVERY_NONE, 0, done);
        ASSERT_UPKEEP(&t, "running {db,web} none 0");
        run_job(&t, id, JOB_START, "{\"reason\":\"boot\"}", RECOVERY_BOOT, 1, done);
        ASSERT_UPKEEP(&t, "running {db,web} none 0");
        run_job(&t, id, JOB_RESTART, "{\"services\":[\"web\"]}", RECOVERY_NONE, 0, done);
        ASSERT_UPKEEP(&t, "running {db} none 0");
        run_job(&t, id, JOB_STOP, NULL, RECOVERY_NONE, 0, done);
        ASSERT_UPKEEP(&t, "running {db} none 0");
        run_job(&t, id, JOB_START, NULL, RECOVERY_NONE, 0, done);
        ASSERT_UPKEEP(&t, "running {} none 0");
}
END_TEST

START_TEST(attempts_to_bring_back_are_counted) {
        static const StoreFinish done = { .state = JOB_SUCCEEDED, .end = STORE_END_BEFORE },
                                 failed = {
                                         .state = JOB_FAILED,
                                         .error_name = CCP_ERROR_UNHEALTHY,
                                         .error_message = "It is unwell.",
                                         .end = STORE_END_STATE,
                                         .instance_state = INSTANCE_FAILED,
                                 };
        _cleanup_test_db_ TestDb t;
        _cleanup_free_ char *id = NULL;

        test_db_open(&t, NULL);
        id = create_running(&t, "oslo");
        run_job(&t, id, JOB_START, "{\"reason\":\"boot\"}", RECOVERY_BOOT, 1, failed);
        ASSERT_UPKEEP(&t, "failed {} boot 1");
        run_job(&t, id, JOB_START, "{\"reason\":\"boot\"}", RECOVERY_BOOT, 2, failed);
        ASSERT_UPKEEP(&t, "failed {} boot 2");
        run_job(&t, id, JOB_START, "{\"reason\":\"boot\"}", RECOVERY_BOOT, 3, done);
        ASSERT_UPKEEP(&t, "failed {} none 0");
        /* What was put right may have to be again. */
        run_job(&t, id, JOB_START, "{\"reason\":\"drift\"}", RECOVERY_DRIFT, 1, done);
        ASSERT_UPKEEP(&t, "failed {} drift 1");
        /* Whoever does something with it begins anew. */
        run_job(&t, id, JOB_RESTART, NULL, RECOVERY_NONE, 0, failed);
        ASSERT_UPKEEP(&t, "failed {} none 0");
}
END_TEST

START_TEST(a_job_that_waits_leaves_its_instance_to_others) {
        _cleanup_test_db_ TestDb t;
        _cleanup_test_outcome_ TestOutcome o = {};
        _cleanup_free_ char *id = NULL;
        StoreJobCreate create;
        uint64_t waiting, restart;
        size_t n;

        test_db_open(&t, NULL);
        id = create_running(&t, "oslo");
        waiting = create_waiting(&t, id);
        TEST_STORE(&t, &o, store_load_job, test_on_loaded_job, waiting);
        (void) job_kind_steps(JOB_BACKUP, &n);
        ck_assert_uint_eq(o.job->n_steps, n);
        ck_assert_uint_gt(o.job->queued_at, 0);
        ck_assert_uint_eq(o.job->turn_at, o.job->queued_at);
        ASSERT_QUERY(t.conninfo, "SELECT count(*) FROM ccpd_audit.entries WHERE action = 'BACKUP_CREATE'",
                        "1");

        /* One of them at a time. */
        create = job_create(id, JOB_BACKUP);
        create.waits = true;
        TEST_STORE(&t, &o, store_create_job, test_on_created, &create);
        ck_assert_int_eq(o.r, -EBUSY);
        ck_assert_ptr_nonnull(strstr(o.error.message, "(backup) waits for its turn on 'oslo'"));

        /* Whatever has the instance meanwhile, it waits on. */
        restart = create_active(&t, id, JOB_RESTART);
        TEST_STORE(&t, &o, store_admit_job, test_on_created, waiting);
        ck_assert_int_eq(o.r, 0);
        ck_assert_int_eq(o.job->state, JOB_WAITING);
        test_finish(&t, restart, JOB_SUCCEEDED, INSTANCE_RUNNING);

        free(test_postgres_query(
                        t.conninfo, "UPDATE jobs SET state_before = 'failed' WHERE state = 'waiting'"));
        TEST_STORE(&t, &o, store_admit_job, test_on_created, waiting);
        ck_assert_msg(o.r == 0, "%s", o.error.message);
        ck_assert_uint_eq(o.job->id, waiting);
        ck_assert_int_eq(o.job->state, JOB_QUEUED);
        ck_assert_uint_gt(o.job->turn_at, o.job->queued_at);
        ck_assert_int_eq(o.job->state_before, INSTANCE_RUNNING);
        ck_assert_str_eq(o.instance->slug, "oslo");
        /* Said twice, it is so once. */
        TEST_STORE(&t, &o, store_admit_job, test_on_created, waiting);
        ck_assert_int_eq(o.r, 0);
        ck_assert_int_eq(o.job->state, JOB_QUEUED);

        /* Now the instance has its one job; another one may wait behind it. */
        create = job_create(id, JOB_RESTART);
        TEST_STORE(&t, &o, store_create_job, test_on_created, &create);
        ck_assert_int_eq(o.r, -EBUSY);
        ck_assert_ptr_nonnull(strstr(o.error.message, "(backup) is at work on 'oslo'"));
        ck_assert_uint_gt(create_waiting(&t, id), waiting);

        TEST_STORE(&t, &o, store_admit_job, test_on_created, (uint64_t) 4711);
        ck_assert_str_eq(o.error.name, CCP_ERROR_NO_SUCH_JOB);
}
END_TEST

START_TEST(a_turn_that_comes_too_late_is_told) {
        static const struct {
                const char *sql, *error, *text;
        } cases[] = {
                { "UPDATE instances SET state = 'stopped'", CCP_ERROR_WRONG_STATE,
                                "'oslo' was stopped before its turn came. To back it up: ccpctl start oslo, "
                                "then "
                                "ccpctl backup create oslo" },
                { "UPDATE instances SET state = 'failed'", CCP_ERROR_WRONG_STATE, "it is failed." },
                { "DELETE FROM instances", CCP_ERROR_NO_SUCH_INSTANCE, "'oslo' was deleted before" },
        };
        _cleanup_test_db_ TestDb t;
        _cleanup_test_outcome_ TestOutcome o = {}, ended = {};
        _cleanup_free_ char *id = NULL;
        StoreFinish finish;
        uint64_t waiting;

        test_db_open(&t, NULL);
        id = create_running(&t, "oslo");
        waiting = create_waiting(&t, id);
        FOREACH_ARRAY(c, cases, ELEMENTSOF(cases)) {
                free(test_postgres_query(t.conninfo, c->sql));
                TEST_STORE(&t, &o, store_admit_job, test_on_created, waiting);
                ck_assert_int_lt(o.r, 0);
                ck_assert_str_eq(o.error.name, c->error);
                ck_assert_msg(strstr(o.error.message, c->text), "%s", o.error.message);
                ASSERT_QUERY(t.conninfo, "SELECT state FROM jobs WHERE kind = 'backup'", "waiting");
        }

        finish = (StoreFinish) {
                .job = waiting,
                .state = JOB_CANCELLED,
                .error_name = o.error.name,
                .error_message = o.error.message,
                .end = STORE_END_ASIDE,
        };
        TEST_STORE(&t, &ended, store_finish_job, test_on_job, &finish);
        ck_assert_int_eq(ended.r, 0);
        ck_assert_int_eq(ended.job->state, JOB_CANCELLED);
        ck_assert_str_eq(ended.job->error_name, CCP_ERROR_NO_SUCH_INSTANCE);
        ASSERT_QUERY(t.conninfo,
                        "SELECT string_agg(outcome, ' ' ORDER BY seq) FROM ccpd_audit.entries "
                        "WHERE action = 'BACKUP_CREATE'",
                        "accepted cancelled");
}
END_TEST

START_TEST(what_is_cancelled_gets_no_turn) {
        _cleanup_test_db_ TestDb t;
        _cleanup_test_outcome_ TestOutcome o = {};
        _cleanup_free_ char *id = NULL;
        uint64_t waiting;

        test_db_open(&t, NULL);
        id = create_running(&t, "oslo");
        waiting = create_waiting(&t, id);
        TEST_STORE(&t, &o, store_cancel_job, test_on_job, waiting, &test_actor);
        ck_assert_int_eq(o.r, 0);
        TEST_STORE(&t, &o, store_admit_job, test_on_created, waiting);
        ck_assert_int_eq(o.r, 0);
        ck_assert_int_eq(o.job->state, JOB_WAITING);
        ck_assert(o.job->cancel_requested);

        test_finish(&t, waiting, JOB_CANCELLED, INSTANCE_RUNNING);
        TEST_STORE(&t, &o, store_admit_job, test_on_created, waiting);
        ck_assert_int_eq(o.r, 0);
        ck_assert_int_eq(o.job->state, JOB_CANCELLED);
}
END_TEST

START_TEST(the_last_backup_is_that_which_had_its_turn_last) {
        _cleanup_test_db_ TestDb t;
        _cleanup_test_outcome_ TestOutcome o = {};
        _cleanup_free_ char *id = NULL;
        uint64_t waiting, other;

        test_db_open(&t, NULL);
        id = create_running(&t, "oslo");
        waiting = create_waiting(&t, id);
        other = create_active(&t, id, JOB_BACKUP);
        test_finish(&t, other, JOB_FAILED, INSTANCE_RUNNING);
        TEST_STORE(&t, &o, store_load_instance, test_on_instance, id);
        ck_assert_int_eq(o.instance->backups.last_job.state, JOB_FAILED);

        TEST_STORE(&t, &o, store_admit_job, test_on_created, waiting);
        test_finish(&t, waiting, JOB_SUCCEEDED, INSTANCE_RUNNING);
        TEST_STORE(&t, &o, store_load_instance, test_on_instance, id);
        ck_assert_int_eq(o.instance->backups.last_job.state, JOB_SUCCEEDED);

        other = create_active(&t, id, JOB_BACKUP);
        test_finish(&t, other, JOB_FAILED, INSTANCE_RUNNING);
        TEST_STORE(&t, &o, store_load_instance, test_on_instance, id);
        ck_assert_int_eq(o.instance->backups.last_job.state, JOB_FAILED);
}
END_TEST

START_TEST(settings_are_kept) {
        _cleanup_test_db_ TestDb t;
        _cleanup_test_outcome_ TestOutcome o = {};
        _cleanup_error_ Error error = {};
        _cleanup_json_ json_t *changes = json_pack("{s:i, s:s, s:s}", "job_concurrency", 7, "subnet_pool",
                                              "10.9.0.0/16", "port_range_debug", "20000-20099"),
                              *reset = json_pack("{s:n, s:s}", "job_concurrency", "bind_address", "0.0.0.0"),
                              *bad = json_pack("{s:i, s:i}", "job_concurrency", 9, "nonsense", 1);

        test_db_open(&t, NULL);
        TEST_STORE(&t, &o, store_set_settings, test_on_settings, changes, &test_actor);
        ck_assert_int_eq(o.r, 0);
        ck_assert_uint_eq(o.settings->job_concurrency, 7);

        TEST_STORE(&t, &o, store_set_settings, test_on_settings, reset, &test_actor);
        ck_assert_int_eq(o.r, 0);
        ASSERT_ERROR(store_set_settings(t.db, bad, &test_actor, test_on_settings, &o, NULL, &error), EINVAL);
        ck_assert_str_eq(error.name, CCP_ERROR_INVALID_ARGUMENT);

        TEST_STORE(&t, &o, store_load, test_on_contents);
        ck_assert_uint_eq(o.contents->settings->job_concurrency, JOB_CONCURRENCY_DEFAULT);
        ck_assert_str_eq(o.contents->settings->bind_address, "0.0.0.0");
        ck_assert_str_eq(SUBNET_FORMAT(&o.contents->settings->subnet_pool), "10.9.0.0/16");
        ck_assert_uint_eq(o.contents->settings->n_port_ranges, 5);

        /* One that only another version knows is passed over; a value that nobody could have set is not. */
        free(test_postgres_query(t.conninfo, "INSERT INTO settings VALUES ('colour', '\"red\"')"));
        TEST_STORE(&t, &o, store_load, test_on_contents);
        ck_assert_int_eq(o.r, 0);
        free(test_postgres_query(t.conninfo, "INSERT INTO settings VALUES ('job_concurrency', '\"red\"')"));
        TEST_STORE(&t, &o, store_load, test_on_contents);
        ck_assert_int_eq(o.r, -EINVAL);
}
END_TEST

START_TEST(changes_are_notified_once_for_each_transaction) {
        _cleanup_test_db_ TestDb t;
        _cleanup_free_ char *id = NULL, *expected = NULL;
        uint64_t job;

        test_db_open(&t, NULL);
        id = test_create_instance(&t, "oslo", &job);
        ck_assert_int_ge(asprintf(&expected, "ccpd_instance %s\nccpd_job %u\n", id, (unsigned) job), 0);
        TEST_DB_WAIT(&t, t.n_notified >= 2);
        ck_assert_str_eq(t.notified, expected);

        t.notified[0] = 0;
        t.n_notified = 0;
        free(test_postgres_query(t.conninfo, "UPDATE job_steps SET detail = 'x' WHERE number = 5"));
        TEST_DB_WAIT(&t, t.n_notified >= 1);
        ck_assert_ptr_nonnull(startswith(t.notified, "ccpd_job "));

        t.notified[0] = 0;
        t.n_notified = 0;
        free(test_postgres_query(t.conninfo, "DELETE FROM instances"));
        TEST_DB_WAIT(&t, t.n_notified >= 1);
        ck_assert_ptr_nonnull(startswith(t.notified, "ccpd_instance "));
        ck_assert_ptr_nonnull(strstr(t.notified, id));
}
END_TEST

TESTS("store-job", a_job_is_recorded_with_its_steps, one_job_at_a_time_works_on_an_instance,
                states_that_do_not_allow_a_job_refuse_it, many_who_ask_at_once_get_one_job,
                a_cancelled_job_is_marked, the_end_of_a_job_decides_over_its_instance,
                everything_is_loaded_for_a_start, jobs_are_listed_by_filter_and_page,
                what_is_stopped_on_purpose_stays_so, attempts_to_bring_back_are_counted,
                a_job_that_waits_leaves_its_instance_to_others, a_turn_that_comes_too_late_is_told,
                what_is_cancelled_gets_no_turn, the_last_backup_is_that_which_had_its_turn_last,
                settings_are_kept, changes_are_notified_once_for_each_transaction)
