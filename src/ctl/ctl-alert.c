/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "alert.h"
#include "alloc-util.h"
#include "ctl.h"
#include "polkit-agent.h"
#include "string-util.h"
#include "time-parse.h"

/* A test is followed this long, and looked at so often. */
#define TEST_PATIENCE_USEC (45 * USEC_PER_SEC)
#define TEST_INTERVAL_USEC (500 * USEC_PER_MSEC)

#define SILENCE_EXAMPLE "ccpctl alert silence --instance SLUG --for 2h"

/* --- the list --- */

static char *format_about(const json_t *row, _unused_ Color *ret_color) {
        const char *slug = json_get_text(row, "instance");

        return strdup(isempty(slug) ? json_get_text(row, "subject") : slug);
}

static char *format_alert_state(const json_t *row, Color *ret_color) {
        bool firing = streq(json_get_text(row, "state"), "firing"),
             silenced = json_get_number(row, "silenced_until") > 0;

        *ret_color = !firing                                               ? COLOR_GREEN
                        : streq(json_get_text(row, "severity"), "warning") ? COLOR_YELLOW
                                                                           : COLOR_RED;
        return strdup(silenced ? "silenced" : json_get_text(row, "state"));
}

static char *format_since(const json_t *row, _unused_ Color *ret_color) {
        return strdup(FORMAT_AGO(json_get_number(row, "since")));
}

/* "webhook delivered, mail failed" */
static char *format_deliveries(const json_t *row, _unused_ Color *ret_color) {
        _cleanup_string_builder_ StringBuilder b = {};
        json_t *delivery;
        char *text;
        size_t i;

        json_array_foreach(json_object_get(row, "deliveries"), i, delivery)
                string_builder_appendf(&b, "%s%s %s", i > 0 ? ", " : "", json_get_text(delivery, "channel"),
                                json_get_text(delivery, "state"));
        return string_builder_finish(&b, &text, NULL) < 0 ? NULL : text;
}

static const ListColumn alert_columns[] = {
        { { "ID", .right = true }, "id" },
        { { "RULE" }, "rule" },
        { { "ABOUT", 1 }, "instance", format_about },
        { { "SEVERITY" }, "severity" },
        { { "STATE" }, "state", format_alert_state },
        { { "SINCE" }, "since", format_since },
        { { "TOLD", .right = true }, "notifications" },
        { { "DELIVERY", 2 }, "deliveries", format_deliveries },
};

/* What went wrong with the last delivery over a channel, and what becomes of it. */
static char *describe_delivery(const json_t *d) {
        const char *error = json_get_text(d, "error"), *state = json_get_text(d, "state");
        usec_t at = json_get_number(d, "time"), realtime = now(CLOCK_REALTIME),
               wait = at > realtime ? (at - realtime) / USEC_PER_SEC * USEC_PER_SEC : 0;
        uint64_t attempts = json_get_number(d, "attempts");
        char *text;
        int r;

        if (streq(state, "delivered"))
                r = asprintf(&text, "%s, delivered %s", json_get_text(d, "status"), FORMAT_AGO(at));
        else if (streq(state, "failed"))
                r = asprintf(&text, "%s, given up %s after %" PRIu64 " attempts: %s",
                                json_get_text(d, "status"), FORMAT_AGO(at), attempts, error);
        else if (attempts == 0)
                r = asprintf(&text, "%s, waits to be sent", json_get_text(d, "status"));
        else if (isempty(error))
                r = asprintf(&text, "%s, is being sent", json_get_text(d, "status"));
        else
                r = asprintf(&text, "%s, attempt %" PRIu64 " failed, the next is in %s: %s",
                                json_get_text(d, "status"), attempts, FORMAT_TIMESPAN(wait), error);
        return r < 0 ? NULL : text;
}

static int print_deliveries(const json_t *alert, bool all) {
        json_t *delivery;
        size_t i;

        json_array_foreach(json_object_get(alert, "deliveries"), i, delivery) {
                _cleanup_free_ char *text = NULL;

                if (!all && streq(json_get_text(delivery, "state"), "delivered"))
                        continue;
                text = describe_delivery(delivery);
                if (!text)
                        return -ENOMEM;
                print_field(streq(json_get_text(delivery, "channel"), "mail") ? "Mail" : "Webhook", text);
        }
        return 0;
}

