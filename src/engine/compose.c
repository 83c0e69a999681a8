/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "compose.h"

#include <stdio.h>

#include "alloc-util.h"
#include "compose-removal.h"
#include "compose-run.h"
#include "redact.h"
#include "string-util.h"

/* Above it, compose's own stop may hang on a container that does not end. */
#define STOP_TIMEOUT_USEC (10 * USEC_PER_MINUTE)
/* An idle container ends by itself, whatever becomes of who made it: a week is longer than any job. */
#define IDLE_SECONDS "604800"

static int require_files(const EngineContext *c, Error *reterr) {
        if (compose_has_files(c))
                return 0;

        return error_setf(reterr, CCP_ERROR_INTERNAL,
                        "The compose file or %s of the instance '%s' is missing in %s.",
                        ENGINE_OVERRIDE_FILE, c->owner.slug, c->directory);
}

static int arguments_new(char ***ret, const char *const *words, char *const *more) {
        _cleanup_strv_free_ char **l = NULL;

        for (const char *const *w = words; *w; w++)
                if (strv_extend(&l, *w) < 0)
                        return -ENOMEM;
        STRV_FOREACH(m, more)
                if (strv_extend(&l, *m) < 0)
                        return -ENOMEM;

        *ret = TAKE_PTR(l);
        return 0;
}

/* A verb and services, run with the override file. */
static int run_verb(const EngineContext *c, const char *const *words, char *const *services, usec_t timeout,
                Error *reterr) {
        _cleanup_strv_free_ char **arguments = NULL;
        ComposeRun run = { .n_expected = strv_length(services), .timeout = timeout };
        int r;

        r = require_files(c, reterr);
        if (r < 0)
                return r;
        r = arguments_new(&arguments, words, services);
        if (r < 0)
                return error_set_errnof(reterr, r, "Cannot run docker compose: %m");

        run.arguments = arguments;
        return compose_run(c, &run, NULL, reterr);
}

static int compose_config(const EngineContext *c, EngineConfigFlags flags, json_t **ret, Error *reterr) {
        _cleanup_compose_run_result_ ComposeRunResult result = {};
        ComposeRun run = {
                .arguments = (char *const[]) { (char *) "config", (char *) "--format", (char *) "json",
                                NULL },
                .without_override = flags & ENGINE_CONFIG_BARE,
                .whole_stdout = true,
        };
        int r;

        r = compose_run(c, &run, &result, reterr);
        if (r < 0)
                return r;

        r = json_parse(strempty(result.process.out.data), result.process.out.size, JSON_REJECT_DUPLICATES,
                        ret);
        if (r == -EBADMSG)
                return error_setf(reterr, CCP_ERROR_ENGINE_FAILED,
                                "docker compose config wrote something that is no JSON.");
        return r < 0 ? error_set_errnof(reterr, r, "Cannot read what docker compose config wrote: %m") : 0;
}

/* The image that a service runs. Free it. */
static int service_image(const EngineContext *c, const char *name, const json_t *service, char **ret) {
        const char *image = json_object_get_string(service, "image");

        *ret = image ? strdup(image) : strjoin(c->project, "-", name);
        return *ret ? 0 : -ENOMEM;
}

typedef struct MissingImages {
        StringBuilder text;
        size_t n;
} MissingImages;

static int missing_add(const EngineContext *c, MissingImages *m, const char *service, const char *image,
                const ComposeProgress *progress) {
        const char *failure = progress ? compose_progress_failure(progress, service) : NULL;
        _cleanup_erase_ char *redacted = NULL, *reason = NULL;
        int r;

        r = redact(strempty(failure), c->redact, &redacted);
        if (r < 0)
                return r;
        r = text_make_printable(redacted, strlen(redacted), &reason);
        if (r < 0)
                return r;

        string_builder_appendf(&m->text, "%s%s of service %s%s%s", m->n > 0 ? "; " : "", image, service,
                        reason[0] ? ": " : "", reason);
        m->n++;
        return 0;
}

/* Looks for the images of all services that are built, or of all others. 'progress' may know why one is
 * missing. */
static int find_missing(const EngineContext *c, const json_t *config, bool built,
                const ComposeProgress *progress, MissingImages *ret, Error *reterr) {
        json_t *services = json_object_get(config, "services"), *service;
        const char *name;
        int r;

        json_object_foreach(services, name, service) {
                _cleanup_error_ Error error = {};
                _cleanup_free_ char *image = NULL;

                if (json_is_object(json_object_get(service, "build")) != built)
                        continue;
                r = service_image(c, name, service, &image);
                if (r < 0)
                        return error_set_errnof(reterr, r, "Cannot look for images: %m");

                r = docker_find_image(c->docker, image, NULL, &error);
                if (r == -ENOENT)
                        r = missing_add(c, ret, name, image, progress);
                if (r < 0) {
                        if (error_is_set(&error))
                                error_move(reterr, &error);
                        return r;
                }
        }

        return 0;
}

