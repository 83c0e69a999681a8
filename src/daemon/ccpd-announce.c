/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "ccpd-announce.h"

#include <inttypes.h>
#include <stdio.h>

#include "alloc-util.h"
#include "bus-signal.h"
#include "ccpd-access.h"
#include "ccpd-instance-bus.h"
#include "ccpd-job-bus.h"
#include "ccpd-manager-bus.h"
#include "event-util.h"
#include "log.h"

static void note_sent(int r, const Caller *c, const char *path) {
        if (r < 0)
                log_debug_errno(r, "Failed to tell %s of '%s', ignoring: %m", c->name, path);
}

/* What differs from what was told of an object before. Where that can't be found out, everything does. */
static uint64_t find_changed(Manager *m, BusTold *told, const BusInterface *o) {
        uint64_t changed = UINT64_MAX;
        int r;

        r = bus_told_update(told, m->bus, o, &changed);
        if (r < 0)
                log_debug_errno(r, "Failed to find out what changed of '%s', telling all: %m", o->path);
        return changed;
}

/* The getters look at the receiver. */
static void tell_added(Manager *m, Caller *c, const BusInterface *o) {
        m->receiver = c;
        note_sent(bus_send_interfaces_added(m->bus, c->name, CCP_BUS_PATH, o), c, o->path);
        m->receiver = NULL;
}

static void tell_changed(Manager *m, Caller *c, const BusInterface *o, uint64_t changed) {
        m->receiver = c;
        note_sent(bus_send_properties_changed(m->bus, c->name, o, changed), c, o->path);
        m->receiver = NULL;
}

static BusInterface manager_interface(Manager *m) {
        return (BusInterface) { CCP_BUS_PATH, CCP_INTERFACE_MANAGER, manager_vtable, m };
}

/* Its counts differ by who looks; whoever is told of one that he can't see changing learns of what he may not. */
static uint64_t find_manager_changed(Manager *m, Caller *c) {
        const BusInterface o = manager_interface(m);
        uint64_t changed;

        m->receiver = c;
        changed = find_changed(m, &c->told, &o);
        m->receiver = NULL;
        return changed;
}

void manager_begin_telling(Manager *m, Caller *c) {
        (void) find_manager_changed(m, c);
}

static void tell_manager(Manager *m, Caller *c) {
        const BusInterface o = manager_interface(m);
        uint64_t changed = find_manager_changed(m, c);

        if (changed != 0)
                tell_changed(m, c, &o, changed);
}

static void tell_removed(Manager *m, Caller *c, const char *path, const char *interface) {
        note_sent(bus_send_interfaces_removed(m->bus, c->name, CCP_BUS_PATH, path, interface), c, path);
}

void manager_tell_instance(Manager *m, Caller *c, Instance *i, bool appears) {
        _cleanup_free_ char *path = instance_path(i);

        if (!path)
                return;
        if (appears)
                tell_added(m, c, &(BusInterface) { path, CCP_INTERFACE_INSTANCE, instance_vtable, i });
        else
                tell_removed(m, c, path, CCP_INTERFACE_INSTANCE);
}

void manager_tell_job(Manager *m, Caller *c, Job *j, bool appears) {
        _cleanup_free_ char *path = job_path(j);

        if (!path)
                return;
        if (appears)
                tell_added(m, c, &(BusInterface) { path, CCP_INTERFACE_JOB, job_vtable, j });
        else
                tell_removed(m, c, path, CCP_INTERFACE_JOB);
}

static void tell_object(Manager *m, Caller *c, const BusInterface *o, bool is_new, uint64_t changed) {
        if (is_new)
                tell_added(m, c, o);
        else if (changed != 0)
                tell_changed(m, c, o, changed);
}

static void emit_instance(Manager *m, Instance *i) {
        _cleanup_free_ char *path = instance_path(i);
        const BusInterface o = { path, CCP_INTERFACE_INSTANCE, instance_vtable, i };
        bool is_new = !i->announced;
        uint64_t changed;

        i->announced = true;
        i->changed = false;
        i->told_at = now(CLOCK_MONOTONIC);
        if (!path)
                return;

        changed = find_changed(m, &i->told, &o);
        for (Caller *c = access_next_subscriber(m, NULL); c; c = access_next_subscriber(m, c))
                if (access_sees_instance(m, c, i))
                        tell_object(m, c, &o, is_new, changed);
}

/* JobNew, or with the state that it ended in JobRemoved. */
static void tell_job_signal(
                Manager *m, const Caller *c, const Job *j, const char *path, const char *result) {
        char id[DECIMAL_ID_MAX];
        int r;

        (void) snprintf(id, sizeof(id), "%" PRIu64, j->record->id);
        r = result ? bus_send_signal(m->bus, c->name, CCP_BUS_PATH, CCP_INTERFACE_MANAGER, "JobRemoved",
                                     "sos", id, path, result)
                   : bus_send_signal(m->bus, c->name, CCP_BUS_PATH, CCP_INTERFACE_MANAGER, "JobNew", "so",
                                     id, path);
        note_sent(r, c, path);
}

