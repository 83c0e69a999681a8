/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A scripted storage on 127.0.0.1, in a process of its own, that answers with whatever bytes a test wants. */

#include <sys/types.h>

#include "ccp/macro.h"
#include "s3-client.h"

typedef enum FakeEnd {
        FAKE_CLOSE,
        FAKE_RESET, /* the connection breaks */
        FAKE_HANG,  /* it stays, without a further byte */
} FakeEnd;

typedef struct FakeStep {
        const char *request; /* begin of "METHOD /path?query" */
        const char *answer;  /* the raw bytes; NULL: none */
        FakeEnd end;         /* what comes after them */
        unsigned from;       /* answers the n-th request of this kind (from 0), and later ones */
        size_t filler;       /* so many bytes more */
} FakeStep;

typedef struct FakeS3 {
        pid_t pid;
        char endpoint[64];
        char directory[64];
        char log[96];
} FakeS3;

#define FAKE_HEAD(status, headers) "HTTP/1.1 " status "\r\nConnection: close\r\n" headers "\r\n"
#define FAKE_ANSWER(status, body) FAKE_HEAD(status, "") body
#define FAKE_ERROR(status, code)                                    \
        FAKE_ANSWER(status,                                         \
                        "<?xml version=\"1.0\"?><Error><Code>" code \
                        "</Code><Message>It is so.</Message></Error>")

/* Of the steps that fit, the last one whose 'from' was reached answers; none: 404. */
void fake_s3_start(FakeS3 *f, const FakeStep *steps, size_t n);
void fake_s3_stop(FakeS3 *f);
#define _cleanup_fake_s3_ _cleanup_(fake_s3_stop)

/* A client of its bucket "backups" that gives up soon; 'prefix' may be NULL. */
S3Client *fake_s3_client(const FakeS3 *f, const char *prefix);

/* All that came: for each request its line, its headers, and "body: SIZE SHA256". Free it. */
char *fake_s3_log(const FakeS3 *f);
/* How many lines of the log begin so. */
unsigned fake_s3_count(const FakeS3 *f, const char *line);
