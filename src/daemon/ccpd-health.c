/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "ccpd-health.h"

#include <inttypes.h>
#include <stdio.h>

#include "alloc-util.h"
#include "ccpd-health-bus.h"
#include "ccpd-manager.h"
#include "ccpd-reload.h"
#include "event-util.h"
#include "log.h"
#include "string-util.h"
#include "strv.h"

#define SWEEP_UNIT "ccp-health.service"
#define TIMER_PATTERN "ccp-health@*.timer"
#define TIMER_FORMAT "ccp-health@%us.timer"
#define TIMER_MAX sizeof("ccp-health@4294967295s.timer")

/* A sweep that begins later than it was asked for: the one that went on then, and that of a timer. */
#define CHECK_SWEEPS_MAX 3U
/* A sweep is expected to have looked at a new container by then, besides two intervals. */
#define SWEEP_SLACK_USEC (10 * USEC_PER_SEC)
/* After so long without a sweep that could look, besides three intervals, what sweeps have seen is not true any
 * more: one takes three minutes at most (ccp-health.service). */
#define SILENCE_SLACK_USEC (4 * USEC_PER_MINUTE)
/* Without records or Docker it is no wonder. */
#define SILENCE_RETRY_USEC USEC_PER_MINUTE

/* Somebody who waits for a sweep. */
typedef struct HealthCheck {
        struct HealthCheck *next;
        Operation *operation;
        char instance[STORE_ID_MAX];
        usec_t asked_at; /* monotonic */
        unsigned n_sweeps;
} HealthCheck;

struct Sweeps {
        Manager *manager;
        HealthCheck *checks;
        UnitRequest *request; /* the sweep that was started for them */
        DbSlot *checked_slot, *read_slot;
        bool reading, read_again;

        uint64_t number;  /* of the last sweep that is known */
        usec_t looked_at; /* when the last one that could look became known, or we began; monotonic */
        char *error;      /* why the last one could not; NULL: it could */
        bool silent;      /* that is too long ago */
        usec_t slack;     /* SILENCE_SLACK_USEC, but in tests */
        sd_event_source *silence_source;
};

/* --- the health of an instance --- */

static void free_probes(InstanceHealth *h) {
        FOREACH_ARRAY(p, h->probes, h->n_probes)
                health_probe_record_done(p);
        h->probes = mfree(h->probes);
        h->n_probes = 0;
}

void instance_health_done(InstanceHealth *h) {
        free_probes(h);
        free(h->reason);
        *h = (InstanceHealth) {};
}

const ProbeState *instance_find_probes(const Instance *i, const InstanceService *s, usec_t realtime) {
        FOREACH_ARRAY(p, i->health_state.probes, i->health_state.n_probes)
                if (streq(p->service, s->name))
                        return streq_ptr(p->container, s->container) &&
                                                        health_is_same_run(&s->observation,
                                                                        p->state.checked_at, realtime)
                                        ? &p->state
                                        : NULL;
        return NULL;
}

static bool is_probed(const Instance *i, const char *service) {
        const Blueprint *b = blueprint_cache_find(i->manager->blueprints, i->record->blueprint);
        const BlueprintService *s = b ? blueprint_find_service(b, service) : NULL;

        return s && health_is_probed(s);
}

bool instance_judge_service(
                const Instance *i, const InstanceService *s, usec_t realtime, HealthJudgement *ret) {
        static const ProbeState not_yet = { .verdict = PROBE_WAITING };
        usec_t interval = i->manager->settings->health_interval * USEC_PER_SEC, since = s->observation.since;
        const ProbeState *probes = NULL;
        bool expected = false;

        if (is_probed(i, s->name) && !i->manager->sweeps->silent) {
                probes = instance_find_probes(i, s, realtime);
                /* Where nobody is to look, a failure may long be over. */
                if (interval == 0 && probes && probes->verdict != PROBE_HEALTHY)
                        probes = NULL;
                else if (interval > 0 && !probes) {
                        expected = realtime < since || realtime - since < 2 * interval + SWEEP_SLACK_USEC;
                        probes = expected ? &not_yet : NULL;
                }
        }

        *ret = health_judge_probed(s->kind, &s->observation, probes, realtime);
        /* A healthcheck is told by an event, and so is what a sweep sees; the end of a time is not. */
        return ret->verdict == VERDICT_WAITING &&
                        (expected || (!probes && s->observation.health == CONTAINER_HEALTH_NONE));
}

