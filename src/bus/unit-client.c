/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "unit-client.h"

#include <errno.h>

#include "alloc-util.h"
#include "event-util.h"
#include "log.h"
#include "string-util.h"
#include "strv.h"
#include "time-util.h"

#define SYSTEMD_NAME "org.freedesktop.systemd1"
#define SYSTEMD_PATH "/org/freedesktop/systemd1"
#define SYSTEMD_MANAGER "org.freedesktop.systemd1.Manager"

/* dbus-daemon drops calls above 128 that wait for an answer on one connection (system.conf,
 * max_replies_per_connection); others need some of them too. */
#define REQUESTS_IN_FLIGHT_MAX 64U
/* No unit of ours takes so long to start or stop: PID 1's word of its end got lost. */
#define REQUEST_TIMEOUT_USEC (10 * USEC_PER_MINUTE)

struct UnitRequest {
        UnitClient *client;
        UnitRequest *next;
        const char *method, *mode;
        char *unit;
        char *job;          /* PID 1's job path, once it answered */
        char *early_result; /* JobRemoved overtook the answer */
        bool sent;
        usec_t deadline; /* monotonic, once it was sent */
        sd_bus_slot *slot;
        unit_request_handler_t handler;
        void *userdata;
};

/* A list that was asked for, or of a timer when it elapses. */
typedef struct UnitList {
        UnitClient *client;
        struct UnitList *next;
        char *pattern; /* or the timer's name */
        sd_bus_slot *slot;
        unit_list_handler_t handler;
        unit_timer_handler_t timer_handler;
        void *userdata;
} UnitList;

struct UnitClient {
        sd_bus *bus;
        sd_bus_slot *job_removed_slot, *unit_removed_slot, *owner_slot, *subscribe_slot;
        sd_event_source *deadline_source;
        unit_removed_handler_t removed;
        unit_reset_handler_t reset;
        void *userdata;

        UnitList *lists;
        UnitRequest *requests; /* oldest first */
        unsigned n_in_flight;
};

static void unit_client_dispatch(UnitClient *c);
static void unit_client_set_deadline(UnitClient *c);

UnitRequest *unit_request_free(UnitRequest *q) {
        if (!q)
                return NULL;

        for (UnitRequest **i = &q->client->requests; *i; i = &(*i)->next)
                if (*i == q) {
                        *i = q->next;
                        break;
                }
        if (q->sent)
                q->client->n_in_flight--;

        sd_bus_slot_unref(q->slot);
        free(q->unit);
        free(q->job);
        free(q->early_result);
        return mfree(q);
}

/* Ends a request: the handler runs last, since it may free what surrounds us. */
static void unit_request_finish(UnitRequest *q, const Error *error) {
        unit_request_handler_t handler = q->handler;
        void *userdata = q->userdata;
        UnitClient *c = q->client;

        unit_request_free(q);
        unit_client_dispatch(c);
        unit_client_set_deadline(c);
        if (handler)
                handler(error, userdata);
}

static void unit_request_finish_result(UnitRequest *q, const char *result) {
        _cleanup_error_ Error e = {};

        if (!streq(result, "done"))
                (void) error_setf(&e, CCP_ERROR_INTERNAL,
                                "systemd could not finish %s of '%s' (%s). See: journalctl -u %s",
                                streq(q->method, "StartUnit") ? "the start" : "the stop", q->unit, result,
                                q->unit);
        unit_request_finish(q, error_is_set(&e) ? &e : NULL);
}

