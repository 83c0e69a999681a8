/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Bringing a backup back from the storage. Jobs that speak to it run in ccp-transfer@.service, which has the network and
 * nothing of the Engine. */

#include "job.h"

/* Removes what was fetched and not read back. */
int job_fetch_undo(Job *j, Error *reterr);