bool instance_is_out_of_sight(const Instance *i) {
        if (!i->manager->sweeps->silent)
                return false;

        FOREACH_ARRAY(s, i->services, i->n_services)
                if (is_probed(i, s->name) && !strv_contains(i->record->stopped_services, s->name))
                        return true;
        return false;
}

void instance_set_health(Instance *i, Health health, const HealthVerdict *blame) {
        InstanceHealth *h = &i->health_state;
        _cleanup_free_ char *reason = NULL;

        if (blame &&
                        asprintf(&reason, blame->service ? "%s: %s" : "%s%s", strempty(blame->service),
                                        blame->reason) < 0) {
                reason = NULL;
                log_oom();
        }
        if (health == i->health && streq_ptr(reason, h->reason))
                return;

        if (health != i->health) {
                i->health = health;
                h->since = now(CLOCK_REALTIME);
                h->since_is_known = i->listed;
        }
        free(h->reason);
        h->reason = TAKE_PTR(reason);
        instance_set_changed(i);
}

usec_t instance_health_since(const Instance *i) {
        const InstanceHealth *h = &i->health_state;

        return !h->since_is_known && h->recorded == i->health && h->recorded_since > 0 ? h->recorded_since
                                                                                       : h->since;
}

/* --- whether anybody looks --- */

static void sweeps_set_silence_timer(Sweeps *s, usec_t at);

static void sweeps_set_silent(Sweeps *s, bool silent) {
        if (s->silent == silent)
                return;

        s->silent = silent;
        if (silent)
                log_warning("No sweep has looked at the instances for %s, their probes are not known%s%s "
                            "See: systemctl status " SWEEP_UNIT,
                                FORMAT_TIMESPAN(now(CLOCK_MONOTONIC) - s->looked_at), s->error ? ": " : ".",
                                strempty(s->error));
        else
                log_notice("Sweeps look at the instances again.");
        manager_update_health(s->manager);
        alerts_note_host(s->manager);
}

static int on_silence(_unused_ sd_event_source *source, _unused_ uint64_t usec, void *userdata) {
        Sweeps *s = userdata;

        /* What is away is told by itself, and back again with it. */
        if (db_is_available(s->manager->db) && s->manager->engine_state == ENGINE_AVAILABLE)
                sweeps_set_silent(s, true);
        else
                sweeps_set_silence_timer(s, now(CLOCK_MONOTONIC) + SILENCE_RETRY_USEC);
        return 0;
}

static void sweeps_set_silence_timer(Sweeps *s, usec_t at) {
        int r;

        r = event_reset_time(s->manager->event, &s->silence_source, at, USEC_PER_SEC, on_silence, s);
        if (r < 0)
                log_warning_errno(r, "Failed to set a timer for sweeps that do not come: %m");
}

/* Counts from the last one that could look, or from when they began to be wanted. */
static void sweeps_expect(Sweeps *s) {
        usec_t interval = s->manager->settings->health_interval * USEC_PER_SEC;

        if (interval == 0)
                sweeps_set_silent(s, false);
        if (interval == 0 || s->silent)
                sweeps_set_silence_timer(s, USEC_INFINITY);
        else
                sweeps_set_silence_timer(s, s->looked_at + 3 * interval + s->slack);
}

static void sweeps_note(Sweeps *s, const HealthSweepRecord *sweep) {
        if (sweep->number <= s->number)
                return;

        if (s->number > 0 || !sweep->error_name) {
                if (free_and_strdup(&s->error, sweep->error_message) < 0)
                        s->error = mfree(s->error);
                if (!sweep->error_name) {
                        s->looked_at = now(CLOCK_MONOTONIC);
                        sweeps_set_silent(s, false);
                }
        }
        s->number = sweep->number;
        sweeps_expect(s);
}

int sweeps_check_silence(const Sweeps *s, char **ret) {
        if (!s->silent || !ret)
                return s->silent;

        if (asprintf(ret, "No sweep has looked at the instances for %s%s%s",
                            FORMAT_TIMESPAN(now(CLOCK_MONOTONIC) - s->looked_at), s->error ? ": " : ".",
                            strempty(s->error)) < 0)
                return -ENOMEM;
        return 1;
}