/* Below the table, of each that fires: what, why it was not told, what to do. */
static int print_details(const json_t *rows) {
        json_t *row;
        size_t i;
        int r;

        json_array_foreach(rows, i, row) {
                _cleanup_free_ char *id = NULL;

                if (!streq(json_get_text(row, "state"), "firing"))
                        continue;
                (void) puts("");
                id = strjoin("Alert ", json_get_text(row, "id"));
                if (!id)
                        return -ENOMEM;
                print_field(isempty(json_get_text(row, "id")) ? "Alert" : id, json_get_text(row, "message"));
                r = print_deliveries(row, /* all= */ false);
                if (r < 0)
                        return r;
                print_field("Next", json_get_text(row, "next_step"));
        }
        return 0;
}

int verb_alert_list(Ctl *c, _unused_ char **args, Error *reterr) {
        const char *const *values = c->arguments.values;
        const char *const filters[][2] = {
                { "instance", values[OPTION_INSTANCE] },
                { "rule", values[OPTION_RULE] },
                { "state", arguments_have(&c->arguments, OPTION(ALL)) ? NULL : "firing" },
                {},
        };
        _cleanup_json_ json_t *rows = NULL;
        int r;

        r = ctl_list_rows(c, "ListAlerts", filters, c->arguments.lines, &rows, reterr);
        if (r < 0)
                return r;

        r = ctl_print_list(c, rows, alert_columns, ELEMENTSOF(alert_columns), "alert");
        if (r < 0 || ctl_prints_json(c) || arguments_have(&c->arguments, OPTION(NO_LEGEND) | OPTION(QUIET)))
                return r;
        r = print_details(rows);
        return r < 0 ? r : EXIT_DONE;
}

/* --- one --- */

static int get_alert(Ctl *c, const char *id, json_t **ret, Error *reterr) {
        const char *const filters[][2] = { { "id", id }, {} };
        _cleanup_json_ json_t *rows = NULL;
        int r;

        r = ctl_list_rows(c, "ListAlerts", filters, 1, &rows, reterr);
        if (r < 0)
                return r;
        if (json_array_size(rows) == 0)
                return error_setf(reterr, CCP_ERROR_NO_SUCH_ALERT,
                                "There is no alert %s. 'ccpctl alert list --all' shows those that there "
                                "are.",
                                id);

        *ret = json_incref(json_array_get(rows, 0));
        return 0;
}

static void print_time(const char *label, const json_t *alert, const char *key) {
        uint64_t t = json_get_number(alert, key);
        char text[FORMAT_TIMESTAMP_MAX + FORMAT_TIMESPAN_MAX + 16];

        if (t == 0)
                return;
        (void) snprintf(text, sizeof(text), "%s; %s", FORMAT_TIMESTAMP(t), FORMAT_AGO(t));
        print_field(label, text);
}

int verb_alert_show(Ctl *c, char **args, Error *reterr) {
        _cleanup_json_ json_t *alert = NULL;
        _cleanup_free_ char *told = NULL;
        int r;

        r = get_alert(c, args[0], &alert, reterr);
        if (r < 0)
                return r;
        if (ctl_prints_json(c))
                return ctl_print_json(c, alert);

        if (asprintf(&told, "%" PRIu64 " times, last %s", json_get_number(alert, "notifications"),
                            FORMAT_AGO(json_get_number(alert, "notified_at"))) < 0) {
                told = NULL;
                return -ENOMEM;
        }

        print_field("Rule", json_get_text(alert, "rule"));
        print_field("What", json_get_text(alert, "message"));
        print_field("State", json_get_text(alert, "state"));
        print_field("Severity", json_get_text(alert, "severity"));
        print_field("Instance", json_get_text(alert, "instance"));
        print_field("Path", json_get_text(alert, "subject"));
        print_time("Since", alert, "since");
        print_time("Fires since", alert, "fired_at");
        print_time("Over", alert, "resolved_at");
        print_field("Told", json_get_number(alert, "notifications") > 0 ? told : "never");
        print_time("Silent until", alert, "silenced_until");
        r = print_deliveries(alert, /* all= */ true);
        print_field("Next",
                        streq(json_get_text(alert, "state"), "firing") ? json_get_text(alert, "next_step")
                                                                       : "");
        return r < 0 ? r : EXIT_DONE;
}

/* --- silence --- */

