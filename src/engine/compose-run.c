/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "compose-run.h"

#include <unistd.h>

#include "engine-logs.h"
#include "redact.h"
#include "string-util.h"

#define STDOUT_MAX (16U * 1024U * 1024U)
#define MESSAGE_BYTES_MAX 256U
/* What a shell, and process_run(), answer for a program that is not there. */
#define STATUS_NOT_FOUND 127

typedef struct RunState {
        const EngineContext *context;
        ComposeProgress progress;
        int error;
} RunState;

void compose_run_result_done(ComposeRunResult *r) {
        process_result_done(&r->process);
        compose_progress_done(&r->progress);
}

static const char *compose_file(const EngineContext *c) {
        return c->compose_file ?: ENGINE_COMPOSE_FILE;
}

static bool has_file(const EngineContext *c, const char *name) {
        _cleanup_free_ char *path = NULL;

        path = strjoin(c->directory, "/", name);
        return path && access(path, F_OK) >= 0;
}

bool compose_has_files(const EngineContext *c) {
        return has_file(c, compose_file(c)) && (c->no_override || has_file(c, ENGINE_OVERRIDE_FILE));
}

static int run_argv(const EngineContext *c, const ComposeRun *run, char ***ret) {
        static const char *const head[] = { "docker", "compose", "--progress", "plain", "--ansi", "never",
                "-p" };
        _cleanup_strv_free_ char **argv = NULL;
        int r = 0;

        for (size_t i = 0; i < ELEMENTSOF(head) && r >= 0; i++)
                r = strv_extend(&argv, head[i]);
        if (r < 0 || strv_extend(&argv, c->project) < 0 || strv_extend(&argv, "--project-directory") < 0 ||
                        strv_extend(&argv, c->directory) < 0)
                return -ENOMEM;
        if (has_file(c, ENGINE_ENV_FILE) &&
                        (strv_extend(&argv, "--env-file") < 0 ||
                                        strv_extendf(&argv, "%s/%s", c->directory, ENGINE_ENV_FILE) < 0))
                return -ENOMEM;
        if (strv_extend(&argv, "-f") < 0 || strv_extendf(&argv, "%s/%s", c->directory, compose_file(c)) < 0)
                return -ENOMEM;
        if (!run->without_override && !c->no_override &&
                        (strv_extend(&argv, "-f") < 0 ||
                                        strv_extendf(&argv, "%s/%s", c->directory, ENGINE_OVERRIDE_FILE) <
                                                        0))
                return -ENOMEM;
        STRV_FOREACH(p, c->profiles)
                if (strv_extend(&argv, "--profile") < 0 || strv_extend(&argv, *p) < 0)
                        return -ENOMEM;

        STRV_FOREACH(a, run->arguments)
                if (strv_extend(&argv, *a) < 0)
                        return -ENOMEM;

        *ret = TAKE_PTR(argv);
        return 0;
}

/* Nothing of our own environment goes through. An .env file can set what compose reads from its environment,
 * but never overrides what is set here, be it empty: so none of what chooses the builder, the peer or the
 * libraries of compose's children. A compose file can interpolate all of it, so it must be the same each time:
 * the policy judges a file by what it was then. That is why profiles are arguments. */
static int run_environment(const EngineContext *c, char ***ret) {
        static const char *const fixed[] = {
                "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                "LANG=C.UTF-8",
                "DOCKER_CLI_HINTS=false",
                "DOCKER_CONTEXT=",
                "COMPOSE_REMOVE_ORPHANS=false",
                "COMPOSE_IGNORE_ORPHANS=true",
                "COMPOSE_MENU=false",
                "COMPOSE_PROFILES=",
                "DOCKER_API_VERSION=",
                "DOCKER_CERT_PATH=",
                "DOCKER_TLS=",
                "DOCKER_TLS_VERIFY=",
                "BUILDKIT_HOST=",
                "BUILDX_BUILDER=",
                "BUILDX_CONFIG=",
                /* The builder runs git in the tree that it builds, and git runs what a repository's
                 * configuration names. Any tree can have the look of a repository. */
                "BUILDX_GIT_INFO=false",
                "BUILDX_GIT_LABELS=false",
                "GIT_DIR=/dev/null",
                "LD_AUDIT=",
                "LD_LIBRARY_PATH=",
                "LD_PRELOAD=",
        };
        _cleanup_strv_free_ char **environment = NULL;
        const char *home = c->home ?: CCP_STATE_DIR;

        for (size_t i = 0; i < ELEMENTSOF(fixed); i++)
                if (strv_extend(&environment, fixed[i]) < 0)
                        return -ENOMEM;
        if (strv_extendf(&environment, "HOME=%s", home) < 0 ||
                        strv_extendf(&environment, "DOCKER_CONFIG=%s/.docker", home) < 0 ||
                        strv_extendf(&environment, "DOCKER_HOST=unix://%s", docker_socket(c->docker)) < 0)
                return -ENOMEM;

        *ret = TAKE_PTR(environment);
        return 0;
}

/* A text of compose as a person may see it. */
static int make_presentable(const EngineContext *c, const char *s, char **ret) {
        _cleanup_erase_ char *redacted = NULL;
        int r;

        r = redact(s, c->redact, &redacted);
        if (r < 0)
                return r;

        return text_make_printable(redacted, strlen(redacted), ret);
}

