/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "role.h"
#include "test.h"

#define ALPHA "00000000-0000-0000-0000-00000000000a"
#define BETA "00000000-0000-0000-0000-00000000000b"

static SubjectGroup groups[] = { { 2000, (char *) "staff" }, { 2001, NULL } };
static const Subject alice = { 1000, (char *) "alice", groups, ELEMENTSOF(groups) };

static Role evaluate(const RoleGrant *g, const Subject *s, const char *instance) {
        return role_evaluate(&g, 1, s, instance);
}

START_TEST(root_is_admin_of_everything) {
        const Subject root = { .uid = 0 };

        ck_assert_int_eq(role_evaluate(NULL, 0, &root, NULL), ROLE_ADMIN);
        ck_assert_int_eq(role_evaluate(NULL, 0, &root, ALPHA), ROLE_ADMIN);
        ck_assert_int_eq(role_evaluate(NULL, 0, &alice, NULL), _ROLE_INVALID);
}
END_TEST

START_TEST(number_and_name_must_both_be_the_holders) {
        const Subject other = { 1000, (char *) "bob" }, renumbered = { 1001, (char *) "alice" },
                      nameless = { 1000 };
        const RoleGrant g = { SUBJECT_USER, 1000, "alice", ROLE_OPERATOR, NULL };

        ck_assert_int_eq(evaluate(&g, &alice, NULL), ROLE_OPERATOR);
        ck_assert_int_eq(evaluate(&g, &other, NULL), _ROLE_INVALID);
        ck_assert_int_eq(evaluate(&g, &renumbered, NULL), _ROLE_INVALID);
        ck_assert_int_eq(evaluate(&g, &nameless, NULL), _ROLE_INVALID);
}
END_TEST

START_TEST(a_group_is_no_user) {
        const RoleGrant group = { SUBJECT_GROUP, 2000, "staff", ROLE_VIEWER, NULL },
                        nameless = { SUBJECT_GROUP, 2001, "ghosts", ROLE_VIEWER, NULL },
                        user = { SUBJECT_USER, 2000, "staff", ROLE_VIEWER, NULL };

        ck_assert_int_eq(evaluate(&group, &alice, NULL), ROLE_VIEWER);
        ck_assert_int_eq(evaluate(&nameless, &alice, NULL), _ROLE_INVALID);
        ck_assert_int_eq(evaluate(&user, &alice, NULL), _ROLE_INVALID);
}
END_TEST

START_TEST(a_role_for_one_instance_is_a_clients_for_the_fleet) {
        const RoleGrant g = { SUBJECT_USER, 1000, "alice", ROLE_ADMIN, ALPHA };

        ck_assert_int_eq(evaluate(&g, &alice, ALPHA), ROLE_ADMIN);
        ck_assert_int_eq(evaluate(&g, &alice, BETA), _ROLE_INVALID);
        ck_assert_int_eq(evaluate(&g, &alice, NULL), ROLE_CLIENT);
}
END_TEST

START_TEST(the_highest_of_all_grants_counts) {
        const RoleGrant a = { SUBJECT_USER, 1000, "alice", ROLE_VIEWER, NULL },
                        b = { SUBJECT_GROUP, 2000, "staff", ROLE_OPERATOR, BETA },
                        c = { SUBJECT_USER, 1000, "alice", ROLE_CLIENT, BETA };
        const RoleGrant *all[] = { &c, &b, &a };

        ck_assert_int_eq(role_evaluate(all, 3, &alice, NULL), ROLE_VIEWER);
        ck_assert_int_eq(role_evaluate(all, 3, &alice, ALPHA), ROLE_VIEWER);
        ck_assert_int_eq(role_evaluate(all, 3, &alice, BETA), ROLE_OPERATOR);
}
END_TEST

TESTS("role", root_is_admin_of_everything, number_and_name_must_both_be_the_holders, a_group_is_no_user,
                a_role_for_one_instance_is_a_clients_for_the_fleet, the_highest_of_all_grants_counts)
