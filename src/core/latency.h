/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* How long answers took, as counts in buckets whose bounds grow by the same factor: such counts of several
 * hours can be added, and percentiles read from the sum, none of them off by more than a tenth. */

#include "time-util.h"

/* Four to a doubling: from 100 µs to 13 s. */
#define LATENCY_BOUNDS 69U
/* Below the first bound, between each two, above the last. */
#define LATENCY_BUCKETS (LATENCY_BOUNDS + 1U)

typedef struct LatencyHistogram {
        uint64_t counts[LATENCY_BUCKETS];
} LatencyHistogram;

/* The bounds in µs, ascending. Bucket k holds what is at least bound k-1 and below bound k. */
void latency_bounds(int64_t ret[LATENCY_BOUNDS]);
unsigned latency_bucket(usec_t latency);

uint64_t latency_count(const LatencyHistogram *h);
/* What so many of a hundred are not longer than: the middle of their bucket (geometrically). 0 if there are
 * none. */
usec_t latency_percentile(const LatencyHistogram *h, unsigned percent);
