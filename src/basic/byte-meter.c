/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "byte-meter.h"

#include "ccp/macro.h"

#define LOOK_INTERVAL_USEC USEC_PER_SEC
/* What was seen last counts one part in so many. */
#define SMOOTHING 4U

void byte_meter_update(ByteMeter *m, uint64_t done, uint64_t total, usec_t monotonic) {
        double rate;

        if (m->looked_at == 0 || done < m->count.done || total != m->count.total) {
                *m = (ByteMeter) {
                        .count = { .done = done, .total = total },
                        .done_before = done,
                        .looked_at = MAX(monotonic, (usec_t) 1),
                };
                return;
        }

        m->count.done = done;
        if (monotonic < m->looked_at + LOOK_INTERVAL_USEC)
                return;

        rate = (double) (done - m->done_before) * USEC_PER_SEC / (double) (monotonic - m->looked_at);
        m->count.rate = m->count.rate == 0
                        ? (uint64_t) rate
                        : (uint64_t) (((double) m->count.rate * (SMOOTHING - 1) + rate) / SMOOTHING);
        m->done_before = done;
        m->looked_at = monotonic;
}

usec_t byte_count_time_left(const ByteCount *c) {
        if (c->total == 0 || c->rate == 0)
                return USEC_INFINITY;

        return c->done >= c->total
                        ? 0
                        : (usec_t) ((double) (c->total - c->done) / (double) c->rate * USEC_PER_SEC);
}
