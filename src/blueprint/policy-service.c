/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The policy on services: a table of the keys of each mapping that compose has in them. A key without a
 * check cannot reach beyond the container, whatever its value. */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "path.h"
#include "policy-check.h"
#include "strv.h"
#include "validate.h"

/* Where the engine's socket lies, and what has it inside. */
static const char *const socket_paths[] = {
        "/run/docker.sock",
        "/var/run/docker.sock",
        "/run/containerd",
        "/var/run/containerd",
        "/run/podman",
        "/var/run/podman",
};

/* What a container has anyway (moby: oci/caps/defaults.go): to list these after "cap_drop: ALL" adds
 * nothing. */
static const char *const default_capabilities[] = { "CHOWN", "DAC_OVERRIDE", "FSETID", "FOWNER", "MKNOD",
        "NET_RAW", "SETGID", "SETUID", "SETFCAP", "SETPCAP", "NET_BIND_SERVICE", "SYS_CHROOT", "KILL",
        "AUDIT_WRITE" };

static int check_capabilities(PolicyCheck *c, const KeyRule *rule, const json_t *value) {
        json_t *item;
        size_t i;
        int r;

        if (json_is_null(value))
                return 0;
        if (!json_is_array(value))
                return report(c, rule->rule, "This is not a list of capabilities.");

        json_array_foreach(value, i, item) {
                const char *name = strempty(json_string_value(item));

                name = startswith(name, "CAP_") ?: name;
                if (string_table_lookup(default_capabilities, ELEMENTSOF(default_capabilities), name) >= 0)
                        continue;

                r = report(c, rule->rule, "The capability '%s' is not one that containers have by default.",
                                TEXT_FOR_ERROR(name));
                if (r < 0)
                        return r;
        }

        return 0;
}

static int check_security_options(PolicyCheck *c, const KeyRule *rule, const json_t *value) {
        static const char *const harmless[] = { "no-new-privileges", "no-new-privileges:true",
                "no-new-privileges=true" };
        json_t *item;
        size_t i;
        int r;

        if (json_is_null(value))
                return 0;
        if (!json_is_array(value))
                return report(c, rule->rule, "This is not a list of options.");

        json_array_foreach(value, i, item) {
                if (string_table_lookup(harmless, ELEMENTSOF(harmless), json_string_value(item)) >= 0)
                        continue;

                r = report(c, rule->rule, "Only no-new-privileges may be set here.");
                if (r < 0)
                        return r;
        }

        return 0;
}

/* A name space: one of rule->values, or that of another service of this project. */
static int check_namespace(PolicyCheck *c, const KeyRule *rule, const json_t *value) {
        const char *s = json_string_value(value);

        if (s && startswith(s, "service:") && service_name_is_valid(s + STRLEN("service:")))
                return 0;

        return check_values(c, rule, value);
}

static bool port_is_ours(const PolicyInput *input, const char *published) {
        FOREACH_ARRAY(port, input->ports, input->n_ports) {
                char number[STRLEN("65535") + 1];

                (void) snprintf(number, sizeof(number), "%" PRIu16, *port);
                if (streq_ptr(published, number))
                        return true;
        }

        return false;
}

static int check_published(PolicyCheck *c, const json_t *port) {
        const json_t *value = json_object_get(port, "published");
        const char *host = json_object_get_string(port, "host_ip"), *published = NULL;
        char number[STRLEN("-9223372036854775808") + 1];
        int r;

        if (json_is_integer(value)) {
                (void) snprintf(number, sizeof(number), "%" JSON_INTEGER_FORMAT, json_integer_value(value));
                published = number;
        } else
                published = json_string_value(value);

        if (isempty(published)) {
                r = report(c, POLICY_FOREIGN_PORT,
                                "No host port is named, so the engine would choose one; use "
                                "{{ports.NAME}}.");
                if (r < 0)
                        return r;
        } else if (!port_is_ours(c->input, published)) {
                r = report(c, POLICY_FOREIGN_PORT,
                                "The host port %s is not allocated to the instance; use {{ports.NAME}}.",
                                TEXT_FOR_ERROR(published));
                if (r < 0)
                        return r;
        }

        if (streq_ptr(host, c->input->bind_address))
                return 0;

        return report(c, POLICY_FOREIGN_PORT, "The port is published on %s instead of %s; use {{bind}}.",
                        isempty(host) ? "all addresses" : TEXT_FOR_ERROR(host), c->input->bind_address);
}

