/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What a backup does to the containers so that what it reads stands still, and how they get back to work.
 *
 *              databases are dumped        volumes are read
 *      live    all run                     all run
 *      paused  all run                     all are paused
 *      cold    the databases run, alone    none runs
 *
 * An instance that is stopped is backed up cold: its databases are started for the time that their dumps take. */

#include "job.h"
#include "store-backup.h"

/* How the job begins: as its request says, or as the state of the instance has it. */
BackupConsistency job_quiesce_first(const Job *j);
/* Whether it may be repeated, paused, if files changed while they were read. */
bool job_quiesce_may_pause(const Job *j);

/* WrongState if the instance failed and is to be stopped: nobody could tell what of it to start again. */
int job_quiesce_for_dumps(Job *j, BackupConsistency consistency, Error *reterr);
int job_quiesce_for_volumes(Job *j, BackupConsistency consistency, Error *reterr);
/* Whether the service of such a database does not run while it is dumped: of a server it does. */
bool job_quiesce_is_down(const Job *j, const BlueprintDatabase *database);
/* Brings the containers back to what they did before, also after a worker that was killed. */
int job_quiesce_end(Job *j, Error *reterr);