/* --- what sweeps have seen --- */

/* Those of one instance come one after the other. Returns where the next one's begin. */
static size_t take_probes_of_one(Manager *m, HealthProbeRecords *l, size_t begin) {
        Instance *i = instance_find_by_id(m, l->items[begin].instance);
        HealthProbeRecord *copy;
        size_t end = begin + 1;

        while (end < l->n && streq(l->items[end].instance, l->items[begin].instance))
                end++;
        if (!i)
                return end;

        copy = new0(HealthProbeRecord, end - begin);
        if (!copy) {
                log_oom();
                return end;
        }
        memcpy(copy, l->items + begin, (end - begin) * sizeof(*copy));
        memset(l->items + begin, 0, (end - begin) * sizeof(*copy));
        i->health_state.probes = copy;
        i->health_state.n_probes = end - begin;
        return end;
}

void sweeps_take_states(Sweeps *s, HealthStates *states) {
        Manager *m = s->manager;

        for (Instance *i = m->instances; i; i = i->hh.next)
                free_probes(&i->health_state);
        for (size_t k = 0; k < states->probes.n;)
                k = take_probes_of_one(m, &states->probes, k);

        FOREACH_ARRAY(c, states->currents, states->n_currents) {
                Instance *i = instance_find_by_id(m, c->instance);

                if (!i)
                        continue;
                i->health_state.checked_at = c->checked_at;
                i->health_state.recorded = c->health;
                i->health_state.recorded_since = c->since;
        }
        sweeps_note(s, &states->sweep);
        manager_update_health(m);
}

static void on_states_read(int r, HealthStates *states, Error *error, void *userdata) {
        Sweeps *s = userdata;

        s->reading = false;
        s->read_slot = db_slot_unref(s->read_slot);
        if (r < 0)
                log_debug("Failed to read what the sweep has seen, the next one is read: %s",
                                error->message);
        else
                sweeps_take_states(s, states);

        if (s->read_again) {
                s->read_again = false;
                sweeps_read(s);
        }
}

void sweeps_read(Sweeps *s) {
        _cleanup_error_ Error e = {};

        /* What is being read may be older. */
        if (s->reading) {
                s->read_again = true;
                return;
        }

        if (store_load_health(s->manager->db, NULL, on_states_read, s, &s->read_slot, &e) < 0)
                log_debug("Failed to read what the sweep has seen, the next one is read: %s", e.message);
        else
                s->reading = true;
}

/* --- the timer --- */

/* Reading all records again comes by here once more. */
static void on_timer_changed(const Error *error, void *userdata) {
        Sweeps *s = userdata;

        if (!error)
                return;
        (void) log_full(unit_error_level(error), 0,
                        "Cannot change the timer of the sweeps, trying again later: %s", error->message);
        manager_resync_later(s->manager);
}

static void on_timers_listed(char *const *units, const Error *error, void *userdata) {
        Sweeps *s = userdata;
        Manager *m = s->manager;
        char wanted[TIMER_MAX] = "";
        int r = 0;

        if (error) {
                log_debug("Cannot tell which timer of the sweeps runs, asking again later: %s",
                                error->message);
                manager_resync_later(m);
                return;
        }

        if (m->settings->health_interval > 0)
                (void) snprintf(wanted, sizeof(wanted), TIMER_FORMAT, m->settings->health_interval);
        STRV_FOREACH(unit, units)
                if (!streq(*unit, wanted) && r >= 0)
                        r = unit_client_stop(m->units, *unit, on_timer_changed, s, NULL);
        if (wanted[0] && !strv_contains(units, wanted) && r >= 0)
                r = unit_client_start(m->units, wanted, on_timer_changed, s, NULL);
        if (r < 0)
                log_warning_errno(r, "Failed to change the timer of the sweeps: %m");
}

void sweeps_update_timer(Sweeps *s) {
        int r;

        sweeps_expect(s);

        r = unit_client_list(s->manager->units, TIMER_PATTERN, on_timers_listed, s);
        if (r < 0)
                log_warning_errno(r, "Failed to ask systemd for the timer of the sweeps: %m");
}

