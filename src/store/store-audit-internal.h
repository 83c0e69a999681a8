/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* How a change is put on record in its own transaction: the entry is appended by the last step, because that
 * locks the end of the chain, and is written to the journal once the transaction is committed. */

#include <libpq-fe.h>

#include "db-params.h"
#include "store-audit.h"

/* The version of database/ that this program needs. */
#define STORE_AUDIT_VERSION 1U

/* DbStep's 'refusal' for the steps that append. */
#define STORE_AUDIT_REFUSAL                                                                              \
        "The audit record does not take the entry, and nothing is done that is not on record. See that " \
        "it is there: /usr/lib/ccpd/ccp-setup --database"

typedef struct StoreAudit {
        AuditActor actor; /* its strings are owned, and those of the entry */
        AuditEntry entry;
        bool begun;          /* the step was reached */
        AuditRecord *record; /* the entry as it was appended */
} StoreAudit;

/* Copies the entry. What is only known later is set with the functions below. */
int store_audit_init(StoreAudit *a, const AuditEntry *entry);
void store_audit_done(StoreAudit *a);
/* For a transaction's reset(). */
void store_audit_reset(StoreAudit *a);
int store_audit_set_instance(StoreAudit *a, const char *slug, const char *id);

/* The step: audit-append */
int store_audit_bind(StoreAudit *a, DbParams *params);
int store_audit_result(StoreAudit *a, const PGresult *result, Error *reterr);
/* Tells the journal about the end of the transaction: r and its error. */
void store_audit_end(const StoreAudit *a, int r, const Error *error);

/* A row of the statements that give entries. */
int audit_record_read(const PGresult *result, int number, AuditRecord **ret, Error *reterr);
