/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "log-entry.h"

#include <errno.h>
#include <inttypes.h>
#include <syslog.h>

#include "alloc-util.h"
#include "json-util.h"

#define REPLACEMENT "\xEF\xBF\xBD"

static const char *const log_source_table[_LOG_SOURCE_MAX] = {
        [LOG_SOURCE_CONTAINER] = "container",
        [LOG_SOURCE_JOB] = "job",
        [LOG_SOURCE_CCPD] = "ccpd",
        [LOG_SOURCE_JOURNAL] = "journal",
};
DEFINE_STRING_TABLE(log_source, LogSource);

static const char *const log_end_table[_LOG_END_MAX] = {
        [LOG_END_COMPLETE] = "complete",
        [LOG_END_AGAIN] = "again",
};
DEFINE_STRING_TABLE(log_end, LogEnd);

void log_entry_done(LogEntry *e) {
        e->cursor = mfree(e->cursor);
        e->service = mfree(e->service);
        e->message = mfree(e->message);
}

void log_line_done(LogLine *l) {
        error_done(&l->error);
        log_entry_done(&l->entry);
        l->cursor = mfree(l->cursor);
}

void log_text_append(StringBuilder *b, const char *s, size_t n) {
        size_t begin = 0;

        for (size_t i = 0, k; i < n; i += MAX(k, (size_t) 1)) {
                const unsigned char *p = (const unsigned char *) s + i;

                k = utf8_sequence_length(p, n - i);
                if (k > 0 && *p != 0 && !utf8_is_noncharacter(p, k))
                        continue;

                string_builder_append_n(b, s + begin, i - begin);
                string_builder_append(b, REPLACEMENT);
                begin = i + MAX(k, (size_t) 1);
        }
        if (begin < n)
                string_builder_append_n(b, s + begin, n - begin);
}

/* Of a byte in JSON. */
static size_t escaped_size(char c) {
        return (unsigned char) c < ' ' ? STRLEN("\\u0000") : c == '"' || c == '\\' ? 2 : 1;
}

/* How much of s, in bytes, is no more than that as JSON. */
static size_t find_cut(const char *s, size_t max) {
        size_t n = 0, size = 0;

        for (; s[n]; n++) {
                size += escaped_size(s[n]);
                if (size > max)
                        break;
        }
        /* Not amid a character. */
        while (n > 0 && ((unsigned char) s[n] & 0xC0) == 0x80)
                n--;
        return n;
}

/* As JSON has it, with its quotes; s is valid UTF-8. */
static void append_string_n(StringBuilder *b, const char *s, size_t n) {
        const char *begin = s, *end = s + n;

        string_builder_append_n(b, "\"", 1);
        for (; s < end; s++) {
                if (escaped_size(*s) == 1)
                        continue;

                string_builder_append_n(b, begin, (size_t) (s - begin));
                begin = s + 1;
                if ((unsigned char) *s >= ' ')
                        string_builder_append_n(b, (const char[]) { '\\', *s }, 2);
                else
                        string_builder_appendf(b, "\\u%04x", (unsigned) *s);
        }
        string_builder_append_n(b, begin, (size_t) (s - begin));
        string_builder_append_n(b, "\"", 1);
}

static void append_string(StringBuilder *b, const char *s) {
        append_string_n(b, s, strlen(s));
}

/* Not by way of jansson's objects: of these lines there may be a million. */
int log_entry_append(StringBuilder *b, const LogEntry *e, size_t message_max) {
        const char *source = log_source_to_string(e->source);
        bool truncated;
        size_t n;

        if (!source || !e->cursor || !e->message || e->time > INT64_MAX)
                return -EINVAL;

        string_builder_appendf(b, "{\"time\":%" PRIu64 ",\"cursor\":", e->time);
        append_string(b, e->cursor);
        string_builder_appendf(b, ",\"source\":\"%s\"", source);
        if (e->service) {
                string_builder_append(b, ",\"service\":");
                append_string(b, e->service);
        }
        string_builder_appendf(b, ",\"priority\":%i,\"message\":", e->priority);
        n = message_max > 0 ? find_cut(e->message, message_max) : strlen(e->message);
        append_string_n(b, e->message, n);
        truncated = e->truncated || e->message[n];
        string_builder_append(b, truncated ? ",\"truncated\":true}\n" : "}\n");
        return 0;
}

