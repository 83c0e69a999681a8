/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "docker-list.h"

#include "alloc-util.h"
#include "docker-transfer.h"
#include "json-util.h"

static int on_item(const char *data, size_t size, void *userdata) {
        _cleanup_json_ json_t *json = NULL;
        DockerListReader *reader = userdata;
        int r;

        if (!data) {
                reader->n_too_large++;
                return 0;
        }

        r = docker_json_load(data, size, &json);
        if (r < 0)
                return r;
        if (!GREEDY_REALLOC(reader->list.items, reader->n_allocated, reader->list.n + 1))
                return -ENOMEM;
        r = docker_object_from_summary(
                        DOCKER_CONTAINER, json, now(CLOCK_REALTIME), reader->list.items + reader->list.n);
        if (r < 0)
                return r;

        reader->list.n++;
        return 0;
}

int docker_list_reader_feed(const char *data, size_t size, void *reader) {
        DockerListReader *l = reader;

        return json_splitter_feed(&l->splitter, data, size, on_item, l);
}

int docker_list_reader_finish(DockerListReader *r, DockerObjects *ret, Error *reterr) {
        if (!r->splitter.ended)
                return error_setf(reterr, CCP_ERROR_ENGINE_FAILED,
                                "The Docker Engine answered with something that is no list.");

        *ret = TAKE_GENERIC(r->list, (DockerObjects) {});
        return 0;
}

void docker_list_reader_done(DockerListReader *r) {
        json_splitter_done(&r->splitter);
        docker_objects_done(&r->list);
        *r = (DockerListReader) {};
}
