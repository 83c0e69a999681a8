/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Creating an instance: what ccpd recorded gets its folder, files, images and containers. */

#include <inttypes.h>

#include "job-create.h"
#include "job-engine.h"
#include "job-folder.h"
#include "job-images.h"
#include "job-render.h"
#include "job-revision.h"
#include "job-stage.h"
#include "job-undo.h"
#include "string-util.h"

/* An attempt goes on with the revision of the one before. */
static int choose_revision(Job *j, uint32_t *ret, Error *reterr) {
        FOREACH_ARRAY(s, j->claim.job->steps, j->claim.job->n_steps)
                if (streq(s->name, "render") && s->undo && job_undo_revision(s->undo) > 0) {
                        *ret = job_undo_revision(s->undo);
                        return 0;
                }

        return revision_next(j->db, job_instance(j)->id, ret, reterr);
}

int job_create_prepare(Job *j, Error *reterr) {
        uint32_t revision;
        int r;

        if (!j->blueprint) {
                r = job_blueprint_load(j, reterr);
                if (r < 0)
                        return r;
        }

        r = choose_revision(j, &revision, reterr);
        if (r < 0)
                return r;

        r = job_revision_set(j, revision);
        if (r < 0)
                return error_set_errnof(reterr, r, "%m");

        return 0;
}

int job_create_run_application(Job *j, Error *reterr) {
        int r;

        r = job_stage_run_application(j, reterr);
        if (r >= 0)
                r = job_revision_confirm(j, reterr);
        return r < 0 ? r : revision_activate(j->db, job_instance(j)->id, j->revision, reterr);
}

static const StepOps steps[] = {
        { "folder", job_folder_make, "remove-folder" },
        { "source", job_source_copy, "remove-source" },
        { "context", job_values_build, NULL, STEP_MEMORY },
        { "render", job_render, "remove-revision", STEP_ENGINE },
        /* These lie in the revision and go with it. */
        { "static", job_static_copy, NULL },
        /* Others may use what was fetched. */
        { "pull", job_images_pull, NULL, STEP_ENGINE },
        { "build", job_images_build, "remove-images", STEP_ENGINE },
        { "infrastructure", job_stage_run_infrastructure, "remove-containers", STEP_ENGINE },
        { "application", job_create_run_application, "remove-containers", STEP_ENGINE },
};

const JobOps job_create_ops = {
        .steps = steps,
        .n_steps = ELEMENTSOF(steps),
        .prepare = job_create_prepare,
        .end = STORE_END_STATE,
        .undone = STORE_END_RELEASE,
};
