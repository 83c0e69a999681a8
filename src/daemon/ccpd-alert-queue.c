/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "ccpd-alert-queue.h"

#include "alloc-util.h"
#include "ccpd-manager.h"
#include "event-util.h"
#include "log.h"
#include "string-util.h"

/* A worker is started again after at least so long; after longer if systemd could not, or the more often it did nothing:
 * its key is not there, the records are of another version. */
#define START_INTERVAL_USEC (2 * USEC_PER_SEC)
#define START_RETRY_USEC USEC_PER_MINUTE
/* The queue is read again if that failed. */
#define LOOK_RETRY_USEC (10 * USEC_PER_SEC)
#define ACCURACY_USEC (100 * USEC_PER_MSEC)

typedef struct AlertWorker {
        AlertQueue *queue;
        const char *unit;
        bool active;
        bool ended;             /* while it was still being started */
        bool idle;              /* since its start nothing was tried */
        uint64_t n_attempts;    /* by the queue, when it was read last */
        usec_t due, not_before; /* monotonic; due USEC_INFINITY: nothing is */
        usec_t wait;            /* after an end without an attempt */
        UnitRequest *request;
} AlertWorker;

struct AlertQueue {
        Manager *manager;
        AlertWorker workers[_ALERT_CHANNEL_MAX];
        usec_t look_at; /* monotonic */
        DbSlot *slot;
        sd_event_source *time_source;
};

static void queue_set_timer(AlertQueue *q);

static void on_worker_started(const Error *error, void *userdata) {
        AlertWorker *w = userdata;
        usec_t monotonic = now(CLOCK_MONOTONIC);

        w->request = NULL;
        if (error) {
                (void) log_full(unit_error_level(error), 0,
                                "Alerts cannot be delivered now, trying again later: %s", error->message);
                w->active = w->idle = false;
                w->due = w->not_before = monotonic + START_RETRY_USEC;
        } else if (w->ended) {
                /* PID 1 forgets a unit also while it asks polkit whether we may start it: whether this one has ended
                 * already, its queue tells in a while. */
                w->active = false;
                w->queue->look_at = monotonic + START_INTERVAL_USEC;
        }
        queue_set_timer(w->queue);
}

static void worker_start(AlertWorker *w) {
        _cleanup_error_ Error e = {};
        int r;

        w->active = w->idle = true;
        w->ended = false;
        w->due = USEC_INFINITY;
        w->not_before = now(CLOCK_MONOTONIC) + START_INTERVAL_USEC;
        r = unit_client_start(w->queue->manager->units, w->unit, on_worker_started, w, &w->request);
        if (r >= 0)
                return;

        (void) error_set_errnof(&e, r, "Cannot ask systemd to start '%s': %m", w->unit);
        on_worker_started(&e, w);
}

static int on_time(_unused_ sd_event_source *s, _unused_ uint64_t usec, void *userdata) {
        AlertQueue *q = userdata;
        usec_t monotonic = now(CLOCK_MONOTONIC);

        if (!db_is_available(q->manager->db))
                return 0;

        if (q->look_at <= monotonic)
                alert_queue_look(q, /* hurry= */ false);
        FOREACH_ARRAY(w, q->workers, ELEMENTSOF(q->workers))
                if (!w->active && w->due != USEC_INFINITY && MAX(w->due, w->not_before) <= monotonic)
                        worker_start(w);
        queue_set_timer(q);
        return 0;
}

static void queue_set_timer(AlertQueue *q) {
        usec_t at = q->look_at;
        int r;

        FOREACH_ARRAY(w, q->workers, ELEMENTSOF(q->workers))
                if (!w->active && w->due != USEC_INFINITY)
                        at = MIN(at, MAX(w->due, w->not_before));

        r = event_reset_time(q->manager->event, &q->time_source, at, ACCURACY_USEC, on_time, q);
        if (r < 0)
                log_warning_errno(r, "Failed to set a timer for the delivery of alerts: %m");
}

static void worker_note_due(AlertWorker *w, usec_t in, uint64_t n_attempts) {
        usec_t monotonic = now(CLOCK_MONOTONIC);

        w->due = in == USEC_INFINITY ? USEC_INFINITY : monotonic + in;
        if (in == USEC_INFINITY || n_attempts != w->n_attempts) {
                w->idle = false;
                w->wait = START_INTERVAL_USEC;
        } else if (w->idle && !w->active && in == 0) {
                w->idle = false;
                w->not_before = monotonic + w->wait;
                w->wait = MIN(2 * w->wait, START_RETRY_USEC);
        }
        w->n_attempts = n_attempts;
}

static void queue_look_later(AlertQueue *q, const Error *error) {
        log_debug("Failed to read the queue of alerts, trying again later: %s", error->message);
        q->look_at = now(CLOCK_MONOTONIC) + LOOK_RETRY_USEC;
        queue_set_timer(q);
}

static void on_due(int r, const StoreQueueDue *due, Error *error, void *userdata) {
        AlertQueue *q = userdata;

        q->slot = db_slot_unref(q->slot);
        if (r < 0) {
                queue_look_later(q, error);
                return;
        }

        for (AlertChannel c = 0; c < _ALERT_CHANNEL_MAX; c++)
                worker_note_due(q->workers + c, due->in[c], due->n_attempts[c]);
        queue_set_timer(q);
}

void alert_queue_look(AlertQueue *q, bool hurry) {
        _cleanup_error_ Error e = {};
        int r;

        if (!db_is_available(q->manager->db))
                return;

        q->look_at = USEC_INFINITY;
        q->slot = db_slot_unref(q->slot);
        r = store_alert_queue_due(q->manager->db, hurry, on_due, q, &q->slot, &e);
        if (r < 0)
                queue_look_later(q, &e);
}

void alert_queue_look_anew(AlertQueue *q) {
        FOREACH_ARRAY(w, q->workers, ELEMENTSOF(q->workers))
                w->active = w->request;
        alert_queue_look(q, /* hurry= */ false);
}

void alert_queue_note_unit(AlertQueue *q, const char *unit) {
        bool found = false;

        FOREACH_ARRAY(w, q->workers, ELEMENTSOF(q->workers)) {
                if (!w->active || (unit && !streq(w->unit, unit)))
                        continue;
                if (w->request)
                        w->ended = true;
                else {
                        w->active = false;
                        found = true;
                }
        }
        if (found)
                alert_queue_look(q, /* hurry= */ false);
}

int alert_queue_new(Manager *m, AlertQueue **ret) {
        static const char *const units[_ALERT_CHANNEL_MAX] = {
                [ALERT_WEBHOOK] = "ccp-alert-webhook.service",
                [ALERT_MAIL] = "ccp-alert-mail.service",
        };
        AlertQueue *q;

        q = new0(AlertQueue, 1);
        if (!q)
                return -ENOMEM;

        *q = (AlertQueue) { .manager = m, .look_at = USEC_INFINITY };
        for (AlertChannel c = 0; c < _ALERT_CHANNEL_MAX; c++)
                q->workers[c] = (AlertWorker) {
                        .queue = q,
                        .unit = units[c],
                        .due = USEC_INFINITY,
                        .wait = START_INTERVAL_USEC,
                };
        *ret = q;
        return 0;
}

AlertQueue *alert_queue_free(AlertQueue *q) {
        if (!q)
                return NULL;

        FOREACH_ARRAY(w, q->workers, ELEMENTSOF(q->workers))
                if (w->request)
                        unit_request_free(w->request);
        db_slot_unref(q->slot);
        sd_event_source_unref(q->time_source);
        return mfree(q);
}
