/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "alert-payload.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "alloc-util.h"
#include "json-util.h"
#include "string-util.h"

/* What a chat shows of a message with many alerts. */
#define LINES_MAX 10U
#define TIME_MAX sizeof("2026-11-20T12:30:05Z")

const char *alert_host_name(void) {
        static char name[256];

        if (gethostname(name, sizeof(name) - 1) < 0 || !name[0])
                return "localhost";

        for (char *p = name; *p; p++)
                if (!isalnum((unsigned char) *p) && !strchr(".-", *p))
                        *p = '-';
        return name;
}

static const char *notice_subject(const AlertNotice *n) {
        return n->slug ?: n->subject;
}

char *alert_notice_title(const AlertNotice *n) {
        AlertRule rule = alert_rule_from_string(n->rule);

        if (n->status == ALERT_STATUS_TEST)
                return strdup("this is a test");
        return rule >= 0 ? alert_rule_title(rule, notice_subject(n)) : strdup(n->message);
}

char *alert_notice_next_step(const AlertNotice *n) {
        AlertRule rule = alert_rule_from_string(n->rule);

        return rule >= 0 ? alert_rule_next_step(rule, notice_subject(n)) : strdup("");
}

AlertCounts alert_message_counts(const AlertMessage *m) {
        AlertCounts counts = {};

        FOREACH_ARRAY(n, m->notices, m->n_notices)
                counts.n[n->status]++;
        return counts;
}

char *alert_message_summary(const AlertMessage *m, const char *host) {
        AlertCounts counts = alert_message_counts(m);
        _cleanup_free_ char *title = NULL;
        char *text;

        if (m->n_notices == 1) {
                title = alert_notice_title(m->notices);
                if (!title ||
                                asprintf(&text, "[ccpd %s] %s: %s", host,
                                                alert_status_to_string(m->notices->status), title) < 0)
                        return NULL;
                return text;
        }

        if (asprintf(&text, "[ccpd %s] %zu alerts: %u firing, %u resolved", host, m->n_notices,
                            counts.n[ALERT_STATUS_FIRING], counts.n[ALERT_STATUS_RESOLVED]) < 0)
                return NULL;
        return text;
}

static const char *format_time(char buf[static TIME_MAX], usec_t t) {
        time_t seconds = (time_t) (t / USEC_PER_SEC);
        struct tm tm;

        if (!gmtime_r(&seconds, &tm) || strftime(buf, TIME_MAX, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
                buf[0] = 0;
        return buf;
}

static json_t *notice_to_json(const AlertNotice *n) {
        _cleanup_free_ char *next = alert_notice_next_step(n), *title = alert_notice_title(n);
        char id[24], since[TIME_MAX], told[TIME_MAX];

        if (!next || !title)
                return NULL;

        (void) snprintf(id, sizeof(id), "%" PRIu64, n->alert);
        return json_pack("{s:s, s:s, s:s, s:s, s:s?, s:s?, s:s, s:s, s:s, s:s, s:s, s:s, s:i}", "id", id,
                        "rule", n->rule, "severity", n->severity, "status",
                        alert_status_to_string(n->status), "instance", n->slug, "name", n->name, "subject",
                        n->subject, "title", title, "message", n->message, "next_step", next, "since",
                        format_time(since, n->since), "time", format_time(told, n->told), "repeated",
                        (int) n->number);
}

/* Chats make references of what stands between these. */
static void append_for_chat(StringBuilder *b, const char *s) {
        for (; *s; s++)
                if (*s == '&')
                        string_builder_append(b, "&amp;");
                else if (*s == '<')
                        string_builder_append(b, "&lt;");
                else if (*s == '>')
                        string_builder_append(b, "&gt;");
                else
                        string_builder_append_n(b, s, 1);
}

/* The titles, which are made of our own words, slugs and paths: causes may have words of strangers in them. */
static char *message_text(const AlertMessage *m, const char *host) {
        _cleanup_free_ char *summary = alert_message_summary(m, host);
        _cleanup_string_builder_ StringBuilder b = {};
        char *text;

        if (!summary)
                return NULL;

        append_for_chat(&b, summary);
        for (size_t i = 0; m->n_notices > 1 && i < MIN(m->n_notices, (size_t) LINES_MAX); i++) {
                _cleanup_free_ char *title = alert_notice_title(m->notices + i);

                string_builder_appendf(&b, "\n%s: ", alert_status_to_string(m->notices[i].status));
                append_for_chat(&b, strempty(title));
        }
        if (m->n_notices > LINES_MAX)
                string_builder_appendf(&b, "\nand %zu more", m->n_notices - LINES_MAX);

        return string_builder_finish(&b, &text, NULL) < 0 ? NULL : text;
}

int alert_message_to_json(const AlertMessage *m, const char *host, char **ret) {
        _cleanup_json_ json_t *object = NULL, *alerts = json_array();
        _cleanup_free_ char *text = message_text(m, host);

        FOREACH_ARRAY(n, m->notices, m->n_notices)
                if (json_array_append_new(alerts, notice_to_json(n)) < 0)
                        return -ENOMEM;

        if (text)
                object = json_pack("{s:s, s:s, s:s, s:O}", "id", m->uuid, "host", host, "text", text,
                                "alerts", alerts);
        *ret = object ? json_format(object, JSON_COMPACT) : NULL;
        return *ret ? 0 : -ENOMEM;
}
