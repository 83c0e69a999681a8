/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "store-audit.h"

#include <errno.h>
#include <stdio.h>

#include "alloc-util.h"
#include "audit-chain.h"
#include "json-util.h"
#include "store-test.h"
#include "string-util.h"
#include "test.h"

extern const char sql_audit_select[];

static AuditEntry login(const AuditActor *actor) {
        return (AuditEntry) { .action = AUDIT_USER_LOGIN, .outcome = AUDIT_SUCCEEDED, .actor = actor };
}

/* Appends entries of no instance and no job. */
static void append(TestDb *t, unsigned n) {
        _cleanup_test_outcome_ TestOutcome o = {};
        const AuditEntry entry = login(&test_actor);

        for (unsigned i = 0; i < n; i++) {
                TEST_STORE(t, &o, store_append_audit, test_on_entry, &entry);
                ck_assert_msg(o.r == 0, "%s", o.error.message);
        }
}

/* The same by one statement, for many. */
static void append_many(TestDb *t, unsigned n) {
        _cleanup_free_ char *sql = NULL;

        ck_assert_int_ge(asprintf(&sql,
                                         "SELECT count(ccpd_audit.append('USER_LOGIN', 'succeeded', NULL, "
                                         "NULL, "
                                         "1000, 'alice', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, "
                                         "'{}')) "
                                         "FROM generate_series(1, %u)",
                                         n),
                        0);
        free(test_postgres_query(t->conninfo, sql));
}

/* What only somebody with all rights and all knowledge could do: makes the first entries older, and the chain
 * whole again. */
static void make_older(TestDb *t, unsigned n, int days) {
        _cleanup_free_ char *sql = NULL;

        ck_assert_int_ge(asprintf(&sql,
                                         "DO $$ DECLARE e ccpd_audit.entries; p bytea; BEGIN "
                                         "SELECT hash INTO p FROM ccpd_audit.checkpoint;"
                                         "FOR e IN SELECT * FROM ccpd_audit.entries ORDER BY seq LOOP "
                                         "IF e.seq <= %u THEN e.time := e.time - (%d) * 86400000000; END IF;"
                                         "e.previous := p; p := ccpd_audit.entry_hash(e);"
                                         "UPDATE ccpd_audit.entries SET time = e.time, previous = "
                                         "e.previous, "
                                         "hash = p WHERE seq = e.seq; END LOOP;"
                                         "UPDATE ccpd_audit.head SET hash = p, latest = (SELECT max(time) "
                                         "FROM "
                                         "ccpd_audit.entries); END $$",
                                         n, days),
                        0);
        test_postgres_tamper(t->conninfo, sql);
}

/* store_verify_audit() has no slot. */
static void verify(TestDb *t, TestOutcome *o) {
        test_outcome_done(o);
        ck_assert_int_eq(store_verify_audit(t->db, test_on_verdict, o, NULL), 0);
        TEST_DB_WAIT(t, o->done);
        ck_assert_msg(o->r == 0, "%s", o->error.message);
}

static void assert_verdict(TestDb *t, AuditFault fault, uint64_t seq) {
        _cleanup_test_outcome_ TestOutcome o = {};

        verify(t, &o);
        ck_assert_str_eq(audit_fault_to_string(o.verdict.fault), audit_fault_to_string(fault));
        ck_assert_uint_eq(o.verdict.seq, seq);
}

/* --- append --- */

START_TEST(an_entry_is_read_as_it_was_appended) {
        _cleanup_test_db_ TestDb t;
        _cleanup_test_outcome_ TestOutcome o = {}, q = {};
        _cleanup_json_ json_t *details = json_pack("{s:s, s:i}", "b", "\"q\" \\ \n '; --", "a", 1);
        const AuditActor actor = {
                .uid = UINT32_MAX,
                .user = "älice'; DROP",
                .login_uid = 4294967294,
                .pid = UINT32_MAX,
                .process = "a\nb",
                .unit = "session-3.scope",
                .session = "",
                .remote_host = "2001:db8::1",
        };
        const AuditEntry entry = {
                .action = AUDIT_INSTANCE_DELETE,
                .outcome = AUDIT_DENIED,
                .actor = &actor,
                .instance = "oslo",
                .instance_id = "11111111-2222-4333-8444-555555555555",
                .job = INT64_MAX,
                .error_name = "org.example.Error",
                .details = details,
        };
        usec_t begin = now(CLOCK_REALTIME);
        const AuditRecord *a;

        test_db_open(&t, NULL);
        append(&t, 1);
        TEST_STORE(&t, &o, store_append_audit, test_on_entry, &entry);
        ck_assert_msg(o.r == 0, "%s", o.error.message);
        TEST_STORE(&t, &q, store_query_audit, test_on_entries, &(StoreAuditFilter) { .limit = 10 });
        ck_assert_uint_eq(q.entries.n, 2);

        a = q.entries.items[0];
        ck_assert_uint_eq(a->seq, 2);
        ck_assert_uint_ge(a->time, begin);
        ck_assert_uint_le(a->time, now(CLOCK_REALTIME));
        ck_assert_str_eq(a->action, "INSTANCE_DELETE");
        ck_assert_str_eq(a->outcome, "denied");
        ck_assert_str_eq(a->instance, "oslo");
        ck_assert_str_eq(a->instance_id, entry.instance_id);
        ck_assert_uint_eq(a->uid, UINT32_MAX);
        ck_assert_str_eq(a->user, actor.user);
        ck_assert_int_eq(a->login_uid, actor.login_uid);
        ck_assert_uint_eq(a->pid, UINT32_MAX);
        ck_assert_str_eq(a->process, "a\nb");
        ck_assert_str_eq(a->unit, "session-3.scope");
        ck_assert_str_eq(a->session, "");
        ck_assert_str_eq(a->remote_host, "2001:db8::1");
        ck_assert_uint_eq(a->job, INT64_MAX);
        ck_assert_str_eq(a->error_name, "org.example.Error");
        ck_assert_str_eq(a->details, "{\"b\":\"\\\"q\\\" \\\\ \\n '; --\",\"a\":1}");
        ck_assert_mem_eq(a->hash, o.entry->hash, AUDIT_HASH_SIZE);
        ck_assert_mem_eq(a->previous, q.entries.items[1]->hash, AUDIT_HASH_SIZE);

        /* What is not known is NULL, and not empty. */
        a = q.entries.items[1];
        ck_assert_ptr_null(a->instance);
        ck_assert_ptr_null(a->instance_id);
        ck_assert_int_eq(a->login_uid, -1);
        ck_assert_uint_eq(a->pid, 0);
        ck_assert_ptr_null(a->process);
        ck_assert_uint_eq(a->job, 0);
        ck_assert_ptr_null(a->error_name);
        ck_assert_str_eq(a->details, "{}");
        assert_verdict(&t, AUDIT_FAULT_NONE, 0);
}
END_TEST

