/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* An entry of the journal as far as we are interested: its fields, whose line it is, and whether it is a line
 * or a part of one. dockerd cuts a line of more than 16 KiB into parts, each of them an entry. */

#include <sys/types.h>

#include "log-entry.h"

typedef enum LogField {
        LOG_FIELD_MESSAGE,
        LOG_FIELD_PRIORITY,
        LOG_FIELD_UNIT,      /* who sent it, as journald knows: nobody can write this himself */
        LOG_FIELD_SERVICE,   /* of the instance */
        LOG_FIELD_ACTION,    /* of the audit record */
        LOG_FIELD_N_DROPPED, /* lines that journald did not take */
        LOG_FIELD_CONTAINER,
        LOG_FIELD_PART_OF, /* the same for all parts of a line */
        LOG_FIELD_PART_NUMBER,
        LOG_FIELD_PART_LAST,
        _LOG_FIELD_MAX,
} LogField;

typedef struct LogRecord {
        char *values[_LOG_FIELD_MAX]; /* NULL: none; each with a NUL behind it */
        size_t sizes[_LOG_FIELD_MAX];
        usec_t time;
        char *cursor;
} LogRecord;

void log_record_done(LogRecord *r);
#define _cleanup_log_record_ _cleanup_(log_record_done)

/* Takes a field as the journal has it, "NAME=value", if it is one of these; the first of a name counts. */
int log_record_take(LogRecord *r, const void *data, size_t size);

/* Who it comes from; negative if it is nobody's whose lines we show. */
LogSource log_record_source(const LogRecord *r);
int log_record_priority(const LogRecord *r);
/* Lines that journald says it left out. */
uint64_t log_record_dropped(const LogRecord *r);

/* Of a part of a line: its number, from 1; 0 for what is a whole line. */
unsigned log_record_part(const LogRecord *r);
/* True for a whole line, and for the part that is the last. */
bool log_record_ends_line(const LogRecord *r);
/* True if both come from the same stream of the same container: what follows there ends what was before. */
bool log_record_same_stream(const LogRecord *a, const LogRecord *b);
