/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The record of what happened: a chain of entries in a schema that belongs to another role than ours, which
 * lets us append, read, and remove only what is older than the shortest retention. Each entry has a number
 * without gaps and the SHA-256 of its fields and of the hash before it, so that one that was changed, removed,
 * inserted or moved is found. As in store.h nothing blocks. */

#include "audit.h"
#include "store.h"

#define AUDIT_HASH_SIZE 32U

/* A notification on it carries the number of an entry that was appended. */
#define STORE_CHANNEL_AUDIT "ccpd_audit"

/* An entry as it is on record. */
typedef struct AuditRecord {
        uint64_t seq; /* from 1, without gaps */
        usec_t time;  /* since the epoch; the clock may have been set back meanwhile, seq is the order */
        char *action; /* may be of a later version: text, no enum */
        char *outcome;
        char *instance; /* slug; NULL: none, as below */
        char *instance_id;
        uint32_t uid;
        char *user;
        int64_t login_uid; /* -1: none */
        uint32_t pid;      /* 0: not known */
        char *process, *unit, *session, *remote_host;
        uint64_t job; /* 0: none */
        char *error_name;
        char *details; /* JSON, as it was hashed */
        uint8_t previous[AUDIT_HASH_SIZE], hash[AUDIT_HASH_SIZE];
} AuditRecord;

AuditRecord *audit_record_free(AuditRecord *a);
DEFINE_CLEANUP_FUNC(AuditRecord *, audit_record_free);

typedef struct AuditRecords {
        AuditRecord **items;
        size_t n;
} AuditRecords;
void audit_records_done(AuditRecords *l);

/* Writes an entry that is on record to the journal, with its fields and the MESSAGE_ID of its outcome
 * (names.h). What is appended together with a change (store.h) is written by the store itself, once it is
 * committed. */
void audit_record_log(const AuditRecord *a);
/* The same of one that could not be put on record: 'error' says why. */
void audit_entry_log_lost(const AuditEntry *entry, const Error *error);

typedef void (*StoreAuditCallback)(int r, AuditRecord *record, Error *error, void *userdata);
/* Appends one entry of its own, copying it, and writes it to the journal; audit_entry_log_lost() if that
 * fails. callback may be NULL. Gives the entry. */
int store_append_audit(Db *db, const AuditEntry *entry, StoreAuditCallback callback, void *userdata,
                DbSlot **ret_slot, Error *reterr);

/* NULL and 0 are "any"; at most STORE_LIST_MAX entries come at once. */
typedef struct StoreAuditFilter {
        const char *instance; /* slug */
        const char *user;     /* the name, or the number */
        const char *action, *outcome;
        usec_t since, until;    /* since <= time < until */
        uint64_t before, after; /* after < seq < before */
        uint64_t limit;
        bool oldest_first;
} StoreAuditFilter;

typedef void (*StoreAuditsCallback)(int r, AuditRecords *records, Error *error, void *userdata);
/* Newest first, but for oldest_first. The array is freed by audit_records_done() after the callback, but for what
 * was taken out. */
int store_query_audit(Db *db, const StoreAuditFilter *filter, StoreAuditsCallback callback, void *userdata,
                DbSlot **ret_slot, Error *reterr);

/* What a walk over the whole chain came to. */
typedef enum AuditFault {
        AUDIT_FAULT_NONE,
        AUDIT_FAULT_CHANGED,  /* the entry's fields do not give its hash */
        AUDIT_FAULT_REMOVED,  /* the entry with this number is not there */
        AUDIT_FAULT_INSERTED, /* the entry is beyond the recorded end of the chain */
        AUDIT_FAULT_MOVED,    /* the entry does not follow the one before it */
        _AUDIT_FAULT_MAX,
        _AUDIT_FAULT_INVALID = -EINVAL,
} AuditFault;
DECLARE_STRING_TABLE(audit_fault, AuditFault);

typedef struct AuditVerdict {
        AuditFault fault;
        uint64_t seq;         /* the first entry with a fault; 0: none */
        uint64_t first, last; /* of the chain as it is now; 0: it is empty */
        uint64_t n_verified;
        uint8_t head[AUDIT_HASH_SIZE]; /* of the last entry */
} AuditVerdict;

typedef void (*StoreVerdictCallback)(int r, const AuditVerdict *verdict, Error *error, void *userdata);
/* Walks the chain from the oldest entry kept, page by page, other requests in between. A fault is a verdict,
 * no error. */
int store_verify_audit(Db *db, StoreVerdictCallback callback, void *userdata, Error *reterr);

typedef void (*StorePruneCallback)(int r, uint64_t n_removed, Error *error, void *userdata);
/* Removes what is older than 'keep' (but never what is younger than 30 days: the database sees to that),
 * remembers the hash that the rest begins with, and records it as AUDIT_PRUNE if anything was removed. An
 * accepted entry whose job has not ended stays, with all behind it. At most 100000 entries go at once: a call
 * that removed so many may be followed by another. */
int store_prune_audit(Db *db, usec_t keep, const AuditActor *actor, StorePruneCallback callback,
                void *userdata, DbSlot **ret_slot, Error *reterr);
