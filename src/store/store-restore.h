/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Restores as the records have them: which volumes an instance had before, which it has since, and until when the former
 * are kept. For the worker: all of it blocks, and gives the same when it is repeated. */

#include "db-sync.h"
#include "records.h"
#include "store.h"

typedef enum RestoreState {
        RESTORE_BUILDING,  /* not switched over yet */
        RESTORE_KEPT,      /* switched over; what was before is there */
        RESTORE_UNDONE,    /* and in use again */
        RESTORE_DISCARDED, /* and is no more */
        _RESTORE_STATE_MAX,
        _RESTORE_STATE_INVALID = -EINVAL,
} RestoreState;
DECLARE_STRING_TABLE(restore_state, RestoreState);

typedef struct RestoreRecord {
        uint64_t id, job;
        uint64_t backup; /* 0: none */
        uint64_t undoes; /* id of an earlier one whose former volumes come back; 0: none */
        char instance[STORE_ID_MAX];
        RestoreState state;
        uint32_t revision_before, revision_after;
        json_t *volumes_before, *volumes_after; /* key → name in the engine */
        usec_t switched_at, keep_until;
} RestoreRecord;

void restore_record_done(RestoreRecord *r);
#define _cleanup_restore_record_ _cleanup_(restore_record_done)

typedef struct RestoreRecords {
        RestoreRecord *items;
        size_t n;
} RestoreRecords;

void restore_records_done(RestoreRecords *l);
#define _cleanup_restore_records_ _cleanup_(restore_records_done)

/* For the daemon: counts that the server was up for so long (µs) in this boot, an id of it, and tells the ids of the instances
 * of which something need not be kept any longer. The list lasts as long as the call. */
typedef void (*StoreDueCallback)(int r, char *const *instances, Error *error, void *userdata);
int store_list_due_restores(Db *db, const char *boot, usec_t up, StoreDueCallback callback, void *userdata,
                DbSlot **ret_slot, Error *reterr);

/* Takes job, backup or undoes, instance and the volumes, and gives what is on record then: of a job that began one before,
 * that one. */
int restore_begin(DbSync *db, const RestoreRecord *new, RestoreRecord *ret, Error *reterr);
/* That of a job; -ENOENT without an error if it began none. */
int restore_get_of_job(DbSync *db, uint64_t job, RestoreRecord *ret, Error *reterr);

/* Those of an instance that were switched over, the latest first. */
typedef enum RestoreListFlags {
        RESTORE_LIST_KEPT = 1 << 0, /* whose former volumes are there */
        RESTORE_LIST_DUE = 1 << 1,  /* and need be kept no longer */
} RestoreListFlags;
int restore_list(DbSync *db, const char *instance, RestoreListFlags flags, RestoreRecords *ret,
                Error *reterr);

/* Makes revision_after the active one, and the restore one that was switched over: what was before is kept for so many
 * hours. */
int restore_switch(DbSync *db, const RestoreRecord *restore, uint64_t keep_hours, Error *reterr);
/* Takes that back: revision_before is active again. */
int restore_switch_back(DbSync *db, const RestoreRecord *restore, Error *reterr);
int restore_set_discarded(DbSync *db, uint64_t id, Error *reterr);
/* Forgets one that was not switched over. */
int restore_forget(DbSync *db, uint64_t job, Error *reterr);

/* Replaces the first version of these secrets of an instance, and gives what it has then. Sealed for version 1. */
int secrets_adopt(DbSync *db, const char *instance, const StoreSecret *secrets, size_t n, SecretRecords *ret,
                Error *reterr);
