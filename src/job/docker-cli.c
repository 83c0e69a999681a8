/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "docker-cli.h"

#include <errno.h>
#include <stdio.h>

#include "alloc-util.h"
#include "redact.h"
#include "string-util.h"

#define OUTPUT_MAX (16U * 1024U * 1024U)
#define WORDS_MAX 500U

static int report(Job *j, char *const *argv, const ProcessResult *result, Error *reterr) {
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

        return error_setf(reterr, CCP_ERROR_ENGINE_FAILED, "'docker %s' ended with %i: %s", argv[0],
                        result->status, printable);
}

int docker_cli(Job *j, char *const *argv, int stdin_fd, ProcessResult *ret, Error *reterr) {
        _cleanup_process_result_ ProcessResult result = {};
        _cleanup_strv_free_ char **full = NULL;
        int r;

        r = strv_extend(&full, "docker");
        if (r >= 0)
                r = strv_extendf(&full, "--host=unix://%s", docker_socket(j->docker));
        STRV_FOREACH(s, argv)
                if (r >= 0)
                        r = strv_extend(&full, *s);
        if (r < 0)
                return error_set_errnof(reterr, r, "%m");

        r = process_run(full,
                        &(ProcessOptions) {
                                        .stdin_fd = stdin_fd,
                                        .stdout_limit = OUTPUT_MAX,
                                        .stdout_all = true,
                                        .poll = job_poll,
                                        .userdata = j,
                        },
                        &result);
        if (r == -ECANCELED)
                return error_setf(reterr, CCP_ERROR_CANCELLED, "The job was cancelled.");
        if (r < 0)
                return error_set_errnof(reterr, r, "Cannot run docker: %m");
        if (result.status != 0)
                return report(j, argv, &result, reterr);

        *ret = TAKE_GENERIC(result, (ProcessResult) {});
        return 0;
}
