/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A scripted Engine on a unix socket, in a process of its own, that answers with whatever bytes a test wants. */

#include <sys/types.h>

#include "ccp/macro.h"

typedef struct FakeRoute {
        const char *request; /* begin of "METHOD /path", without the version; NULL: any */
        const char *answer;  /* the raw bytes; NULL: none */
        size_t size;         /* of the answer, if it has NULs; 0: its length */
        bool hang;           /* afterwards the connection stays open, without a further byte */
        unsigned from;       /* answers the n-th request of this kind (from 0), and later ones */
} FakeRoute;

typedef struct FakeEngine {
        pid_t pid;
        char directory[64];
        char socket[96];
        char log[96];
} FakeEngine;

/* An answer with a body that ends with the connection. */
#define FAKE_OK(body) "HTTP/1.1 200 OK\r\nApi-Version: 1.45\r\nConnection: close\r\n\r\n" body
#define FAKE_STATUS(status, body) "HTTP/1.1 " status "\r\nConnection: close\r\n\r\n" body
#define FAKE_PING { .request = "GET /_ping", .answer = FAKE_OK("OK") }

/* Of the routes that fit, the last one with a 'from' that was reached answers; none: 404. */
void fake_engine_start(FakeEngine *e, const FakeRoute *routes, size_t n);
void fake_engine_stop(FakeEngine *e);
#define _cleanup_fake_engine_ _cleanup_(fake_engine_stop)

/* All request lines so far, one per line. Free it. */
char *fake_engine_requests(const FakeEngine *e);
