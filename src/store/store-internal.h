/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the files of the store share: queries with several users, and the transactions that both the daemon
 * and the worker run. */

#include "records-read.h"
#include "store-audit-internal.h"
#include "store.h"
#include "string-util.h"
#include "transaction.h"

/* The parameters of jobs-select */
typedef struct StoreJobsQuery {
        uint64_t id;        /* 0: any */
        const char *slug;   /* NULL: any */
        char *const *among; /* ids of instances; NULL: any */
        JobState state;
        JobKind kind;
        uint64_t limit, offset;
        uint64_t recent; /* not 0: those that are not at their end, and this many of the last */
} StoreJobsQuery;

#define STORE_JOB_QUERY(i)                   \
        {                                    \
                .id = (i),                   \
                .state = _JOB_STATE_INVALID, \
                .kind = _JOB_KIND_INVALID,   \
                .limit = 1,                  \
                .offset = 0,                 \
        }

void store_bind_jobs(DbParams *params, const StoreJobsQuery *q);

/* settings-select; *ret is replaced. */
int store_read_settings(const PGresult *result, Settings **ret, Error *reterr);

/* Anything that is no UUID becomes one that no instance has. */
static inline void store_copy_id(char dest[STORE_ID_MAX], const char *id) {
        if (strlen(id) != STORE_ID_MAX - 1 || strspn(id, "0123456789abcdef-") != STORE_ID_MAX - 1)
                id = "00000000-0000-0000-0000-000000000000";
        memcpy(dest, id, STORE_ID_MAX);
}

static inline int store_oom(const DbTransaction *t, Error *reterr) {
        return error_set_errnof(reterr, ENOMEM, "Could not %s: %m", t->what);
}

/* The first rows of a job: whether it is there, and in which state. The columns of job-lock. */
typedef struct StoreJobLock {
        JobState state;
        InstanceState state_before;
        char instance[STORE_ID_MAX];
        uint32_t attempt;
} StoreJobLock;

/* NoSuchJob for a result without a row. */
int store_read_job_lock(const PGresult *result, uint64_t id, StoreJobLock *ret, Error *reterr);
/* WrongState, for a job that is at its end. */
int store_job_ended_error(uint64_t id, JobState state, Error *reterr);

/* The columns of backup-lock. */
typedef struct StoreBackupLock {
        char instance[STORE_ID_MAX];
        char *slug;
        bool last;    /* that is verified, of its instance … */
        bool gone;    /* … which is gone */
        uint64_t job; /* that uses it; 0: none */
} StoreBackupLock;

/* NoSuchBackup for a result without a row. */
int store_read_backup_lock(const PGresult *result, uint64_t id, StoreBackupLock *ret, Error *reterr);
/* Busy, or WrongState for the last one unless 'last': what may not be deleted. */
int store_check_backup_lock(const StoreBackupLock *lock, uint64_t id, bool last, Error *reterr);

/* The end of a job; userdata is a StoreFinishOp. */
extern const DbTransaction store_finish_transaction;

typedef struct StoreFinishOp {
        StoreFinish finish;
        StoreJobLock lock;
        bool ended; /* had been at its end before */
        JobRecord *job;
        AuditRecord *audit;         /* the terminal entry, if this transaction appended it */
        AuditRecord *earlier_audit; /* that of an attempt whose COMMIT may have come through */
        StoreAudit cancel_audit;
        StoreJobCallback callback;
        void *userdata;
} StoreFinishOp;

/* Tells the journal what was put on record, or was not. */
void store_finish_log(const StoreFinishOp *op, int r, const Error *error);
/* Frees what it holds of its own. */
void store_finish_op_done(StoreFinishOp *op);