/* Fails where an image is missing. */
static int require_images(const EngineContext *c, const json_t *config, bool built,
                const ComposeProgress *progress, Error *reterr) {
        _cleanup_string_builder_ StringBuilder text = {};
        MissingImages missing = {};
        int r;

        r = find_missing(c, config, built, progress, &missing, reterr);
        text = missing.text;
        if (r < 0 || missing.n == 0)
                return r;

        return error_setf(reterr, CCP_ERROR_ENGINE_FAILED, "%s not on this host and could not be %s: %s",
                        missing.n > 1 ? "Images are" : "An image is", built ? "built" : "fetched",
                        text.failed ? "out of memory" : text.data);
}

static size_t count_services(const json_t *config, bool built) {
        json_t *services = json_object_get(config, "services"), *service;
        const char *name;
        size_t n = 0;

        json_object_foreach(services, name, service)
                n += json_is_object(json_object_get(service, "build")) == built;
        return n;
}

static int get_config(const EngineContext *c, json_t **ret, Error *reterr) {
        int r;

        r = require_files(c, reterr);
        if (r < 0)
                return r;
        if (!c->resolved)
                return compose_config(c, 0, ret, reterr);

        *ret = json_incref(c->resolved);
        return 0;
}

static int compose_pull(const EngineContext *c, Error *reterr) {
        _cleanup_compose_run_result_ ComposeRunResult result = {};
        _cleanup_error_ Error pull_error = {};
        _cleanup_json_ json_t *config = NULL;
        ComposeRun run = {
                .arguments = (char *const[]) { (char *) "pull", (char *) "--policy", (char *) "missing",
                                (char *) "--ignore-buildable", NULL },
        };
        int r, k;

        r = get_config(c, &config, reterr);
        if (r < 0)
                return r;

        run.n_expected = count_services(config, false);
        if (run.n_expected == 0)
                return 0;

        r = compose_run(c, &run, &result, &pull_error);
        if (r < 0 && !streq_ptr(pull_error.name, CCP_ERROR_ENGINE_FAILED)) {
                error_move(reterr, &pull_error);
                return r;
        }

        /* A pull that failed is good enough where the images are here already; one that succeeded is not
         * where they aren't. */
        k = require_images(c, config, false, &result.progress, reterr);
        if (k < 0 && r < 0 && strv_length(result.progress.failed) == 0)
                return error_prefixf(reterr, k, "%s", strempty(pull_error.message));
        return k;
}

static int compose_build(const EngineContext *c, unsigned *ret_n, Error *reterr) {
        _cleanup_json_ json_t *config = NULL;
        size_t n;
        int r;

        r = get_config(c, &config, reterr);
        if (r < 0)
                return r;

        n = count_services(config, true);
        if (n > 0) {
                r = run_verb(c, (const char *const[]) { "build", NULL }, NULL, 0, reterr);
                if (r < 0)
                        return r;
                r = require_images(c, config, true, NULL, reterr);
                if (r < 0)
                        return r;
        }

        *ret_n = (unsigned) n;
        return 0;
}

static bool is_of_revision(const EngineContext *c, const DockerObject *o) {
        char text[STRLEN("4294967295") + 1];

        (void) snprintf(text, sizeof(text), "%u", c->revision);
        return streq_ptr(o->revision, text);
}

/* A one-shot that did its work for this revision. */
static bool is_completed(const EngineContext *c, const DockerObject *o) {
        return !o->oneoff && o->state == CONTAINER_EXITED && o->exit_code == 0 && is_of_revision(c, o);
}

typedef struct UpPlan {
        char **services;
        bool keep; /* something is left out, and whatever exists is of this revision already */
} UpPlan;

static void up_plan_done(UpPlan *p) {
        strv_free(p->services);
}
#define _cleanup_up_plan_ _cleanup_(up_plan_done)

/* Compose can't start what is paused. */
static int unpause(const EngineContext *c, const DockerObjects *containers, char *const *services,
                Error *reterr) {
        FOREACH_ARRAY(o, containers->items, containers->n) {
                int r;

                if (o->state != CONTAINER_PAUSED || !o->service || !strv_contains(services, o->service))
                        continue;
                r = docker_unpause(c->docker, o->id, &c->owner, reterr);
                if (r < 0)
                        return r;
        }

        return 0;
}

static int up_plan_make(const EngineContext *c, char *const *services, char *const *once, UpPlan *ret,
                Error *reterr) {
        _cleanup_docker_objects_ DockerObjects containers = {};
        _cleanup_up_plan_ UpPlan p = {};
        bool is_current = true;
        int r;

        r = docker_list_owned(c->docker, DOCKER_CONTAINER, &c->owner, &containers, reterr);
        if (r < 0)
                return r;

        r = unpause(c, &containers, services, reterr);
        if (r < 0)
                return r;

        STRV_FOREACH(s, services) {
                bool completed = false;

                FOREACH_ARRAY(o, containers.items, containers.n) {
                        if (!streq_ptr(o->service, *s))
                                continue;
                        completed = completed || (strv_contains(once, *s) && is_completed(c, o));
                        is_current = is_current && is_of_revision(c, o);
                }
                if (!completed && strv_extend(&p.services, *s) < 0)
                        return error_set_errnof(reterr, ENOMEM, "Cannot run docker compose: %m");
        }

        p.keep = is_current && strv_length(p.services) < strv_length(services);
        *ret = TAKE_GENERIC(p, (UpPlan) {});
        return 0;
}

