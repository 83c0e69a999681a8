/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "test.h"
#include "uid-limit.h"

START_TEST(a_burst_is_granted_and_then_the_rate) {
        _cleanup_(uid_limit_freep) UidLimit *l = uid_limit_new(10, 3);
        unsigned refused;

        ck_assert_ptr_nonnull(l);
        for (unsigned i = 0; i < 3; i++)
                ck_assert(uid_limit_take(l, 1000, USEC_PER_SEC, &refused) && refused == 0);
        ck_assert(!uid_limit_take(l, 1000, USEC_PER_SEC, &refused) && refused == 1);
        ck_assert(!uid_limit_take(l, 1000, USEC_PER_SEC + 99 * USEC_PER_MSEC, &refused) && refused == 2);
        ck_assert(uid_limit_take(l, 1000, USEC_PER_SEC + 101 * USEC_PER_MSEC, &refused) && refused == 2);
        ck_assert_uint_eq(uid_limit_reset_refused(l, 1000), 2);
        ck_assert_uint_eq(uid_limit_reset_refused(l, 1000), 0);
}
END_TEST

START_TEST(each_user_has_a_bucket_of_his_own) {
        _cleanup_(uid_limit_freep) UidLimit *l = uid_limit_new(1, 1);

        ck_assert(uid_limit_take(l, 1000, 1, NULL));
        ck_assert(!uid_limit_take(l, 1000, 1, NULL));
        ck_assert(uid_limit_take(l, 1001, 1, NULL));
}
END_TEST

START_TEST(a_clock_that_stands_still_or_goes_back_grants_nothing) {
        _cleanup_(uid_limit_freep) UidLimit *l = uid_limit_new(1000, 1);

        ck_assert(uid_limit_take(l, 1000, USEC_PER_SEC, NULL));
        ck_assert(!uid_limit_take(l, 1000, USEC_PER_SEC, NULL));
        ck_assert(!uid_limit_take(l, 1000, 0, NULL));
}
END_TEST

START_TEST(users_without_end_take_no_memory_without_end) {
        _cleanup_(uid_limit_freep) UidLimit *l = uid_limit_new(1, 1);
        unsigned granted = 0;

        for (uid_t uid = 1; uid <= 10000; uid++)
                granted += uid_limit_take(l, uid, 1, NULL);
        ck_assert_uint_lt(granted, 10000);
        /* Who was quiet is forgotten, and makes room. */
        ck_assert(uid_limit_take(l, 20000, 10 * USEC_PER_SEC, NULL));
}
END_TEST

TESTS("uid-limit", a_burst_is_granted_and_then_the_rate, each_user_has_a_bucket_of_his_own,
                a_clock_that_stands_still_or_goes_back_grants_nothing,
                users_without_end_take_no_memory_without_end)
