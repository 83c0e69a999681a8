/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Deleting an instance. From its first step on it only goes forward; when it fails it can be repeated. */

#include "job-engine.h"
#include "job-folder.h"
#include "job-images.h"

static int run_containers(Job *j, Error *reterr) {
        int r;

        r = job_engine_down(j, true, reterr);
        if (r < 0)
                return r;

        return job_images_remove(j, reterr);
}

/* The record goes with the end of the job, in one transaction. */
static int run_record(Job *j _unused_, Error *reterr _unused_) {
        return 0;
}

static const StepOps steps[] = {
        { "containers", run_containers, NULL, STEP_ENGINE | STEP_COMMIT },
        /* What containers left, the engine removes. */
        { "folder", job_folder_remove, NULL, STEP_ENGINE | STEP_COMMIT },
        { "record", run_record, NULL, STEP_COMMIT },
};

const JobOps job_delete_ops = {
        .steps = steps,
        .n_steps = ELEMENTSOF(steps),
        .end = STORE_END_RELEASE,
        .undone = STORE_END_BEFORE,
        .fails_instance = true,
};
