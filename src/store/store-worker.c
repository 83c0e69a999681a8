/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "store-worker.h"

#include <errno.h>
#include <inttypes.h>

#include "alloc-util.h"
#include "db-row.h"
#include "statements.h"
#include "store-internal.h"

/* --- claim --- */

typedef struct ClaimOp {
        uint64_t id;
        uint32_t attempt; /* this one; the same when it is repeated */
        StoreJobLock lock;
        JobClaim claim;
} ClaimOp;

void job_claim_done(JobClaim *c) {
        c->job = job_record_free(c->job);
        c->instance = instance_record_free(c->instance);
        secret_records_done(&c->secrets);
}

static void claim_reset(void *userdata) {
        ClaimOp *op = userdata;

        job_claim_done(&op->claim);
}

static int claim_bind_id(DbParams *params, void *userdata) {
        ClaimOp *op = userdata;

        db_params_add_int64(params, (int64_t) op->id);
        return 0;
}

static int claim_result_lock(const PGresult *result, void *userdata, Error *reterr) {
        ClaimOp *op = userdata;
        int r;

        r = store_read_job_lock(result, op->id, &op->lock, reterr);
        if (r < 0)
                return r;

        if (job_state_is_final(op->lock.state))
                return store_job_ended_error(op->id, op->lock.state, reterr);
        if (op->lock.state == JOB_WAITING)
                return error_setf(reterr, CCP_ERROR_WRONG_STATE,
                                "The job %" PRIu64 " waits for its turn: ccpd begins it.", op->id);

        if (op->attempt == 0)
                op->attempt = op->lock.attempt + 1;
        return 0;
}

static int claim_bind_claim(DbParams *params, void *userdata) {
        ClaimOp *op = userdata;

        db_params_add_int64(params, (int64_t) op->id);
        db_params_add_int64(params, op->attempt);
        return 0;
}

static int claim_bind_read_job(DbParams *params, void *userdata) {
        ClaimOp *op = userdata;

        store_bind_jobs(params, &(StoreJobsQuery) STORE_JOB_QUERY(op->id));
        return 0;
}

static int claim_read_job(const PGresult *result, void *userdata, Error *reterr) {
        ClaimOp *op = userdata;

        return job_record_read(result, 0, &op->claim.job, reterr);
}

static int claim_bind_instance(DbParams *params, void *userdata) {
        ClaimOp *op = userdata;

        db_params_add_string(params, op->lock.instance);
        return 0;
}

static int claim_read_instance(const PGresult *result, void *userdata, Error *reterr) {
        ClaimOp *op = userdata;

        return PQntuples(result) > 0 ? instance_record_read(result, 0, &op->claim.instance, reterr) : 0;
}

static int claim_bind_secrets(DbParams *params, void *userdata) {
        ClaimOp *op = userdata;

        db_params_add_string(params, op->lock.instance);
        db_params_add_string(params, NULL);
        return 0;
}

static int claim_read_secrets(const PGresult *result, void *userdata, Error *reterr) {
        ClaimOp *op = userdata;

        return secret_records_read(result, &op->claim.secrets, reterr);
}

static const DbStep claim_steps[] = {
        { sql_job_lock, claim_bind_id, claim_result_lock },
        { sql_job_claim, claim_bind_claim },
        { sql_jobs_select, claim_bind_read_job, claim_read_job },
        { sql_instances_select, claim_bind_instance, claim_read_instance },
        { sql_secrets_newest, claim_bind_secrets, claim_read_secrets },
};
static const DbTransaction claim_transaction = {
        .what = "claim the job",
        .steps = claim_steps,
        .n_steps = ELEMENTSOF(claim_steps),
        .reset = claim_reset,
};

int job_claim(DbSync *db, uint64_t id, JobClaim *ret, Error *reterr) {
        ClaimOp op = { .id = id };
        int r;

        r = db_sync_lock_job(db, id, reterr);
        if (r < 0)
                return r;

        r = db_sync_run(db, &claim_transaction, &op, reterr);
        if (r < 0) {
                job_claim_done(&op.claim);
                return r;
        }

        *ret = op.claim;
        return 0;
}

/* --- statements that stand for themselves --- */

/* What most of the functions below need: parameters, and how often a row came. */
typedef struct SimpleOp {
        DbParams params;
        int n_rows;
        bool flag; /* the first column, where it is one */
        uint32_t number;
} SimpleOp;

