/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <errno.h>
#include <stdio.h>

#include "alloc-util.h"
#include "json-util.h"
#include "store-test.h"
#include "string-util.h"
#include "test.h"

START_TEST(an_instance_is_recorded_with_all_that_is_its) {
        _cleanup_test_db_ TestDb t;
        _cleanup_test_outcome_ TestOutcome o = {};
        StoreCreate create = test_create("oslo", "oslo.example.org");
        _cleanup_json_ json_t *parameters = json_pack("{s:s, s:i}", "email", "a\"b@example.org", "n", 3),
                              *spec = json_pack("{s:b}", "plan", 0);
        size_t n_done = 0, n;
        const JobStep *steps;

        create.parameters = parameters;
        create.spec = spec;
        create.source = "/srv/source";
        test_db_open(&t, NULL);
        TEST_STORE(&t, &o, store_create_instance, test_on_created, &create);
        ck_assert_msg(o.r == 0, "%s", o.error.message);

        ck_assert_str_eq(o.instance->id, create.id);
        ck_assert_str_eq(o.instance->slug, "oslo");
        ck_assert_str_eq(o.instance->name, "A Chapter");
        ck_assert_str_eq(o.instance->domain, "oslo.example.org");
        ck_assert_str_eq(o.instance->blueprint, "changemaker-lite");
        ck_assert_str_eq(o.instance->blueprint_version, "1.0");
        ck_assert_str_eq(o.instance->source, "/srv/source");
        ck_assert_str_eq(o.instance->bind_address, "127.0.0.1");
        ck_assert_int_eq(o.instance->state, INSTANCE_PROVISIONING);
        ck_assert_uint_eq(o.instance->revision, 0);
        ck_assert(json_equal(o.instance->parameters, parameters));
        ck_assert_uint_eq(strv_length(o.instance->features), 2);
        ck_assert_str_eq(o.instance->features[1], "media");
        ck_assert_uint_eq(o.instance->n_ports, 2);
        ck_assert_str_eq(o.instance->ports[0].name, "db");
        ck_assert_str_eq(o.instance->ports[0].host, STORE_HOST_LOCAL);
        ck_assert_uint_eq(instance_record_port(o.instance, "web"), 10000);
        ck_assert_uint_eq(instance_record_port(o.instance, "db"), 15400);
        ck_assert_uint_eq(instance_record_port(o.instance, "none"), 0);
        ck_assert(o.instance->has_subnet);
        ck_assert_str_eq(SUBNET_FORMAT(&o.instance->subnet), "10.200.0.0/26");
        ck_assert_uint_lt(now(CLOCK_REALTIME) - o.instance->created_at, USEC_PER_MINUTE);

        ck_assert_uint_gt(o.job->id, 0);
        ck_assert_str_eq(o.job->instance, create.id);
        ck_assert_str_eq(o.job->slug, "oslo");
        ck_assert_int_eq(o.job->kind, JOB_CREATE);
        ck_assert_int_eq(o.job->state, JOB_QUEUED);
        ck_assert_int_eq(o.job->state_before, INSTANCE_PROVISIONING);
        ck_assert(json_equal(o.job->spec, spec));
        ck_assert_str_eq(o.job->started_by, "alice");
        ck_assert_uint_eq(o.job->started_by_uid, 1000);
        ck_assert_uint_eq(o.job->started_at, 0);
        steps = job_kind_steps(JOB_CREATE, &n);
        ck_assert_uint_eq(o.job->n_steps, n);
        for (size_t i = 0; i < n; i++) {
                const StepRecord *s = o.job->steps + i;

                ck_assert_uint_eq(s->number, i + 1);
                ck_assert_str_eq(s->name, steps[i].name);
                ck_assert_int_eq(s->state, steps[i].by_daemon ? STEP_DONE : STEP_PENDING);
                ck_assert((s->finished_at > 0) == steps[i].by_daemon);
                n_done += s->state == STEP_DONE;
        }
        ck_assert_uint_eq(n_done, 4);

        ASSERT_QUERY(t.conninfo,
                        "SELECT string_agg(name || version || key_id || encode(sealed, 'hex'), ' ' ORDER BY "
                        "name "
                        "COLLATE \"C\") FROM secrets",
                        "POSTGRES_PASSWORD10123456789abcdef007365616c6564ff "
                        "smtp_password10123456789abcdef78");
}
END_TEST

