/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "db.h"

#include <errno.h>
#include <stdio.h>

#include "alloc-util.h"
#include "db-row.h"
#include "postgres.h"
#include "store.h"
#include "string-util.h"
#include "test.h"

/* A request of this test, and what became of it. */
typedef struct Probe {
        DbTransaction transaction;
        DbStep steps[4];
        TestDb *t;
        unsigned n_done, n_destroyed, n_reset;
        int r;
        const char *name;
        char message[400];
        uint64_t value;
        bool value_valid;
        int fail_with; /* what the result function returns */
} Probe;

static int probe_result(const PGresult *result, void *userdata, Error *reterr) {
        Probe *p = userdata;
        DbRow row = DB_ROW(result, 0);

        if (p->fail_with < 0)
                return error_setf(reterr, CCP_ERROR_WRONG_STATE, "This will not do.");

        db_row_uint(&row, UINT64_MAX, &p->value);
        p->value_valid = db_row_end(&row) >= 0;
        return 0;
}

static void probe_reset(void *userdata) {
        Probe *p = userdata;

        p->n_reset++;
}

static void probe_done(int r, Error *error, void *userdata) {
        Probe *p = userdata;

        ck_assert((r < 0) == (error && error_is_set(error)));
        ck_assert_uint_eq(p->n_destroyed, 0);
        p->n_done++;
        p->r = r;
        if (error) {
                p->name = error->name;
                (void) snprintf(p->message, sizeof(p->message), "%s", error->message);
        }
}

static void probe_destroy(void *userdata) {
        Probe *p = userdata;

        p->n_destroyed++;
}

#define PROBE(db, a)                                                 \
        {                                                            \
                .t = (db),                                           \
                .steps = { { .sql = (a), .result = probe_result } }, \
                .transaction = { .what = "try this", .n_steps = 1 }, \
        }
#define PROBE_READ(db, a)                                                                \
        {                                                                                \
                .t = (db),                                                               \
                .steps = { { .sql = (a), .result = probe_result } },                     \
                .transaction = { .what = "read this", .n_steps = 1, .read_only = true }, \
        }

static int probe_request(Probe *p, DbSlot **ret_slot, Error *reterr) {
        p->transaction.steps = p->steps;
        p->transaction.reset = probe_reset;
        return db_request(p->t->db, &p->transaction, probe_done, p, probe_destroy, ret_slot, reterr);
}

static void probe_run(Probe *p) {
        ASSERT_OK(probe_request(p, NULL, NULL));
        TEST_DB_WAIT(p->t, p->n_destroyed > 0);
        ck_assert_uint_eq(p->n_done, 1);
        ck_assert_uint_eq(p->n_destroyed, 1);
}

START_TEST(a_request_gives_its_rows) {
        _cleanup_test_db_ TestDb t;
        Probe p = PROBE(&t, "SELECT 42");

        test_db_open(&t, NULL);
        ck_assert_uint_eq(t.n_available, 1);
        ck_assert_uint_eq(t.n_unavailable, 0);
        ck_assert_ptr_null(db_why_unavailable(t.db));
        probe_run(&p);
        ck_assert_int_eq(p.r, 0);
        ck_assert_uint_eq(p.value, 42);
        ck_assert_uint_eq(db_n_requests(t.db), 0);
}
END_TEST

START_TEST(requests_run_in_order) {
        enum { N = 200 };
        static Probe probes[N];
        _cleanup_test_db_ TestDb t;

        test_db_open(&t, NULL);
        for (unsigned i = 0; i < N; i++) {
                probes[i] = (Probe) PROBE(&t, "SELECT nextval('s')");
                if (i == 0)
                        probes[i] = (Probe) PROBE(&t, "CREATE SEQUENCE s");
                ASSERT_OK(probe_request(probes + i, NULL, NULL));
        }
        TEST_DB_WAIT(&t, probes[N - 1].n_destroyed > 0);
        for (unsigned i = 0; i < N; i++) {
                ck_assert_uint_eq(probes[i].n_done, 1);
                ck_assert_int_eq(probes[i].r, 0);
                ck_assert_uint_eq(probes[i].value, i);
        }
}
END_TEST

