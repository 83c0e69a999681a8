/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The undo of what a restore does. */

#include "job.h"

/* Before it was switched over: removes what was built beside the instance. */
int job_restore_undo_volumes(Job *j, Error *reterr);
int job_restore_undo_render(Job *j, Error *reterr);
/* Gives the instance what it had back, and lets it run if it ran. */
int job_restore_undo_switch(Job *j, Error *reterr);