START_TEST(a_slug_and_a_domain_belong_to_one) {
        _cleanup_test_db_ TestDb t;
        _cleanup_test_outcome_ TestOutcome o = {};
        StoreCreate first = test_create("oslo", "oslo.example.org"),
                    same_slug = test_create("oslo", "other.example.org"),
                    same_domain = test_create("bergen", "oslo.example.org"),
                    no_domain = test_create("molde", NULL), no_domain_either = test_create("narvik", NULL);

        test_db_open(&t, NULL);
        TEST_STORE(&t, &o, store_create_instance, test_on_created, &first);
        ck_assert_int_eq(o.r, 0);

        TEST_STORE(&t, &o, store_create_instance, test_on_created, &same_slug);
        ck_assert_int_eq(o.r, -EEXIST);
        ck_assert_str_eq(o.error.name, CCP_ERROR_SLUG_TAKEN);
        ck_assert_ptr_nonnull(strstr(o.error.message, "'oslo'"));

        TEST_STORE(&t, &o, store_create_instance, test_on_created, &same_domain);
        ck_assert_int_eq(o.r, -EEXIST);
        ck_assert_str_eq(o.error.name, CCP_ERROR_DOMAIN_TAKEN);
        ck_assert_ptr_nonnull(strstr(o.error.message, "oslo.example.org"));
        ck_assert_ptr_nonnull(strstr(o.error.message, "'oslo'"));

        TEST_STORE(&t, &o, store_create_instance, test_on_created, &no_domain);
        ck_assert_int_eq(o.r, 0);
        ck_assert_ptr_null(o.instance->domain);
        TEST_STORE(&t, &o, store_create_instance, test_on_created, &no_domain_either);
        ck_assert_int_eq(o.r, 0);
        ASSERT_QUERY(t.conninfo, "SELECT count(*) FROM instances", "3");
        ASSERT_QUERY(t.conninfo, "SELECT count(*) FROM jobs", "3");
}
END_TEST

START_TEST(ports_in_use_are_passed_over) {
        static PortSet in_use;
        _cleanup_test_db_ TestDb t;
        _cleanup_test_outcome_ TestOutcome o = {};
        StoreCreate create = test_create("oslo", NULL);
        const StorePortRequest requests[] = {
                { "a", "20000-20005", { 20000, 20005 } },
                { "b", "20000-20005", { 20000, 20005 } },
                { "c", "20001-20003", { 20001, 20003 } },
        };

        port_set_add(&in_use, 20000);
        port_set_add(&in_use, 20002);
        port_set_add(&in_use, 9);
        create.ports = requests;
        create.n_ports = ELEMENTSOF(requests);
        create.ports_in_use = &in_use;
        test_db_open(&t, NULL);
        TEST_STORE(&t, &o, store_create_instance, test_on_created, &create);
        ck_assert_msg(o.r == -EADDRNOTAVAIL, "%d", o.r);
        ck_assert_str_eq(o.error.name, CCP_ERROR_PORTS_EXHAUSTED);
        ck_assert_ptr_nonnull(strstr(o.error.message, "'c'"));
        ck_assert_ptr_nonnull(strstr(o.error.message, "20001-20003"));
        ASSERT_QUERY(t.conninfo, "SELECT count(*) FROM instances", "0");

        create.n_ports = 2;
        TEST_STORE(&t, &o, store_create_instance, test_on_created, &create);
        ck_assert_int_eq(o.r, 0);
        ck_assert_uint_eq(instance_record_port(o.instance, "a"), 20001);
        ck_assert_uint_eq(instance_record_port(o.instance, "b"), 20003);
}
END_TEST