START_TEST(a_transaction_holds_wholly_or_not_at_all) {
        _cleanup_test_db_ TestDb t;
        Probe good = PROBE(&t, "CREATE TABLE x (i int)"), bad = PROBE(&t, "INSERT INTO x VALUES (2)"),
              refused = PROBE(&t, "INSERT INTO x VALUES (3)"), tried = PROBE(&t, "INSERT INTO x VALUES (4)");

        test_db_open(&t, NULL);
        good.steps[1] = (DbStep) { .sql = "INSERT INTO x VALUES (1)" };
        good.transaction.n_steps = 2;
        probe_run(&good);
        ck_assert_int_eq(good.r, 0);

        bad.steps[1] = (DbStep) { .sql = "SELECT 1 / 0" };
        bad.transaction.n_steps = 2;
        probe_run(&bad);
        ck_assert_int_eq(bad.r, -EIO);
        ck_assert_str_eq(bad.name, CCP_ERROR_INTERNAL);
        ck_assert_ptr_nonnull(strstr(bad.message, "Could not try this"));
        ck_assert_ptr_nonnull(strstr(bad.message, "division by zero"));

        refused.steps[1] = (DbStep) { .sql = "SELECT 1", .result = probe_result };
        refused.steps[0].result = NULL;
        refused.transaction.n_steps = 2;
        refused.fail_with = -ESTALE;
        probe_run(&refused);
        ck_assert_int_eq(refused.r, -ESTALE);
        ck_assert_str_eq(refused.name, CCP_ERROR_WRONG_STATE);
        ck_assert_str_eq(refused.message, "This will not do.");

        tried.steps[1] = (DbStep) { .sql = "SELECT count(*) FROM x", .result = probe_result };
        tried.steps[0].result = NULL;
        tried.transaction.n_steps = 2;
        tried.transaction.roll_back = true;
        probe_run(&tried);
        ck_assert_int_eq(tried.r, 0);
        ck_assert_uint_eq(tried.value, 2);

        ASSERT_QUERY(t.conninfo, "SELECT string_agg(i::text, ',') FROM x", "1");
        ck_assert_uint_eq(t.n_unavailable, 0);
}
END_TEST

START_TEST(reading_can_not_write) {
        _cleanup_test_db_ TestDb t;
        Probe p = PROBE_READ(&t, "SELECT 1");

        test_db_open(&t, NULL);
        p.steps[1] = (DbStep) { .sql = "CREATE TABLE x (i int)" };
        p.transaction.n_steps = 2;
        probe_run(&p);
        ck_assert_int_lt(p.r, 0);
}
END_TEST

START_TEST(an_error_in_a_statement_leaves_the_connection) {
        _cleanup_test_db_ TestDb t;
        Probe bad = PROBE(&t, "SELECT nonsense"), good = PROBE(&t, "SELECT 7");

        test_db_open(&t, NULL);
        probe_run(&bad);
        ck_assert_int_eq(bad.r, -EIO);
        ck_assert_ptr_nonnull(strstr(bad.message, "42703"));
        probe_run(&good);
        ck_assert_uint_eq(good.value, 7);
        ck_assert_uint_eq(t.n_available, 1);
}
END_TEST

START_TEST(conflicts_are_tried_again) {
        _cleanup_test_db_ TestDb t;
        /* Fails as a deadlock would until the third attempt; the sequence survives the roll-back. */
        Probe p = PROBE(&t, "SELECT 1");
        Probe endless = PROBE(&t, "DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '40001'; END $$");
        _cleanup_free_ char *answer = NULL;

        test_db_open(&t, NULL);
        answer = test_postgres_query(t.conninfo, "CREATE SEQUENCE s");
        p.steps[1] = (DbStep) {
                .sql = "DO $$ BEGIN IF nextval('s') < 3 THEN RAISE EXCEPTION USING ERRCODE = "
                       "'40P01'; END IF; END $$"
        };
        p.transaction.n_steps = 2;
        probe_run(&p);
        ck_assert_int_eq(p.r, 0);
        ck_assert_uint_eq(p.n_reset, 2);

        probe_run(&endless);
        ck_assert_int_eq(endless.r, -EIO);
}
END_TEST

