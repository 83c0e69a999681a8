/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <errno.h>
#include <stdarg.h>

#include "alloc-util.h"
#include "ctl.h"
#include "pager.h"
#include "string-util.h"

/* Columns of the labels of a status, with their colon. */
#define LABEL_WIDTH 13

bool ctl_prints_json(const Ctl *c) {
        return c->arguments.json != JSON_OFF;
}

void ctl_open_pager(const Ctl *c) {
        if (!arguments_have(&c->arguments, OPTION(NO_PAGER)))
                pager_open();
}

int ctl_print_json(const Ctl *c, const json_t *v) {
        size_t flags = JSON_ENCODE_ANY | (c->arguments.json == JSON_PRETTY ? JSON_INDENT(4) : JSON_COMPACT);
        _cleanup_free_ char *text = NULL;

        /* Some control characters are nothing special to JSON. */
        if (terminal_is_output())
                flags |= JSON_ENSURE_ASCII;
        text = json_dumps(v, flags);
        if (!text)
                return -ENOMEM;

        ctl_open_pager(c);
        (void) puts(text);
        return EXIT_DONE;
}

void ctl_say(const Ctl *c, const char *format, ...) {
        va_list ap;

        if (arguments_have(&c->arguments, OPTION(QUIET)))
                return;

        va_start(ap, format);
        (void) vprintf(format, ap);
        va_end(ap);
}

int ctl_report(const Error *e, int r) {
        _cleanup_free_ char *sentence = NULL;

        sentence = e->message ? text_escape(e->message) : NULL;
        if (!sentence) {
                errno = error_is_set(e) ? ENOMEM : -r;
                (void) fprintf(stderr, "%sFailed: %m.%s\n", color_on(stderr, COLOR_RED),
                                color_on(stderr, COLOR_NONE));
                return exit_code_from_error(e->name);
        }

        (void) fprintf(stderr, "%s%s%s\n", color_on(stderr, COLOR_RED), sentence,
                        color_on(stderr, COLOR_NONE));
        return exit_code_from_error(e->name);
}

static int add_row(Table *t, const json_t *row, const ListColumn *columns, size_t n) {
        for (size_t i = 0; i < n; i++) {
                _cleanup_free_ char *text = NULL;
                Color color = COLOR_NONE;
                const json_t *v = json_object_get(row, columns[i].key);
                int r;

                text = columns[i].format ? columns[i].format(row, &color) : v ? json_to_text(v) : strdup("");
                if (!text)
                        return -ENOMEM;

                r = table_add(t, text, color);
                if (r < 0)
                        return r;
        }

        return 0;
}

int ctl_print_table(Ctl *c, const json_t *rows, const ListColumn *columns, size_t n) {
        _cleanup_free_ TableColumn *table_columns = NULL;
        _cleanup_table_ Table *t = NULL;
        _cleanup_free_ char *text = NULL;
        json_t *row;
        size_t i;
        int r;

        table_columns = new0(TableColumn, n);
        if (!table_columns)
                return -ENOMEM;
        for (i = 0; i < n; i++)
                table_columns[i] = columns[i].column;
        t = table_new(table_columns, n);
        if (!t)
                return -ENOMEM;

        json_array_foreach(rows, i, row) {
                r = add_row(t, row, columns, n);
                if (r < 0)
                        return r;
        }

        r = table_format(t, terminal_output_columns(),
                        !arguments_have(&c->arguments, OPTION(NO_LEGEND)) && table_rows(t) > 0,
                        color_enabled(stdout), &text);
        if (r < 0)
                return r;

        (void) fputs(text, stdout);
        return EXIT_DONE;
}

/* "1 entry listed.", "2 entries listed." */
static void print_count(size_t n, const char *what) {
        const char *y = n != 1 && !endswith(what, "ey") ? endswith(what, "y") : NULL;

        (void) printf("%s%zu %.*s%s listed.\n", n > 0 ? "\n" : "", n,
                        (int) (y ? (size_t) (y - what) : strlen(what)), what,
                        n == 1              ? ""
                                        : y ? "ies"
                                            : "s");
}

int ctl_print_list(Ctl *c, const json_t *rows, const ListColumn *columns, size_t n, const char *what) {
        size_t n_rows = json_array_size(rows);
        int r;

        if (ctl_prints_json(c))
                return ctl_print_json(c, rows);

        ctl_open_pager(c);
        r = ctl_print_table(c, rows, columns, n);
        if (r < 0)
                return r;

        if (what && !arguments_have(&c->arguments, OPTION(NO_LEGEND) | OPTION(QUIET)))
                print_count(n_rows, what);
        return EXIT_DONE;
}

void print_label(const char *label) {
        (void) printf("%*s%c ", LABEL_WIDTH - 1, label, isempty(label) ? ' ' : ':');
}

void print_field(const char *label, const char *value) {
        _cleanup_free_ char *escaped = NULL;

        if (isempty(value))
                return;

        escaped = text_escape(value);
        print_label(label);
        (void) printf("%s\n", strempty(escaped));
}

Color color_of_state(const char *state) {
        static const struct {
                const char *state;
                Color color;
        } colors[] = {
                { "running", COLOR_GREEN },
                { "healthy", COLOR_GREEN },
                { "succeeded", COLOR_GREEN },
                { "available", COLOR_GREEN },
                { "failed", COLOR_RED },
                { "unhealthy", COLOR_RED },
                { "unavailable", COLOR_RED },
                { "exited", COLOR_RED },
                { "dead", COLOR_RED },
                { "degraded", COLOR_YELLOW },
                { "undoing", COLOR_YELLOW },
                { "deleting", COLOR_YELLOW },
                { "starting", COLOR_YELLOW },
                { "restoring", COLOR_YELLOW },
                { "updating", COLOR_YELLOW },
                { "provisioning", COLOR_YELLOW },
                { "cancelled", COLOR_YELLOW },
                { "denied", COLOR_RED },
                { "accepted", COLOR_GREY },
                { "restarting", COLOR_YELLOW },
                { "stopped", COLOR_GREY },
                { "unknown", COLOR_GREY },
                { "queued", COLOR_GREY },
                { "waiting", COLOR_GREY },
        };

        for (size_t i = 0; i < ELEMENTSOF(colors); i++)
                if (streq(colors[i].state, state))
                        return colors[i].color;

        return COLOR_NONE;
}

static char *format_colored(const json_t *row, const char *key, Color *ret_color) {
        *ret_color = color_of_state(json_get_text(row, key));
        return strdup(json_get_text(row, key));
}

char *format_state(const json_t *row, Color *ret_color) {
        return format_colored(row, "state", ret_color);
}

char *format_health(const json_t *row, Color *ret_color) {
        return format_colored(row, "health", ret_color);
}

const char *format_ago(char *buf, size_t size, usec_t t) {
        usec_t n = now(CLOCK_REALTIME);
        char span[FORMAT_TIMESPAN_MAX];

        if (t == 0)
                return "";

        (void) snprintf(buf, size, "%s ago", format_timespan(span, sizeof(span), n > t ? n - t : 0));
        return buf;
}