static int unit_request_error(const UnitRequest *q, const sd_bus_error *from, Error *reterr) {
        /* What an unprivileged caller gets where no polkit rule allows it (seen with systemd 252 and 257). */
        if (sd_bus_error_has_name(from, SD_BUS_ERROR_INTERACTIVE_AUTHORIZATION_REQUIRED) ||
                        sd_bus_error_has_name(from, SD_BUS_ERROR_ACCESS_DENIED))
                return error_setf(reterr, CCP_ERROR_INTERNAL,
                                "polkit does not allow ccpd to manage '%s': is "
                                "/usr/share/polkit-1/rules.d/60-ccpd.rules "
                                "installed and polkit running?",
                                q->unit);

        /* The second is the answer when polkit, which PID 1 wants to ask about us, is not started any more. */
        if (sd_bus_error_has_name(from, "org.freedesktop.systemd1.TransactionIsDestructive") ||
                        sd_bus_error_has_name(from, "org.freedesktop.systemd1.ShuttingDown"))
                return error_setf(reterr, CCP_ERROR_BUSY,
                                "The system is going down, or '%s' is still being stopped; it is run when "
                                "that is over.",
                                q->unit);

        /* It is being replaced (daemon-reexec), or hangs: whether it did what was asked is not known. */
        if (sd_bus_error_has_name(from, SD_BUS_ERROR_NO_REPLY) ||
                        sd_bus_error_has_name(from, SD_BUS_ERROR_TIMEOUT))
                return error_setf(reterr, CCP_ERROR_BUSY,
                                "systemd does not answer; it is asked again to %s '%s'.",
                                streq(q->method, "StartUnit") ? "start" : "stop", q->unit);

        if (sd_bus_error_has_name(from, "org.freedesktop.systemd1.BadUnitSetting"))
                return error_setf(reterr, CCP_ERROR_INVALID_ARGUMENT, "%s", strempty(from->message));

        return error_setf(reterr, CCP_ERROR_INTERNAL, "systemd refused to %s '%s': %s",
                        streq(q->method, "StartUnit") ? "start" : "stop", q->unit, strempty(from->message));
}

int unit_error_level(const Error *error) {
        return streq(error->name, CCP_ERROR_BUSY) ? LOG_INFO : LOG_WARNING;
}

static UnitRequest *unit_client_oldest_sent(const UnitClient *c) {
        for (UnitRequest *q = c->requests; q; q = q->next)
                if (q->sent)
                        return q;

        return NULL;
}

static int on_deadline(_unused_ sd_event_source *s, _unused_ uint64_t usec, void *userdata) {
        UnitClient *c = userdata;
        UnitRequest *q;

        /* The handler of one may free others. */
        while ((q = unit_client_oldest_sent(c)) && q->deadline <= now(CLOCK_MONOTONIC)) {
                _cleanup_error_ Error e = {};

                (void) error_setf(&e, CCP_ERROR_BUSY,
                                "systemd has not told what became of the %s of '%s'. See: systemctl "
                                "list-jobs",
                                streq(q->method, "StartUnit") ? "start" : "stop", q->unit);
                unit_request_finish(q, &e);
        }
        unit_client_set_deadline(c);
        return 0;
}

static void unit_client_set_deadline(UnitClient *c) {
        const UnitRequest *q = unit_client_oldest_sent(c);
        int r;

        r = event_reset_time(sd_bus_get_event(c->bus), &c->deadline_source, q ? q->deadline : USEC_INFINITY,
                        USEC_PER_SEC, on_deadline, c);
        if (r < 0)
                log_warning_errno(r, "Failed to set a timer for answers of systemd: %m");
}

static int on_request_reply(sd_bus_message *m, void *userdata, _unused_ sd_bus_error *reterr) {
        UnitRequest *q = userdata;
        _cleanup_error_ Error e = {};
        const char *job;
        int r;

        q->slot = sd_bus_slot_unref(q->slot);

        if (sd_bus_message_is_method_error(m, NULL) > 0) {
                (void) unit_request_error(q, sd_bus_message_get_error(m), &e);
                unit_request_finish(q, &e);
                return 0;
        }

        r = sd_bus_message_read(m, "o", &job);
        if (r >= 0)
                r = free_and_strdup(&q->job, job);
        if (r < 0) {
                (void) error_set_errnof(&e, r, "Cannot read systemd's answer about '%s': %m", q->unit);
                unit_request_finish(q, &e);
                return 0;
        }

        if (q->early_result) {
                _cleanup_free_ char *result = TAKE_PTR(q->early_result);

                unit_request_finish_result(q, result);
        }
        return 0;
}

