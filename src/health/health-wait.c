/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "health-wait.h"

#include <stdio.h>
#include <unistd.h>

#include "alloc-util.h"
#include "docker-events.h"
#include "engine-logs.h"
#include "health-observe.h"
#include "health-probe.h"
#include "string-util.h"

/* Between two list calls: at least, after an event; and at most, without one. */
#define LIST_INTERVAL_MIN_USEC (250 * USEC_PER_MSEC)
#define LIST_INTERVAL_MAX_USEC (2 * USEC_PER_SEC)
/* While something goes on that no event will tell: a container settles, a probe does not succeed yet. */
#define LIST_INTERVAL_BUSY_USEC (500 * USEC_PER_MSEC)
/* A restart of the Engine is waited for so long. */
#define ENGINE_PATIENCE_USEC (30 * USEC_PER_SEC)

/* What is known of a target so far. */
typedef struct Watched {
        const HealthTarget *target;
        char *container; /* id; NULL: none yet */
        HealthObservation seen;
        HealthJudgement judgement;
        ProbeState probes; /* an answer counts until the run of the container ends */
        usec_t probed_since;

        bool over; /* an optional one that is not waited for any longer */
} Watched;

typedef struct Waiting {
        const HealthWait *wait;
        Watched *watched;
        size_t n;
        DockerEvents *events; /* NULL: the stream could not be had, or has ended */
        usec_t begin;         /* monotonic */
        usec_t listed;        /* monotonic; as the next one */
        usec_t available;     /* when the Engine last answered, 0: never */
        bool busy;
        char *told; /* the last message */
} Waiting;

static void waiting_done(Waiting *w) {
        FOREACH_ARRAY(i, w->watched, w->n) {
                free(i->container);
                probe_state_done(&i->probes);
        }
        free(w->watched);
        free(w->told);
        docker_events_free(w->events);
}
#define _cleanup_waiting_ _cleanup_(waiting_done)

/* The list tells seconds only. */
static bool is_recent(const DockerObject *o, usec_t since) {
        return o->created_at / USEC_PER_SEC >= since / USEC_PER_SEC;
}

static bool is_of_revision(const DockerObject *o, unsigned revision) {
        char text[STRLEN("4294967295") + 1];

        (void) snprintf(text, sizeof(text), "%u", revision);
        return streq_ptr(o->revision, text);
}

/* The container to judge a service by: its newest one, if this job made it. */
static const DockerObject *find_container(
                const HealthWait *w, const BlueprintService *service, const DockerObjects *containers) {
        const DockerObject *found = NULL;

        FOREACH_ARRAY(o, containers->items, containers->n) {
                if (o->oneoff || !streq_ptr(o->service, service->name))
                        continue;
                if (!is_recent(o, w->created_since) &&
                                (service->kind != SERVICE_KIND_ONESHOT ||
                                                !is_of_revision(o, w->context->revision)))
                        continue;
                if (!found || o->created_at > found->created_at)
                        found = o;
        }

        return found;
}

/* What the list tells only roughly or not at all matters in these states: since when exactly, how many
 * restarts, killed for memory. */
static bool needs_inspect(const HealthObservation *o) {
        if (o->state == CONTAINER_EXITED)
                return o->exit_code != 0;

        return o->state == CONTAINER_RESTARTING ||
                        (o->state == CONTAINER_RUNNING && o->health == CONTAINER_HEALTH_NONE);
}

static int watched_observe(const Waiting *w, Watched *i, const DockerObjects *containers, Error *reterr) {
        const DockerObject *o = find_container(w->wait, i->target->service, containers);
        _cleanup_docker_object_ DockerObject detail = {};
        _cleanup_error_ Error error = {};
        int r;

        i->seen = (HealthObservation) { .exit_code = -1 };
        if (free_and_strdup(&i->container, o ? o->id : NULL) < 0)
                return error_set_errnof(reterr, ENOMEM, "Cannot watch a service: %m");
        if (!o)
                return 0;

        i->seen = health_observe(o);
        if (!needs_inspect(&i->seen))
                return 0;

        r = docker_inspect(w->wait->context->docker, DOCKER_CONTAINER, o->id, &detail, &error);
        if (r == -ENOENT)
                return 0;
        if (r < 0) {
                error_move(reterr, &error);
                return r;
        }
        i->seen = health_observe(&detail);
        return 0;
}