START_TEST(an_instance_may_have_no_ports_and_no_secrets) {
        _cleanup_test_db_ TestDb t;
        _cleanup_test_outcome_ TestOutcome o = {};
        StoreCreate create = test_create("oslo", NULL);

        create.n_ports = 0;
        create.n_secrets = 0;
        create.features = NULL;
        test_db_open(&t, NULL);
        TEST_STORE(&t, &o, store_create_instance, test_on_created, &create);
        ck_assert_int_eq(o.r, 0);
        ck_assert_uint_eq(o.instance->n_ports, 0);
        ck_assert_uint_eq(strv_length(o.instance->features), 0);
        ck_assert_uint_eq(json_object_size(o.instance->parameters), 0);
}
END_TEST

/* What the core would choose, for comparison. */
static void check_subnet(TestDb *t, const Subnet *pool, const Subnet *routes, size_t n_routes,
                const Subnet *taken, size_t n_taken) {
        _cleanup_test_outcome_ TestOutcome o = {};
        StoreCreate create = test_create("next", NULL);
        Subnet expected;
        int r;

        create.subnet_pool = *pool;
        create.subnets_in_use = routes;
        create.n_subnets_in_use = n_routes;
        TEST_STORE(t, &o, store_plan_instance, test_on_created, &create);
        r = subnet_find_free(pool, INSTANCE_SUBNET_PREFIX, taken, n_taken, &expected);
        ck_assert_int_eq(o.r, r);
        if (r < 0)
                ck_assert_str_eq(o.error.name, CCP_ERROR_SUBNETS_EXHAUSTED);
        else
                ck_assert_str_eq(SUBNET_FORMAT(&o.instance->subnet), SUBNET_FORMAT(&expected));
}

START_TEST(subnets_avoid_records_and_routes) {
        static const char *const pools[] = { "10.200.0.0/15", "10.200.0.0/24", "10.200.0.0/25",
                "10.200.0.64/26", "10.200.1.0/24", "10.0.0.0/8", "192.168.0.0/16" };
        static const char *const routes[] = { "10.200.0.128/25", "10.200.0.33/32", "10.200.0.64/27",
                "10.0.0.0/8", "10.200.0.0/16", "172.16.0.0/12", "10.200.1.0/28", "0.0.0.0/1",
                "10.201.0.0/16" };
        _cleanup_test_db_ TestDb t;

        test_db_open(&t, NULL);
        /* All pools, with none, one or two of the routes, before and after some instances. */
        for (unsigned round = 0; round < 2; round++) {
                FOREACH_ARRAY(p, pools, ELEMENTSOF(pools))
                        for (size_t a = 0; a < ELEMENTSOF(routes); a++)
                                for (size_t b = a; b < ELEMENTSOF(routes); b += 5) {
                                        Subnet pool, taken[5];
                                        size_t n = 0;

                                        ASSERT_OK(subnet_parse(*p, &pool));
                                        ASSERT_OK(subnet_parse(routes[a], taken + n++));
                                        if (b > a)
                                                ASSERT_OK(subnet_parse(routes[b], taken + n++));
                                        if (round > 0) {
                                                ASSERT_OK(subnet_parse("10.200.0.0/26", taken + n));
                                                ASSERT_OK(subnet_parse("10.200.0.64/26", taken + n + 1));
                                        }
                                        check_subnet(&t, &pool, taken, n, taken, n + (round > 0 ? 2 : 0));
                                }

                if (round == 0) {
                        free(test_create_instance(&t, "one", NULL));
                        free(test_create_instance(&t, "two", NULL));
                }
        }
}
END_TEST