static char *format_silenced(const json_t *row, Color *ret_color) {
        const char *slug = json_get_text(row, "instance");

        if (!isempty(slug))
                return strdup(slug);

        *ret_color = COLOR_BOLD;
        return strdup("(all)");
}

static char *format_silenced_rule(const json_t *row, _unused_ Color *ret_color) {
        const char *rule = json_get_text(row, "rule");

        return strdup(isempty(rule) ? "(all)" : rule);
}

static char *format_until(const json_t *row, _unused_ Color *ret_color) {
        return strdup(FORMAT_TIMESTAMP(json_get_number(row, "until")));
}

static const ListColumn silence_columns[] = {
        { { "ID", .right = true }, "id" },
        { { "INSTANCE", 1 }, "instance", format_silenced },
        { { "RULE" }, "rule", format_silenced_rule },
        { { "UNTIL" }, "until", format_until },
        { { "BY", 1 }, "by" },
        { { "REASON", 2 }, "reason" },
};

int verb_alert_silences(Ctl *c, _unused_ char **args, Error *reterr) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        _cleanup_json_ json_t *rows = NULL;
        int r;

        r = ctl_call(c, CCP_BUS_PATH, CCP_INTERFACE_MANAGER, "ListSilences", &reply, reterr, NULL);
        if (r < 0)
                return r;
        r = json_from_rows(reply, CCP_INTERFACE_MANAGER, "ListSilences", &rows);
        if (r < 0)
                return ctl_bad_reply(reterr, r);

        return ctl_print_list(c, rows, silence_columns, ELEMENTSOF(silence_columns), "silence");
}

static int silence_until(const Ctl *c, usec_t *ret, Error *reterr) {
        const char *span = c->arguments.values[OPTION_FOR];
        _cleanup_free_ char *text = NULL;
        usec_t realtime = now(CLOCK_REALTIME);
        int r;

        if (!span == !c->arguments.values[OPTION_UNTIL])
                return error_setf(reterr, CCP_ERROR_INVALID_ARGUMENT,
                                "Say how long with --for=TIME or with --until=TIME: " SILENCE_EXAMPLE);

        if (span) {
                text = strjoin("+", span);
                r = text ? time_parse(text, realtime, ret) : -ENOMEM;
                if (r < 0)
                        return error_setf(reterr, CCP_ERROR_INVALID_ARGUMENT,
                                        "--for takes a time such as 30min, 2h or 1d, not '%s'.", span);
        } else {
                r = ctl_read_time(c, OPTION_UNTIL, ret, reterr);
                if (r < 0)
                        return r;
        }

        return *ret > realtime ? 0
                               : error_setf(reterr, CCP_ERROR_INVALID_ARGUMENT,
                                                 "The silence would be over already. Say: " SILENCE_EXAMPLE);
}

static int append_text(sd_bus_message *m, const char *key, const char *value) {
        return value ? sd_bus_message_append(m, "{sv}", key, "s", value) : 0;
}

int verb_alert_silence(Ctl *c, _unused_ char **args, Error *reterr) {
        const char *const *values = c->arguments.values;
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL, *reply = NULL;
        const char *id;
        usec_t until;
        int r;

        r = silence_until(c, &until, reterr);
        if (r < 0)
                return r;
        r = ctl_message(c, CCP_BUS_PATH, CCP_INTERFACE_MANAGER, "SilenceAlerts", &m, reterr);
        if (r < 0)
                return r;

        r = sd_bus_message_append(m, "s", strempty(values[OPTION_INSTANCE]));
        if (r >= 0)
                r = sd_bus_message_open_container(m, 'a', "{sv}");
        if (r >= 0)
                r = append_text(m, "rule", values[OPTION_RULE]);
        if (r >= 0)
                r = append_text(m, "reason", values[OPTION_REASON]);
        if (r >= 0)
                r = sd_bus_message_append(m, "{sv}", "until", "t", until);
        if (r >= 0)
                r = sd_bus_message_close_container(m);
        if (r < 0)
                return r;

        polkit_agent_open(c);
        r = ctl_send(c, m, &reply, reterr);
        if (r < 0)
                return r;
        r = sd_bus_message_read(reply, "s", &id);
        if (r < 0)
                return ctl_bad_reply(reterr, r);

        ctl_say(c, "%s of %s are silent until %s. To end it: ccpctl alert unsilence %s\n",
                        values[OPTION_RULE] ?: "All alerts", values[OPTION_INSTANCE] ?: "the whole fleet",
                        FORMAT_TIMESTAMP(until), id);
        return EXIT_DONE;
}