static int watched_probe(const Waiting *w, Watched *i, Error *reterr) {
        _cleanup_free_ char *reason = NULL;
        ProbeResult seen = {};
        int r;

        r = health_probe(w->wait->context, i->target, i->container, &seen, &reason, reterr);
        if (r < 0)
                return r;

        probe_state_done(&i->probes);
        i->probed_since = i->seen.since;
        if (r == 0) {
                i->probes.reason = TAKE_PTR(reason);
                return 0;
        }

        i->probes.verdict = PROBE_HEALTHY;
        if (w->wait->answered)
                w->wait->answered(i->target, i->container, &seen, w->wait->answered_userdata);
        return 0;
}

static int watched_judge(Waiting *w, Watched *i, Error *reterr) {
        const BlueprintService *s = i->target->service;
        bool probed = health_is_probed(s), runs = i->seen.exists && i->seen.state == CONTAINER_RUNNING;
        usec_t realtime = now(CLOCK_REALTIME);
        int r;

        if (i->probed_since != i->seen.since)
                probe_state_done(&i->probes);
        if (probed && runs && i->probes.verdict != PROBE_HEALTHY &&
                        health_judge(s->kind, &i->seen, realtime).verdict != VERDICT_FAILED) {
                r = watched_probe(w, i, reterr);
                if (r < 0)
                        return r;
        }

        i->judgement = health_judge_probed(s->kind, &i->seen, probed ? &i->probes : NULL, realtime);
        /* What settles or does not answer yet will change without an event. */
        if (i->judgement.verdict != VERDICT_HEALTHY && runs)
                w->busy = true;
        return 0;
}

/* Why a service is not healthy, as an error with its last lines. */
static int watched_error(const Waiting *w, const Watched *i, Error *reterr) {
        char exit_code[STRLEN(", exit code -2147483648") + 1] = "";
        usec_t waited = now(CLOCK_MONOTONIC) - w->begin;
        int r;

        if (i->seen.exit_code >= 0 && i->seen.state != CONTAINER_RUNNING)
                (void) snprintf(exit_code, sizeof(exit_code), ", exit code %d", i->seen.exit_code);

        r = error_setf(reterr, CCP_ERROR_UNHEALTHY, "The service '%s' %s. Its container is %s%s, after %s.",
                        i->target->service->name, i->judgement.reason,
                        i->seen.exists ? container_state_to_string(i->seen.state) : "not there", exit_code,
                        FORMAT_TIMESPAN(waited));
        if (i->container)
                engine_append_logs(w->wait->context, i->container, reterr);
        return r;
}

/* Whether the Engine, which was there, may only be on its way back. */
static bool may_come_back(const Waiting *w, int r) {
        return r == -EHOSTDOWN && w->available > 0 &&
                        now(CLOCK_MONOTONIC) - w->available < ENGINE_PATIENCE_USEC;
}

/* Looks at all of them once. Returns how many are neither healthy nor over. */
static int waiting_round(Waiting *w, Error *reterr) {
        _cleanup_docker_objects_ DockerObjects containers = {};
        const EngineContext *c = w->wait->context;
        int r, n_left = 0;

        w->busy = false;
        r = docker_list_owned(c->docker, DOCKER_CONTAINER, &c->owner, &containers, reterr);
        if (r < 0)
                return r;

        FOREACH_ARRAY(i, w->watched, w->n) {
                bool optional = i->target->service->kind == SERVICE_KIND_OPTIONAL, late;

                if (i->over)
                        continue;

                r = watched_observe(w, i, &containers, reterr);
                if (r >= 0)
                        r = watched_judge(w, i, reterr);
                if (r < 0)
                        return r;
                if (i->judgement.verdict == VERDICT_HEALTHY)
                        continue;

                late = now(CLOCK_MONOTONIC) - w->begin >= i->target->service->timeout;
                if (late || (i->judgement.verdict == VERDICT_FAILED && i->judgement.final)) {
                        if (!optional)
                                return watched_error(w, i, reterr);
                        i->over = true;
                        continue;
                }
                n_left++;
        }

        return n_left;
}

