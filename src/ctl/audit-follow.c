/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "audit-follow.h"

#include <errno.h>
#include <systemd/sd-event.h>

#include "alloc-util.h"
#include "string-util.h"

/* How often a ccpd or a store that is not there yet is asked again; and how long a ccpd that came back may
 * refuse, because it has to read its records first. */
#define RETRY (USEC_PER_SEC)
#define LOAD_MAX (30 * USEC_PER_SEC)

#define MATCH_APPENDED                                                                                      \
        "type='signal',sender='" CCP_BUS_NAME "',path='" CCP_BUS_PATH "',interface='" CCP_INTERFACE_MANAGER \
        "',member='AuditAppended'"

typedef struct AuditFollow {
        Ctl *ctl;
        const AuditFilter *filter;
        int (*show)(Ctl *c, const json_t *rows);

        sd_event *event;
        sd_bus_slot *appended, *owner;
        sd_event_source *retry, *defer;
        char *peer;         /* the ccpd that sends us signals; NULL: an older one */
        bool subscribed;    /* with the ccpd that has the name now */
        bool lost;          /* it was said that something is away */
        usec_t back_since;  /* monotonic, when ccpd came back; 0: it was never away */
        uint64_t last;      /* the newest entry that was shown */
        uint64_t announced; /* the newest one that we know of */
        int result;
        Error error;
} AuditFollow;

static void audit_follow_done(AuditFollow *w) {
        sd_event_source_disable_unref(w->retry);
        sd_event_source_disable_unref(w->defer);
        sd_bus_slot_unref(w->appended);
        sd_bus_slot_unref(w->owner);
        if (w->event)
                (void) sd_bus_detach_event(w->ctl->bus);
        sd_event_unref(w->event);
        free(w->peer);
        error_done(&w->error);
}

static void follow_end(AuditFollow *w, int r) {
        w->result = r;
        (void) sd_event_exit(w->event, 0);
}

static void follow_lost(AuditFollow *w, const char *what) {
        if (w->lost)
                return;

        w->lost = true;
        if (!arguments_have(&w->ctl->arguments, OPTION(QUIET)))
                (void) fprintf(stderr, "%s; waiting for it to come back.\n", what);
}

static int follow_subscribe(AuditFollow *w, Error *reterr) {
        int r;

        if (w->subscribed)
                return 0;

        w->peer = mfree(w->peer);
        r = ctl_subscribe(w->ctl, &w->peer, reterr);
        if (r < 0)
                return r;

        /* What was appended meanwhile nobody told us. */
        w->subscribed = true;
        w->announced = UINT64_MAX;
        return 0;
}

/* Shows what is new. */
static int follow_catch_up(AuditFollow *w, Error *reterr) {
        int r;

        r = follow_subscribe(w, reterr);
        if (r < 0)
                return r;

        while (w->last < w->announced) {
                _cleanup_json_ json_t *rows = NULL;

                r = audit_query_after(w->ctl, w->filter, w->last, &rows, reterr);
                if (r < 0)
                        return r;
                w->lost = false;
                if (json_array_size(rows) == 0)
                        break;

                w->last = audit_seq(json_array_get(rows, json_array_size(rows) - 1));
                r = w->show(w->ctl, rows);
                if (r < 0)
                        return r;
        }

        /* Not everything that is announced matches the filter. */
        w->announced = w->last;
        return 0;
}

static void follow_retry_later(AuditFollow *w);

static void follow_go_on(AuditFollow *w) {
        _cleanup_error_ Error error = {};
        int r;

        r = follow_catch_up(w, &error);
        if (r >= 0)
                return;

        if (sd_bus_is_open(w->ctl->bus) > 0) {
                /* Whether ccpd came back the bus tells us; whether PostgreSQL did, nobody. */
                if (error_is_away(error.name)) {
                        follow_lost(w, "ccpd has stopped");
                        return;
                }
                if (streq_ptr(error.name, CCP_ERROR_STORE_UNAVAILABLE)) {
                        follow_lost(w, "PostgreSQL is away");
                        follow_retry_later(w);
                        return;
                }
                if (error_is_set(&error) && w->back_since > 0 &&
                                now(CLOCK_MONOTONIC) < w->back_since + LOAD_MAX) {
                        follow_retry_later(w);
                        return;
                }
        }

        error_move(&w->error, &error);
        follow_end(w, r);
}

