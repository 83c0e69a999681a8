/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What ccpd asks of ccp-logs: one line of JSON. */

#include <stdint.h>

#include "error.h"
#include "time-util.h"

#define LOG_LINES_ALL UINT64_MAX
#define LOG_SERVICES_MAX 256U
#define LOG_CURSOR_MAX 512U
#define LOG_PATTERN_MAX 1024U
#define LOG_WAIT_MAX (60 * USEC_PER_SEC)
/* For an answer that is limited, besides waiting: less than callers wait for a reply, if they do not say how long. */
#define LOG_ANSWER_TIME_MAX (20 * USEC_PER_SEC)
/* Requests that are served at the same time. ccpd asks for no more. */
#define LOG_READERS_MAX 128U
/* A request is no longer than this, with its newline. */
#define LOG_REQUEST_MAX (64U * 1024U)

typedef struct LogRequest {
        char *id;            /* UUID of the instance */
        char **services;     /* NULL: all */
        uint64_t lines;      /* this many of the newest; LOG_LINES_ALL; no meaning with a cursor */
        usec_t since, until; /* realtime, both belong to it; 0 and USEC_INFINITY for none */
        char *cursor;        /* only what comes after it; NULL: none */
        char *pattern;       /* only lines that match; NULL: all */
        bool follow;         /* go on with what comes */
        bool all;            /* lines of jobs and of ccpd about the instance, too */
        bool audit;          /* with these: what is on record */
        usec_t wait;         /* if there is nothing: wait so long for something to come */
        uint64_t limit;      /* at most so many entries; 0: all */
        uint64_t size;       /* about so many bytes at most, but one entry at least; 0: all */
        uint64_t message;    /* so many bytes of JSON at most for one message, the rest is cut; 0: all */
} LogRequest;

/* One that asks for nothing in particular. */
#define LOG_REQUEST_NEW ((LogRequest) { .lines = LOG_LINES_ALL, .until = USEC_INFINITY })

void log_request_done(LogRequest *q);
#define _cleanup_log_request_ _cleanup_(log_request_done)

/* Fails with InvalidArgument for what is too long, or makes no sense. */
int log_request_validate(const LogRequest *q, Error *reterr);

/* The line, with its newline. */
int log_request_format(const LogRequest *q, char **ret, size_t *ret_size);
/* Reads and validates one, without its newline. */
int log_request_parse(const char *data, size_t size, LogRequest *ret, Error *reterr);
