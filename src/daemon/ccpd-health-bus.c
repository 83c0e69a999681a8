/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "ccpd-health-bus.h"

#include <errno.h>
#include <inttypes.h>

#include "alloc-util.h"
#include "bus-error.h"
#include "bus-options.h"
#include "ccpd-access.h"
#include "ccpd-manager.h"
#include "string-util.h"

#define PERIODS_MAX 1000U
#define STEP_MIN (10 * USEC_PER_SEC)
#define PERIOD_DEFAULT USEC_PER_DAY
/* Of the whole fleet at once. */
#define FLEET_PERIOD_MAX (100 * USEC_PER_DAY)

/* --- now --- */

static int append_service(sd_bus_message *reply, const Instance *i, const InstanceService *s) {
        usec_t realtime = now(CLOCK_REALTIME);
        /* What does not run any more is judged by that, not by how it answered before. */
        const ProbeState *probes = s->observation.state == CONTAINER_RUNNING
                        ? instance_find_probes(i, s, realtime)
                        : NULL;
        HealthJudgement j;
        bool healthy;

        (void) instance_judge_service(i, s, realtime, &j);
        healthy = j.verdict == VERDICT_HEALTHY;
        return sd_bus_message_append(reply, "a{sv}", 6, "Service", "s", s->name, "Kind", "s",
                        service_kind_to_string(s->kind), "Verdict", "s", verdict_to_string(j.verdict),
                        "Reason", "s", healthy ? "" : j.reason, "Latency", "t",
                        probes ? probes->latency : UINT64_C(0), "CheckedAt", "t",
                        probes ? probes->checked_at : UINT64_C(0));
}

static int append_check(sd_bus_message *reply, const Instance *i) {
        const InstanceHealth *h = &i->health_state;
        int r;

        r = sd_bus_message_open_container(reply, 'a', "{sv}");
        if (r < 0)
                return r;
        r = sd_bus_message_append(reply, "{sv}{sv}{sv}{sv}", "Health", "s", health_to_string(i->health),
                        "HealthReason", "s", strempty(h->reason), "HealthSince", "t",
                        instance_health_since(i), "CheckedAt", "t", h->checked_at);
        if (r < 0)
                return r;

        r = sd_bus_message_open_container(reply, 'e', "sv");
        if (r < 0)
                return r;
        r = sd_bus_message_append(reply, "s", "Services");
        if (r < 0)
                return r;
        r = sd_bus_message_open_container(reply, 'v', "aa{sv}");
        if (r < 0)
                return r;
        r = sd_bus_message_open_container(reply, 'a', "a{sv}");
        if (r < 0)
                return r;
        FOREACH_ARRAY(s, i->services, i->n_services) {
                r = append_service(reply, i, s);
                if (r < 0)
                        return r;
        }

        /* The array, the variant, the entry, the dictionary. */
        for (unsigned k = 0; k < 4; k++) {
                r = sd_bus_message_close_container(reply);
                if (r < 0)
                        return r;
        }
        return 0;
}

void health_reply_check(const Instance *i, Operation *o) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        _cleanup_error_ Error e = {};
        int r;

        r = sd_bus_message_new_method_return(operation_message(o), &reply);
        if (r >= 0)
                r = append_check(reply, i);
        if (r >= 0) {
                operation_reply_message(o, reply);
                return;
        }

        (void) error_set_errnof(&e, r, "Cannot tell how the instance is: %m");
        operation_fail(o, &e);
}

static int check_can_be_looked_at(const Instance *i, Error *reterr) {
        int r;

        r = manager_check_store(i->manager, reterr);
        if (r < 0)
                return r;
        if (i->job)
                return error_setf(reterr, CCP_ERROR_BUSY,
                                "Job %" PRIu64
                                " (%s) is at work on '%s', which is not looked at meanwhile. Wait "
                                "for it (ccpctl job follow %" PRIu64 ").",
                                i->job->record->id, job_kind_to_string(i->job->record->kind),
                                i->record->slug, i->job->record->id);
        if (i->record->state != INSTANCE_RUNNING)
                return error_setf(reterr, CCP_ERROR_WRONG_STATE, "'%s' is %s: there is nothing to look at.",
                                i->record->slug, instance_state_to_string(i->record->state));
        return 0;
}

int method_check_health(sd_bus_message *message, void *userdata, sd_bus_error *reterr) {
        _cleanup_error_ Error e = {};
        Instance *i = userdata;
        Operation *o;
        int r;

        r = bus_read_options(message, NULL, 0, NULL, &e);
        if (r >= 0)
                r = check_can_be_looked_at(i, &e);
        if (r < 0)
                return bus_error_move(reterr, &e);

        o = operation_new(i->manager, message);
        if (!o)
                return -ENOMEM;
        sweeps_check(i->manager->sweeps, i, o);
        return 1;
}

