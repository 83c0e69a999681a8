/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "docker-cli.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "alloc-util.h"
#include "redact.h"
#include "string-util.h"

#define OUTPUT_MAX (16U * 1024U * 1024U)
#define WORDS_MAX 500U
/* Of what SIGKILL has ended: a program in a container, or docker itself. The Engine does not tell why of what "exec" runs. */
#define STATUS_KILLED 137
#define KILLED "it was killed: with its container, or for want of memory in that or on the server. "

int docker_cli_failed(Job *j, char *const *argv, const ProcessResult *result, Error *reterr) {
        _cleanup_erase_ char *redacted = NULL;
        _cleanup_free_ char *printable = NULL;
        _cleanup_error_ Error error = {};
        size_t n;
        int r;

        /* Was it that nobody was there to answer? */
        r = docker_ping(j->docker, &error);
        if (r < 0) {
                error_move(reterr, &error);
                return r;
        }

        /* Before anything is cut: of what is cut in the middle no part is found. */
        if (redact(strempty(result->err.data), j->redact, &redacted) < 0)
                return error_set_errnof(reterr, ENOMEM, "%m");
        n = strlen(redacted);
        n = n > WORDS_MAX ? n - WORDS_MAX : 0;
        if (text_make_printable(redacted + n, strlen(redacted + n), &printable) < 0)
                return error_set_errnof(reterr, ENOMEM, "%m");

        return error_setf(reterr, CCP_ERROR_ENGINE_FAILED, "'docker %s' ended with %i: %s%s", argv[0],
                        result->status, result->status == STATUS_KILLED ? KILLED : "", printable);
}

/* One run: process_run() has one userdata for all its callbacks. */
typedef struct Run {
        Job *job;
        const DockerCliOptions *options;
        Error error; /* of the output */
} Run;

static int run_poll(void *userdata) {
        Run *run = userdata;

        return run->options->poll ? run->options->poll(run->options->userdata) : job_poll(run->job);
}

static int run_output(const char *data, size_t size, void *userdata) {
        Run *run = userdata;

        return run->options->output(data, size, run->options->userdata, &run->error);
}

static int build_environment(const DockerCliOptions *options, char ***ret) {
        static const char *const always[] = {
                "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/nonexistent",
                "LANG=C.UTF-8"
        };
        _cleanup_strv_free_ char **l = NULL;
        int r = 0;

        FOREACH_ARRAY(s, always, ELEMENTSOF(always))
                if (r >= 0)
                        r = strv_extend(&l, *s);
        STRV_FOREACH(s, options->environment)
                if (r >= 0)
                        r = strv_extend(&l, *s);
        if (r < 0)
                return r;

        *ret = TAKE_PTR(l);
        return 0;
}

static int build_argv(const Job *j, char *const *argv, char ***ret) {
        _cleanup_strv_free_ char **l = NULL;
        int r;

        r = strv_extend(&l, "docker");
        if (r >= 0)
                r = strv_extendf(&l, "--host=unix://%s", docker_socket(j->docker));
        STRV_FOREACH(s, argv)
                if (r >= 0)
                        r = strv_extend(&l, *s);
        if (r < 0)
                return r;

        *ret = TAKE_PTR(l);
        return 0;
}

static void strv_erase(char **l) {
        STRV_FOREACH(s, l)
                explicit_bzero(*s, strlen(*s));
}

int docker_cli(Job *j, char *const *argv, const DockerCliOptions *options, ProcessResult *ret,
                Error *reterr) {
        static const DockerCliOptions none = { .stdin_fd = -EBADF };
        _cleanup_process_result_ ProcessResult result = {};
        _cleanup_strv_free_ char **full = NULL, **environment = NULL;
        Run run = { .job = j, .options = options ?: &none };
        int r;

        r = build_argv(j, argv, &full);
        if (r >= 0)
                r = build_environment(run.options, &environment);
        if (r < 0)
                return error_set_errnof(reterr, r, "%m");

        r = process_run(full,
                        &(ProcessOptions) {
                                        .environment = environment,
                                        .stdin_fd = run.options->stdin_fd,
                                        .stdout_limit = OUTPUT_MAX,
                                        .stdout_all = true,
                                        .stderr_limit = run.options->stderr_limit,
                                        .output = run.options->output ? run_output : NULL,
                                        .poll = run_poll,
                                        .userdata = &run,
                        },
                        &result);
        strv_erase(environment);
        if (error_is_set(&run.error)) {
                error_move(reterr, &run.error);
                return r;
        }
        if (r == -ECANCELED)
                return error_setf(reterr, CCP_ERROR_CANCELLED, "The job was cancelled.");
        if (r < 0)
                return error_set_errnof(reterr, r, "Cannot run docker: %m");
        if (result.status != 0 && !run.options->any_status)
                return docker_cli_failed(j, argv, &result, reterr);

        *ret = TAKE_GENERIC(result, (ProcessResult) {});
        return 0;
}
