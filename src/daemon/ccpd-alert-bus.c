/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "ccpd-alert-bus.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "alloc-util.h"
#include "bus-append.h"
#include "bus-error.h"
#include "bus-options.h"
#include "ccpd-access.h"
#include "ccpd-manager.h"
#include "string-util.h"
#include "validate.h"

#define REASON_LENGTH_MAX 200U /* characters */
/* Whoever wants to hear nothing for longer had better change a setting. */
#define SILENCE_MAX_USEC (366 * USEC_PER_DAY)

/* --- listing --- */

static int append_string(sd_bus_message *m, const char *key, const char *value) {
        return sd_bus_message_append(m, "{sv}", key, "s", strempty(value));
}

static int append_decimal(sd_bus_message *m, const char *key, uint64_t value) {
        char text[DECIMAL_ID_MAX];

        (void) snprintf(text, sizeof(text), "%" PRIu64, value);
        return append_string(m, key, value > 0 ? text : "");
}

/* What went wrong may name addresses, and others' alerts: that is for who sees the fleet. */
static int append_delivery(sd_bus_message *m, const AlertDelivery *d, bool whole) {
        return sd_bus_message_append(m, "a{sv}", 7, "Channel", "s", alert_channel_to_string(d->channel),
                        "Status", "s", alert_status_to_string(d->status), "State", "s", d->state, "Number",
                        "u", (uint32_t) d->number, "Attempts", "u", (uint32_t) d->n_attempts, "Error", "s",
                        whole ? d->error : "", "Time", "t", d->at);
}

static int append_deliveries(sd_bus_message *m, const AlertRecord *r, bool whole) {
        int k;

        k = bus_open_entry_array(m, "Deliveries", "a{sv}");
        for (size_t i = 0; k >= 0 && i < r->n_deliveries; i++)
                k = append_delivery(m, r->deliveries + i, whole);
        return k < 0 ? k : bus_close_entry_array(m);
}

static int append_texts(sd_bus_message *m, const AlertRecord *r, const char *next_step) {
        const struct {
                const char *key, *value;
        } strings[] = {
                { "Rule", r->rule },
                { "Severity", r->severity },
                { "State", alert_status_to_string(r->firing ? ALERT_STATUS_FIRING : ALERT_STATUS_RESOLVED) },
                { "Instance", r->slug },
                { "InstanceId", r->instance },
                { "Name", r->name },
                { "Subject", r->subject },
                { "Message", r->message },
                { "NextStep", next_step },
        };

        FOREACH_ARRAY(s, strings, ELEMENTSOF(strings)) {
                int k = append_string(m, s->key, s->value);

                if (k < 0)
                        return k;
        }
        return 0;
}

static int append_record(sd_bus_message *m, const Manager *manager, const AlertRecord *r, bool whole) {
        const SilenceRecord *silence = r->firing ? alerts_silence_of(manager, r) : NULL;
        AlertRule rule = alert_rule_from_string(r->rule);
        _cleanup_free_ char *next = NULL;
        int k;

        if (rule >= 0) {
                next = alert_rule_next_step(rule, r->slug ?: r->subject);
                if (!next)
                        return -ENOMEM;
        }

        k = sd_bus_message_open_container(m, 'a', "{sv}");
        if (k >= 0)
                k = append_decimal(m, "Id", r->id);
        if (k >= 0)
                k = append_texts(m, r, next);
        if (k >= 0)
                k = sd_bus_message_append(m, "{sv}{sv}{sv}{sv}{sv}{sv}", "Since", "t", r->since, "FiredAt",
                                "t", r->fired_at, "ResolvedAt", "t", r->resolved_at, "NotifiedAt", "t",
                                r->notified_at, "Notifications", "u", (uint32_t) r->n_notified,
                                "SilencedUntil", "t", silence ? silence->until : (usec_t) 0);
        if (k >= 0)
                k = append_decimal(m, "Silence", silence ? silence->id : 0);
        if (k >= 0)
                k = append_deliveries(m, r, whole);
        return k < 0 ? k : sd_bus_message_close_container(m);
}

static int append_whole(sd_bus_message *reply, Operation *o, const void *items, size_t k) {
        return append_record(reply, operation_manager(o), ((AlertRecord *const *) items)[k], true);
}

static int append_part(sd_bus_message *reply, Operation *o, const void *items, size_t k) {
        return append_record(reply, operation_manager(o), ((AlertRecord *const *) items)[k], false);
}

