/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The connection to the Engine: a ping, one list of all containers, then the stream of events, all on the
 * event loop. When it breaks off, it is made again. */

#include "watch-notify.h"

typedef struct WatchEngine WatchEngine;

/* An Engine that hangs says nothing, and neither does one to which nothing happens: after so long a silence it is
 * asked. */
#define WATCH_SILENCE_USEC USEC_PER_MINUTE

/* socket NULL: CCP_DOCKER_SOCKET. silence 0: WATCH_SILENCE_USEC. Table and notify are borrowed. */
int watch_engine_new(sd_event *event, const char *socket, usec_t silence, WatchTable *table,
                WatchNotify *notify, WatchEngine **ret);
WatchEngine *watch_engine_free(WatchEngine *e);
DEFINE_CLEANUP_FUNC(WatchEngine *, watch_engine_free);
#define _cleanup_watch_engine_ _cleanup_(watch_engine_freep)

/* Begins, or begins again: with a new list. */
void watch_engine_start(WatchEngine *e);
