/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The schema's versions, compiled in, and how a database is brought to the newest. */

#include "transaction.h"

typedef struct Migration {
        unsigned version; /* from 1, without a gap */
        const char *name;
        const char *sha256;
        const char *sql;
} Migration;

extern const Migration migrations[];
extern const size_t n_migrations;

/* What the transactions below work on. */
typedef struct MigrationRun {
        const Migration *migrations;
        size_t n_migrations;
        size_t index; /* of the one at hand */
        bool exists;  /* the table that records them */
        size_t n_applied;
        DbStep steps[8];
        DbTransaction transaction;
} MigrationRun;

/* Prepares the transaction that checks what was applied before, and applies the one at 'index' if it is the
 * next; run->transaction is then to be run with the run as userdata. Fails with StoreUnavailable for a
 * schema that is newer than this program, and for a migration that was changed after it had been applied. */
void migration_run_prepare(MigrationRun *run, const Migration *list, size_t n, size_t index);
/* Prepares one that only checks that all were applied. */
void migration_run_prepare_check(MigrationRun *run, const Migration *list, size_t n);
/* Prepares one that checks that the audit record is there, which is not ours to make: in the version that this
 * program knows, or a later one. StoreUnavailable. */
void migration_run_prepare_audit_check(MigrationRun *run);
