/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Logs that are being read. ccpd does not read the journal itself: each request is a connection to ccp-logs,
 * which has a process for each that may do that and nothing else. */

#include <sys/types.h>

#include "log-entry.h"
#include "log-request.h"

typedef struct Manager Manager;
typedef struct LogReader LogReader;

typedef struct LogAnswer {
        int fd; /* the connection that the lines come from; negative where they were collected: */
        LogEntry *entries;
        size_t n_entries;
        const char *cursor;
} LogAnswer;

/* Called once; without an answer the error is set. Both are borrowed. */
typedef void (*log_answer_handler_t)(const LogAnswer *answer, Error *error, void *userdata);

typedef struct LogReaderOptions {
        uid_t uid;          /* whose request it is, and … */
        const char *caller; /* … the name of his connection: without it nobody needs an answer */
        bool fleet;         /* he may read any log, for which there is always room */
        bool hand_over;     /* give the connection away instead of collecting the lines */
        log_answer_handler_t handler;
        void *userdata;
} LogReaderOptions;

/* Asks for lines. 0, or fails at once with the error set; then the handler is not called. */
int logs_read(Manager *m, const LogRequest *q, const LogReaderOptions *options, Error *reterr);

/* Ends reading, also of what was given away: of an instance (its UUID), or of all (NULL), because what may be read
 * and by whom is another question now. Whoever still may asks again. */
void logs_revoke(Manager *m, const char *instance);

LogReader *log_reader_free(LogReader *r);
DEFINE_CLEANUP_FUNC(LogReader *, log_reader_free);
