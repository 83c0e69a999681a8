/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* An instance is started in stages, one after the other: infrastructure, application, the rest. A stage's services are
 * started together, and the next waits for their health. */

#include "job.h"

/* The two steps that create and start have in common: the first stage; and the two others, after which
 * everything of all stages must still run. The first gives 1 if it has no services. */
int job_stage_run_infrastructure(Job *j, Error *reterr);
/* Makes and starts the services of all stages, and waits for the health of none: for an instance that is not well. */
int job_stage_start(Job *j, Error *reterr);
/* The services of all stages at once, in the project beside the instance. */
int job_stage_run_aside(Job *j, Error *reterr);
int job_stage_run_application(Job *j, Error *reterr);

/* Waits until the services of the job, of all stages, are healthy. */
int job_stage_wait_healthy(Job *j, unsigned *n_unwell, Error *reterr);
