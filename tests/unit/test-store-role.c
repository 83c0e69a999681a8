/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "store-role.h"

#include <errno.h>

#include "alloc-util.h"
#include "store-test.h"
#include "string-util.h"
#include "test.h"

static RoleGrant grant_to(const char *name, uint32_t id, Role role, const char *instance) {
        return (RoleGrant) {
                .subject = SUBJECT_USER, .id = id, .name = name, .role = role, .instance = instance
        };
}

/* All roles: "operator user bob 1001 oslo", one in a line. */
static const char *list(const RoleRecords *l) {
        static char text[4096];
        size_t n = 0;

        text[0] = 0;
        for (size_t i = 0; i < l->n; i++) {
                const RoleRecord *r = l->items[i];

                ck_assert_ptr_eq(l->grants[i], &r->grant);
                ck_assert_ptr_eq(r->grant.name, r->name);
                ck_assert(!r->slug == !r->grant.instance && !r->slug == !*r->instance);
                n += (size_t) snprintf(text + n, sizeof(text) - n, "%s %s %s %u %s\n",
                                role_to_string(r->grant.role), subject_kind_to_string(r->grant.subject),
                                r->name, r->grant.id, r->slug ?: "-");
        }
        return text;
}

START_TEST(roles_are_granted_changed_and_revoked) {
        _cleanup_test_db_ TestDb t;
        _cleanup_test_outcome_ TestOutcome o = {};
        _cleanup_free_ char *id = NULL;
        usec_t begin = now(CLOCK_REALTIME);
        RoleGrant grant;

        test_db_open(&t, NULL);
        id = test_create_instance(&t, "oslo", NULL);
        TEST_STORE(&t, &o, store_load_roles, test_on_roles);
        ck_assert_uint_eq(o.roles->n, 0);

        grant = grant_to("bob", 1001, ROLE_VIEWER, NULL);
        TEST_STORE(&t, &o, store_set_role, test_on_roles, &grant, &test_actor);
        ck_assert_msg(o.r == 0, "%s", o.error.message);
        ck_assert_str_eq(list(o.roles), "viewer user bob 1001 -\n");
        ck_assert_str_eq(o.roles->items[0]->granted_by, "alice");
        ck_assert_uint_ge(o.roles->items[0]->granted_at, begin);

        /* A group of the same name, and another scope, are others. */
        grant = grant_to("bob", 50, ROLE_OPERATOR, id);
        grant.subject = SUBJECT_GROUP;
        TEST_STORE(&t, &o, store_set_role, test_on_roles, &grant, &test_actor);
        grant = grant_to("bob", 1001, ROLE_CLIENT, id);
        TEST_STORE(&t, &o, store_set_role, test_on_roles, &grant, &test_actor);
        ck_assert_str_eq(list(o.roles),
                        "viewer user bob 1001 -\nclient user bob 1001 oslo\noperator group bob 50 oslo\n");

        /* The same again is nothing, and another takes its place, also of another number. */
        TEST_STORE(&t, &o, store_set_role, test_on_roles, &grant, &test_actor);
        ck_assert_uint_eq(o.roles->n, 3);
        grant.role = ROLE_ADMIN;
        TEST_STORE(&t, &o, store_set_role, test_on_roles, &grant, &test_actor);
        grant = grant_to("bob", 1002, ROLE_VIEWER, NULL);
        TEST_STORE(&t, &o, store_set_role, test_on_roles, &grant, &test_actor);
        ck_assert_str_eq(list(o.roles),
                        "viewer user bob 1002 -\nadmin user bob 1001 oslo\noperator group bob 50 oslo\n");

        /* To revoke, the number does not matter. */
        grant = grant_to("bob", 0, _ROLE_INVALID, id);
        TEST_STORE(&t, &o, store_set_role, test_on_roles, &grant, &test_actor);
        ck_assert_msg(o.r == 0, "%s", o.error.message);
        ck_assert_str_eq(list(o.roles), "viewer user bob 1002 -\noperator group bob 50 oslo\n");
        TEST_STORE(&t, &o, store_set_role, test_on_roles, &grant, &test_actor);
        ck_assert_int_eq(o.r, -ENOENT);
        ck_assert_str_eq(o.error.name, CCP_ERROR_NO_SUCH_ROLE);
        ck_assert_ptr_nonnull(strstr(o.error.message, "'oslo'"));

        ASSERT_QUERY(t.conninfo,
                        "SELECT string_agg(concat_ws(' ', action, outcome, instance, instance_id IS NOT "
                        "NULL, details), "
                        "E'\\n' ORDER BY seq) FROM ccpd_audit.entries WHERE action LIKE 'USER%'",
                        "USER_CREATE succeeded f "
                        "{\"role\":\"viewer\",\"kind\":\"user\",\"name\":\"bob\",\"id\":1001,\"instance\":"
                        "\"\"}\n"
                        "USER_CREATE succeeded oslo t "
                        "{\"role\":\"operator\",\"kind\":\"group\",\"name\":\"bob\",\"id\":50,\"instance\":"
                        "\"oslo\"}\n"
                        "USER_CREATE succeeded oslo t "
                        "{\"role\":\"client\",\"kind\":\"user\",\"name\":\"bob\",\"id\":1001,\"instance\":"
                        "\"oslo\"}\n"
                        "USER_UPDATE succeeded oslo t "
                        "{\"role\":\"admin\",\"kind\":\"user\",\"name\":\"bob\",\"id\":1001,\"role_before\":"
                        "\"client\","
                        "\"instance\":\"oslo\"}\n"
                        "USER_UPDATE succeeded f "
                        "{\"role\":\"viewer\",\"kind\":\"user\",\"name\":\"bob\",\"id\":1002,\"role_"
                        "before\":\"viewer\","
                        "\"instance\":\"\"}\n"
                        "USER_DELETE succeeded oslo t "
                        "{\"role\":\"admin\",\"kind\":\"user\",\"name\":\"bob\",\"instance\":\"oslo\"}");
}
END_TEST