static int on_retry(_unused_ sd_event_source *s, _unused_ uint64_t usec, void *userdata) {
        follow_go_on(userdata);
        return 0;
}

static void follow_retry_later(AuditFollow *w) {
        int r;

        w->retry = sd_event_source_disable_unref(w->retry);
        r = sd_event_add_time_relative(w->event, &w->retry, CLOCK_MONOTONIC, RETRY, 0, on_retry, w);
        if (r < 0)
                follow_end(w, r);
}

static int on_defer(_unused_ sd_event_source *s, void *userdata) {
        follow_go_on(userdata);
        return 0;
}

static int on_appended(sd_bus_message *m, void *userdata, _unused_ sd_bus_error *reterr_error) {
        AuditFollow *w = userdata;
        uint64_t seq;
        int r;

        if (!signal_is_from(m, w->peer))
                return 0;
        r = sd_bus_message_read(m, "t", &seq);
        if (r < 0)
                return 0;

        /* One call for all that come at once. */
        w->announced = MAX(w->announced, seq);
        (void) sd_event_source_set_enabled(w->defer, SD_EVENT_ONESHOT);
        return 0;
}

static int on_owner(sd_bus_message *m, void *userdata, _unused_ sd_bus_error *reterr_error) {
        const char *name, *old_owner, *new_owner;
        AuditFollow *w = userdata;
        int r;

        r = sd_bus_message_read(m, "sss", &name, &old_owner, &new_owner);
        if (r < 0 || streq_ptr(w->peer, new_owner))
                return 0;

        w->subscribed = false;
        if (isempty(new_owner)) {
                follow_lost(w, "ccpd has stopped");
                return 0;
        }

        w->back_since = now(CLOCK_MONOTONIC);
        (void) sd_event_source_set_enabled(w->defer, SD_EVENT_ONESHOT);
        return 0;
}

static int follow_set_up(AuditFollow *w) {
        sd_bus *bus = w->ctl->bus;
        int r;

        r = sd_event_new(&w->event);
        if (r >= 0)
                r = sd_bus_attach_event(bus, w->event, SD_EVENT_PRIORITY_NORMAL);
        if (r >= 0)
                r = sd_bus_set_exit_on_disconnect(bus, true);
        if (r >= 0)
                r = sd_event_add_defer(w->event, &w->defer, on_defer, w);
        if (r >= 0)
                r = sd_event_source_set_priority(w->defer, SD_EVENT_PRIORITY_IDLE);
        if (r >= 0)
                r = sd_bus_add_match(bus, &w->appended, MATCH_APPENDED, on_appended, w);
        if (r >= 0)
                r = ctl_match_owner(w->ctl, &w->owner, on_owner, w);

        return r;
}

/* The newest entries, which are the beginning. */
static int follow_begin(AuditFollow *w, uint64_t max, Error *reterr) {
        _cleanup_json_ json_t *rows = NULL;
        size_t n;
        int r;

        r = follow_subscribe(w, reterr);
        if (r < 0)
                return r;
        r = audit_query_newest(w->ctl, w->filter, max, &rows, reterr);
        if (r < 0)
                return r;

        n = json_array_size(rows);
        if (n == 0)
                return 0;

        w->last = audit_seq(json_array_get(rows, n - 1));
        return w->show(w->ctl, rows);
}

int audit_follow(Ctl *c, const AuditFilter *f, uint64_t max, int (*show)(Ctl *c, const json_t *rows),
                Error *reterr) {
        _cleanup_(audit_follow_done) AuditFollow w = { .ctl = c, .filter = f, .show = show };
        int r;

        r = ctl_connect(c, reterr);
        if (r < 0)
                return r;
        r = follow_set_up(&w);
        if (r < 0)
                return error_from_bus(reterr, NULL, r);
        r = follow_begin(&w, max, reterr);
        if (r < 0)
                return r;

        r = sd_event_loop(w.event);
        if (r >= 0 && w.result >= 0)
                return error_from_bus(reterr, NULL, -ENOTCONN);
        if (error_is_set(&w.error))
                error_move(reterr, &w.error);
        return r < 0 ? r : w.result;
}
