/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "db.h"

#include <errno.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <utlist.h>

#include "alloc-util.h"
#include "db-connection.h"
#include "migrate.h"
#include "statements.h"
#include "string-util.h"

#define TIMER_ACCURACY (10U * USEC_PER_MSEC)

typedef enum DbPhase {
        DB_STOPPED,
        DB_AWAY,       /* the timer leads to the next attempt */
        DB_CONNECTING, /* libpq shakes hands */
        DB_PREPARING,  /* the session, the notifications, the schema */
        DB_READY,
} DbPhase;

/* What a connection begins with, before the migrations. */
typedef enum Preparation {
        PREPARE_SESSION,
        PREPARE_LISTEN,
        PREPARE_AUDIT,
        _PREPARE_MIGRATIONS,
} Preparation;

struct DbSlot {
        unsigned n_ref; /* of the queue, and of whoever asked */
        Db *db;         /* NULL: not in the queue any more */
        TransactionRun run;
        bool begun;
        DbCallback callback;
        void *userdata;
        void (*destroy)(void *userdata);
        DbSlot *prev, *next;
};

struct Db {
        sd_event *event;
        char *conninfo;
        DbPhase phase;
        PGconn *conn;
        sd_event_source *io_source;
        sd_event_source *timer_source; /* next attempt, or the end of patience */
        sd_event_source *work_source;  /* there may be something to send */
        usec_t backoff;
        char *why; /* not available; NULL if it is */
        bool told; /* the state callback was called before */
        bool in_callback;

        TransactionRun *current; /* that of 'prepare', or of the first in the queue */
        bool awaiting;           /* the answer to a statement of it */
        PGresult *result;        /* the first failure, or the last success, of that statement */

        TransactionRun prepare;
        size_t n_prepared;
        MigrationRun migration;
        char *listen_sql;
        DbStep listen_step;
        DbTransaction listen_transaction;

        DbSlot *queue;
        size_t n_queue;

        DbStateCallback state_callback;
        void *state_userdata;
        DbNotifyCallback notify_callback;
        void *notify_userdata;
};

static const DbStep session_step = { .sql = sql_session_begin, .script = true };
static const DbTransaction session_transaction = {
        .what = "begin a session with PostgreSQL",
        .steps = &session_step,
        .n_steps = 1,
        .read_only = true,
};

static void db_lost(Db *db, char *why);
static int on_work(sd_event_source *s, void *userdata);
static int on_timer(sd_event_source *s, uint64_t usec, void *userdata);

/* --- slots --- */

static DbSlot *slot_unref_one(DbSlot *slot) {
        if (slot && --slot->n_ref == 0) {
                transaction_run_done(&slot->run);
                free(slot);
        }
        return NULL;
}

/* Takes a request out of the queue; its userdata goes, and the queue's reference. */
static void slot_end(DbSlot *slot) {
        Db *db = slot->db;

        assert(db);
        DL_DELETE(db->queue, slot);
        db->n_queue--;
        slot->db = NULL;
        if (slot->destroy)
                slot->destroy(slot->userdata);
        slot->userdata = NULL;
        slot_unref_one(slot);
}

DbSlot *db_slot_unref(DbSlot *slot) {
        if (!slot)
                return NULL;

        slot->callback = NULL;
        if (slot->db && !slot->begun && slot->run.transaction->read_only)
                slot_end(slot);
        return slot_unref_one(slot);
}

/* Calls back with the outcome and ends the request. */
static void slot_complete(DbSlot *slot) {
        Db *db = slot->db;

        assert(db);
        slot->begun = true; /* so that the callback may unref its own slot */
        if (slot->callback) {
                db->in_callback = true;
                slot->callback(slot->run.r, error_is_set(&slot->run.error) ? &slot->run.error : NULL,
                                slot->userdata);
                db->in_callback = false;
        }
        slot_end(slot);
}

/* --- new and free --- */

int db_new(sd_event *event, const char *conninfo, Db **ret) {
        _cleanup_(db_freep) Db *db = NULL;
        int r;

        db = new0(Db, 1);
        if (!db)
                return -ENOMEM;

        db->backoff = DB_BACKOFF_MIN;
        db->event = sd_event_ref(event);
        db->conninfo = strdup(conninfo ?: db_conninfo());
        if (!db->conninfo)
                return -ENOMEM;

        r = sd_event_add_defer(event, &db->work_source, on_work, db);
        if (r < 0)
                return r;
        r = sd_event_source_set_enabled(db->work_source, SD_EVENT_OFF);
        if (r < 0)
                return r;

        r = sd_event_add_time(event, &db->timer_source, CLOCK_MONOTONIC, 0, TIMER_ACCURACY, on_timer, db);
        if (r < 0)
                return r;
        r = sd_event_source_set_enabled(db->timer_source, SD_EVENT_OFF);
        if (r < 0)
                return r;

        *ret = TAKE_PTR(db);
        return 0;
}

