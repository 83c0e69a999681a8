/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Backups as the records have them, and the keys that seal them. */

#include "audit.h"
#include "db-sync.h"
#include "db.h"
#include "records.h"
#include "retention.h"

typedef enum BackupState {
        BACKUP_WRITING,  /* in no list */
        BACKUP_WRITTEN,  /* whole on the disk */
        BACKUP_VERIFIED, /* and read back */
        BACKUP_DAMAGED,
        _BACKUP_STATE_MAX,
        _BACKUP_STATE_INVALID = -EINVAL,
} BackupState;
DECLARE_STRING_TABLE(backup_state, BackupState);

/* Whether the instance could change what it has while it was backed up. */
typedef enum BackupConsistency {
        BACKUP_LIVE,   /* yes; each database by itself is of one moment */
        BACKUP_PAUSED, /* its containers were paused for the volumes */
        BACKUP_COLD,   /* it was stopped */
        _BACKUP_CONSISTENCY_MAX,
        _BACKUP_CONSISTENCY_INVALID = -EINVAL,
} BackupConsistency;
DECLARE_STRING_TABLE(backup_consistency, BackupConsistency);

/* What may be asked for, beside what there is: live, and paused in a second attempt if something changed. */
#define BACKUP_CONSISTENCY_AUTO "auto"
bool backup_consistency_may_be_asked(const char *text);

typedef struct BackupRecord {
        uint64_t id, job, sequence;
        char instance[STORE_ID_MAX];
        char archive[STORE_ID_MAX]; /* the id of the file; "" as long as it is written */
        char *slug, *blueprint, *blueprint_version;
        char *file; /* its name in the instance's folder of backups */
        BackupState state;
        BackupConsistency consistency;
        uint64_t size;
        json_t *contents; /* [{"name", "size", …}] */
        json_t *config;   /* the instance as the manifest has it; empty if it is not known */
        char *error;      /* what is wrong with it; NULL: nothing is known */
        usec_t created_at, verified_at;
        usec_t read_at;        /* when it was whole the last time: verified, or scrubbed */
        usec_t drilled_at;     /* 0: never */
        uint64_t drill_took;   /* µs */
        usec_t replicated_at;  /* 0: there is no copy that was compared */
        char *copy_key;        /* of what may be in the storage; NULL: nothing is */
        char *signer;          /* of one that was imported, in hex; NULL: it was made here */
        json_t *recovery_keys; /* the ids of those that open it, of when it was verified; NULL: not known */
} BackupRecord;

typedef struct BackupRecords {
        BackupRecord *items;
        size_t n, n_allocated;
} BackupRecords;

void backup_record_done(BackupRecord *b);
/* As the plan of what is kept sees it. */
RetentionItem backup_record_retention(const BackupRecord *b);
/* WrongState unless it is verified: nothing is restored from it then; with what to do instead. */
int backup_record_check_verified(const BackupRecord *b, Error *reterr);
#define _cleanup_backup_record_ _cleanup_(backup_record_done)
void backup_records_done(BackupRecords *l);
#define _cleanup_backup_records_ _cleanup_(backup_records_done)

/* Which backups, the latest first. */
typedef struct StoreBackupFilter {
        const char *slug;   /* NULL: of all */
        uint64_t id;        /* 0: all */
        char *const *among; /* ids of the only instances; NULL: all */
        uint64_t offset, limit;
} StoreBackupFilter;

typedef void (*StoreBackupsCallback)(int r, BackupRecords *records, Error *error, void *userdata);
int store_list_backups(Db *db, const StoreBackupFilter *filter, StoreBackupsCallback callback,
                void *userdata, DbSlot **ret_slot, Error *reterr);

/* In bytes. */
typedef struct BackupSize {
        uint64_t file, contents;
} BackupSize;

/* For the worker. Takes instance, job, consistency and the blueprint of the record, and sets its id, sequence, file and
 * created_at. A job that began one before begins it anew, under the same name. *ret_last is the size of the latest one before
 * it, 0 if there is none. */
int backup_begin(DbSync *db, BackupRecord *b, BackupSize *ret_last, Error *reterr);
/* Takes id, archive, size, contents, config and consistency. */
int backup_set_written(DbSync *db, const BackupRecord *b, Error *reterr);
/* That of the job; -ENOENT, as NoSuchBackup, if it began none. */
int backup_get_of_job(DbSync *db, uint64_t job, BackupRecord *ret, Error *reterr);
/* One that is whole on the disk, in whatever state; -ENOENT, as NoSuchBackup. */
int backup_get(DbSync *db, uint64_t id, BackupRecord *ret, Error *reterr);
/* 'recovery_keys' is as in the record. */
int backup_set_verified(DbSync *db, uint64_t id, const json_t *recovery_keys, Error *reterr);
/* A job restored it, and all was there; it took as long as the job until now. */
int backup_set_drilled(DbSync *db, uint64_t id, uint64_t job, Error *reterr);
/* 'why' is a sentence. */
int backup_set_damaged(DbSync *db, uint64_t id, const char *why, Error *reterr);
/* Forgets what the job began and did not verify. */
int backup_discard(DbSync *db, uint64_t job, Error *reterr);

