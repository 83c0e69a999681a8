/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Any JSON as the resolved compose file. What passes can be given to override_make(), and has none of the
 * words that must never pass. */

#include <stdlib.h>

#include "fuzz.h"
#include "override.h"
#include "policy.h"
#include "string-util.h"

#define DIR "/var/lib/ccpd/instances/demo"

/* True if a service of the file has a truth at this key. */
static bool any_service_has(const json_t *config, const char *key) {
        const char *name;
        json_t *service;

        json_object_foreach(json_object_get(config, "services"), name, service)
                if (json_is_true(json_object_get(service, key)))
                        return true;

        return false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        static const Subnet subnet = { 0x0AC80040, 26 };
        static const uint16_t ports[] = { 20000, 20001, 20002, 20003 };
        static const ResourceLimits limits = { .memory = 1 << 29, .cpus = 1500, .pids = 100 };
        static const PolicyInput input = {
                .project = "demo_ccp",
                .directory = DIR,
                .revision = DIR "/revisions/1",
                .compose = "docker-compose.yml",
                .bind_address = "127.0.0.1",
                .ports = ports,
                .n_ports = ELEMENTSOF(ports),
                .subnet = &subnet,
        };
        _cleanup_policy_violations_ PolicyViolations violations = {};
        _cleanup_json_ json_t *config = NULL;
        _cleanup_error_ Error e = {}, f = {};
        _cleanup_free_ char *text = NULL;

        config = json_loadb((const char *) data, size, JSON_DECODE_ANY, NULL);
        if (!config)
                return 0;

        if (policy_check(config, &input, &violations) < 0)
                abort();
        FOREACH_ARRAY(v, violations.items, violations.n)
                if (!string_is_safe(v->message) || !string_is_safe(v->path))
                        abort();
        if ((policy_violations_to_error(&violations, &e) < 0) != (violations.n > 0))
                abort();
        if (violations.n > 0)
                return 0;

        if (any_service_has(config, "privileged") || any_service_has(config, "use_api_socket"))
                abort();
        if (override_make(config,
                            &(const OverrideInput) { .slug = "demo",
                                            .id = "1",
                                            .revision = 1,
                                            .subnet = &subnet,
                                            .limits = &limits },
                            &text, &f) < 0 &&
                        !error_is_set(&f))
                abort();

        return 0;
}
