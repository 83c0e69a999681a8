/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "migrate.h"

#include <errno.h>

#include "alert.h"
#include "alloc-util.h"
#include "db-sync.h"
#include "instance.h"
#include "job-kind.h"
#include "postgres.h"
#include "records.h"
#include "role.h"
#include "string-util.h"
#include "test.h"

static DbSync *open_sync(const char *conninfo) {
        DbSync *db = NULL;

        ASSERT_OK(db_sync_open(
                        &(DbSyncOptions) { .conninfo = conninfo, .patience = 5 * USEC_PER_SEC }, &db, NULL));
        return db;
}

/* Applies a list of migrations, as far as it goes. */
static int apply(DbSync *db, const Migration *list, size_t n, Error *reterr) {
        for (size_t i = 0; i < n; i++) {
                MigrationRun run;
                int r;

                migration_run_prepare(&run, list, n, i);
                r = db_sync_run(db, &run.transaction, &run, reterr);
                if (r < 0)
                        return r;
        }

        return 0;
}

static const Migration first[] = {
        { 1, "one", "aaaa", "CREATE TABLE a (x int); INSERT INTO a VALUES (1);" },
        { 2, "two", "bbbb", "ALTER TABLE a ADD y int; UPDATE a SET y = x + 1;" },
};

START_TEST(migrations_are_applied_once_and_recorded) {
        _cleanup_free_ char *conninfo = test_postgres_new_database();
        _cleanup_(db_sync_freep) DbSync *db = open_sync(conninfo);

        ASSERT_OK(apply(db, first, 1, NULL));
        ASSERT_OK(apply(db, first, 2, NULL));
        ASSERT_OK(apply(db, first, 2, NULL));
        ASSERT_QUERY(conninfo, "SELECT string_agg(x || ',' || y, ';') FROM a", "1,2");
        ASSERT_QUERY(conninfo,
                        "SELECT string_agg(version || name || sha256, ' ' ORDER BY version) FROM "
                        "schema_migrations",
                        "1oneaaaa 2twobbbb");
}
END_TEST

START_TEST(what_restores_kept_before_is_kept_by_hours_since) {
        _cleanup_free_ char *conninfo = test_postgres_new_database();
        _cleanup_(db_sync_freep) DbSync *db = open_sync(conninfo);

        ck_assert_uint_ge(n_migrations, 12);
        ASSERT_OK(apply(db, migrations, 11, NULL));
        free(test_postgres_query(conninfo,
                        "INSERT INTO instances (id, slug, name, blueprint, blueprint_version, engine, "
                        "bind_address) "
                        "VALUES (gen_random_uuid(), 'a', 'A', 'b', '1', 'compose', ''); "
                        "INSERT INTO restores (instance, job, state, revision_before, revision_after, "
                        "volumes_before, "
                        "volumes_after, switched_at, keep_until) SELECT id, 7, 'kept', 1, 2, '{}', '{}', "
                        "now(), now() + "
                        "interval '72 hours 2 milliseconds' FROM instances; "
                        "INSERT INTO restores (instance, job, revision_before, revision_after, "
                        "volumes_before, "
                        "volumes_after) SELECT id, 8, 2, 3, '{}', '{}' FROM instances"));
        ASSERT_OK(apply(db, migrations, n_migrations, NULL));
        ASSERT_QUERY(conninfo,
                        "SELECT string_agg(job || ',' || coalesce(keep_hours::text, '-') || ',' || "
                        "kept_seconds, ' ' "
                        "ORDER BY job) FROM restores",
                        "7,72,0 8,-,0");
        /* What is kept says for how long. */
        ASSERT_SQLSTATE(conninfo, "UPDATE restores SET keep_hours = NULL", "23514");
}
END_TEST

START_TEST(a_newer_schema_is_refused) {
        _cleanup_free_ char *conninfo = test_postgres_new_database();
        _cleanup_(db_sync_freep) DbSync *db = open_sync(conninfo);
        _cleanup_error_ Error error = {};

        ASSERT_OK(apply(db, first, 2, NULL));
        ASSERT_ERROR(apply(db, first, 1, &error), EHOSTDOWN);
        ck_assert_str_eq(error.name, CCP_ERROR_STORE_UNAVAILABLE);
        ck_assert_ptr_nonnull(strstr(error.message, "schema version 2"));
}
END_TEST

