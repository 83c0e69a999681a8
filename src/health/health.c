/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "health.h"

#include "string-util.h"

#define KIND(k) (1U << (k))
#define MUST_RUN (KIND(SERVICE_KIND_SERVICE) | KIND(SERVICE_KIND_OPTIONAL))
#define ONCE KIND(SERVICE_KIND_ONESHOT)
#define ANY_KIND (MUST_RUN | ONCE)
#define ANY_HEALTH (-1)

static const char *const verdict_table[_VERDICT_MAX] = {
        [VERDICT_WAITING] = "waiting",
        [VERDICT_HEALTHY] = "healthy",
        [VERDICT_FAILED] = "failed",
};
DEFINE_STRING_TABLE(verdict, Verdict);

typedef enum Condition {
        ALWAYS,
        SETTLED,  /* has been so for HEALTH_SETTLE_USEC */
        ENDED_OK, /* exit code 0 */
        LOOPS,    /* restarted too often */
        KILLED,   /* by the kernel, out of memory */
} Condition;

/* The first row that fits is the judgement. */
static const struct {
        unsigned kinds;
        ContainerState state;
        int health;
        Condition condition;
        HealthJudgement judgement;
} rules[] = {
        /* clang-format off */
        { MUST_RUN, CONTAINER_RUNNING, CONTAINER_HEALTH_HEALTHY, ALWAYS, { VERDICT_HEALTHY, true, "is healthy" } },
        { MUST_RUN, CONTAINER_RUNNING, CONTAINER_HEALTH_NONE, SETTLED, { VERDICT_HEALTHY, true, "runs" } },
        { ANY_KIND, CONTAINER_RUNNING, ANY_HEALTH, LOOPS, { VERDICT_FAILED, true, "restarts again and again" } },
        { ANY_KIND, CONTAINER_RESTARTING, ANY_HEALTH, LOOPS, { VERDICT_FAILED, true, "restarts again and again" } },
        /* Its healthcheck may still succeed later. */
        { MUST_RUN, CONTAINER_RUNNING, CONTAINER_HEALTH_UNHEALTHY, ALWAYS, { VERDICT_FAILED, false, "is unhealthy" } },
        { MUST_RUN, CONTAINER_RUNNING, CONTAINER_HEALTH_STARTING, ALWAYS, { VERDICT_WAITING, false, "is not healthy yet" } },
        { MUST_RUN, CONTAINER_RUNNING, CONTAINER_HEALTH_NONE, ALWAYS, { VERDICT_WAITING, false, "has just started" } },
        { ONCE, CONTAINER_RUNNING, ANY_HEALTH, ALWAYS, { VERDICT_WAITING, false, "has not ended yet" } },
        { ONCE, CONTAINER_EXITED, ANY_HEALTH, ENDED_OK, { VERDICT_HEALTHY, true, "has ended well" } },
        { ANY_KIND, CONTAINER_EXITED, ANY_HEALTH, KILLED, { VERDICT_FAILED, true, "was killed because it used too much memory" } },
        { MUST_RUN, CONTAINER_EXITED, ANY_HEALTH, ALWAYS, { VERDICT_FAILED, true, "has ended" } },
        { ONCE, CONTAINER_EXITED, ANY_HEALTH, ALWAYS, { VERDICT_FAILED, true, "has ended with an error" } },
        { ANY_KIND, CONTAINER_DEAD, ANY_HEALTH, ALWAYS, { VERDICT_FAILED, true, "is dead" } },
        { ANY_KIND, CONTAINER_CREATED, ANY_HEALTH, ALWAYS, { VERDICT_WAITING, false, "is not started yet" } },
        { ANY_KIND, CONTAINER_RESTARTING, ANY_HEALTH, ALWAYS, { VERDICT_WAITING, false, "is being restarted" } },
        { ANY_KIND, CONTAINER_PAUSED, ANY_HEALTH, ALWAYS, { VERDICT_FAILED, false, "is paused" } },
        { ANY_KIND, CONTAINER_REMOVING, ANY_HEALTH, ALWAYS, { VERDICT_WAITING, false, "is being removed" } },
        { ANY_KIND, CONTAINER_REMOVED, ANY_HEALTH, ALWAYS, { VERDICT_WAITING, false, "has no container" } },
        /* clang-format on */
};

