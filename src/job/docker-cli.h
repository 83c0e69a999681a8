/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The docker program, for the few things that src/docker has no call for. */

#include "job.h"
#include "process.h"

typedef struct DockerCliOptions {
        int stdin_fd;             /* -EBADF: none */
        char *const *environment; /* "NAME=value", besides what programs get anyway; NULL: nothing */
        /* Takes what comes on stdout instead of the result; a negative errno, with the error set, ends it. */
        int (*output)(const void *data, size_t size, void *userdata, Error *reterr);
        /* Instead of job_poll(), under the same conditions. */
        int (*poll)(void *userdata);
        void *userdata;
        size_t stderr_limit; /* bytes of it that the result has, the last ones; 0: 64 KiB */
        bool any_status;     /* the caller looks at the exit status */
} DockerCliOptions;

/* Runs "docker ARGV…" against the job's engine. 'options' may be NULL. EngineUnavailable, or EngineFailed with its last
 * words, where it does not end with 0. */
int docker_cli(Job *j, char *const *argv, const DockerCliOptions *options, ProcessResult *ret,
                Error *reterr);
/* That error, for a caller that looked at the status. */
int docker_cli_failed(Job *j, char *const *argv, const ProcessResult *result, Error *reterr);
