/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What a job can be: its kinds, the states of a job and of a step, and the steps that each kind takes. The
 * strings are those of the records and of the bus. */

#include <errno.h>

#include "ccp/macro.h"

/* A worker that crashed is started again; after this many attempts the job is undone. */
#define JOB_ATTEMPTS_MAX 3U
/* The kind with the most steps has this many. */
#define JOB_STEPS_MAX 17U
/* Bytes kept of a job's message and of a step's detail. */
#define JOB_MESSAGE_MAX 1024U
/* Jobs that run at the same time: the default of the setting job_concurrency, and its highest value. */
#define JOB_CONCURRENCY_DEFAULT 4U
#define JOB_CONCURRENCY_MAX 64U
/* Instances that are brought back at the same time: the default of the setting recovery_concurrency. */
#define RECOVERY_CONCURRENCY_DEFAULT 2U
/* Backups that are made at the same time: the default of the setting backup_concurrency. */
#define BACKUP_CONCURRENCY_DEFAULT 2U
/* Finished jobs that stay on the bus as objects. */
#define JOB_OBJECTS_MAX 200U

typedef enum JobKind {
        JOB_CREATE,
        JOB_START,
        JOB_STOP,
        JOB_RESTART,
        JOB_DELETE,
        JOB_BACKUP,
        JOB_RESTORE,
        JOB_UNDO_RESTORE,
        JOB_DISCARD_RESTORE,
        JOB_CLONE,
        JOB_DRILL,
        JOB_IMPORT,
        JOB_VERIFY,
        JOB_DELETE_BACKUP,
        JOB_REPLICATE,
        JOB_FETCH,
        _JOB_KIND_MAX,
        _JOB_KIND_INVALID = -EINVAL,
} JobKind;
DECLARE_STRING_TABLE(job_kind, JobKind);

typedef enum JobState {
        JOB_WAITING, /* for its turn: until then its instance is as free as without it */
        JOB_QUEUED,
        JOB_RUNNING,
        JOB_UNDOING,
        JOB_SUCCEEDED,
        JOB_FAILED,
        JOB_CANCELLED,
        _JOB_STATE_MAX,
        _JOB_STATE_INVALID = -EINVAL,
} JobState;
DECLARE_STRING_TABLE(job_state, JobState);

typedef enum StepState {
        STEP_PENDING,
        STEP_RUNNING,
        STEP_DONE,
        STEP_FAILED,
        STEP_UNDOING,
        STEP_UNDONE,
        STEP_SKIPPED,
        _STEP_STATE_MAX,
        _STEP_STATE_INVALID = -EINVAL,
} StepState;
DECLARE_STRING_TABLE(step_state, StepState);

typedef struct JobStep {
        const char *name;
        const char *title; /* for people: "Render the files" */
        unsigned weight;   /* share of the whole job, for its progress; all of one kind give 100 */
        bool by_daemon;    /* done by ccpd before the call returns, not by the worker */
        bool optional;     /* its failure does not fail the job */
} JobStep;

/* The steps of a kind, in order. Static. */
const JobStep *job_kind_steps(JobKind kind, size_t *ret_n);
/* Index of a step by its name, or -ENOENT. */
int job_kind_find_step(JobKind kind, const char *name);
/* The template of the unit that such a job is done in: "ccp-job". Who reaches the network does not reach the Engine. */
const char *job_kind_unit(JobKind kind);
/* True for what runs beside all other jobs of the instance: it only reads a file, through a descriptor that it keeps, and a
 * file is only ever replaced as a whole. */
bool job_kind_is_beside(JobKind kind);
/* Progress of the whole job, 0 to 1, when the steps before 'step' (0-based) are done and that one is
 * 'fraction' (0 to 1) through. */
double job_kind_progress(JobKind kind, size_t step, double fraction);

/* True if a job in this state is the one that its instance has, if it is not beside others. */
static inline bool job_state_is_active(JobState state) {
        return IN_SET(state, JOB_QUEUED, JOB_RUNNING, JOB_UNDOING);
}
/* True if a job in this state will never change again. */
static inline bool job_state_is_final(JobState state) {
        return IN_SET(state, JOB_SUCCEEDED, JOB_FAILED, JOB_CANCELLED);
}
