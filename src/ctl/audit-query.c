/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "audit-query.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>

#include "alloc-util.h"
#include "audit.h"
#include "string-util.h"
#include "strv.h"
#include "time-parse.h"

/* "instance-delete" is taken for INSTANCE_DELETE. */
static char *normalize_action(const char *s) {
        char *name = strdup(s);

        for (char *p = name; p && *p; p++)
                *p = (char) (*p == '-' ? '_' : toupper((unsigned char) *p));

        return name;
}

static int action_parse(const char *s, const char **ret, Error *reterr) {
        _cleanup_strv_free_ char **all = NULL;
        _cleanup_free_ char *name = NULL, *list = NULL;
        const char *meant = NULL;
        AuditAction action;

        name = normalize_action(s);
        if (!name)
                return -ENOMEM;

        action = audit_action_from_string(name);
        if (action >= 0) {
                *ret = audit_action_to_string(action);
                return 0;
        }

        for (action = 0; action < _AUDIT_ACTION_MAX; action++) {
                const char *known = audit_action_to_string(action);

                if (is_probably_meant(name, known) &&
                                (!meant || edit_distance(name, known) < edit_distance(name, meant)))
                        meant = known;
                if (strv_extend(&all, known) < 0)
                        return -ENOMEM;
        }
        if (meant)
                return error_setf(reterr, CCP_ERROR_INVALID_ARGUMENT,
                                "There is no action '%s'. Did you mean '%s'?", s, meant);

        list = strv_join(all, ", ");
        if (!list)
                return -ENOMEM;

        return error_setf(reterr, CCP_ERROR_INVALID_ARGUMENT, "There is no action '%s', only: %s.", s, list);
}

static int outcome_parse(const char *s, const char **ret, Error *reterr) {
        AuditOutcome outcome = audit_outcome_from_string(s);

        if (outcome < 0)
                return error_setf(reterr, CCP_ERROR_INVALID_ARGUMENT,
                                "There is no outcome '%s', only: accepted, succeeded, failed, cancelled, "
                                "denied.",
                                s);

        *ret = audit_outcome_to_string(outcome);
        return 0;
}

int ctl_option_time(const Ctl *c, OptionId id, usec_t *ret, Error *reterr) {
        const char *s = c->arguments.values[id];
        int r;

        r = s ? time_parse(s, now(CLOCK_REALTIME), ret) : 0;
        if (r == -ERANGE)
                return error_setf(reterr, CCP_ERROR_INVALID_ARGUMENT,
                                "--%s=%s is before 1970, or too far away.", option_table[id].name, s);
        if (r < 0)
                return error_setf(reterr, CCP_ERROR_INVALID_ARGUMENT,
                                "--%s takes a time such as '2026-11-20 12:00:00', '2026-11-20', today, "
                                "yesterday, now or -2h, not '%s'.",
                                option_table[id].name, s);

        return 0;
}

int audit_filter_from_arguments(const Ctl *c, AuditFilter *ret, Error *reterr) {
        const char *const *values = c->arguments.values;
        AuditFilter f = {
                .instance = values[OPTION_INSTANCE],
                .user = values[OPTION_USER],
                .until = USEC_INFINITY,
        };
        int r = 0;

        if (values[OPTION_ACTION])
                r = action_parse(values[OPTION_ACTION], &f.action, reterr);
        if (r >= 0 && values[OPTION_OUTCOME])
                r = outcome_parse(values[OPTION_OUTCOME], &f.outcome, reterr);
        if (r >= 0)
                r = ctl_option_time(c, OPTION_SINCE, &f.since, reterr);
        if (r >= 0)
                r = ctl_option_time(c, OPTION_UNTIL, &f.until, reterr);
        if (r < 0)
                return r;
        if (f.since >= f.until)
                return error_setf(reterr, CCP_ERROR_INVALID_ARGUMENT,
                                "Nothing can be found: --since=%s is not before --until=%s.",
                                strempty(values[OPTION_SINCE]), values[OPTION_UNTIL]);

        *ret = f;
        return 0;
}

static int append_text(sd_bus_message *m, const char *key, const char *value) {
        return value ? sd_bus_message_append(m, "{sv}", key, "s", value) : 0;
}

static int append_number(sd_bus_message *m, const char *key, uint64_t value, uint64_t none) {
        return value != none ? sd_bus_message_append(m, "{sv}", key, "t", value) : 0;
}

