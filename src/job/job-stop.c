/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Stopping an instance, or some services of it: the containers stay, and end with their own signal and grace period. */

#include "job-engine.h"
#include "job-revision.h"
#include "job-services.h"

static int prepare(Job *j, Error *reterr) {
        int r;

        r = job_active_revision_find(j, reterr);
        return r < 0 ? r : job_services_choose(j, reterr);
}

static const StepOps steps[] = {
        { "containers", job_engine_stop, "start-containers",
                        STEP_ENGINE | STEP_UNDO_IF_CANCELLED | STEP_UNDO_IF_RUNNING },
};

const JobOps job_stop_ops = {
        .steps = steps,
        .n_steps = ELEMENTSOF(steps),
        .prepare = prepare,
        .end = STORE_END_STATE,
        .undone = STORE_END_BEFORE,
        .fails_instance = true,
};
