/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Containers of our own: without an image of anybody, a network, or anything but what is mounted into them. They do as root
 * what the worker may not, on files that containers wrote. A job has one at a time. */

#include "docker-cli.h"

typedef struct HelperMount {
        const char *type;   /* "bind" or "volume" */
        const char *source; /* an absolute path without links in it, or a volume's name */
        const char *target;
        bool writable;
} HelperMount;

typedef struct JobHelper {
        const char *const *capabilities; /* the only ones that it has */
        size_t n_capabilities;
        const HelperMount *mounts;
        size_t n_mounts;
        char *const *argv; /* argv[0]: in the container */
        const DockerCliOptions *options;
} JobHelper;

/* Runs one to its end. The errors are docker_cli()'s. */
int job_helper_run(Job *j, const JobHelper *helper, ProcessResult *ret, Error *reterr);
/* Removes what a worker that was killed left of it. */
int job_helper_remove(Job *j, Error *reterr);