static const KeyRule port_keys[] = {
        { "name" },
        { "mode" },
        { "host_ip" }, /* this and 'published': check_published() */
        { "target" },
        { "published" },
        { "protocol" },
        { "app_protocol" },
        {},
};

static int check_ports(PolicyCheck *c, const KeyRule *rule, const json_t *value) {
        json_t *port;
        size_t i;
        int r;

        r = check_list_of_mappings(c, rule, value);
        if (r < 0)
                return r;

        json_array_foreach(value, i, port) {
                size_t size;

                size = path_push_index(c, i);
                r = check_published(c, port);
                path_pop(c, size);
                if (r < 0)
                        return r;
        }

        return 0;
}

static bool reaches_socket(const char *path) {
        FOREACH_ARRAY(s, socket_paths, ELEMENTSOF(socket_paths))
                if (path_is_beneath(path, *s) || path_is_beneath(*s, path))
                        return true;

        /* Wherever else it may be; and a path with ".." in it can lead anywhere. */
        return endswith(path, "docker.sock") || endswith(path, "containerd.sock") ||
                        endswith(path, "podman.sock") || !path_is_safe_absolute(path);
}

static int check_bind_source(PolicyCheck *c, const json_t *mount) {
        const char *source = json_object_get_string(mount, "source");
        int r;

        if (!source)
                return report(c, POLICY_BIND_OUTSIDE, "The bind mount has no source.");

        /* Two rules, since an exception from the one must not be an exception from the other. */
        if (reaches_socket(source)) {
                r = report(c, POLICY_DOCKER_SOCKET,
                                "'%s' is or has the engine's socket; who reaches it owns the host.",
                                TEXT_FOR_ERROR(source));
                if (r < 0)
                        return r;
        }

        r = check_inside(c, POLICY_BIND_OUTSIDE, source, "The folder");
        if (r <= 0 || json_is_true(json_object_get(mount, "read_only")))
                return MIN(r, 0);

        /* What is in the folder is rendered, or copied, and never restored. */
        return report(c, POLICY_BIND_WRITABLE,
                        "A container can write to '%s', which no restore brings back; use a volume.",
                        TEXT_FOR_ERROR(source));
}

static const char *const propagations[] = { "rprivate", "private", NULL };

static const KeyRule bind_keys[] = {
        { "propagation", check_values, POLICY_BIND_OUTSIDE, .values = propagations },
        { "create_host_path" },
        { "selinux" },
        { "recursive" },
        {},
};

static const KeyRule mount_volume_keys[] = {
        { "nocopy" },
        { "subpath" },
        { "labels", check_labels },
        {},
};

static const KeyRule tmpfs_keys[] = { { "size" }, { "mode" }, {} };
static const KeyRule image_keys[] = { { "subpath" }, {} };

static const KeyRule mount_keys[] = {
        { "type" },
        { "source" },
        { "target" },
        { "read_only" },
        { "consistency" },
        { "bind", check_mapping, .keys = bind_keys },
        { "volume", check_mapping, .keys = mount_volume_keys },
        { "tmpfs", check_mapping, .keys = tmpfs_keys },
        { "image", check_mapping, .keys = image_keys },
        {},
};

static int check_mount(PolicyCheck *c, const json_t *mount) {
        const char *type = strempty(json_object_get_string(mount, "type"));
        const char *source = json_object_get_string(mount, "source");

        if (streq(type, "bind"))
                return check_bind_source(c, mount);
        if (streq(type, "tmpfs") || streq(type, "image"))
                return 0;
        if (!streq(type, "volume"))
                return report(c, POLICY_UNKNOWN_KEY, "Mounts of the type '%s' are not allowed.",
                                TEXT_FOR_ERROR(type));

        /* A volume without a name is the container's own; one with a name must be declared, and is checked
         * there. */
        if (!source || json_object_get(json_object_get(c->config, "volumes"), source))
                return 0;

        return report(c, POLICY_EXTERNAL_VOLUME, "The volume '%s' is not declared in the file.",
                        TEXT_FOR_ERROR(source));
}

static int check_mounts(PolicyCheck *c, const KeyRule *rule, const json_t *value) {
        json_t *mount;
        size_t i;
        int r;

        r = check_list_of_mappings(c, rule, value);
        if (r < 0)
                return r;

        json_array_foreach(value, i, mount) {
                size_t size;

                size = path_push_index(c, i);
                r = check_mount(c, mount);
                path_pop(c, size);
                if (r < 0)
                        return r;
        }

        return 0;
}

