/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <errno.h>
#include <stdio.h>

#include "alloc-util.h"
#include "ctl.h"
#include "live.h"
#include "string-util.h"
#include "strv.h"
#include "top.h"

/* Between two readings that a rate is made of: on a screen, and where it is shown once. */
#define INTERVAL (2 * USEC_PER_SEC)
#define INTERVAL_ONCE_SEC 1

typedef struct Top {
        Ctl *ctl;
        char **slugs;
        char *path; /* of the only instance, whose services are shown; NULL: instances */
        TopSort sort;
        json_t *rows; /* the last reading */
} Top;

static void top_done(Top *t) {
        json_decref(t->rows);
        free(t->path);
}

/* --- columns --- */

static char *format_name(const json_t *row, _unused_ Color *ret_color) {
        return strdup(json_get_text(row, json_object_get(row, "slug") ? "slug" : "name"));
}

static char *format_percent(const json_t *row, const char *key) {
        const json_t *v = json_object_get(row, key);
        char *text;

        if (!json_is_number(v))
                return strdup("");
        return asprintf(&text, "%.1f", json_number_value(v)) < 0 ? NULL : text;
}

#define COLUMN_FORMATTER(name, formatter, key)                            \
        static char *name(const json_t *row, _unused_ Color *ret_color) { \
                return formatter(row, key);                               \
        }                                                                 \
        struct _require_semicolon_

COLUMN_FORMATTER(format_cpu, format_percent, "cpu_percent");
COLUMN_FORMATTER(format_memory, top_format_bytes, "memory_used");
COLUMN_FORMATTER(format_memory_percent, format_percent, "memory_percent");
COLUMN_FORMATTER(format_read, top_format_bytes, "io_read_rate");
COLUMN_FORMATTER(format_written, top_format_bytes, "io_written_rate");
COLUMN_FORMATTER(format_received, top_format_bytes, "network_received_rate");
COLUMN_FORMATTER(format_sent, top_format_bytes, "network_sent_rate");
COLUMN_FORMATTER(format_disk, top_format_bytes, "disk");

#define COMMON_COLUMNS                                                                           \
        { { "CPU%", .right = true }, "cpu_percent", format_cpu },                                \
                        { { "MEMORY", .right = true }, "memory_used", format_memory },           \
                        { { "MEM%", .right = true }, "memory_percent", format_memory_percent },  \
                        { { "TASKS", .right = true }, "tasks" },                                 \
                        { { "READ/S", .right = true }, "io_read_rate", format_read },            \
                        { { "WRITE/S", .right = true }, "io_written_rate", format_written },     \
                        { { "RX/S", .right = true }, "network_received_rate", format_received }, \
                        { { "TX/S", .right = true }, "network_sent_rate", format_sent }, {       \
                { "DISK", .right = true }, "disk", format_disk                                   \
        }

static const ListColumn instance_columns[] = { { { "INSTANCE", 1 }, "slug", format_name }, COMMON_COLUMNS };
static const ListColumn service_columns[] = {
        { { "SERVICE", 1 }, "name", format_name },
        { { "STATE" }, "state", format_state },
        COMMON_COLUMNS,
};

/* --- reading --- */

static int get_rows(const Top *t, json_t **ret, Error *reterr) {
        const char *interface = t->path ? CCP_INTERFACE_INSTANCE : CCP_INTERFACE_MANAGER,
                   *method = t->path ? "ListServices" : "GetUse";
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        int r;

        r = t->path ? ctl_call(t->ctl, t->path, interface, method, &reply, reterr, NULL)
                    : ctl_call(t->ctl, CCP_BUS_PATH, interface, method, &reply, reterr, "a{sv}", 0);
        if (r < 0)
                return r;

        r = json_from_rows(reply, interface, method, ret);
        return r < 0 ? ctl_bad_reply(reterr, r) : 0;
}

/* Those that were named; all where none was. */
static int select_rows(const Top *t, json_t **rows) {
        _cleanup_json_ json_t *selected = NULL;
        json_t *row;
        size_t i;

        if (t->path || strv_length(t->slugs) == 0)
                return 0;

        selected = json_array();
        if (!selected)
                return -ENOMEM;
        json_array_foreach(*rows, i, row)
                if (strv_contains(t->slugs, json_get_text(row, "slug")) &&
                                json_array_append(selected, row) < 0)
                        return -ENOMEM;

        json_decref(*rows);
        *rows = TAKE_PTR(selected);
        return 0;
}

/* Reads once more, with the rates since the reading before. */
static int top_read(Top *t, Error *reterr) {
        _cleanup_json_ json_t *rows = NULL;
        int r;

        r = get_rows(t, &rows, reterr);
        if (r >= 0)
                r = select_rows(t, &rows);
        if (r >= 0)
                r = top_add_rates(rows, t->rows);
        if (r >= 0)
                r = top_sort(rows, t->sort);
        if (r < 0)
                return r;

        json_decref(t->rows);
        t->rows = TAKE_PTR(rows);
        return 0;
}

/* --- showing --- */

static int print_rows(Top *t, const json_t *rows) {
        return t->path ? ctl_print_table(t->ctl, rows, service_columns, ELEMENTSOF(service_columns))
                       : ctl_print_table(t->ctl, rows, instance_columns, ELEMENTSOF(instance_columns));
}

static int draw(_unused_ Ctl *c, void *userdata, Error *reterr) {
        _cleanup_free_ char *summary = NULL;
        Top *t = userdata;
        int r;

        r = top_read(t, reterr);
        if (r < 0)
                return r;
        r = top_summarize(t->rows, t->path ? "service" : "instance", &summary);
        if (r < 0)
                return r;
        (void) printf("%s\n\n", summary);
        return print_rows(t, t->rows);
}

static int show_once(Top *t, Error *reterr) {
        const struct timespec interval = { .tv_sec = INTERVAL_ONCE_SEC };
        int r;

        (void) nanosleep(&interval, NULL);
        r = top_read(t, reterr);
        if (r < 0)
                return r;
        return ctl_prints_json(t->ctl) ? ctl_print_json(t->ctl, t->rows) : print_rows(t, t->rows);
}

static int top_prepare(Top *t, Error *reterr) {
        const char *sort = t->ctl->arguments.values[OPTION_SORT];
        int r;

        t->sort = sort ? top_sort_from_string(sort) : TOP_SORT_CPU;
        if (t->sort < 0)
                return error_setf(reterr, CCP_ERROR_INVALID_ARGUMENT,
                                "--sort= takes name, cpu, memory, tasks, io, network or disk, not '%s'.",
                                sort);

        /* One that does not exist is said so. */
        STRV_FOREACH(slug, t->slugs) {
                t->path = mfree(t->path);
                r = ctl_look_up(t->ctl, "GetInstance", *slug, &t->path, reterr);
                if (r < 0)
                        return r;
        }
        if (strv_length(t->slugs) != 1)
                t->path = mfree(t->path);
        return top_read(t, reterr);
}

int verb_top(Ctl *c, char **args, Error *reterr) {
        _cleanup_(top_done) Top t = { .ctl = c, .slugs = args };
        bool live = terminal_is_screen() && !ctl_prints_json(c) &&
                        !arguments_have(&c->arguments, OPTION(ONCE));
        int r;

        r = top_prepare(&t, reterr);
        if (r < 0)
                return r;
        return live ? live_show_every(c, draw, &t, INTERVAL, reterr) : show_once(&t, reterr);
}