static void unit_client_dispatch(UnitClient *c) {
        UnitRequest *next;

        for (UnitRequest *q = c->requests; q && c->n_in_flight < REQUESTS_IN_FLIGHT_MAX; q = next) {
                int r;

                next = q->next;
                if (q->sent)
                        continue;

                q->sent = true;
                q->deadline = now(CLOCK_MONOTONIC) + REQUEST_TIMEOUT_USEC;
                c->n_in_flight++;
                r = sd_bus_call_method_async(c->bus, &q->slot, SYSTEMD_NAME, SYSTEMD_PATH, SYSTEMD_MANAGER,
                                q->method, on_request_reply, q, "ss", q->unit, q->mode);
                if (r < 0) {
                        _cleanup_error_ Error e = {};

                        (void) error_set_errnof(&e, r, "Cannot ask systemd about '%s': %m", q->unit);
                        unit_request_finish(q, &e);
                        return;
                }
        }
}

static int unit_client_request(UnitClient *c, const char *method, const char *mode, const char *unit,
                unit_request_handler_t handler, void *userdata, UnitRequest **ret) {
        UnitRequest *q, **tail;

        q = new0(UnitRequest, 1);
        if (!q)
                return -ENOMEM;

        *q = (UnitRequest) {
                .client = c,
                .method = method,
                .mode = mode,
                .unit = strdup(unit),
                .handler = handler,
                .userdata = userdata,
        };
        if (!q->unit) {
                free(q);
                return -ENOMEM;
        }

        for (tail = &c->requests; *tail; tail = &(*tail)->next)
                ;
        *tail = q;

        if (ret)
                *ret = q;
        unit_client_dispatch(c);
        unit_client_set_deadline(c);
        return 0;
}

int unit_client_start(UnitClient *c, const char *unit, unit_request_handler_t handler, void *userdata,
                UnitRequest **ret) {
        return unit_client_request(c, "StartUnit", "fail", unit, handler, userdata, ret);
}

int unit_client_stop(UnitClient *c, const char *unit, unit_request_handler_t handler, void *userdata,
                UnitRequest **ret) {
        return unit_client_request(c, "StopUnit", "replace", unit, handler, userdata, ret);
}

static int on_job_removed(sd_bus_message *m, void *userdata, _unused_ sd_bus_error *reterr) {
        UnitClient *c = userdata;
        const char *job, *unit, *result;
        uint32_t id;
        int r;

        r = sd_bus_message_read(m, "uoss", &id, &job, &unit, &result);
        if (r < 0)
                return 0;

        for (UnitRequest *q = c->requests; q; q = q->next) {
                if (!q->sent || !streq(q->unit, unit))
                        continue;

                if (q->job && streq(q->job, job)) {
                        unit_request_finish_result(q, result);
                        return 0;
                }
                /* The signal may come before the answer that says which job it is. */
                if (!q->job)
                        (void) free_and_strdup(&q->early_result, result);
        }

        return 0;
}

static int on_unit_removed(sd_bus_message *m, void *userdata, _unused_ sd_bus_error *reterr) {
        UnitClient *c = userdata;
        const char *unit, *path;

        if (sd_bus_message_read(m, "so", &unit, &path) >= 0 && c->removed)
                c->removed(unit, c->userdata);
        return 0;
}

static int on_subscribed(sd_bus_message *m, void *userdata, _unused_ sd_bus_error *reterr) {
        UnitClient *c = userdata;

        c->subscribe_slot = sd_bus_slot_unref(c->subscribe_slot);
        if (sd_bus_message_is_method_error(m, NULL) > 0)
                log_warning("Cannot subscribe to systemd's signals: %s",
                                sd_bus_message_get_error(m)->message);
        return 0;
}

