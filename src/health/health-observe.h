/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* From what the Engine tells of a container to what is judged. */

#include "docker.h"
#include "health.h"

/* Restarts, and whether it was killed for memory, are known after an inspect only. */
HealthObservation health_observe(const DockerObject *o);
