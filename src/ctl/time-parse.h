/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Points in time as people write them, the way that journalctl takes them. */

#include "time-util.h"

/* "2026-11-20", "2026-11-20 12:00[:05]", "12:00[:05]" of today, "now", "today", "yesterday", "tomorrow", "-2h",
 * "+10min", "3 days ago", "@1763640000"; local time, or with " UTC" or "Z" behind it. Also what we print: a
 * weekday before it, the local time zone behind it. 'n' is the time that it is now. Returns -EINVAL for what
 * cannot be read, -ERANGE for times before 1970 or too far away. */
int time_parse(const char *s, usec_t n, usec_t *ret);