static void reply_listed(Operation *o, int r, const AlertRecords *alerts, const Error *error,
                operation_append_t append) {
        if (r < 0)
                operation_fail(o, error);
        else
                operation_reply_array(o, "a{sv}", alerts->items, alerts->n, append, "list the alerts");
}

static void on_listed_whole(int r, AlertRecords *alerts, Error *error, void *userdata) {
        reply_listed(userdata, r, alerts, error, append_whole);
}

static void on_listed_part(int r, AlertRecords *alerts, Error *error, void *userdata) {
        reply_listed(userdata, r, alerts, error, append_part);
}

typedef struct AlertFilter {
        const char *id, *rule, *state, *instance;
} AlertFilter;

static const BusOption filter_options[] = {
        { "id", "s", offsetof(AlertFilter, id) },
        { "rule", "s", offsetof(AlertFilter, rule) },
        { "state", "s", offsetof(AlertFilter, state) },
        { "instance", "s", offsetof(AlertFilter, instance) },
};

static bool record_matches(const AlertRecord *r, const StoreAlertFilter *f) {
        return (f->id == 0 || r->id == f->id) && (!f->rule || streq(r->rule, f->rule)) &&
                        (!f->state || streq(f->state, alert_status_to_string(ALERT_STATUS_FIRING))) &&
                        (!f->instance || streq_ptr(r->slug, f->instance));
}

/* While the records are away what fires is known all the same. */
static int reply_from_memory(sd_bus_message *message, const Manager *m, const StoreAlertFilter *f) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        Caller *viewer = access_viewer(m);
        uint64_t n = 0;
        int r;

        r = sd_bus_message_new_method_return(message, &reply);
        if (r >= 0)
                r = sd_bus_message_open_container(reply, 'a', "a{sv}");
        for (const Alert *a = alerts_first(m); r >= 0 && a; a = a->hh.next) {
                if (!a->record->firing || !alert_is_visible(m, viewer, a->record) ||
                                !record_matches(a->record, f) || n++ < f->offset)
                        continue;
                if (n > f->offset + f->limit)
                        break;
                r = append_record(reply, m, a->record, access_sees_fleet(m, viewer));
        }
        if (r >= 0)
                r = sd_bus_message_close_container(reply);
        return r < 0 ? r : sd_bus_message_send(reply);
}

static int check_rule(const char *rule, Error *reterr) {
        if (!rule || alert_rule_from_string(rule) >= 0 || streq(rule, ALERT_TEST_RULE))
                return 0;

        return error_setf(reterr, CCP_ERROR_INVALID_ARGUMENT,
                        "There is no alert '%s'. See org.changemaker.ccp1(5) for all.",
                        TEXT_FOR_ERROR(rule));
}

static int read_filter(sd_bus_message *message, StoreAlertFilter *ret, Error *reterr) {
        AlertFilter f = {};
        int r;

        r = bus_read_options(message, filter_options, ELEMENTSOF(filter_options), &f, reterr);
        if (r < 0)
                return r;
        *ret = (StoreAlertFilter) { .rule = f.rule, .state = f.state, .instance = f.instance };
        r = sd_bus_message_read(message, "tt", &ret->offset, &ret->limit);
        if (r < 0)
                return r;
        r = bus_check_page(ret->limit, reterr);
        if (r < 0)
                return r;
        if (f.id && decimal_id_parse(f.id, &ret->id) < 0)
                return error_setf(reterr, CCP_ERROR_INVALID_ARGUMENT, "'%s' is no number of an alert.",
                                TEXT_FOR_ERROR(f.id));
        if (f.state &&
                        !IN_SET(alert_status_from_string(f.state), ALERT_STATUS_FIRING,
                                        ALERT_STATUS_RESOLVED))
                return error_setf(reterr, CCP_ERROR_INVALID_ARGUMENT,
                                "An alert is 'firing' or 'resolved', not '%s'.", TEXT_FOR_ERROR(f.state));
        return check_rule(f.rule, reterr);
}

int method_list_alerts(sd_bus_message *message, void *userdata, sd_bus_error *reterr) {
        _cleanup_free_ char **visible = NULL;
        _cleanup_error_ Error e = {};
        StoreAlertFilter filter = {};
        Manager *m = userdata;
        Operation *o;
        int r;

        r = read_filter(message, &filter, &e);
        if (r < 0)
                return error_is_set(&e) ? bus_error_move(reterr, &e) : r;
        if (!db_is_available(m->db))
                return reply_from_memory(message, m, &filter);

        if (!access_sees_fleet(m, access_viewer(m))) {
                r = access_visible_instances(m, access_viewer(m), &visible);
                if (r < 0)
                        return r;
                filter.among = visible;
        }

        o = operation_new(m, message);
        if (!o)
                return -ENOMEM;
        r = store_list_alerts(m->db, &filter,
                        access_sees_fleet(m, access_viewer(m)) ? on_listed_whole : on_listed_part, o, NULL,
                        &e);
        if (r < 0)
                operation_fail(o, &e);
        return 1;
}

