/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Waits until services are healthy: the container's own health, then a probe from outside where there is
 * one. One list call for all of them: on an event, and every half second to two seconds. */

#include "engine.h"
#include "health.h"

/* One service to wait for. All pointers are borrowed. */
typedef struct HealthTarget {
        const BlueprintService *service;
        const char *address; /* HTTP and TCP: where; NULL: "127.0.0.1" */
        uint16_t port;       /* HTTP and TCP: the number behind service->health.port */
        const char *host;    /* HTTP: service->health.host, rendered; NULL: address and port */
} HealthTarget;

typedef struct HealthWait {
        /* Its poll ends the wait, its progress is told how many are healthy, its redact masks log lines. */
        const EngineContext *context;
        const HealthTarget *targets;
        size_t n_targets;
        /* Containers made before (realtime) do not count: the job's own begin; 0: any. A one-shot of this
         * revision counts in any case. */
        usec_t created_since;

        /* A service has answered its probe, in this container. May be NULL. */
        void (*answered)(const HealthTarget *target, const char *container, const ProbeResult *seen,
                        void *userdata);
        void *answered_userdata;
} HealthWait;

/* Returns 0 when every service and one-shot is healthy. An optional one is waited for, but its failure is
 * none. Each has its own time-out, from the begin of the wait. Unhealthy names the service, its state, exit
 * code, how long it was waited for, and its last lines. ret_n_unwell (may be NULL): how many optional ones
 * are not healthy. */
int health_wait(const HealthWait *w, unsigned *ret_n_unwell, Error *reterr);