static int compose_up(const EngineContext *c, char *const *services, char *const *once, Error *reterr) {
        /* With --no-deps the services named are all that is looked at: depends_on counts among them, and
         * nothing of another stage is touched. But a service without a one-shot that it depends on looks
         * changed to compose, which would make its container anew; so what is of this revision is kept. */
        static const char *const words[] = { "up", "--detach", "--no-build", "--pull", "never",
                "--quiet-pull", "--no-deps", NULL };
        static const char *const words_keep[] = { "up", "--detach", "--no-build", "--pull", "never",
                "--quiet-pull", "--no-deps", "--no-recreate", NULL };
        _cleanup_up_plan_ UpPlan plan = {};
        int r;

        /* Without names compose would start everything. */
        if (strv_length(services) == 0)
                return error_set_errnof(reterr, EINVAL, "No service was named to be started.");

        r = compose_check_foreign(c, reterr);
        if (r < 0)
                return r;
        r = up_plan_make(c, services, once, &plan, reterr);
        if (r < 0 || strv_length(plan.services) == 0)
                return r;

        return run_verb(c, plan.keep ? words_keep : words, plan.services, 0, reterr);
}

static int compose_idle(const EngineContext *c, const char *service, const char *name, char **ret_id,
                Error *reterr) {
        const char *const words[] = { "run", "--detach", "--rm", "--no-deps", "--quiet-pull", "--name", name,
                "--entrypoint", "sleep", service, IDLE_SECONDS, NULL };
        _cleanup_compose_run_result_ ComposeRunResult result = {};
        _cleanup_strv_free_ char **arguments = NULL;
        ComposeRun run = { .n_expected = 1, .whole_stdout = true };
        char *id;
        int r;

        r = require_files(c, reterr);
        if (r >= 0)
                r = compose_check_foreign(c, reterr);
        if (r < 0)
                return r;
        if (arguments_new(&arguments, words, NULL) < 0)
                return error_set_errnof(reterr, ENOMEM, "Cannot run docker compose: %m");

        run.arguments = arguments;
        r = compose_run(c, &run, &result, reterr);
        if (r < 0)
                return r;
        id = strndup(strempty(result.process.out.data), strcspn(strempty(result.process.out.data), "\r\n"));
        if (!id || !id[0]) {
                free(id);
                return error_setf(reterr, CCP_ERROR_ENGINE_FAILED,
                                "docker compose run did not say what container it made of '%s'.", service);
        }

        *ret_id = id;
        return 0;
}

static int compose_stop(const EngineContext *c, char *const *services, Error *reterr) {
        return run_verb(c, (const char *const[]) { "stop", NULL }, services, STOP_TIMEOUT_USEC, reterr);
}

static int compose_restart(const EngineContext *c, char *const *services, Error *reterr) {
        return run_verb(c, (const char *const[]) { "restart", "--no-deps", NULL }, services, 0, reterr);
}

/* Lets what runs end in its own way, one after the other: for where compose can't. */
static int stop_owned(const EngineContext *c, Error *reterr) {
        _cleanup_docker_objects_ DockerObjects containers = {};
        int r;

        r = docker_list_owned(c->docker, DOCKER_CONTAINER, &c->owner, &containers, reterr);
        if (r < 0)
                return r;

        FOREACH_ARRAY(o, containers.items, containers.n) {
                _cleanup_error_ Error error = {};

                if (!IN_SET(o->state, CONTAINER_RUNNING, CONTAINER_RESTARTING, CONTAINER_PAUSED))
                        continue;
                r = docker_stop(c->docker, o->id, &c->owner, &error);
                /* What does not stop will be killed. */
                if (IN_SET(r, -EHOSTDOWN, -ECANCELED)) {
                        error_move(reterr, &error);
                        return r;
                }
        }

        return 0;
}

static int compose_down(const EngineContext *c, bool volumes, Error *reterr) {
        _cleanup_error_ Error error = {};
        int r;

        /* Compose stops in the right order and all at once, but also what is not ours and bears the
         * project's label. Where the data goes too, nothing needs to end in an orderly way. */
        if (!volumes && compose_has_files(c) && compose_check_foreign(c, NULL) >= 0) {
                r = compose_stop(c, NULL, &error);
                if (IN_SET(r, -EHOSTDOWN, -ECANCELED)) {
                        error_move(reterr, &error);
                        return r;
                }
        }
        if (!volumes) {
                r = stop_owned(c, reterr);
                if (r < 0)
                        return r;
        }

        return compose_removal(c, volumes, reterr);
}

const EngineVTable compose_engine = {
        .name = "compose",
        .config = compose_config,
        .pull = compose_pull,
        .build = compose_build,
        .up = compose_up,
        .idle = compose_idle,
        .stop = compose_stop,
        .restart = compose_restart,
        .down = compose_down,
        .check_foreign = compose_check_foreign,
};