/* --- silences --- */

static bool silence_is_visible(const Manager *m, Caller *viewer, const SilenceRecord *s) {
        const Instance *i = isempty(s->instance) ? NULL : instance_find_by_id(m, s->instance);

        return i ? access_sees_instance(m, viewer, i) : access_sees_fleet(m, viewer);
}

/* By whom and why is for who sees the fleet. */
static int append_silence(sd_bus_message *m, const SilenceRecord *s, bool whole) {
        int r;

        r = sd_bus_message_open_container(m, 'a', "{sv}");
        if (r >= 0)
                r = append_decimal(m, "Id", s->id);
        if (r >= 0)
                r = sd_bus_message_append(m, "{sv}{sv}{sv}{sv}{sv}{sv}", "Rule", "s", strempty(s->rule),
                                "Instance", "s", strempty(s->slug), "Until", "t", s->until, "Reason", "s",
                                whole ? s->reason : "", "By", "s", whole ? s->created_by : "", "CreatedAt",
                                "t", s->created_at);
        return r < 0 ? r : sd_bus_message_close_container(m);
}

int method_list_silences(sd_bus_message *message, void *userdata, sd_bus_error *reterr) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        _cleanup_error_ Error e = {};
        const Manager *m = userdata;
        const SilenceRecords *l = alerts_silences(m);
        usec_t realtime = now(CLOCK_REALTIME);
        int r;

        r = manager_check_loaded(m, &e);
        if (r < 0)
                return bus_error_move(reterr, &e);

        r = sd_bus_message_new_method_return(message, &reply);
        if (r >= 0)
                r = sd_bus_message_open_container(reply, 'a', "a{sv}");
        for (size_t k = 0; l && r >= 0 && k < l->n; k++)
                if (l->items[k].until > realtime && silence_is_visible(m, access_viewer(m), l->items + k))
                        r = append_silence(reply, l->items + k, access_sees_fleet(m, access_viewer(m)));
        if (r >= 0)
                r = sd_bus_message_close_container(reply);
        return r < 0 ? r : sd_bus_message_send(reply);
}

static void on_silenced(int r, uint64_t id, SilenceRecords *silences, Error *error, void *userdata) {
        Operation *o = userdata;
        char text[DECIMAL_ID_MAX];

        if (r < 0) {
                operation_fail(o, error);
                return;
        }

        alerts_set_silences(operation_manager(o), silences);
        (void) snprintf(text, sizeof(text), "%" PRIu64, id);
        operation_reply(o, "s", text);
}

static void on_unsilenced(
                int r, _unused_ uint64_t id, SilenceRecords *silences, Error *error, void *userdata) {
        Operation *o = userdata;

        if (r < 0) {
                operation_fail(o, error);
                return;
        }

        alerts_set_silences(operation_manager(o), silences);
        operation_reply(o, NULL);
}

typedef struct SilenceOptions {
        const char *rule, *reason;
        uint64_t until;
} SilenceOptions;

static const BusOption silence_options[] = {
        { "rule", "s", offsetof(SilenceOptions, rule) },
        { "until", "t", offsetof(SilenceOptions, until) },
        { "reason", "s", offsetof(SilenceOptions, reason) },
};

static size_t count_characters(const char *s) {
        size_t n = 0;

        for (; *s; s++)
                n += ((unsigned char) *s & 0xC0) != 0x80;
        return n;
}

static int check_silence(const SilenceOptions *o, Error *reterr) {
        usec_t realtime = now(CLOCK_REALTIME);

        if (o->until <= realtime || o->until > realtime + SILENCE_MAX_USEC)
                return error_setf(reterr, CCP_ERROR_INVALID_ARGUMENT,
                                "Say with 'until' when the silence ends: a time to come, within a year.");
        if (o->reason && (!string_is_safe(o->reason) || count_characters(o->reason) > REASON_LENGTH_MAX))
                return error_setf(reterr, CCP_ERROR_INVALID_ARGUMENT,
                                "A reason is one line of text with at most %u characters.",
                                REASON_LENGTH_MAX);
        return check_rule(o->rule, reterr);
}

