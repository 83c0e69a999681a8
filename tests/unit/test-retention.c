/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "retention.h"

#include <stdlib.h>
#include <time.h>

#include "alloc-util.h"
#include "test.h"

#define ITEMS_MAX 64U

/* 2026-06-01 was a Monday. */
#define DAY(d) ((UINT64_C(1780272000) + (uint64_t) ((d) * 86400)) * USEC_PER_SEC)
#define AT(d, hour) (DAY(d) + (uint64_t) (hour) * USEC_PER_HOUR)

/* A letter for each backup, the oldest first: 'v' verified, 'w' written, 'd' damaged; 'i' imported and verified, 'j' imported
 * and damaged. What is kept: '+', or '-'. */
static void check(const char *states, const usec_t *times, RetentionPolicy policy, const char *expected) {
        RetentionItem items[ITEMS_MAX] = {};
        unsigned reasons[ITEMS_MAX] = {};
        char kept[ITEMS_MAX + 1] = {};
        size_t n = strlen(states);

        ck_assert_uint_le(n, ITEMS_MAX);
        for (size_t i = 0; i < n; i++)
                items[i] = (RetentionItem) {
                        .sequence = 1 + 3 * i,
                        .created_at = times[i],
                        .verified = strchr("vi", states[i]) != NULL,
                        .damaged = strchr("dj", states[i]) != NULL,
                        .imported = strchr("ij", states[i]) != NULL,
                };
        ASSERT_OK(retention_plan(items, n, &policy, reasons));
        for (size_t i = 0; i < n; i++)
                kept[i] = reasons[i] & RETENTION_KEEPS ? '+' : '-';
        ck_assert_str_eq(kept, expected);

        /* The order in which they are given is of no matter; nor does it matter to do it once more. */
        {
                RetentionItem left[ITEMS_MAX] = {};
                unsigned again[ITEMS_MAX] = {};
                size_t m = 0;

                for (size_t i = n; i-- > 0;)
                        if (kept[i] == '+')
                                left[m++] = items[i];
                ASSERT_OK(retention_plan(left, m, &policy, again));
                for (size_t i = 0; i < m; i++)
                        ck_assert(again[i] & RETENTION_KEEPS);
        }
}

START_TEST(the_last_ones_are_kept) {
        const usec_t times[] = { DAY(0), DAY(1), DAY(2), DAY(3), DAY(4) };

        check("vvvvv", times, (RetentionPolicy) { .last = 2 }, "---++");
        check("vvvvv", times, (RetentionPolicy) { .last = 1 }, "----+");
        check("vvvvv", times, (RetentionPolicy) { .last = 9 }, "+++++");
        /* No policy: everything. */
        check("vvvdv", times, (RetentionPolicy) {}, "+++++");
        check("", times, (RetentionPolicy) { .last = 1 }, "");
}
END_TEST

START_TEST(one_of_each_day_week_and_month_is_kept) {
        const usec_t hours[] = { AT(0, 1), AT(0, 13), AT(1, 1), AT(1, 13), AT(2, 1), AT(2, 13) };
        /* Mondays are the days 0, 7, 14, 21, 28; July begins with day 30. */
        const usec_t weeks[] = { DAY(0), DAY(6), DAY(7), DAY(13), DAY(14), DAY(29), DAY(30), DAY(31) };

        check("vvvvvv", hours, (RetentionPolicy) { .daily = 2 }, "---+-+");
        check("vvvvvv", hours, (RetentionPolicy) { .daily = 30 }, "-+-+-+");
        check("vvvvvv", hours, (RetentionPolicy) { .last = 3, .daily = 2 }, "---+++");
        check("vvvvvvvv", weeks, (RetentionPolicy) { .weekly = 3 }, "---++--+");
        check("vvvvvvvv", weeks, (RetentionPolicy) { .monthly = 12 }, "-----+-+");
        check("vvvvvvvv", weeks, (RetentionPolicy) { .last = 1, .weekly = 2, .monthly = 2 }, "----++-+");
}
END_TEST

START_TEST(what_is_not_verified_goes_only_behind_one_that_is) {
        const usec_t times[] = { DAY(0), DAY(1), DAY(2), DAY(3), DAY(4) };
        const RetentionPolicy one = { .last = 1 };

        /* The newest is not verified: the one before it is what counts. */
        check("vvvvw", times, one, "---++");
        check("vvvdw", times, one, "--+++");
        check("wwwww", times, one, "+++++");
        check("wwdwv", times, one, "----+");
        /* Those that are not verified take nobody's place. */
        check("vwvwv", times, (RetentionPolicy) { .last = 2 }, "--+-+");
        check("vwwww", times, (RetentionPolicy) { .daily = 1 }, "+++++");
}
END_TEST

