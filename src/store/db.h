/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The daemon's connection to PostgreSQL, on an sd_event loop; nothing here blocks. It connects, brings the
 * schema up to date, listens, and comes back by itself when it is lost. Requests run one after the other. */

#include <systemd/sd-event.h>

#include "transaction.h"

typedef struct Db Db;
typedef struct DbSlot DbSlot;

/* Requests that wait or run; further ones are refused (LimitExceeded). */
#define DB_QUEUE_MAX 4096U

/* The end of a request: r is 0 and error NULL, or r negative and error set; that may be moved away. For a transaction that
 * was lost in COMMIT r is DB_OUTCOME_UNKNOWN. */
typedef void (*DbCallback)(int r, Error *error, void *userdata);
/* The connection became usable (why: NULL), or is not (why: a sentence). Also called when the reason
 * changes. Whoever keeps a copy of records reads them anew when it became usable: notifications of the time
 * in between are lost. */
typedef void (*DbStateCallback)(Db *db, bool available, const char *why, void *userdata);
typedef void (*DbNotifyCallback)(Db *db, const char *channel, const char *payload, void *userdata);

/* $CCP_STORE, else the built-in CCP_STORE_CONNINFO. */
const char *db_conninfo(void);

/* Callbacks are set before db_start(), and none of them may free the Db. conninfo NULL: db_conninfo(). */
int db_new(sd_event *event, const char *conninfo, Db **ret);
/* Requests that have not ended are forgotten: their callbacks are not called, their userdata is destroyed. */
Db *db_free(Db *db);
DEFINE_CLEANUP_FUNC(Db *, db_free);
void db_set_state_callback(Db *db, DbStateCallback callback, void *userdata);
/* LISTENs on the channels (NULL-terminated; letters and underscores only). 0 or -ENOMEM. */
int db_set_notify_callback(Db *db, const char *const *channels, DbNotifyCallback callback, void *userdata);
/* Begins to connect. The result comes by the state callback. */
int db_start(Db *db);

bool db_is_available(const Db *db);
/* Why not; NULL when it is. */
const char *db_why_unavailable(const Db *db);
size_t db_n_requests(const Db *db);

/* Queues a transaction. It must stay (static), as must userdata until 'destroy' is called, which happens
 * exactly once, after the callback, also when this fails. Fails at once with StoreUnavailable while there is
 * no connection. On failure the callback is not called. callback and destroy may be NULL.
 *
 * ret_slot may be NULL. Else unref'ing it cancels the callback: what changes the records is done all the
 * same, what only reads and did not begin is dropped. A slot may be kept beyond the end of the request. */
int db_request(Db *db, const DbTransaction *transaction, DbCallback callback, void *userdata,
                void (*destroy)(void *userdata), DbSlot **ret_slot, Error *reterr);

DbSlot *db_slot_unref(DbSlot *slot);
DEFINE_CLEANUP_FUNC(DbSlot *, db_slot_unref);
