/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Removing what containers could write into. Root in a container is root in a folder that is mounted there: what
 * it made is not ours to remove. */

#include "job.h"

/* Removes a path beneath an open folder of ours, with all that is in it; what is not there is no error. Where
 * that fails because it is not ours, it is moved away, and a container of ours, that has nothing else, removes
 * what is in it. 'directory' is what the open folder is called. */
int job_tree_remove(Job *j, int dirfd, const char *directory, const char *path, Error *reterr);
/* Removes what was moved away, which is what a folder is called while it is removed. */
int job_trash_remove(Job *j, Error *reterr);