/* Forgets the connection and the state of what ran over it. */
static void db_disconnect(Db *db) {
        db->io_source = sd_event_source_disable_unref(db->io_source);
        PQclear(db->result);
        db->result = NULL;
        PQfinish(db->conn);
        db->conn = NULL;
        db->awaiting = false;
        if (db->current == &db->prepare)
                transaction_run_done(&db->prepare);
        db->current = NULL;
}

Db *db_free(Db *db) {
        if (!db)
                return NULL;

        assert(!db->in_callback);

        while (db->queue) {
                db->queue->callback = NULL;
                slot_end(db->queue);
        }
        db_disconnect(db);
        sd_event_source_disable_unref(db->work_source);
        sd_event_source_disable_unref(db->timer_source);
        sd_event_unref(db->event);
        free(db->conninfo);
        free(db->listen_sql);
        free(db->why);
        return mfree(db);
}

void db_set_state_callback(Db *db, DbStateCallback callback, void *userdata) {
        db->state_callback = callback;
        db->state_userdata = userdata;
}

int db_set_notify_callback(Db *db, const char *const *channels, DbNotifyCallback callback, void *userdata) {
        _cleanup_string_builder_ StringBuilder b = {};
        char *sql;
        int r;

        /* A channel is an identifier, which can't be a parameter. */
        for (const char *const *c = channels; c && *c; c++) {
                assert((*c)[strspn(*c, "abcdefghijklmnopqrstuvwxyz_")] == 0);
                string_builder_appendf(&b, "LISTEN %s;", *c);
        }

        r = string_builder_finish(&b, &sql, NULL);
        if (r < 0)
                return r;

        free(db->listen_sql);
        db->listen_sql = sql;
        db->listen_step = (DbStep) { .sql = sql, .script = true };
        db->listen_transaction = (DbTransaction) {
                .what = "listen to PostgreSQL",
                .steps = &db->listen_step,
                .n_steps = 1,
                .read_only = true,
        };
        db->notify_callback = callback;
        db->notify_userdata = userdata;
        return 0;
}

bool db_is_available(const Db *db) {
        return db->phase == DB_READY;
}

const char *db_why_unavailable(const Db *db) {
        if (db->phase == DB_READY)
                return NULL;

        return db->why ?: "PostgreSQL has not answered yet.";
}

size_t db_n_requests(const Db *db) {
        return db->n_queue;
}

/* --- the loop's sources --- */

static void arm_timer(Db *db, usec_t delay) {
        (void) sd_event_source_set_time_relative(db->timer_source, delay);
        (void) sd_event_source_set_enabled(db->timer_source, SD_EVENT_ONESHOT);
}

static void disarm_timer(Db *db) {
        (void) sd_event_source_set_enabled(db->timer_source, SD_EVENT_OFF);
}

static void ask_for_work(Db *db) {
        (void) sd_event_source_set_enabled(db->work_source, SD_EVENT_ONESHOT);
}

/* Says what became of the connection; 'why' is NULL if it can be used now. */
static void tell_state(Db *db, char *why) {
        bool same = db->told && why && db->why && streq(why, db->why);

        free(db->why);
        db->why = why;
        if (same || !db->state_callback)
                return;

        db->told = true;
        db->in_callback = true;
        db->state_callback(db, db->phase == DB_READY, db_why_unavailable(db), db->state_userdata);
        db->in_callback = false;
}

/* The connection is of no more use; 'why' is taken over, NULL when out of memory. All requests fail, and the
 * next attempt is set for later. */
static void db_lost(Db *db, char *why) {
        DbSlot *queue = db->queue, *slot;

        if (!why)
                why = strdup("Out of memory.");

        db_disconnect(db);
        db->phase = DB_AWAY;
        arm_timer(db, db->backoff);
        db->backoff = MIN(db->backoff * 2, DB_BACKOFF_MAX);

        /* Callbacks may ask again, and are refused, so the queue only gets shorter. */
        DL_FOREACH(queue, slot)
        transaction_run_lost(&slot->run, strempty(why));
        tell_state(db, why);
        while (db->queue)
                slot_complete(db->queue);
}

static int on_io(sd_event_source *s, int fd, uint32_t events, void *userdata);

