/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the making of an instance, from nothing or from a backup, has in common. */

#include "job.h"

/* Loads the blueprint, and chooses the number of the revision: that of an attempt before. */
int job_create_prepare(Job *j, Error *reterr);
/* Starts the application, looks at what runs, and makes the revision the active one. */
int job_create_run_application(Job *j, Error *reterr);
