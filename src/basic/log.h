/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Logging: to the journal with structured fields when standard error is connected to it, else to standard
 * error. A function either logs or returns its error, never both; library code does not log. */

#include <errno.h>
#include <syslog.h>

#include "ccp/macro.h"

typedef enum LogTarget {
        LOG_TARGET_AUTO,
        LOG_TARGET_CONSOLE,
        LOG_TARGET_JOURNAL,
        LOG_TARGET_NULL,
        _LOG_TARGET_MAX,
        _LOG_TARGET_INVALID = -EINVAL,
} LogTarget;
DECLARE_STRING_TABLE(log_target, LogTarget);

int log_level_from_string(const char *s);
const char *log_level_to_string(int level);

/* Reads $CCP_LOG_LEVEL. */
void log_open(void);
void log_set_max_level(int level);
int log_get_max_level(void);
void log_set_target(LogTarget target);
LogTarget log_get_target(void);

/* Fields that go with every further entry of this process: "CCP_JOB=42". The strings must stay. */
void log_set_context(const char *const *fields);

/* 'fields' is a NULL-terminated array "NAME=value" or NULL. Returns -abs(error). */
int log_internal(int level, int error, const char *file, int line, const char *func,
                const char *const *fields, const char *format, ...) _printf_(7, 8);

#define log_full(level, error, ...) \
        log_internal((level), (error), __FILE__, __LINE__, __func__, NULL, __VA_ARGS__)
#define log_struct(level, error, fields, ...) \
        log_internal((level), (error), __FILE__, __LINE__, __func__, (fields), __VA_ARGS__)

#define log_debug(...) ((void) log_full(LOG_DEBUG, 0, __VA_ARGS__))
#define log_info(...) ((void) log_full(LOG_INFO, 0, __VA_ARGS__))
#define log_notice(...) ((void) log_full(LOG_NOTICE, 0, __VA_ARGS__))
#define log_warning(...) ((void) log_full(LOG_WARNING, 0, __VA_ARGS__))
#define log_error(...) ((void) log_full(LOG_ERR, 0, __VA_ARGS__))

/* %m in the format is the error's text. */
#define log_debug_errno(error, ...) log_full(LOG_DEBUG, (error), __VA_ARGS__)
#define log_warning_errno(error, ...) log_full(LOG_WARNING, (error), __VA_ARGS__)
#define log_error_errno(error, ...) log_full(LOG_ERR, (error), __VA_ARGS__)

#define log_oom() log_error_errno(ENOMEM, "Out of memory.")
