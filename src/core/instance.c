/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "instance.h"

#include "string-util.h"

#define BIT(i) (1U << (i))
#define ANY_STATE (BIT(_INSTANCE_STATE_MAX) - 1)

static const char *const instance_state_table[_INSTANCE_STATE_MAX] = {
        [INSTANCE_PROVISIONING] = "provisioning",
        [INSTANCE_RUNNING] = "running",
        [INSTANCE_STOPPED] = "stopped",
        [INSTANCE_UPDATING] = "updating",
        [INSTANCE_RESTORING] = "restoring",
        [INSTANCE_DELETING] = "deleting",
        [INSTANCE_FAILED] = "failed",
};
DEFINE_STRING_TABLE(instance_state, InstanceState);

static const char *const health_table[_HEALTH_MAX] = {
        [HEALTH_UNKNOWN] = "unknown",
        [HEALTH_STARTING] = "starting",
        [HEALTH_HEALTHY] = "healthy",
        [HEALTH_DEGRADED] = "degraded",
        [HEALTH_UNHEALTHY] = "unhealthy",
};
DEFINE_STRING_TABLE(health, Health);

/* What may follow each state. Any state may end in failed; nothing returns from deleting but a delete that
 * failed. */
static const unsigned transitions[_INSTANCE_STATE_MAX] = {
        [INSTANCE_PROVISIONING] = BIT(INSTANCE_RUNNING) | BIT(INSTANCE_DELETING) | BIT(INSTANCE_FAILED),
        [INSTANCE_RUNNING] = BIT(INSTANCE_STOPPED) | BIT(INSTANCE_UPDATING) | BIT(INSTANCE_RESTORING) |
                        BIT(INSTANCE_DELETING) | BIT(INSTANCE_FAILED),
        [INSTANCE_STOPPED] = BIT(INSTANCE_RUNNING) | BIT(INSTANCE_UPDATING) | BIT(INSTANCE_RESTORING) |
                        BIT(INSTANCE_DELETING) | BIT(INSTANCE_FAILED),
        [INSTANCE_UPDATING] = BIT(INSTANCE_RUNNING) | BIT(INSTANCE_STOPPED) | BIT(INSTANCE_FAILED),
        [INSTANCE_RESTORING] = BIT(INSTANCE_RUNNING) | BIT(INSTANCE_STOPPED) | BIT(INSTANCE_FAILED),
        [INSTANCE_DELETING] = BIT(INSTANCE_FAILED),
        [INSTANCE_FAILED] = BIT(INSTANCE_RUNNING) | BIT(INSTANCE_STOPPED) | BIT(INSTANCE_UPDATING) |
                        BIT(INSTANCE_RESTORING) | BIT(INSTANCE_DELETING),
};

/* In which states a kind of job may begin, and the states that it brings. Start on a running instance brings
 * back containers that died, without touching the others. An interrupted delete can be repeated. */
