/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Deleting backups: the record says first that one goes, then its file goes, then the record. Whoever is killed in between
 * leaves what he, or a later job, goes on with. */

#include "job.h"

/* For job-undo.c: what was chosen and still has its file stays. */
int job_delete_backup_undo(Job *j, Error *reterr);

/* The last step of a backup that was made by a schedule: what the policy in the job's spec does not keep goes. 1 if there is
 * no such policy. */
int job_retention_run(Job *j, Error *reterr);