START_TEST(a_migration_that_was_edited_is_refused) {
        static const Migration edited[] = {
                { 1, "one", "cccc", "CREATE TABLE a (x bigint);" },
                { 2, "two", "bbbb", "ALTER TABLE a ADD y int;" },
        };
        _cleanup_free_ char *conninfo = test_postgres_new_database();
        _cleanup_(db_sync_freep) DbSync *db = open_sync(conninfo);
        _cleanup_error_ Error error = {};

        ASSERT_OK(apply(db, first, 1, NULL));
        ASSERT_ERROR(apply(db, edited, 2, &error), EHOSTDOWN);
        ck_assert_ptr_nonnull(strstr(error.message, "another text"));
        ASSERT_QUERY(conninfo, "SELECT count(*) FROM schema_migrations", "1");
}
END_TEST

START_TEST(a_migration_that_fails_leaves_nothing) {
        static const Migration broken[] = {
                { 1, "one", "aaaa", "CREATE TABLE a (x int); SELECT 1 / 0; CREATE TABLE b (x int);" },
        };
        _cleanup_free_ char *conninfo = test_postgres_new_database();
        _cleanup_(db_sync_freep) DbSync *db = open_sync(conninfo);
        _cleanup_error_ Error error = {};

        ck_assert_int_lt(apply(db, broken, 1, &error), 0);
        ck_assert_ptr_nonnull(strstr(error.message, "division by zero"));
        ASSERT_QUERY(conninfo, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'", "0");

        /* The connection is as good as before. */
        ASSERT_OK(apply(db, first, 2, NULL));
}
END_TEST

START_TEST(the_worker_wants_the_newest_schema) {
        _cleanup_free_ char *conninfo = test_postgres_new_database();
        _cleanup_(db_sync_freep) DbSync *db = open_sync(conninfo);
        _cleanup_error_ Error error = {};

        ASSERT_ERROR(db_sync_check_schema(db, &error), EHOSTDOWN);
        ck_assert_str_eq(error.name, CCP_ERROR_STORE_UNAVAILABLE);
        ASSERT_OK(db_sync_migrate(db, NULL));
        ASSERT_OK(db_sync_check_schema(db, NULL));
}
END_TEST

START_TEST(many_who_start_at_once_do_not_disturb_each_other) {
        enum { N = 8 };
        _cleanup_free_ char *conninfo = test_postgres_new_database();
        char expected[STRLEN("18446744073709551615") + 1];
        unsigned n_ready = 0;
        TestDb all[N];

        for (unsigned i = 0; i < N; i++)
                test_db_start(all + i, conninfo);
        while (n_ready < N) {
                n_ready = 0;
                for (unsigned i = 0; i < N; i++) {
                        ASSERT_OK(sd_event_run(all[i].event, 0));
                        n_ready += db_is_available(all[i].db);
                }
        }
        for (unsigned i = 0; i < N; i++) {
                ck_assert_uint_eq(all[i].n_unavailable, 0);
                test_db_close(all + i);
        }
        (void) snprintf(expected, sizeof(expected), "%zu", n_migrations);
        ASSERT_QUERY(conninfo, "SELECT count(*) FROM schema_migrations", expected);
}
END_TEST

/* Compares a CHECK of the schema with the strings of an enum. */
static void check_values(const char *conninfo, const char *table, const char *column,
                const char *(*to_string)(int), unsigned n) {
        _cleanup_free_ char *sql = NULL, *definition = NULL;
        unsigned found = 0;

        ck_assert_int_ge(asprintf(&sql,
                                         "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE "
                                         "conrelid = "
                                         "'%s'::regclass AND conname = '%s_%s_check'",
                                         table, table, column),
                        0);
        definition = test_postgres_query(conninfo, sql);
        for (unsigned i = 0; i < n; i++) {
                _cleanup_free_ char *literal = NULL;

                ck_assert_int_ge(asprintf(&literal, "'%s'::text", to_string((int) i)), 0);
                ck_assert_msg(strstr(definition, literal), "%s.%s lacks %s: %s", table, column, literal,
                                definition);
        }
        for (const char *p = definition; (p = strstr(p, "'::text")); p++)
                found++;
        ck_assert_msg(found == n, "%s.%s: %s", table, column, definition);
}

#define DEFINE_TO_STRING(name)                    \
        static const char *name##_string(int i) { \
                return name##_to_string(i);       \
        }                                         \
        struct _require_semicolon_
DEFINE_TO_STRING(instance_state);
DEFINE_TO_STRING(job_kind);
DEFINE_TO_STRING(job_state);
DEFINE_TO_STRING(step_state);
DEFINE_TO_STRING(revision_state);
DEFINE_TO_STRING(repair_mode);
DEFINE_TO_STRING(recovery_reason);
DEFINE_TO_STRING(role);
DEFINE_TO_STRING(subject_kind);
DEFINE_TO_STRING(alert_channel);
DEFINE_TO_STRING(alert_severity);
DEFINE_TO_STRING(alert_status);