/* --- history --- */

static const BusOption query_options[] = {
        { "since", "t", offsetof(StoreHealthQuery, since) },
        { "until", "t", offsetof(StoreHealthQuery, until) },
        { "step", "t", offsetof(StoreHealthQuery, step) },
};

static uint64_t count_periods(const StoreHealthQuery *q) {
        return (q->until - q->since + q->step - 1) / q->step;
}

/* Fills in what was not given, and sees whether it can be answered. */
static int query_complete(StoreHealthQuery *q, const Settings *settings, Error *reterr) {
        usec_t n = now(CLOCK_REALTIME), samples = settings->health_samples_hours * USEC_PER_HOUR;

        q->until = q->until > 0 ? MIN(q->until, n) : n;
        q->since = q->since > 0 ? q->since : q->until - MIN(q->until, PERIOD_DEFAULT);
        if (q->since >= q->until)
                return error_setf(reterr, CCP_ERROR_INVALID_ARGUMENT,
                                "The period must begin before it ends, and before now.");
        if (q->step > 0 &&
                        (q->step < STEP_MIN || (q->step >= USEC_PER_HOUR && q->step % USEC_PER_HOUR != 0)))
                return error_setf(reterr, CCP_ERROR_INVALID_ARGUMENT,
                                "A step must be from ten seconds to less than an hour, or a number of whole "
                                "hours.");

        /* Samples tell more exactly, hours reach back further. */
        q->hours = q->step >= USEC_PER_HOUR || (q->step == 0 && n - q->since >= samples);
        if (!q->hours && n - q->since > samples)
                return error_setf(reterr, CCP_ERROR_INVALID_ARGUMENT,
                                "Of the time before the last %u hours only whole hours are kept. Ask for a "
                                "step of an hour or more, or set health_samples_hours.",
                                settings->health_samples_hours);
        if (q->hours)
                q->since -= q->since % USEC_PER_HOUR;
        if (q->step == 0)
                q->step = q->until - q->since;

        if (count_periods(q) > PERIODS_MAX)
                return error_setf(reterr, CCP_ERROR_LIMIT_EXCEEDED,
                                "That would be more than %u periods. Ask for a longer step, or less time.",
                                PERIODS_MAX);
        return 0;
}

static int append_counts(sd_bus_message *m, const HealthPeriod *p) {
        static const struct {
                const char *key;
                Health health;
        } counts[] = {
                { "Healthy", HEALTH_HEALTHY },
                { "Degraded", HEALTH_DEGRADED },
                { "Unhealthy", HEALTH_UNHEALTHY },
                { "Starting", HEALTH_STARTING },
                { "Unknown", HEALTH_UNKNOWN },
        };
        uint64_t n_known = 0, n_up = p->n[HEALTH_HEALTHY] + p->n[HEALTH_DEGRADED];
        int r;

        FOREACH_ARRAY(c, counts, ELEMENTSOF(counts)) {
                r = sd_bus_message_append(m, "{sv}", c->key, "t", p->n[c->health]);
                if (r < 0)
                        return r;
                n_known += c->health == HEALTH_UNKNOWN ? 0 : p->n[c->health];
        }

        /* Where nothing is known, it was neither up nor down. */
        return n_known > 0
                        ? sd_bus_message_append(m, "{sv}", "Uptime", "d", (double) n_up / (double) n_known)
                        : 0;
}

static int append_latencies(sd_bus_message *m, const LatencyHistogram *h) {
        static const struct {
                const char *key;
                unsigned percent;
        } percentiles[] = { { "P50", 50 }, { "P95", 95 }, { "P99", 99 } };
        int r;

        if (latency_count(h) == 0)
                return 0;

        FOREACH_ARRAY(p, percentiles, ELEMENTSOF(percentiles)) {
                r = sd_bus_message_append(m, "{sv}", p->key, "t", latency_percentile(h, p->percent));
                if (r < 0)
                        return r;
        }
        return 0;
}

/* slug NULL: the history of one instance, which the caller knows. */
static int append_period(
                sd_bus_message *m, const StoreHealthQuery *q, const HealthPeriod *p, const char *slug) {
        usec_t since = q->since + p->period * q->step;
        int r;

        r = sd_bus_message_open_container(m, 'a', "{sv}");
        if (r < 0)
                return r;
        if (slug) {
                r = sd_bus_message_append(m, "{sv}", "Slug", "s", slug);
                if (r < 0)
                        return r;
        }
        r = sd_bus_message_append(
                        m, "{sv}{sv}", "Since", "t", since, "Until", "t", MIN(since + q->step, q->until));
        if (r >= 0)
                r = append_counts(m, p);
        if (r >= 0)
                r = append_latencies(m, &p->latency);
        if (r < 0)
                return r;
        return sd_bus_message_close_container(m);
}