START_TEST(exhausted_subnets_are_told) {
        _cleanup_test_db_ TestDb t;
        _cleanup_test_outcome_ TestOutcome o = {};
        StoreCreate create;

        test_db_open(&t, NULL);
        for (unsigned i = 0; i < 5; i++) {
                char slug[16];

                (void) snprintf(slug, sizeof(slug), "i%u", i);
                create = test_create(slug, NULL);
                create.subnet_pool = (Subnet) { 0x0AC80000, 24 };
                TEST_STORE(&t, &o, store_create_instance, test_on_created, &create);
                ck_assert_int_eq(o.r, i < 4 ? 0 : -EADDRNOTAVAIL);
        }
        ck_assert_str_eq(o.error.name, CCP_ERROR_SUBNETS_EXHAUSTED);
        ck_assert_ptr_nonnull(strstr(o.error.message, "10.200.0.0/24"));
        ck_assert_ptr_nonnull(strstr(o.error.message, ": 4 of it"));
}
END_TEST

START_TEST(a_plan_keeps_nothing) {
        _cleanup_test_db_ TestDb t;
        _cleanup_test_outcome_ TestOutcome o = {};
        StoreCreate create = test_create("oslo", "oslo.example.org");

        test_db_open(&t, NULL);
        TEST_STORE(&t, &o, store_plan_instance, test_on_created, &create);
        ck_assert_int_eq(o.r, 0);
        ck_assert_uint_eq(instance_record_port(o.instance, "web"), 10000);
        ASSERT_QUERY(t.conninfo, "SELECT count(*) FROM instances", "0");
        ASSERT_QUERY(t.conninfo, "SELECT count(*) FROM jobs", "0");

        /* What was planned is what is made. */
        TEST_STORE(&t, &o, store_create_instance, test_on_created, &create);
        ck_assert_int_eq(o.r, 0);
        ck_assert_uint_eq(instance_record_port(o.instance, "web"), 10000);
        TEST_STORE(&t, &o, store_plan_instance, test_on_created, &create);
        ck_assert_str_eq(o.error.name, CCP_ERROR_SLUG_TAKEN);
}
END_TEST

START_TEST(many_at_once_share_nothing) {
        enum { CONNECTIONS = 8, EACH = 25 };
        static TestOutcome outcomes[CONNECTIONS][EACH];
        _cleanup_free_ char *conninfo = test_postgres_new_database();
        TestDb all[CONNECTIONS];

        test_db_open(all, conninfo);
        for (unsigned i = 1; i < CONNECTIONS; i++)
                test_db_open_beside(all + i, all);

        for (unsigned i = 0; i < CONNECTIONS; i++)
                for (unsigned k = 0; k < EACH; k++) {
                        char slug[32];
                        StoreCreate create;

                        (void) snprintf(slug, sizeof(slug), "i%u-%u", i, k);
                        create = test_create(slug, NULL);
                        ASSERT_OK(store_create_instance(
                                        all[i].db, &create, test_on_created, &outcomes[i][k], NULL, NULL));
                }

        for (unsigned i = 0; i < CONNECTIONS; i++)
                TEST_DB_WAIT(all, db_n_requests(all[i].db) == 0);

        for (unsigned i = 0; i < CONNECTIONS; i++) {
                for (unsigned k = 0; k < EACH; k++) {
                        ck_assert_msg(outcomes[i][k].r == 0, "%s", outcomes[i][k].error.message);
                        test_outcome_done(&outcomes[i][k]);
                }
                test_db_close(all + i);
        }

        ASSERT_QUERY(conninfo, "SELECT count(*) FROM instances", "200");
        ASSERT_QUERY(conninfo,
                        "SELECT count(DISTINCT (host, number)) || ' ' || max(number) FILTER (WHERE name = "
                        "'web') FROM ports",
                        "400 10199");
        ASSERT_QUERY(conninfo, "SELECT count(DISTINCT subnet) || ' ' || max(subnet) FROM subnets",
                        "200 10.200.49.192/26");
        ASSERT_QUERY(conninfo, "SELECT count(*) FROM jobs", "200");
}
END_TEST

