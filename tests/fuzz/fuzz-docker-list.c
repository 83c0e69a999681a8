/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The Engine's lists and inspects. */

#include "docker-transfer.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_json_ json_t *json = json_loadb((const char *) data, size, 0, NULL);

        if (!json)
                return 0;

        for (DockerKind kind = 0; kind < _DOCKER_KIND_MAX; kind++) {
                _cleanup_docker_objects_ DockerObjects l = {};
                _cleanup_docker_object_ DockerObject o = {};

                if (docker_objects_from_json(kind, json, 1700000000 * USEC_PER_SEC, &l) >= 0)
                        FOREACH_ARRAY(i, l.items, l.n)
                                if (!i->id || !i->name || i->state < 0 || i->health < 0)
                                        abort();
                if (docker_object_from_inspect(kind, json, &o) >= 0 && (!o.id || !o.name || o.state < 0))
                        abort();
        }

        return 0;
}