START_TEST(no_text_keeps_an_entry_off_the_record) {
        _cleanup_test_db_ TestDb t;
        _cleanup_test_outcome_ TestOutcome o = {};
        _cleanup_free_ char *text = calloc(1, 100000);
        AuditActor actor = test_actor;
        AuditEntry entry = login(&actor);

        /* A process chooses its name, and whoever is denied chooses what he is denied. */
        ck_assert_ptr_nonnull(text);
        memset(text, 0xC3, 99999);
        actor.process = text;
        entry.instance = text;
        test_db_open(&t, NULL);
        TEST_STORE(&t, &o, store_append_audit, test_on_entry, &entry);
        ck_assert_msg(o.r == 0, "%s", o.error.message);
        ck_assert_uint_eq(strlen(o.entry->process), 256);
        ck_assert_uint_eq(strspn(o.entry->instance, "?"), 256);
}
END_TEST

START_TEST(whoever_appends_listeners_are_told) {
        _cleanup_test_db_ TestDb t;
        PGconn *conn;
        PGnotify *n = NULL;

        test_db_open(&t, NULL);
        conn = PQconnectdb(t.conninfo);
        PQclear(PQexec(conn, "LISTEN " STORE_CHANNEL_AUDIT));
        append(&t, 1);
        PQclear(PQexec(conn, "SELECT 1"));
        n = PQnotifies(conn);
        ck_assert_ptr_nonnull(n);
        ck_assert_str_eq(n->relname, STORE_CHANNEL_AUDIT);
        ck_assert_str_eq(n->extra, "1");
        PQfreemem(n);
        PQfinish(conn);
}
END_TEST

START_TEST(many_writers_make_one_chain) {
        enum { N = 6, M = 20 };
        static TestOutcome outcomes[N];
        _cleanup_free_ char *conninfo = test_postgres_new_database();
        const AuditEntry entry = login(&test_actor);
        unsigned n_done = 0;
        TestDb all[N];

        test_db_open(all, conninfo);
        for (unsigned i = 1; i < N; i++)
                test_db_open_beside(all + i, all);
        for (unsigned k = 0; k < M; k++)
                for (unsigned i = 0; i < N; i++)
                        ck_assert_int_eq(store_append_audit(all[i].db, &entry,
                                                         k == M - 1 ? test_on_entry : NULL, outcomes + i,
                                                         NULL, NULL),
                                        0);
        while (n_done < N) {
                ck_assert_int_ge(sd_event_run(all[0].event, USEC_PER_SEC), 0);
                n_done = 0;
                for (unsigned i = 0; i < N; i++)
                        n_done += outcomes[i].done;
        }
        ASSERT_QUERY(conninfo, "SELECT count(*) || ' ' || max(seq) FROM ccpd_audit.entries", "120 120");
        assert_verdict(all, AUDIT_FAULT_NONE, 0);
        for (unsigned i = 0; i < N; i++) {
                ck_assert_int_eq(outcomes[i].r, 0);
                test_outcome_done(outcomes + i);
                test_db_close(all + i);
        }
}
END_TEST

/* --- the hash --- */

START_TEST(the_hash_is_that_of_the_manual) {
        /* Worked out with another program. */
        const char *fields[_AUDIT_FIELD_MAX] = {
                [AUDIT_FIELD_PREVIOUS] = "0000000000000000000000000000000000000000000000000000000000000000",
                [AUDIT_FIELD_SEQ] = "1",
                [AUDIT_FIELD_TIME] = "1795254407651902",
                [AUDIT_FIELD_ACTION] = "INSTANCE_CREATE",
                [AUDIT_FIELD_OUTCOME] = "accepted",
                [AUDIT_FIELD_INSTANCE] = "oslo",
                [AUDIT_FIELD_INSTANCE_ID] = "c4bca64b-d2a4-4edb-9e6c-d440acc9ab78",
                [AUDIT_FIELD_UID] = "1000",
                [AUDIT_FIELD_USER] = "älice",
                [AUDIT_FIELD_LOGIN_UID] = "1000",
                [AUDIT_FIELD_PID] = "12",
                [AUDIT_FIELD_PROCESS] = "ccpctl",
                [AUDIT_FIELD_SESSION] = "3",
                [AUDIT_FIELD_REMOTE_HOST] = "",
                [AUDIT_FIELD_JOB] = "1",
                [AUDIT_FIELD_DETAILS] = "{\"a\":1}",
        };
        char hash[AUDIT_HASH_TEXT_MAX], other[AUDIT_HASH_TEXT_MAX];

        audit_chain_hash(fields, hash);
        ck_assert_str_eq(hash, "5493b5872b21c4cb17ae4f7ee7198cd80883f22786525ae88cf740624f73fff4");

        /* Each value counts, and so does whether there is one, and where. */
        for (size_t i = 0; i < _AUDIT_FIELD_MAX; i++) {
                const char *value = fields[i];

                fields[i] = value ? NULL : "";
                audit_chain_hash(fields, other);
                ck_assert_str_ne(hash, other);
                fields[i] = value;
        }
}
END_TEST

/* --- verify --- */

START_TEST(a_whole_chain_is_found_right) {
        _cleanup_test_db_ TestDb t;
        _cleanup_test_outcome_ TestOutcome o = {};

        test_db_open(&t, NULL);
        verify(&t, &o);
        ck_assert_int_eq(o.verdict.fault, AUDIT_FAULT_NONE);
        ck_assert_uint_eq(o.verdict.first, 0);
        ck_assert_uint_eq(o.verdict.last, 0);
        ck_assert_uint_eq(o.verdict.n_verified, 0);

        append(&t, 3);
        verify(&t, &o);
        ck_assert_int_eq(o.verdict.fault, AUDIT_FAULT_NONE);
        ck_assert_uint_eq(o.verdict.seq, 0);
        ck_assert_uint_eq(o.verdict.first, 1);
        ck_assert_uint_eq(o.verdict.last, 3);
        ck_assert_uint_eq(o.verdict.n_verified, 3);
        TEST_STORE(&t, &o, store_query_audit, test_on_entries, &(StoreAuditFilter) { .limit = 1 });
        ck_assert_uint_eq(o.entries.n, 1);
        {
                _cleanup_test_outcome_ TestOutcome v = {};

                verify(&t, &v);
                ck_assert_mem_eq(v.verdict.head, o.entries.items[0]->hash, AUDIT_HASH_SIZE);
        }
}
END_TEST

