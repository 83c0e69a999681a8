/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* How far something is that is counted in bytes, and how fast it goes. */

#include "time-util.h"

typedef struct ByteCount {
        uint64_t done;
        uint64_t total; /* 0: not known beforehand */
        uint64_t rate;  /* a second; 0: not known yet */
} ByteCount;

typedef struct ByteMeter {
        ByteCount count;
        uint64_t done_before; /* when the rate was looked at last */
        usec_t looked_at;     /* monotonic; 0: never */
} ByteMeter;

/* Notes how far it is; at what rate is told after a second, and follows changes within some seconds. Less than before, or
 * another total, is something else that begins. */
void byte_meter_update(ByteMeter *m, uint64_t done, uint64_t total, usec_t monotonic);

/* How long it still takes at that rate; USEC_INFINITY if that cannot be told. */
usec_t byte_count_time_left(const ByteCount *c);
