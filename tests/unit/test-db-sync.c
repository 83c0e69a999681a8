/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "db-sync.h"

#include <errno.h>

#include "alloc-util.h"
#include "db-row.h"
#include "postgres.h"
#include "string-util.h"
#include "test.h"

/* What the wait callback does on each of its calls. */
typedef struct Waiter {
        unsigned n_calls;
        unsigned act_at; /* 0: never */
        void (*act)(struct Waiter *w);
        const char *conninfo;
        int result;
        usec_t last, longest;
} Waiter;

static int on_wait(void *userdata) {
        Waiter *w = userdata;
        usec_t t = now(CLOCK_MONOTONIC);

        if (w->last > 0)
                w->longest = MAX(w->longest, t - w->last);
        w->last = t;
        w->n_calls++;
        if (w->n_calls == w->act_at)
                w->act(w);
        return w->result;
}

static DbSync *open_sync(const char *conninfo, Waiter *w, usec_t patience) {
        DbSync *db = NULL;
        _cleanup_error_ Error error = {};
        int r;

        r = db_sync_open(
                        &(DbSyncOptions) {
                                        .conninfo = conninfo,
                                        .wait = w ? on_wait : NULL,
                                        .userdata = w,
                                        .patience = patience,
                        },
                        &db, &error);
        ck_assert_msg(r == 0, "%s", error.message);
        return db;
}

typedef struct Probe {
        uint64_t value;
        unsigned n_resets;
} Probe;

static int probe_result(const PGresult *result, void *userdata, Error *reterr _unused_) {
        Probe *p = userdata;
        DbRow row = DB_ROW(result, 0);

        db_row_uint(&row, UINT64_MAX, &p->value);
        return db_row_end(&row);
}

static void probe_reset(void *userdata) {
        Probe *p = userdata;

        p->n_resets++;
}

static int run_sql(DbSync *db, const char *sql, Probe *p, Error *reterr) {
        DbStep steps[] = { { .sql = sql, .result = probe_result }, { .sql = "SELECT 1" } };
        DbTransaction t = { .what = "try this", .steps = steps, .n_steps = 2, .reset = probe_reset };

        return db_sync_run(db, &t, p, reterr);
}

START_TEST(a_transaction_runs) {
        _cleanup_free_ char *conninfo = test_postgres_new_database();
        _cleanup_(db_sync_freep) DbSync *db = open_sync(conninfo, NULL, 0);
        _cleanup_error_ Error error = {};
        Probe p = {};

        ASSERT_OK(run_sql(db, "SELECT 42", &p, NULL));
        ck_assert_uint_eq(p.value, 42);
        ASSERT_ERROR(run_sql(db, "SELECT 1/0", &p, &error), EIO);
        ck_assert_ptr_nonnull(strstr(error.message, "division by zero"));
        ASSERT_OK(run_sql(db, "SELECT 43", &p, NULL));
        ck_assert_uint_eq(p.value, 43);
        ck_assert_uint_eq(p.n_resets, 0);
}
END_TEST

START_TEST(waiting_calls_back_every_second) {
        _cleanup_free_ char *conninfo = test_postgres_new_database();
        Waiter w = {};
        _cleanup_(db_sync_freep) DbSync *db = open_sync(conninfo, &w, 0);
        Probe p = {};

        ASSERT_OK(run_sql(db, "SELECT 1 FROM pg_sleep(2.5)", &p, NULL));
        ck_assert_uint_ge(w.n_calls, 3);
        ck_assert_uint_lt(w.longest, USEC_PER_SEC);
}
END_TEST

static void give_up(Waiter *w) {
        w->result = -1;
}

START_TEST(the_callback_can_give_up) {
        _cleanup_free_ char *conninfo = test_postgres_new_database();
        Waiter w = { .act_at = 1, .act = give_up };
        _cleanup_(db_sync_freep) DbSync *db = open_sync(conninfo, &w, 0);
        _cleanup_error_ Error error = {};
        usec_t begin = now(CLOCK_MONOTONIC);
        Probe p = {};

        w.n_calls = 0;
        ASSERT_ERROR(run_sql(db, "SELECT 1 FROM pg_sleep(30)", &p, &error), ECANCELED);
        ck_assert_str_eq(error.name, CCP_ERROR_CANCELLED);
        ck_assert_uint_lt(now(CLOCK_MONOTONIC) - begin, 5 * USEC_PER_SEC);

        /* It can be used again, to undo. */
        w.result = 0;
        ASSERT_OK(run_sql(db, "SELECT 5", &p, NULL));
        ck_assert_uint_eq(p.value, 5);
}
END_TEST

static void restart_server(Waiter *w _unused_) {
        test_postgres_kill();
        test_postgres_restart();
}

