/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The revisions of an instance as they lie on the disk, in revisions/N. What was recorded of a file when it was
 * made is an object: {"sha256", "mode"}, "writable" if a container may change it, and for the copy of the
 * blueprint "local" if it is the administrator's own. */

#include "job.h"
#include "revision-files.h"

#define JOB_CURRENT_LINK "current"
#define JOB_CURRENT_LINK_NEW ".current.new"
/* The blueprint's own text, kept with the revision: what later starts of it go by. */
#define JOB_BLUEPRINT_COPY BLUEPRINT_COPY_FILE

/* Takes the revision's number into use. */
int job_revision_set(Job *j, uint32_t revision);

/* Makes the instance's active revision the job's: its number, its blueprint, all compose profiles. WrongState
 * if there is none. */
int job_active_revision_find(Job *j, Error *reterr);
/* The same with the secrets opened, and the profiles that are on: what making containers needs. The files must be
 * what was recorded (WrongState), and nothing in them what the policy refuses today (PolicyViolation). */
int job_active_revision_load(Job *j, Error *reterr);

/* What the engine calls a volume of the job's revision: NULL when out of memory. */
char *job_revision_volume_name(const Job *j, const char *key);
/* Forgets what was loaded of a revision: another one is the active one now. */
int job_revision_forget(Job *j, uint32_t active, Error *reterr);
/* Lets the link "current" lead to a revision. */
int job_revision_point_to(Job *j, uint32_t revision, Error *reterr);

/* Compares the files of the job's revision with the record of all of them. */
int job_revision_verify(Job *j, json_t *files, Error *reterr);

/* Looks whether what runs is the job's revision, and records its images. */
int job_revision_confirm(Job *j, Error *reterr);
/* Removes a revision: files and record. */
int job_revision_remove(Job *j, uint32_t revision, Error *reterr);
