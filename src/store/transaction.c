/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "transaction.h"

#include <errno.h>

#include "statements.h"
#include "string-util.h"

/* A transaction that ran into another's is repeated this often. */
#define CONFLICTS_MAX 5U

void transaction_run_init(TransactionRun *run, const DbTransaction *transaction, void *userdata) {
        *run = (TransactionRun) {
                .transaction = transaction,
                .userdata = userdata,
        };
}

void transaction_run_done(TransactionRun *run) {
        error_done(&run->error);
}

void transaction_run_restart(TransactionRun *run) {
        if (run->transaction->reset)
                run->transaction->reset(run->userdata);
        error_done(&run->error);
        run->phase = TRANSACTION_BEGIN;
        run->step = 0;
        run->again = false;
        run->sent = false;
        run->r = 0;
}

/* A single statement is a transaction by itself. */
static bool is_single(const TransactionRun *run) {
        return run->transaction->n_steps == 1 && !run->transaction->roll_back;
}

static void run_fail(TransactionRun *run, int r) {
        run->r = r;
        run->phase = is_single(run) ? TRANSACTION_DONE : TRANSACTION_ROLLBACK;
}

/* Sends the next step that is not left out. Returns 0 if none is left, or one of them failed. */
static int send_step(TransactionRun *run, PGconn *conn) {
        const DbTransaction *t = run->transaction;

        for (; run->step < t->n_steps; run->step++) {
                _cleanup_db_params_ DbParams params = {};
                const DbStep *step = t->steps + run->step;
                int r;

                r = step->bind ? step->bind(&params, run->userdata) : 0;
                if (r == DB_STEP_SKIP)
                        continue;
                if (r >= 0)
                        r = db_params_check(&params);
                if (r < 0) {
                        run_fail(run, error_set_errnof(&run->error, r, "Could not %s: %m", t->what));
                        return 0;
                }

                run->sent = true;
                r = step->script ? PQsendQuery(conn, step->sql)
                                 : PQsendQueryParams(conn, step->sql, (int) params.n, NULL, params.values,
                                                   NULL, NULL, 0);
                return r == 1 ? 1 : -ECONNRESET;
        }

        run->phase = is_single(run)    ? TRANSACTION_DONE
                        : t->roll_back ? TRANSACTION_ROLLBACK
                                       : TRANSACTION_COMMIT;
        return 0;
}

int transaction_run_send(TransactionRun *run, PGconn *conn) {
        const char *sql = NULL;

        while (!sql) {
                int r;

                switch (run->phase) {
                case TRANSACTION_BEGIN:
                        if (is_single(run))
                                run->phase = TRANSACTION_STEPS;
                        else
                                sql = run->transaction->read_only ? sql_begin_read_only : sql_begin;
                        break;
                case TRANSACTION_STEPS:
                        r = send_step(run, conn);
                        if (r != 0)
                                return r;
                        break;
                case TRANSACTION_COMMIT:
                        sql = sql_commit;
                        break;
                case TRANSACTION_ROLLBACK:
                        sql = sql_rollback;
                        break;
                case TRANSACTION_DONE:
                        return 0;
                }
        }

        return PQsendQuery(conn, sql) == 1 ? 1 : -ECONNRESET;
}

/* What the server's refusal of a statement means. */
static const struct {
        const char *sqlstate; /* or the beginning of it */
        enum {
                REFUSAL_LOST,     /* the connection is of no more use */
                REFUSAL_CONFLICT, /* with another transaction: again */
                REFUSAL_AWAY,     /* works again later */
                REFUSAL_SPACE,
        } meaning;
} refusals[] = {
        { "08", REFUSAL_LOST },        /* connection exception */
        { "57P", REFUSAL_LOST },       /* shutting down, or the session was ended */
        { "25P03", REFUSAL_LOST },     /* idle in transaction for too long */
        { "40001", REFUSAL_CONFLICT }, /* serialization failure */
        { "40P01", REFUSAL_CONFLICT }, /* deadlock */
        { "23505", REFUSAL_CONFLICT }, /* unique violation: expected ones are no error (ON CONFLICT) */
        { "23P01", REFUSAL_CONFLICT }, /* exclusion violation */
        { "53100", REFUSAL_SPACE },    /* disk full */
        { "53", REFUSAL_AWAY },        /* other resources */
        { "57014", REFUSAL_AWAY },     /* statement_timeout */
        { "25006", REFUSAL_AWAY },     /* read-only: a standby */
        { "58", REFUSAL_AWAY },        /* I/O error */
};