static const struct {
        unsigned allowed;
        InstanceState during, succeeded, failed;
} kinds[_JOB_KIND_MAX] = {
        [JOB_CREATE] = {
                .allowed = BIT(INSTANCE_PROVISIONING),
                .during = INSTANCE_PROVISIONING,
                .succeeded = INSTANCE_RUNNING,
                .failed = INSTANCE_FAILED,
        },
        [JOB_CLONE] = {
                .allowed = BIT(INSTANCE_PROVISIONING),
                .during = INSTANCE_PROVISIONING,
                .succeeded = INSTANCE_RUNNING,
                .failed = INSTANCE_FAILED,
        },
        [JOB_START] = {
                .allowed = BIT(INSTANCE_RUNNING) | BIT(INSTANCE_STOPPED) | BIT(INSTANCE_FAILED),
                .during = _INSTANCE_STATE_INVALID,
                .succeeded = INSTANCE_RUNNING,
                .failed = INSTANCE_FAILED,
        },
        [JOB_STOP] = {
                .allowed = BIT(INSTANCE_RUNNING) | BIT(INSTANCE_STOPPED) | BIT(INSTANCE_FAILED),
                .during = _INSTANCE_STATE_INVALID,
                .succeeded = INSTANCE_STOPPED,
                .failed = INSTANCE_FAILED,
        },
        [JOB_RESTART] = {
                .allowed = BIT(INSTANCE_RUNNING) | BIT(INSTANCE_FAILED),
                .during = _INSTANCE_STATE_INVALID,
                .succeeded = INSTANCE_RUNNING,
                .failed = INSTANCE_FAILED,
        },
        [JOB_DELETE] = {
                .allowed = BIT(INSTANCE_RUNNING) | BIT(INSTANCE_STOPPED) | BIT(INSTANCE_DELETING) |
                                BIT(INSTANCE_FAILED),
                .during = INSTANCE_DELETING,
                .succeeded = _INSTANCE_STATE_INVALID,
                .failed = INSTANCE_FAILED,
        },
        /* The instance stays as it is, whatever comes of it. */
        [JOB_BACKUP] = {
                .allowed = BIT(INSTANCE_RUNNING) | BIT(INSTANCE_STOPPED) | BIT(INSTANCE_FAILED),
                .during = _INSTANCE_STATE_INVALID,
                .succeeded = _INSTANCE_STATE_INVALID,
                .failed = _INSTANCE_STATE_INVALID,
        },
        /* It serves until it is switched over, and runs afterwards, whatever it did before. One that fails leaves it as it
         * was. */
        [JOB_RESTORE] = {
                .allowed = BIT(INSTANCE_RUNNING) | BIT(INSTANCE_STOPPED) | BIT(INSTANCE_FAILED),
                .during = _INSTANCE_STATE_INVALID,
                .succeeded = INSTANCE_RUNNING,
                .failed = INSTANCE_FAILED,
        },
        [JOB_UNDO_RESTORE] = {
                .allowed = BIT(INSTANCE_RUNNING) | BIT(INSTANCE_STOPPED) | BIT(INSTANCE_FAILED),
                .during = _INSTANCE_STATE_INVALID,
                .succeeded = INSTANCE_RUNNING,
                .failed = INSTANCE_FAILED,
        },
        [JOB_IMPORT] = {
                .allowed = ANY_STATE,
                .during = _INSTANCE_STATE_INVALID,
                .succeeded = _INSTANCE_STATE_INVALID,
                .failed = _INSTANCE_STATE_INVALID,
        },
        [JOB_DRILL] = {
                .allowed = BIT(INSTANCE_RUNNING) | BIT(INSTANCE_STOPPED) | BIT(INSTANCE_FAILED),
                .during = _INSTANCE_STATE_INVALID,
                .succeeded = _INSTANCE_STATE_INVALID,
                .failed = _INSTANCE_STATE_INVALID,
        },
        [JOB_DISCARD_RESTORE] = {
                .allowed = BIT(INSTANCE_RUNNING) | BIT(INSTANCE_STOPPED) | BIT(INSTANCE_FAILED),
                .during = _INSTANCE_STATE_INVALID,
                .succeeded = _INSTANCE_STATE_INVALID,
                .failed = _INSTANCE_STATE_INVALID,
        },
        /* These are about backups alone, also of an instance that is no more. */
        [JOB_VERIFY] = {
                .allowed = ANY_STATE,
                .during = _INSTANCE_STATE_INVALID,
                .succeeded = _INSTANCE_STATE_INVALID,
                .failed = _INSTANCE_STATE_INVALID,
        },
        [JOB_DELETE_BACKUP] = {
                .allowed = ANY_STATE,
                .during = _INSTANCE_STATE_INVALID,
                .succeeded = _INSTANCE_STATE_INVALID,
                .failed = _INSTANCE_STATE_INVALID,
        },
        [JOB_REPLICATE] = {
                .allowed = ANY_STATE,
                .during = _INSTANCE_STATE_INVALID,
                .succeeded = _INSTANCE_STATE_INVALID,
                .failed = _INSTANCE_STATE_INVALID,
        },
        [JOB_FETCH] = {
                .allowed = ANY_STATE,
                .during = _INSTANCE_STATE_INVALID,
                .succeeded = _INSTANCE_STATE_INVALID,
                .failed = _INSTANCE_STATE_INVALID,
        },
};

static bool state_is_valid(InstanceState state) {
        return state >= 0 && state < _INSTANCE_STATE_MAX;
}

bool instance_state_may_become(InstanceState from, InstanceState to) {
        if (!state_is_valid(from) || !state_is_valid(to))
                return false;

        return from == to || (transitions[from] & BIT(to));
}

bool instance_state_allows(InstanceState state, JobKind kind) {
        assert(kind >= 0 && kind < _JOB_KIND_MAX);

        return state_is_valid(state) && (kinds[kind].allowed & BIT(state));
}

bool job_kind_is_aside(JobKind kind) {
        assert(kind >= 0 && kind < _JOB_KIND_MAX);

        return kinds[kind].failed == _INSTANCE_STATE_INVALID;
}

InstanceState instance_state_during(JobKind kind) {
        assert(kind >= 0 && kind < _JOB_KIND_MAX);

        return kinds[kind].during;
}

InstanceState instance_state_after(JobKind kind, bool succeeded) {
        assert(kind >= 0 && kind < _JOB_KIND_MAX);

        return succeeded ? kinds[kind].succeeded : kinds[kind].failed;
}
