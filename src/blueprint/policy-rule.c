/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "policy-rule.h"

#include "string-util.h"

static const char *const policy_rule_table[_POLICY_RULE_MAX] = {
        [POLICY_PRIVILEGED] = "privileged",
        [POLICY_HOST_NETWORK] = "host-network",
        [POLICY_HOST_PID] = "host-pid",
        [POLICY_HOST_IPC] = "host-ipc",
        [POLICY_HOST_UTS] = "host-uts",
        [POLICY_HOST_USERNS] = "host-userns",
        [POLICY_HOST_CGROUP] = "host-cgroup",
        [POLICY_DEVICES] = "devices",
        [POLICY_DOCKER_SOCKET] = "docker-socket",
        [POLICY_BIND_OUTSIDE] = "bind-outside",
        [POLICY_BIND_WRITABLE] = "bind-writable",
        [POLICY_CAPABILITIES] = "capabilities",
        [POLICY_FOREIGN_PORT] = "foreign-port",
        [POLICY_FOREIGN_SUBNET] = "foreign-subnet",
        [POLICY_CONTAINER_NAME] = "container-name",
        [POLICY_SECURITY_OPT] = "security-opt",
        [POLICY_EXTERNAL_NETWORK] = "external-network",
        [POLICY_EXTERNAL_VOLUME] = "external-volume",
        [POLICY_VOLUME_DRIVER_OPTS] = "volume-driver-opts",
        [POLICY_CGROUP_PARENT] = "cgroup-parent",
        [POLICY_RUNTIME] = "runtime",
        [POLICY_SYSCTLS] = "sysctls",
        [POLICY_VOLUMES_FROM] = "volumes-from",
        [POLICY_EXTRA_FILE] = "extra-file",
        [POLICY_BUILD_OUTSIDE] = "build-outside",
        [POLICY_LOGGING] = "logging",
        [POLICY_LABELS] = "labels",
        [POLICY_UNKNOWN_KEY] = "unknown-key",
};
DEFINE_STRING_TABLE(policy_rule, PolicyRule);
