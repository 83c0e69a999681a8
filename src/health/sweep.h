/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* One look at the whole fleet: one list of the Engine's, all probes at once, one transaction. It ends in
 * bounded time whatever hangs, and what could not be looked at is unknown, not ill. */

#include "db-sync.h"
#include "docker.h"

typedef struct SweepOptions {
        char *const *templates;    /* where blueprints are; NULL: the usual places */
        const char *instances_dir; /* NULL: CCP_INSTANCES_DIR */
} SweepOptions;

typedef struct SweepResult {
        size_t n_instances, n_services, n_probes;
        Error error;       /* why it could not look; unset: it could */
        bool error_is_new; /* the sweep before did not have the same */
        bool recovered;    /* the one before had one */
} SweepResult;

void sweep_result_done(SweepResult *r);
#define _cleanup_sweep_result_ _cleanup_(sweep_result_done)

/* Looks, and records what it saw. An Engine that is away is in ret->error, and recorded too; whatever keeps it
 * from being recorded is an error. Busy if another sweep goes on. */
int sweep_run(DbSync *db, Docker *docker, const SweepOptions *options, SweepResult *ret, Error *reterr);
