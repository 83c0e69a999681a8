/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the Engine says a container is doing. The strings are the Engine's own, and those of the datagrams
 * that ccp-watch sends. */

#include <errno.h>

#include "ccp/macro.h"

typedef enum ContainerState {
        CONTAINER_CREATED,
        CONTAINER_RUNNING,
        CONTAINER_PAUSED,
        CONTAINER_RESTARTING,
        CONTAINER_REMOVING,
        CONTAINER_EXITED,
        CONTAINER_DEAD,
        CONTAINER_REMOVED, /* not the Engine's: it was there and is gone */
        _CONTAINER_STATE_MAX,
        _CONTAINER_STATE_INVALID = -EINVAL,
} ContainerState;
DECLARE_STRING_TABLE(container_state, ContainerState);

typedef enum ContainerHealth {
        CONTAINER_HEALTH_NONE, /* it has no healthcheck */
        CONTAINER_HEALTH_STARTING,
        CONTAINER_HEALTH_HEALTHY,
        CONTAINER_HEALTH_UNHEALTHY,
        _CONTAINER_HEALTH_MAX,
        _CONTAINER_HEALTH_INVALID = -EINVAL,
} ContainerHealth;
DECLARE_STRING_TABLE(container_health, ContainerHealth);
