/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* One run of docker compose. */

#include "compose-output.h"
#include "engine.h"
#include "process.h"

typedef struct ComposeRun {
        char *const *arguments; /* "up", "--detach", … */
        size_t n_expected;      /* services that it works on, for the progress */
        bool without_override;
        bool whole_stdout; /* all of it is wanted; up to 16 MiB */
        usec_t timeout;    /* 0: that of the context */
} ComposeRun;

typedef struct ComposeRunResult {
        ProcessResult process;
        ComposeProgress progress;
} ComposeRunResult;

void compose_run_result_done(ComposeRunResult *r);
#define _cleanup_compose_run_result_ _cleanup_(compose_run_result_done)

/* ret may be NULL; it is set, with the progress, also when the command failed. */
int compose_run(const EngineContext *c, const ComposeRun *run, ComposeRunResult *ret, Error *reterr);
/* Whether the instance's files are there: the compose file and the override file. */
bool compose_has_files(const EngineContext *c);
