/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What every unit test shares: check's macros, and a main() that runs the cases of one file. Cases run in
 * this process (CK_NOFORK), so that the sanitizers see all of it; CK_FORK=yes overrules. */

#include <check.h>
#include <stdlib.h>

#include "ccp/macro.h"

static inline int test_main(const char *name, void (*const *add)(TCase *tc)) {
        Suite *suite = suite_create(name);
        TCase *tc = tcase_create(name);
        SRunner *runner;
        int failed;

        tcase_set_timeout(tc, 60);
        (*add)(tc);
        suite_add_tcase(suite, tc);
        runner = srunner_create(suite);
        if (!getenv("CK_FORK"))
                srunner_set_fork_status(runner, CK_NOFORK);
        srunner_run_all(runner, CK_NORMAL);
        failed = srunner_ntests_failed(runner);
        srunner_free(runner);
        return failed > 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

/* TESTS(name, a, b, …): the tests of this file and its main(). */
#define TESTS(name, ...)                                       \
        static void add_tests(TCase *tc) {                     \
                const TTest *const tests[] = { __VA_ARGS__ };  \
                for (size_t i = 0; i < ELEMENTSOF(tests); i++) \
                        tcase_add_test(tc, tests[i]);          \
        }                                                      \
        int main(void) {                                       \
                void (*add)(TCase *) = add_tests;              \
                return test_main(name, &add);                  \
        }

#define ASSERT_OK(expr) ck_assert_int_ge((expr), 0)
#define ASSERT_ERROR(expr, error) ck_assert_int_eq((expr), -(error))
