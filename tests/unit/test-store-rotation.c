/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "store-rotation.h"

#include <errno.h>
#include <libpq-fe.h>

#include "alloc-util.h"
#include "statements.h"
#include "store-test.h"
#include "string-util.h"
#include "test.h"

#define FORMER "00000000000000aa"
#define NEXT "00000000000000bb"

typedef struct Outcome {
        bool done;
        int r;
        uint64_t left;
        SealedRecords *records;
        Error error;
} Outcome;

static void outcome_done(Outcome *o) {
        sealed_records_free(o->records);
        error_done(&o->error);
        *o = (Outcome) {};
}

static void on_sealed(int r, SealedRecords *records, Error *error, void *userdata) {
        Outcome *o = userdata;

        ck_assert((r < 0) == !records);
        o->r = r;
        o->records = records;
        if (error)
                error_move(&o->error, error);
        o->done = true;
}

static void on_step(int r, uint64_t left, Error *error, void *userdata) {
        Outcome *o = userdata;

        o->r = r;
        o->left = left;
        if (error)
                error_move(&o->error, error);
        o->done = true;
}

#define RUN(t, o, function, callback, ...)                                                        \
        do {                                                                                      \
                outcome_done(o);                                                                  \
                ck_assert_int_eq(function((t)->db, ##__VA_ARGS__, callback, (o), NULL, NULL), 0); \
                TEST_DB_WAIT((t), (o)->done);                                                     \
        } while (0)

static void test_exec(const char *conninfo, const char *sql) {
        free(test_postgres_query(conninfo, sql));
}

/* Two secrets of an instance, one of the webhook, two keys of backups, and the credentials of the storage. */
static char *fill(TestDb *t) {
        char *id = test_create_instance(t, "oslo", NULL);
        _cleanup_free_ char *sql = strjoin(
                        "UPDATE secrets SET key_id = '" FORMER "';"
                        "INSERT INTO alert_secrets (version, key_id, sealed) VALUES (1, '" FORMER "', 'a');"
                        "INSERT INTO backup_keys (name, id, key_id, sealed) VALUES ('signing', "
                        "'x', '" FORMER "', 's'), ('",
                        id,
                        "', 'y', '" FORMER "', 'i');"
                        "UPDATE storage SET version = 3, endpoint = '', region = '', bucket = '', prefix = "
                        "'', path_style = false, ca_file = '', key_id = '" FORMER "', sealed = 'c', "
                        "set_at = now()");

        test_exec(t->conninfo, sql);
        return id;
}

/* As if all had been sealed anew. */
static void change(SealedRecords *l) {
        FOREACH_ARRAY(s, l->items, l->n) {
                free(s->sealed);
                s->sealed = (uint8_t *) strdup("new");
                s->size = 3;
        }
}

START_TEST(everything_is_sealed_anew_some_at_a_time) {
        _cleanup_(outcome_done) Outcome o = {};
        _cleanup_free_ char *id = NULL;
        _cleanup_test_db_ TestDb t;
        unsigned n_steps = 0;

        test_db_open(&t, NULL);
        id = fill(&t);
        RUN(&t, &o, store_begin_rotation, on_step, FORMER, &test_actor);
        ck_assert_msg(o.r == 0, "%s", o.error.message);
        RUN(&t, &o, store_end_rotation, on_step, FORMER, NEXT, &test_actor);
        ck_assert_int_eq(o.r, 0);
        ck_assert_uint_eq(o.left, 6);

        for (;;) {
                SealedRecords *records;

                RUN(&t, &o, store_load_sealed, on_sealed, FORMER, 2);
                ck_assert_int_eq(o.r, 0);
                if (o.records->n == 0)
                        break;
                ck_assert_uint_le(o.records->n, 2);
                ck_assert_uint_eq(o.records->left, 6 - 2 * n_steps++);
                FOREACH_ARRAY(s, o.records->items, o.records->n)
                        ck_assert(s->kind != SEALED_SECRET || streq(s->instance, id));
                records = TAKE_PTR(o.records);
                change(records);
                RUN(&t, &o, store_reseal, on_step, FORMER, NEXT, records);
                ck_assert_int_eq(o.r, 0);
        }
        ck_assert_uint_eq(n_steps, 3);
        ASSERT_QUERY(t.conninfo,
                        "SELECT string_agg(DISTINCT key_id || ' ' || convert_from(sealed, 'UTF8'), ',') "
                        "FROM "
                        "(SELECT key_id, sealed FROM secrets UNION ALL SELECT key_id, sealed FROM "
                        "alert_secrets "
                        "UNION ALL SELECT key_id, sealed FROM backup_keys "
                        "UNION ALL SELECT key_id, sealed FROM storage) s",
                        NEXT " new");
        ASSERT_QUERY(t.conninfo, "SELECT string_agg(id, '' ORDER BY id) FROM backup_keys", "xy");

        /* The end is on record once, however often it is come to. */
        for (unsigned i = 0; i < 2; i++) {
                RUN(&t, &o, store_end_rotation, on_step, FORMER, NEXT, &test_actor);
                ck_assert_int_eq(o.r, 0);
                ck_assert_uint_eq(o.left, 0);
        }
        ASSERT_QUERY(t.conninfo,
                        "SELECT string_agg(concat_ws(' ', action, outcome, details), E'\\n' ORDER BY seq) "
                        "FROM "
                        "ccpd_audit.entries WHERE action = 'KEY_ROTATE'",
                        "KEY_ROTATE accepted {\"former\":\"" FORMER "\"}\n"
                        "KEY_ROTATE succeeded {\"key\":\"" NEXT "\",\"former\":\"" FORMER "\"}");
}
END_TEST

static void killed_exec(PGconn *killed, const char *sql, ExecStatusType expected) {
        PGresult *result = PQexec(killed, sql);

        ck_assert_msg(PQresultStatus(result) == expected, "%s", PQerrorMessage(killed));
        PQclear(result);
}

/* PostgreSQL brings to its end what a ccpd that was killed had asked for, also while the next one is at work already. */
START_TEST(who_was_killed_at_its_end_is_waited_for) {
        _cleanup_(outcome_done) Outcome o = {};
        _cleanup_test_db_ TestDb t;
        PGconn *killed;

        test_db_open(&t, NULL);
        killed = PQconnectdb(t.conninfo);
        killed_exec(killed, "BEGIN", PGRES_COMMAND_OK);
        killed_exec(killed, sql_rotation_lock, PGRES_TUPLES_OK);
        killed_exec(killed,
                        "SELECT ccpd_audit.append('KEY_ROTATE', 'succeeded', NULL, NULL, 0, 'ccpd', NULL, "
                        "1, "
                        "NULL, NULL, NULL, NULL, NULL, NULL, '{\"key\":\"" NEXT "\"}')",
                        PGRES_TUPLES_OK);

        ck_assert_int_eq(store_end_rotation(t.db, FORMER, NEXT, &test_actor, on_step, &o, NULL, NULL), 0);
        for (unsigned i = 0; i < 20; i++)
                ASSERT_OK(sd_event_run(t.event, 20 * USEC_PER_MSEC));
        ck_assert(!o.done);
        killed_exec(killed, "COMMIT", PGRES_COMMAND_OK);
        TEST_DB_WAIT(&t, o.done);
        ck_assert_int_eq(o.r, 0);
        ASSERT_QUERY(t.conninfo, "SELECT count(*) FROM ccpd_audit.entries WHERE action = 'KEY_ROTATE'", "1");
        PQfinish(killed);
}
END_TEST

START_TEST(what_somebody_else_sealed_anew_meanwhile_stays) {
        _cleanup_(outcome_done) Outcome o = {};
        _cleanup_free_ char *id = NULL;
        _cleanup_test_db_ TestDb t;
        SealedRecords *records;

        test_db_open(&t, NULL);
        id = fill(&t);
        RUN(&t, &o, store_load_sealed, on_sealed, FORMER, 100);
        ck_assert_uint_eq(o.records->n, 6);
        records = TAKE_PTR(o.records);
        change(records);
        test_exec(t.conninfo, "UPDATE secrets SET key_id = '" NEXT "', sealed = 'theirs'");
        RUN(&t, &o, store_reseal, on_step, FORMER, NEXT, records);
        ck_assert_int_eq(o.r, 0);
        ASSERT_QUERY(t.conninfo, "SELECT DISTINCT convert_from(sealed, 'UTF8') FROM secrets", "theirs");
        ASSERT_QUERY(t.conninfo, "SELECT convert_from(sealed, 'UTF8') FROM alert_secrets", "new");
}
END_TEST

START_TEST(it_does_not_begin_where_a_key_is_missing) {
        _cleanup_(outcome_done) Outcome o = {};
        _cleanup_free_ char *id = NULL;
        _cleanup_test_db_ TestDb t;

        test_db_open(&t, NULL);
        id = fill(&t);
        test_exec(t.conninfo, "UPDATE backup_keys SET key_id = '00000000000000cc' WHERE name = 'signing'");
        RUN(&t, &o, store_begin_rotation, on_step, FORMER, &test_actor);
        ck_assert_str_eq(o.error.name, CCP_ERROR_KEY_MISSING);
        ck_assert_ptr_nonnull(
                        strstr(o.error.message, "(1) that are sealed with the master key 00000000000000cc"));
        ASSERT_QUERY(t.conninfo, "SELECT count(*) FROM ccpd_audit.entries WHERE action = 'KEY_ROTATE'", "0");
}
END_TEST

TESTS("store-rotation", everything_is_sealed_anew_some_at_a_time, who_was_killed_at_its_end_is_waited_for,
                what_somebody_else_sealed_anew_meanwhile_stays, it_does_not_begin_where_a_key_is_missing)
