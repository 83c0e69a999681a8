/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The lines of an instance, read from the journal by its indexes: who sent a line, and whose it is. */

#include "log-entry.h"
#include "log-pattern.h"
#include "log-request.h"

typedef struct LogJournal LogJournal;

typedef struct LogJournalHandlers {
        /* Takes a line. Returns 1 to stop reading after it; a negative errno ends all. */
        int (*line)(const LogEntry *e, void *userdata);
        /* Called several times a second, also while a pattern is compared with one line. A negative errno ends
         * all. */
        int (*check)(void *userdata);
} LogJournalHandlers;

/* The request and the pattern (NULL: none) must stay. */
int log_journal_open(const LogRequest *q, LogPattern *pattern, const LogJournalHandlers *handlers,
                void *userdata, LogJournal **ret);
LogJournal *log_journal_free(LogJournal *j);
DEFINE_CLEANUP_FUNC(LogJournal *, log_journal_free);

/* Goes to where the lines that are asked for begin. */
int log_journal_seek(LogJournal *j);
/* Tells all lines that there are from there on. Returns 1 if the handler stopped it, or the end that was asked for
 * is reached. 'final': none will be told later, so what is not complete is told too. */
int log_journal_read(LogJournal *j, bool final);

/* For poll(2): the descriptor, its events, and until when at the latest (monotonic, USEC_INFINITY for no limit). */
int log_journal_get_poll(LogJournal *j, short *ret_events, usec_t *ret_until);
/* Looks at what happened to the journal's files. */
int log_journal_process(LogJournal *j);

/* Where to go on reading; "" as long as it was not found where the lines begin, and if the journal is empty.
 * Borrowed. */
const char *log_journal_cursor(const LogJournal *j);
