/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Which jobs run now: oldest first, at most job_concurrency at a time, not counting those that ccpd makes by itself, and at
 * most backup_concurrency backups, and as many copies of backups, which count for nobody else. A job that is not at its end and
 * has no unit is given one: after a crash, a reboot or a restart of ccpd the same way as at first.
 * Those that wait for their turn come after all others, oldest first, too: each gets its instance then, unless somebody else is
 * at work on that, or is about to be; and is a job as all others from there on. */

#include "ccpd-job.h"

/* Starts what may start. */
void job_queue_dispatch(Manager *m);

/* PID 1 has no unit of this job any more: looks into its record, and starts it again if it is not done. */
void job_queue_unit_ended(Job *j);

/* The record says that the job is at its end. */
void job_queue_ended(Job *j);

/* Asks the worker of a job whose cancellation is recorded to stop. Starts it if it did not run: it undoes
 * what was done. One that waits for its turn ends at once. */
void job_queue_cancel(Job *j);
