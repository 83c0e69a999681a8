/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The names of the policy's rules: what a blueprint's "allow" lists, and what a violation is reported by. */

#include <errno.h>

#include "ccp/macro.h"

typedef enum PolicyRule {
        POLICY_PRIVILEGED,
        POLICY_HOST_NETWORK,
        POLICY_HOST_PID,
        POLICY_HOST_IPC,
        POLICY_HOST_UTS,
        POLICY_HOST_USERNS,
        POLICY_HOST_CGROUP,
        POLICY_DEVICES,
        POLICY_DOCKER_SOCKET,
        POLICY_BIND_OUTSIDE,
        POLICY_BIND_WRITABLE,
        POLICY_CAPABILITIES,
        POLICY_FOREIGN_PORT,
        POLICY_FOREIGN_SUBNET,
        POLICY_CONTAINER_NAME,
        POLICY_SECURITY_OPT,
        POLICY_EXTERNAL_NETWORK,
        POLICY_EXTERNAL_VOLUME,
        POLICY_VOLUME_DRIVER_OPTS,
        POLICY_CGROUP_PARENT,
        POLICY_RUNTIME,
        POLICY_SYSCTLS,
        POLICY_VOLUMES_FROM,
        POLICY_EXTRA_FILE,
        POLICY_BUILD_OUTSIDE,
        POLICY_LOGGING,
        POLICY_LABELS,
        POLICY_UNKNOWN_KEY,
        _POLICY_RULE_MAX,
        _POLICY_RULE_INVALID = -EINVAL,
} PolicyRule;
DECLARE_STRING_TABLE(policy_rule, PolicyRule);

/* A set of rules */
typedef uint32_t PolicyRules;
#define POLICY_RULE_BIT(rule) (UINT32_C(1) << (rule))

static_assert(_POLICY_RULE_MAX <= 32, "PolicyRules is too small");