static bool condition_holds(Condition condition, const HealthObservation *o, usec_t realtime) {
        switch (condition) {
        case SETTLED:
                return realtime >= o->since && realtime - o->since >= HEALTH_SETTLE_USEC;
        case ENDED_OK:
                return o->exit_code == 0;
        case LOOPS:
                return o->n_restarts >= HEALTH_RESTARTS_MAX;
        case KILLED:
                return o->oom_killed;
        default:
                return true;
        }
}

HealthJudgement health_judge(ServiceKind kind, const HealthObservation *o, usec_t realtime) {
        ContainerState state = o->exists ? o->state : CONTAINER_REMOVED;

        for (size_t i = 0; i < ELEMENTSOF(rules); i++)
                if ((rules[i].kinds & KIND(kind)) && rules[i].state == state &&
                                IN_SET(rules[i].health, ANY_HEALTH, (int) o->health) &&
                                condition_holds(rules[i].condition, o, realtime))
                        return rules[i].judgement;

        return (HealthJudgement) { VERDICT_WAITING, false, "is in a state that is not known" };
}

bool health_is_probed(const BlueprintService *s) {
        return s->kind != SERVICE_KIND_ONESHOT && s->health.type != HEALTH_TYPE_CONTAINER;
}

HealthJudgement health_judge_probed(
                ServiceKind kind, const HealthObservation *o, const ProbeState *probes, usec_t realtime) {
        HealthJudgement j = health_judge(kind, o, realtime);

        if (!probes || j.verdict == VERDICT_FAILED || !o->exists || o->state != CONTAINER_RUNNING)
                return j;

        switch (probes->verdict) {
        case PROBE_HEALTHY:
                return (HealthJudgement) { VERDICT_HEALTHY, true, "answers" };
        case PROBE_FAILED:
                return (HealthJudgement) { VERDICT_FAILED, false, probes->reason ?: "does not answer" };
        default:
                return (HealthJudgement) { VERDICT_WAITING, false,
                        probes->reason ?: "has not answered yet" };
        }
}

/* "Up 40 seconds", "Up 3 minutes", "Up 5 hours": the longer it is ago, the less exactly it is told. */
static usec_t roughness(usec_t ago) {
        if (ago < USEC_PER_MINUTE)
                return USEC_PER_SEC;
        return ago < USEC_PER_HOUR ? USEC_PER_MINUTE : USEC_PER_HOUR;
}

bool health_is_same_run(const HealthObservation *o, usec_t seen_at, usec_t realtime) {
        usec_t ago = realtime > o->since ? realtime - o->since : 0;

        return seen_at + roughness(ago) >= o->since;
}

Health health_summarize(const HealthVerdict *verdicts, size_t n) {
        size_t n_healthy = 0, n_failed = 0, n_failed_optional = 0, n_waiting = 0;

        FOREACH_ARRAY(v, verdicts, n) {
                bool optional = v->kind == SERVICE_KIND_OPTIONAL;

                /* A one-shot that ended long ago says nothing about what runs now. */
                n_healthy += v->verdict == VERDICT_HEALTHY && v->kind == SERVICE_KIND_SERVICE;
                n_failed += v->verdict == VERDICT_FAILED && !optional;
                n_failed_optional += v->verdict == VERDICT_FAILED && optional;
                n_waiting += v->verdict == VERDICT_WAITING && !optional;
        }

        if (n == 0)
                return HEALTH_UNKNOWN;
        if (n_failed > 0 && n_healthy == 0)
                return HEALTH_UNHEALTHY;
        if (n_failed + n_failed_optional > 0)
                return HEALTH_DEGRADED;
        if (n_waiting > 0)
                return HEALTH_STARTING;
        return HEALTH_HEALTHY;
}

const HealthVerdict *health_find_reason(const HealthVerdict *verdicts, size_t n) {
        /* What is worst first. */
        static const struct {
                Verdict verdict;
                unsigned kinds;
        } order[] = {
                { VERDICT_FAILED, KIND(SERVICE_KIND_SERVICE) | KIND(SERVICE_KIND_ONESHOT) },
                { VERDICT_FAILED, KIND(SERVICE_KIND_OPTIONAL) },
                { VERDICT_WAITING, KIND(SERVICE_KIND_SERVICE) | KIND(SERVICE_KIND_ONESHOT) },
        };

        FOREACH_ARRAY(o, order, ELEMENTSOF(order))
                FOREACH_ARRAY(v, verdicts, n)
                        if (v->verdict == o->verdict && (o->kinds & KIND(v->kind)))
                                return v;

        return NULL;
}