START_TEST(what_was_tampered_with_is_found) {
#define REHASH "UPDATE ccpd_audit.entries e SET hash = ccpd_audit.entry_hash(e) WHERE seq = "
        static const struct {
                const char *sql;
                AuditFault fault;
                uint64_t seq;
        } cases[] = {
                { "UPDATE ccpd_audit.entries SET user_name = 'bob' WHERE seq = 3", AUDIT_FAULT_CHANGED, 3 },
                { "UPDATE ccpd_audit.entries SET time = time - 1 WHERE seq = 1", AUDIT_FAULT_CHANGED, 1 },
                { "UPDATE ccpd_audit.entries SET process = '' WHERE seq = 5", AUDIT_FAULT_CHANGED, 5 },
                { "UPDATE ccpd_audit.entries SET uid = 0 WHERE seq IN (2, 4)", AUDIT_FAULT_CHANGED, 2 },
                { "UPDATE ccpd_audit.entries SET details = '{ }' WHERE seq = 3", AUDIT_FAULT_CHANGED, 3 },
                { "UPDATE ccpd_audit.entries SET hash = previous WHERE seq = 5", AUDIT_FAULT_CHANGED, 5 },
                /* … with its hash made anew: the next one does not follow it; the last one is not the head */
                { "UPDATE ccpd_audit.entries SET uid = 0 WHERE seq = 3; " REHASH "3", AUDIT_FAULT_MOVED, 4 },
                { "UPDATE ccpd_audit.entries SET uid = 0 WHERE seq = 5; " REHASH "5", AUDIT_FAULT_CHANGED,
                                5 },
                { "DELETE FROM ccpd_audit.entries WHERE seq = 1", AUDIT_FAULT_REMOVED, 1 },
                { "DELETE FROM ccpd_audit.entries WHERE seq = 3", AUDIT_FAULT_REMOVED, 3 },
                { "DELETE FROM ccpd_audit.entries WHERE seq = 5", AUDIT_FAULT_REMOVED, 5 },
                { "DELETE FROM ccpd_audit.entries", AUDIT_FAULT_REMOVED, 1 },
                { "TRUNCATE ccpd_audit.entries", AUDIT_FAULT_REMOVED, 1 },
                /* … and those behind it moved up */
                { "DELETE FROM ccpd_audit.entries WHERE seq = 3; UPDATE ccpd_audit.entries SET seq = 3 "
                  "WHERE seq = 4;"
                  "UPDATE ccpd_audit.entries SET seq = 4 WHERE seq = 5",
                                AUDIT_FAULT_MOVED, 3 },
                { "INSERT INTO ccpd_audit.entries SELECT 6, time, action, outcome, instance, instance_id, "
                  "uid, "
                  "user_name, login_uid, pid, process, unit, session, remote_host, job, error_name, "
                  "details, hash, "
                  "hash FROM ccpd_audit.entries WHERE seq = 5; " REHASH "6",
                                AUDIT_FAULT_INSERTED, 6 },
                { "UPDATE ccpd_audit.checkpoint SET seq = 2, hash = (SELECT hash FROM ccpd_audit.entries "
                  "WHERE seq = "
                  "2)",
                                AUDIT_FAULT_INSERTED, 1 },
                /* … and those behind it moved down */
                { "UPDATE ccpd_audit.entries SET seq = -seq WHERE seq >= 3;"
                  "UPDATE ccpd_audit.entries SET seq = 1 - seq WHERE seq < 0;"
                  "INSERT INTO ccpd_audit.entries SELECT 3, time, action, outcome, instance, instance_id, "
                  "uid, "
                  "user_name, login_uid, pid, process, unit, session, remote_host, job, error_name, "
                  "details, hash, "
                  "hash FROM ccpd_audit.entries WHERE seq = 2; " REHASH "3",
                                AUDIT_FAULT_MOVED, 4 },
                { "UPDATE ccpd_audit.entries SET seq = 100 WHERE seq = 2; UPDATE ccpd_audit.entries SET seq "
                  "= 2 WHERE "
                  "seq = 3; UPDATE ccpd_audit.entries SET seq = 3 WHERE seq = 100",
                                AUDIT_FAULT_MOVED, 2 },
                { "UPDATE ccpd_audit.entries SET previous = hash WHERE seq = 2", AUDIT_FAULT_MOVED, 2 },
                { "UPDATE ccpd_audit.head SET hash = decode(repeat('00', 32), 'hex')", AUDIT_FAULT_CHANGED,
                                5 },
                { "UPDATE ccpd_audit.head SET seq = 4", AUDIT_FAULT_INSERTED, 5 },
                { "UPDATE ccpd_audit.head SET seq = 9", AUDIT_FAULT_REMOVED, 6 },
                { "DELETE FROM ccpd_audit.head", AUDIT_FAULT_INSERTED, 1 },
                { "DELETE FROM ccpd_audit.checkpoint", AUDIT_FAULT_MOVED, 1 },
                { "UPDATE ccpd_audit.checkpoint SET hash = decode(repeat('11', 32), 'hex')",
                                AUDIT_FAULT_MOVED, 1 },
                { "DELETE FROM ccpd_audit.entries; UPDATE ccpd_audit.checkpoint SET seq = 5",
                                AUDIT_FAULT_CHANGED, 5 },
                /* … what an attacker with all rights can write there is a fault all the same */
                { "ALTER TABLE ccpd_audit.entries DROP CONSTRAINT entries_uid_check;"
                  "UPDATE ccpd_audit.entries SET uid = -1, time = -1 WHERE seq = 2",
                                AUDIT_FAULT_CHANGED, 2 },
                { "ALTER TABLE ccpd_audit.entries ALTER user_name DROP NOT NULL;"
                  "UPDATE ccpd_audit.entries SET user_name = NULL WHERE seq = 2",
                                AUDIT_FAULT_CHANGED, 2 },
                { "ALTER TABLE ccpd_audit.entries DROP CONSTRAINT entries_seq_check;"
                  "UPDATE ccpd_audit.entries SET seq = -1 WHERE seq = 5",
                                AUDIT_FAULT_INSERTED, 0 },
        };

        FOREACH_ARRAY(c, cases, ELEMENTSOF(cases)) {
                _cleanup_test_db_ TestDb t;
                _cleanup_test_outcome_ TestOutcome o = {};
                _cleanup_free_ char *sql = NULL;

                test_db_open(&t, NULL);
                append(&t, 5);
                /* A case may break a constraint, and put it back. */
                sql = strjoin("ALTER TABLE ccpd_audit.entries DROP CONSTRAINT entries_seq_check, ADD "
                              "CONSTRAINT "
                              "entries_seq_check CHECK (true);",
                                c->sql);
                test_postgres_tamper(t.conninfo, sql);
                verify(&t, &o);
                ck_assert_msg(o.verdict.fault == c->fault && o.verdict.seq == c->seq, "%s: %s %u", c->sql,
                                audit_fault_to_string(o.verdict.fault), (unsigned) o.verdict.seq);
        }
}
END_TEST

START_TEST(others_get_their_turn_while_a_long_chain_is_verified) {
        _cleanup_test_db_ TestDb t;
        _cleanup_test_outcome_ TestOutcome o = {}, v = {};
        unsigned n_between = 0;

        test_db_open(&t, NULL);
        append_many(&t, 5500);
        make_older(&t, 4000, 100);
        ck_assert_int_eq(store_verify_audit(t.db, test_on_verdict, &v, NULL), 0);
        while (!v.done) {
                append(&t, 1);
                n_between++;
                if (n_between != 1)
                        continue;

                /* What was not looked at yet may go. */
                TEST_STORE(&t, &o, store_prune_audit, test_on_pruned, 60 * USEC_PER_DAY, &test_actor);
                ck_assert_uint_eq(o.n_removed, 4000);
        }
        ck_assert_int_eq(v.r, 0);
        ck_assert_str_eq(audit_fault_to_string(v.verdict.fault), "none");
        ck_assert_uint_eq(v.verdict.last, 5500);
        ck_assert_uint_lt(v.verdict.n_verified, 5500);
        ck_assert_uint_ge(v.verdict.n_verified, 1500);
        ck_assert_uint_ge(n_between, 3);
        assert_verdict(&t, AUDIT_FAULT_NONE, 0);

        /* A fault far behind */
        test_postgres_tamper(t.conninfo, "UPDATE ccpd_audit.entries SET uid = 0 WHERE seq = 5400");
        assert_verdict(&t, AUDIT_FAULT_CHANGED, 5400);
}
END_TEST