int method_silence_alerts(sd_bus_message *message, void *userdata, sd_bus_error *reterr) {
        _cleanup_error_ Error e = {};
        SilenceOptions options = {};
        const Instance *i = NULL;
        Manager *m = userdata;
        const char *slug;
        Operation *o;
        int r;

        r = sd_bus_message_read(message, "s", &slug);
        if (r < 0)
                return r;
        r = bus_read_options(message, silence_options, ELEMENTSOF(silence_options), &options, &e);
        if (r >= 0)
                r = check_silence(&options, &e);
        if (r < 0)
                return bus_error_move(reterr, &e);

        if (!isempty(slug)) {
                i = instance_find(m, slug);
                if (!i)
                        return sd_bus_error_setf(reterr, CCP_ERROR_NO_SUCH_INSTANCE,
                                        "There is no instance '%s'. See: ccpctl list", TEXT_FOR_ERROR(slug));
        }

        o = operation_new(m, message);
        if (!o)
                return -ENOMEM;
        r = store_silence_alerts(m->db,
                        &(StoreSilence) {
                                        .rule = isempty(options.rule) ? NULL : options.rule,
                                        .instance = i ? i->record->id : NULL,
                                        .slug = i ? i->record->slug : NULL,
                                        .until = options.until,
                                        .reason = options.reason,
                        },
                        operation_actor(o), on_silenced, o, NULL, &e);
        if (r < 0)
                operation_fail(o, &e);
        return 1;
}

int method_unsilence_alerts(sd_bus_message *message, void *userdata, sd_bus_error *reterr) {
        _cleanup_error_ Error e = {};
        Manager *m = userdata;
        const char *text;
        uint64_t id;
        Operation *o;
        int r;

        r = sd_bus_message_read(message, "s", &text);
        if (r < 0)
                return r;
        if (decimal_id_parse(text, &id) < 0)
                return sd_bus_error_setf(reterr, CCP_ERROR_NO_SUCH_ALERT,
                                "There is no silence '%s'. See: ccpctl alert silences",
                                TEXT_FOR_ERROR(text));

        o = operation_new(m, message);
        if (!o)
                return -ENOMEM;
        r = store_unsilence_alerts(m->db, id, operation_actor(o), on_unsilenced, o, NULL, &e);
        if (r < 0)
                operation_fail(o, &e);
        return 1;
}

/* --- trying a channel --- */

static void on_test_queued(int r, uint64_t id, Error *error, void *userdata) {
        Operation *o = userdata;
        Manager *m = operation_manager(o);
        char text[DECIMAL_ID_MAX];

        if (r < 0) {
                operation_fail(o, error);
                return;
        }

        (void) snprintf(text, sizeof(text), "%" PRIu64, id);
        operation_reply(o, "s", text);
        alerts_dispatch_queue(m);
}

int method_test_alert(sd_bus_message *message, void *userdata, sd_bus_error *reterr) {
        _cleanup_free_ char *text = NULL;
        _cleanup_error_ Error e = {};
        AlertChannel channel;
        Manager *m = userdata;
        const char *name;
        Operation *o;
        int r;

        r = sd_bus_message_read(message, "s", &name);
        if (r < 0)
                return r;
        channel = alert_channel_from_string(name);
        if (channel < 0)
                return sd_bus_error_setf(reterr, CCP_ERROR_INVALID_ARGUMENT,
                                "Alerts are delivered to 'webhook' and 'mail', not to '%s'.",
                                TEXT_FOR_ERROR(name));
        r = manager_check_store(m, &e);
        if (r < 0)
                return bus_error_move(reterr, &e);
        if (!alert_channel_is_on(m, channel))
                return sd_bus_error_setf(reterr, CCP_ERROR_WRONG_STATE,
                                "No alerts are delivered there yet. Set it first: ccpctl settings set %s",
                                channel == ALERT_WEBHOOK ? "alert_webhook_url=URL"
                                                         : "alert_mail_to=ADDRESS");

        o = operation_new(m, message);
        if (!o)
                return -ENOMEM;
        text = strjoin("a test that ", operation_actor(o)->user, " asked for");
        if (!text) {
                operation_free(o);
                return -ENOMEM;
        }
        r = store_test_alert(m->db, channel, text, on_test_queued, o, NULL, &e);
        if (r < 0)
                operation_fail(o, &e);
        return 1;
}
