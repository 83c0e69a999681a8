/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <errno.h>
#include <math.h>
#include <stdio.h>

#include "alloc-util.h"
#include "ctl.h"
#include "string-util.h"

/* Of a row of bars; more of them come where the terminal is wider. */
#define BARS_DEFAULT 60U
#define BARS_MAX 200U
/* Of what stands before them. */
#define BARS_MARGIN 8U
#define PERCENT_MAX 16U

/* The periods that are shown unless others are asked for. */
static const struct {
        const char *title, *key;
        usec_t length, step;
} periods[] = {
        { "24h", "last_24h", USEC_PER_DAY, USEC_PER_HOUR },
        { "7d", "last_7d", 7 * USEC_PER_DAY, 6 * USEC_PER_HOUR },
        { "30d", "last_30d", 30 * USEC_PER_DAY, USEC_PER_DAY },
};

typedef struct Window {
        usec_t since, until, step;
} Window;

static int query(Ctl *c, const char *path, const char *interface, const Window *w, json_t **ret,
                Error *reterr) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL, *reply = NULL;
        int r;

        r = ctl_message(c, path, interface, "QueryHealth", &m, reterr);
        if (r < 0)
                return r;
        r = sd_bus_message_open_container(m, 'a', "{sv}");
        if (r >= 0)
                r = sd_bus_message_append(m, "{sv}{sv}", "since", "t", w->since, "until", "t", w->until);
        if (r >= 0 && w->step > 0)
                r = sd_bus_message_append(m, "{sv}", "step", "t", w->step);
        if (r >= 0)
                r = sd_bus_message_close_container(m);
        if (r < 0)
                return r;

        r = ctl_send(c, m, &reply, reterr);
        if (r < 0)
                return r;
        r = json_from_rows(reply, interface, "QueryHealth", ret);
        return r < 0 ? ctl_bad_reply(reterr, r) : 0;
}

/* "99.95%"; never rounded up to what it was not, and "" where nothing is known. */
static const char *format_percent(char *buf, size_t size, const json_t *row) {
        const json_t *uptime = json_object_get(row, "uptime");
        double percent = json_number_value(uptime) * 100;

        if (!uptime)
                return "";
        (void) snprintf(buf, size, "%.2f%%", floor(percent * 100 + 1e-6) / 100);
        return buf;
}
#define FORMAT_PERCENT(row) format_percent((char[PERCENT_MAX]) {}, PERCENT_MAX, (row))

/* --- bars --- */

/* A little downtime has to be seen too: the steps are finest at the top. */
static Glyph block_of(double uptime) {
        static const double steps[] = { 0.5, 0.75, 0.9, 0.95, 0.99, 0.999, 0.999999 };
        unsigned k = 0;

        while (k < ELEMENTSOF(steps) && uptime >= steps[k])
                k++;
        return GLYPH_BLOCK_1 + k;
}

static void print_bar(const json_t *row) {
        const json_t *uptime = json_object_get(row, "uptime");
        double part = json_number_value(uptime);
        Color color;

        if (!uptime) {
                (void) printf("%s%s%s", color_on(stdout, COLOR_GREY), glyph(GLYPH_PENDING),
                                color_on(stdout, COLOR_NONE));
                return;
        }

        color = part >= 0.999 ? COLOR_GREEN : part >= 0.95 ? COLOR_YELLOW : COLOR_RED;
        (void) printf("%s%s%s", color_on(stdout, color), glyph(block_of(part)),
                        color_on(stdout, COLOR_NONE));
}

static void print_bars(const char *title, const json_t *rows) {
        json_t *row;
        size_t i;

        (void) printf("%6s  ", title);
        json_array_foreach(rows, i, row)
                print_bar(row);
        (void) putchar('\n');
}

/* --- numbers --- */

static char *format_title(const json_t *row, _unused_ Color *ret_color) {
        return strdup(json_get_text(row, "title"));
}

static char *format_uptime(const json_t *row, Color *ret_color) {
        const json_t *uptime = json_object_get(row, "uptime");
        double part = json_number_value(uptime);

        *ret_color = !uptime            ? COLOR_GREY
                        : part >= 0.999 ? COLOR_GREEN
                        : part >= 0.95  ? COLOR_YELLOW
                                        : COLOR_RED;
        return strdup(FORMAT_PERCENT(row));
}