static void emit_job(Manager *m, Job *j) {
        _cleanup_free_ char *path = job_path(j);
        bool is_new = !j->announced, ended = job_state_is_final(j->record->state) && !j->removed_sent,
             begun = is_new && !job_state_is_final(j->record->state);
        const BusInterface o = { path, CCP_INTERFACE_JOB, job_vtable, j };
        uint64_t changed;

        j->announced = true;
        j->changed = false;
        if (ended) {
                /* Who hears of the end has heard what became of the instance. */
                Instance *i = instance_find_by_id(m, j->record->instance);

                if (i && i->changed)
                        emit_instance(m, i);
                j->removed_sent = true;
        }
        if (!path)
                return;

        changed = find_changed(m, &j->told, &o);
        for (Caller *c = access_next_subscriber(m, NULL); c; c = access_next_subscriber(m, c)) {
                if (!access_sees_job(m, c, j))
                        continue;

                tell_object(m, c, &o, is_new, changed);
                if (begun)
                        tell_job_signal(m, c, j, path, NULL);
                /* After the properties that say the same, so that who waits for it finds them. */
                if (ended)
                        tell_job_signal(m, c, j, path, job_state_to_string(j->record->state));
        }
}

static void emit_job_gone(Manager *m, Job *j) {
        for (Caller *c = access_next_subscriber(m, NULL); c; c = access_next_subscriber(m, c))
                if (access_sees_job(m, c, j))
                        manager_tell_job(m, c, j, /* appears= */ false);
}

/* The one that ended before all others; one that waited for its turn may have been made before others that are long over. */
static Job *find_first_ended(const Manager *m) {
        Job *first = NULL;

        for (Job *j = m->jobs; j; j = j->hh.next)
                if (job_state_is_final(j->record->state) && !j->unit_active && !j->changed &&
                                (!first || j->record->finished_at < first->record->finished_at))
                        first = j;

        return first;
}

/* History is read by ListJobs; only the latest stay as objects. Called from the loop alone: whoever else is at
 * work on a job, or walks over all of them, must not lose one under its hands. */
static void manager_expire_jobs(Manager *m) {
        unsigned n_final = 0;
        Job *j;

        for (j = m->jobs; j; j = j->hh.next)
                n_final += job_state_is_final(j->record->state) && !j->unit_active;

        for (; n_final > JOB_OBJECTS_MAX; n_final--) {
                j = find_first_ended(m);
                if (!j)
                        break;
                if (j->announced)
                        emit_job_gone(m, j);
                job_free(j);
        }
}

/* Whether what was announced at 'told_at' may be again; else *next is no later than when it may. */
static bool emit_is_due(usec_t told_at, usec_t monotonic, usec_t *next) {
        if (told_at == 0 || monotonic - told_at >= EMIT_INTERVAL_USEC)
                return true;

        *next = MIN(*next, told_at + EMIT_INTERVAL_USEC);
        return false;
}

/* Returns when the rest is to be announced (monotonic), USEC_INFINITY if there is none. */
static usec_t manager_emit(Manager *m, bool all) {
        usec_t monotonic = now(CLOCK_MONOTONIC), next = USEC_INFINITY;
        Instance *i;
        Job *j;

        if (!m->bus || sd_event_get_state(m->event) == SD_EVENT_EXITING)
                return USEC_INFINITY;

        for (i = m->instances; i; i = i->hh.next)
                if (i->changed && (all || emit_is_due(i->told_at, monotonic, &next)))
                        emit_instance(m, i);

        /* Workers themselves tell no more often than that how far they are. */
        for (j = m->jobs; j; j = j->hh.next)
                if (j->changed)
                        emit_job(m, j);

        if (m->changed && (all || emit_is_due(m->told_at, monotonic, &next))) {
                m->changed = false;
                m->told_at = monotonic;
                for (Caller *c = access_next_subscriber(m, NULL); c; c = access_next_subscriber(m, c))
                        tell_manager(m, c);
        }

        return next;
}

void manager_emit_changes(Manager *m) {
        (void) manager_emit(m, /* all= */ true);
}

static int on_later(_unused_ sd_event_source *s, _unused_ uint64_t usec, void *userdata) {
        manager_queue_emit(userdata);
        return 0;
}

/* 'at' is monotonic. */
static void manager_emit_at(Manager *m, usec_t at) {
        int r;

        r = event_reset_time(m->event, &m->later_source, at, USEC_PER_MSEC, on_later, m);
        if (r < 0)
                log_warning_errno(r, "Failed to set a timer for signals, ignoring: %m");
}

static void manager_emit_due(Manager *m) {
        usec_t next = manager_emit(m, /* all= */ false);

        if (next != USEC_INFINITY)
                manager_emit_at(m, next);
}

static int on_emit(_unused_ sd_event_source *s, void *userdata) {
        manager_emit_due(userdata);
        manager_expire_jobs(userdata);
        return 0;
}

void manager_queue_emit(Manager *m) {
        int r;

        recovery_queue(m->recovery);
        schedules_queue(m->schedules);
        if (!m->bus)
                return;

        if (m->emit_source)
                r = sd_event_source_set_enabled(m->emit_source, SD_EVENT_ONESHOT);
        else {
                r = sd_event_add_defer(m->event, &m->emit_source, on_emit, m);
                if (r >= 0)
                        r = sd_event_source_set_priority(m->emit_source, SD_EVENT_PRIORITY_IDLE + 5);
        }
        if (r < 0)
                log_warning_errno(r, "Failed to queue signals, ignoring: %m");
}
