/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What jobs that speak to the storage of backups have in common. They run in ccp-transfer@.service, which has the network and
 * nothing of the Engine. */

#include "job.h"

/* Bytes that went out, for S3Progress; userdata is the Job. */
void job_transfer_tell_sent(uint64_t done, uint64_t size, void *userdata);

/* Removes what was fetched and not read back. */
int job_fetch_undo(Job *j, Error *reterr);