START_TEST(notifications_arrive) {
        _cleanup_test_db_ TestDb t;
        _cleanup_free_ char *answer = NULL;
        Probe own = PROBE(&t, "SELECT 1 FROM pg_notify('ccpd_job', '42')");

        test_db_open(&t, NULL);
        answer = test_postgres_query(
                        t.conninfo, "NOTIFY ccpd_instance, 'abc'; NOTIFY other, 'x'; NOTIFY ccpd_job, '7'");
        TEST_DB_WAIT(&t, t.n_notified >= 2);
        ck_assert_str_eq(t.notified, "ccpd_instance abc\nccpd_job 7\n");

        probe_run(&own);
        TEST_DB_WAIT(&t, t.n_notified >= 3);
        ck_assert_ptr_nonnull(endswith(t.notified, "ccpd_job 42\n"));
}
END_TEST

START_TEST(without_a_server_requests_fail_at_once) {
        _cleanup_test_db_ TestDb t;
        _cleanup_error_ Error error = {};
        Probe p = PROBE(&t, "SELECT 1");

        test_db_start(&t, "host=/nonexistent dbname=ccpd");
        ASSERT_ERROR(probe_request(&p, NULL, &error), EHOSTDOWN);
        ck_assert_uint_eq(p.n_destroyed, 1);
        ck_assert_uint_eq(p.n_done, 0);

        TEST_DB_WAIT(&t, t.n_unavailable > 0);
        error_done(&error);
        ASSERT_ERROR(probe_request(&p, NULL, &error), EHOSTDOWN);
        ck_assert_str_eq(error.name, CCP_ERROR_STORE_UNAVAILABLE);
        ck_assert_ptr_nonnull(strstr(error.message, "/nonexistent"));
        ck_assert_ptr_null(strchr(error.message, '\n'));

        /* The same reason is told once, however often it is tried. */
        for (usec_t end = now(CLOCK_MONOTONIC) + USEC_PER_SEC; now(CLOCK_MONOTONIC) < end;)
                ASSERT_OK(sd_event_run(t.event, 50 * USEC_PER_MSEC));
        ck_assert_uint_eq(t.n_unavailable, 1);
}
END_TEST

START_TEST(a_killed_server_is_found_again) {
        _cleanup_test_db_ TestDb t;
        _cleanup_error_ Error error = {};
        Probe running = PROBE(&t, "SELECT 1 FROM pg_sleep(30)"), waiting = PROBE(&t, "SELECT 2"),
              reading = PROBE_READ(&t, "SELECT 3"), after = PROBE(&t, "SELECT 4");

        test_db_open(&t, NULL);
        running.steps[1] = (DbStep) { .sql = "SELECT 1" };
        running.transaction.n_steps = 2;
        ASSERT_OK(probe_request(&running, NULL, NULL));
        ASSERT_OK(probe_request(&waiting, NULL, NULL));
        ASSERT_OK(probe_request(&reading, NULL, NULL));
        for (unsigned i = 0; i < 10; i++)
                ASSERT_OK(sd_event_run(t.event, 20 * USEC_PER_MSEC));

        test_postgres_kill();
        TEST_DB_WAIT(&t, reading.n_destroyed > 0);
        ck_assert_int_eq(running.r, -EHOSTDOWN);
        ck_assert_int_eq(waiting.r, -EHOSTDOWN);
        ck_assert_int_eq(reading.r, -EHOSTDOWN);
        ck_assert_str_eq(waiting.name, CCP_ERROR_STORE_UNAVAILABLE);
        ck_assert(!db_is_available(t.db));
        ck_assert_uint_eq(t.n_unavailable, 1);
        ASSERT_ERROR(probe_request(&after, NULL, &error), EHOSTDOWN);

        test_postgres_restart();
        TEST_DB_WAIT(&t, db_is_available(t.db));
        ck_assert_uint_eq(t.n_available, 2);
        ck_assert_ptr_null(t.why);
        after.n_destroyed = 0;
        probe_run(&after);
        ck_assert_uint_eq(after.value, 4);

        /* It listens again, too. */
        t.n_notified = 0;
        free(test_postgres_query(t.conninfo, "NOTIFY ccpd_job, '1'"));
        TEST_DB_WAIT(&t, t.n_notified > 0);
}
END_TEST