START_TEST(the_schema_has_the_states_of_the_program) {
        _cleanup_test_db_ TestDb t;

        test_db_open(&t, NULL);
        check_values(t.conninfo, "instances", "state", instance_state_string, _INSTANCE_STATE_MAX);
        check_values(t.conninfo, "instances", "repair", repair_mode_string, _REPAIR_MODE_MAX);
        check_values(t.conninfo, "instances", "recovery_reason", recovery_reason_string,
                        _RECOVERY_REASON_MAX);
        check_values(t.conninfo, "jobs", "state_before", instance_state_string, _INSTANCE_STATE_MAX);
        check_values(t.conninfo, "jobs", "kind", job_kind_string, _JOB_KIND_MAX);
        check_values(t.conninfo, "jobs", "state", job_state_string, _JOB_STATE_MAX);
        check_values(t.conninfo, "job_steps", "state", step_state_string, _STEP_STATE_MAX);
        check_values(t.conninfo, "revisions", "state", revision_state_string, _REVISION_STATE_MAX);
        check_values(t.conninfo, "roles", "subject", subject_kind_string, _SUBJECT_KIND_MAX);
        check_values(t.conninfo, "roles", "role", role_string, _ROLE_MAX);
        check_values(t.conninfo, "alerts", "severity", alert_severity_string, _ALERT_SEVERITY_MAX);
        check_values(t.conninfo, "alert_messages", "channel", alert_channel_string, _ALERT_CHANNEL_MAX);
        check_values(t.conninfo, "alert_deliveries", "channel", alert_channel_string, _ALERT_CHANNEL_MAX);
        check_values(t.conninfo, "alert_deliveries", "status", alert_status_string, _ALERT_STATUS_MAX);
}
END_TEST

#define INSERT_INSTANCE                                                                         \
        "INSERT INTO instances (id, slug, name, domain, blueprint, blueprint_version, engine, " \
        "bind_address) "                                                                        \
        "VALUES "