START_TEST(a_walk_ends_when_the_connection_does) {
        _cleanup_test_db_ TestDb t;
        _cleanup_test_outcome_ TestOutcome v = {};

        test_db_open(&t, NULL);
        append_many(&t, 5000);
        ck_assert_int_eq(store_verify_audit(t.db, test_on_verdict, &v, NULL), 0);
        append(&t, 1);
        ck_assert(!v.done);
        test_postgres_tamper(t.conninfo,
                        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'ccpd'");
        TEST_DB_WAIT(&t, v.done);
        ck_assert_int_lt(v.r, 0);
        ck_assert_str_eq(v.error.name, CCP_ERROR_STORE_UNAVAILABLE);
        /* … and leaves nothing behind when nobody waits for it any more */
        TEST_DB_WAIT(&t, db_is_available(t.db));
        ck_assert_int_eq(store_verify_audit(t.db, test_on_verdict, &v, NULL), 0);
        append(&t, 1);
}
END_TEST

/* --- prune --- */

START_TEST(old_entries_are_pruned_and_the_rest_stays_a_chain) {
        _cleanup_test_db_ TestDb t;
        _cleanup_test_outcome_ TestOutcome o = {};

        test_db_open(&t, NULL);
        append(&t, 6);

        /* None is old enough, whatever is asked for. */
        TEST_STORE(&t, &o, store_prune_audit, test_on_pruned, 0, &test_actor);
        ck_assert_int_eq(o.r, 0);
        ck_assert_uint_eq(o.n_removed, 0);
        make_older(&t, 6, 29);
        TEST_STORE(&t, &o, store_prune_audit, test_on_pruned, USEC_PER_DAY, &test_actor);
        ck_assert_uint_eq(o.n_removed, 0);
        ASSERT_QUERY(t.conninfo, "SELECT removed FROM ccpd_audit.prune(9223372036854775807)", "0");
        ASSERT_QUERY(t.conninfo, "SELECT count(*) FROM ccpd_audit.entries", "6");

        make_older(&t, 4, 40);
        TEST_STORE(&t, &o, store_prune_audit, test_on_pruned, 70 * USEC_PER_DAY, &test_actor);
        ck_assert_uint_eq(o.n_removed, 0);
        TEST_STORE(&t, &o, store_prune_audit, test_on_pruned, 60 * USEC_PER_DAY, &test_actor);
        ck_assert_msg(o.r == 0, "%s", o.error.message);
        ck_assert_uint_eq(o.n_removed, 4);
        ASSERT_QUERY(t.conninfo,
                        "SELECT string_agg(seq || action, ' ' ORDER BY seq) FROM ccpd_audit.entries",
                        "5USER_LOGIN 6USER_LOGIN 7AUDIT_PRUNE");
        ASSERT_QUERY(t.conninfo, "SELECT details FROM ccpd_audit.entries WHERE seq = 7",
                        "{\"removed\":4,\"last\":4}");

        verify(&t, &o);
        ck_assert_int_eq(o.verdict.fault, AUDIT_FAULT_NONE);
        ck_assert_uint_eq(o.verdict.first, 5);
        ck_assert_uint_eq(o.verdict.last, 7);
        ck_assert_uint_eq(o.verdict.n_verified, 3);
        append(&t, 1);
        assert_verdict(&t, AUDIT_FAULT_NONE, 0);

        /* More than the database would is found. */
        test_postgres_tamper(t.conninfo, "DELETE FROM ccpd_audit.entries WHERE seq = 5");
        assert_verdict(&t, AUDIT_FAULT_REMOVED, 5);
}
END_TEST

START_TEST(what_is_not_at_its_end_is_not_pruned) {
        _cleanup_test_db_ TestDb t;
        _cleanup_test_outcome_ TestOutcome o = {};
        uint64_t job;

        test_db_open(&t, NULL);
        append(&t, 2);
        free(test_create_instance(&t, "oslo", &job)); /* 3 */
        /* No end, although it succeeded. */
        TEST_STORE(&t, &o, store_cancel_job, test_on_job, job, &test_actor); /* 4 */
        append(&t, 2);
        make_older(&t, 6, 100);
        TEST_STORE(&t, &o, store_prune_audit, test_on_pruned, 60 * USEC_PER_DAY, &test_actor);
        ck_assert_uint_eq(o.n_removed, 2);
        ASSERT_QUERY(t.conninfo, "SELECT min(seq) FROM ccpd_audit.entries", "3");

        /* Once there is an end, that may be young. */
        test_finish(&t, job, JOB_SUCCEEDED, INSTANCE_RUNNING); /* 8, behind the entry of the pruning */
        TEST_STORE(&t, &o, store_prune_audit, test_on_pruned, 60 * USEC_PER_DAY, &test_actor);
        ck_assert_uint_eq(o.n_removed, 4);
        ASSERT_QUERY(t.conninfo, "SELECT min(seq) FROM ccpd_audit.entries", "7");
        ASSERT_QUERY(t.conninfo, "SELECT count(*) FROM ccpd_audit.finish(1, 'failed', NULL, '{}')", "0");
        assert_verdict(&t, AUDIT_FAULT_NONE, 0);
}
END_TEST

START_TEST(a_clock_that_was_set_back_does_not_matter) {
        _cleanup_test_db_ TestDb t;
        _cleanup_test_outcome_ TestOutcome o = {};

        /* The third says that it is younger than it is. */
        test_db_open(&t, NULL);
        append(&t, 5);
        make_older(&t, 5, 100);
        make_older(&t, 2, 1);
        test_postgres_tamper(t.conninfo,
                        "UPDATE ccpd_audit.entries SET time = time + 99 * 86400000000 WHERE seq = 3");
        make_older(&t, 0, 0);
        TEST_STORE(&t, &o, store_prune_audit, test_on_pruned, 60 * USEC_PER_DAY, &test_actor);
        ck_assert_uint_eq(o.n_removed, 2);
        assert_verdict(&t, AUDIT_FAULT_NONE, 0);
}
END_TEST

START_TEST(traces_are_not_tidied_away) {
        _cleanup_test_db_ TestDb t;
        _cleanup_test_outcome_ TestOutcome o = {};

        test_db_open(&t, NULL);
        append(&t, 5);
        make_older(&t, 4, 100);
        test_postgres_tamper(t.conninfo, "DELETE FROM ccpd_audit.entries WHERE seq = 2");
        TEST_STORE(&t, &o, store_prune_audit, test_on_pruned, 60 * USEC_PER_DAY, &test_actor);
        ck_assert_int_lt(o.r, 0);
        ck_assert_ptr_nonnull(strstr(o.error.message, "broken"));
        ASSERT_QUERY(t.conninfo, "SELECT count(*) FROM ccpd_audit.entries", "4");
        assert_verdict(&t, AUDIT_FAULT_REMOVED, 2);
}
END_TEST

/* --- what the daemon's role may do --- */

START_TEST(the_role_can_do_nothing_but_append) {
        static const struct {
                const char *sql, *sqlstate;
        } cases[] = {
                { "INSERT INTO ccpd_audit.entries SELECT * FROM ccpd_audit.entries", "42501" },
                { "UPDATE ccpd_audit.entries SET uid = 0", "42501" },
                { "DELETE FROM ccpd_audit.entries", "42501" },
                { "TRUNCATE ccpd_audit.entries", "42501" },
                { "SELECT * FROM ccpd_audit.entries FOR UPDATE", "42501" },
                { "SELECT * FROM ccpd_audit.head FOR SHARE", "42501" },
                { "BEGIN; LOCK TABLE ccpd_audit.entries IN EXCLUSIVE MODE", "42501" },
                { "UPDATE ccpd_audit.head SET seq = 0", "42501" },
                { "DELETE FROM ccpd_audit.checkpoint", "42501" },
                { "INSERT INTO ccpd_audit.versions VALUES (2)", "42501" },
                { "DROP TABLE ccpd_audit.entries", "42501" },
                { "DROP INDEX ccpd_audit.entries_by_job", "42501" },
                { "ALTER TABLE ccpd_audit.entries DISABLE TRIGGER ALL", "42501" },
                { "ALTER TABLE ccpd_audit.entries RENAME TO x", "42501" },
                { "ALTER TABLE ccpd_audit.entries OWNER TO ccpd", "42501" },
                { "CREATE TABLE ccpd_audit.x ()", "42501" },
                { "CREATE TABLE x (seq bigint REFERENCES ccpd_audit.entries)", "42501" },
                { "CREATE RULE x AS ON INSERT TO ccpd_audit.entries DO INSTEAD NOTHING", "42501" },
                { "CREATE TRIGGER x BEFORE INSERT ON ccpd_audit.entries EXECUTE FUNCTION notify_instance()",
                                "42501" },
                { "CREATE FUNCTION ccpd_audit.x() RETURNS int LANGUAGE sql RETURN 1", "42501" },
                { "DROP FUNCTION ccpd_audit.append", "42501" },
                { "ALTER FUNCTION ccpd_audit.append SECURITY INVOKER", "42501" },
                { "DROP SCHEMA ccpd_audit CASCADE", "42501" },
                { "ALTER SCHEMA ccpd_audit RENAME TO x", "42501" },
                { "SELECT ccpd_audit.link(e) FROM ccpd_audit.entries e", "42501" },
                { "SELECT ccpd_audit.terminal_of(e) FROM ccpd_audit.entries e", "42501" },
                { "SET ROLE ccpd_audit", "42501" },
                { "SET ROLE postgres", "42501" },
                { "CREATE ROLE x", "42501" },
                { "GRANT ccpd_audit TO ccpd", "42501" },
                { "SET session_replication_role = replica", "42501" },
                { "COPY ccpd_audit.entries FROM PROGRAM 'true'", "42501" },
        };
        _cleanup_free_ char *maintenance = NULL, *name = NULL, *drop = NULL, *rename = NULL;
        _cleanup_test_db_ TestDb t;

        test_db_open(&t, NULL);
        append(&t, 2);
        /* This is a warning. */
        free(test_postgres_query(t.conninfo, "GRANT ALL ON ALL TABLES IN SCHEMA ccpd_audit TO ccpd"));
        FOREACH_ARRAY(c, cases, ELEMENTSOF(cases)) {
                _cleanup_free_ char *sqlstate = test_postgres_sqlstate(t.conninfo, c->sql);

                ck_assert_msg(streq(sqlstate, c->sqlstate), "%s: %s", c->sql, sqlstate);
        }

        name = test_postgres_query(t.conninfo, "SELECT current_database()");
        maintenance = strjoin(t.conninfo, " dbname=postgres");
        drop = strjoin("DROP DATABASE ", name);
        rename = strjoin("ALTER DATABASE ", name, " RENAME TO x");
        ASSERT_SQLSTATE(maintenance, drop, "42501");
        ASSERT_SQLSTATE(maintenance, rename, "42501");
        ASSERT_QUERY(t.conninfo, "SELECT rolcanlogin OR rolsuper FROM pg_roles WHERE rolname = 'ccpd_audit'",
                        "f");
        assert_verdict(&t, AUDIT_FAULT_NONE, 0);
}
END_TEST

START_TEST(what_the_role_puts_in_the_way_is_not_used) {
        _cleanup_test_db_ TestDb t;

        /* Tables and functions of the same names, found first by whoever leaves it to the search path. */
        test_db_open(&t, NULL);
        append(&t, 1);
        free(test_postgres_query(t.conninfo,
                        "CREATE TEMPORARY TABLE entries (LIKE ccpd_audit.entries);"
                        "CREATE TEMPORARY TABLE head AS SELECT true AS one, 41::bigint AS seq, hash FROM "
                        "ccpd_audit.head;"
                        "CREATE FUNCTION public.sha256(bytea) RETURNS bytea LANGUAGE sql AS $$ SELECT $1 $$;"
                        "CREATE FUNCTION public.convert_to(text, name) RETURNS bytea LANGUAGE sql AS $$ "
                        "SELECT ''::"
                        "bytea $$;"
                        "CREATE FUNCTION public.join(text, text) RETURNS text LANGUAGE sql AS $$ SELECT 'x' "
                        "$$;"
                        "CREATE OPERATOR public.|| (FUNCTION = public.join, LEFTARG = text, RIGHTARG = "
                        "text);"
                        "SET search_path = pg_temp, public, pg_catalog;"
                        "SELECT seq FROM ccpd_audit.append('USER_LOGIN', 'succeeded', NULL, NULL, 1000, "
                        "'alice', "
                        "NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, '{}')"));
        ASSERT_QUERY(t.conninfo, "SELECT seq FROM ccpd_audit.head", "2");
        append(&t, 1);
        assert_verdict(&t, AUDIT_FAULT_NONE, 0);
}
END_TEST

START_TEST(the_database_refuses_what_is_no_entry) {
#define APPEND(action, outcome, uid, details)                                \
        "SELECT ccpd_audit.append(" action ", " outcome ", NULL, NULL, " uid \
        ", 'alice', NULL, NULL, NULL, NULL, "                                \
        "NULL, NULL, NULL, NULL, " details ")"
        _cleanup_test_db_ TestDb t;

        test_db_open(&t, NULL);
        ASSERT_SQLSTATE(t.conninfo, APPEND("'login'", "'succeeded'", "0", "'{}'"), "23514");
        ASSERT_SQLSTATE(t.conninfo, APPEND("NULL", "'succeeded'", "0", "'{}'"), "23502");
        ASSERT_SQLSTATE(t.conninfo, APPEND("'USER_LOGIN'", "'great'", "0", "'{}'"), "23514");
        ASSERT_SQLSTATE(t.conninfo, APPEND("'USER_LOGIN'", "'succeeded'", "-1", "'{}'"), "23514");
        ASSERT_SQLSTATE(t.conninfo, APPEND("'USER_LOGIN'", "'succeeded'", "0", "'[]'"), "23514");
        ASSERT_SQLSTATE(t.conninfo, APPEND("'USER_LOGIN'", "'succeeded'", "0", "'{'"), "22P02");
        ASSERT_SQLSTATE(t.conninfo, "SELECT ccpd_audit.finish(1, 'accepted', NULL, '{}')", "P0001");
        ASSERT_QUERY(t.conninfo, "SELECT seq FROM ccpd_audit.head", "0");
        append(&t, 1);
        assert_verdict(&t, AUDIT_FAULT_NONE, 0);
}
END_TEST

/* --- the end of a job --- */

START_TEST(a_job_ends_once_on_record) {
        enum { N = 6 };
        _cleanup_test_db_ TestDb t;
        PGconn *conns[N];
        uint64_t job;

        test_db_open(&t, NULL);
        free(test_create_instance(&t, "oslo", &job));

        /* They all wait for the head, and go on in some order. */
        free(test_postgres_query(t.conninfo,
                        "BEGIN; SELECT ccpd_audit.append('JOB_CANCEL', 'succeeded', 'oslo', NULL, 7, 'bob', "
                        "NULL, "
                        "NULL, NULL, NULL, NULL, NULL, 1, NULL, '{}'); COMMIT"));
        for (unsigned i = 0; i < N; i++) {
                conns[i] = PQconnectdb(t.conninfo);
                ck_assert_int_eq(PQsendQuery(conns[i],
                                                 "SELECT f.seq, f.user_name FROM pg_sleep(0.2), "
                                                 "ccpd_audit.finish(1, 'failed', 'x', '{}') f"),
                                1);
        }
        for (unsigned i = 0; i < N; i++) {
                PGresult *result = PQgetResult(conns[i]);

                /* Who did it is who began it. */
                ck_assert_msg(PQntuples(result) == 1, "%s", PQerrorMessage(conns[i]));
                ck_assert_str_eq(PQgetvalue(result, 0, 0), "3");
                ck_assert_str_eq(PQgetvalue(result, 0, 1), "alice");
                PQclear(result);
                PQfinish(conns[i]);
        }
        ASSERT_QUERY(t.conninfo,
                        "SELECT string_agg(action || ' ' || outcome, ',' ORDER BY seq) FROM "
                        "ccpd_audit.entries",
                        "INSTANCE_CREATE accepted,JOB_CANCEL succeeded,INSTANCE_CREATE failed");

        /* There was no such job, or no record of it when it was accepted. */
        ASSERT_QUERY(t.conninfo, "SELECT count(*) FROM ccpd_audit.finish(2, 'failed', NULL, '{}')", "0");
        assert_verdict(&t, AUDIT_FAULT_NONE, 0);
}
END_TEST

START_TEST(each_change_is_on_record) {
        _cleanup_test_db_ TestDb t;
        _cleanup_test_outcome_ TestOutcome o = {};
        _cleanup_free_ char *id = NULL;
        _cleanup_json_ json_t *details = json_pack("{s:s}", "blueprint", "b"),
                              *changes = json_pack("{s:i, s:n}", "job_concurrency", 7, "bind_address"),
                              *nothing = json_object();
        StoreCreate create = test_create("oslo", "oslo.example.org");
        StoreJobCreate restart;
        uint64_t job;

        test_db_open(&t, NULL);
        create.details = details;
        TEST_STORE(&t, &o, store_plan_instance, test_on_created, &create);
        ASSERT_QUERY(t.conninfo, "SELECT count(*) FROM ccpd_audit.entries", "0");

        TEST_STORE(&t, &o, store_create_instance, test_on_created, &create);
        id = strdup(o.instance->id);
        job = o.job->id;
        ASSERT_QUERY(t.conninfo,
                        "SELECT concat_ws(' ', action, outcome, instance, instance_id = (SELECT id FROM "
                        "instances), "
                        "job = (SELECT id FROM jobs), details) FROM ccpd_audit.entries WHERE seq = 1",
                        "INSTANCE_CREATE accepted oslo t t {\"blueprint\":\"b\"}");

        /* What is refused for a reason that its caller is told changes nothing, and is not on record. */
        TEST_STORE(&t, &o, store_create_instance, test_on_created, &create);
        ck_assert_str_eq(o.error.name, CCP_ERROR_SLUG_TAKEN);
        TEST_STORE(&t, &o, store_cancel_job, test_on_job, 4711, &test_actor);
        ck_assert_str_eq(o.error.name, CCP_ERROR_NO_SUCH_JOB);
        ASSERT_QUERY(t.conninfo, "SELECT seq FROM ccpd_audit.head", "1");

        TEST_STORE(&t, &o, store_cancel_job, test_on_job, job, &test_actor);
        test_finish(&t, job, JOB_CANCELLED, INSTANCE_RUNNING);
        restart = (StoreJobCreate) {
                .instance = id, .kind = JOB_RESTART, .actor = &test_actor, .details = details
        };
        TEST_STORE(&t, &o, store_create_job, test_on_created, &restart);
        ck_assert_msg(o.r == 0, "%s", o.error.message);
        test_finish(&t, o.job->id, JOB_SUCCEEDED, INSTANCE_RUNNING);
        TEST_STORE(&t, &o, store_set_settings, test_on_settings, changes, &test_actor);
        TEST_STORE(&t, &o, store_set_settings, test_on_settings, nothing, &test_actor);
        ck_assert_int_eq(o.r, 0);
        ASSERT_QUERY(t.conninfo,
                        "SELECT string_agg(concat_ws(' ', action, outcome, instance, job - (SELECT min(job) "
                        "FROM "
                        "ccpd_audit.entries), details), ',' ORDER BY seq) FROM ccpd_audit.entries WHERE seq "
                        "> 1",
                        "JOB_CANCEL succeeded oslo 0 {},"
                        "INSTANCE_CREATE cancelled oslo 0 {},"
                        "INSTANCE_RESTART accepted oslo 1 {\"blueprint\":\"b\"},"
                        "INSTANCE_RESTART succeeded oslo 1 {},"
                        "SETTINGS_UPDATE succeeded {\"job_concurrency\":7,\"bind_address\":null}");
        assert_verdict(&t, AUDIT_FAULT_NONE, 0);
}
END_TEST

START_TEST(what_is_not_on_record_is_not_done) {
        _cleanup_test_db_ TestDb t;
        _cleanup_test_outcome_ TestOutcome o = {};
        _cleanup_free_ char *id = NULL;
        _cleanup_json_ json_t *changes = json_pack("{s:i}", "job_concurrency", 7);
        const RoleGrant grant = { .subject = SUBJECT_USER, .name = "bob", .role = ROLE_ADMIN };
        const AuditEntry entry = login(&test_actor);
        StoreCreate create = test_create("bergen", NULL);
        uint64_t job;

        test_db_open(&t, NULL);
        id = test_create_instance(&t, "oslo", &job);
        test_postgres_tamper(t.conninfo, "ALTER FUNCTION ccpd_audit.append RENAME TO gone");

#define ASSERT_REFUSED(...)                                                             \
        do {                                                                            \
                TEST_STORE(&t, &o, ##__VA_ARGS__);                                      \
                ck_assert_int_eq(o.r, -EHOSTDOWN);                                      \
                ck_assert_str_eq(o.error.name, CCP_ERROR_STORE_UNAVAILABLE);            \
                ck_assert_ptr_nonnull(strstr(o.error.message, "audit record"));         \
                ck_assert_ptr_nonnull(strstr(o.error.message, "ccp-setup --database")); \
        } while (0)
        ASSERT_REFUSED(store_create_instance, test_on_created, &create);
        ASSERT_REFUSED(store_cancel_job, test_on_job, job, &test_actor);
        ASSERT_REFUSED(store_set_settings, test_on_settings, changes, &test_actor);
        ASSERT_REFUSED(store_set_role, test_on_roles, &grant, &test_actor);
        ASSERT_REFUSED(store_append_audit, test_on_entry, &entry);

        ASSERT_QUERY(t.conninfo, "SELECT count(*) FROM instances", "1");
        ASSERT_QUERY(t.conninfo, "SELECT cancel_requested FROM jobs", "f");
        ASSERT_QUERY(t.conninfo, "SELECT count(*) FROM settings", "0");
        ASSERT_QUERY(t.conninfo, "SELECT count(*) FROM roles", "0");

        /* A plan and what only reads need no record. */
        TEST_STORE(&t, &o, store_plan_instance, test_on_created, &create);
        ck_assert_int_eq(o.r, 0);
        TEST_STORE(&t, &o, store_load, test_on_contents);
        ck_assert_int_eq(o.r, 0);
}
END_TEST

START_TEST(without_the_record_nothing_goes) {
        _cleanup_free_ char *conninfo = test_postgres_new_database(), *setup = NULL;
        _cleanup_test_db_ TestDb t;

        test_postgres_tamper(conninfo, "ALTER SCHEMA ccpd_audit RENAME TO elsewhere");
        test_db_start(&t, conninfo);
        TEST_DB_WAIT(&t, t.n_unavailable > 0);
        ck_assert_ptr_nonnull(strstr(db_why_unavailable(t.db), "no audit record"));
        ck_assert_ptr_nonnull(strstr(db_why_unavailable(t.db), "/usr/lib/ccpd/ccp-setup --database"));

        test_postgres_tamper(conninfo,
                        "ALTER SCHEMA elsewhere RENAME TO ccpd_audit; UPDATE ccpd_audit.versions SET "
                        "version = 0");
        TEST_DB_WAIT(&t, t.n_unavailable > 1);
        ck_assert_ptr_nonnull(strstr(db_why_unavailable(t.db), "version 0"));

        /* It is looked for again, and a later version is as good. */
        test_postgres_tamper(conninfo, "UPDATE ccpd_audit.versions SET version = 2");
        TEST_DB_WAIT(&t, db_is_available(t.db));
        append(&t, 1);
}
END_TEST

START_TEST(the_files_can_be_run_again) {
        _cleanup_free_ char *sql = test_postgres_setup_sql("roles.sql"), *superuser = NULL;
        _cleanup_test_db_ TestDb t;

        test_db_open(&t, NULL);
        append(&t, 2);
        test_postgres_set_up(t.conninfo);
        append(&t, 1);
        assert_verdict(&t, AUDIT_FAULT_NONE, 0);

        /* Privileges that got lost, or that were too many, are as they should be again. */
        test_postgres_tamper(t.conninfo,
                        "REVOKE ALL ON ALL FUNCTIONS IN SCHEMA ccpd_audit FROM ccpd; REVOKE ALL ON SCHEMA "
                        "ccpd_audit FROM ccpd; GRANT ALL ON ccpd_audit.entries TO ccpd");
        test_postgres_set_up(t.conninfo);
        append(&t, 1);
        ASSERT_SQLSTATE(t.conninfo, "DELETE FROM ccpd_audit.entries", "42501");

        /* What somebody else made under our name is not taken for ours. */
        test_postgres_tamper(t.conninfo, "ALTER SCHEMA ccpd_audit OWNER TO ccpd");
        superuser = test_postgres_superuser(t.conninfo);
        ASSERT_SQLSTATE(superuser, sql, "P0001");
}
END_TEST

/* --- query --- */

/* Asks, and compares the numbers of what comes. */
#define ASSERT_FOUND(expected, ...)                                                                         \
        do {                                                                                                \
                _cleanup_string_builder_ StringBuilder _b = {};                                             \
                TEST_STORE(&t, &o, store_query_audit, test_on_entries,                                      \
                                &((StoreAuditFilter) { __VA_ARGS__ }));                                     \
                ck_assert_msg(o.r == 0, "%s", o.error.message);                                             \
                string_builder_append(&_b, "");                                                             \
                FOREACH_ARRAY(_e, o.entries.items, o.entries.n)                                             \
                        string_builder_appendf(&_b, "%s%u", _b.size > 0 ? " " : "", (unsigned) (*_e)->seq); \
                ck_assert_str_eq(_b.data ? _b.data : "", expected);                                         \
        } while (0)

START_TEST(entries_are_found_by_each_filter) {
        _cleanup_test_db_ TestDb t;
        _cleanup_test_outcome_ TestOutcome o = {};
        _cleanup_free_ char *id = NULL;
        const AuditActor bob = { .uid = 1001, .user = "bob", .login_uid = -1 },
                         nobody = { .uid = 2000, .user = "2000", .login_uid = -1 };
        AuditEntry entry;
        usec_t third;
        uint64_t job;

        test_db_open(&t, NULL);
        id = test_create_instance(&t, "oslo", &job);           /* 1 */
        test_finish(&t, job, JOB_SUCCEEDED, INSTANCE_RUNNING); /* 2 */
        entry = login(&bob);
        TEST_STORE(&t, &o, store_append_audit, test_on_entry, &entry); /* 3 */
        third = o.entry->time;
        entry.outcome = AUDIT_DENIED;
        entry.instance = "oslo";
        TEST_STORE(&t, &o, store_append_audit, test_on_entry, &entry); /* 4 */
        entry = login(&nobody);
        TEST_STORE(&t, &o, store_append_audit, test_on_entry, &entry); /* 5 */

        ASSERT_FOUND("5 4 3 2 1", );
        ASSERT_FOUND("1 2 3 4 5", .oldest_first = true);
        ASSERT_FOUND("5 4", .limit = 2);
        ASSERT_FOUND("2 3", .limit = 2, .oldest_first = true, .after = 1);
        ASSERT_FOUND("3 2", .before = 4, .after = 1);
        ASSERT_FOUND("4 2 1", .instance = "oslo");
        ASSERT_FOUND("", .instance = "OSLO");
        ASSERT_FOUND("", .instance = "' OR true --");
        ASSERT_FOUND("4 3", .user = "bob");
        ASSERT_FOUND("4 3", .user = "1001");
        ASSERT_FOUND("5", .user = "2000");
        ASSERT_FOUND("", .user = "99999999999");
        ASSERT_FOUND("2 1", .action = "INSTANCE_CREATE");
        ASSERT_FOUND("", .action = "NONSENSE");
        ASSERT_FOUND("4", .outcome = "denied");
        ASSERT_FOUND("5 4 3", .since = third);
        ASSERT_FOUND("2 1", .until = third);
        ASSERT_FOUND("3", .since = third, .until = third + 1);
        ASSERT_FOUND("4", .instance = "oslo", .user = "bob", .outcome = "denied", .since = third,
                        .action = "USER_LOGIN");
        ASSERT_FOUND("5 4 3 2 1", .until = UINT64_MAX, .before = UINT64_MAX, .limit = UINT64_MAX);
}
END_TEST

START_TEST(times_are_found_although_the_clock_was_set_back) {
        _cleanup_test_db_ TestDb t;
        _cleanup_test_outcome_ TestOutcome o = {};
        usec_t begin = now(CLOCK_REALTIME), third, day = USEC_PER_DAY;

        /* 1 and 2 are of tomorrow, 3 to 5 of today, 6 is of the day after tomorrow, 7 of today. */
        test_db_open(&t, NULL);
        append(&t, 2);
        make_older(&t, 2, -1);
        append(&t, 3);
        TEST_STORE(&t, &o, store_query_audit, test_on_entries,
                        &(StoreAuditFilter) { .before = 4, .limit = 1 });
        third = o.entries.items[0]->time;
        test_postgres_tamper(t.conninfo, "UPDATE ccpd_audit.head SET latest = latest + 86400000000");
        append(&t, 1);
        test_postgres_tamper(t.conninfo,
                        "UPDATE ccpd_audit.entries SET time = time + 2 * 86400000000 WHERE seq = 6");
        append(&t, 1);

        ASSERT_FOUND("7 6 5 4 3 2 1", .since = begin);
        ASSERT_FOUND("", .until = begin);
        ASSERT_FOUND("6 2 1", .since = begin + day / 2);
        ASSERT_FOUND("7 5 4 3", .until = begin + day / 2);
        ASSERT_FOUND("2 1", .since = begin + day / 2, .until = begin + 3 * day / 2);
        ASSERT_FOUND("6", .since = begin + 3 * day / 2);
        ASSERT_FOUND("1 2 6", .since = begin + day / 2, .oldest_first = true);
        ASSERT_FOUND("3", .since = third, .until = third + 1);
        ASSERT_FOUND("7 5 4 3", .user = "alice", .until = begin + day / 2);
}
END_TEST

START_TEST(each_way_to_ask_has_its_index) {
        static const struct {
                const char *args, *index;
                bool sorts; /* few come, of which the order is made */
        } cases[] = {
                { "NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 100, false, false",
                                "entries_pkey" },
                { "NULL, NULL, NULL, NULL, NULL, NULL, NULL, 15000, NULL, 100, false, false",
                                "entries_pkey" },
                { "NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 15000, 100, true, false",
                                "entries_pkey" },
                { "'i7', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 100, false, true",
                                "entries_by_instance" },
                { "'i7', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 100, true, true",
                                "entries_by_instance" },
                { "'i7', NULL, NULL, NULL, NULL, NULL, NULL, 15000, NULL, 100, false, true",
                                "entries_by_instance", true },
                { "'i7', NULL, NULL, NULL, NULL, 1000, NULL, NULL, 15000, 100, true, true",
                                "entries_by_instance", true },
                { "NULL, 'u7', NULL, NULL, NULL, NULL, NULL, NULL, NULL, 100, false, true",
                                "entries_by_user" },
                { "NULL, NULL, 1007, NULL, NULL, NULL, NULL, NULL, NULL, 100, false, true",
                                "entries_by_uid" },
                { "NULL, NULL, NULL, 'ACTION_RARE', NULL, NULL, NULL, NULL, NULL, 100, false, true",
                                "entries_by_action" },
                { "NULL, NULL, NULL, NULL, 'denied', NULL, NULL, NULL, NULL, 100, false, true",
                                "entries_by_outcome" },
                { "NULL, NULL, NULL, NULL, NULL, 1000000, 1100000, NULL, NULL, 100, false, false",
                                "entries_by_time", true },
        };
        _cleanup_test_db_ TestDb t;

        /* The hashes are of no matter here. */
        test_db_open(&t, NULL);
        test_postgres_tamper(t.conninfo,
                        "INSERT INTO ccpd_audit.entries SELECT n, n * 1000, CASE WHEN n % 997 = 0 THEN "
                        "'ACTION_RARE' "
                        "ELSE 'USER_LOGIN' END, CASE WHEN n % 991 = 0 THEN 'denied' ELSE 'succeeded' END, "
                        "'i' || n % "
                        "50, NULL, 1000 + n % 30, 'u' || n % 30, NULL, NULL, NULL, NULL, NULL, NULL, n, "
                        "NULL, '{}', "
                        "sha256(''), sha256('') FROM generate_series(1, 30000) n");
        test_postgres_tamper(t.conninfo, "ANALYZE ccpd_audit.entries");
        FOREACH_ARRAY(c, cases, ELEMENTSOF(cases)) {
                _cleanup_free_ char *sql = NULL, *plan = NULL;

                ck_assert_int_ge(asprintf(&sql,
                                                 "SET plan_cache_mode = force_custom_plan;"
                                                 "PREPARE q (text, text, bigint, text, text, bigint, "
                                                 "bigint, bigint, "
                                                 "bigint, bigint, boolean, boolean) AS %s;"
                                                 "EXPLAIN (FORMAT JSON) EXECUTE q (%s)",
                                                 sql_audit_select, c->args),
                                0);
                plan = test_postgres_query(t.conninfo, sql);
                ck_assert_msg(strstr(plan, c->index) && !strstr(plan, "Seq Scan"), "%s: %.4000s", c->args,
                                plan);
                if (!c->sorts)
                        ck_assert_msg(!strstr(plan, "Sort"), "%s: %.4000s", c->args, plan);
        }
}
END_TEST

TESTS("store-audit", an_entry_is_read_as_it_was_appended, no_text_keeps_an_entry_off_the_record,
                whoever_appends_listeners_are_told, many_writers_make_one_chain,
                the_hash_is_that_of_the_manual, a_whole_chain_is_found_right,
                what_was_tampered_with_is_found, others_get_their_turn_while_a_long_chain_is_verified,
                a_walk_ends_when_the_connection_does, old_entries_are_pruned_and_the_rest_stays_a_chain,
                what_is_not_at_its_end_is_not_pruned, a_clock_that_was_set_back_does_not_matter,
                traces_are_not_tidied_away, the_role_can_do_nothing_but_append,
                what_the_role_puts_in_the_way_is_not_used, the_database_refuses_what_is_no_entry,
                a_job_ends_once_on_record, each_change_is_on_record, what_is_not_on_record_is_not_done,
                without_the_record_nothing_goes, the_files_can_be_run_again,
                entries_are_found_by_each_filter, times_are_found_although_the_clock_was_set_back,
                each_way_to_ask_has_its_index)