static int unit_client_subscribe(UnitClient *c) {
        c->subscribe_slot = sd_bus_slot_unref(c->subscribe_slot);
        return sd_bus_call_method_async(c->bus, &c->subscribe_slot, SYSTEMD_NAME, SYSTEMD_PATH,
                        SYSTEMD_MANAGER, "Subscribe", on_subscribed, c, NULL);
}

static int on_owner_changed(sd_bus_message *m, void *userdata, _unused_ sd_bus_error *reterr) {
        UnitClient *c = userdata;
        const char *name, *old_owner, *new_owner;
        int r;

        r = sd_bus_message_read(m, "sss", &name, &old_owner, &new_owner);
        if (r < 0 || isempty(new_owner))
                return 0;

        r = unit_client_subscribe(c);
        if (r < 0)
                log_debug_errno(r, "Failed to subscribe to systemd again, ignoring: %m");
        if (c->reset)
                c->reset(c->userdata);
        return 0;
}

int unit_client_new(sd_bus *bus, unit_removed_handler_t removed, unit_reset_handler_t reset, void *userdata,
                UnitClient **ret) {
        _cleanup_(unit_client_freep) UnitClient *c = NULL;
        int r;

        c = new0(UnitClient, 1);
        if (!c)
                return -ENOMEM;
        *c = (UnitClient) {
                .bus = sd_bus_ref(bus),
                .removed = removed,
                .reset = reset,
                .userdata = userdata,
        };

        r = sd_bus_match_signal_async(bus, &c->job_removed_slot, SYSTEMD_NAME, SYSTEMD_PATH, SYSTEMD_MANAGER,
                        "JobRemoved", on_job_removed, NULL, c);
        if (r < 0)
                return r;
        r = sd_bus_match_signal_async(bus, &c->unit_removed_slot, SYSTEMD_NAME, SYSTEMD_PATH,
                        SYSTEMD_MANAGER, "UnitRemoved", on_unit_removed, NULL, c);
        if (r < 0)
                return r;
        r = sd_bus_add_match_async(bus, &c->owner_slot,
                        "type='signal',sender='org.freedesktop.DBus',path='/org/freedesktop/DBus',"
                        "interface='org.freedesktop.DBus',member='NameOwnerChanged',arg0='" SYSTEMD_NAME "'",
                        on_owner_changed, NULL, c);
        if (r < 0)
                return r;

        r = unit_client_subscribe(c);
        if (r < 0)
                return r;

        *ret = TAKE_PTR(c);
        return 0;
}

static UnitList *unit_list_free(UnitList *l) {
        if (!l)
                return NULL;

        for (UnitList **i = &l->client->lists; *i; i = &(*i)->next)
                if (*i == l) {
                        *i = l->next;
                        break;
                }

        sd_bus_slot_unref(l->slot);
        free(l->pattern);
        return mfree(l);
}

UnitClient *unit_client_free(UnitClient *c) {
        if (!c)
                return NULL;

        while (c->requests)
                unit_request_free(c->requests);
        while (c->lists)
                unit_list_free(c->lists);
        sd_bus_slot_unref(c->job_removed_slot);
        sd_bus_slot_unref(c->unit_removed_slot);
        sd_event_source_unref(c->deadline_source);
        sd_bus_slot_unref(c->owner_slot);
        sd_bus_slot_unref(c->subscribe_slot);
        sd_bus_unref(c->bus);
        return mfree(c);
}

static int read_unit_names(sd_bus_message *m, char ***ret) {
        _cleanup_strv_free_ char **units = NULL;
        const char *name, *active;
        int r;

        units = new0(char *, 1);
        if (!units)
                return -ENOMEM;

        r = sd_bus_message_enter_container(m, 'a', "(ssssssouso)");
        if (r < 0)
                return r;

        while ((r = sd_bus_message_read(m, "(ssssssouso)", &name, NULL, NULL, &active, NULL, NULL, NULL,
                                NULL, NULL, NULL)) > 0) {
                /* A unit that has ended may be listed until it is collected. */
                if (streq(active, "inactive") || streq(active, "failed"))
                        continue;
                r = strv_extend(&units, name);
                if (r < 0)
                        return r;
        }
        if (r < 0)
                return r;

        *ret = TAKE_PTR(units);
        return 0;
}