static int simple_bind(DbParams *params, void *userdata) {
        SimpleOp *op = userdata;

        db_params_borrow(params, &op->params);
        return 0;
}

static int simple_result_flag(const PGresult *result, void *userdata, Error *reterr) {
        SimpleOp *op = userdata;
        DbRow row = DB_ROW(result, 0);
        int r;

        op->n_rows = PQntuples(result);
        if (op->n_rows == 0)
                return 0;

        db_row_bool(&row, &op->flag);
        r = db_row_end(&row);
        return r < 0 ? db_row_error(r, "a job", reterr) : 0;
}

/* What the statements on a running job give: its state from before, and for a step two more columns. */
typedef struct ActiveOp {
        DbParams params;
        bool found, cancel, has_step;
        JobState state;
} ActiveOp;

DB_ENUM_READER(job_state);

static int active_bind(DbParams *params, void *userdata) {
        ActiveOp *op = userdata;

        db_params_borrow(params, &op->params);
        return 0;
}

static int active_result(const PGresult *result, void *userdata, Error *reterr) {
        ActiveOp *op = userdata;
        DbRow row = DB_ROW(result, 0);
        int state = 0, r;

        op->found = PQntuples(result) > 0;
        if (!op->found)
                return 0;

        db_row_enum(&row, read_job_state, &state);
        if (PQnfields(result) > 1) {
                db_row_bool(&row, &op->cancel);
                db_row_bool(&row, &op->has_step);
        }
        r = db_row_end(&row);
        op->state = state;
        return r < 0 ? db_row_error(r, "a job", reterr) : 0;
}

static int simple_result_number(const PGresult *result, void *userdata, Error *reterr) {
        SimpleOp *op = userdata;
        DbRow row = DB_ROW(result, 0);
        int r;

        db_row_uint32(&row, &op->number);
        r = db_row_end(&row);
        return r < 0 ? db_row_error(r, "a revision", reterr) : 0;
}

static int no_such_job(uint64_t id, Error *reterr) {
        return error_setf(reterr, CCP_ERROR_NO_SUCH_JOB, "There is no such step or job: %" PRIu64 ".", id);
}

/* Frees the parameters and passes the result on. */
static int run_simple(DbSync *db, const DbTransaction *transaction, SimpleOp *op, Error *reterr) {
        int r;

        r = db_sync_run(db, transaction, op, reterr);
        db_params_done(&op->params);
        return r;
}

/* The same for a job that has to be there and not at its end. */
static int run_active(
                DbSync *db, const DbTransaction *transaction, uint64_t id, ActiveOp *op, Error *reterr) {
        int r;

        r = db_sync_run(db, transaction, op, reterr);
        db_params_done(&op->params);
        if (r < 0)
                return r;
        if (!op->found)
                return no_such_job(id, reterr);

        return job_state_is_final(op->state) ? store_job_ended_error(id, op->state, reterr) : 0;
}

/* A transaction of one statement. */
#define DEFINE_SIMPLE(id, text, sql_text, result_function)                          \
        static const DbStep id##_step = { sql_text, simple_bind, result_function }; \
        static const DbTransaction id##_transaction = {                             \
                .what = text,                                                       \
                .steps = &id##_step,                                                \
                .n_steps = 1,                                                       \
        }

static const DbStep step_step = { sql_job_set_step, active_bind, active_result };
static const DbTransaction step_transaction = {
        .what = "record a step of the job",
        .steps = &step_step,
        .n_steps = 1,
};
static const DbStep state_step = { sql_job_set_state, active_bind, active_result };
static const DbTransaction state_transaction = {
        .what = "record the state of the job",
        .steps = &state_step,
        .n_steps = 1,
};
DEFINE_SIMPLE(cancelled, "read whether the job is cancelled", sql_job_is_cancelled, simple_result_flag);
DEFINE_SIMPLE(changed_files, "record which files were changed", sql_instance_set_changed_files, NULL);
DEFINE_SIMPLE(next, "read the revisions of the instance", sql_revision_next, simple_result_number);
DEFINE_SIMPLE(put, "record the revision", sql_revision_put, NULL);
DEFINE_SIMPLE(remove, "remove the record of the revision", sql_revision_remove, NULL);

/* --- jobs --- */