/* It is not lost because of what happened to its file, nor is another one because of it: it may come back. */
START_TEST(what_is_damaged_is_kept_as_if_it_was_whole) {
        const usec_t times[] = { DAY(0), DAY(1), DAY(2), DAY(3), DAY(4) };
        const usec_t months[] = { DAY(0), DAY(1), DAY(29), DAY(30), DAY(31) };

        check("vdvdv", times, (RetentionPolicy) { .last = 2 }, "--+++");
        check("dwvvv", times, (RetentionPolicy) { .last = 1 }, "----+");
        check("ddvvv", times, (RetentionPolicy) { .daily = 4 }, "-++++");
        check("vvdvv", months, (RetentionPolicy) { .monthly = 2 }, "-++-+");
        check("ddddd", times, (RetentionPolicy) { .last = 1 }, "+++++");
        check("vdddd", times, (RetentionPolicy) { .last = 1 }, "+++++");
        check("ddddv", times, (RetentionPolicy) { .last = 2 }, "---++");
        check("dv", times, (RetentionPolicy) {}, "++");
}
END_TEST

/* Whatever number and time it has: it is neither the newest nor one of the last, and goes by itself never. */
START_TEST(what_was_imported_takes_nobodys_place) {
        const usec_t times[] = { DAY(0), DAY(1), DAY(2), DAY(3), DAY(4) };
        const RetentionPolicy one = { .last = 1 };
        const RetentionItem items[] = { { 1, DAY(0), .verified = true },
                { 2, DAY(9), .verified = true, .imported = true } };
        unsigned reasons[2];

        check("vvvvi", times, one, "---++");
        check("iivvi", times, one, "++-++");
        check("vvvij", times, (RetentionPolicy) { .last = 2 }, "-++++");
        check("vvviv", times, (RetentionPolicy) { .daily = 2 }, "--+++");
        /* What is not verified does not go behind it. */
        check("vwi", times, one, "+++");
        check("wdi", times, one, "+++");
        check("iii", times, one, "+++");

        ASSERT_OK(retention_plan(items, ELEMENTSOF(items), &one, reasons));
        ck_assert_uint_eq(reasons[0], RETENTION_NEWEST | RETENTION_LAST);
        ck_assert_uint_eq(reasons[1], RETENTION_IMPORTED);
}
END_TEST

START_TEST(a_clock_that_jumps_takes_no_more_than_the_counts_allow) {
        /* All in one second, such as with a clock that stands still. */
        const usec_t still[] = { DAY(0), DAY(0), DAY(0), DAY(0), DAY(0), DAY(0) };
        /* Ten years ahead for two backups, then right again. */
        const usec_t ahead[] = { DAY(0), DAY(1), DAY(3650), DAY(3651), DAY(2), DAY(3) };
        /* Back to 1970, as without a battery. */
        const usec_t back[] = { DAY(0), DAY(1), DAY(2), DAY(3), 0, USEC_PER_HOUR };
        /* Back by a day again and again. */
        const usec_t swings[] = { DAY(1), DAY(0), DAY(1), DAY(0), DAY(1), DAY(0) };

        check("vvvvvv", still, (RetentionPolicy) { .last = 3, .daily = 7 }, "---+++");
        check("vvvvvv", still, (RetentionPolicy) { .daily = 7, .weekly = 4, .monthly = 6 }, "-----+");
        check("vvvvvv", ahead, (RetentionPolicy) { .daily = 6 }, "++++++");
        check("vvvvvv", ahead, (RetentionPolicy) { .daily = 4 }, "--++++");
        check("vvvvvv", ahead, (RetentionPolicy) { .last = 2 }, "----++");
        check("vvvvvv", back, (RetentionPolicy) { .daily = 3 }, "--++-+");
        check("vvvvvv", back, (RetentionPolicy) { .last = 4, .daily = 1 }, "--++++");
        check("vvvvvv", swings, (RetentionPolicy) { .last = 2, .daily = 5 }, "----++");
}
END_TEST