START_TEST(an_ended_session_is_no_ended_server) {
        _cleanup_test_db_ TestDb t;
        Probe single = PROBE(&t, "SELECT 1 FROM pg_sleep(30)");

        test_db_open(&t, NULL);
        ASSERT_OK(probe_request(&single, NULL, NULL));
        for (unsigned i = 0; i < 10; i++)
                ASSERT_OK(sd_event_run(t.event, 20 * USEC_PER_MSEC));
        free(test_postgres_query(t.conninfo,
                        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> "
                        "pg_backend_pid() "
                        "AND datname = current_database()"));
        TEST_DB_WAIT(&t, single.n_destroyed > 0);

        /* A statement that stands for itself commits itself: whether it did is not known. */
        ck_assert_int_eq(single.r, DB_OUTCOME_UNKNOWN);
        ck_assert_str_eq(single.name, CCP_ERROR_STORE_UNAVAILABLE);
        ck_assert_ptr_nonnull(strstr(single.message, "terminating connection"));
        TEST_DB_WAIT(&t, db_is_available(t.db));
}
END_TEST

/* Runs the loop until the server is in pg_sleep(). */
static void wait_for_sleep(TestDb *t) {
        usec_t deadline = now(CLOCK_MONOTONIC) + USEC_PER_MINUTE;

        for (;;) {
                _cleanup_free_ char *n = test_postgres_query(t->conninfo,
                                "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND "
                                "datname = current_database()");

                if (streq(n, "1"))
                        return;
                ck_assert_uint_lt(now(CLOCK_MONOTONIC), deadline);
                ASSERT_OK(sd_event_run(t->event, 20 * USEC_PER_MSEC));
        }
}

START_TEST(an_end_in_commit_has_an_unknown_outcome) {
        _cleanup_test_db_ TestDb t;
        _cleanup_free_ char *answer = NULL;
        Probe p = PROBE(&t, "SELECT 1");

        test_db_open(&t, NULL);
        answer = test_postgres_query(t.conninfo,
                        "CREATE TABLE x (i int);"
                        "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS "
                        "$$ BEGIN PERFORM pg_sleep(30); RETURN NULL; END $$;"
                        "CREATE CONSTRAINT TRIGGER slow AFTER INSERT ON x DEFERRABLE INITIALLY DEFERRED "
                        "FOR EACH ROW EXECUTE FUNCTION slow()");
        p.steps[1] = (DbStep) { .sql = "INSERT INTO x VALUES (1)" };
        p.transaction.n_steps = 2;
        ASSERT_OK(probe_request(&p, NULL, NULL));
        wait_for_sleep(&t);
        test_postgres_kill();
        TEST_DB_WAIT(&t, p.n_destroyed > 0);
        ck_assert_int_eq(p.r, DB_OUTCOME_UNKNOWN);
        ck_assert_str_eq(p.name, CCP_ERROR_STORE_UNAVAILABLE);
        test_postgres_restart();
}
END_TEST

