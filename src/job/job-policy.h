/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The policy on the files of a revision, before anything is run from them. */

#include "job.h"

/* Looks first at what compose would read, then at what it made of it: 'text' is the compose file of the revision
 * in 'directory' (absolute), 'folder' the open folder of the instance. The result is the compose file resolved
 * without the override and with all profiles. PolicyViolation. */
int job_policy_check(Job *j, int folder, const char *directory, const char *text, size_t size, json_t **ret,
                Error *reterr);