static int on_list_reply(sd_bus_message *m, void *userdata, _unused_ sd_bus_error *reterr) {
        UnitList *l = userdata;
        unit_list_handler_t handler = l->handler;
        _cleanup_strv_free_ char **units = NULL;
        _cleanup_error_ Error e = {};
        void *handler_userdata = l->userdata;
        int r;

        unit_list_free(l);
        if (sd_bus_message_is_method_error(m, NULL) > 0)
                (void) error_setf(&e, CCP_ERROR_INTERNAL, "systemd did not list its units: %s",
                                sd_bus_message_get_error(m)->message);
        else {
                r = read_unit_names(m, &units);
                if (r < 0)
                        (void) error_set_errnof(&e, r, "Cannot read systemd's list of units: %m");
        }

        handler(units, error_is_set(&e) ? &e : NULL, handler_userdata);
        return 0;
}

/* Sends it; what is asked for by the same name takes the place of what was asked for before. */
static int unit_list_send(
                UnitClient *c, const UnitList *what, sd_bus_message *m, sd_bus_message_handler_t on_reply) {
        UnitList *l;
        int r;

        for (l = c->lists; l && !streq(l->pattern, what->pattern);)
                l = l->next;
        unit_list_free(l);

        l = new0(UnitList, 1);
        if (!l)
                return -ENOMEM;
        *l = *what;
        l->client = c;
        l->next = c->lists;
        l->pattern = strdup(what->pattern);
        c->lists = l;
        r = l->pattern ? sd_bus_call_async(c->bus, &l->slot, m, on_reply, l, 0) : -ENOMEM;
        if (r < 0)
                unit_list_free(l);
        return r;
}

int unit_client_list(UnitClient *c, const char *pattern, unit_list_handler_t handler, void *userdata) {
        const UnitList what = { .pattern = (char *) pattern, .handler = handler, .userdata = userdata };
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        int r;

        r = sd_bus_message_new_method_call(
                        c->bus, &m, SYSTEMD_NAME, SYSTEMD_PATH, SYSTEMD_MANAGER, "ListUnitsByPatterns");
        if (r < 0)
                return r;
        r = sd_bus_message_append(m, "asas", 0, 1, pattern);
        if (r < 0)
                return r;

        return unit_list_send(c, &what, m, on_list_reply);
}

static int on_timer_reply(sd_bus_message *m, void *userdata, _unused_ sd_bus_error *reterr) {
        UnitList *l = userdata;
        unit_timer_handler_t handler = l->timer_handler;
        _cleanup_free_ char *unit = TAKE_PTR(l->pattern);
        void *handler_userdata = l->userdata;
        uint64_t next = 0;

        unit_list_free(l);
        if (sd_bus_message_is_method_error(m, NULL) > 0)
                log_debug("systemd does not say when '%s' elapses: %s", unit,
                                sd_bus_message_get_error(m)->message);
        else if (sd_bus_message_read(m, "v", "t", &next) < 0)
                next = 0;

        handler(unit, next, handler_userdata);
        return 0;
}

int unit_client_read_timer(UnitClient *c, const char *unit, unit_timer_handler_t handler, void *userdata) {
        const UnitList what = { .pattern = (char *) unit, .timer_handler = handler, .userdata = userdata };
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        _cleanup_free_ char *path = NULL;
        int r;

        r = sd_bus_path_encode(SYSTEMD_PATH "/unit", unit, &path);
        if (r >= 0)
                r = sd_bus_message_new_method_call(
                                c->bus, &m, SYSTEMD_NAME, path, "org.freedesktop.DBus.Properties", "Get");
        if (r >= 0)
                r = sd_bus_message_append(
                                m, "ss", "org.freedesktop.systemd1.Timer", "NextElapseUSecRealtime");
        return r < 0 ? r : unit_list_send(c, &what, m, on_timer_reply);
}
