/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "time-util.h"

#include <inttypes.h>
#include <stdio.h>

usec_t now(clockid_t clock) {
        struct timespec ts;

        assert(clock_gettime(clock, &ts) == 0);
        return (usec_t) ts.tv_sec * USEC_PER_SEC + (usec_t) ts.tv_nsec / 1000;
}

const char *format_timespan(char *buf, size_t size, usec_t span) {
        static const struct {
                usec_t unit, sub;
                const char *name, *sub_name;
        } units[] = {
                { USEC_PER_DAY, USEC_PER_HOUR, "d", "h" },
                { USEC_PER_HOUR, USEC_PER_MINUTE, "h", "min" },
                { USEC_PER_MINUTE, USEC_PER_SEC, "min", "s" },
        };

        FOREACH_ARRAY(u, units, ELEMENTSOF(units)) {
                usec_t sub;

                if (span < u->unit)
                        continue;

                sub = span % u->unit / u->sub;
                if (sub > 0)
                        (void) snprintf(buf, size, "%" PRIu64 "%s %" PRIu64 "%s", span / u->unit, u->name,
                                        sub, u->sub_name);
                else
                        (void) snprintf(buf, size, "%" PRIu64 "%s", span / u->unit, u->name);
                return buf;
        }

        if (span >= USEC_PER_SEC)
                (void) snprintf(buf, size, "%" PRIu64 ".%" PRIu64 "s", span / USEC_PER_SEC,
                                span % USEC_PER_SEC / (USEC_PER_SEC / 10));
        else
                (void) snprintf(buf, size, "%" PRIu64 "ms", span / USEC_PER_MSEC);
        return buf;
}

const char *format_timestamp(char *buf, size_t size, usec_t realtime) {
        time_t t = (time_t) (realtime / USEC_PER_SEC);
        struct tm tm;

        if (realtime == 0 || !localtime_r(&t, &tm) ||
                        strftime(buf, size, "%a %Y-%m-%d %H:%M:%S %Z", &tm) == 0)
                (void) snprintf(buf, size, "-");
        return buf;
}
