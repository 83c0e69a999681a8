/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Time in microseconds, and how people read it. */

#include <stdint.h>
#include <time.h>

#include "ccp/macro.h"

typedef uint64_t usec_t;
#define USEC_INFINITY ((usec_t) UINT64_MAX)
#define USEC_PER_SEC ((usec_t) 1000000ULL)
#define USEC_PER_MSEC ((usec_t) 1000ULL)
#define USEC_PER_MINUTE (60ULL * USEC_PER_SEC)
#define USEC_PER_HOUR (60ULL * USEC_PER_MINUTE)
#define USEC_PER_DAY (24ULL * USEC_PER_HOUR)

usec_t now(clockid_t clock);

#define FORMAT_TIMESPAN_MAX 32U
#define FORMAT_TIMESTAMP_MAX 64U

/* "850ms", "4.2s", "3min 20s", "2h 5min", "3d 4h": two units at most. Returns buf. */
const char *format_timespan(char *buf, size_t size, usec_t span);
#define FORMAT_TIMESPAN(span) format_timespan((char[FORMAT_TIMESPAN_MAX]) {}, FORMAT_TIMESPAN_MAX, (span))

/* Local time, "Fri 2026-11-20 12:30:05 UTC"; "-" for 0. Returns buf. */
const char *format_timestamp(char *buf, size_t size, usec_t realtime);
#define FORMAT_TIMESTAMP(t) format_timestamp((char[FORMAT_TIMESTAMP_MAX]) {}, FORMAT_TIMESTAMP_MAX, (t))
