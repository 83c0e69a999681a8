/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "job.h"

/* Removes all that a drill made. */
int job_drill_undo(Job *j, Error *reterr);
