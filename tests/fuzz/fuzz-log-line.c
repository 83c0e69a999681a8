/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Fields of the journal, one a line, as whoever runs in a container may write them: an entry made of them can be
 * written and read. And lines of the answer: whatever can be read can be written, and reads the same again. */

#include "alloc-util.h"
#include "fuzz.h"
#include "log-record.h"

static void check_line(const LogLine *l) {
        _cleanup_string_builder_ StringBuilder b = {}, c = {};
        _cleanup_log_line_ LogLine again = {};

        if (log_line_append(&b, l) < 0 || b.failed || memchr(b.data, '\n', b.size) != b.data + b.size - 1 ||
                        log_line_parse(b.data, b.size - 1, &again) < 0 || log_line_append(&c, &again) < 0 ||
                        b.size != c.size || memcmp(b.data, c.data, b.size) != 0)
                abort();
}

static void check_record(const char *data, size_t size) {
        _cleanup_log_record_ LogRecord r = {};
        _cleanup_string_builder_ StringBuilder text = {};
        _cleanup_log_line_ LogLine l = { .type = LOG_LINE_ENTRY };

        while (size > 0) {
                const char *end = memchr(data, '\n', size);
                size_t n = end ? (size_t) (end - data) : size;

                if (log_record_take(&r, data, n) < 0)
                        return;
                n += end ? 1 : 0;
                data += n;
                size -= n;
        }

        l.entry.priority = log_record_priority(&r);
        l.entry.source = log_record_source(&r) < 0 ? LOG_SOURCE_CONTAINER : log_record_source(&r);
        l.entry.truncated =
                        log_record_dropped(&r) > 0 || log_record_part(&r) > 0 || log_record_ends_line(&r);
        string_builder_append(&text, "");
        log_text_append(&text, strempty(r.values[LOG_FIELD_MESSAGE]), r.sizes[LOG_FIELD_MESSAGE]);
        if (string_builder_finish(&text, &l.entry.message, NULL) < 0)
                return;
        l.entry.cursor = strdup("s=1");
        if (l.entry.cursor)
                check_line(&l);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_log_line_ LogLine l = {};

        if (log_line_parse((const char *) data, size, &l) >= 0)
                check_line(&l);
        check_record((const char *) data, size);
        return 0;
}
