/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <errno.h>
#include <stdio.h>

#include "alloc-util.h"
#include "ctl.h"
#include "string-util.h"
#include "strv.h"

/* A sweep over a fleet whose endpoints all hang takes its time. */
#define CHECK_TIMEOUT_USEC (5 * USEC_PER_MINUTE)

static char *format_since(const json_t *row, _unused_ Color *ret_color) {
        return strdup(FORMAT_AGO(json_get_number(row, "health_since")));
}

static char *format_latency(const json_t *row, _unused_ Color *ret_color) {
        return strdup(FORMAT_LATENCY(json_get_number(row, "latency")));
}

static char *format_verdict(const json_t *row, Color *ret_color) {
        const char *verdict = json_get_text(row, "verdict");

        *ret_color = color_of_state(streq(verdict, "waiting") ? "starting" : verdict);
        return strdup(verdict);
}

const char *ctl_format_latency(char *buf, size_t size, usec_t latency) {
        if (latency == 0)
                return "";
        if (latency >= 10 * USEC_PER_MSEC)
                return format_timespan(buf, size, latency);

        (void) snprintf(buf, size, "%.1fms", (double) latency / (double) USEC_PER_MSEC);
        return buf;
}

static bool is_healthy(const json_t *instance) {
        return streq(json_get_text(instance, "health"), "healthy");
}

/* --- the fleet, as it is known --- */

static const ListColumn fleet_columns[] = {
        { { "SLUG" }, "slug" },
        { { "STATE" }, "state", format_state },
        { { "HEALTH" }, "health", format_health },
        { { "SINCE" }, "health_since", format_since },
        { { "REASON", 1 }, "health_reason" },
};

static int show_fleet(Ctl *c, Error *reterr) {
        _cleanup_json_ json_t *rows = NULL;
        bool all_healthy = true;
        json_t *row;
        size_t i;
        int r;

        r = ctl_list_rows(c, "ListInstances", NULL, UINT64_MAX, &rows, reterr);
        if (r < 0)
                return r;
        /* What is not meant to run is not ill. */
        json_array_foreach(rows, i, row)
                if (streq(json_get_text(row, "state"), "running"))
                        all_healthy = all_healthy && is_healthy(row);

        r = ctl_print_list(c, rows, fleet_columns, ELEMENTSOF(fleet_columns), "instance");
        if (r != EXIT_DONE)
                return r;
        return all_healthy ? EXIT_DONE : EXIT_FAILED;
}

/* --- some, looked at now --- */

static const ListColumn service_columns[] = {
        { { "SERVICE" }, "service" },
        { { "KIND" }, "kind" },
        { { "VERDICT" }, "verdict", format_verdict },
        { { "LATENCY", .right = true }, "latency", format_latency },
        { { "REASON", 1 }, "reason" },
};

static int check(Ctl *c, const char *slug, json_t **ret, Error *reterr) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        _cleanup_json_ json_t *answer = NULL;
        _cleanup_free_ char *path = NULL;
        json_t *whole;
        int r;

        r = ctl_look_up(c, "GetInstance", slug, &path, reterr);
        if (r < 0)
                return r;
        (void) sd_bus_set_method_call_timeout(c->bus, CHECK_TIMEOUT_USEC);
        r = ctl_call(c, path, CCP_INTERFACE_INSTANCE, "CheckHealth", &reply, reterr, "a{sv}", 0);
        if (r < 0)
                return r;
        r = json_from_message(reply, &answer);
        if (r < 0 || !json_is_object(answer))
                return ctl_bad_reply(reterr, r < 0 ? r : -EBADMSG);

        whole = json_pack("{s:s}", "slug", slug);
        if (!whole || json_object_update(whole, answer) < 0) {
                json_decref(whole);
                return -ENOMEM;
        }
        *ret = whole;
        return 0;
}

static int print_check(Ctl *c, const json_t *answer) {
        const char *health = json_get_text(answer, "health");
        usec_t since = json_get_number(answer, "health_since");

        (void) printf("%s%s %s%s - %s since %s; %s\n", color_on(stdout, color_of_state(health)),
                        glyph(GLYPH_DOT), color_on(stdout, COLOR_NONE), json_get_text(answer, "slug"),
                        health, FORMAT_TIMESTAMP(since), FORMAT_AGO(since));
        if (json_array_size(json_object_get(answer, "services")) == 0) {
                _cleanup_free_ char *reason = text_escape(json_get_text(answer, "health_reason"));

                if (!isempty(reason))
                        (void) printf("%s\n", reason);
                return EXIT_DONE;
        }

        return ctl_print_table(c, json_object_get(answer, "services"), service_columns,
                        ELEMENTSOF(service_columns));
}

static int check_one(Ctl *c, const char *slug, json_t *all, Error *reterr) {
        json_t *answer = NULL;
        int r;

        r = check(c, slug, &answer, reterr);
        if (r < 0)
                return r;
        if (json_array_append_new(all, answer) < 0)
                return -ENOMEM;

        if (!ctl_prints_json(c)) {
                if (json_array_size(all) > 1)
                        (void) putchar('\n');
                r = print_check(c, answer);
                if (r < 0)
                        return r;
        }
        return is_healthy(answer) ? EXIT_DONE : EXIT_FAILED;
}

/* Goes on after one that can't be checked; the exit code is that of the first failure. */
int verb_health(Ctl *c, char **args, Error *reterr) {
        _cleanup_json_ json_t *all = json_array();
        int code = EXIT_DONE, r;

        if (strv_length(args) == 0)
                return show_fleet(c, reterr);
        if (!all)
                return -ENOMEM;

        STRV_FOREACH(slug, args) {
                _cleanup_error_ Error error = {};

                r = check_one(c, *slug, all, &error);
                if (r < 0 && (error_is_away(error.name) || strv_length(args) == 1)) {
                        error_move(reterr, &error);
                        return r;
                }
                if (r < 0)
                        r = ctl_report(&error, r);
                code = code == EXIT_DONE ? r : code;
        }

        if (ctl_prints_json(c)) {
                r = ctl_print_json(c, strv_length(args) == 1 ? json_array_get(all, 0) : all);
                if (r != EXIT_DONE)
                        return r;
        }
        return code;
}
