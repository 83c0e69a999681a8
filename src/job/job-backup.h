/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What is left of a backup that did not come to its end. */

#include "job.h"

/* Removes helper, file and record, and lets containers go on that are paused. */
int job_backup_undo(Job *j, Error *reterr);
