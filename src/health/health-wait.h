/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Waits until services are healthy: the container's own health, then a probe from outside where there is
 * one. One list call for all of them, on each event and at most twice a second. */

#include "engine.h"
#include "health.h"

#define HEALTH_TIMEOUT_USEC (120 * USEC_PER_SEC)
#define HEALTH_LOG_LINES 20U

typedef enum ProbeType {
        PROBE_CONTAINER, /* nothing beyond the container's state and healthcheck */
        PROBE_HTTP,
        PROBE_TCP,
        PROBE_COMMAND,
        _PROBE_TYPE_MAX,
        _PROBE_TYPE_INVALID = -EINVAL,
} ProbeType;
DECLARE_STRING_TABLE(probe_type, ProbeType);

/* One service to wait for. All pointers are borrowed. */
typedef struct HealthTarget {
        const char *service;
        HealthKind kind;
        usec_t timeout; /* from the begin of the wait; 0: HEALTH_TIMEOUT_USEC */

        ProbeType probe;
        const char *address;  /* HTTP and TCP: where; NULL: "127.0.0.1" */
        uint16_t port;        /* HTTP and TCP */
        const char *path;     /* HTTP; NULL: "/" */
        const char *host;     /* HTTP: Host header; NULL: address and port */
        unsigned status;      /* HTTP: the answer that is right; 0: 200 */
        char *const *command; /* COMMAND: argv in the container; must end with 0 */
} HealthTarget;

typedef struct HealthWait {
        const EngineVTable *engine;
        /* Its poll ends the wait, its progress is told how many are healthy, its redact masks log lines. */
        const EngineContext *context;
        const HealthTarget *targets;
        size_t n_targets;
        /* Containers made before (realtime) do not count: the job's own begin; 0: any. A one-shot of this
         * revision counts in any case. */
        usec_t created_since;
} HealthWait;

/* Returns 0 when every service and one-shot is healthy. An optional one is waited for, but its failure is
 * none. Unhealthy names the service, its state, exit code, how long it was waited for, and its last lines.
 * n_unwell (may be NULL): how many optional ones are not healthy. */
int health_wait(const HealthWait *w, unsigned *ret_n_unwell, Error *reterr);
