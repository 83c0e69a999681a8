/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What ccp-logs answers: lines of JSON, one for each entry, between one that says whether the request was
 * accepted and one that says that this is the end. */

#include <errno.h>
#include <stdint.h>

#include "error.h"
#include "string-util.h"
#include "time-util.h"

/* Of one line of a log; what is beyond is left out. */
#define LOG_MESSAGE_MAX (1024U * 1024U)

typedef enum LogSource {
        LOG_SOURCE_CONTAINER,
        LOG_SOURCE_JOB,
        LOG_SOURCE_CCPD,
        LOG_SOURCE_JOURNAL, /* journald itself: lines are missing here */
        _LOG_SOURCE_MAX,
        _LOG_SOURCE_INVALID = -EINVAL,
} LogSource;
DECLARE_STRING_TABLE(log_source, LogSource);

typedef struct LogEntry {
        usec_t time;  /* realtime */
        char *cursor; /* its place in the journal */
        LogSource source;
        char *service;  /* of a container; else NULL */
        int priority;   /* of syslog(3) */
        char *message;  /* UTF-8 without NUL and noncharacters, with control characters */
        bool truncated; /* parts of it are missing */
} LogEntry;

void log_entry_done(LogEntry *e);
#define _cleanup_log_entry_ _cleanup_(log_entry_done)

/* Why the lines end. */
typedef enum LogEnd {
        LOG_END_COMPLETE, /* this is all, or all that fits */
        LOG_END_AGAIN, /* roles or rules have changed, the instance is gone, or ccpd is: to be asked for anew */
        _LOG_END_MAX,
        _LOG_END_INVALID = -EINVAL,
} LogEnd;
DECLARE_STRING_TABLE(log_end, LogEnd);

typedef enum LogLineType {
        LOG_LINE_READY, /* the request was accepted; now what was asked for */
        LOG_LINE_ERROR, /* it was not, or could not be done to its end */
        LOG_LINE_ENTRY,
        LOG_LINE_END,
        _LOG_LINE_TYPE_MAX,
} LogLineType;

typedef struct LogLine {
        LogLineType type;
        Error error;
        LogEntry entry;
        LogEnd end;
        char *cursor; /* of LOG_LINE_END: where to go on; "" if nothing was read yet */
} LogLine;

void log_line_done(LogLine *l);
#define _cleanup_log_line_ _cleanup_(log_line_done)

/* Appends a line and its newline. Returns -EINVAL for what cannot be written so. */
int log_line_append(StringBuilder *b, const LogLine *l);
/* The same for an entry, whose message is cut to so many bytes as they are written here; 0: it is whole. */
int log_entry_append(StringBuilder *b, const LogEntry *e, size_t message_max);
/* Reads one, without its newline. Returns -EBADMSG if it is none of these, or -ENOMEM. */
int log_line_parse(const char *data, size_t size, LogLine *ret);

/* Appends text from somewhere: what is not valid UTF-8, NUL and noncharacters, which the bus does not take,
 * become U+FFFD. */
void log_text_append(StringBuilder *b, const char *s, size_t n);