int job_set_step(DbSync *db, uint64_t id, const StepUpdate *update, bool *ret_cancel, Error *reterr) {
        ActiveOp op = {};
        int r;

        db_params_add_int64(&op.params, (int64_t) id);
        db_params_add_int64(&op.params, update->number);
        db_params_add_string(&op.params, step_state_to_string(update->state));
        db_params_add_json(&op.params, update->undo);
        db_params_add_string(&op.params, update->detail);
        r = run_active(db, &step_transaction, id, &op, reterr);
        if (r < 0)
                return r;
        if (!op.has_step)
                return no_such_job(id, reterr);

        if (ret_cancel)
                *ret_cancel = op.cancel;
        return 0;
}

int job_set_state(DbSync *db, uint64_t id, JobState state, const char *error_name, const char *error_message,
                Error *reterr) {
        ActiveOp op = {};

        assert(!job_state_is_final(state));

        db_params_add_int64(&op.params, (int64_t) id);
        db_params_add_string(&op.params, job_state_to_string(state));
        db_params_add_string(&op.params, error_name);
        db_params_add_string(&op.params, error_message);
        return run_active(db, &state_transaction, id, &op, reterr);
}

int job_is_cancelled(DbSync *db, uint64_t id, bool *ret, Error *reterr) {
        SimpleOp op = {};
        int r;

        db_params_add_int64(&op.params, (int64_t) id);
        r = run_simple(db, &cancelled_transaction, &op, reterr);
        if (r < 0)
                return r;
        if (op.n_rows == 0)
                return no_such_job(id, reterr);

        *ret = op.flag;
        return 0;
}

int job_finish(DbSync *db, const StoreFinish *finish, Error *reterr) {
        StoreFinishOp op = { .finish = *finish };
        _cleanup_error_ Error error = {};
        int r;

        assert(job_state_is_final(finish->state));

        r = db_sync_run(db, &store_finish_transaction, &op, &error);
        store_finish_log(&op, r, &error);
        store_finish_op_done(&op);
        if (r < 0)
                error_move(reterr, &error);
        return r;
}

/* --- a worker that died --- */

typedef struct CrashOp {
        uint64_t id;
        const char *message;
        StoreJobLock lock;
} CrashOp;

static int crash_bind_id(DbParams *params, void *userdata) {
        CrashOp *op = userdata;

        db_params_add_int64(params, (int64_t) op->id);
        return 0;
}

static int crash_result_lock(const PGresult *result, void *userdata, Error *reterr) {
        CrashOp *op = userdata;

        return store_read_job_lock(result, op->id, &op->lock, reterr);
}

static int crash_bind_note(DbParams *params, void *userdata) {
        CrashOp *op = userdata;

        if (job_state_is_final(op->lock.state))
                return DB_STEP_SKIP;

        db_params_add_int64(params, (int64_t) op->id);
        db_params_add_string(params, CCP_ERROR_INTERNAL);
        db_params_add_string(params, op->message);
        return 0;
}

static const DbStep crash_steps[] = {
        { sql_job_lock, crash_bind_id, crash_result_lock },
        { sql_job_note_crash, crash_bind_note },
};
static const DbTransaction crash_transaction = {
        .what = "record that the worker died",
        .steps = crash_steps,
        .n_steps = ELEMENTSOF(crash_steps),
};

int job_mark_crashed(DbSync *db, uint64_t id, const char *message, unsigned *ret_attempt,
                char ret_instance[static STORE_ID_MAX], Error *reterr) {
        CrashOp op = { .id = id, .message = message };
        int r;

        r = db_sync_run(db, &crash_transaction, &op, reterr);
        if (r < 0)
                return r;

        if (job_state_is_final(op.lock.state))
                return 0;

        *ret_attempt = op.lock.attempt;
        memcpy(ret_instance, op.lock.instance, STORE_ID_MAX);
        return 1;
}

/* --- a worker that was asked to end --- */

typedef struct LeftOp {
        uint64_t id;
        uint32_t attempt; /* the one that is taken back; the same when it is repeated */
        StoreJobLock lock;
} LeftOp;

static int left_bind_id(DbParams *params, void *userdata) {
        LeftOp *op = userdata;

        db_params_add_int64(params, (int64_t) op->id);
        return 0;
}

static int left_result_lock(const PGresult *result, void *userdata, Error *reterr) {
        LeftOp *op = userdata;
        int r;

        r = store_read_job_lock(result, op->id, &op->lock, reterr);
        if (r < 0)
                return r;

        if (op->attempt == 0)
                op->attempt = op->lock.attempt;
        return 0;
}