START_TEST(a_slow_request_times_out) {
        _cleanup_test_db_ TestDb t;
        Probe slow = PROBE_READ(&t, "SELECT 1 FROM pg_sleep(30)"), next = PROBE(&t, "SELECT 2"),
              after = PROBE(&t, "SELECT 3");
        usec_t begin;

        test_db_open(&t, NULL);
        slow.transaction.timeout = 300 * USEC_PER_MSEC;
        begin = now(CLOCK_MONOTONIC);
        ASSERT_OK(probe_request(&slow, NULL, NULL));
        ASSERT_OK(probe_request(&next, NULL, NULL));
        TEST_DB_WAIT(&t, next.n_destroyed > 0);
        ck_assert_uint_lt(now(CLOCK_MONOTONIC) - begin, 3 * USEC_PER_SEC);
        ck_assert_int_eq(slow.r, -EHOSTDOWN);
        ck_assert_ptr_nonnull(strstr(slow.message, "did not answer within 300ms"));

        TEST_DB_WAIT(&t, db_is_available(t.db));
        probe_run(&after);
        ck_assert_uint_eq(after.value, 3);

        /* The server ends the abandoned statement by itself. */
        for (unsigned i = 0; i < 50; i++) {
                _cleanup_free_ char *n = test_postgres_query(t.conninfo,
                                "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(30)%' "
                                "AND "
                                "pid <> pg_backend_pid() AND datname = current_database()");

                if (streq(n, "0"))
                        return;
                ASSERT_OK(sd_event_run(t.event, 100 * USEC_PER_MSEC));
                (void) usleep(100 * 1000);
        }
        ck_abort_msg("the statement still runs");
}
END_TEST

START_TEST(the_queue_is_capped) {
        static Probe probes[DB_QUEUE_MAX + 1];
        _cleanup_test_db_ TestDb t;
        _cleanup_error_ Error error = {};

        test_db_open(&t, NULL);
        for (unsigned i = 0; i < DB_QUEUE_MAX; i++) {
                probes[i] = (Probe) PROBE(&t, "SELECT 1");
                ASSERT_OK(probe_request(probes + i, NULL, NULL));
        }
        ck_assert_uint_eq(db_n_requests(t.db), DB_QUEUE_MAX);
        probes[DB_QUEUE_MAX] = (Probe) PROBE(&t, "SELECT 1");
        ASSERT_ERROR(probe_request(probes + DB_QUEUE_MAX, NULL, &error), E2BIG);
        ck_assert_str_eq(error.name, CCP_ERROR_LIMIT_EXCEEDED);
        TEST_DB_WAIT(&t, db_n_requests(t.db) == 0);
        ck_assert_int_eq(probes[DB_QUEUE_MAX - 1].r, 0);
}
END_TEST

START_TEST(an_unreferenced_slot_cancels_the_callback) {
        _cleanup_test_db_ TestDb t;
        Probe queued = PROBE(&t, "CREATE TABLE x (i int)"), begun = PROBE(&t, "SELECT 1 FROM pg_sleep(2)"),
              read = PROBE_READ(&t, "SELECT 3"), last = PROBE(&t, "SELECT 4");
        DbSlot *a, *b, *c, *d;

        test_db_open(&t, NULL);
        ASSERT_OK(probe_request(&begun, &a, NULL));
        ASSERT_OK(probe_request(&queued, &b, NULL));
        ASSERT_OK(probe_request(&read, &c, NULL));
        ASSERT_OK(probe_request(&last, &d, NULL));
        ASSERT_OK(sd_event_run(t.event, 0));
        ASSERT_OK(sd_event_run(t.event, 20 * USEC_PER_MSEC));
        ck_assert_uint_eq(db_n_requests(t.db), 4);

        a = db_slot_unref(a);
        b = db_slot_unref(b);
        c = db_slot_unref(c);
        ck_assert_uint_eq(read.n_destroyed, 1);
        ck_assert_uint_eq(db_n_requests(t.db), 3);
        TEST_DB_WAIT(&t, last.n_done > 0);
        ck_assert_uint_eq(begun.n_done + queued.n_done + read.n_done, 0);
        ck_assert_uint_eq(begun.n_destroyed + queued.n_destroyed + read.n_destroyed, 3);
        d = db_slot_unref(d);

        /* What was to be changed is. */
        ASSERT_QUERY(t.conninfo, "SELECT count(*) FROM x", "0");
}
END_TEST

