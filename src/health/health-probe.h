/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* One look at a service from outside, within a job. */

#include "health-wait.h"
#include "probe.h"

/* Returns 1 if the service answers as it should, 0 if not, with the reason as a phrase that goes after its
 * name ("answers 502 instead of 200 to GET /"), or a negative errno with an Error where nothing more can be
 * found out: the context's poll said so. A target of HEALTH_TYPE_CONTAINER always answers. ret_seen (may be
 * NULL) is when, and how long that took; only set for 1. */
int health_probe(const EngineContext *c, const HealthTarget *target, const char *container,
                ProbeResult *ret_seen, char **ret_reason, Error *reterr);
