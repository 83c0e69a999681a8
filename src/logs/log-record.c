/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "log-record.h"

#include <errno.h>
#include <syslog.h>

#include "alloc-util.h"
#include "ccp/names.h"

/* dockerd reads what a container writes into a buffer of this size; a part is as large. */
#define PART_SIZE (16U * 1024U)

/* With the length, since this is what reading the journal takes most of its time for. */
#define NAME(s) { s "=", STRLEN(s "=") }
static const struct {
        const char *name;
        size_t size;
} names[_LOG_FIELD_MAX] = {
        [LOG_FIELD_MESSAGE] = NAME("MESSAGE"),
        [LOG_FIELD_PRIORITY] = NAME("PRIORITY"),
        [LOG_FIELD_UNIT] = NAME("_SYSTEMD_UNIT"),
        [LOG_FIELD_SERVICE] = NAME("CCP_SERVICE"),
        [LOG_FIELD_ACTION] = NAME("CCP_ACTION"),
        [LOG_FIELD_N_DROPPED] = NAME("N_DROPPED"),
        [LOG_FIELD_CONTAINER] = NAME("CONTAINER_ID_FULL"),
        [LOG_FIELD_PART_OF] = NAME("CONTAINER_PARTIAL_ID"),
        [LOG_FIELD_PART_NUMBER] = NAME("CONTAINER_PARTIAL_ORDINAL"),
        [LOG_FIELD_PART_LAST] = NAME("CONTAINER_PARTIAL_LAST"),
};

void log_record_done(LogRecord *r) {
        FOREACH_ARRAY(v, r->values, _LOG_FIELD_MAX)
                *v = mfree(*v);
        r->cursor = mfree(r->cursor);
}

int log_record_take(LogRecord *r, const void *data, size_t size) {
        for (size_t i = 0; i < _LOG_FIELD_MAX; i++) {
                size_t n = names[i].size;
                char *value;

                if (size < n || memcmp(data, names[i].name, n) != 0)
                        continue;
                if (r->values[i])
                        return 0;

                value = malloc(size - n + 1);
                if (!value)
                        return -ENOMEM;
                memcpy(value, (const char *) data + n, size - n);
                value[size - n] = 0;
                r->values[i] = value;
                r->sizes[i] = size - n;
                return 0;
        }

        return 0;
}

LogSource log_record_source(const LogRecord *r) {
        const char *unit = strempty(r->values[LOG_FIELD_UNIT]);

        if (streq(unit, "docker.service"))
                return LOG_SOURCE_CONTAINER;
        if (streq(unit, "ccpd.service"))
                return LOG_SOURCE_CCPD;
        if (startswith(unit, CCP_JOB_UNIT "@") || startswith(unit, CCP_TRANSFER_UNIT "@"))
                return LOG_SOURCE_JOB;
        if (streq(unit, "systemd-journald.service"))
                return LOG_SOURCE_JOURNAL;
        return _LOG_SOURCE_INVALID;
}

int log_record_priority(const LogRecord *r) {
        const char *s = strempty(r->values[LOG_FIELD_PRIORITY]);

        return s[0] >= '0' && s[0] <= '7' && !s[1] ? s[0] - '0' : LOG_INFO;
}

static uint64_t read_number(const LogRecord *r, LogField field) {
        const char *s = strempty(r->values[field]);

        return s[0] >= '0' && s[0] <= '9' ? strtoull(s, NULL, 10) : 0;
}

uint64_t log_record_dropped(const LogRecord *r) {
        return read_number(r, LOG_FIELD_N_DROPPED);
}

unsigned log_record_part(const LogRecord *r) {
        uint64_t number = read_number(r, LOG_FIELD_PART_NUMBER);

        if (isempty(r->values[LOG_FIELD_PART_OF]))
                return 0;
        return number > 0 && number <= UINT32_MAX ? (unsigned) number : 1;
}

/* A part that does not fill the buffer is what was left when the container closed its end: dockerd does not mark it
 * as the last. */
bool log_record_ends_line(const LogRecord *r) {
        return log_record_part(r) == 0 || streq(strempty(r->values[LOG_FIELD_PART_LAST]), "true") ||
                        r->sizes[LOG_FIELD_MESSAGE] < PART_SIZE;
}

bool log_record_same_stream(const LogRecord *a, const LogRecord *b) {
        return streq_ptr(a->values[LOG_FIELD_CONTAINER], b->values[LOG_FIELD_CONTAINER]) &&
                        log_record_priority(a) == log_record_priority(b);
}
