/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The recovery keys that backups are sealed for, in the records. As in store.h nothing blocks. */

#include "audit.h"
#include "db.h"
#include "time-util.h"

/* More are refused (LimitExceeded): each is in the header of every backup. */
#define STORE_RECOVERY_KEYS_MAX 16U
#define STORE_RECOVERY_KEY_SIZE 32U
/* The id in hex, with the NUL. */
#define STORE_RECOVERY_KEY_ID_MAX 17U

typedef struct RecoveryKeyRecord {
        char *id;
        uint8_t public[STORE_RECOVERY_KEY_SIZE];
        char *enrolled_by;
        usec_t enrolled_at;
} RecoveryKeyRecord;

/* The first one enrolled first. */
typedef struct RecoveryKeyRecords {
        RecoveryKeyRecord *items;
        size_t n;
} RecoveryKeyRecords;

RecoveryKeyRecords *recovery_key_records_free(RecoveryKeyRecords *l);
DEFINE_CLEANUP_FUNC(RecoveryKeyRecords *, recovery_key_records_free);

/* The key that was enrolled or forgotten, and all keys as they then are. */
typedef void (*StoreRecoveryKeysCallback)(
                int r, const char *id, RecoveryKeyRecords *keys, Error *error, void *userdata);

/* Records a key, of which 'id' is derived from the public half, and puts it on record as KEY_ENROLL. One that is there
 * already changes and records nothing. LimitExceeded. */
int store_enroll_recovery_key(Db *db, const char *id, const uint8_t public_key[STORE_RECOVERY_KEY_SIZE],
                const AuditActor *actor, StoreRecoveryKeysCallback callback, void *userdata,
                DbSlot **ret_slot, Error *reterr);

/* Removes it and puts that on record as KEY_FORGET. NoSuchKey; WrongState for the last one unless 'last'. */
int store_forget_recovery_key(Db *db, const char *id, bool last, const AuditActor *actor,
                StoreRecoveryKeysCallback callback, void *userdata, DbSlot **ret_slot, Error *reterr);
