/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the worker of a job does with the records. All of it blocks, survives a lost connection, and gives the
 * same when it is repeated. 0 or a negative errno with an error. */

#include "db-sync.h"
#include "records.h"
#include "store.h"

typedef struct JobClaim {
        JobRecord *job;
        InstanceRecord *instance; /* NULL: gone */
        SecretRecords secrets;    /* the newest version of each */
} JobClaim;

void job_claim_done(JobClaim *c);
#define _cleanup_job_claim_ _cleanup_(job_claim_done)

/* Makes this process the one that works on the job until the connection is freed, and counts the attempt; a
 * queued job becomes running, one that is undoing stays so. NoSuchJob; WrongState if the job is at its end;
 * Busy if another process works on it. */
int job_claim(DbSync *db, uint64_t id, JobClaim *ret, Error *reterr);

typedef struct StepUpdate {
        unsigned number; /* from 1 */
        StepState state;
        const json_t *undo; /* NULL: as it is */
        const char *detail; /* NULL: as it is */
} StepUpdate;

/* Records a step. The times follow from the state. ret_cancel (may be NULL): whether the job shall be
 * cancelled. To be called before the step acts, with what undoes it. WrongState, here and below, if somebody
 * else ended the job. */
int job_set_step(DbSync *db, uint64_t id, const StepUpdate *update, bool *ret_cancel, Error *reterr);
/* running or undoing; for the latter with what went wrong (may be NULL). */
int job_set_state(DbSync *db, uint64_t id, JobState state, const char *error_name, const char *error_message,
                Error *reterr);
int job_is_cancelled(DbSync *db, uint64_t id, bool *ret, Error *reterr);
/* The end: see StoreFinish. 0, also if it had come to its end before. */
int job_finish(DbSync *db, const StoreFinish *finish, Error *reterr);
/* For the unit's ExecStopPost=: the worker died without a word. Notes why (as Internal, where nothing was noted
 * before). Returns 0 if the job is at its end, else 1 and the number of attempts so far. */
int job_mark_crashed(DbSync *db, uint64_t id, const char *message, unsigned *ret_attempt,
                char ret_instance[static STORE_ID_MAX], Error *reterr);
/* For the same: the worker ended in order before the job's end, since it was asked to. The attempt does not
 * count. */
int job_mark_left(DbSync *db, uint64_t id, Error *reterr);

/* Which files of the active revision are not what was recorded; nothing if another one is active by now. */
int instance_set_changed_files(
                DbSync *db, const char *instance, uint32_t revision, char *const *changes, Error *reterr);

/* The number for the next revision: one more than the highest there is. */
int revision_next(DbSync *db, const char *instance, uint32_t *ret, Error *reterr);
/* Records a revision, or what changed of it. created_at is not looked at. */
int revision_put(DbSync *db, const char *instance, const RevisionRecord *revision, Error *reterr);
/* Makes it the one that runs: it becomes active, the one before superseded. */
int revision_activate(DbSync *db, const char *instance, uint32_t number, Error *reterr);
/* NULL if there is none of this number. */
int revision_get(DbSync *db, const char *instance, uint32_t number, RevisionRecord **ret, Error *reterr);
/* Removes it, if it is there: the undo of revision_put(). */
int revision_remove(DbSync *db, const char *instance, uint32_t number, Error *reterr);