START_TEST(what_can_not_be_granted_is_refused) {
        _cleanup_test_db_ TestDb t;
        _cleanup_test_outcome_ TestOutcome o = {};
        RoleGrant grant;

        test_db_open(&t, NULL);
        grant = grant_to("bob", 1001, ROLE_CLIENT, "00000000-1111-2222-3333-444444444444");
        TEST_STORE(&t, &o, store_set_role, test_on_roles, &grant, &test_actor);
        ck_assert_str_eq(o.error.name, CCP_ERROR_NO_SUCH_INSTANCE);
        grant.instance = "'; DROP TABLE roles; --";
        TEST_STORE(&t, &o, store_set_role, test_on_roles, &grant, &test_actor);
        ck_assert_str_eq(o.error.name, CCP_ERROR_NO_SUCH_INSTANCE);
        grant = grant_to("bob", 1001, _ROLE_INVALID, NULL);
        TEST_STORE(&t, &o, store_set_role, test_on_roles, &grant, &test_actor);
        ck_assert_str_eq(o.error.name, CCP_ERROR_NO_SUCH_ROLE);

        free(test_postgres_query(t.conninfo,
                        "INSERT INTO roles SELECT 'user', n, 'u' || n, 'viewer', NULL, now(), 'root' FROM "
                        "generate_series(1, 1000) n"));
        grant = grant_to("bob", 1001, ROLE_VIEWER, NULL);
        TEST_STORE(&t, &o, store_set_role, test_on_roles, &grant, &test_actor);
        ck_assert_str_eq(o.error.name, CCP_ERROR_LIMIT_EXCEEDED);
        /* What is there can be changed. */
        grant = grant_to("u7", 7, ROLE_OPERATOR, NULL);
        TEST_STORE(&t, &o, store_set_role, test_on_roles, &grant, &test_actor);
        ck_assert_int_eq(o.r, 0);
        ck_assert_uint_eq(o.roles->n, STORE_ROLES_MAX);
        ASSERT_QUERY(t.conninfo, "SELECT seq FROM ccpd_audit.head", "1");
}
END_TEST

