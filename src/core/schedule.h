/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* When something is due again and again, as a calendar expression of systemd, see systemd.time(7): "daily",
 * "Mon..Fri 02:30". What it means PID 1 knows; here is only how it is written, and which unit is its timer. */

#include <errno.h>
#include <stdint.h>

#include "ccp/macro.h"
#include "job-kind.h"
#include "time-util.h"

#define SCHEDULE_OFF "off"

/* What is done by one. */
typedef enum ScheduleWork {
        SCHEDULE_BACKUP,
        SCHEDULE_DRILL,
        _SCHEDULE_WORK_MAX,
        _SCHEDULE_WORK_INVALID = -EINVAL,
} ScheduleWork;

/* The setting that it goes by: "backup_schedule". */
const char *schedule_work_to_setting(ScheduleWork work);
/* The jobs that do it. */
JobKind schedule_work_to_job(ScheduleWork work);

/* A unit's name has at most 255 bytes. */
#define SCHEDULE_UNIT_MAX 256U
#define SCHEDULE_TIMER_PREFIX "ccp-schedule@"
#define SCHEDULE_TIMER_SUFFIX ".timer"

/* False for what can be no expression, and for one that is too long for a unit's name. "off" is valid, too. */
bool schedule_is_valid(const char *s);
/* The timer of a valid one: "ccp-schedule@daily.timer". The expression is escaped as systemd-escape(1) does it. */
const char *schedule_to_timer(const char *expression, char buf[static SCHEDULE_UNIT_MAX]);

/* When one was due, as far as that is known; 0: not. */
typedef struct ScheduleTimes {
        usec_t before;  /* the knock before the last one */
        usec_t knocked; /* the last one */
        usec_t next;    /* when PID 1 said that the next one comes */
} ScheduleTimes;

/* When it was due the last time, whether its timer came or not. */
usec_t schedule_last_due(const ScheduleTimes *t, usec_t realtime);
/* What was done before that was not done in two rounds: the times when it was due the last time but one; 0: not that often yet.
 * Sets *ret_awaited if the last round may still be at work, which it may be until the next one would be due. */
usec_t schedule_two_rounds_ago(const ScheduleTimes *t, usec_t realtime, bool *ret_awaited);

/* An instance that waits for its drill. */
typedef struct DrillTurn {
        usec_t drilled_at; /* the last time that one succeeded; 0: never */
        const char *slug;
} DrillTurn;

/* Negative if the first one comes first: which was not drilled for longer. For one moment the slugs decide. */
int drill_turn_compare(const DrillTurn *a, const DrillTurn *b);
