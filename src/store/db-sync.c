/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "db-sync.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>

#include "alloc-util.h"
#include "db-connection.h"
#include "db-row.h"
#include "db.h"
#include "migrate.h"
#include "statements.h"
#include "string-util.h"

/* The wait callback's rhythm is faster than what is promised of it. */
#define WAIT_SLICE (500U * USEC_PER_MSEC)
/* How long a lock is waited for: the server may not have noticed yet that our last connection is gone. */
#define LOCK_PATIENCE (10U * USEC_PER_SEC)

struct DbSync {
        char *conninfo;
        DbWaitCallback wait;
        void *userdata;
        usec_t patience;
        PGconn *conn;
        char *why; /* why the last connection was lost */
        bool locks;
        uint64_t locked_job;
        bool got_lock;
};

static const DbStep session_step = { .sql = sql_session_begin, .script = true };
static const DbTransaction session_transaction = {
        .what = "begin a session with PostgreSQL",
        .steps = &session_step,
        .n_steps = 1,
        .read_only = true,
};

static void disconnect(DbSync *db) {
        PQfinish(db->conn);
        db->conn = NULL;
}

DbSync *db_sync_free(DbSync *db) {
        if (!db)
                return NULL;

        disconnect(db);
        free(db->conninfo);
        free(db->why);
        return mfree(db);
}

/* Forgets the connection, for the reason that libpq gives, or for another (taken over). */
static int lost(DbSync *db, char *why) {
        free(db->why);
        db->why = why ?: db_connection_why(db->conn);
        disconnect(db);
        return -ECONNRESET;
}

static int lost_by_timeout(DbSync *db, usec_t timeout) {
        char *why;

        if (asprintf(&why, "PostgreSQL did not answer within %s.", FORMAT_TIMESPAN(timeout)) < 0)
                why = NULL;
        return lost(db, why);
}

static int check_wait(DbSync *db) {
        return db->wait && db->wait(db->userdata) != 0 ? -ECANCELED : 0;
}

/* Waits for the socket (none: -1), or just for the time to pass. 1 if it is ready, 0 at the deadline,
 * -ECANCELED. */
static int wait_for(DbSync *db, int fd, short events, usec_t deadline) {
        for (;;) {
                struct pollfd p = { .fd = fd, .events = events };
                usec_t t = now(CLOCK_MONOTONIC), slice;
                int r;

                if (t >= deadline)
                        return 0;

                slice = MIN(deadline - t, WAIT_SLICE);
                r = poll(&p, 1, (int) (slice / USEC_PER_MSEC) + 1);
                if (r > 0)
                        return 1;
                if (r < 0 && errno != EINTR)
                        return -errno;

                r = check_wait(db);
                if (r < 0)
                        return r;
        }
}

/* --- one statement --- */

/* Waits until the answer is complete. *ret is the first failure of it, or the last success. -ECONNRESET if
 * the connection is gone. */
static int read_answer(DbSync *db, usec_t timeout, PGresult **ret) {
        usec_t deadline = now(CLOCK_MONOTONIC) + timeout;
        PGresult *answer = NULL;
        int r;

        for (;;) {
                PGresult *result;

                r = PQflush(db->conn);
                if (r < 0)
                        break;

                if (r == 0 && !PQisBusy(db->conn)) {
                        result = PQgetResult(db->conn);
                        if (!result) {
                                *ret = answer;
                                return answer ? 0 : lost(db, NULL);
                        }
                        if (answer && PQresultStatus(answer) == PGRES_FATAL_ERROR)
                                PQclear(result);
                        else {
                                PQclear(answer);
                                answer = result;
                        }
                        continue;
                }

                r = wait_for(db, PQsocket(db->conn), r > 0 ? POLLIN | POLLOUT : POLLIN, deadline);
                if (r == 0) {
                        PQclear(answer);
                        return lost_by_timeout(db, timeout);
                }
                if (r < 0 || !PQconsumeInput(db->conn))
                        break;
        }

        PQclear(answer);
        if (r != -ECANCELED)
                return lost(db, NULL);

        (void) lost(db, strdup("It was interrupted."));
        return r;
}

/* Runs a transaction over the connection at hand. -ECONNRESET and -ECANCELED: there is none any more, and the
 * run is as it was then. 0: the run is at its end. */