static json_t *line_to_json(const LogLine *l) {
        switch (l->type) {
        case LOG_LINE_READY:
                return json_pack("{s:s}", "status", "ready");
        case LOG_LINE_ERROR:
                return json_pack("{s:s, s:s}", "error", l->error.name ?: CCP_ERROR_INTERNAL, "message",
                                strempty(l->error.message));
        case LOG_LINE_END:
                return json_pack("{s:s, s:s}", "end", log_end_to_string(l->end), "cursor",
                                strempty(l->cursor));
        case LOG_LINE_ENTRY:
        case _LOG_LINE_TYPE_MAX:
                break;
        }
        return NULL;
}

int log_line_append(StringBuilder *b, const LogLine *l) {
        _cleanup_json_ json_t *o = NULL;
        _cleanup_free_ char *text = NULL;

        if (l->type == LOG_LINE_ENTRY)
                return log_entry_append(b, &l->entry, 0);

        o = line_to_json(l);
        text = o ? json_format(o, JSON_COMPACT) : NULL;
        if (!text)
                return -ENOMEM;

        string_builder_append(b, text);
        string_builder_append(b, "\n");
        return 0;
}

static int take_text(const json_t *o, const char *key, char **ret) {
        const char *s = json_object_get_string(o, key);

        return s ? free_and_strdup(ret, s) : -EBADMSG;
}

static int parse_entry(const json_t *o, LogEntry *e) {
        const json_t *time = json_object_get_typed(o, "time", JSON_INTEGER),
                     *priority = json_object_get_typed(o, "priority", JSON_INTEGER);
        const char *source = json_object_get_string(o, "source");
        int r;

        if (!time || json_integer_value(time) < 0 || !priority || json_integer_value(priority) < LOG_EMERG ||
                        json_integer_value(priority) > LOG_DEBUG || !source)
                return -EBADMSG;

        e->time = (usec_t) json_integer_value(time);
        e->priority = (int) json_integer_value(priority);
        e->source = log_source_from_string(source);
        if (e->source < 0)
                return -EBADMSG;
        e->truncated = json_is_true(json_object_get(o, "truncated"));

        r = take_text(o, "cursor", &e->cursor);
        if (r >= 0)
                r = take_text(o, "message", &e->message);
        if (r >= 0 && json_object_get(o, "service"))
                r = take_text(o, "service", &e->service);
        return r;
}

static int parse_end(const json_t *o, LogLine *l) {
        l->type = LOG_LINE_END;
        l->end = log_end_from_string(strempty(json_object_get_string(o, "end")));
        if (l->end < 0)
                return -EBADMSG;

        return take_text(o, "cursor", &l->cursor);
}

static int parse_error(const json_t *o, LogLine *l) {
        const char *message = json_object_get_string(o, "message");

        l->type = LOG_LINE_ERROR;
        if (!message)
                return -EBADMSG;

        (void) error_setf(&l->error, error_name_intern(json_object_get_string(o, "error")), "%s", message);
        return 0;
}

int log_line_parse(const char *data, size_t size, LogLine *ret) {
        _cleanup_log_line_ LogLine l = {};
        _cleanup_json_ json_t *o = NULL;
        int r;

        r = json_parse(data, size, JSON_REJECT_DUPLICATES, &o);
        if (r < 0)
                return r;
        if (!json_is_object(o))
                return -EBADMSG;

        if (json_object_get(o, "status")) {
                l.type = LOG_LINE_READY;
                r = streq_ptr(json_object_get_string(o, "status"), "ready") ? 0 : -EBADMSG;
        } else if (json_object_get(o, "error"))
                r = parse_error(o, &l);
        else if (json_object_get(o, "end"))
                r = parse_end(o, &l);
        else {
                l.type = LOG_LINE_ENTRY;
                r = parse_entry(o, &l.entry);
        }
        if (r < 0)
                return r;

        *ret = l;
        l = (LogLine) {};
        return 0;
}