static void on_line(const char *line, void *userdata) {
        _cleanup_erase_ char *message = NULL;
        RunState *s = userdata;
        const EngineContext *c = s->context;
        int r;

        r = compose_progress_line(&s->progress, line);
        if (r < 0)
                s->error = r;
        if (r <= 0 || !c->progress || make_presentable(c, line + strspn(line, " "), &message) < 0)
                return;

        if (strlen(message) <= MESSAGE_BYTES_MAX)
                c->progress(s->progress.fraction, message, c->userdata);
}

static int on_poll(void *userdata) {
        RunState *s = userdata;

        if (s->error < 0)
                return s->error;
        return s->context->poll ? MIN(s->context->poll(s->context->userdata), 0) : 0;
}

static int run_error(const RunState *s, int r, Error *reterr) {
        if (r == -ECANCELED)
                return error_setf(reterr, CCP_ERROR_CANCELLED, "The work was cancelled.");
        if (r == -ETIMEDOUT) {
                (void) error_setf(reterr, CCP_ERROR_ENGINE_FAILED, "docker compose did not end in time.");
                return r;
        }
        return error_set_errnof(reterr, s->error < 0 ? s->error : r, "Cannot run docker compose: %m");
}

/* The container of a failure that compose tells by service or by name; NULL if it is not to be found. */
static const char *failure_container(const ComposeFailure *f, const DockerObjects *containers) {
        FOREACH_ARRAY(o, containers->items, containers->n)
                if ((f->service && streq_ptr(o->service, f->service) && !o->oneoff) ||
                                (f->container && streq_ptr(o->name, f->container)))
                        return o->id;

        return NULL;
}

static void failure_append_logs(const EngineContext *c, const ComposeFailure *f, Error *reterr) {
        _cleanup_docker_objects_ DockerObjects containers = {};
        const char *id;

        if (docker_list_owned(c->docker, DOCKER_CONTAINER, &c->owner, &containers, NULL) < 0)
                return;

        id = failure_container(f, &containers);
        if (id)
                engine_append_logs(c, id, reterr);
}

static int run_failed(const EngineContext *c, const char *verb, const ProcessResult *p, Error *reterr) {
        _cleanup_compose_failure_ ComposeFailure f = {};
        _cleanup_erase_ char *redacted = NULL, *text = NULL;
        _cleanup_error_ Error away = {};
        int r;

        /* Before anything is cut: of what is cut in the middle no part is found. */
        r = redact(strempty(p->err.data), c->redact, &redacted);
        if (r >= 0)
                r = compose_failure_read(redacted, &f);
        if (r >= 0)
                r = text_make_printable(f.text, strlen(f.text), &text);
        if (r < 0)
                return error_set_errnof(reterr, r, "docker compose %s failed: %m", verb);

        if (p->status == STATUS_NOT_FOUND || strstr(text, "is not a docker command"))
                return error_setf(reterr, CCP_ERROR_ENGINE_FAILED,
                                "docker compose is not installed. Install the packages docker-cli and "
                                "docker-compose.");
        /* An Engine that went away in the middle is told in many ways; it is simpler to ask. */
        r = docker_ping(c->docker, &away);
        if (r < 0 && streq_ptr(away.name, CCP_ERROR_ENGINE_UNAVAILABLE)) {
                error_move(reterr, &away);
                return r;
        }
        if (streq(f.name, CCP_ERROR_ENGINE_UNAVAILABLE))
                return error_setf(reterr, f.name, "The Docker Engine was away during docker compose %s: %s",
                                verb, text);
        if (f.error == -EADDRINUSE && f.port > 0)
                (void) error_setf(reterr, f.name,
                                "Port %u is in use by something else on this host. Free it, or choose "
                                "another port.",
                                f.port);
        else if (streq(f.name, CCP_ERROR_NO_SPACE))
                (void) error_setf(reterr, f.name, "No space is left on this host for docker compose %s: %s",
                                verb, text);
        else
                (void) error_setf(reterr, f.name, "docker compose %s failed (%d): %s", verb, p->status,
                                text[0] ? text : "it did not say why.");

        if (f.service || f.container)
                failure_append_logs(c, &f, reterr);
        return f.error;
}

int compose_run(const EngineContext *c, const ComposeRun *run, ComposeRunResult *ret, Error *reterr) {
        _cleanup_compose_run_result_ ComposeRunResult result = {};
        _cleanup_strv_free_ char **argv = NULL, **environment = NULL;
        RunState state = {
                .context = c,
                .progress = { .n_expected = run->n_expected, .fraction = -1 },
        };
        ProcessOptions options = {
                .directory = c->directory,
                .stdin_fd = -EBADF,
                .timeout = run->timeout ?: c->timeout,
                .stdout_limit = run->whole_stdout ? STDOUT_MAX : 0,
                .stdout_all = run->whole_stdout,
                .line = on_line,
                .poll = on_poll,
                .userdata = &state,
        };
        int r;

        r = run_argv(c, run, &argv);
        if (r >= 0)
                r = run_environment(c, &environment);
        if (r < 0)
                return error_set_errnof(reterr, r, "Cannot run docker compose: %m");

        options.environment = environment;
        r = process_run(argv, &options, &result.process);
        result.progress = state.progress;
        if (r < 0)
                return run_error(&state, r, reterr);

        if (result.process.status != 0)
                r = run_failed(c, run->arguments[0], &result.process, reterr);
        if (ret)
                *ret = TAKE_GENERIC(result, (ComposeRunResult) {});
        return r;
}
