/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Starting an instance, or some services of it: containers that run stay as they are, others are started or made anew
 * from the files of the active revision. */

#include "job-engine.h"
#include "job-revision.h"
#include "job-services.h"
#include "job-stage.h"

static int prepare(Job *j, Error *reterr) {
        int r;

        r = job_active_revision_load(j, reterr);
        return r < 0 ? r : job_services_choose(j, reterr);
}

static const StepOps steps[] = {
        { "infrastructure", job_stage_run_infrastructure, "stop-containers",
                        STEP_ENGINE | STEP_UNDO_IF_STOPPED },
        { "application", job_stage_run_application, "stop-containers", STEP_ENGINE | STEP_UNDO_IF_STOPPED },
};

const JobOps job_start_ops = {
        .steps = steps,
        .n_steps = ELEMENTSOF(steps),
        .prepare = prepare,
        .end = STORE_END_STATE,
        .undone = STORE_END_BEFORE,
        .fails_instance = true,
};
