/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "job-images.h"

#include <errno.h>

#include "alloc-util.h"
#include "docker-cli.h"
#include "job-engine.h"
#include "job-services.h"
#include "log.h"
#include "string-util.h"

/* True if the images of all services are on this host; of those that are built nothing is expected. */
static int images_are_here(Job *j, bool optional_too, Error *reterr) {
        json_t *services = json_object_get(j->config, "services"), *service;
        const char *name;
        int r;

        json_object_foreach(services, name, service) {
                const char *image = json_object_get_string(service, "image");
                _cleanup_error_ Error error = {};

                if (!image || json_object_get(service, "build") ||
                                (!optional_too && job_service_is_optional(j, name)))
                        continue;

                r = docker_find_image(j->docker, image, NULL, &error);
                if (r == -ENOENT)
                        return 0;
                if (r < 0) {
                        error_move(reterr, &error);
                        return r;
                }
        }

        return 1;
}

int job_images_pull(Job *j, Error *reterr) {
        EngineContext c;
        _cleanup_error_ Error error = {};
        int r, k;

        r = job_engine_resolve(j, reterr);
        if (r < 0)
                return r;
        c = job_engine_context(j);
        r = images_are_here(j, true, reterr);
        if (r != 0)
                return r;

        r = j->engine->pull(&c, &error);
        if (r >= 0)
                return 0;

        k = streq_ptr(error.name, CCP_ERROR_ENGINE_FAILED) ? images_are_here(j, false, NULL) : 0;
        if (k <= 0) {
                error_move(reterr, &error);
                return r;
        }

        log_warning("Images of optional services are missing: %s", strempty(error.message));
        j->detail = TAKE_PTR(error.message);
        return 0;
}

int job_images_build(Job *j, Error *reterr) {
        EngineContext c;
        json_t *services, *service;
        const char *name;
        unsigned n = 0;
        int r;

        r = job_engine_resolve(j, reterr);
        if (r < 0)
                return r;
        c = job_engine_context(j);

        services = json_object_get(j->config, "services");
        json_object_foreach(services, name, service)
                n += json_object_get(service, "build") != NULL;
        if (n == 0)
                return 1;

        return j->engine->build(&c, &n, reterr);
}

/* Images are named PROJECT-SERVICE. */
static int list_own_images(Job *j, char ***ret, Error *reterr) {
        _cleanup_free_ char *filter = strjoin("label=" COMPOSE_LABEL_PROJECT "=", j->project),
                            *prefix = strjoin(j->project, "-");
        char *argv[] = { (char *) "image", (char *) "ls", (char *) "--no-trunc", (char *) "--filter", filter,
                (char *) "--format={{.Repository}}:{{.Tag}} {{.ID}}", NULL };
        _cleanup_process_result_ ProcessResult result = {};
        _cleanup_strv_free_ char **l = NULL;
        char *saveptr = NULL;
        int r;

        if (!filter || !prefix)
                return error_set_errnof(reterr, ENOMEM, "%m");

        r = docker_cli(j, argv, NULL, &result, reterr);
        if (r < 0)
                return r;

        for (char *line = result.out.data ? strtok_r(result.out.data, "\n", &saveptr) : NULL; line;
                        line = strtok_r(NULL, "\n", &saveptr)) {
                char *id = strchr(line, ' ');

                if (!id)
                        continue;
                *id++ = 0;

                /* One without a name is what a later build left behind. */
                r = startswith(line, prefix)                  ? strv_extend(&l, line)
                                : startswith(line, "<none>:") ? strv_extend(&l, id)
                                                              : 0;
                if (r < 0)
                        return error_set_errnof(reterr, r, "%m");
        }

        *ret = TAKE_PTR(l);
        return 0;
}

int job_images_remove(Job *j, Error *reterr) {
        _cleanup_strv_free_ char **images = NULL, **argv = NULL;
        _cleanup_process_result_ ProcessResult result = {};
        int r;

        r = list_own_images(j, &images, reterr);
        if (r < 0)
                return r;
        if (!images)
                return 0;

        r = strv_extend(&argv, "image");
        if (r >= 0)
                r = strv_extend(&argv, "rm");
        STRV_FOREACH(s, images)
                if (r >= 0)
                        r = strv_extend(&argv, *s);
        if (r < 0)
                return error_set_errnof(reterr, r, "%m");

        return docker_cli(j, argv, NULL, &result, reterr);
}