static int receive_refusal(TransactionRun *run, const PGresult *result) {
        const char *sqlstate = PQresultErrorField(result, PG_DIAG_SQLSTATE),
                   *message = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY),
                   *what = run->transaction->what, *refusal = NULL;
        int meaning = -1, r;

        if (!sqlstate)
                return -ECONNRESET;

        FOREACH_ARRAY(i, refusals, ELEMENTSOF(refusals))
                if (startswith(sqlstate, i->sqlstate)) {
                        meaning = i->meaning;
                        break;
                }

        if (meaning == REFUSAL_LOST)
                return -ECONNRESET;

        /* The ROLLBACK of what had failed already can't be refused. */
        if (run->phase == TRANSACTION_ROLLBACK)
                return -EPROTO;

        if (meaning == REFUSAL_CONFLICT && run->conflicts < CONFLICTS_MAX) {
                run->conflicts++;
                run->again = true;
                run->phase = TRANSACTION_ROLLBACK;
                if (is_single(run))
                        transaction_run_restart(run);
                return 0;
        }

        if (run->phase == TRANSACTION_STEPS)
                refusal = run->transaction->steps[run->step].refusal;

        message = message ?: "no reason given";
        if (meaning == REFUSAL_SPACE)
                r = error_setf(&run->error, CCP_ERROR_NO_SPACE, "Could not %s: PostgreSQL says \"%s\".",
                                what, message);
        else if (meaning == REFUSAL_AWAY)
                r = error_setf(&run->error, CCP_ERROR_STORE_UNAVAILABLE,
                                "Could not %s: PostgreSQL says \"%s\".", what, message);
        else if (refusal)
                r = error_setf(&run->error, CCP_ERROR_STORE_UNAVAILABLE,
                                "Could not %s: PostgreSQL refused it with \"%s\" (%s). %s", what, message,
                                sqlstate, refusal);
        else
                r = error_setf(&run->error, CCP_ERROR_INTERNAL,
                                "Could not %s: PostgreSQL refused it with \"%s\" (%s).", what, message,
                                sqlstate);
        run_fail(run, r);
        return 0;
}

static void receive_rows(TransactionRun *run, const PGresult *result) {
        const DbStep *step = run->transaction->steps + run->step;
        int r;

        run->step++;
        if (!step->result)
                return;

        r = step->result(result, run->userdata, &run->error);
        if (r >= 0)
                return;

        if (!error_is_set(&run->error))
                error_set_errnof(&run->error, r, "Could not %s: %m", run->transaction->what);
        run_fail(run, r);
}

int transaction_run_receive(TransactionRun *run, const PGresult *result) {
        if (!IN_SET(PQresultStatus(result), PGRES_COMMAND_OK, PGRES_TUPLES_OK))
                return receive_refusal(run, result);

        switch (run->phase) {
        case TRANSACTION_BEGIN:
                run->phase = TRANSACTION_STEPS;
                break;
        case TRANSACTION_STEPS:
                receive_rows(run, result);
                break;
        case TRANSACTION_COMMIT:
                run->phase = TRANSACTION_DONE;
                break;
        case TRANSACTION_ROLLBACK:
                if (run->again)
                        transaction_run_restart(run);
                else
                        run->phase = TRANSACTION_DONE;
                break;
        case TRANSACTION_DONE:
                return -EPROTO;
        }

        return 0;
}

void transaction_run_lost(TransactionRun *run, const char *why) {
        const DbTransaction *t = run->transaction;
        bool unknown;

        if (run->phase == TRANSACTION_DONE)
                return;

        /* What was to be rolled back is, and its outcome is known. */
        if (run->phase == TRANSACTION_ROLLBACK && !run->again) {
                run->phase = TRANSACTION_DONE;
                return;
        }

        unknown = !t->read_only && (run->phase == TRANSACTION_COMMIT || (is_single(run) && run->sent));
        error_done(&run->error);
        run->r = error_setf(&run->error, CCP_ERROR_STORE_UNAVAILABLE, "Could not %s: %s%s", t->what, why,
                        unknown ? " It may have been done all the same: look before you try it again." : "");
        if (unknown)
                run->r = DB_OUTCOME_UNKNOWN;
        run->phase = TRANSACTION_DONE;
}
