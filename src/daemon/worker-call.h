/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Asks a worker that PID 1 starts for each connection to its socket: a request goes out, all that it writes comes back. The
 * loop never waits. */

#include <systemd/sd-event.h>

#include "error.h"
#include "time-util.h"

/* A connection to a worker's socket, that does not wait. Returns the descriptor. */
int worker_connect(const char *path);

typedef struct WorkerCall WorkerCall;

/* r = 0 and the answer, with a NUL beyond 'size', which the call owns; or negative, with an error to be moved. The call is
 * freed after it. */
typedef void (*worker_call_done_t)(int r, const char *answer, size_t size, Error *error, void *userdata);

/* 'what' completes "… cannot be …": it goes into the sentences of errors, and must stay. An answer above 'max' bytes, or later
 * than 'timeout', is a failure. On failure nothing is called back. ret may be NULL: then it is freed by itself alone. */
int worker_call_new(sd_event *event, const char *socket, const char *what, const char *request, size_t max,
                usec_t timeout, worker_call_done_t done, void *userdata, WorkerCall **ret, Error *reterr);
WorkerCall *worker_call_free(WorkerCall *c);
DEFINE_CLEANUP_FUNC(WorkerCall *, worker_call_free);