START_TEST(the_schema_refuses_what_must_not_be) {
        static const struct {
                const char *sql, *sqlstate;
        } cases[] = {
                { INSERT_INSTANCE "(gen_random_uuid(), 'a', 'A', 'x.example.org', 'b', '1', 'compose', '')",
                                "23505" },
                { INSERT_INSTANCE "(gen_random_uuid(), 'b', 'A', 'a.example.org', 'b', '1', 'compose', '')",
                                "23505" },
                { INSERT_INSTANCE "(gen_random_uuid(), 'B', 'A', NULL, 'b', '1', 'compose', '')", "23514" },
                { INSERT_INSTANCE "(gen_random_uuid(), '-b', 'A', NULL, 'b', '1', 'compose', '')", "23514" },
                { INSERT_INSTANCE "(gen_random_uuid(), 'b-', 'A', NULL, 'b', '1', 'compose', '')", "23514" },
                { INSERT_INSTANCE "(gen_random_uuid(), E'b\\n', 'A', NULL, 'b', '1', 'compose', '')",
                                "23514" },
                { INSERT_INSTANCE "(gen_random_uuid(), '', 'A', NULL, 'b', '1', 'compose', '')", "23514" },
                { INSERT_INSTANCE "(gen_random_uuid(), repeat('a', 33), 'A', NULL, 'b', '1', 'compose', '')",
                                "23514" },
                { INSERT_INSTANCE "(gen_random_uuid(), 'b', '', NULL, 'b', '1', 'compose', '')", "23514" },
                { INSERT_INSTANCE "(gen_random_uuid(), 'b', 'A', 'B.org', 'b', '1', 'compose', '')",
                                "23514" },
                { INSERT_INSTANCE "(gen_random_uuid(), 'b', 'A', NULL, 'b', '1', 'podman', '')", "23514" },
                { "UPDATE instances SET state = 'broken'", "23514" },
                { "UPDATE instances SET repair = 'maybe'", "23514" },
                { "UPDATE instances SET recovery_attempts = 1", "23514" },
                { "UPDATE instances SET recovery_reason = 'boot'", "23514" },
                { "UPDATE instances SET parameters = '[]'", "23514" },
                { "INSERT INTO ports SELECT 'local', 10000, id, 'other' FROM instances", "23505" },
                { "INSERT INTO ports SELECT 'local', 10001, id, 'web' FROM instances", "23505" },
                { "INSERT INTO ports SELECT 'local', 0, id, 'other' FROM instances", "23514" },
                { "INSERT INTO ports SELECT 'local', 65536, id, 'other' FROM instances", "23514" },
                { "INSERT INTO ports VALUES ('local', 10002, gen_random_uuid(), 'web')", "23503" },
                { "INSERT INTO subnets SELECT id, '10.0.0.0/24' FROM instances", "23505" },
                { "UPDATE subnets SET subnet = '::/64'", "23514" },
                { "INSERT INTO secrets SELECT id, '1A', 1, 'k', '' FROM instances", "23514" },
                { "INSERT INTO secrets SELECT id, 'A', 0, 'k', '' FROM instances", "23514" },
                { "INSERT INTO jobs (instance, slug, kind, state_before, started_by, started_by_uid) SELECT "
                  "id, "
                  "slug, 'stop', 'running', 'root', 0 FROM instances",
                                "23505" },
                { "UPDATE jobs SET kind = 'explode'", "23514" },
                { "UPDATE jobs SET state = 'failed'", "23514" },
                { "UPDATE jobs SET finished_at = now()", "23514" },
                { "UPDATE jobs SET started_by_uid = -1", "23514" },
                { "UPDATE jobs SET error_message = 'x'", "23514" },
                { "INSERT INTO job_steps (job, number, name) VALUES (4711, 1, 'x')", "23503" },
                { "INSERT INTO job_steps (job, number, name) SELECT id, 1, 'y' FROM jobs", "23505" },
                { "INSERT INTO job_steps (job, number, name) SELECT id, 2, 'x' FROM jobs", "23505" },
                { "UPDATE job_steps SET state = 'lost'", "23514" },
                { "INSERT INTO roles VALUES ('user', -1, 'x', 'admin', NULL, now(), 'root')", "23514" },
                { "INSERT INTO roles VALUES ('user', 1, '', 'admin', NULL, now(), 'root')", "23514" },
                { "INSERT INTO roles VALUES ('user', 1, 'x', 'client', NULL, now(), 'root')", "23514" },
                { "INSERT INTO roles VALUES ('user', 1, 'x', 'admin', gen_random_uuid(), now(), 'root')",
                                "23503" },
                { "INSERT INTO roles VALUES ('user', 1, 'y', 'admin', NULL, now(), 'root'), ('user', 2, "
                  "'y', "
                  "'admin', NULL, now(), 'root')",
                                "23505" },
        };
        _cleanup_free_ char *answer = NULL, *other = NULL;
        _cleanup_test_db_ TestDb t;

        test_db_open(&t, NULL);
        answer = test_postgres_query(t.conninfo,
                        INSERT_INSTANCE
                        "(gen_random_uuid(), 'a', 'A', 'a.example.org', 'b', '1', 'compose', '127.0.0.1');"
                        "INSERT INTO ports SELECT 'local', 10000, id, 'web' FROM instances;"
                        "INSERT INTO subnets SELECT id, '10.200.0.0/26' FROM instances;"
                        "INSERT INTO jobs (instance, slug, kind, state_before, started_by, started_by_uid) "
                        "SELECT id, slug, 'start', 'running', 'root', 0 FROM instances;"
                        "INSERT INTO job_steps (job, number, name) SELECT id, 1, 'x' FROM jobs;");

        FOREACH_ARRAY(c, cases, ELEMENTSOF(cases)) {
                _cleanup_free_ char *sqlstate = test_postgres_sqlstate(t.conninfo, c->sql);

                ck_assert_msg(streq(sqlstate, c->sqlstate), "%s: %s", c->sql, sqlstate);
        }

        /* Subnets of another size overlap too. */
        other = test_postgres_query(t.conninfo,
                        INSERT_INSTANCE "(gen_random_uuid(), 'c', 'C', NULL, 'b', '1', 'compose', '')");
        ASSERT_SQLSTATE(t.conninfo,
                        "INSERT INTO subnets SELECT id, '10.200.0.32/27' FROM instances WHERE slug = 'c'",
                        "23P01");
        ASSERT_SQLSTATE(t.conninfo,
                        "INSERT INTO subnets SELECT id, '10.200.0.0/15' FROM instances WHERE slug = 'c'",
                        "23P01");
}
END_TEST

TESTS("migrate", migrations_are_applied_once_and_recorded, what_restores_kept_before_is_kept_by_hours_since,
                a_newer_schema_is_refused, a_migration_that_was_edited_is_refused,
                a_migration_that_fails_leaves_nothing, the_worker_wants_the_newest_schema,
                many_who_start_at_once_do_not_disturb_each_other, the_schema_has_the_states_of_the_program,
                the_schema_refuses_what_must_not_be)