static int run_once(DbSync *db, TransactionRun *run) {
        usec_t timeout = run->transaction->timeout ?: DB_TIMEOUT;

        for (;;) {
                PGresult *answer = NULL;
                int r;

                r = transaction_run_send(run, db->conn);
                if (r < 0)
                        return lost(db, NULL);
                if (r == 0)
                        return 0;

                r = read_answer(db, timeout, &answer);
                if (r < 0)
                        return r;

                r = transaction_run_receive(run, answer);
                PQclear(answer);
                if (r < 0)
                        return lost(db, NULL);
        }
}

/* --- connecting --- */

static int shake_hands(DbSync *db) {
        usec_t deadline = now(CLOCK_MONOTONIC) + DB_CONNECT_TIMEOUT;
        PostgresPollingStatusType status = PGRES_POLLING_WRITING;

        db->conn = db_connection_start(db->conninfo);
        if (!db->conn || PQstatus(db->conn) == CONNECTION_BAD)
                return lost(db, NULL);

        while (status != PGRES_POLLING_OK) {
                int r;

                r = wait_for(db, PQsocket(db->conn), status == PGRES_POLLING_READING ? POLLIN : POLLOUT,
                                deadline);
                if (r == -ECANCELED) {
                        (void) lost(db, strdup("It was interrupted."));
                        return r;
                }
                if (r == 0)
                        return lost_by_timeout(db, DB_CONNECT_TIMEOUT);
                if (r < 0)
                        return lost(db, NULL);

                status = PQconnectPoll(db->conn);
                if (status == PGRES_POLLING_FAILED)
                        return lost(db, NULL);
        }

        (void) PQsetnonblocking(db->conn, 1);
        return 0;
}

static int run_internal(DbSync *db, const DbTransaction *transaction, void *userdata, Error *reterr) {
        TransactionRun run;
        int r;

        transaction_run_init(&run, transaction, userdata);
        r = run_once(db, &run);
        if (r >= 0) {
                r = run.r;
                if (r < 0)
                        error_move(reterr, &run.error);
        }
        transaction_run_done(&run);
        return r;
}

static int bind_lock(DbParams *params, void *userdata) {
        DbSync *db = userdata;

        db_params_add_int64(params, (int64_t) db->locked_job);
        return 0;
}

static int result_lock(const PGresult *result, void *userdata, Error *reterr) {
        DbSync *db = userdata;
        DbRow row = DB_ROW(result, 0);
        int r;

        db_row_bool(&row, &db->got_lock);
        r = db_row_end(&row);
        return r < 0 ? db_row_error(r, "a lock", reterr) : 0;
}

static const DbStep lock_step = { sql_job_lock_session, bind_lock, result_lock };
static const DbTransaction lock_transaction = {
        .what = "lock the job",
        .steps = &lock_step,
        .n_steps = 1,
        .read_only = true,
};

/* Takes the lock on this connection. */
static int take_lock(DbSync *db, Error *reterr) {
        usec_t deadline = now(CLOCK_MONOTONIC) + LOCK_PATIENCE;

        for (;;) {
                int r;

                r = run_internal(db, &lock_transaction, db, reterr);
                if (r < 0)
                        return r;
                if (db->got_lock)
                        return 0;
                if (now(CLOCK_MONOTONIC) >= deadline)
                        return error_setf(reterr, CCP_ERROR_BUSY,
                                        "Another process works on the job %" PRIu64
                                        ": its lock is held in PostgreSQL.",
                                        db->locked_job);

                r = wait_for(db, -1, 0, now(CLOCK_MONOTONIC) + WAIT_SLICE);
                if (r < 0)
                        return r;
        }
}

/* One attempt at a connection that is ready for use. -ECONNRESET: later, perhaps. */
static int connect_once(DbSync *db, Error *reterr) {
        char *why = NULL;
        int r;

        r = shake_hands(db);
        if (r < 0)
                return r;

        if (db_connection_check(db->conn, &why) < 0)
                return lost(db, why);

        r = run_internal(db, &session_transaction, NULL, reterr);
        if (r < 0 || !db->locks)
                return r;

        return take_lock(db, reterr);
}