/* All periods in turn, those without samples too. */
static int append_history(sd_bus_message *m, const StoreHealthQuery *q, const HealthPeriods *periods) {
        size_t k = 0;
        int r;

        for (uint64_t n = 0; n < count_periods(q); n++) {
                const HealthPeriod none = { .period = n };
                bool found = k < periods->n && periods->items[k].period == n;

                r = append_period(m, q, found ? periods->items + k : &none, NULL);
                if (r < 0)
                        return r;
                k += found;
        }
        return 0;
}

static const HealthPeriod *find_period(const HealthPeriods *periods, const char *instance) {
        FOREACH_ARRAY(p, periods->items, periods->n)
                if (streq(p->instance, instance))
                        return p;

        return NULL;
}

static int append_fleet(sd_bus_message *m, const StoreHealthQuery *q, const HealthPeriods *periods,
                const Manager *manager) {
        int r;

        STRV_FOREACH(id, q->instances) {
                static const HealthPeriod none = {};
                const Instance *i = instance_find_by_id(manager, *id);
                const HealthPeriod *p = find_period(periods, *id);

                if (!i)
                        continue;
                r = append_period(m, q, p ?: &none, i->record->slug);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int build_reply(Operation *o, const StoreHealthQuery *q, const HealthPeriods *periods,
                sd_bus_message **ret) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        int r;

        r = sd_bus_message_new_method_return(operation_message(o), &reply);
        if (r < 0)
                return r;
        r = sd_bus_message_open_container(reply, 'a', "a{sv}");
        if (r < 0)
                return r;
        r = q->latencies ? append_history(reply, q, periods)
                         : append_fleet(reply, q, periods, operation_manager(o));
        if (r < 0)
                return r;
        r = sd_bus_message_close_container(reply);
        if (r < 0)
                return r;

        *ret = TAKE_PTR(reply);
        return 0;
}

static void on_history(int r, const StoreHealthQuery *query, const HealthPeriods *periods, Error *error,
                void *userdata) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        Operation *o = userdata;
        _cleanup_error_ Error e = {};

        if (r < 0) {
                operation_fail(o, error);
                return;
        }

        r = build_reply(o, query, periods, &reply);
        if (r >= 0) {
                operation_reply_message(o, reply);
                return;
        }

        (void) error_set_errnof(&e, r, "Cannot tell the history of health: %m");
        operation_fail(o, &e);
}

static int run_query(Manager *m, sd_bus_message *message, const StoreHealthQuery *q) {
        _cleanup_error_ Error e = {};
        Operation *o;

        o = operation_new(m, message);
        if (!o)
                return -ENOMEM;

        if (store_query_health(m->db, q, on_history, o, NULL, &e) < 0)
                operation_fail(o, &e);
        return 1;
}

static int read_query(sd_bus_message *message, const Manager *m, size_t n_options, StoreHealthQuery *ret,
                Error *reterr) {
        int r;

        r = bus_read_options(message, query_options, n_options, ret, reterr);
        if (r >= 0)
                r = manager_check_loaded(m, reterr);
        return r < 0 ? r : query_complete(ret, m->settings, reterr);
}

int method_query_health(sd_bus_message *message, void *userdata, sd_bus_error *reterr) {
        StoreHealthQuery q = { .latencies = true };
        _cleanup_error_ Error e = {};
        Instance *i = userdata;
        int r;

        r = read_query(message, i->manager, ELEMENTSOF(query_options), &q, &e);
        if (r < 0)
                return bus_error_move(reterr, &e);

        q.instances = (char *[]) { i->record->id, NULL };
        return run_query(i->manager, message, &q);
}

int method_query_fleet_health(sd_bus_message *message, void *userdata, sd_bus_error *reterr) {
        _cleanup_free_ char **visible = NULL;
        _cleanup_error_ Error e = {};
        StoreHealthQuery q = {};
        Manager *m = userdata;
        int r;

        /* Without a step: one period each. */
        r = read_query(message, m, ELEMENTSOF(query_options) - 1, &q, &e);
        if (r >= 0 && q.until - q.since > FLEET_PERIOD_MAX)
                r = error_setf(&e, CCP_ERROR_LIMIT_EXCEEDED,
                                "The period of the whole fleet is at most 100 days.");
        if (r < 0)
                return bus_error_move(reterr, &e);

        r = access_visible_instances(m, access_viewer(m), &visible);
        if (r < 0)
                return r;

        q.instances = visible;
        return run_query(m, message, &q);
}