/* Watches the connection's socket; made anew while connecting, when libpq may change it under the same
 * number. */
static int watch(Db *db, uint32_t events) {
        if (db->io_source && db->phase != DB_CONNECTING)
                return sd_event_source_set_io_events(db->io_source, events);

        db->io_source = sd_event_source_disable_unref(db->io_source);
        return sd_event_add_io(db->event, &db->io_source, PQsocket(db->conn), events, on_io, db);
}

/* Hands to the kernel what it takes, and waits for the rest. */
static int flush(Db *db) {
        int r;

        r = PQflush(db->conn);
        if (r < 0)
                return -ECONNRESET;

        return watch(db, r > 0 ? EPOLLIN | EPOLLOUT : EPOLLIN);
}

/* --- requests, one after the other --- */

static void become_ready(Db *db) {
        db->phase = DB_READY;
        db->backoff = DB_BACKOFF_MIN;
        disarm_timer(db);
        tell_state(db, NULL);
        ask_for_work(db);
}

/* The next thing that a new connection needs. Returns false if that was all. */
static bool next_preparation(Db *db) {
        size_t i = db->n_prepared++;

        if (i == PREPARE_LISTEN && isempty(db->listen_sql))
                i = db->n_prepared++;
        if (i >= _PREPARE_MIGRATIONS + n_migrations)
                return false;

        if (i == PREPARE_SESSION)
                transaction_run_init(&db->prepare, &session_transaction, NULL);
        else if (i == PREPARE_LISTEN)
                transaction_run_init(&db->prepare, &db->listen_transaction, NULL);
        else if (i == PREPARE_AUDIT) {
                migration_run_prepare_audit_check(&db->migration);
                transaction_run_init(&db->prepare, &db->migration.transaction, &db->migration);
        } else {
                migration_run_prepare(&db->migration, migrations, n_migrations, i - _PREPARE_MIGRATIONS);
                transaction_run_init(&db->prepare, &db->migration.transaction, &db->migration);
        }
        db->current = &db->prepare;
        arm_timer(db, db->prepare.transaction->timeout ?: DB_TIMEOUT);
        return true;
}

/* Sees to it that something runs, if there is something. Returns false if not. */
static bool pick_next(Db *db) {
        if (db->current)
                return true;

        if (db->phase == DB_PREPARING) {
                if (next_preparation(db))
                        return true;
                become_ready(db);
        }

        if (db->phase != DB_READY || !db->queue)
                return false;

        db->queue->begun = true;
        db->current = &db->queue->run;
        arm_timer(db, db->current->transaction->timeout ?: DB_TIMEOUT);
        return true;
}

/* The current run is at its end. */
static void finish_current(Db *db) {
        TransactionRun *run = db->current;

        db->current = NULL;
        disarm_timer(db);

        if (run != &db->prepare) {
                slot_complete(db->queue);
                return;
        }

        if (run->r < 0)
                db_lost(db, TAKE_PTR(run->error.message));
        transaction_run_done(run);
}

/* Sends whatever can be sent now. */
static void work(Db *db) {
        while (db->conn && !db->awaiting && pick_next(db)) {
                int r;

                r = transaction_run_send(db->current, db->conn);
                if (r == 0) {
                        finish_current(db);
                        continue;
                }

                if (r > 0) {
                        db->awaiting = true;
                        r = flush(db);
                }
                if (r < 0)
                        db_lost(db, db_connection_why(db->conn));
        }
}

static int on_work(sd_event_source *s _unused_, void *userdata) {
        work(userdata);
        return 0;
}

/* Reads the answer to the statement at hand as far as it is there. */
static int read_results(Db *db) {
        while (db->awaiting && !PQisBusy(db->conn)) {
                PGresult *result;
                int r;

                result = PQgetResult(db->conn);
                if (result) {
                        /* A script has one for each statement. */
                        if (PQresultStatus(db->result) == PGRES_FATAL_ERROR && db->result)
                                PQclear(result);
                        else {
                                PQclear(db->result);
                                db->result = result;
                        }
                        continue;
                }

                db->awaiting = false;
                r = db->result ? transaction_run_receive(db->current, db->result) : -ECONNRESET;
                PQclear(db->result);
                db->result = NULL;
                if (r < 0)
                        return r;
        }

        return 0;
}

static void read_notifications(Db *db) {
        for (;;) {
                PGnotify *n;

                n = db->conn ? PQnotifies(db->conn) : NULL;
                if (!n)
                        return;

                if (db->notify_callback && db->phase == DB_READY) {
                        db->in_callback = true;
                        db->notify_callback(db, n->relname, n->extra, db->notify_userdata);
                        db->in_callback = false;
                }
                PQfreemem(n);
        }
}

