/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The instance's folder. It is made under another name and renamed when it is complete, and renamed before it
 * is removed: so under its own name it is always whole, and bears the mark of the instance. */

#include "job.h"

/* In the folder: holds the instance's id. A folder without it, or with another id, is not ours. */
#define JOB_MARKER_FILE ".ccp"

/* The folder that holds those of all instances. */
const char *job_instances_dir(const Job *j);
/* The names that the instance's folder has there before it is complete ("new"), and while it is removed ("old"): no
 * slug begins with a dot. */
char *job_temporary_name(const Job *j, const char *what);

/* Makes the folder, 0700. SlugTaken if there is one that is not this instance's. */
int job_folder_make(Job *j, Error *reterr);
/* A descriptor of the folder; Internal if it is not there or not this instance's. */
int job_folder_open(Job *j, Error *reterr);
/* Removes the folder and what is left of earlier attempts to make or remove it. One that is not this
 * instance's stays, which is no error: there is nothing of ours then. */
int job_folder_remove(Job *j, Error *reterr);

/* Copies the source tree beneath the folder. 1 if the instance has none. */
int job_source_copy(Job *j, Error *reterr);
int job_source_remove(Job *j, const char *target, Error *reterr);
