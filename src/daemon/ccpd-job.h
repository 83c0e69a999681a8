/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A job as the daemon knows it: its record, the unit that does it, and who waits for it. No work is done
 * here. */

#include "bus-signal.h"
#include "byte-meter.h"
#include "ccpd-operation.h"
#include "db.h"
#include "hash.h"
#include "log.h"
#include "records.h"
#include "unit-client.h"
#include "validate.h"

typedef struct Manager Manager;
typedef struct Job Job;

#define JOB_UNIT_MAX 64U
/* All of them: ccp-job@ID.service and ccp-transfer@ID.service. */
#define JOB_UNIT_PATTERN "ccp-[jt]*@*.service"
/* A job's id in text, as it is on the bus: JavaScript would lose digits of a number. */
#define DECIMAL_ID_MAX 24U

struct Job {
        Manager *manager;
        JobRecord *record;
        UT_hash_handle hh;

        /* How far it is, from its datagrams; 0 to 100 */
        int percent;
        char *message;
        ByteCount bytes;        /* of what it does right now */
        usec_t expected_end_at; /* realtime; 0: cannot be told */

        bool unit_active; /* it was asked to start, or is known to run */
        bool examining; /* its record is being read, or its end recorded: until then it is not started again */
        bool giving_up;        /* the latter */
        DbSlot *admission;     /* of one that waited: its turn is being recorded */
        const char *hindrance; /* of one that waits: why it is not its turn */
        unsigned n_starts;
        usec_t not_before; /* of the next start, monotonic */
        UnitRequest *start_request, *stop_request;
        Operation *operation; /* the call that made it, until the worker has accepted it */
        Error start_error;

        bool announced, changed, removed_sent;
        BusTold told;
};

/* Its turn was recorded, or could not be. */
void job_end_admission(Job *j);

/* Takes the record. The manager owns the job. */
int job_new(Manager *m, JobRecord **record, Job **ret);
Job *job_free(Job *j);

Job *job_find(const Manager *m, uint64_t id);
/* By its id as it is on the bus; NULL also for what is none. */
Job *job_find_by_text(const Manager *m, const char *id);

/* Replaces the record; follows what changed with it. */
void job_update(Job *j, JobRecord **record);
void job_update_progress(Job *j, int percent, const char *message, const ByteCount *bytes);
void job_set_changed(Job *j);

/* Share done, 0 to 1. The job, which knows more than what is recorded, may be NULL. */
double job_progress(const JobRecord *record, const Job *j);
/* Number of the step that is done or undone, 1-based, 0 if none. */
unsigned job_current_step(const JobRecord *record);

/* A line about a job, with the fields by which the lines about it and about its instance are found. */
typedef struct JobLogFields {
        char job[STRLEN("CCP_JOB=") + DECIMAL_ID_MAX], instance[STRLEN("CCP_INSTANCE=") + SLUG_MAX + 1],
                        id[STRLEN("CCP_ID=") + STORE_ID_MAX];
        const char *fields[4];
} JobLogFields;
const char *const *job_log_fields(const Job *j, JobLogFields *buf);
#define log_job(j, level, error, ...) \
        log_struct((level), (error), job_log_fields((j), &(JobLogFields) {}), __VA_ARGS__)

const char *job_unit(const Job *j, char buf[static JOB_UNIT_MAX]);
const char *job_record_unit(const JobRecord *record, char buf[static JOB_UNIT_MAX]);
/* The job of a unit's name, 0 if it is none. */
uint64_t job_id_from_unit(const char *unit);
/* Path of its object; NULL when out of memory. */
char *job_path(const Job *j);

/* Has the call that made the job answered: once its worker accepted it, or at once if it must wait for
 * others. Takes the operation. */
void job_answer_when_accepted(Job *j, Operation *o);
