/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* From blueprint and secrets to a revision: the files of an instance as they were rendered once, in
 * revisions/N. They are made in revisions/N.tmp, checked there, and renamed. */

#include "job.h"

/* The blueprint as it is installed. */
int job_blueprint_load(Job *j, Error *reterr);

/* Opens the secrets and builds the template context: j->values, j->redact, j->profiles. */
int job_values_build(Job *j, Error *reterr);

/* Renders all files into a new revision, checks the policy, adds the override file. */
int job_render(Job *j, Error *reterr);
/* Makes the next revision of the one that is loaded: the same files, with the volumes of j->volumes. It is the job's from
 * then on. WrongState where containers write to the folder of the one before. */
int job_render_again(Job *j, uint32_t revision, Error *reterr);
/* Copies the static files to where they are not yet, and reads all of them back. */
int job_static_copy(Job *j, Error *reterr);
