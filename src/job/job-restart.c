/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Restarting some services of an instance, or all, without making containers anew. */

#include "job-engine.h"
#include "job-revision.h"
#include "job-services.h"
#include "job-stage.h"

static int prepare(Job *j, Error *reterr) {
        int r;

        r = job_active_revision_load(j, reterr);
        return r < 0 ? r : job_services_choose(j, reterr);
}

static int run_health(Job *j, Error *reterr) {
        unsigned n_unwell = 0;
        int r;

        r = job_stage_wait_healthy(j, &n_unwell, reterr);
        return r < 0 ? r : job_note_unwell(j, n_unwell, reterr);
}

static const StepOps steps[] = {
        { "containers", job_engine_restart, "start-containers", STEP_ENGINE | STEP_UNDO_IF_CANCELLED },
        { "health", run_health, NULL, STEP_ENGINE },
};

const JobOps job_restart_ops = {
        .steps = steps,
        .n_steps = ELEMENTSOF(steps),
        .prepare = prepare,
        .end = STORE_END_STATE,
        .undone = STORE_END_BEFORE,
        .fails_instance = true,
};
