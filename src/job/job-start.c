/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Starting an instance: containers that run stay as they are, others are started or made anew from the files
 * of the active revision. */

#include "job-engine.h"
#include "job-render.h"

static int run_infrastructure(Job *j, Error *reterr) {
        unsigned n_unwell = 0;
        int r;

        r = job_engine_run_stage(j, SERVICE_STAGE_INFRASTRUCTURE, &n_unwell, reterr);
        if (r != 0)
                return r;

        return job_note_unwell(j, n_unwell, reterr);
}

static int run_application(Job *j, Error *reterr) {
        unsigned n_unwell = 0;
        int r;

        job_set_range(j, 0, 0.6);
        r = job_engine_run_stage(j, SERVICE_STAGE_APPLICATION, &n_unwell, reterr);
        if (r < 0)
                return r;

        job_set_range(j, 0.6, 1);
        r = job_engine_run_stage(j, SERVICE_STAGE_REST, &n_unwell, reterr);
        if (r < 0)
                return r;

        return job_note_unwell(j, n_unwell, reterr);
}

static const StepOps steps[] = {
        { "infrastructure", run_infrastructure, "stop-containers", STEP_ENGINE | STEP_UNDO_IF_STOPPED },
        { "application", run_application, "stop-containers", STEP_ENGINE | STEP_UNDO_IF_STOPPED },
};

const JobOps job_start_ops = {
        .steps = steps,
        .n_steps = ELEMENTSOF(steps),
        .prepare = job_active_revision_load,
        .end = STORE_END_STATE,
        .undone = STORE_END_BEFORE,
        .fails_instance = true,
};
