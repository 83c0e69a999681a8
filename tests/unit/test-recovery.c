/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "recovery.h"
#include "string-util.h"
#include "test.h"

#define T(minutes) (1700000000 * USEC_PER_SEC + (minutes) * USEC_PER_MINUTE)

START_TEST(attempts_come_after_longer_and_longer_pauses) {
        static const struct {
                RecoveryReason reason;
                unsigned n;
                usec_t at, next;
        } table[] = {
                { RECOVERY_BOOT, 0, 0, 0 },
                { RECOVERY_BOOT, 1, T(0), T(1) },
                { RECOVERY_ENGINE, 2, T(0), T(5) },
                { RECOVERY_BOOT, 3, T(0), T(30) },
                { RECOVERY_BOOT, 4, T(0), T(120) },
                { RECOVERY_ENGINE, 5, T(0), USEC_INFINITY },
                { RECOVERY_DRIFT, 0, 0, 0 },
                { RECOVERY_DRIFT, 1, T(0), T(1) },
                { RECOVERY_DRIFT, 2, T(0), T(5) },
                { RECOVERY_DRIFT, 3, T(0), USEC_INFINITY },
        };

        FOREACH_ARRAY(i, table, ELEMENTSOF(table)) {
                const RecoveryAttempts a = { i->n > 0 ? i->reason : RECOVERY_NONE, 0, i->n, i->at };

                ck_assert_uint_eq(recovery_next_attempt(&a, i->reason, i->n, T(10)), i->next);
        }
        ck_assert_uint_eq(recovery_attempts_max(RECOVERY_BOOT), 5);
        ck_assert_uint_eq(recovery_attempts_max(RECOVERY_DRIFT), 3);
}
END_TEST

START_TEST(attempts_for_another_reason_or_before_do_not_count) {
        const RecoveryAttempts boot = { RECOVERY_BOOT, 7, 5, T(0) }, drift = { RECOVERY_DRIFT, 0, 3, T(0) };

        ck_assert_uint_eq(recovery_attempts_counted(&boot, RECOVERY_ENGINE, 7, 0), 5);
        ck_assert_uint_eq(recovery_attempts_counted(&boot, RECOVERY_DRIFT, 0, 0), 0);
        ck_assert_uint_eq(recovery_attempts_counted(&drift, RECOVERY_BOOT, 7, 0), 0);
        /* The Engine was started once more since. */
        ck_assert_uint_eq(recovery_attempts_counted(&boot, RECOVERY_BOOT, 8, 0), 0);
        ck_assert_uint_eq(recovery_attempts_counted(&drift, RECOVERY_DRIFT, 0, T(0)), 3);
        ck_assert_uint_eq(recovery_attempts_counted(&drift, RECOVERY_DRIFT, 0, T(1)), 0);
}
END_TEST

START_TEST(a_clock_that_was_set_back_makes_nobody_wait_longer) {
        const RecoveryAttempts a = { RECOVERY_BOOT, 7, 1, T(1000000) };

        ck_assert_uint_eq(recovery_next_attempt(&a, RECOVERY_BOOT, 1, T(0)), T(1));
}
END_TEST

TESTS("recovery", attempts_come_after_longer_and_longer_pauses,
                attempts_for_another_reason_or_before_do_not_count,
                a_clock_that_was_set_back_makes_nobody_wait_longer)
