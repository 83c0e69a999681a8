/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The storage that backups are copied to, and the copies that there are and should be. */

#include "audit.h"
#include "db-sync.h"
#include "db.h"
#include "records.h"

/* A notification on it says that the storage is another one, or that copies are to be removed from it. */
#define STORE_CHANNEL_STORAGE "ccpd_storage"

/* Its credentials are sealed like those of an instance that there never is. */
#define STORE_STORAGE_INSTANCE "00000000-0000-0000-0000-000000000000"
#define STORE_STORAGE_NAME "STORAGE"

typedef struct StorageRecord {
        uint32_t version; /* of what is set; counts on when it is forgotten */
        char *endpoint;   /* NULL: there is none, and of the following nothing */
        char *region, *bucket, *prefix, *ca_file;
        bool path_style;
        char *key_id; /* of the vault's key */
        uint8_t *sealed;
        size_t size;
        usec_t set_at;
        usec_t compared_at;           /* when it was last looked whether all copies are there */
        uint64_t n_copied, n_missing; /* verified backups with a copy, and without */
        char *error;                  /* what the last attempt to copy one failed with; NULL: it did not */
} StorageRecord;

void storage_record_done(StorageRecord *s);
#define _cleanup_storage_record_ _cleanup_(storage_record_done)

typedef void (*StoreStorageCallback)(int r, StorageRecord *storage, Error *error, void *userdata);
/* The callback owns what it takes out of the record. */
int store_load_storage(
                Db *db, StoreStorageCallback callback, void *userdata, DbSlot **ret_slot, Error *reterr);

/* Puts what is in 'storage', with the version that it was made of (sealed for the next one), in the place of what was set, as
 * STORAGE_SET. If that was elsewhere there is no copy of anything any more. Busy if it is of another version by now. */
int store_set_storage(Db *db, const StorageRecord *storage, const AuditActor *actor, const json_t *details,
                StoreStorageCallback callback, void *userdata, DbSlot **ret_slot, Error *reterr);
/* WrongState if there is none. What is in it stays there. */
int store_forget_storage(Db *db, const AuditActor *actor, StoreStorageCallback callback, void *userdata,
                DbSlot **ret_slot, Error *reterr);

/* A backup that should have a copy. */
typedef struct CopyDue {
        uint64_t backup;
        usec_t in; /* so long after now */
} CopyDue;

#define STORE_COPIES_DUE_MAX 64U

typedef struct StoreCopiesDue {
        CopyDue items[STORE_COPIES_DUE_MAX]; /* in the order in which it is their turn */
        size_t n;
        usec_t doomed_in;  /* when one is to be removed; USEC_INFINITY: none is */
        usec_t compare_in; /* when it is to be looked whether all copies are there */
} StoreCopiesDue;

typedef void (*StoreCopiesDueCallback)(int r, const StoreCopiesDue *due, Error *error, void *userdata);
/* Those that no job is at work on. */
int store_copies_due(
                Db *db, StoreCopiesDueCallback callback, void *userdata, DbSlot **ret_slot, Error *reterr);

/* Says that there is none: WrongState. */
int storage_none(Error *reterr);

/* --- for workers --- */

/* WrongState if there is none. */
int storage_get(DbSync *db, StorageRecord *ret, Error *reterr);
/* From now on something may lie under that key. Busy if the storage is of another version by now. */
int copy_begin(DbSync *db, uint64_t backup, const char *key, uint32_t version, Error *reterr);
/* It is there, and was compared. As above. */
int copy_done(DbSync *db, uint64_t backup, uint32_t version, Error *reterr);
/* It is not there any more. */
int copy_lost(DbSync *db, uint64_t backup, uint32_t version, Error *reterr);

/* A copy that was made. */
typedef struct CopyRecord {
        uint64_t backup, size; /* bytes */
        char *slug, *key;
        bool alone; /* the backup here is damaged */
} CopyRecord;

/* Initialize with {}; freed by copy_records_done(). */
typedef struct CopyRecords {
        CopyRecord *items;
        size_t n;
} CopyRecords;

void copy_records_done(CopyRecords *l);
#define _cleanup_copy_records_ _cleanup_(copy_records_done)
/* All of them, in no order. StoreUnavailable, Internal. */
int copies_list(DbSync *db, CopyRecords *ret, Error *reterr);
/* All were looked for, in the storage of that version. As above. */
int copies_compared(DbSync *db, uint32_t version, Error *reterr);

/* The key of a copy that is to go, which nobody else gets for a while: to be tried at once, for its backup may come back and want
 * it again. To be freed; NULL: there is none. */
int doomed_copy_claim(DbSync *db, char **ret, Error *reterr);
/* It is gone, or may be: a backup that wants it again since it was claimed has no copy. */
int doomed_copy_lost(DbSync *db, const char *key, Error *reterr);
/* Nothing more is to be done about it: it is gone, or stays there for good. */
int doomed_copy_end(DbSync *db, const char *key, Error *reterr);

/* The numbers of the backups that these archives are here, 0 for those that are not; an array of n, to be freed. */
int copies_find(DbSync *db, const char *const *archives, size_t n, uint64_t **ret, Error *reterr);
