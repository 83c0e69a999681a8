/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "latency.h"

#include "test.h"

START_TEST(bounds_ascend_by_the_same_factor) {
        int64_t bounds[LATENCY_BOUNDS];

        latency_bounds(bounds);
        ck_assert_int_eq(bounds[0], 100);
        ck_assert_int_eq(bounds[4], 200);
        ck_assert_int_ge(bounds[LATENCY_BOUNDS - 1], 13 * 1000000);
        for (unsigned k = 1; k < LATENCY_BOUNDS; k++) {
                double factor = (double) bounds[k] / (double) bounds[k - 1];

                ck_assert_msg(factor > 1.17 && factor < 1.21, "%u: %g", k, factor);
        }
}
END_TEST

/* PostgreSQL's width_bucket() counts the same. */
START_TEST(a_bucket_begins_at_its_bound) {
        int64_t bounds[LATENCY_BOUNDS];

        latency_bounds(bounds);
        ck_assert_uint_eq(latency_bucket(0), 0);
        ck_assert_uint_eq(latency_bucket(99), 0);
        for (unsigned k = 0; k < LATENCY_BOUNDS; k++) {
                ck_assert_uint_eq(latency_bucket((usec_t) bounds[k]), k + 1);
                ck_assert_uint_eq(latency_bucket((usec_t) bounds[k] - 1), k);
        }
        ck_assert_uint_eq(latency_bucket(USEC_INFINITY), LATENCY_BOUNDS);
}
END_TEST

START_TEST(percentiles_are_off_by_a_tenth_at_most) {
        static const usec_t values[] = { 130, 999, 1000, 48000, 5000000, 12999999 };

        for (size_t i = 0; i < ELEMENTSOF(values); i++) {
                LatencyHistogram h = {};
                double off;

                h.counts[latency_bucket(values[i])] = 1;
                off = (double) latency_percentile(&h, 50) / (double) values[i];
                ck_assert_msg(off > 0.9 && off < 1.1, "%g", off);
                ck_assert_uint_eq(latency_percentile(&h, 50), latency_percentile(&h, 99));
        }
}
END_TEST

START_TEST(percentiles_of_merged_counts) {
        LatencyHistogram h = {};

        ck_assert_uint_eq(latency_percentile(&h, 99), 0);
        ck_assert_uint_eq(latency_count(&h), 0);

        /* 1 to 100 ms, one each. */
        for (usec_t ms = 1; ms <= 100; ms++)
                h.counts[latency_bucket(ms * USEC_PER_MSEC)]++;
        ck_assert_uint_eq(latency_count(&h), 100);
        ck_assert_uint_ge(latency_percentile(&h, 50), 45 * USEC_PER_MSEC);
        ck_assert_uint_le(latency_percentile(&h, 50), 55 * USEC_PER_MSEC);
        ck_assert_uint_ge(latency_percentile(&h, 95), 86 * USEC_PER_MSEC);
        ck_assert_uint_le(latency_percentile(&h, 95), 105 * USEC_PER_MSEC);

        /* A thousand more below: the slow ones are above the 90th only. */
        h.counts[latency_bucket(USEC_PER_MSEC)] += 1000;
        ck_assert_uint_le(latency_percentile(&h, 90), 2 * USEC_PER_MSEC);
        ck_assert_uint_ge(latency_percentile(&h, 99), 80 * USEC_PER_MSEC);

        /* Counts of years do not overflow. */
        h.counts[3] = UINT64_C(1) << 60;
        ck_assert_uint_lt(latency_percentile(&h, 99), 1000);
}
END_TEST

START_TEST(what_lies_outside_is_at_the_ends) {
        LatencyHistogram h = {};

        h.counts[0] = 1;
        ck_assert_uint_eq(latency_percentile(&h, 50), 100);
        h.counts[0] = 0;
        h.counts[LATENCY_BUCKETS - 1] = 1;
        ck_assert_uint_ge(latency_percentile(&h, 50), 13 * USEC_PER_SEC);
}
END_TEST

TESTS("latency", bounds_ascend_by_the_same_factor, a_bucket_begins_at_its_bound,
                percentiles_are_off_by_a_tenth_at_most, percentiles_of_merged_counts,
                what_lies_outside_is_at_the_ends)