START_TEST(with_thousands_it_is_still_fast) {
        _cleanup_test_db_ TestDb t;
        _cleanup_test_outcome_ TestOutcome o = {};
        _cleanup_free_ char *answer = NULL;
        StoreCreate create = test_create("late", NULL);
        usec_t begin, best[2] = { USEC_INFINITY, USEC_INFINITY };

        test_db_open(&t, NULL);
        answer = test_postgres_query(t.conninfo,
                        "INSERT INTO instances (id, slug, name, blueprint, blueprint_version, engine, "
                        "bind_address) SELECT gen_random_uuid(), 'i' || n, 'x', 'b', '1', 'compose', '' "
                        "FROM "
                        "generate_series(1, 2000) n;"
                        "INSERT INTO subnets SELECT id, set_masklen(inet '10.200.0.0' + 64 * "
                        "(substr(slug, 2)::bigint - 1), 26)::cidr FROM instances;"
                        "INSERT INTO ports SELECT 'local', 9999 + substr(slug, 2)::int, id, 'web' FROM "
                        "instances WHERE substr(slug, 2)::int <= 900;"
                        "ANALYZE");

        /* The best of some: the machine may be busy with other things. */
        for (unsigned i = 0; i < 5; i++) {
                begin = now(CLOCK_MONOTONIC);
                TEST_STORE(&t, &o, store_plan_instance, test_on_created, &create);
                best[0] = MIN(best[0], now(CLOCK_MONOTONIC) - begin);
                ck_assert_int_eq(o.r, 0);
                ck_assert_uint_eq(instance_record_port(o.instance, "web"), 10900);
                ck_assert_str_eq(SUBNET_FORMAT(&o.instance->subnet), "10.201.244.0/26");

                begin = now(CLOCK_MONOTONIC);
                TEST_STORE(&t, &o, store_load, test_on_contents);
                best[1] = MIN(best[1], now(CLOCK_MONOTONIC) - begin);
                ck_assert_int_eq(o.r, 0);
                ck_assert_uint_eq(o.contents->instances.n, 2000);
        }
        ck_assert_msg(best[0] < 300 * USEC_PER_MSEC, "%s", FORMAT_TIMESPAN(best[0]));
        ck_assert_msg(best[1] < 2 * USEC_PER_SEC, "%s", FORMAT_TIMESPAN(best[1]));
}
END_TEST

START_TEST(all_of_a_create_is_copied) {
        _cleanup_test_db_ TestDb t;
        _cleanup_test_outcome_ TestOutcome o = {};
        StoreCreate create = test_create("oslo", NULL);
        char slug[] = "oslo", port[] = "web", secret[] = "SECRET", sealed[] = "sealed";
        StorePortRequest request = { port, port, { 10000, 10010 } };
        StoreSecret one = { secret, secret, sealed, 6 };

        create.slug = slug;
        create.ports = &request;
        create.n_ports = 1;
        create.secrets = &one;
        create.n_secrets = 1;
        test_db_open(&t, NULL);
        ASSERT_OK(store_create_instance(t.db, &create, test_on_created, &o, NULL, NULL));
        memset(slug, 'x', 4);
        memset(port, 'x', 3);
        memset(secret, 'x', 6);
        memset(sealed, 'x', 6);
        TEST_DB_WAIT(&t, o.done);
        ck_assert_int_eq(o.r, 0);
        ck_assert_str_eq(o.instance->slug, "oslo");
        ck_assert_uint_eq(instance_record_port(o.instance, "web"), 10000);
        ASSERT_QUERY(t.conninfo, "SELECT name || convert_from(sealed, 'UTF8') FROM secrets", "SECRETsealed");
}
END_TEST

TESTS("store-create", an_instance_is_recorded_with_all_that_is_its, a_slug_and_a_domain_belong_to_one,
                ports_in_use_are_passed_over, an_instance_may_have_no_ports_and_no_secrets,
                subnets_avoid_records_and_routes, exhausted_subnets_are_told, a_plan_keeps_nothing,
                many_at_once_share_nothing, with_thousands_it_is_still_fast, all_of_a_create_is_copied)
