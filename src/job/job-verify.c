/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "alloc-util.h"
#include "docker-cli.h"
#include "job-engine.h"
#include "job-services.h"
#include "json-util.h"
#include "string-util.h"
#include "strv.h"

/* The value as compose handed it to the container: its config doubles each $. */
static char *undouble_dollars(const char *s) {
        char *copy = strdup(s), *out = copy;

        if (!copy)
                return NULL;

        for (const char *in = s; *in; in++) {
                if (in[0] == '$' && in[1] == '$')
                        in++;
                *out++ = *in;
        }
        *out = 0;
        return copy;
}

/* The value of a variable in an array of "NAME=value"; NULL if it is not set. */
static const char *find_variable(const json_t *env, const char *name) {
        const json_t *item;
        size_t i;

        json_array_foreach(env, i, item) {
                const char *rest = startswith(strempty(json_string_value(item)), name);

                if (rest && *rest == '=')
                        return rest + 1;
        }

        return NULL;
}

static int verify_environment(const char *service, json_t *wanted, const json_t *env, Error *reterr) {
        const char *name;
        json_t *value;

        json_object_foreach(wanted, name, value) {
                _cleanup_erase_ char *plain = NULL;
                const char *is = find_variable(env, name);

                if (!json_is_string(value))
                        continue;

                plain = undouble_dollars(json_string_value(value));
                if (!plain)
                        return error_set_errnof(reterr, ENOMEM, "%m");
                /* The value itself may be a secret. */
                if (!is || !streq(is, plain))
                        return error_setf(reterr, CCP_ERROR_ENGINE_FAILED,
                                        "The container of the service '%s' does not run with what was "
                                        "rendered: its variable %s %s.",
                                        service, name, is ? "has another value" : "is not set");
        }

        return 0;
}

static int inspect(Job *j, const DockerObjects *containers, json_t **ret, Error *reterr) {
        _cleanup_process_result_ ProcessResult result = {};
        _cleanup_strv_free_ char **argv = NULL;
        json_t *a = NULL;
        int r;

        r = strv_extend(&argv, "container");
        if (r >= 0)
                r = strv_extend(&argv, "inspect");
        FOREACH_ARRAY(o, containers->items, containers->n)
                if (r >= 0)
                        r = strv_extend(&argv, o->id);
        if (r < 0)
                return error_set_errnof(reterr, r, "%m");

        r = docker_cli(j, argv, NULL, &result, reterr);
        if (r < 0)
                return r;

        r = json_parse(strempty(result.out.data), result.out.size, 0, &a);
        if (r == -ENOMEM)
                return error_set_errnof(reterr, r, "%m");
        if (!json_is_array(a)) {
                json_decref(a);
                return error_setf(
                                reterr, CCP_ERROR_ENGINE_FAILED, "'docker container inspect' gave no JSON.");
        }

        *ret = a;
        return 0;
}

/* Looks at one container, and notes its image. Returns the service's name, borrowed from the container. */
static int verify_container(Job *j, const json_t *container, json_t *images, Error *reterr) {
        const json_t *config = json_object_get(container, "Config"),
                     *labels = json_object_get(config, "Labels");
        const char *service = json_object_get_string(labels, COMPOSE_LABEL_SERVICE),
                   *revision = json_object_get_string(labels, CCP_LABEL_REVISION),
                   *oneoff = json_object_get_string(labels, COMPOSE_LABEL_ONEOFF);
        const json_t *wanted = service ? job_service_find(j, service) : NULL;
        char number[STRLEN("4294967295") + 1];
        json_t *image;
        int r;

        if (!wanted || (oneoff && strcasecmp(oneoff, "true") == 0))
                return 0;

        (void) snprintf(number, sizeof(number), "%" PRIu32, j->revision);
        if (!streq_ptr(revision, number))
                return error_setf(reterr, CCP_ERROR_ENGINE_FAILED,
                                "The container of the service '%s' is of revision %s, not of %s.", service,
                                revision ?: "none", number);

        r = verify_environment(service, json_object_get(wanted, "environment"),
                        json_object_get(config, "Env"), reterr);
        if (r < 0)
                return r;

        image = json_pack("{s:s, s:s}", "image", strempty(json_object_get_string(config, "Image")), "digest",
                        strempty(json_object_get_string(container, "Image")));
        if (!image || json_object_set_new(images, service, image) < 0)
                return error_set_errnof(reterr, ENOMEM, "%m");

        return 0;
}

/* What somebody wants to have stopped may have no container; its image is that of before. */
static int keep_image(const Job *j, const char *service, json_t *images, Error *reterr) {
        json_t *image = json_object_get(job_instance(j)->images, service);

        return image && json_object_set(images, service, image) < 0 ? error_set_errnof(reterr, ENOMEM, "%m")
                                                                    : 0;
}

int job_engine_verify(Job *j, json_t **ret_images, Error *reterr) {
        _cleanup_json_ json_t *containers = NULL, *images = json_object();
        _cleanup_docker_objects_ DockerObjects list = {};
        const json_t *container;
        json_t *service;
        const char *name;
        size_t i;
        int r;

        r = job_engine_resolve(j, reterr);
        if (r >= 0)
                r = job_engine_list_containers(j, &list, reterr);
        if (r >= 0 && list.n > 0)
                r = inspect(j, &list, &containers, reterr);
        if (r < 0)
                return r;
        if (!images)
                return error_set_errnof(reterr, ENOMEM, "%m");

        json_array_foreach(containers, i, container) {
                r = verify_container(j, container, images, reterr);
                if (r < 0)
                        return r;
        }

        json_object_foreach(json_object_get(j->config, "services"), name, service) {
                if (json_object_get(images, name) || job_service_is_optional(j, name))
                        continue;
                if (strv_contains(job_instance(j)->stopped_services, name)) {
                        r = keep_image(j, name, images, reterr);
                        if (r < 0)
                                return r;
                        continue;
                }

                return error_setf(
                                reterr, CCP_ERROR_ENGINE_FAILED, "The service '%s' has no container.", name);
        }

        *ret_images = TAKE_PTR(images);
        return 0;
}
