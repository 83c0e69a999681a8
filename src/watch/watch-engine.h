/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The connection to the Engine: a ping, one list of all containers, then the stream of events, all on the
 * event loop. When it breaks off, it is made again. */

#include "watch-notify.h"

typedef struct WatchEngine WatchEngine;

/* socket NULL: CCP_DOCKER_SOCKET. Table and notify are borrowed. */
int watch_engine_new(sd_event *event, const char *socket, WatchTable *table, WatchNotify *notify,
                WatchEngine **ret);
WatchEngine *watch_engine_free(WatchEngine *e);
DEFINE_CLEANUP_FUNC(WatchEngine *, watch_engine_free);
#define _cleanup_watch_engine_ _cleanup_(watch_engine_freep)

/* Begins, or begins again: with a new list. */
void watch_engine_start(WatchEngine *e);