START_TEST(names_may_be_odd) {
        static const char *const names[] = {
                "o'neil",
                "a b",
                "DOMAIN\\user",
                "user@example.org",
                "$$",
                "%s",
                "{}",
                "\"",
                "machine$",
                "ünï-cöde",
                "NULL",
        };
        _cleanup_test_db_ TestDb t;
        _cleanup_test_outcome_ TestOutcome o = {};

        test_db_open(&t, NULL);
        FOREACH_ARRAY(name, names, ELEMENTSOF(names)) {
                RoleGrant grant = grant_to(*name, UINT32_MAX - 1, ROLE_OPERATOR, NULL);

                TEST_STORE(&t, &o, store_set_role, test_on_roles, &grant, &test_actor);
                ck_assert_msg(o.r == 0, "%s: %s", *name, o.error.message);
                ck_assert_uint_eq(o.roles->n, 1);
                ck_assert_str_eq(o.roles->items[0]->name, *name);
                ck_assert_uint_eq(o.roles->grants[0]->id, UINT32_MAX - 1);
                grant.role = _ROLE_INVALID;
                TEST_STORE(&t, &o, store_set_role, test_on_roles, &grant, &test_actor);
                ck_assert_uint_eq(o.roles->n, 0);
        }
}
END_TEST

START_TEST(roles_go_with_their_instance) {
        _cleanup_test_db_ TestDb t;
        _cleanup_test_outcome_ TestOutcome o = {};
        _cleanup_free_ char *id = NULL, *other = NULL;
        StoreFinish finish;
        RoleGrant grant;
        uint64_t job;
        PGconn *conn;
        PGnotify *n;

        test_db_open(&t, NULL);
        id = test_create_instance(&t, "oslo", &job);
        other = test_create_instance(&t, "bergen", NULL);
        grant = grant_to("bob", 1001, ROLE_CLIENT, id);
        TEST_STORE(&t, &o, store_set_role, test_on_roles, &grant, &test_actor);
        grant.instance = other;
        TEST_STORE(&t, &o, store_set_role, test_on_roles, &grant, &test_actor);
        grant = grant_to("bob", 1001, ROLE_VIEWER, NULL);
        TEST_STORE(&t, &o, store_set_role, test_on_roles, &grant, &test_actor);
        ck_assert_str_eq(list(o.roles),
                        "viewer user bob 1001 -\nclient user bob 1001 bergen\nclient user bob 1001 oslo\n");

        conn = PQconnectdb(t.conninfo);
        PQclear(PQexec(conn, "LISTEN " STORE_CHANNEL_ROLE));
        finish = (StoreFinish) { .job = job, .state = JOB_FAILED, .end = STORE_END_RELEASE };
        TEST_STORE(&t, &o, store_finish_job, test_on_job, &finish);
        ck_assert_int_eq(o.r, 0);
        TEST_STORE(&t, &o, store_load, test_on_contents);
        ck_assert_str_eq(list(o.contents->roles), "viewer user bob 1001 -\nclient user bob 1001 bergen\n");
        PQclear(PQexec(conn, "SELECT 1"));
        n = PQnotifies(conn);
        ck_assert_ptr_nonnull(n);
        ck_assert_str_eq(n->relname, STORE_CHANNEL_ROLE);
        PQfreemem(n);
        PQfinish(conn);
}
END_TEST

START_TEST(who_grants_at_once_does_not_grant_twice) {
        enum { N = 6 };
        static TestOutcome outcomes[N];
        _cleanup_free_ char *conninfo = test_postgres_new_database();
        const RoleGrant grant = grant_to("bob", 1001, ROLE_VIEWER, NULL);
        TestDb all[N];

        test_db_open(all, conninfo);
        for (unsigned i = 1; i < N; i++)
                test_db_open_beside(all + i, all);
        for (unsigned i = 0; i < N; i++)
                ck_assert_int_eq(store_set_role(all[i].db, &grant, &test_actor, test_on_roles, outcomes + i,
                                                 NULL, NULL),
                                0);
        for (unsigned i = 0; i < N; i++) {
                TEST_DB_WAIT(all, outcomes[i].done);
                ck_assert_msg(outcomes[i].r == 0, "%s", outcomes[i].error.message);
                ck_assert_uint_eq(outcomes[i].roles->n, 1);
                test_outcome_done(outcomes + i);
        }
        ASSERT_QUERY(conninfo, "SELECT count(*) FROM ccpd_audit.entries", "1");
        for (unsigned i = 0; i < N; i++)
                test_db_close(all + i);
}
END_TEST

TESTS("store-role", roles_are_granted_changed_and_revoked, what_can_not_be_granted_is_refused,
                names_may_be_odd, roles_go_with_their_instance, who_grants_at_once_does_not_grant_twice)
