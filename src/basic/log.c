/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "log.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/uio.h>
/* The place is that of the caller of log_…(), not of ours. */
#define SD_JOURNAL_SUPPRESS_LOCATION
#include <systemd/sd-journal.h>
#include <unistd.h>

#include "alloc-util.h"
#include "string-util.h"

#define LOG_FIELDS_MAX 32U

static int max_level = LOG_INFO;
static LogTarget target = LOG_TARGET_AUTO;
static bool journal_is_stderr;
static const char *const *context;

static const char *const log_target_table[_LOG_TARGET_MAX] = {
        [LOG_TARGET_AUTO] = "auto",
        [LOG_TARGET_CONSOLE] = "console",
        [LOG_TARGET_JOURNAL] = "journal",
        [LOG_TARGET_NULL] = "null",
};
DEFINE_STRING_TABLE(log_target, LogTarget);

static const char *const log_level_table[] = {
        [LOG_EMERG] = "emerg",
        [LOG_ALERT] = "alert",
        [LOG_CRIT] = "crit",
        [LOG_ERR] = "err",
        [LOG_WARNING] = "warning",
        [LOG_NOTICE] = "notice",
        [LOG_INFO] = "info",
        [LOG_DEBUG] = "debug",
};

int log_level_from_string(const char *s) {
        return string_table_lookup(log_level_table, ELEMENTSOF(log_level_table), s);
}

const char *log_level_to_string(int level) {
        return level >= 0 && (size_t) level < ELEMENTSOF(log_level_table) ? log_level_table[level] : NULL;
}

void log_open(void) {
        const char *stream = getenv("JOURNAL_STREAM"), *level = secure_getenv("CCP_LOG_LEVEL");
        unsigned long long device, inode;
        struct stat st;

        /* systemd.exec(5): "device:inode" of the journal's socket, to be compared with standard error. */
        if (stream && sscanf(stream, "%20llu:%20llu", &device, &inode) == 2 &&
                        fstat(STDERR_FILENO, &st) >= 0)
                journal_is_stderr = st.st_dev == device && st.st_ino == inode;

        if (level && log_level_from_string(level) >= 0)
                max_level = log_level_from_string(level);
}

void log_set_max_level(int level) {
        max_level = level;
}

int log_get_max_level(void) {
        return max_level;
}

void log_set_target(LogTarget t) {
        target = t;
}

LogTarget log_get_target(void) {
        return target;
}

void log_set_context(const char *const *fields) {
        context = fields;
}

static bool log_to_journal(void) {
        return target == LOG_TARGET_JOURNAL || (target == LOG_TARGET_AUTO && journal_is_stderr);
}

static void append_fields(struct iovec *iov, size_t *n, const char *const *fields) {
        for (const char *const *f = fields; f && *f && *n < LOG_FIELDS_MAX; f++)
                iov[(*n)++] = (struct iovec) { (char *) *f, strlen(*f) };
}

int log_internal(int level, int error, const char *file, int line, const char *func,
                const char *const *fields, const char *format, ...) {
        _cleanup_free_ char *message = NULL, *entry = NULL, *priority = NULL, *code = NULL,
                            *code_line = NULL, *code_func = NULL, *errno_field = NULL;
        struct iovec iov[LOG_FIELDS_MAX];
        size_t n = 0;
        va_list ap;
        int saved_errno = errno, k;

        error = abs(error);
        if (level > max_level || target == LOG_TARGET_NULL)
                return -error;

        errno = error; /* for %m */
        va_start(ap, format);
        k = vasprintf(&message, format, ap);
        va_end(ap);
        if (k < 0) {
                message = NULL;
                errno = saved_errno;
                return -error;
        }

        if (log_to_journal()) {
                entry = strjoin("MESSAGE=", message);
                if (asprintf(&priority, "PRIORITY=%i", level) < 0)
                        priority = NULL;
                code = strjoin("CODE_FILE=", file);
                if (asprintf(&code_line, "CODE_LINE=%i", line) < 0)
                        code_line = NULL;
                code_func = strjoin("CODE_FUNC=", func);
                if (error > 0 && asprintf(&errno_field, "ERRNO=%i", error) < 0)
                        errno_field = NULL;

                FOREACH_ARRAY(s,
                                ((const char *[]) {
                                                entry, priority, code, code_line, code_func, errno_field }),
                                6)
                        if (*s)
                                iov[n++] = (struct iovec) { (char *) *s, strlen(*s) };
                append_fields(iov, &n, context);
                append_fields(iov, &n, fields);

                (void) sd_journal_sendv(iov, (int) n);
        } else
                (void) fprintf(stderr, "%s\n", message);

        errno = saved_errno;
        return -error;
}
