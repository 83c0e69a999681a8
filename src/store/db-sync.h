/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A connection to PostgreSQL that blocks, for programs that do one thing at a time. When it is lost it is
 * made again and the transaction repeated from its start, also when it was lost in COMMIT. So every
 * transaction that is run here gives the same result when it had been done already. */

#include "transaction.h"

typedef struct DbSync DbSync;

/* Called at least every second while something is waited for; non-zero gives up (Cancelled). */
typedef int (*DbWaitCallback)(void *userdata);

typedef struct DbSyncOptions {
        const char *conninfo; /* NULL: db_conninfo() */
        DbWaitCallback wait;  /* may be NULL */
        void *userdata;
        usec_t patience; /* how long a lost connection is tried again; 0: until 'wait' gives up */
} DbSyncOptions;

/* Connects. StoreUnavailable, Cancelled. */
int db_sync_open(const DbSyncOptions *options, DbSync **ret, Error *reterr);
DbSync *db_sync_free(DbSync *db);
DEFINE_CLEANUP_FUNC(DbSync *, db_sync_free);

/* Checks that the schema is the one this program knows, which the daemon makes so, and the audit record too.
 * StoreUnavailable. */
int db_sync_check_schema(DbSync *db, Error *reterr);
/* Brings the schema up to date. */
int db_sync_migrate(DbSync *db, Error *reterr);

int db_sync_run(DbSync *db, const DbTransaction *transaction, void *userdata, Error *reterr);

/* Takes the session's lock for a job, now and again on each new connection. Busy if another process has it. */
int db_sync_lock_job(DbSync *db, uint64_t job, Error *reterr);
