/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <errno.h>
#include <stdio.h>

#include "alloc-util.h"
#include "doctor.h"
#include "process.h"
#include "string-util.h"

/* Before 2.20, compose has no "include", and calls a finished one-shot a failure of its dependants. */
#define COMPOSE_MAJOR_MIN 2U
#define COMPOSE_MINOR_MIN 20U
#define COMPOSE_TIMEOUT_USEC (8 * USEC_PER_SEC)
#define ENGINE_TIMEOUT_USEC (5 * USEC_PER_SEC)

static int check_compose(json_t *findings) {
        static const char *const argv[] = { "docker", "compose", "version", "--short", NULL };
        _cleanup_process_result_ ProcessResult result = {};
        unsigned major, minor;
        const char *version;
        int r;

        r = process_run((char *const *) argv,
                        &(ProcessOptions) { .stdin_fd = -EBADF, .timeout = COMPOSE_TIMEOUT_USEC }, &result);
        if (r < 0 || result.status != 0)
                return findings_addf(findings, "compose", FINDING_FAILED,
                                "Install the package docker-compose (version 2.20 or newer).",
                                "'docker compose' cannot be run.");

        result.out.data[strcspn(result.out.data, "\n")] = 0;
        version = result.out.data[0] == 'v' ? result.out.data + 1 : result.out.data;
        if (!string_is_safe(version) || sscanf(version, "%u.%u", &major, &minor) != 2)
                return findings_addf(findings, "compose", FINDING_UNKNOWN, NULL,
                                "'docker compose version' says something that is no version.");
        if (major < COMPOSE_MAJOR_MIN || (major == COMPOSE_MAJOR_MIN && minor < COMPOSE_MINOR_MIN))
                return findings_addf(findings, "compose", FINDING_FAILED, "Install version 2.20 or newer.",
                                "Docker Compose is %.32s, which is too old.", version);

        return findings_addf(findings, "compose", FINDING_OK, NULL, "Docker Compose is %.32s.", version);
}

static int check_driver(json_t *findings, const json_t *info) {
        const char *driver = strempty(json_object_get_string(info, "CgroupDriver"));

        if (!streq(driver, "systemd"))
                return findings_addf(findings, "engine-slices", FINDING_FAILED,
                                "Set \"exec-opts\": [\"native.cgroupdriver=systemd\"] in "
                                "/etc/docker/daemon.json and restart Docker.",
                                "The Engine does not use systemd for control groups: instances have no "
                                "slice.");

        return findings_addf(findings, "engine-slices", FINDING_OK, NULL,
                        "The Engine puts containers into slices.");
}

/* Networks that others make must not come to lie where ccpd puts those of instances. */
static int check_pools(json_t *findings, const json_t *info, const Subnet *ours) {
        json_t *pools = json_object_get_typed(info, "DefaultAddressPools", JSON_ARRAY), *pool;
        size_t i;

        if (!ours)
                return 0;

        json_array_foreach(pools, i, pool) {
                const char *base = json_object_get_string(pool, "Base");
                Subnet theirs;

                if (base && subnet_parse(base, &theirs) >= 0 && subnet_overlaps(&theirs, ours))
                        return findings_addf(findings, "address-pools", FINDING_WARNING,
                                        "Give ccpd another one (ccpctl settings set subnet_pool=…) or the "
                                        "Engine "
                                        "(\"default-address-pools\" in /etc/docker/daemon.json).",
                                        "The Engine takes networks from %s, which overlaps with %s of ccpd.",
                                        SUBNET_FORMAT(&theirs), SUBNET_FORMAT(ours));
        }

        return findings_addf(findings, "address-pools", FINDING_OK, NULL,
                        "The Engine's own networks stay out of %s.", SUBNET_FORMAT(ours));
}

int doctor_check_engine(json_t *findings, Docker *docker, bool runs, const Subnet *pool, char **ret_root) {
        _cleanup_json_ json_t *info = NULL;
        _cleanup_error_ Error error = {};
        const char *version, *root;
        int r;

        if (!runs) {
                r = findings_addf(findings, "engine", FINDING_FAILED, "To start it: systemctl start docker",
                                "Docker was stopped.");
                return r < 0 ? r : check_compose(findings);
        }

        docker_set_timeout(docker, ENGINE_TIMEOUT_USEC);
        r = docker_ping(docker, &error);
        if (r >= 0)
                r = docker_info(docker, &info, &error);
        if (r == -ENOMEM)
                return r;
        if (r < 0) {
                r = findings_addf(findings, "engine", FINDING_FAILED,
                                "See: systemctl status docker; journalctl -u docker", "%s", error.message);
                return r < 0 ? r : check_compose(findings);
        }

        version = strempty(json_object_get_string(info, "ServerVersion"));
        r = findings_addf(findings, "engine", FINDING_OK, NULL, "Docker Engine %.32s answers, API %s.",
                        string_is_safe(version) ? version : "?", docker_api_version(docker));
        if (r < 0)
                return r;
        r = check_compose(findings);
        if (r < 0)
                return r;
        r = check_driver(findings, info);
        if (r < 0)
                return r;
        r = check_pools(findings, info, pool);
        if (r < 0)
                return r;

        r = doctor_check_containers(findings, docker);
        if (r < 0)
                return r;

        root = json_object_get_string(info, "DockerRootDir");
        if (root && root[0] == '/') {
                *ret_root = strdup(root);
                if (!*ret_root)
                        return -ENOMEM;
        }
        return 0;
}