START_TEST(a_transaction_is_repeated_after_a_crash) {
        _cleanup_free_ char *conninfo = test_postgres_new_database(), *answer = NULL;
        Waiter w = { .act_at = 1, .act = restart_server };
        _cleanup_(db_sync_freep) DbSync *db = open_sync(conninfo, &w, 0);
        Probe p = {};

        answer = test_postgres_query(conninfo, "CREATE TABLE x (i int)");
        test_postgres_tamper(conninfo, "CHECKPOINT");
        w.n_calls = 0;
        ASSERT_OK(run_sql(db,
                        "WITH a AS (INSERT INTO x VALUES (1) RETURNING i) SELECT i FROM a, pg_sleep(2)", &p,
                        NULL));
        ck_assert_uint_eq(p.value, 1);
        ck_assert_uint_eq(p.n_resets, 1);
        ASSERT_QUERY(conninfo, "SELECT count(*) FROM x", "1");
}
END_TEST

static void end_session(Waiter *w) {
        free(test_postgres_query(w->conninfo,
                        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> "
                        "pg_backend_pid() "
                        "AND datname = current_database()"));
}

START_TEST(a_commit_that_was_lost_is_looked_at_again) {
        _cleanup_free_ char *conninfo = test_postgres_new_database(), *answer = NULL;
        Waiter w = { .act_at = 1, .act = end_session, .conninfo = conninfo };
        _cleanup_(db_sync_freep) DbSync *db = open_sync(conninfo, &w, 0);
        Probe p = {};

        /* The end of the session comes while COMMIT waits for the trigger. */
        answer = test_postgres_query(conninfo,
                        "CREATE TABLE x (i int PRIMARY KEY, n int);"
                        "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS "
                        "$$ BEGIN PERFORM pg_sleep(2); RETURN NULL; END $$;"
                        "CREATE CONSTRAINT TRIGGER slow AFTER INSERT OR UPDATE ON x DEFERRABLE INITIALLY "
                        "DEFERRED FOR EACH ROW EXECUTE FUNCTION slow()");
        w.n_calls = 0;
        ASSERT_OK(run_sql(db, "INSERT INTO x VALUES (1, 1) ON CONFLICT (i) DO UPDATE SET n = 1 RETURNING n",
                        &p, NULL));
        ck_assert_uint_eq(p.n_resets, 1);
        ASSERT_QUERY(conninfo, "SELECT count(*) FROM x", "1");
}
END_TEST

START_TEST(patience_ends) {
        _cleanup_error_ Error error = {};
        DbSync *db = NULL;
        usec_t begin = now(CLOCK_MONOTONIC);

        ASSERT_ERROR(db_sync_open(&(DbSyncOptions) { .conninfo = "host=/nonexistent dbname=ccpd",
                                                  .patience = USEC_PER_SEC },
                                     &db, &error),
                        EHOSTDOWN);
        ck_assert_str_eq(error.name, CCP_ERROR_STORE_UNAVAILABLE);
        ck_assert_ptr_nonnull(strstr(error.message, "/nonexistent"));
        ck_assert_uint_lt(now(CLOCK_MONOTONIC) - begin, 3 * USEC_PER_SEC);
        ck_assert_uint_gt(now(CLOCK_MONOTONIC) - begin, 300 * USEC_PER_MSEC);
}
END_TEST

START_TEST(waiting_for_a_server_can_be_given_up) {
        Waiter w = { .act_at = 2, .act = give_up };
        _cleanup_error_ Error error = {};
        DbSync *db = NULL;

        ASSERT_ERROR(db_sync_open(&(DbSyncOptions) { .conninfo = "host=/nonexistent dbname=ccpd",
                                                  .wait = on_wait,
                                                  .userdata = &w },
                                     &db, &error),
                        ECANCELED);
        ck_assert_str_eq(error.name, CCP_ERROR_CANCELLED);
}
END_TEST

START_TEST(a_job_is_locked_by_one_and_again_after_a_crash) {
        _cleanup_free_ char *conninfo = test_postgres_new_database();
        Waiter w = { .act_at = 1, .act = restart_server }, calm = {};
        _cleanup_(db_sync_freep) DbSync *a = open_sync(conninfo, &w, 0), *b = open_sync(conninfo, &calm, 0);
        _cleanup_error_ Error error = {};
        Probe p = {};

        ASSERT_OK(db_sync_lock_job(a, 42, NULL));
        ASSERT_OK(db_sync_lock_job(b, 43, NULL));
        w.n_calls = 0;
        ASSERT_OK(run_sql(a, "SELECT 1 FROM pg_sleep(2)", &p, NULL));
        ck_assert_uint_eq(p.n_resets, 1);

        ASSERT_ERROR(db_sync_lock_job(b, 42, &error), EBUSY);
        ck_assert_str_eq(error.name, CCP_ERROR_BUSY);
        ck_assert_ptr_nonnull(strstr(error.message, "job 42"));
        a = db_sync_free(a);
        ASSERT_OK(db_sync_lock_job(b, 42, NULL));
}
END_TEST

TESTS("db-sync", a_transaction_runs, waiting_calls_back_every_second, the_callback_can_give_up,
                a_transaction_is_repeated_after_a_crash, a_commit_that_was_lost_is_looked_at_again,
                patience_ends, waiting_for_a_server_can_be_given_up,
                a_job_is_locked_by_one_and_again_after_a_crash)