static DbSlot *own_slot;

static void unref_own_slot(int r _unused_, Error *error _unused_, void *userdata) {
        Probe *p = userdata;

        p->n_done++;
        own_slot = db_slot_unref(own_slot);
        if (db_is_available(p->t->db) && p->n_done == 1) {
                p->n_destroyed--; /* it is asked again, and destroyed twice */
                ASSERT_OK(db_request(
                                p->t->db, &p->transaction, unref_own_slot, p, probe_destroy, NULL, NULL));
        }
}

START_TEST(a_callback_may_drop_its_slot_and_ask_again) {
        _cleanup_test_db_ TestDb t;
        Probe p = PROBE_READ(&t, "SELECT 1");

        test_db_open(&t, NULL);
        p.n_destroyed = 1;
        p.transaction.steps = p.steps;
        ASSERT_OK(db_request(t.db, &p.transaction, unref_own_slot, &p, probe_destroy, &own_slot, NULL));
        TEST_DB_WAIT(&t, p.n_done == 2);
        ck_assert_uint_eq(p.n_destroyed, 2);

        /* Also when it fails because the connection is gone. */
        p.n_done = 1;
        ASSERT_OK(db_request(t.db, &p.transaction, unref_own_slot, &p, probe_destroy, &own_slot, NULL));
        test_postgres_kill();
        TEST_DB_WAIT(&t, !db_is_available(t.db));
        ck_assert_uint_eq(p.n_done, 2);
        test_postgres_restart();
}
END_TEST

START_TEST(freeing_forgets_what_waits) {
        TestDb t;
        Probe a = PROBE(&t, "SELECT 1 FROM pg_sleep(30)"), b = PROBE(&t, "SELECT 2");
        DbSlot *slot;

        test_db_open(&t, NULL);
        ASSERT_OK(probe_request(&a, NULL, NULL));
        ASSERT_OK(probe_request(&b, &slot, NULL));
        for (unsigned i = 0; i < 5; i++)
                ASSERT_OK(sd_event_run(t.event, 20 * USEC_PER_MSEC));
        test_db_close(&t);
        ck_assert_uint_eq(a.n_done + b.n_done, 0);
        ck_assert_uint_eq(a.n_destroyed + b.n_destroyed, 2);
        db_slot_unref(slot);
}
END_TEST

START_TEST(large_parameters_and_rows_pass) {
        enum { SIZE = 8 * 1024 * 1024 };
        static char sql[SIZE + 64];
        _cleanup_test_db_ TestDb t;
        Probe p = PROBE(&t, sql),
              q = PROBE(&t, "SELECT length(repeat('x', 20000000)) FROM (SELECT repeat('y', 20000000)) AS y");

        memset(sql, 'x', sizeof(sql));
        memcpy(sql, "SELECT length('", STRLEN("SELECT length('"));
        (void) snprintf(sql + SIZE, 64, "')");
        test_db_open(&t, NULL);
        probe_run(&p);
        ck_assert_uint_eq(p.value, SIZE - STRLEN("SELECT length('"));
        probe_run(&q);
        ck_assert_uint_eq(q.value, 20000000);
}
END_TEST

TESTS("db", a_request_gives_its_rows, requests_run_in_order, a_transaction_holds_wholly_or_not_at_all,
                reading_can_not_write, an_error_in_a_statement_leaves_the_connection,
                conflicts_are_tried_again, notifications_arrive, without_a_server_requests_fail_at_once,
                a_killed_server_is_found_again, an_ended_session_is_no_ended_server,
                an_end_in_commit_has_an_unknown_outcome, a_slow_request_times_out, the_queue_is_capped,
                an_unreferenced_slot_cancels_the_callback, a_callback_may_drop_its_slot_and_ask_again,
                freeing_forgets_what_waits, large_parameters_and_rows_pass)
