/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The docker program, for the few things that src/docker has no call for. */

#include "job.h"
#include "process.h"

/* Runs "docker ARGV…" against the job's engine; stdin_fd -EBADF: none. EngineUnavailable, or EngineFailed with
 * its last words, where it does not end with 0. */
int docker_cli(Job *j, char *const *argv, int stdin_fd, ProcessResult *ret, Error *reterr);