static void on_connection(Db *db, uint32_t events) {
        int r = 0, k;

        if (events & EPOLLOUT)
                r = flush(db);
        if (r >= 0 && (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) && !PQconsumeInput(db->conn))
                r = -ECONNRESET;

        /* What arrived before the end still counts. */
        k = read_results(db);
        if (r < 0 || k < 0) {
                db_lost(db, db_connection_why(db->conn));
                return;
        }

        work(db);
        read_notifications(db);
}

/* --- connecting --- */

static void on_handshake(Db *db) {
        char *why = NULL;
        int r;

        switch (PQconnectPoll(db->conn)) {
        case PGRES_POLLING_READING:
                r = watch(db, EPOLLIN);
                break;
        case PGRES_POLLING_WRITING:
                r = watch(db, EPOLLOUT);
                break;
        case PGRES_POLLING_OK:
                if (db_connection_check(db->conn, &why) < 0) {
                        db_lost(db, why);
                        return;
                }
                r = PQsetnonblocking(db->conn, 1) < 0 ? -ECONNRESET : watch(db, EPOLLIN);
                if (r < 0)
                        break;
                db->phase = DB_PREPARING;
                db->n_prepared = 0;
                work(db);
                return;
        default:
                r = -ECONNRESET;
        }

        if (r < 0)
                db_lost(db, db_connection_why(db->conn));
}

static void connect_begin(Db *db) {
        db->phase = DB_CONNECTING;
        db->conn = db_connection_start(db->conninfo);
        if (!db->conn || PQstatus(db->conn) == CONNECTION_BAD || watch(db, EPOLLOUT) < 0) {
                db_lost(db, db_connection_why(db->conn));
                return;
        }
        arm_timer(db, DB_CONNECT_TIMEOUT);
}

static int on_io(sd_event_source *s _unused_, int fd _unused_, uint32_t events, void *userdata) {
        Db *db = userdata;

        if (db->phase == DB_CONNECTING)
                on_handshake(db);
        else
                on_connection(db, events);
        return 0;
}

static int on_timer(sd_event_source *s _unused_, uint64_t usec _unused_, void *userdata) {
        Db *db = userdata;
        char *why;

        if (db->phase == DB_AWAY) {
                connect_begin(db);
                return 0;
        }

        if (asprintf(&why, "PostgreSQL did not answer within %s.",
                            FORMAT_TIMESPAN(db->current ? db->current->transaction->timeout ?: DB_TIMEOUT
                                                        : DB_CONNECT_TIMEOUT)) < 0)
                why = NULL;
        db_lost(db, why);
        return 0;
}

int db_start(Db *db) {
        assert(db->phase == DB_STOPPED);

        db->phase = DB_AWAY;
        arm_timer(db, 0);
        return 0;
}

/* --- asking --- */

static int refuse(void *userdata, void (*destroy)(void *userdata), int r) {
        if (destroy)
                destroy(userdata);
        return r;
}

int db_request(Db *db, const DbTransaction *transaction, DbCallback callback, void *userdata,
                void (*destroy)(void *userdata), DbSlot **ret_slot, Error *reterr) {
        DbSlot *slot;

        if (db->phase != DB_READY)
                return refuse(userdata, destroy,
                                error_setf(reterr, CCP_ERROR_STORE_UNAVAILABLE, "Could not %s: %s",
                                                transaction->what, db_why_unavailable(db)));

        if (db->n_queue >= DB_QUEUE_MAX)
                return refuse(userdata, destroy,
                                error_setf(reterr, CCP_ERROR_LIMIT_EXCEEDED,
                                                "Could not %s: %u requests wait for PostgreSQL already. Try "
                                                "again in a while.",
                                                transaction->what, DB_QUEUE_MAX));

        slot = new0(DbSlot, 1);
        if (!slot)
                return refuse(userdata, destroy,
                                error_set_errnof(reterr, ENOMEM, "Could not %s: %m", transaction->what));

        *slot = (DbSlot) {
                .n_ref = ret_slot ? 2 : 1,
                .db = db,
                .callback = callback,
                .userdata = userdata,
                .destroy = destroy,
        };
        transaction_run_init(&slot->run, transaction, userdata);
        DL_APPEND(db->queue, slot);
        db->n_queue++;
        ask_for_work(db);

        if (ret_slot)
                *ret_slot = slot;
        return 0;
}
