/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "log-print.h"

#include <errno.h>
#include <syslog.h>

#include "alloc-util.h"
#include "log-entry.h"
#include "pager.h"
#include "string-util.h"

#define TIME_MAX 32U
#define ESCAPE '\x1b'

/* The length of the sequence at s that sets colours (SGR), 0 if there is none. */
static size_t color_sequence_length(const char *s) {
        size_t n;

        if (s[0] != ESCAPE || s[1] != '[')
                return 0;

        n = 2 + strspn(s + 2, "0123456789;:");
        return s[n] == 'm' ? n + 1 : 0;
}

/* C0 without the tab, DEL, and C1 as UTF-8. */
static bool is_control(const char *s) {
        const unsigned char *p = (const unsigned char *) s;

        return (*p < ' ' && *p != '\t') || *p == 0x7F || (p[0] == 0xC2 && p[1] >= 0x80 && p[1] < 0xA0);
}

char *log_text_for_people(const char *s) {
        _cleanup_string_builder_ StringBuilder b = {};
        char *result;

        while (*s) {
                size_t n = color_sequence_length(s), length;

                /* What a terminal wrote ends its lines with both. */
                if (n == 0 && streq(s, "\r"))
                        n = 1;
                if (n > 0) {
                        s += n;
                        continue;
                }

                length = utf8_sequence_length((const unsigned char *) s, strnlen(s, UTF8_LENGTH_MAX));
                if (length == 0 || is_control(s))
                        string_builder_appendf(&b, "\\x%02x", (unsigned char) s[length == 2 ? 1 : 0]);
                else
                        string_builder_append_n(&b, s, length);
                s += MAX(length, (size_t) 1);
        }

        return string_builder_finish(&b, &result, NULL) < 0 ? NULL : result;
}

static const char *format_time(char *buf, size_t size, usec_t t) {
        time_t sec = (time_t) (t / USEC_PER_SEC);
        struct tm tm;

        if (!localtime_r(&sec, &tm) || strftime(buf, size, "%b %d %H:%M:%S", &tm) == 0)
                buf[0] = 0;
        return buf;
}

/* The same for a service each time. */
static Color color_of_service(const char *name) {
        static const Color colors[] = { COLOR_CYAN, COLOR_YELLOW, COLOR_GREEN, COLOR_MAGENTA, COLOR_BLUE };
        unsigned hash = 5381;

        for (; *name; name++)
                hash = hash * 33 + (unsigned char) *name;
        return colors[hash % ELEMENTSOF(colors)];
}

/* Of what containers write to standard error the priority is that of errors, whatever it says. */
static Color color_of_message(LogSource source, uint64_t priority) {
        if (source == LOG_SOURCE_CONTAINER)
                return COLOR_NONE;
        return priority <= LOG_ERR ? COLOR_RED : priority == LOG_WARNING ? COLOR_YELLOW : COLOR_NONE;
}

static void print_coloured(const char *text, Color color) {
        if (color == COLOR_NONE)
                (void) fputs(text, stdout);
        else
                (void) printf("%s%s%s", color_on(stdout, color), text, color_on(stdout, COLOR_NONE));
}

static int print_text(const json_t *entry) {
        LogSource source = log_source_from_string(json_get_text(entry, "source"));
        const char *service = json_get_text(entry, "service");
        _cleanup_free_ char *name = NULL, *text = NULL;
        char time[TIME_MAX];

        name = log_text_for_people(isempty(service) ? json_get_text(entry, "source") : service);
        text = log_text_for_people(json_get_text(entry, "message"));
        if (!name || !text)
                return -ENOMEM;

        (void) printf("%s ", format_time(time, sizeof(time), json_get_number(entry, "time")));
        print_coloured(name, isempty(service) ? COLOR_BOLD : color_of_service(service));
        (void) fputs(": ", stdout);
        print_coloured(text, color_of_message(source, json_get_number(entry, "priority")));
        (void) puts(json_is_true(json_object_get(entry, "truncated")) ? " [cut]" : "");
        return 0;
}

/* To be read by programs line by line, so there is no list around it. */
static int print_json(const Ctl *c, const json_t *entry) {
        size_t flags = c->arguments.json == JSON_PRETTY ? JSON_INDENT(4) : JSON_COMPACT;

        /* Some control characters are nothing special to JSON. */
        if (terminal_is_output())
                flags |= JSON_ENSURE_ASCII;
        if (json_dumpf(entry, stdout, flags) < 0 && !ferror(stdout))
                return -ENOMEM;
        (void) putchar('\n');
        return 0;
}

int log_print(Ctl *c, const json_t *entry) {
        if (!arguments_have(&c->arguments, OPTION(FOLLOW)))
                ctl_open_pager(c);
        return ctl_prints_json(c) ? print_json(c, entry) : print_text(entry);
}