static int left_bind_attempt(DbParams *params, void *userdata) {
        LeftOp *op = userdata;

        if (job_state_is_final(op->lock.state) || op->attempt == 0)
                return DB_STEP_SKIP;

        db_params_add_int64(params, (int64_t) op->id);
        db_params_add_int64(params, op->attempt);
        return 0;
}

static const DbStep left_steps[] = {
        { sql_job_lock, left_bind_id, left_result_lock },
        { sql_job_uncount_attempt, left_bind_attempt },
};
static const DbTransaction left_transaction = {
        .what = "record that the worker left the job",
        .steps = left_steps,
        .n_steps = ELEMENTSOF(left_steps),
};

int job_mark_left(DbSync *db, uint64_t id, Error *reterr) {
        LeftOp op = { .id = id };

        return db_sync_run(db, &left_transaction, &op, reterr);
}

/* --- revisions --- */

int instance_set_changed_files(
                DbSync *db, const char *instance, uint32_t revision, char *const *changes, Error *reterr) {
        SimpleOp op = {};

        db_params_add_string(&op.params, instance);
        db_params_add_int64(&op.params, revision);
        db_params_add_strv(&op.params, (const char *const *) changes, strv_length(changes));
        return run_simple(db, &changed_files_transaction, &op, reterr);
}

int revision_next(DbSync *db, const char *instance, uint32_t *ret, Error *reterr) {
        SimpleOp op = {};
        int r;

        db_params_add_string(&op.params, instance);
        r = run_simple(db, &next_transaction, &op, reterr);
        if (r < 0)
                return r;

        *ret = op.number;
        return 0;
}

int revision_put(DbSync *db, const char *instance, const RevisionRecord *revision, Error *reterr) {
        SimpleOp op = {};

        db_params_add_string(&op.params, instance);
        db_params_add_int64(&op.params, revision->number);
        db_params_add_string(&op.params, revision_state_to_string(revision->state));
        db_params_add_json(&op.params, revision->files);
        db_params_add_json(&op.params, revision->images);
        db_params_add_json(&op.params, revision->volumes);
        return run_simple(db, &put_transaction, &op, reterr);
}

int revision_remove(DbSync *db, const char *instance, uint32_t number, Error *reterr) {
        SimpleOp op = {};

        db_params_add_string(&op.params, instance);
        db_params_add_int64(&op.params, number);
        return run_simple(db, &remove_transaction, &op, reterr);
}

static int activate_result(const PGresult *result, void *userdata _unused_, Error *reterr) {
        if (PQntuples(result) == 0)
                return error_setf(reterr, CCP_ERROR_INTERNAL, "The instance has no such revision.");

        return 0;
}

static const DbStep activate_steps[] = {
        { sql_revision_supersede_others, simple_bind },
        { sql_revision_activate, simple_bind, activate_result },
        { sql_instance_set_revision, simple_bind },
};
static const DbTransaction activate_transaction = {
        .what = "make the revision the active one",
        .steps = activate_steps,
        .n_steps = ELEMENTSOF(activate_steps),
};

int revision_activate(DbSync *db, const char *instance, uint32_t number, Error *reterr) {
        SimpleOp op = {};

        db_params_add_string(&op.params, instance);
        db_params_add_int64(&op.params, number);
        return run_simple(db, &activate_transaction, &op, reterr);
}

typedef struct RevisionOp {
        const char *instance;
        uint32_t number;
        RevisionRecord *revision;
} RevisionOp;

static int get_bind(DbParams *params, void *userdata) {
        RevisionOp *op = userdata;

        db_params_add_string(params, op->instance);
        db_params_add_int64(params, op->number);
        return 0;
}

static int get_result(const PGresult *result, void *userdata, Error *reterr) {
        RevisionOp *op = userdata;

        op->revision = revision_record_free(op->revision);
        return PQntuples(result) > 0 ? revision_record_read(result, 0, &op->revision, reterr) : 0;
}

static const DbStep get_step = { sql_revision_get, get_bind, get_result };
static const DbTransaction get_transaction = {
        .what = "read the revision",
        .steps = &get_step,
        .n_steps = 1,
        .read_only = true,
};

int revision_get(DbSync *db, const char *instance, uint32_t number, RevisionRecord **ret, Error *reterr) {
        RevisionOp op = { .instance = instance, .number = number };
        int r;

        r = db_sync_run(db, &get_transaction, &op, reterr);
        if (r < 0) {
                revision_record_free(op.revision);
                return r;
        }

        *ret = op.revision;
        return 0;
}