int verb_alert_unsilence(Ctl *c, char **args, Error *reterr) {
        int r;

        polkit_agent_open(c);
        r = ctl_call(c, CCP_BUS_PATH, CCP_INTERFACE_MANAGER, "UnsilenceAlerts", NULL, reterr, "s", args[0]);
        if (r < 0)
                return r;

        ctl_say(c, "Silence %s is over. What still fires is told now.\n", args[0]);
        return EXIT_DONE;
}

/* --- trying --- */

/* Until it is delivered, failed, or the time is over. *ret is its last delivery, borrowed from the alert. */
static int follow_test(Ctl *c, const char *id, json_t **ret_alert, const json_t **ret, Error *reterr) {
        usec_t end = now(CLOCK_MONOTONIC) + TEST_PATIENCE_USEC;

        for (;;) {
                const json_t *delivery;
                int r;

                json_decref(*ret_alert);
                *ret_alert = NULL;
                r = get_alert(c, id, ret_alert, reterr);
                if (r < 0)
                        return r;

                delivery = json_array_get(json_object_get(*ret_alert, "deliveries"), 0);
                if (!streq(json_get_text(delivery, "state"), "queued") ||
                                !isempty(json_get_text(delivery, "error")) || now(CLOCK_MONOTONIC) >= end) {
                        *ret = delivery;
                        return 0;
                }
                (void) usleep(TEST_INTERVAL_USEC);
        }
}

int verb_alert_test(Ctl *c, char **args, Error *reterr) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        _cleanup_json_ json_t *alert = NULL;
        const json_t *delivery = NULL;
        const char *id;
        int r;

        polkit_agent_open(c);
        r = ctl_call(c, CCP_BUS_PATH, CCP_INTERFACE_MANAGER, "TestAlert", &reply, reterr, "s", args[0]);
        if (r < 0)
                return r;
        r = sd_bus_message_read(reply, "s", &id);
        if (r < 0)
                return ctl_bad_reply(reterr, r);
        if (arguments_have(&c->arguments, OPTION(NO_WAIT))) {
                ctl_say(c, "The test is on its way. See: ccpctl alert show %s\n", id);
                return EXIT_DONE;
        }

        r = follow_test(c, id, &alert, &delivery, reterr);
        if (r < 0)
                return r;
        if (streq(json_get_text(delivery, "state"), "delivered")) {
                ctl_say(c, "The test was delivered.\n");
                return EXIT_DONE;
        }
        if (isempty(json_get_text(delivery, "error")))
                return error_setf(reterr, CCP_ERROR_INTERNAL,
                                "Nothing came of the test yet. See: ccpctl alert show %s, journalctl -u "
                                "'ccp-alert-*'",
                                id);
        return error_setf(reterr, CCP_ERROR_INTERNAL, "The test was not delivered: %s",
                        json_get_text(delivery, "error"));
}

/* --- the secret --- */

int verb_alert_secret(Ctl *c, _unused_ char **args, Error *reterr) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        int r;

        if (arguments_have(&c->arguments, OPTION(HOST)))
                return error_setf(reterr, CCP_ERROR_INVALID_ARGUMENT,
                                "A secret is handed over in a file descriptor, which cannot go to another "
                                "host. Say: ssh -t %s ccpctl alert secret",
                                c->arguments.values[OPTION_HOST]);

        polkit_agent_open(c);
        r = ctl_call(c, CCP_BUS_PATH, CCP_INTERFACE_MANAGER, "RevealAlertSecret", &reply, reterr, "a{sv}",
                        0);
        return r < 0 ? r : ctl_write_secret(c, reply, "", "ALERT_WEBHOOK", reterr);
}

int verb_alert_rotate(Ctl *c, _unused_ char **args, Error *reterr) {
        int r;

        polkit_agent_open(c);
        r = ctl_call(c, CCP_BUS_PATH, CCP_INTERFACE_MANAGER, "RotateAlertSecret", NULL, reterr, "a{sv}", 0);
        if (r < 0)
                return r;

        ctl_say(c,
                        "There is a new secret: ccpctl alert secret. For a day messages are signed with the "
                        "old one too.\n");
        return EXIT_DONE;
}
