/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "latency.h"

#define BUCKETS_PER_DOUBLING 4U
#define BOUND_FIRST_USEC 100U

/* 2^(k/4) in millionths */
static const uint64_t quarter[BUCKETS_PER_DOUBLING] = { 1000000, 1189207, 1414214, 1681793 };
/* 2^(1/8): from a bound to the middle of its bucket. */
#define MIDDLE 1090508U
#define MILLION 1000000U

static usec_t bound(unsigned k) {
        return ((usec_t) BOUND_FIRST_USEC << (k / BUCKETS_PER_DOUBLING)) *
                        quarter[k % BUCKETS_PER_DOUBLING] / MILLION;
}

void latency_bounds(int64_t ret[LATENCY_BOUNDS]) {
        for (unsigned k = 0; k < LATENCY_BOUNDS; k++)
                ret[k] = (int64_t) bound(k);
}

unsigned latency_bucket(usec_t latency) {
        unsigned low = 0, high = LATENCY_BOUNDS;

        /* How many bounds are not above it. */
        while (low < high) {
                unsigned middle = (low + high) / 2;

                if (bound(middle) <= latency)
                        low = middle + 1;
                else
                        high = middle;
        }

        return low;
}

uint64_t latency_count(const LatencyHistogram *h) {
        uint64_t n = 0;

        for (unsigned k = 0; k < LATENCY_BUCKETS; k++)
                n += h->counts[k];
        return n;
}

usec_t latency_percentile(const LatencyHistogram *h, unsigned percent) {
        uint64_t n = latency_count(h), wanted, seen = 0;

        if (n == 0)
                return 0;

        /* The first of which so many are at or below it: rounded up, and at least one. Divided first, lest it
         * overflow. */
        wanted = n / 100 * percent + (n % 100 * percent + 99) / 100;
        wanted = MAX(wanted, UINT64_C(1));
        for (unsigned k = 0; k < LATENCY_BUCKETS; k++) {
                seen += h->counts[k];
                if (seen >= wanted)
                        return k == 0 ? BOUND_FIRST_USEC : bound(k - 1) * MIDDLE / MILLION;
        }

        return bound(LATENCY_BOUNDS - 1);
}