/* --- a sweep on demand --- */

static void sweeps_start(Sweeps *s);

static void check_end(Sweeps *s, HealthCheck **at, const Error *error) {
        HealthCheck *c = *at;
        Instance *i = instance_find_by_id(s->manager, c->instance);
        _cleanup_error_ Error e = {};

        *at = c->next;
        if (!error && !i) {
                (void) error_setf(&e, CCP_ERROR_NO_SUCH_INSTANCE,
                                "The instance was deleted while it was looked at.");
                error = &e;
        }
        if (error)
                operation_fail(c->operation, error);
        else
                health_reply_check(i, c->operation);
        free(c);
}

static void fail_checks(Sweeps *s, const Error *error) {
        while (s->checks)
                check_end(s, &s->checks, error);
}

/* A sweep that had begun before somebody asked tells him nothing. */
static void on_checked(int r, HealthStates *states, Error *error, void *userdata) {
        Sweeps *s = userdata;
        HealthSweepRecord sweep;

        s->checked_slot = db_slot_unref(s->checked_slot);
        if (r < 0) {
                fail_checks(s, error);
                return;
        }

        sweeps_take_states(s, states);
        sweep = states->sweep;
        for (HealthCheck **at = &s->checks; *at;) {
                _cleanup_error_ Error e = {};

                if (sweep.number > 0 && sweep.began_monotonic >= (*at)->asked_at) {
                        if (sweep.error_name)
                                (void) error_setf(&e, error_name_intern(sweep.error_name), "%s",
                                                strempty(sweep.error_message));
                } else if (++(*at)->n_sweeps >= CHECK_SWEEPS_MAX)
                        (void) error_setf(&e, CCP_ERROR_BUSY,
                                        "No sweep could be run now. See: journalctl -u " SWEEP_UNIT);
                else {
                        at = &(*at)->next;
                        continue;
                }
                check_end(s, at, error_is_set(&e) ? &e : NULL);
        }

        sweeps_start(s);
}

static void on_sweep_ended(const Error *error, void *userdata) {
        Sweeps *s = userdata;
        _cleanup_error_ Error e = {};

        s->request = NULL;
        if (error)
                fail_checks(s, error);
        else if (store_load_health(s->manager->db, NULL, on_checked, s, &s->checked_slot, &e) < 0)
                fail_checks(s, &e);
}

static void sweeps_start(Sweeps *s) {
        _cleanup_error_ Error e = {};
        int r;

        if (!s->checks || s->request || s->checked_slot)
                return;

        r = unit_client_start(s->manager->units, SWEEP_UNIT, on_sweep_ended, s, &s->request);
        if (r < 0) {
                (void) error_set_errnof(&e, r, "Cannot start a sweep: %m");
                fail_checks(s, &e);
        }
}

void sweeps_check(Sweeps *s, const Instance *i, Operation *o) {
        HealthCheck *c, **tail;

        c = new0(HealthCheck, 1);
        if (!c) {
                operation_free(o);
                return;
        }

        *c = (HealthCheck) { .operation = o, .asked_at = now(CLOCK_MONOTONIC) };
        memcpy(c->instance, i->record->id, sizeof(c->instance));
        for (tail = &s->checks; *tail;)
                tail = &(*tail)->next;
        *tail = c;
        sweeps_start(s);
}

/* --- */

Sweeps *sweeps_new(Manager *m) {
        Sweeps *s;

        s = new0(Sweeps, 1);
        if (s)
                *s = (Sweeps) {
                        .manager = m,
                        .looked_at = now(CLOCK_MONOTONIC),
                        .slack = secure_getenv("CCP_SWEEP_NO_SLACK") ? 0 : SILENCE_SLACK_USEC,
                };
        return s;
}

Sweeps *sweeps_free(Sweeps *s) {
        if (!s)
                return NULL;

        /* The operations are the manager's. */
        for (HealthCheck *c = s->checks, *next; c; c = next) {
                next = c->next;
                free(c);
        }
        unit_request_free(s->request);
        db_slot_unref(s->checked_slot);
        db_slot_unref(s->read_slot);
        sd_event_source_unref(s->silence_source);
        free(s->error);
        return mfree(s);
}