static void waiting_tell(Waiting *w, size_t n_left) {
        const EngineContext *c = w->wait->context;
        size_t n_healthy = 0, n_over = w->n - n_left;
        _cleanup_free_ char *message = NULL;
        const Watched *first = NULL;
        int r;

        if (!c->progress || w->n == 0)
                return;

        FOREACH_ARRAY(i, w->watched, w->n)
                if (i->judgement.verdict == VERDICT_HEALTHY)
                        n_healthy++;
                else if (!first && !i->over)
                        first = i;
        r = asprintf(&message, "%zu of %zu services are healthy%s%s%s%s", n_healthy, w->n, first ? "; " : "",
                        first ? first->target->service->name : "", first ? " " : "",
                        first ? first->judgement.reason : "");
        if (r < 0)
                message = NULL;
        if (!message || streq_ptr(w->told, message))
                return;

        c->progress((double) n_over / (double) w->n, message, c->userdata);
        free(w->told);
        w->told = TAKE_PTR(message);
}

/* Sleeps until something happened, but no longer than there is reason to. */
static int waiting_sleep(Waiting *w, Error *reterr) {
        const EngineContext *c = w->wait->context;
        usec_t interval = w->busy || !w->events ? LIST_INTERVAL_BUSY_USEC : LIST_INTERVAL_MAX_USEC, n;
        bool happened = false;
        int r;

        for (;;) {
                r = c->poll ? c->poll(c->userdata) : 0;
                if (r == -ECANCELED)
                        return error_setf(reterr, CCP_ERROR_CANCELLED, "The work was cancelled.");
                if (r < 0)
                        return error_set_errnof(reterr, r, "The wait for health was ended: %m");

                n = now(CLOCK_MONOTONIC) - w->listed;
                if (n >= interval || (happened && n >= LIST_INTERVAL_MIN_USEC))
                        return 0;

                if (happened)
                        (void) usleep((useconds_t) (LIST_INTERVAL_MIN_USEC - n));
                else if (w->events) {
                        r = docker_events_wait(w->events, interval - n);
                        happened = r > 0;
                        if (r < 0)
                                w->events = docker_events_free(w->events);
                } else
                        (void) usleep((useconds_t) (interval - n));
        }
}

static int waiting_prepare(Waiting *w, Error *reterr) {
        const EngineContext *c = w->wait->context;
        _cleanup_free_ char *label = NULL;

        w->begin = now(CLOCK_MONOTONIC);
        w->watched = new0(Watched, w->wait->n_targets);
        label = strjoin(CCP_LABEL_ID "=", c->owner.uuid);
        if (!w->watched || !label)
                return error_set_errnof(reterr, ENOMEM, "Cannot wait for health: %m");

        w->n = w->wait->n_targets;
        for (size_t i = 0; i < w->n; i++)
                w->watched[i].target = w->wait->targets + i;

        /* Without events the list is asked for more often. */
        (void) docker_events_new(c->docker, label, &w->events, NULL);
        return 0;
}

int health_wait(const HealthWait *wait, unsigned *ret_n_unwell, Error *reterr) {
        _cleanup_waiting_ Waiting w = { .wait = wait };
        unsigned n_unwell = 0;
        int r;

        r = waiting_prepare(&w, reterr);
        if (r < 0)
                return r;

        for (;;) {
                _cleanup_error_ Error error = {};

                w.listed = now(CLOCK_MONOTONIC);
                r = waiting_round(&w, &error);
                if (r < 0 && !may_come_back(&w, r)) {
                        error_move(reterr, &error);
                        return r;
                }
                if (r == 0)
                        break;
                if (r > 0) {
                        w.available = now(CLOCK_MONOTONIC);
                        waiting_tell(&w, (size_t) r);
                }

                r = waiting_sleep(&w, reterr);
                if (r < 0)
                        return r;
        }

        waiting_tell(&w, 0);
        FOREACH_ARRAY(i, w.watched, w.n)
                n_unwell += i->over;
        if (ret_n_unwell)
                *ret_n_unwell = n_unwell;
        return 0;
}
