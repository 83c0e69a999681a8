/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Backups and drills by schedule. A timer of PID 1 for each schedule that an instance goes by knocks, which writes a row
 * (store-schedule.h); what is due is told from rows alone. As many jobs are made as may run at a time, so that no instance
 * waits with a job on it; one that has another job on it has its turn later. One that does not run is backed up when it runs
 * again, and left out of the round of drills. */

#include <jansson.h>

#include "ccpd-operation.h"
#include "time-util.h"

typedef struct Manager Manager;
typedef struct Instance Instance;
typedef struct Schedules Schedules;

int schedules_new(Manager *m, Schedules **ret);
Schedules *schedules_free(Schedules *s);
DEFINE_CLEANUP_FUNC(Schedules *, schedules_free);

/* Something changed that may start or stop a timer, or make something due. */
void schedules_queue(Schedules *s);
/* Reads again when schedules were due: a row changed (STORE_CHANNEL_SCHEDULE), or all records are read. */
void schedules_read(Schedules *s);
/* Asks PID 1 when they are due the next time: that a timer stays away shows by that. */
void schedules_look(Schedules *s);

/* Has PID 1 judge the schedules among settings that are to be set, by starting their timers. The handler gets InvalidArgument,
 * with PID 1's sentence, for one that it does not take; whether a timer stays is up to the records. The changes may be NULL. 'destroy' is called with the userdata after it, or when it will
 * not be called any more; also if this fails. */
typedef void (*schedule_check_t)(const Error *error, void *userdata);
int schedules_check(Schedules *s, const json_t *changes, schedule_check_t handler, void *userdata,
                void (*destroy)(void *userdata));

/* The one that it goes by; "off" for none. */
const char *instance_schedule(const Instance *i);
/* How still it is kept while it is backed up, where nobody says it; borrowed. */
const char *instance_backup_consistency(const Instance *i);
/* When its schedule asked for a backup the last time, or would have, if its timer had come; 0: never. */
usec_t instance_backup_due(const Instance *i);
/* If it was drilled in none of the last two rounds that it could have been drilled in: when the earlier one began; else 0. Sets
 * *ret_awaited if it may still be drilled in the last one. */
usec_t instance_drill_missed(const Instance *i, bool *ret_awaited);
