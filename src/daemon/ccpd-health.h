/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* ccpd's part in the sweeps over the fleet: it keeps their timer going, asks for one where somebody wants to
 * know now, and takes what they have seen into the health of instances, together with what their containers do
 * at this moment. It never looks at a service itself. */

#include "ccpd-operation.h"
#include "health.h"
#include "store-health.h"

typedef struct Manager Manager;
typedef struct Instance Instance;
typedef struct InstanceService InstanceService;
typedef struct Sweeps Sweeps;

/* What is known of an instance from sweeps, and of its present health. */
typedef struct InstanceHealth {
        HealthProbeRecord *probes; /* by service */
        size_t n_probes;
        usec_t checked_at; /* by the last sweep that looked at it; 0: none did */

        char *reason;        /* why it is not healthy; NULL: it is, or nobody is to blame */
        usec_t since;        /* of the present health; realtime */
        bool since_is_known; /* else the health was there when we began to look, and a sweep may know better */
        Health recorded;     /* by that sweep … */
        usec_t recorded_since; /* … and since when it was so */
} InstanceHealth;

void instance_health_done(InstanceHealth *h);

/* The judgement of a service of an instance now. Returns true if time alone may change it. */
bool instance_judge_service(
                const Instance *i, const InstanceService *s, usec_t realtime, HealthJudgement *ret);
/* True if services of it want to be looked at, and no sweep has done so for minutes. */
bool instance_is_out_of_sight(const Instance *i);
/* What probes have come to in the present run of a service's container; NULL: nothing is known of it. */
const ProbeState *instance_find_probes(const Instance *i, const InstanceService *s, usec_t realtime);
/* The health has become this one for this reason (both may be as before). Announces what changed. */
void instance_set_health(Instance *i, Health health, const HealthVerdict *blame);
usec_t instance_health_since(const Instance *i);

Sweeps *sweeps_new(Manager *m);
Sweeps *sweeps_free(Sweeps *s);
DEFINE_CLEANUP_FUNC(Sweeps *, sweeps_free);

/* The settings were read, or changed: starts the timer that they want, and stops others. */
void sweeps_update_timer(Sweeps *s);
/* 1 if no sweep has looked for minutes, with a sentence that says so (freed by the caller; ret may be NULL); 0 if all is well. */
int sweeps_check_silence(const Sweeps *s, char **ret);
/* Takes what was read, of all instances, and judges them anew. */
void sweeps_take_states(Sweeps *s, HealthStates *states);
/* Reads it again: a sweep, or a job, has recorded something (STORE_CHANNEL_HEALTH). */
void sweeps_read(Sweeps *s);
/* Answers with what a sweep sees that begins from now on. */
void sweeps_check(Sweeps *s, const Instance *i, Operation *o);
