/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "test.h"
#include "time-util.h"

START_TEST(spans_read_like_people_say_them) {
        ck_assert_str_eq(FORMAT_TIMESPAN(0), "0ms");
        ck_assert_str_eq(FORMAT_TIMESPAN(850 * USEC_PER_MSEC), "850ms");
        ck_assert_str_eq(FORMAT_TIMESPAN(4250 * USEC_PER_MSEC), "4.2s");
        ck_assert_str_eq(FORMAT_TIMESPAN(200 * USEC_PER_SEC), "3min 20s");
        ck_assert_str_eq(FORMAT_TIMESPAN(120 * USEC_PER_SEC), "2min");
        ck_assert_str_eq(FORMAT_TIMESPAN(76 * USEC_PER_HOUR), "3d 4h");
}
END_TEST

START_TEST(no_time_is_a_dash) {
        ck_assert_str_eq(FORMAT_TIMESTAMP(0), "-");
}
END_TEST

TESTS("time-util", spans_read_like_people_say_them, no_time_is_a_dash)