static int give_up(DbSync *db, int r, const char *what, Error *reterr) {
        if (r == -ECANCELED)
                return error_setf(reterr, CCP_ERROR_CANCELLED, "Could not %s: it was interrupted.", what);

        return error_setf(reterr, CCP_ERROR_STORE_UNAVAILABLE, "Could not %s: %s", what,
                        db->why ?: "PostgreSQL can't be reached.");
}

/* Connects, if there is no connection, for as long as it is worth it. */
static int connect_patiently(DbSync *db, const char *what, usec_t deadline, Error *reterr) {
        usec_t backoff = DB_BACKOFF_MIN;

        while (!db->conn) {
                int r;

                r = connect_once(db, reterr);
                if (r >= 0)
                        return 0;
                if (!IN_SET(r, -ECONNRESET, -ECANCELED)) {
                        disconnect(db);
                        return r;
                }
                if (r == -ECANCELED || now(CLOCK_MONOTONIC) + backoff > deadline)
                        return give_up(db, r, what, reterr);

                r = wait_for(db, -1, 0, now(CLOCK_MONOTONIC) + backoff);
                if (r < 0)
                        return give_up(db, r, what, reterr);
                backoff = MIN(backoff * 2, DB_BACKOFF_MAX);
        }

        return 0;
}

int db_sync_run(DbSync *db, const DbTransaction *transaction, void *userdata, Error *reterr) {
        usec_t deadline = db->patience > 0 ? now(CLOCK_MONOTONIC) + db->patience : USEC_INFINITY;
        TransactionRun run;
        int r;

        transaction_run_init(&run, transaction, userdata);
        for (;;) {
                r = connect_patiently(db, transaction->what, deadline, reterr);
                if (r < 0)
                        break;

                r = run_once(db, &run);
                if (r >= 0) {
                        r = run.r;
                        if (r < 0)
                                error_move(reterr, &run.error);
                        break;
                }
                if (r == -ECANCELED || now(CLOCK_MONOTONIC) > deadline) {
                        r = give_up(db, r, transaction->what, reterr);
                        break;
                }
                transaction_run_restart(&run);
        }

        transaction_run_done(&run);
        return r;
}

int db_sync_lock_job(DbSync *db, uint64_t job, Error *reterr) {
        int r;

        db->locks = true;
        db->locked_job = job;
        if (db->conn) {
                r = take_lock(db, reterr);
                if (!IN_SET(r, -ECONNRESET, -ECANCELED))
                        return r;
                if (r == -ECANCELED)
                        return give_up(db, r, lock_transaction.what, reterr);
        }

        return connect_patiently(db, lock_transaction.what,
                        db->patience > 0 ? now(CLOCK_MONOTONIC) + db->patience : USEC_INFINITY, reterr);
}

int db_sync_migrate(DbSync *db, Error *reterr) {
        for (size_t i = 0; i < n_migrations; i++) {
                MigrationRun run;
                int r;

                migration_run_prepare(&run, migrations, n_migrations, i);
                r = db_sync_run(db, &run.transaction, &run, reterr);
                if (r < 0)
                        return r;
        }

        return 0;
}

int db_sync_check_schema(DbSync *db, Error *reterr) {
        MigrationRun run;
        int r;

        migration_run_prepare_audit_check(&run);
        r = db_sync_run(db, &run.transaction, &run, reterr);
        if (r < 0)
                return r;

        migration_run_prepare_check(&run, migrations, n_migrations);
        return db_sync_run(db, &run.transaction, &run, reterr);
}

int db_sync_open(const DbSyncOptions *options, DbSync **ret, Error *reterr) {
        _cleanup_(db_sync_freep) DbSync *db = NULL;
        int r;

        db = new0(DbSync, 1);
        if (!db)
                return error_set_errnof(reterr, ENOMEM, "Could not connect to PostgreSQL: %m");

        db->wait = options->wait;
        db->userdata = options->userdata;
        db->patience = options->patience;
        db->conninfo = strdup(options->conninfo ?: db_conninfo());
        if (!db->conninfo)
                return error_set_errnof(reterr, ENOMEM, "Could not connect to PostgreSQL: %m");

        r = connect_patiently(db, "connect to PostgreSQL",
                        db->patience > 0 ? now(CLOCK_MONOTONIC) + db->patience : USEC_INFINITY, reterr);
        if (r < 0)
                return r;

        *ret = TAKE_PTR(db);
        return 0;
}
