/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The states of an instance, how they follow each other, and which kind of job each allows. */

#include "job-kind.h"

typedef enum InstanceState {
        INSTANCE_PROVISIONING,
        INSTANCE_RUNNING,
        INSTANCE_STOPPED,
        INSTANCE_UPDATING,
        INSTANCE_RESTORING,
        INSTANCE_DELETING,
        INSTANCE_FAILED,
        _INSTANCE_STATE_MAX,
        _INSTANCE_STATE_INVALID = -EINVAL,
} InstanceState;
DECLARE_STRING_TABLE(instance_state, InstanceState);

typedef enum Health {
        HEALTH_UNKNOWN,
        HEALTH_STARTING,
        HEALTH_HEALTHY,
        HEALTH_DEGRADED,
        HEALTH_UNHEALTHY,
        _HEALTH_MAX,
        _HEALTH_INVALID = -EINVAL,
} Health;
DECLARE_STRING_TABLE(health, Health);

/* True if an instance may go from one state to the other. To stay as it is is always allowed. */
bool instance_state_may_become(InstanceState from, InstanceState to);

/* True if a job of this kind may begin on an instance in this state. Whether another job is active on it is
 * a question of its own (Busy). */
bool instance_state_allows(InstanceState state, JobKind kind);

/* The state while a job of this kind runs, and the one after it. _INSTANCE_STATE_INVALID: 'during' the state
 * stays as it is; 'after' there is no instance any more. A job that failed and undid what it did leaves the
 * state that it found. */
InstanceState instance_state_during(JobKind kind);
InstanceState instance_state_after(JobKind kind, bool succeeded);

/* True for what leaves the instance and what is known of its last failure as they are, whatever comes of it. */
bool job_kind_is_aside(JobKind kind);
