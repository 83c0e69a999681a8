/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The chain of hashes that ties the entries of the audit record to each other, and a walk along it that finds
 * the first fault. database/0001-audit.sql says how the hash is made. Values are text as PostgreSQL gives it:
 * what was tampered with may be no number any more. */

#include "store-audit.h"

#define AUDIT_HASH_TEXT_MAX (2U * AUDIT_HASH_SIZE + 1)

/* What is hashed, in this order. */
typedef enum AuditField {
        AUDIT_FIELD_PREVIOUS, /* hexadecimal */
        AUDIT_FIELD_SEQ,
        AUDIT_FIELD_TIME,
        AUDIT_FIELD_ACTION,
        AUDIT_FIELD_OUTCOME,
        AUDIT_FIELD_INSTANCE,
        AUDIT_FIELD_INSTANCE_ID,
        AUDIT_FIELD_UID,
        AUDIT_FIELD_USER,
        AUDIT_FIELD_LOGIN_UID,
        AUDIT_FIELD_PID,
        AUDIT_FIELD_PROCESS,
        AUDIT_FIELD_UNIT,
        AUDIT_FIELD_SESSION,
        AUDIT_FIELD_REMOTE_HOST,
        AUDIT_FIELD_JOB,
        AUDIT_FIELD_ERROR_NAME,
        AUDIT_FIELD_DETAILS,
        _AUDIT_FIELD_MAX,
} AuditField;

/* The hash of an entry; NULL is SQL's NULL. */
void audit_chain_hash(const char *const fields[_AUDIT_FIELD_MAX], char ret[AUDIT_HASH_TEXT_MAX]);

typedef struct AuditChain {
        /* The last entry that was found right, at first what was pruned last. */
        uint64_t position;
        char hash[AUDIT_HASH_TEXT_MAX];
        /* The recorded end. */
        uint64_t end;
        char end_hash[AUDIT_HASH_TEXT_MAX];
        uint64_t beyond; /* the first entry behind the recorded end; 0: none */
        AuditVerdict verdict;
} AuditChain;

/* Number and hash of the checkpoint and of the head; NULL for a hash: it is gone, which counts as a number of
 * 0. 'first' and 'last' are of the entries that are there (0: none). Returns false if there is a fault already:
 * then, and after each false below, the verdict stands. */
bool audit_chain_begin(AuditChain *c, uint64_t checkpoint, const char *checkpoint_hash, uint64_t head,
                const char *head_hash, uint64_t first, uint64_t last, uint64_t beyond);
/* Goes on with the next entry up to the end, by its number. */
bool audit_chain_add(
                AuditChain *c, uint64_t seq, const char *const fields[_AUDIT_FIELD_MAX], const char *hash);
/* What the walk has not come to yet was pruned meanwhile, up to this checkpoint; nothing if it is behind. */
void audit_chain_pruned(AuditChain *c, uint64_t checkpoint, const char *checkpoint_hash);
/* There is no further one. */
void audit_chain_finish(AuditChain *c);