#define LATENCY_FORMATTER(name)                                              \
        static char *format_##name(const json_t *row, _unused_ Color *ret) { \
                return strdup(FORMAT_LATENCY(json_get_number(row, #name)));  \
        }
LATENCY_FORMATTER(p50)
LATENCY_FORMATTER(p95)
LATENCY_FORMATTER(p99)

static const ListColumn number_columns[] = {
        { { "PERIOD", .right = true }, "title", format_title },
        { { "UPTIME", .right = true, .min = 7 }, "uptime", format_uptime },
        { { "P50", .right = true }, "p50", format_p50 },
        { { "P95", .right = true }, "p95", format_p95 },
        { { "P99", .right = true }, "p99", format_p99 },
        { { "HEALTHY", .right = true }, "healthy" },
        { { "DEGRADED", .right = true }, "degraded" },
        { { "UNHEALTHY", .right = true }, "unhealthy" },
        { { "STARTING", .right = true }, "starting" },
        { { "UNKNOWN", .right = true }, "unknown" },
};

/* --- one instance --- */

/* What was asked for by --since and --until, or 0. */
static int window_from_arguments(const Ctl *c, Window *ret, Error *reterr) {
        usec_t n = now(CLOCK_REALTIME);
        int r;

        r = ctl_read_time(c, OPTION_SINCE, &ret->since, reterr);
        if (r >= 0)
                r = ctl_read_time(c, OPTION_UNTIL, &ret->until, reterr);
        if (r < 0)
                return r;

        if (!arguments_have(&c->arguments, OPTION(SINCE) | OPTION(UNTIL)))
                return 0;
        if (ret->until == 0 || ret->until > n)
                ret->until = n;
        if (ret->since == 0)
                ret->since = ret->until - MIN(ret->until, USEC_PER_DAY);
        if (ret->since >= ret->until)
                return error_setf(reterr, CCP_ERROR_INVALID_ARGUMENT,
                                "The period must begin before it ends, and before now.");
        return 1;
}

/* The shortest step of a round length with which the bars fit. */
static usec_t choose_step(usec_t length) {
        static const usec_t steps[] = { USEC_PER_HOUR, 2 * USEC_PER_HOUR, 3 * USEC_PER_HOUR,
                6 * USEC_PER_HOUR, 12 * USEC_PER_HOUR, USEC_PER_DAY, 2 * USEC_PER_DAY, 7 * USEC_PER_DAY };
        size_t columns = terminal_output_columns(), bars = BARS_DEFAULT;

        if (columns > BARS_MARGIN + BARS_DEFAULT)
                bars = MIN(columns - BARS_MARGIN, (size_t) BARS_MAX);
        for (size_t i = 0; i < ELEMENTSOF(steps); i++)
                if (length / steps[i] < bars)
                        return steps[i];

        return 30 * USEC_PER_DAY;
}

/* Adds a period to the object: the numbers of all of it, and those of each step. */
static int add_period(Ctl *c, const char *path, const char *title, const char *key, Window w, json_t *all,
                Error *reterr) {
        _cleanup_json_ json_t *whole = NULL, *parts = NULL;
        json_t *period;
        int r;

        r = query(c, path, CCP_INTERFACE_INSTANCE, &w, &parts, reterr);
        w.step = 0;
        if (r >= 0)
                r = query(c, path, CCP_INTERFACE_INSTANCE, &w, &whole, reterr);
        if (r < 0)
                return r;

        period = json_array_get(whole, 0);
        if (!period)
                return ctl_bad_reply(reterr, -EBADMSG);
        if (json_object_set_new(period, "title", json_string(title)) < 0 ||
                        json_object_set(period, "periods", parts) < 0 ||
                        json_object_set(all, key, period) < 0)
                return -ENOMEM;
        return 0;
}

static int print_instance(Ctl *c, const char *slug, const json_t *all) {
        _cleanup_json_ json_t *rows = json_array();
        const char *key;
        json_t *period;
        int r;

        json_object_foreach((json_t *) all, key, period)
                if (json_array_append(rows, period) < 0)
                        return -ENOMEM;

        ctl_open_pager(c);
        (void) printf("%s%s%s\n\n", color_on(stdout, COLOR_BOLD), slug, color_on(stdout, COLOR_NONE));
        json_object_foreach((json_t *) all, key, period)
                print_bars(json_get_text(period, "title"), json_object_get(period, "periods"));
        (void) putchar('\n');
        r = ctl_print_table(c, rows, number_columns, ELEMENTSOF(number_columns));
        if (r < 0 || arguments_have(&c->arguments, OPTION(QUIET) | OPTION(NO_LEGEND)))
                return r;

        (void) printf("\n%s all up, %s 99.9%%, %s 99%%, %s 95%%, %s 90%%, %s 75%%, %s 50%%, %s less, %s not "
                      "known\n",
                        glyph(GLYPH_BLOCK_8), glyph(GLYPH_BLOCK_7), glyph(GLYPH_BLOCK_6),
                        glyph(GLYPH_BLOCK_5), glyph(GLYPH_BLOCK_4), glyph(GLYPH_BLOCK_3),
                        glyph(GLYPH_BLOCK_2), glyph(GLYPH_BLOCK_1), glyph(GLYPH_PENDING));
        return r;
}

static int show_instance(Ctl *c, const char *slug, const Window *asked, Error *reterr) {
        _cleanup_json_ json_t *all = json_object(), *answer = NULL;
        usec_t n = now(CLOCK_REALTIME);
        _cleanup_free_ char *path = NULL;
        int r;

        if (!all)
                return -ENOMEM;
        r = ctl_look_up(c, "GetInstance", slug, &path, reterr);
        if (r < 0)
                return r;

        if (asked)
                r = add_period(c, path, "asked", "period",
                                (Window) { asked->since, asked->until,
                                                choose_step(asked->until - asked->since) },
                                all, reterr);
        else
                FOREACH_ARRAY(p, periods, ELEMENTSOF(periods)) {
                        r = add_period(c, path, p->title, p->key, (Window) { n - p->length, n, p->step },
                                        all, reterr);
                        if (r < 0)
                                return r;
                }
        if (r < 0)
                return r;

        if (!ctl_prints_json(c))
                return print_instance(c, slug, all);

        answer = json_pack("{s:s}", "slug", slug);
        if (!answer || json_object_update(answer, all) < 0)
                return -ENOMEM;
        return ctl_print_json(c, answer);
}

/* --- the fleet --- */

static char *format_of(const json_t *row, const char *key, Color *ret_color) {
        return format_uptime(json_object_get(row, key), ret_color);
}

#define PERIOD_FORMATTER(name)                                            \
        static char *format_##name(const json_t *row, Color *ret_color) { \
                return format_of(row, #name, ret_color);                  \
        }
PERIOD_FORMATTER(last_24h)
PERIOD_FORMATTER(last_7d)
PERIOD_FORMATTER(last_30d)
PERIOD_FORMATTER(period)

static const ListColumn fleet_columns[] = {
        { { "SLUG" }, "slug" },
        { { "24H", .right = true }, "last_24h", format_last_24h },
        { { "7D", .right = true }, "last_7d", format_last_7d },
        { { "30D", .right = true }, "last_30d", format_last_30d },
};
static const ListColumn asked_columns[] = {
        { { "SLUG" }, "slug" },
        { { "UPTIME", .right = true }, "period", format_period },
};

/* Puts what a period was for each instance into the row of the instance, which is made if need be. */
static int add_fleet_period(Ctl *c, const char *key, const Window *w, json_t *by_slug, Error *reterr) {
        _cleanup_json_ json_t *rows = NULL;
        json_t *row;
        size_t i;
        int r;

        r = query(c, CCP_BUS_PATH, CCP_INTERFACE_MANAGER, w, &rows, reterr);
        if (r < 0)
                return r;

        json_array_foreach(rows, i, row) {
                const char *slug = json_get_text(row, "slug");
                json_t *of = json_object_get(by_slug, slug);

                if (!of) {
                        of = json_pack("{s:s}", "slug", slug);
                        if (json_object_set_new(by_slug, slug, of) < 0)
                                return -ENOMEM;
                }
                if (json_object_set(of, key, row) < 0)
                        return -ENOMEM;
                (void) json_object_del(row, "slug");
        }
        return 0;
}

static int compare_keys(const void *a, const void *b) {
        return strcmp(*(const char *const *) a, *(const char *const *) b);
}

static int sort_rows(json_t *by_slug, json_t **ret) {
        _cleanup_free_ const char **slugs = new0(const char *, json_object_size(by_slug));
        _cleanup_json_ json_t *rows = json_array();
        const char *slug;
        size_t n = 0;
        json_t *row;

        if (!slugs || !rows)
                return -ENOMEM;
        json_object_foreach(by_slug, slug, row)
                slugs[n++] = slug;
        if (n > 0)
                qsort(slugs, n, sizeof(*slugs), compare_keys);
        for (size_t i = 0; i < n; i++)
                if (json_array_append(rows, json_object_get(by_slug, slugs[i])) < 0)
                        return -ENOMEM;

        *ret = TAKE_PTR(rows);
        return 0;
}

static int show_fleet(Ctl *c, const Window *asked, Error *reterr) {
        _cleanup_json_ json_t *by_slug = json_object(), *rows = NULL;
        usec_t n = now(CLOCK_REALTIME);
        int r = 0;

        if (!by_slug)
                return -ENOMEM;
        if (asked)
                r = add_fleet_period(c, "period", asked, by_slug, reterr);
        else
                FOREACH_ARRAY(p, periods, ELEMENTSOF(periods)) {
                        r = add_fleet_period(c, p->key, &(Window) { n - p->length, n, 0 }, by_slug, reterr);
                        if (r < 0)
                                return r;
                }
        if (r >= 0)
                r = sort_rows(by_slug, &rows);
        if (r < 0)
                return r;

        return asked ? ctl_print_list(c, rows, asked_columns, ELEMENTSOF(asked_columns), "instance")
                     : ctl_print_list(c, rows, fleet_columns, ELEMENTSOF(fleet_columns), "instance");
}

int verb_health_history(Ctl *c, char **args, Error *reterr) {
        Window w = {};
        int r;

        r = window_from_arguments(c, &w, reterr);
        if (r < 0)
                return r;

        return args && args[0] ? show_instance(c, args[0], r > 0 ? &w : NULL, reterr)
                               : show_fleet(c, r > 0 ? &w : NULL, reterr);
}
