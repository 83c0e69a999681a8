/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* One look at a service from outside: an HTTP request, a TCP connection, or a command in its container. */

#include "health-wait.h"

#define PROBE_TIMEOUT_USEC (5 * USEC_PER_SEC)
#define PROBE_COMMAND_TIMEOUT_USEC (10 * USEC_PER_SEC)

/* Returns 1 if the service answers as it should, 0 if not, with the reason as a phrase that goes after its
 * name ("answers 502 instead of 200 to GET /"), or a negative errno with an Error where nothing more can be
 * found out: the context's poll said so. A target of HEALTH_TYPE_CONTAINER always answers. */
int health_probe(const EngineVTable *engine, const EngineContext *c, const HealthTarget *target,
                char **ret_reason, Error *reterr);