/* Whatever the times: as many as the policy says are kept, if there are so many, and the newest always. */
START_TEST(the_counts_hold_for_any_times) {
        srandom(1);
        for (unsigned round = 0; round < 2000; round++) {
                RetentionItem items[ITEMS_MAX] = {};
                unsigned reasons[ITEMS_MAX] = {}, n_verified = 0, n_last = 0, n_daily = 0, days = 0;
                const RetentionPolicy policy = { (unsigned) random() % 4, (unsigned) random() % 4,
                        (unsigned) random() % 3, 1 };
                size_t n = (size_t) random() % ITEMS_MAX;
                uint64_t newest = 0;
                bool seen[40] = {};

                for (size_t i = 0; i < n; i++) {
                        unsigned d = (unsigned) random() % ELEMENTSOF(seen);

                        items[i] = (RetentionItem) {
                                .sequence = 1 + i,
                                .created_at = AT(d, random() % 24),
                                .verified = random() % 4 > 0,
                        };
                        items[i].damaged = !items[i].verified && random() % 2 > 0;
                        if (!items[i].verified)
                                continue;
                        n_verified++;
                        newest = items[i].sequence;
                        days += !seen[d];
                        seen[d] = true;
                }
                ASSERT_OK(retention_plan(items, n, &policy, reasons));
                for (size_t i = 0; i < n; i++) {
                        ck_assert(items[i].sequence != newest || (reasons[i] & RETENTION_NEWEST));
                        ck_assert(items[i].verified || items[i].sequence < newest ||
                                        (reasons[i] & RETENTION_UNPROVEN));
                        n_last += items[i].verified && (reasons[i] & RETENTION_LAST);
                        n_daily += items[i].verified && (reasons[i] & RETENTION_DAILY);
                        ck_assert(items[i].verified || items[i].damaged ||
                                        !(reasons[i] & (RETENTION_LAST | RETENTION_DAILY)));
                }
                ck_assert_uint_eq(n_last, MIN(policy.last, n_verified));
                ck_assert_uint_eq(n_daily, MIN(policy.daily, days));
        }
}
END_TEST

START_TEST(days_are_those_of_the_local_time) {
        const usec_t times[] = { AT(0, 20), AT(1, 2), AT(1, 20) };

        check("vvv", times, (RetentionPolicy) { .daily = 9 }, "+-+");
        ck_assert_int_eq(setenv("TZ", "EST5", 1), 0);
        tzset();
        check("vvv", times, (RetentionPolicy) { .daily = 9 }, "-++");
        ck_assert_int_eq(setenv("TZ", "UTC0", 1), 0);
        tzset();
}
END_TEST

START_TEST(it_is_said_why) {
        const RetentionPolicy policy = { 3, 7, 4, 6 };
        const struct {
                unsigned reasons;
                const char *text;
        } table[] = {
                { 0, "more than are to be kept" },
                { RETENTION_NEWEST | RETENTION_LAST, "the newest that is verified, one of the last 3" },
                { RETENTION_DAILY | RETENTION_WEEKLY | RETENTION_MONTHLY,
                                "the newest of one of 7 days, the newest of one of 4 weeks, the newest of "
                                "one of 6 months" },
                { RETENTION_SUPERSEDED, "never verified, and a newer one is" },
                { RETENTION_IMPORTED, "imported" },
        };

        FOREACH_ARRAY(t, table, ELEMENTSOF(table)) {
                _cleanup_free_ char *s = retention_describe(t->reasons, &policy);

                ck_assert_pstr_eq(s, t->text);
        }
}
END_TEST

START_TEST(a_policy_goes_through_json) {
        const RetentionPolicy policy = { 3, 7, 0, RETENTION_COUNT_MAX };
        json_t *object = retention_policy_to_json(&policy);
        RetentionPolicy read = {};

        ck_assert(retention_policy_from_json(object, &read));
        ck_assert_uint_eq(read.last, 3);
        ck_assert_uint_eq(read.daily, 7);
        ck_assert_uint_eq(read.weekly, 0);
        ck_assert_uint_eq(read.monthly, RETENTION_COUNT_MAX);
        ck_assert_int_eq(json_object_set_new(object, "last", json_integer(-1)), 0);
        ck_assert(!retention_policy_from_json(object, &read));
        ck_assert(!retention_policy_from_json(NULL, &read));
        json_decref(object);
}
END_TEST

TESTS("retention", the_last_ones_are_kept, one_of_each_day_week_and_month_is_kept,
                what_is_not_verified_goes_only_behind_one_that_is,
                what_is_damaged_is_kept_as_if_it_was_whole, what_was_imported_takes_nobodys_place,
                a_clock_that_jumps_takes_no_more_than_the_counts_allow, the_counts_hold_for_any_times,
                days_are_those_of_the_local_time, it_is_said_why, a_policy_goes_through_json)
