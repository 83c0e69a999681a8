/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "health-observe.h"

HealthObservation health_observe(const DockerObject *o) {
        return (HealthObservation) {
                .exists = true,
                .state = o->state,
                .health = o->health,
                .exit_code = o->exit_code,
                .since = o->since,
                .n_restarts = o->n_restarts,
                .oom_killed = o->oom_killed,
        };
}
