/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "docker-df.h"

#include "alloc-util.h"
#include "docker-transfer.h"

void docker_df_done(DockerDf *df) {
        FOREACH_ARRAY(i, df->items, df->n) {
                free(i->instance);
                free(i->name);
        }
        free(df->items);
        *df = (DockerDf) {};
}

static int df_add(DockerDf *df, DockerKind kind, const char *instance, const char *name, uint64_t bytes) {
        DockerDfItem *i;

        if (!GREEDY_REALLOC(df->items, df->n_allocated, df->n + 1))
                return -ENOMEM;

        i = df->items + df->n++;
        *i = (DockerDfItem) {
                .kind = kind,
                .instance = strdup(instance),
                .name = strdup(name),
                .bytes = bytes,
        };
        return i->instance && i->name ? 0 : -ENOMEM;
}

/* The Engine writes -1 for what it did not measure, and leaves out a container's 0. */
static int read_size(const json_t *item, DockerKind kind, uint64_t *ret) {
        const json_t *size = kind == DOCKER_VOLUME
                        ? json_object_get(json_object_get(item, "UsageData"), "Size")
                        : json_object_get(item, "SizeRw");
        json_int_t n = json_integer_value(size);

        if ((kind == DOCKER_VOLUME || size) && (!json_is_integer(size) || n < 0))
                return -ENODATA;
        *ret = (uint64_t) n;
        return 0;
}

static int df_read_item(DockerDf *df, DockerKind kind, const json_t *item) {
        const json_t *labels = json_object_get(item, "Labels");
        const char *instance = json_object_get_string(labels, CCP_LABEL_ID),
                   *name = json_object_get_string(
                                   labels, kind == DOCKER_VOLUME ? COMPOSE_LABEL_VOLUME : CCP_LABEL_SERVICE);
        uint64_t bytes;

        if (kind == DOCKER_VOLUME && !name)
                name = json_object_get_string(item, "Name");
        if (!instance || isempty(name) || strlen(instance) > DOCKER_DF_NAME_MAX ||
                        strlen(name) > DOCKER_DF_NAME_MAX || !string_is_safe(name) ||
                        read_size(item, kind, &bytes) < 0)
                return 0;

        return df_add(df, kind, instance, name, bytes);
}

int docker_df_from_json(const json_t *json, DockerDf *ret) {
        static const struct {
                const char *key;
                DockerKind kind;
        } lists[] = {
                { "Volumes", DOCKER_VOLUME },
                { "Containers", DOCKER_CONTAINER },
        };
        _cleanup_docker_df_ DockerDf df = {};
        const json_t *item;
        size_t k;
        int r;

        if (!json_is_object(json))
                return -EBADMSG;

        FOREACH_ARRAY(l, lists, ELEMENTSOF(lists)) {
                const json_t *array = json_object_get(json, l->key);

                /* The Engine writes null for none. */
                if (array && !json_is_null(array) && !json_is_array(array))
                        return -EBADMSG;
                json_array_foreach(array, k, item) {
                        r = df_read_item(&df, l->kind, item);
                        if (r < 0)
                                return r;
                }
        }

        *ret = TAKE_GENERIC(df, (DockerDf) {});
        return 0;
}

int docker_read_df(Docker *d, DockerDf *ret, Error *reterr) {
        _cleanup_json_ json_t *json = NULL;
        int r;

        r = docker_call(d, "GET", "/system/df?type=volume&type=container", &json, reterr);
        if (r < 0)
                return r;

        r = docker_df_from_json(json, ret);
        if (r == -EBADMSG)
                return error_setf(reterr, CCP_ERROR_ENGINE_FAILED,
                                "What the Docker Engine says of the use of the disk can't be understood.");
        return r < 0 ? error_set_errnof(reterr, r, "Cannot read the Docker Engine's answer: %m") : 0;
}