/* A text, or a list of texts or of mappings with a path: env_file, label_file. */
static int check_file_list(PolicyCheck *c, const KeyRule *rule, const json_t *value) {
        json_t *item;
        size_t i;
        int r;

        if (!json_is_array(value))
                return check_file_path(c, rule, value);

        json_array_foreach(value, i, item) {
                const json_t *path = json_is_object(item) ? json_object_get(item, "path") : item;

                if (!path)
                        r = report(c, rule->rule, "An entry has no path.");
                else
                        r = check_file_path(c, rule, path);
                if (r < 0)
                        return r;
        }

        return 0;
}

static int check_build_context(PolicyCheck *c, const KeyRule *rule, const json_t *value) {
        const char *path = json_string_value(value);
        int r;

        r = check_inside(c, rule->rule, strempty(path), "The build context");
        return MIN(r, 0);
}

/* Relative to the context. */
static int check_dockerfile(PolicyCheck *c, const KeyRule *rule, const json_t *value) {
        const char *path = strempty(json_string_value(value));

        if (path[0] != '/' && path_is_safe_relative(startswith(path, "./") ?: path))
                return 0;

        return check_file_path(c, rule, value);
}

static int check_additional_contexts(PolicyCheck *c, const KeyRule *rule, const json_t *value) {
        const char *name;
        json_t *item;
        int r;

        if (json_is_null(value))
                return 0;
        if (!json_is_object(value))
                return report(c, rule->rule, "This is not a mapping of contexts.");

        json_object_foreach((json_t *) value, name, item) {
                const char *context = strempty(json_string_value(item));

                if (startswith(context, "docker-image://") || startswith(context, "service:"))
                        continue;

                r = check_inside(c, rule->rule, context, "The build context");
                if (r < 0)
                        return r;
        }

        return 0;
}

/* A cache is an image, or is kept by some other means that can write files of the host. */
static int check_caches(PolicyCheck *c, const KeyRule *rule, const json_t *value) {
        json_t *item;
        size_t i;
        int r;

        json_array_foreach(value, i, item) {
                const char *cache = strempty(json_string_value(item));

                if (!strchr(cache, '=') || startswith(cache, "type=registry,"))
                        continue;

                r = report(c, rule->rule, "Only images can be build caches.");
                if (r < 0)
                        return r;
        }

        return json_is_array(value) || json_is_null(value) ? 0
                                                           : report(c, rule->rule, "This is not a list.");
}

static const char *const build_networks[] = { "default", "none", "bridge", NULL };
static const KeyRule file_reference_keys[] = {
        { "source" },
        { "target" },
        { "uid" },
        { "gid" },
        { "mode" },
        {},
};

static const KeyRule build_keys[] = {
        { "context", check_build_context, POLICY_BUILD_OUTSIDE },
        { "dockerfile", check_dockerfile, POLICY_BUILD_OUTSIDE },
        { "dockerfile_inline" },
        { "additional_contexts", check_additional_contexts, POLICY_BUILD_OUTSIDE },
        { "args" },
        { "labels", check_labels },
        { "cache_from", check_caches, POLICY_BUILD_OUTSIDE },
        { "cache_to", check_caches, POLICY_BUILD_OUTSIDE },
        { "no_cache" },
        { "pull" },
        { "extra_hosts" },
        { "network", check_values, POLICY_HOST_NETWORK, .values = build_networks },
        { "target" },
        { "secrets", check_list_of_mappings, .keys = file_reference_keys },
        { "shm_size" },
        { "ulimits" },
        { "platforms" },
        { "provenance" },
        { "sbom" },
        { "privileged", check_refused, POLICY_PRIVILEGED },
        { "entitlements", check_refused, POLICY_PRIVILEGED },
        { "ssh", check_refused, POLICY_EXTRA_FILE },
        {},
};

static const KeyRule limit_keys[] = { { "cpus" }, { "memory" }, { "pids" }, {} };
static const KeyRule reservation_keys[] = {
        { "cpus" },
        { "memory" },
        { "devices", check_refused, POLICY_DEVICES },
        { "generic_resources", check_refused, POLICY_DEVICES },
        {},
};
static const KeyRule resource_keys[] = {
        { "limits", check_mapping, .keys = limit_keys },
        { "reservations", check_mapping, .keys = reservation_keys },
        {},
};
static const KeyRule deploy_keys[] = {
        { "mode" },
        { "replicas" },
        { "labels", check_labels },
        { "update_config" },
        { "rollback_config" },
        { "resources", check_mapping, .keys = resource_keys },
        { "restart_policy" },
        { "placement" },
        { "endpoint_mode" },
        {},
};

