/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the probes of a service come to, probe after probe: one lost probe changes nothing, several in a row
 * do. Pure. */

#include <errno.h>

#include "time-util.h"

typedef enum ProbeVerdict {
        PROBE_WAITING, /* has not answered since its container was started, and may still be starting */
        PROBE_HEALTHY,
        PROBE_FAILED,
        _PROBE_VERDICT_MAX,
        _PROBE_VERDICT_INVALID = -EINVAL,
} ProbeVerdict;
DECLARE_STRING_TABLE(probe_verdict, ProbeVerdict);

/* Times are realtime. Initialize with {}. */
typedef struct ProbeState {
        ProbeVerdict verdict;
        unsigned n_failures, n_successes; /* in a row, up to now */
        usec_t since;                     /* of the verdict */
        usec_t checked_at;                /* begin of the last probe; 0: none yet */
        usec_t latency;                   /* of the last answer, 0: there was none */
        char *reason; /* why the last one failed, goes after the service's name; NULL: it did not */
} ProbeState;

void probe_state_done(ProbeState *s);
#define _cleanup_probe_state_ _cleanup_(probe_state_done)

typedef struct ProbeRule {
        unsigned failures, successes; /* in a row, for the verdict to change; at least 1 */
        usec_t patience;              /* a service that has not answered yet fails only after it */
} ProbeRule;

typedef struct ProbeResult {
        bool good;
        usec_t at;      /* when it began */
        usec_t latency; /* 0: nothing answered */
        const char *reason;
} ProbeResult;

/* Takes one more result in. started_at: when the container's present run began; what was known of an earlier
 * one is to be reset (probe_state_done) before. 0 or -ENOMEM. */
int probe_state_update(ProbeState *s, const ProbeRule *rule, const ProbeResult *result, usec_t started_at);
