/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "container-state.h"

#include "string-util.h"

static const char *const container_state_table[_CONTAINER_STATE_MAX] = {
        [CONTAINER_CREATED] = "created",
        [CONTAINER_RUNNING] = "running",
        [CONTAINER_PAUSED] = "paused",
        [CONTAINER_RESTARTING] = "restarting",
        [CONTAINER_REMOVING] = "removing",
        [CONTAINER_EXITED] = "exited",
        [CONTAINER_DEAD] = "dead",
        [CONTAINER_REMOVED] = "removed",
};
DEFINE_STRING_TABLE(container_state, ContainerState);

static const char *const container_health_table[_CONTAINER_HEALTH_MAX] = {
        [CONTAINER_HEALTH_NONE] = "none",
        [CONTAINER_HEALTH_STARTING] = "starting",
        [CONTAINER_HEALTH_HEALTHY] = "healthy",
        [CONTAINER_HEALTH_UNHEALTHY] = "unhealthy",
};
DEFINE_STRING_TABLE(container_health, ContainerHealth);