/* As store_list_backups(). */
int backup_list(DbSync *db, const StoreBackupFilter *filter, BackupRecords *ret, Error *reterr);

/* --- deleting, by a job; what is repeated does no harm --- */

/* From now on it is in no list. NoSuchBackup; Busy if another job uses it; WrongState if it is the last one of its instance
 * that is verified, be that there or gone, unless 'last'. */
int backup_delete_mark(DbSync *db, uint64_t id, uint64_t job, bool last, Error *reterr);
/* What the job marked. With 'adopt' also what jobs did that came to their end without deleting it. */
int backup_delete_list(DbSync *db, uint64_t job, bool adopt, BackupRecords *ret, Error *reterr);
/* It stays. */
int backup_delete_keep(DbSync *db, uint64_t id, uint64_t job, Error *reterr);
/* Its file is gone: removes the record, and appends the entry to the audit record; NULL: none. */
int backup_delete_record(
                DbSync *db, const BackupRecord *b, uint64_t job, const AuditEntry *entry, Error *reterr);

/* A key that seals or signs backups, sealed itself by the vault. */
typedef struct BackupKeyRecord {
        char *id;
        char *key_id; /* of the vault's key */
        uint8_t *sealed;
        size_t size;
} BackupKeyRecord;

void backup_key_record_done(BackupKeyRecord *k);
#define _cleanup_backup_key_record_ _cleanup_(backup_key_record_done)

/* The key of that name: an instance's id, or "signing". 'new' becomes it if there is none yet; NULL: then the result has
 * no id. */
int backup_key_ensure(DbSync *db, const char *name, const BackupKeyRecord *new, BackupKeyRecord *ret,
                Error *reterr);

#define RECOVERY_KEY_SIZE 32U
/* The public halves of all recovery keys, one after the other; *ret is freed by free(). */
int recovery_key_list(DbSync *db, uint8_t **ret, size_t *ret_n, Error *reterr);

/* --- from elsewhere --- */

#define BACKUP_SIGNER_SIZE 32U

/* A file that comes from another server. The strings of a new one are borrowed. */
typedef struct BackupImport {
        char instance[STORE_ID_MAX], archive[STORE_ID_MAX];
        char *slug;
        uint64_t sequence;
        usec_t created_at;
        char *key_id;    /* of the vault's key */
        uint8_t *sealed; /* the file's own key */
        size_t size;
        uint8_t signer[BACKUP_SIGNER_SIZE];
} BackupImport;

/* Whose word counts for what is imported of an instance. */
typedef struct StoreImportTrust {
        bool ours;            /* the instance is, or was, one of this server */
        bool imported, known; /* something of it was imported; from the same signer */
        char *key_id;         /* of the vault's key */
        uint8_t *sealed;      /* the key that signs the backups of this server, as "signing" */
        size_t size;          /* 0: there is none yet */
} StoreImportTrust;

typedef void (*StoreImportTrustCallback)(int r, const StoreImportTrust *trust, Error *error, void *userdata);
/* For the daemon: before it records one. Takes instance and signer of it. */
int store_get_import_trust(Db *db, const BackupImport *import, StoreImportTrustCallback callback,
                void *userdata, DbSlot **ret_slot, Error *reterr);

void backup_import_done(BackupImport *i);
#define _cleanup_backup_import_ _cleanup_(backup_import_done)

typedef void (*StoreImportCallback)(int r, uint64_t id, Error *error, void *userdata);
/* Records it, in no list until its job has read it; and, if no other one is on its way to its job ('alone'), forgets those that
 * never got one. WrongState if the file is here already. Takes over nothing. */
int store_begin_import(Db *db, const BackupImport *import, bool alone, StoreImportCallback callback,
                void *userdata, DbSlot **ret_slot, Error *reterr);

/* For the worker: makes it the job's. */
int backup_import_claim(DbSync *db, uint64_t id, uint64_t job, Error *reterr);
/* Takes the blueprint of the record. */
int backup_import_describe(DbSync *db, const BackupRecord *b, Error *reterr);
/* With the keys only. *ret has no key_id where the file was made here. */
int backup_import_get(DbSync *db, uint64_t id, BackupImport *ret, Error *reterr);
