/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Sealing what is in the records with another master key, some at a time. As in store.h nothing blocks. */

#include "audit.h"
#include "db.h"
#include "records.h"

typedef enum SealedKind {
        SEALED_SECRET,       /* of an instance */
        SEALED_BACKUP_KEY,   /* of an instance, or of all backups */
        SEALED_ALERT_SECRET, /* of the webhook */
        SEALED_STORAGE,      /* the credentials for copies of backups */
        _SEALED_KIND_MAX,
        _SEALED_KIND_INVALID = -EINVAL,
} SealedKind;
DECLARE_STRING_TABLE(sealed_kind, SealedKind);

typedef struct SealedRecord {
        SealedKind kind;
        char *instance, *name; /* "" where the kind has none */
        uint32_t version;
        uint8_t *sealed;
        size_t size;
} SealedRecord;

typedef struct SealedRecords {
        SealedRecord *items;
        size_t n;
        uint64_t left; /* how many there are, with these */
} SealedRecords;

SealedRecords *sealed_records_free(SealedRecords *l);
DEFINE_CLEANUP_FUNC(SealedRecords *, sealed_records_free);

/* At most 'limit' of what is sealed with a key. */
typedef void (*StoreSealedCallback)(int r, SealedRecords *records, Error *error, void *userdata);
int store_load_sealed(Db *db, const char *key_id, unsigned limit, StoreSealedCallback callback,
                void *userdata, DbSlot **ret_slot, Error *reterr);

typedef void (*StoreRotationCallback)(int r, uint64_t left, Error *error, void *userdata);

/* Puts on record that the key 'key_id' is to be replaced. KeyMissing if anything is sealed with another one. */
int store_begin_rotation(Db *db, const char *key_id, const AuditActor *actor, StoreRotationCallback callback,
                void *userdata, DbSlot **ret_slot, Error *reterr);

/* Records what was sealed anew; takes the records. What somebody else sealed anew meanwhile stays. */
int store_reseal(Db *db, const char *from, const char *to, SealedRecords *records,
                StoreRotationCallback callback, void *userdata, DbSlot **ret_slot, Error *reterr);

/* Puts on record, once, that 'to' took the place of 'from', if nothing is left that is sealed with that; how much is left
 * is told. */
int store_end_rotation(Db *db, const char *from, const char *to, const AuditActor *actor,
                StoreRotationCallback callback, void *userdata, DbSlot **ret_slot, Error *reterr);
