/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Waiting for a job: subscribed before the call that makes it, so that nothing is missed; goes on when ccpd
 * is restarted meanwhile; leaves the job alone on Ctrl-C. */

#include "ctl-bus.h"

typedef struct JobWatch JobWatch;

JobWatch *job_watch_free(JobWatch *w);
DEFINE_CLEANUP_FUNC(JobWatch *, job_watch_free);
#define _cleanup_job_watch_ _cleanup_(job_watch_freep)

/* To be called right before the one call that makes a job, or ends it: sees to it that somebody can be asked
 * for a password, and that Ctrl-C says from now on that ccpd may have accepted the job already. */
void ctl_begin_job(const Ctl *c);

/* Subscribes. */
int job_watch_new(Ctl *c, JobWatch **ret, Error *reterr);
/* The number of the backup that the job is about, to be named in the line about its success; w and backup may be
 * NULL. */
void job_watch_set_backup(JobWatch *w, const char *backup);
/* Shows the job until it has ended. ret_job is the properties that it has then. On SIGINT and SIGTERM it
 * does not return: it says how to go on with the job, and dies of the signal. */
int job_watch_run(JobWatch *w, const char *path, json_t **ret_job, Error *reterr);

/* True unless --no-wait was given. */
bool ctl_waits(const Ctl *c);
/* The end of every verb that made a job: waits with 'w' (NULL: does not) and prints how it went. Returns the
 * exit code. 'expected' is the state that is a success. */
int ctl_finish_job(Ctl *c, JobWatch *w, const char *path, const char *expected, Error *reterr);
/* The whole end of most of them: sends a call whose answer ends with the path of the job that it made, and waits for that,
 * unless --no-wait says otherwise. 'backup' as for job_watch_set_backup(). Returns the exit code. */
int ctl_submit_job(Ctl *c, sd_bus_message *m, const char *backup, Error *reterr);
/* Prints what is to be known of a job that has ended otherwise: sentence, step, where to look. */
void job_print_failure(const json_t *job, FILE *f);
/* "ccpctl job retry 12": what does again what a job that failed should have done. */
#define JOB_AGAIN_MAX 64U
const char *job_again(const json_t *job, char buf[static JOB_AGAIN_MAX]);
/* True if a job in this state (of the bus API) has ended. */
bool job_has_ended(const json_t *job);
