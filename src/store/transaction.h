/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the records are asked for, as a table: statements with a function that binds the parameters and one
 * that takes the rows. Db runs it without blocking, DbSync blocks; both by the TransactionRun below. */

#include <libpq-fe.h>

#include "db-params.h"
#include "error.h"
#include "time-util.h"

/* What a bind function returns to leave its step out. */
#define DB_STEP_SKIP 1

typedef struct DbStep {
        const char *sql; /* one of statements.h */
        /* Returns 0, DB_STEP_SKIP, or a negative errno. NULL: no parameters. */
        int (*bind)(DbParams *params, void *userdata);
        /* Looks at the rows. A negative errno, with an error set, rolls the transaction back. NULL: whatever
         * comes is fine. */
        int (*result)(const PGresult *result, void *userdata, Error *reterr);
        /* The text has several statements and no parameters: a migration. */
        bool script;
        /* What it means if the server refuses this very statement, and what to do: a sentence. NULL: nothing
         * that is known, so that it is an internal error. */
        const char *refusal;
} DbStep;

typedef struct DbTransaction {
        const char *what; /* completes "Could not …": "record the instance" */
        const DbStep *steps;
        size_t n_steps;
        bool read_only; /* all steps see one state of the records, and can't change them */
        bool roll_back; /* try it, keep nothing */
        usec_t timeout; /* for the whole of it; 0: DB_TIMEOUT */
        /* Forgets what the steps stored in userdata, before they run again after a conflict with another
         * transaction or (DbSync) a lost connection. NULL: nothing to forget. */
        void (*reset)(void *userdata);
} DbTransaction;

#define DB_TIMEOUT (10U * USEC_PER_SEC)

/* The connection ended in COMMIT: whether the transaction holds is not known. The error that goes with it is
 * StoreUnavailable. */
#define DB_OUTCOME_UNKNOWN (-EREMOTEIO)

/* One run of a transaction over a connection. */
typedef enum TransactionPhase {
        TRANSACTION_BEGIN,
        TRANSACTION_STEPS,
        TRANSACTION_COMMIT,
        TRANSACTION_ROLLBACK,
        TRANSACTION_DONE,
} TransactionPhase;

typedef struct TransactionRun {
        const DbTransaction *transaction;
        void *userdata;
        TransactionPhase phase;
        size_t step;
        unsigned conflicts;
        bool again; /* after the roll-back: from the start */
        bool sent;  /* a step reached the connection */
        int r;      /* the outcome so far */
        Error error;
} TransactionRun;

void transaction_run_init(TransactionRun *run, const DbTransaction *transaction, void *userdata);
void transaction_run_done(TransactionRun *run);
/* Back to the start, on a new connection. */
void transaction_run_restart(TransactionRun *run);

/* Queues the next statement on a connection that is idle. Returns 1 if one is on its way, 0 if the run is at
 * its end with its outcome in run->r and run->error, a negative errno if the connection did not take it. */
int transaction_run_send(TransactionRun *run, PGconn *conn);
/* Takes what the statement gave. A negative errno if the connection is of no more use. */
int transaction_run_receive(TransactionRun *run, const PGresult *result);
/* Ends the run because the connection is lost; 'why' is a sentence. */
void transaction_run_lost(TransactionRun *run, const char *why);
