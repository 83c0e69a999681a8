/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* From blueprint and secrets to a revision: the files of an instance as they were rendered once, in
 * revisions/N. They are made in revisions/N.tmp, checked there, and renamed. */

#include "job.h"

/* The blueprint's own text, kept with the revision: what later starts of it go by. */
#define JOB_BLUEPRINT_COPY BLUEPRINT_COPY_FILE

/* The blueprint as it is installed. */
int job_blueprint_load(Job *j, Error *reterr);
/* Makes the instance's active revision the job's: its number, its blueprint, all compose profiles. WrongState
 * if there is none. */
int job_active_revision_find(Job *j, Error *reterr);
/* The same with the secrets opened, and the profiles that are on: what making containers needs. */
int job_active_revision_load(Job *j, Error *reterr);

/* Takes the revision's number into use. */
int job_revision_set(Job *j, uint32_t revision);

/* Opens the secrets and builds the template context: j->values, j->redact, j->profiles. */
int job_values_build(Job *j, Error *reterr);

/* Renders all files into a new revision, checks the policy, adds the override file. */
int job_render(Job *j, Error *reterr);
/* Copies the static files to where they are not yet, and reads all of them back. */
int job_static_copy(Job *j, Error *reterr);

/* Removes a revision: files and record. */
int job_revision_remove(Job *j, uint32_t revision, Error *reterr);
