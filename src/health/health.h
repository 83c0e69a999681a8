/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Judges services by what their containers do: pure, as tables. An instance's health is made of the verdicts
 * on its services. */

#include "blueprint.h"
#include "container-state.h"
#include "instance.h"
#include "probe-state.h"

/* A container without a healthcheck must have run so long. */
#define HEALTH_SETTLE_USEC (3 * USEC_PER_SEC)
/* So many restarts by the Engine are a loop; fewer may be a service that waits for another one. */
#define HEALTH_RESTARTS_MAX 5U
/* A container that ran this long is not in a loop of restarts. */
#define HEALTH_RESTARTS_FORGOTTEN_USEC (10 * USEC_PER_MINUTE)

typedef enum Verdict {
        VERDICT_WAITING, /* may still become healthy */
        VERDICT_HEALTHY,
        VERDICT_FAILED,
        _VERDICT_MAX,
        _VERDICT_INVALID = -EINVAL,
} Verdict;
DECLARE_STRING_TABLE(verdict, Verdict);

/* What is known of a service's container. */
typedef struct HealthObservation {
        bool exists;
        ContainerState state;
        ContainerHealth health;
        int exit_code;       /* of the last run, -1 if it never ended */
        usec_t since;        /* in this state; realtime */
        unsigned n_restarts; /* by the Engine, since it was started */
        bool oom_killed;
} HealthObservation;

typedef struct HealthJudgement {
        Verdict verdict;
        bool final;         /* nobody needs to wait for another one */
        const char *reason; /* goes after the service's name: "has ended"; static, or that of the probes */
} HealthJudgement;

/* The judgement at a time (realtime). */
HealthJudgement health_judge(ServiceKind kind, const HealthObservation *o, usec_t realtime);

/* The same together with what probes from outside have seen, for a service that has some (its health is of
 * another type than 'container', and it is no one-shot). probes NULL: nothing is known of this run yet. A
 * container without a healthcheck needs no time to settle once it answers; one that is not well needs no
 * probe to be so. */
HealthJudgement health_judge_probed(
                ServiceKind kind, const HealthObservation *o, const ProbeState *probes, usec_t realtime);
bool health_is_probed(const BlueprintService *s);

/* True if what was seen at a time was the run of the container that is now observed. A list of containers
 * tells only roughly when that began; this is taken into account. */
bool health_is_same_run(const HealthObservation *o, usec_t seen_at, usec_t realtime);

typedef struct HealthVerdict {
        ServiceKind kind;
        Verdict verdict;
        const char *service, *reason; /* borrowed; only health_find_reason() looks at them */
} HealthVerdict;

/* Of an instance that should run. Unknown: it has no services. Unhealthy: something that must run failed,
 * and nothing that must run is healthy. Degraded: something failed. Starting: something that is not optional
 * is still waited for. */
Health health_summarize(const HealthVerdict *verdicts, size_t n);

/* The verdict that is the reason for a health; NULL: none is to blame. */
const HealthVerdict *health_find_reason(const HealthVerdict *verdicts, size_t n);
