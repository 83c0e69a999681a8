/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Tells ccpd what the table knows. Nothing is lost: while ccpd's queue is full we wait for room, and after
 * its socket was away it gets the whole list again. */

#include <systemd/sd-event.h>

#include "watch-table.h"

typedef struct WatchNotify WatchNotify;

/* path NULL: CCP_NOTIFY_SOCKET. The table is borrowed. */
int watch_notify_new(sd_event *event, const char *path, WatchTable *table, WatchNotify **ret);
WatchNotify *watch_notify_free(WatchNotify *n);
DEFINE_CLEANUP_FUNC(WatchNotify *, watch_notify_free);
#define _cleanup_watch_notify_ _cleanup_(watch_notify_freep)

/* 'started' is when the Engine did (realtime), 0 if it is away or nobody knows. */
void watch_notify_set_engine(WatchNotify *n, bool available, usec_t started);
/* The whole table is to be sent, as a list. */
void watch_notify_begin_list(WatchNotify *n);
/* Sends what can be sent now. What can't is sent later by itself. */
void watch_notify_flush(WatchNotify *n);
