/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A project beside the instance, in which a job puts a backup together and looks at it, while the instance serves. What
 * it has is its own: containers, networks, and the folder of its compose file; only its volumes may become the
 * instance's. Nobody outside reaches it. */

#include "job.h"

/* And the number of the job. No slug's project is called so: those end with CCP_PROJECT_SUFFIX. */
#define JOB_ASIDE_PROJECT_PREFIX "ccp-job-"

/* From here to job_aside_leave() the functions of job-engine.h and job-stage.h work on it. 'services': those that it has,
 * NULL is all; 'volumes': key → name of volumes that are there. The instance's revision must be loaded. */
int job_aside_enter(Job *j, char *const *services, const json_t *volumes, Error *reterr);
void job_aside_leave(Job *j);
/* Removes whatever there is of it: also what a worker left that was killed. */
int job_aside_remove(Job *j, Error *reterr);

JobAside *job_aside_free(JobAside *a);
/* Who owns what it has: nobody takes it for the instance's. Borrows from the job; only after job_aside_enter(). */
DockerOwner job_aside_owner(const Job *j);
void job_aside_set_context(const Job *j, EngineContext *c);