static const KeyRule hook_keys[] = {
        { "command" },
        { "user" },
        { "working_dir" },
        { "environment" },
        { "privileged", check_refused, POLICY_PRIVILEGED },
        {},
};

static const KeyRule service_network_keys[] = {
        { "aliases" },
        { "ipv4_address" },
        { "ipv6_address" },
        { "link_local_ips" },
        { "mac_address" },
        { "priority" },
        { "gw_priority" },
        { "interface_name" },
        {},
};

static const char *const network_modes[] = { "none", NULL };
static const char *const ipc_modes[] = { "none", "private", "shareable", NULL };
static const char *const cgroup_modes[] = { "private", NULL };
static const char *const no_modes[] = { NULL };

const KeyRule policy_service_keys[] = {
        { "attach" },
        { "build", check_mapping, .keys = build_keys },
        { "cap_add", check_capabilities, POLICY_CAPABILITIES },
        { "cap_drop" },
        { "cgroup", check_values, POLICY_HOST_CGROUP, .values = cgroup_modes },
        { "cgroup_parent", check_refused, POLICY_CGROUP_PARENT },
        { "command" },
        { "configs", check_list_of_mappings, .keys = file_reference_keys },
        { "container_name", check_refused, POLICY_CONTAINER_NAME },
        { "cpu_count" },
        { "cpu_percent" },
        { "cpu_period" },
        { "cpu_quota" },
        { "cpu_shares" },
        { "cpus" },
        { "cpuset" },
        { "depends_on" },
        { "deploy", check_mapping, .keys = deploy_keys },
        { "develop" }, /* read by 'compose watch' only */
        { "device_cgroup_rules", check_refused, POLICY_DEVICES },
        { "devices", check_refused, POLICY_DEVICES },
        { "dns" },
        { "dns_opt" },
        { "dns_search" },
        { "domainname" },
        { "entrypoint" },
        { "env_file", check_file_list, POLICY_EXTRA_FILE },
        { "environment" },
        { "expose" },
        { "external_links", check_refused, POLICY_EXTERNAL_NETWORK },
        { "extra_hosts" },
        { "gpus", check_refused, POLICY_DEVICES },
        { "group_add" },
        { "healthcheck" },
        { "hostname" },
        { "image" },
        { "init" },
        { "ipc", check_namespace, POLICY_HOST_IPC, .values = ipc_modes },
        { "label_file", check_file_list, POLICY_EXTRA_FILE },
        { "labels", check_labels },
        { "links" },
        { "log_driver", check_refused, POLICY_LOGGING },
        { "log_opt", check_refused, POLICY_LOGGING },
        { "logging", check_refused, POLICY_LOGGING },
        { "mac_address" },
        { "mem_limit" },
        { "mem_reservation" },
        { "mem_swappiness" },
        { "memswap_limit" },
        { "network_mode", check_namespace, POLICY_HOST_NETWORK, .values = network_modes },
        { "networks", check_map_of_mappings, .keys = service_network_keys },
        { "pid", check_namespace, POLICY_HOST_PID, .values = no_modes },
        { "pids_limit" },
        { "platform" },
        { "ports", check_ports, .keys = port_keys },
        { "post_start", check_list_of_mappings, .keys = hook_keys },
        { "pre_stop", check_list_of_mappings, .keys = hook_keys },
        { "privileged", check_refused, POLICY_PRIVILEGED },
        { "profiles" },
        { "pull_policy" },
        { "read_only" },
        { "restart" },
        { "runtime", check_refused, POLICY_RUNTIME },
        { "scale" },
        { "secrets", check_list_of_mappings, .keys = file_reference_keys },
        { "security_opt", check_security_options, POLICY_SECURITY_OPT },
        { "shm_size" },
        { "stdin_open" },
        { "stop_grace_period" },
        { "stop_signal" },
        { "sysctls", check_refused, POLICY_SYSCTLS },
        { "tmpfs" },
        { "tty" },
        { "ulimits" },
        { "use_api_socket", check_refused, POLICY_DOCKER_SOCKET },
        { "user" },
        { "userns_mode", check_refused, POLICY_HOST_USERNS },
        { "uts", check_values, POLICY_HOST_UTS, .values = no_modes },
        { "volume_driver", check_refused, POLICY_VOLUME_DRIVER_OPTS },
        { "volumes", check_mounts, .keys = mount_keys },
        { "volumes_from", check_refused, POLICY_VOLUMES_FROM },
        { "working_dir" },
        {},
};
