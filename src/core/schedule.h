/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* When something is due again and again, as a calendar expression of systemd, see systemd.time(7): "daily",
 * "Mon..Fri 02:30". What it means PID 1 knows; here is only how it is written, and which unit is its timer. */

#include "ccp/macro.h"

#define SCHEDULE_OFF "off"
/* A unit's name has at most 255 bytes. */
#define SCHEDULE_UNIT_MAX 256U
#define SCHEDULE_TIMER_PREFIX "ccp-schedule@"
#define SCHEDULE_TIMER_SUFFIX ".timer"

/* False for what can be no expression, and for one that is too long for a unit's name. "off" is valid, too. */
bool schedule_is_valid(const char *s);
/* The timer of a valid one: "ccp-schedule@daily.timer". The expression is escaped as systemd-escape(1) does it. */
const char *schedule_to_timer(const char *expression, char buf[static SCHEDULE_UNIT_MAX]);
