/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The frame of a worker: it claims one job, runs its steps, and undoes them when one fails or the job is
 * cancelled. The kinds of jobs are tables of steps, one file each; what the steps have in common is in
 * job-folder.h, job-render.h, job-revision.h, job-engine.h, job-images.h, job-services.h and job-stage.h.
 *
 * Each step is recorded as running, with what undoes it, before it acts. So a worker that is killed finds at
 * its next start how far it was. A step begins by making its own ground clean: it may be run again at any
 * time. */

#include "blueprint.h"
#include "engine.h"
#include "progress.h"
#include "store-worker.h"
#include "vault.h"

typedef struct Job Job;
typedef struct JobAside JobAside;
typedef struct JobArchive JobArchive;

typedef enum StepFlags {
        STEP_MEMORY = 1 << 0, /* leaves its result in this process alone: each attempt runs it again */
        STEP_ENGINE = 1 << 1, /* needs the engine: waits for one that is away, then runs again */
        STEP_COMMIT = 1 << 2, /* what it does can't be undone: from here on the job only goes forward */
        /* Undone only under these conditions; the latter two are about the instance before the job. */
        STEP_UNDO_IF_CANCELLED = 1 << 3,
        STEP_UNDO_IF_STOPPED = 1 << 4,
        STEP_UNDO_IF_RUNNING = 1 << 5,
        /* The instance runs on meanwhile: what the end of the engine has ended of it is started again. */
        STEP_KEEPS_RUNNING = 1 << 6,
} StepFlags;

/* What is done for one row of job-kind.h's table. */
typedef struct StepOps {
        const char *name;
        /* 0, 1 if there was nothing to do (skipped), or a negative errno with the error set. May set
         * j->detail for the step's record. */
        int (*run)(Job *j, Error *reterr);
        const char *undo; /* name of an action of job-undo.c, NULL: nothing to undo */
        unsigned flags;
} StepOps;

typedef struct JobOps {
        const StepOps *steps; /* those of the worker, in order; those of the daemon are left out */
        size_t n_steps;
        /* Gets ready what all steps need, before the first. May be NULL. */
        int (*prepare)(Job *j, Error *reterr);
        /* What becomes of the instance when all steps are done. */
        StoreEnd end;
        /* What becomes of it when all that was done is undone, or nothing had begun. */
        StoreEnd undone;
        /* Also done when the instance is gone. */
        bool without_instance;
        /* A failure after the first step has begun leaves the instance failed, undone or not. */
        bool fails_instance;
} JobOps;

extern const JobOps job_create_ops, job_start_ops, job_stop_ops, job_restart_ops, job_delete_ops,
                job_backup_ops, job_verify_ops, job_delete_backup_ops, job_restore_ops, job_undo_restore_ops,
                job_discard_restore_ops, job_clone_ops, job_drill_ops, job_import_ops, job_replicate_ops,
                job_fetch_ops;

struct Job {
        uint64_t id;
        char id_text[STRLEN("18446744073709551615") + 1];
        const char *conninfo;      /* NULL: the built-in */
        const char *instances_dir; /* NULL: CCP_INSTANCES_DIR */
        const char *pause_at;      /* stop before this step acts, for tests; NULL: nowhere */

        DbSync *db;
        JobClaim claim;
        const JobOps *ops; /* NULL until it is claimed: those of its kind */
        bool claimed;
        Progress progress;
        char *log_fields[4];

        /* What the instance is called on this host */
        char *project;   /* "SLUG_ccp" */
        char *directory; /* absolute */
        uint32_t revision;
        char *revision_directory; /* absolute, of the revision */
        int instances_fd;

        Blueprint *blueprint;
        char **profiles;
        json_t *values;  /* the template context; holds secrets */
        json_t *config;  /* the resolved compose file, override included; holds secrets */
        json_t *secrets; /* all that the instance has, parameters among them; with the values */
        char **redact;   /* values of secrets */

        Docker *docker;
        const EngineVTable *engine;

        JobAside *aside; /* what is done to the instance's containers is done to those beside it; NULL: not so */
        JobArchive *archive; /* that it restores from, once it is open */
        json_t *volumes;     /* key → name in the engine, of the job's revision; NULL: compose names them */

        double progress_base, progress_scale; /* where in its step the engine's 0 to 1 lie */
        char *detail;
        char **services;            /* the only ones that the job is about; NULL: all */
        bool committed;             /* a STEP_COMMIT has begun */
        usec_t engine_active_since; /* that was seen last, monotonic; 0: not seen yet */
        usec_t engine_looked_at;    /* when it was seen last, monotonic */
        bool engine_restarted;      /* since the job has its instance: what ran then may not run any more */
        bool engine_owes;           /* and what of the instance ran then was not started again yet */
        bool output_lost;           /* the Engine lost what a program of ours wrote, which ended well */
        bool helper_image_left; /* that of a helper before may be there, under the name for the next one's */
        bool keeps_running;     /* the present step is to leave the instance as it is */
        bool stopped;           /* asked to end before the job's end, and it did */
        bool undo_is_last;      /* the undo that runs is not tried again if it fails */
        bool deaf;              /* SIGTERM was answered, and this is the answer */
        usec_t deaf_until;
        usec_t store_since, store_asked_at; /* of the present wait for the records */
};

/* The exit status of a worker that was asked to end (EX_TEMPFAIL); the unit counts it as success. Where PID 1 asked
 * since the worker ran too long, its result is another one all the same. */
#define JOB_EXIT_STOPPED 75

/* Returned when the worker ends without the job's end: the machine goes down, or another worker has the job.
 * Nothing more may be touched then. */
#define JOB_LEFT (-ESHUTDOWN)

void job_init(Job *j, uint64_t id);
void job_done(Job *j);
#define _cleanup_job_ _cleanup_(job_done)

/* Makes SIGTERM end the next checkpoint. */
int job_install_signals(void);

/* For every loop, and for the callbacks of those who wait: tells progress, pings the watchdog. -ECANCELED if
 * the worker was asked to end. */
int job_checkpoint(Job *j);
/* The same as a callback; userdata is the Job. */
int job_poll(void *userdata);
/* Waits, with checkpoints. */
int job_sleep(Job *j, usec_t span);

/* Notes in the step's record that optional services are not well. */
int job_note_unwell(Job *j, unsigned n_unwell, Error *reterr);

/* The part of the current step that the following takes, both 0 to 1. */
void job_set_range(Job *j, double from, double to);
/* Progress in that part; 'fraction' negative: not known. */
void job_tell(Job *j, double fraction, const char *format, ...) _printf_(3, 4);
/* Progress in something that is counted in bytes; total 0: not known beforehand. With no fraction of its own, it is that
 * of the bytes. */
void job_tell_bytes(Job *j, double fraction, uint64_t done, uint64_t total, const char *format, ...)
                _printf_(5, 6);

static inline const InstanceRecord *job_instance(const Job *j) {
        return j->claim.instance;
}

/* The instance was stopped when the job began, and is to be so at its end. */
static inline bool job_began_stopped(const Job *j) {
        return j->claim.job->state_before == INSTANCE_STOPPED;
}

/* Claims the job and does it, to its end. 0 if the end is recorded, whatever it is; JOB_LEFT; or a negative
 * errno: logged. */
int job_run(Job *j);
/* For the end of the unit: records how the worker died, or that it was only asked to end. */
int job_record_crash(Job *j, const char *result, const char *code, const char *status);