static int append_filter(sd_bus_message *m, const AuditFilter *f, uint64_t before, uint64_t after,
                bool oldest_first) {
        int r;

        r = sd_bus_message_open_container(m, 'a', "{sv}");
        if (r >= 0)
                r = append_text(m, "instance", f->instance);
        if (r >= 0)
                r = append_text(m, "user", f->user);
        if (r >= 0)
                r = append_text(m, "action", f->action);
        if (r >= 0)
                r = append_text(m, "outcome", f->outcome);
        if (r >= 0)
                r = append_number(m, "since", f->since, 0);
        if (r >= 0)
                r = append_number(m, "until", f->until, USEC_INFINITY);
        if (r >= 0)
                r = append_number(m, "before", before, UINT64_MAX);
        if (r >= 0)
                r = append_number(m, "after", after, 0);
        if (r >= 0 && oldest_first)
                r = sd_bus_message_append(m, "{sv}", "oldest-first", "b", true);

        return r < 0 ? r : sd_bus_message_close_container(m);
}

/* The details are JSON in a string on the bus. */
static int open_details(json_t *rows) {
        json_t *row;
        size_t i;

        json_array_foreach(rows, i, row) {
                const char *text = json_get_text(row, "details");
                json_t *details = json_loads(text, JSON_REJECT_DUPLICATES, NULL);

                if (!json_is_object(details)) {
                        json_decref(details);
                        continue;
                }
                if (json_object_set_new(row, "details", details) < 0)
                        return -ENOMEM;
        }

        return 0;
}

static int query(Ctl *c, const AuditFilter *f, uint64_t before, uint64_t after, bool oldest_first,
                uint64_t limit, json_t **ret, Error *reterr) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL, *reply = NULL;
        _cleanup_json_ json_t *rows = NULL;
        int r;

        r = ctl_message(c, CCP_BUS_PATH, CCP_INTERFACE_MANAGER, "QueryAudit", &m, reterr);
        if (r < 0)
                return r;
        r = append_filter(m, f, before, after, oldest_first);
        if (r >= 0)
                r = sd_bus_message_append(m, "t", limit);
        if (r < 0)
                return r;

        r = ctl_send(c, m, &reply, reterr);
        if (r < 0)
                return r;
        r = json_from_rows(reply, CCP_INTERFACE_MANAGER, "QueryAudit", &rows);
        if (r < 0)
                return ctl_bad_reply(reterr, r);
        r = open_details(rows);
        if (r < 0)
                return r;

        *ret = TAKE_PTR(rows);
        return 0;
}

uint64_t audit_seq(const json_t *row) {
        return strtoull(json_get_text(row, "seq"), NULL, 10);
}

int audit_query_after(Ctl *c, const AuditFilter *f, uint64_t after, json_t **ret, Error *reterr) {
        _cleanup_json_ json_t *rows = NULL;
        json_t *row;
        size_t i;
        int r;

        r = query(c, f, UINT64_MAX, after, /* oldest_first= */ true, AUDIT_PAGE_MAX, &rows, reterr);
        if (r < 0)
                return r;

        /* Or we would ask for the same for ever. */
        json_array_foreach(rows, i, row) {
                if (audit_seq(row) <= after)
                        return ctl_bad_reply(reterr, 0);
                after = audit_seq(row);
        }

        *ret = TAKE_PTR(rows);
        return 0;
}

static json_t *reversed(const json_t *rows) {
        _cleanup_json_ json_t *result = json_array();

        for (size_t i = json_array_size(rows); result && i-- > 0;)
                if (json_array_append(result, json_array_get(rows, i)) < 0)
                        return NULL;

        return TAKE_PTR(result);
}

int audit_query_newest(Ctl *c, const AuditFilter *f, uint64_t max, json_t **ret, Error *reterr) {
        _cleanup_json_ json_t *all = NULL;
        uint64_t before = UINT64_MAX;
        int r;

        all = json_array();
        if (!all)
                return -ENOMEM;

        /* ccpd may give fewer than asked for; only an empty page is the end. */
        while (json_array_size(all) < max) {
                _cleanup_json_ json_t *page = NULL;
                uint64_t limit = MIN((uint64_t) AUDIT_PAGE_MAX, max - json_array_size(all)), last;

                r = query(c, f, before, 0, /* oldest_first= */ false, limit, &page, reterr);
                if (r < 0)
                        return r;
                if (json_array_size(page) == 0)
                        break;

                last = audit_seq(json_array_get(page, json_array_size(page) - 1));
                if (last >= before)
                        return ctl_bad_reply(reterr, 0);
                before = last;
                if (json_array_extend(all, page) < 0)
                        return -ENOMEM;
        }

        *ret = reversed(all);
        return *ret ? 0 : -ENOMEM;
}
