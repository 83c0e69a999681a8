/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "byte-meter.h"
#include "test.h"

#define MIB (UINT64_C(1) << 20)

START_TEST(a_rate_is_told_after_a_second_and_with_it_the_time_left) {
        ByteMeter m = {};

        byte_meter_update(&m, 0, 100 * MIB, 5 * USEC_PER_SEC);
        ck_assert_uint_eq(byte_count_time_left(&m.count), USEC_INFINITY);
        byte_meter_update(&m, 5 * MIB, 100 * MIB, 5 * USEC_PER_SEC + 500 * USEC_PER_MSEC);
        ck_assert_uint_eq(m.count.done, 5 * MIB);
        ck_assert_uint_eq(m.count.rate, 0);
        byte_meter_update(&m, 20 * MIB, 100 * MIB, 7 * USEC_PER_SEC);
        ck_assert_uint_eq(m.count.rate, 10 * MIB);
        ck_assert_uint_eq(byte_count_time_left(&m.count), 8 * USEC_PER_SEC);
        byte_meter_update(&m, 100 * MIB, 100 * MIB, 7 * USEC_PER_SEC + 1);
        ck_assert_uint_eq(byte_count_time_left(&m.count), 0);
}
END_TEST

START_TEST(a_rate_that_changes_is_followed_within_some_seconds) {
        uint64_t done = 0;
        ByteMeter m = {};
        usec_t t = 1;

        for (unsigned i = 0; i < 10; i++, t += USEC_PER_SEC, done += 100 * MIB)
                byte_meter_update(&m, done, 0, t);
        ck_assert_uint_ge(m.count.rate, 99 * MIB);
        for (unsigned i = 0; i < 10; i++, t += USEC_PER_SEC, done += 10 * MIB)
                byte_meter_update(&m, done, 0, t);
        ck_assert_uint_le(m.count.rate, 20 * MIB);
        ck_assert_uint_ge(m.count.rate, 10 * MIB);
        /* It stands still: nobody can say how long. */
        for (unsigned i = 0; i < 200; i++, t += USEC_PER_SEC)
                byte_meter_update(&m, done, 0, t);
        ck_assert_uint_eq(m.count.rate, 0);
        ck_assert_uint_eq(byte_count_time_left(&m.count), USEC_INFINITY);
}
END_TEST

START_TEST(what_is_something_else_begins_anew) {
        ByteMeter m = {};

        byte_meter_update(&m, 0, 100, 1);
        byte_meter_update(&m, 50, 100, 2 * USEC_PER_SEC);
        ck_assert_uint_gt(m.count.rate, 0);
        byte_meter_update(&m, 10, 100, 3 * USEC_PER_SEC);
        ck_assert_uint_eq(m.count.rate, 0);
        byte_meter_update(&m, 50, 100, 5 * USEC_PER_SEC);
        ck_assert_uint_gt(m.count.rate, 0);
        byte_meter_update(&m, 60, 2000, 6 * USEC_PER_SEC);
        ck_assert_uint_eq(m.count.rate, 0);
        ck_assert_uint_eq(m.count.total, 2000);
}
END_TEST

TESTS("byte-meter", a_rate_is_told_after_a_second_and_with_it_the_time_left,
                a_rate_that_changes_is_followed_within_some_seconds, what_is_something_else_begins_anew)
