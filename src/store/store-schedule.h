/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* When schedules were due. What knocks is a program that a timer starts; it writes a row, so that no knock is lost that came
 * while ccpd was away. Knocks are counted, over all schedules: a clock has no say in what is due. */

#include "db-sync.h"
#include "db.h"
#include "schedule.h"

/* A notification on it says that a row changed. */
#define STORE_CHANNEL_SCHEDULE "ccpd_schedule"

typedef struct ScheduleRecord {
        char *expression;
        uint64_t knock; /* the number of the last one; 0: there was none */
        ScheduleTimes times;
} ScheduleRecord;

typedef struct ScheduleRecords {
        ScheduleRecord *items;
        size_t n;
} ScheduleRecords;

void schedule_records_done(ScheduleRecords *l);
#define _cleanup_schedule_records_ _cleanup_(schedule_records_done)

typedef void (*StoreSchedulesCallback)(int r, ScheduleRecords *schedules, Error *error, void *userdata);
/* By expression. The callback owns them, if it takes them out. */
int store_load_schedules(
                Db *db, StoreSchedulesCallback callback, void *userdata, DbSlot **ret_slot, Error *reterr);

/* Forgets all but these, and notes when the one of them is due that is to be noted (NULL: none). Nobody is told what came of
 * it: it is done again. */
int store_keep_schedules(Db *db, char *const *expressions, const ScheduleRecord *next, Error *reterr);

/* The round of drills since this knock leaves the instance out. */
typedef void (*StoreSkippedCallback)(int r, Error *error, void *userdata);
int store_skip_drill(Db *db, const char *instance, uint64_t knock, StoreSkippedCallback callback,
                void *userdata, Error *reterr);

/* For who knocks. */
int schedule_knock(DbSync *db, const char *expression, Error *reterr);
