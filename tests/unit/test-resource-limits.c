/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "resource-limits.h"
#include "string-util.h"
#include "test.h"

START_TEST(limits_survive_the_round_trip) {
        static const struct {
                LimitKind kind;
                const char *text, *shown;
                uint64_t value;
        } table[] = {
                { LIMIT_MEMORY, "16M", "16M", 16ULL << 20 },
                { LIMIT_MEMORY, "2048M", "2G", 2ULL << 30 },
                { LIMIT_MEMORY, "16385K", "16385K", 16385ULL << 10 },
                { LIMIT_MEMORY, "1T", "1T", 1ULL << 40 },
                { LIMIT_CPUS, "1.5", "1.5", 1500 },
                { LIMIT_CPUS, "2", "2", 2000 },
                { LIMIT_CPUS, "2.00", "2", 2000 },
                { LIMIT_CPUS, "0.01", "0.01", 10 },
                { LIMIT_CPUS, "1024", "1024", 1024000 },
                { LIMIT_PIDS, "1", "1", 1 },
                { LIMIT_PIDS, "4194304", "4194304", 4194304 },
        };

        FOREACH_ARRAY(i, table, ELEMENTSOF(table)) {
                _cleanup_json_ json_t *json = NULL;
                ResourceLimits l = {}, back;

                ck_assert_msg(limits_set(&l, i->kind, i->text) == 0, "%s", i->text);
                ck_assert_str_eq(LIMIT_FORMAT(&l, i->kind), i->shown);
                ck_assert_uint_eq(i->kind == LIMIT_MEMORY               ? l.memory
                                                : i->kind == LIMIT_CPUS ? l.cpus
                                                                        : l.pids,
                                i->value);
                ASSERT_OK(limits_to_json(&l, &json));
                ck_assert_uint_eq(json_object_size(json), 1);
                ASSERT_OK(limits_from_json(json, &back));
                ck_assert_mem_eq(&l, &back, sizeof(l));
        }
}
END_TEST

START_TEST(nonsense_is_refused) {
        static const struct {
                LimitKind kind;
                const char *text;
        } table[] = {
                { LIMIT_MEMORY, "" },
                { LIMIT_MEMORY, "512" },
                { LIMIT_MEMORY, "15M" },
                { LIMIT_MEMORY, "512m" },
                { LIMIT_MEMORY, "512MB" },
                { LIMIT_MEMORY, "-512M" },
                { LIMIT_MEMORY, "0.5G" },
                { LIMIT_MEMORY, "99999999999T" },
                { LIMIT_MEMORY, "18446744073709551616K" },
                { LIMIT_CPUS, "0" },
                { LIMIT_CPUS, "0.009" },
                { LIMIT_CPUS, "1.2345" },
                { LIMIT_CPUS, "1,5" },
                { LIMIT_CPUS, ".5" },
                { LIMIT_CPUS, "1024.001" },
                { LIMIT_CPUS, "99999999999999999999" },
                { LIMIT_CPUS, "inf" },
                { LIMIT_PIDS, "0" },
                { LIMIT_PIDS, "-1" },
                { LIMIT_PIDS, "4194305" },
                { LIMIT_PIDS, "10 " },
        };
        static const char *const jsons[] = { "[]", "{\"memory\": \"512M\"}", "{\"memory\": 0}",
                "{\"disk\": 1}", "{\"pids\": 1.5}" };

        FOREACH_ARRAY(i, table, ELEMENTSOF(table)) {
                ResourceLimits l = {};

                ck_assert_msg(limits_set(&l, i->kind, i->text) == -EINVAL, "%s", i->text);
                ck_assert_uint_eq(l.memory | l.cpus | l.pids, 0);
        }
        FOREACH_ARRAY(text, jsons, ELEMENTSOF(jsons)) {
                _cleanup_json_ json_t *json = json_loads(*text, 0, NULL);
                ResourceLimits l;

                ck_assert_msg(limits_from_json(json, &l) == -EBADMSG, "%s", *text);
        }
}
END_TEST

START_TEST(the_sentence_says_what_a_limit_has_to_be) {
        _cleanup_error_ Error e = {}, e2 = {};
        ResourceLimits l = {};

        ck_assert_int_lt(limits_set_named(&l, "memory", "lots", &e), 0);
        ck_assert_str_eq(e.name, CCP_ERROR_INVALID_ARGUMENT);
        ck_assert_str_eq(e.message,
                        "The limit 'memory' has to be a size of 16M or more, such as 512M or 2G.");
        ck_assert_int_lt(limits_set_named(&l, "disk", "1G", &e2), 0);
        ck_assert_str_eq(e2.message, "There is no limit 'disk'. There are memory, cpus and pids.");
}
END_TEST

START_TEST(what_was_chosen_goes_before_the_blueprint) {
        const ResourceLimits chosen = { .memory = 1 }, blueprint = { .memory = 2, .pids = 3 };
        ResourceLimits l = limits_merge(&chosen, &blueprint);

        ck_assert_uint_eq(l.memory, 1);
        ck_assert_uint_eq(l.cpus, 0);
        ck_assert_uint_eq(l.pids, 3);
        ck_assert_str_eq(LIMIT_FORMAT(&l, LIMIT_CPUS), "");
}
END_TEST

TESTS("resource-limits", limits_survive_the_round_trip, nonsense_is_refused,
                the_sentence_says_what_a_limit_has_to_be, what_was_chosen_goes_before_the_blueprint)
