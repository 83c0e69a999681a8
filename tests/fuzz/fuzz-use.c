/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What is read of the use: the kernel's files, the Engine's account of the disk, and the request of a reader of metrics. The
 * first byte chooses. */

#include <stdlib.h>

#include "alloc-util.h"
#include "docker-df.h"
#include "fuzz.h"
#include "http-request.h"
#include "resource-limits.h"
#include "string-util.h"
#include "use-cgroup.h"
#include "use-network.h"

static void fuzz_cgroup(const char *text) {
        uint64_t a, b;

        if (cgroup_parse_number(text, &a) < 0 && a != USE_UNKNOWN)
                abort();
        (void) cgroup_parse_key(text, "usage_usec", &a);
        if (cgroup_parse_io(text, &a, &b) < 0 && (a != USE_UNKNOWN || b != USE_UNKNOWN))
                abort();
}

static void fuzz_network(const char *text) {
        const Subnet subnet = { .address = 0x0AC80000, .prefix = 15 };
        _cleanup_network_snapshot_ NetworkSnapshot s = {};
        NetworkInterface *interfaces = NULL;
        size_t n_interfaces = 0, n_routes = 0;
        Route *routes = NULL;
        Use u;

        use_reset(&u);
        (void) network_interfaces_from_text(text, &interfaces, &n_interfaces);
        (void) routes_from_text(text, &routes, &n_routes);
        network_snapshot_init(&s, routes, n_routes, interfaces, n_interfaces);
        network_snapshot_get(&s, &subnet, &u);
}

static void fuzz_df(const char *text, size_t size) {
        _cleanup_json_ json_t *json = json_loadb(text, size, 0, NULL);
        _cleanup_docker_df_ DockerDf df = {};

        if (json && docker_df_from_json(json, &df) >= 0)
                FOREACH_ARRAY(i, df.items, df.n)
                        if (!i->instance || isempty(i->name) || strlen(i->name) > DOCKER_DF_NAME_MAX)
                                abort();
}

/* Whatever is taken is written so that it is taken again, and means the same. */
static void fuzz_limits(const char *text) {
        for (LimitKind k = 0; k < _LIMIT_KIND_MAX; k++) {
                ResourceLimits limits = {}, again = {};

                if (limits_set(&limits, k, text) >= 0 &&
                                (limits_set(&again, k, LIMIT_FORMAT(&limits, k)) < 0 ||
                                                memcmp(&limits, &again, sizeof(limits)) != 0))
                        abort();
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_free_ char *text = NULL;
        bool head_only;

        if (size == 0)
                return 0;
        text = strndup((const char *) data + 1, size - 1);
        if (!text)
                return 0;

        switch (data[0]) {
        case 'c':
                fuzz_cgroup(text);
                break;
        case 'n':
                fuzz_network(text);
                break;
        case 'd':
                fuzz_df((const char *) data + 1, size - 1);
                break;
        case 'l':
                fuzz_limits(text);
                break;
        default:
                if (http_request_check((const char *) data + 1, size - 1, "/metrics", &head_only) >=
                                _HTTP_STATUS_MAX)
                        abort();
        }
        return 0;
}
