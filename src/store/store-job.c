/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <errno.h>
#include <inttypes.h>

#include "alloc-util.h"
#include "db-row.h"
#include "statements.h"
#include "store-internal.h"

static int no_such_job(uint64_t id, Error *reterr) {
        return error_setf(reterr, CCP_ERROR_NO_SUCH_JOB,
                        "There is no job %" PRIu64 ". 'ccpctl job list' shows those that there are.", id);
}

int store_job_ended_error(uint64_t id, JobState state, Error *reterr) {
        return error_setf(reterr, CCP_ERROR_WRONG_STATE, "The job %" PRIu64 " is at its end: it %s.", id,
                        state == JOB_SUCCEEDED                   ? "succeeded"
                                        : state == JOB_CANCELLED ? "was cancelled"
                                                                 : "failed");
}

DB_ENUM_READER(instance_state);
DB_ENUM_READER(job_state);

int store_read_job_lock(const PGresult *result, uint64_t id, StoreJobLock *ret, Error *reterr) {
        DbRow row = DB_ROW(result, 0);
        int state = 0, before = 0, r;

        if (PQntuples(result) == 0)
                return no_such_job(id, reterr);

        db_row_enum(&row, read_job_state, &state);
        db_row_text(&row, ret->instance, sizeof(ret->instance));
        db_row_enum(&row, read_instance_state, &before);
        db_row_uint32(&row, &ret->attempt);
        r = db_row_end(&row);
        if (r < 0)
                return db_row_error(r, "a job", reterr);

        ret->state = state;
        ret->state_before = before;
        return 0;
}

/* --- a job on an instance --- */

typedef struct CreateJobOp {
        char instance_id[STORE_ID_MAX];
        uint64_t backup; /* 0: it is about none */
        bool last;
        bool waits;
        JobKind kind;
        DbParams job_params; /* of job-insert */
        RecoveryReason reason;
        unsigned attempt;
        uint64_t run, knock;
        InstanceState state;
        char *slug;
        bool busy;
        bool gone; /* the instance of the backup */
        uint64_t id;
        InstanceRecord *instance;
        JobRecord *job;
        StoreAudit audit;
        StoreCreatedCallback callback;
        void *userdata;
} CreateJobOp;

static void create_job_reset(void *userdata) {
        CreateJobOp *op = userdata;

        op->busy = false;
        op->slug = mfree(op->slug);
        op->instance = instance_record_free(op->instance);
        op->job = job_record_free(op->job);
        store_audit_reset(&op->audit);
}

static void create_job_op_free(void *userdata) {
        CreateJobOp *op = userdata;

        create_job_reset(op);
        db_params_done(&op->job_params);
        store_audit_done(&op->audit);
        free(op);
}

static int create_job_bind_backup(DbParams *params, void *userdata) {
        CreateJobOp *op = userdata;

        if (op->backup == 0)
                return DB_STEP_SKIP;

        db_params_add_int64(params, (int64_t) op->backup);
        db_params_add_int64(params, 0);
        return 0;
}

static int create_job_result_backup(const PGresult *result, void *userdata, Error *reterr) {
        CreateJobOp *op = userdata;
        StoreBackupLock lock = {};
        int r;

        r = store_read_backup_lock(result, op->backup, &lock, reterr);
        if (r >= 0 && op->kind == JOB_DELETE_BACKUP)
                r = store_check_backup_lock(&lock, op->backup, op->last, reterr);
        op->slug = TAKE_PTR(lock.slug);
        memcpy(op->instance_id, lock.instance, sizeof(op->instance_id));
        return r;
}

static int create_job_bind_instance(DbParams *params, void *userdata) {
        CreateJobOp *op = userdata;

        db_params_add_string(params, op->instance_id);
        return 0;
}

static int create_job_result_lock(const PGresult *result, void *userdata, Error *reterr) {
        CreateJobOp *op = userdata;
        DbRow row = DB_ROW(result, 0);
        int state = 0, r;

        op->gone = PQntuples(result) == 0;
        if (op->gone && op->backup > 0) {
                op->state = INSTANCE_DELETING;
                return 0;
        }
        if (PQntuples(result) == 0)
                return error_setf(reterr, CCP_ERROR_NO_SUCH_INSTANCE,
                                "There is no such instance (any more). 'ccpctl list' shows those that there "
                                "are.");

        op->slug = mfree(op->slug);
        db_row_string(&row, &op->slug);
        db_row_enum(&row, read_instance_state, &state);
        r = db_row_end(&row);
        if (r < 0)
                return db_row_error(r, "an instance", reterr);

        op->state = state;
        return 0;
}

static int create_job_bind_job(DbParams *params, void *userdata) {
        CreateJobOp *op = userdata;

        if (op->backup > 0)
                return DB_STEP_SKIP;

        db_params_borrow(params, &op->job_params);
        return 0;
}

static int create_job_bind_job_about_backup(DbParams *params, void *userdata) {
        CreateJobOp *op = userdata;

        if (op->backup == 0)
                return DB_STEP_SKIP;

        db_params_borrow(params, &op->job_params);
        return 0;
}

static int create_job_result_job(const PGresult *result, void *userdata, Error *reterr) {
        CreateJobOp *op = userdata;
        DbRow row = DB_ROW(result, 0);
        int r;

        op->busy = PQntuples(result) == 0;
        if (op->busy)
                return 0;

        db_row_uint(&row, INT64_MAX, &op->id);
        r = db_row_end(&row);
        if (r < 0)
                return db_row_error(r, "a job", reterr);

        if (!instance_state_allows(op->state, op->kind) && op->gone)
                return error_setf(reterr, CCP_ERROR_NO_SUCH_INSTANCE,
                                "Backup %" PRIu64
                                " is of '%s', an instance that is not there. To make a new "
                                "one of it: ccpctl backup restore %" PRIu64 " --as=SLUG --domain=DOMAIN",
                                op->backup, op->slug, op->backup);
        if (!instance_state_allows(op->state, op->kind))
                return error_setf(reterr, CCP_ERROR_WRONG_STATE,
                                "'%s' is in the state '%s', which does not allow '%s'.", op->slug,
                                instance_state_to_string(op->state), job_kind_to_string(op->kind));

        return 0;
}

static int create_job_bind_active(DbParams *params, void *userdata) {
        CreateJobOp *op = userdata;

        if (!op->busy)
                return DB_STEP_SKIP;

        db_params_add_string(params, op->instance_id);
        db_params_add_string(params, job_kind_to_string(op->kind));
        db_params_add_int64(params, (int64_t) op->backup);
        db_params_add_bool(params, op->waits);
        return 0;
}

static int create_job_result_active(const PGresult *result, void *userdata, Error *reterr) {
        _cleanup_free_ char *kind = NULL, *slug = NULL;
        const CreateJobOp *op = userdata;
        DbRow row = DB_ROW(result, 0);
        uint64_t id = 0;
        int r;

        /* It came to its end between the two statements. */
        if (PQntuples(result) == 0)
                return error_setf(reterr, CCP_ERROR_BUSY,
                                "A job on the instance just came to its end. Try again.");

        db_row_uint(&row, INT64_MAX, &id);
        db_row_string(&row, &kind);
        db_row_string(&row, &slug);
        r = db_row_end(&row);
        if (r < 0)
                return db_row_error(r, "a job", reterr);

        return error_setf(reterr, CCP_ERROR_BUSY,
                        "The job %" PRIu64 " (%s) %s '%s'. Wait for it ('ccpctl job follow %" PRIu64
                        "') or cancel it.",
                        id, kind, op->waits ? "waits for its turn on" : "is at work on", slug, id);
}

static int create_job_bind_steps(DbParams *params, void *userdata) {
        CreateJobOp *op = userdata;
        const char *names[JOB_STEPS_MAX];
        const JobStep *steps;
        size_t n;

        steps = job_kind_steps(op->kind, &n);
        for (size_t i = 0; i < n; i++)
                names[i] = steps[i].name;

        db_params_add_int64(params, (int64_t) op->id);
        db_params_add_strv(params, names, n);
        db_params_add_int64(params, 0);
        return 0;
}

static int create_job_bind_state(DbParams *params, void *userdata) {
        CreateJobOp *op = userdata;
        InstanceState during = instance_state_during(op->kind);

        if (during < 0)
                return DB_STEP_SKIP;

        db_params_add_string(params, op->instance_id);
        db_params_add_string(params, instance_state_to_string(during));
        return 0;
}

static int create_job_bind_recovery(DbParams *params, void *userdata) {
        CreateJobOp *op = userdata;

        /* Nothing is done with the instance itself. */
        if (job_kind_is_aside(op->kind))
                return DB_STEP_SKIP;

        db_params_add_string(params, op->instance_id);
        db_params_add_string(params, recovery_reason_to_string(op->reason));
        db_params_add_int64(params, op->reason == RECOVERY_NONE ? 0 : MAX(op->attempt, 1U));
        db_params_add_int64(params, op->reason == RECOVERY_NONE ? 0 : (int64_t) op->run);
        return 0;
}

static int create_job_bind_knock(DbParams *params, void *userdata) {
        CreateJobOp *op = userdata;

        if (op->knock == 0)
                return DB_STEP_SKIP;

        db_params_add_string(params, op->instance_id);
        db_params_add_int64(params, (int64_t) op->knock);
        db_params_add_string(params, job_kind_to_string(op->kind));
        return 0;
}

static int create_job_bind_copy(DbParams *params, void *userdata) {
        CreateJobOp *op = userdata;

        if (op->kind != JOB_REPLICATE)
                return DB_STEP_SKIP;

        db_params_add_int64(params, (int64_t) op->backup);
        return 0;
}

static int create_job_bind_import(DbParams *params, void *userdata) {
        CreateJobOp *op = userdata;

        if (op->kind != JOB_IMPORT)
                return DB_STEP_SKIP;

        db_params_add_int64(params, (int64_t) op->backup);
        db_params_add_int64(params, (int64_t) op->id);
        return 0;
}

static int create_job_read_instance(const PGresult *result, void *userdata, Error *reterr) {
        CreateJobOp *op = userdata;

        return PQntuples(result) > 0 ? instance_record_read(result, 0, &op->instance, reterr) : 0;
}

static int create_job_bind_read_job(DbParams *params, void *userdata) {
        CreateJobOp *op = userdata;

        store_bind_jobs(params, &(StoreJobsQuery) STORE_JOB_QUERY(op->id));
        return 0;
}

static int create_job_read_job(const PGresult *result, void *userdata, Error *reterr) {
        CreateJobOp *op = userdata;

        return job_record_read(result, 0, &op->job, reterr);
}

static int create_job_bind_audit(DbParams *params, void *userdata) {
        CreateJobOp *op = userdata;
        int r;

        r = store_audit_set_instance(&op->audit, op->slug, op->instance_id);
        if (r < 0)
                return r;

        op->audit.entry.job = op->id;
        return store_audit_bind(&op->audit, params);
}

static int create_job_result_audit(const PGresult *result, void *userdata, Error *reterr) {
        CreateJobOp *op = userdata;

        return store_audit_result(&op->audit, result, reterr);
}

static const DbStep create_job_steps[] = {
        { sql_backup_lock, create_job_bind_backup, create_job_result_backup },
        { sql_instance_lock, create_job_bind_instance, create_job_result_lock },
        { sql_job_insert, create_job_bind_job, create_job_result_job },
        { sql_job_insert_about_backup, create_job_bind_job_about_backup, create_job_result_job },
        { sql_job_active_on, create_job_bind_active, create_job_result_active },
        { sql_job_steps_insert, create_job_bind_steps },
        { sql_instance_set_state, create_job_bind_state },
        { sql_instance_note_recovery, create_job_bind_recovery },
        { sql_instance_note_knock, create_job_bind_knock },
        { sql_copy_attempt, create_job_bind_copy },
        { sql_backup_import_claim, create_job_bind_import },
        { sql_instances_select, create_job_bind_instance, create_job_read_instance },
        { sql_jobs_select, create_job_bind_read_job, create_job_read_job },
        { sql_audit_append, create_job_bind_audit, create_job_result_audit, .refusal = STORE_AUDIT_REFUSAL },
};
static const DbTransaction create_job_transaction = {
        .what = "record the job",
        .steps = create_job_steps,
        .n_steps = ELEMENTSOF(create_job_steps),
        .reset = create_job_reset,
};

static void create_job_done(int r, Error *error, void *userdata) {
        CreateJobOp *op = userdata;

        store_audit_end(&op->audit, r, error);
        op->callback(r, r < 0 ? NULL : TAKE_PTR(op->instance), r < 0 ? NULL : TAKE_PTR(op->job), error,
                        op->userdata);
}

int store_create_job(Db *db, const StoreJobCreate *create, StoreCreatedCallback callback, void *userdata,
                DbSlot **ret_slot, Error *reterr) {
        CreateJobOp *op;

        op = new0(CreateJobOp, 1);
        if (!op)
                return store_oom(&create_job_transaction, reterr);

        *op = (CreateJobOp) {
                .kind = create->kind,
                .backup = create->backup,
                .last = create->last,
                .waits = create->waits,
                .reason = create->reason,
                .attempt = create->attempt,
                .run = create->run,
                .knock = create->knock,
                .callback = callback,
                .userdata = userdata,
        };
        store_copy_id(op->instance_id, strempty(create->instance));
        if (create->backup > 0)
                db_params_add_int64(&op->job_params, (int64_t) create->backup);
        else
                db_params_add_string(&op->job_params, op->instance_id);
        db_params_add_string(&op->job_params, job_kind_to_string(create->kind));
        db_params_add_json(&op->job_params, create->spec);
        db_params_add_copy(&op->job_params, create->actor->user);
        db_params_add_int64(&op->job_params, create->actor->uid);
        if (create->backup == 0)
                db_params_add_string(&op->job_params,
                                job_state_to_string(create->waits ? JOB_WAITING : JOB_QUEUED));
        if (store_audit_init(&op->audit,
                            &(AuditEntry) {
                                            .action = audit_action_of_job(create->kind),
                                            .outcome = AUDIT_ACCEPTED,
                                            .actor = create->actor,
                                            .details = create->details,
                            }) < 0) {
                create_job_op_free(op);
                return store_oom(&create_job_transaction, reterr);
        }
        return db_request(db, &create_job_transaction, create_job_done, op, create_job_op_free, ret_slot,
                        reterr);
}

/* --- the turn of one that waits --- */

typedef struct AdmitOp {
        uint64_t id;
        StoreJobLock lock;
        bool busy; /* another job is on the instance */
        InstanceRecord *instance;
        JobRecord *job;
        StoreCreatedCallback callback;
        void *userdata;
} AdmitOp;

static void admit_reset(void *userdata) {
        AdmitOp *op = userdata;

        op->instance = instance_record_free(op->instance);
        op->job = job_record_free(op->job);
}

static void admit_op_free(void *userdata) {
        admit_reset(userdata);
        free(userdata);
}

static bool admit_may_begin(const AdmitOp *op) {
        return !op->busy && op->instance && op->instance->state == INSTANCE_RUNNING;
}

static int admit_bind_id(DbParams *params, void *userdata) {
        AdmitOp *op = userdata;

        db_params_add_int64(params, (int64_t) op->id);
        return 0;
}

static int admit_result_lock(const PGresult *result, void *userdata, Error *reterr) {
        AdmitOp *op = userdata;

        return store_read_job_lock(result, op->id, &op->lock, reterr);
}

static int admit_bind_instance(DbParams *params, void *userdata) {
        AdmitOp *op = userdata;

        db_params_add_string(params, op->lock.instance);
        return 0;
}

static int admit_read_instance(const PGresult *result, void *userdata, Error *reterr) {
        AdmitOp *op = userdata;

        return PQntuples(result) > 0 ? instance_record_read(result, 0, &op->instance, reterr) : 0;
}

static int admit_bind_active(DbParams *params, void *userdata) {
        (void) admit_bind_instance(params, userdata);
        db_params_add_string(params, job_kind_to_string(JOB_BACKUP));
        db_params_add_int64(params, 0);
        db_params_add_bool(params, false);
        return 0;
}

static int admit_result_active(const PGresult *result, void *userdata, Error *reterr _unused_) {
        AdmitOp *op = userdata;

        op->busy = PQntuples(result) > 0;
        return 0;
}

static int admit_bind_admit(DbParams *params, void *userdata) {
        return admit_may_begin(userdata) ? admit_bind_id(params, userdata) : DB_STEP_SKIP;
}

static int admit_bind_read(DbParams *params, void *userdata) {
        AdmitOp *op = userdata;

        store_bind_jobs(params, &(StoreJobsQuery) STORE_JOB_QUERY(op->id));
        return 0;
}

/* What it waited for is no more. */
static int admit_error(const AdmitOp *op, Error *reterr) {
        const char *slug = op->job->slug;

        if (!op->instance)
                return error_setf(reterr, CCP_ERROR_NO_SUCH_INSTANCE,
                                "'%s' was deleted before its turn came. To see which backups there are of "
                                "it: "
                                "ccpctl backup list --instance=%s",
                                slug, slug);
        if (op->instance->state == INSTANCE_STOPPED)
                return error_setf(reterr, CCP_ERROR_WRONG_STATE,
                                "'%s' was stopped before its turn came. To back it up: ccpctl start %s, "
                                "then "
                                "ccpctl backup create %s",
                                slug, slug, slug);
        return error_setf(reterr, CCP_ERROR_WRONG_STATE,
                        "'%s' did not run any more when its turn came: it is %s. See: ccpctl status %s. "
                        "Then, to "
                        "back it up: ccpctl backup create %s",
                        slug, instance_state_to_string(op->instance->state), slug, slug);
}

static int admit_read_job(const PGresult *result, void *userdata, Error *reterr) {
        AdmitOp *op = userdata;
        int r;

        r = job_record_read(result, 0, &op->job, reterr);
        if (r < 0)
                return r;

        return op->job->state == JOB_WAITING && !op->job->cancel_requested && !op->busy &&
                                        !admit_may_begin(op)
                        ? admit_error(op, reterr)
                        : 0;
}

static const DbStep admit_steps[] = {
        { sql_job_lock_instance, admit_bind_id },
        { sql_job_lock, admit_bind_id, admit_result_lock },
        { sql_instances_select, admit_bind_instance, admit_read_instance },
        { sql_job_active_on, admit_bind_active, admit_result_active },
        { sql_job_admit, admit_bind_admit },
        { sql_jobs_select, admit_bind_read, admit_read_job },
};
static const DbTransaction admit_transaction = {
        .what = "record that it is the job's turn",
        .steps = admit_steps,
        .n_steps = ELEMENTSOF(admit_steps),
        .reset = admit_reset,
};

static void admit_done(int r, Error *error, void *userdata) {
        AdmitOp *op = userdata;

        op->callback(r, r < 0 ? NULL : TAKE_PTR(op->instance), r < 0 ? NULL : TAKE_PTR(op->job), error,
                        op->userdata);
}

int store_admit_job(Db *db, uint64_t id, StoreCreatedCallback callback, void *userdata, DbSlot **ret_slot,
                Error *reterr) {
        AdmitOp *op;

        op = new0(AdmitOp, 1);
        if (!op)
                return store_oom(&admit_transaction, reterr);

        *op = (AdmitOp) { .id = id, .callback = callback, .userdata = userdata };
        return db_request(db, &admit_transaction, admit_done, op, admit_op_free, ret_slot, reterr);
}

/* --- cancel and finish: both lock the instance, then the job --- */

static void finish_reset(void *userdata) {
        StoreFinishOp *op = userdata;

        op->ended = false;
        op->job = job_record_free(op->job);
        if (op->audit) {
                audit_record_free(op->earlier_audit);
                op->earlier_audit = TAKE_PTR(op->audit);
        }
        store_audit_reset(&op->cancel_audit);
}

static int finish_bind_id(DbParams *params, void *userdata) {
        StoreFinishOp *op = userdata;

        db_params_add_int64(params, (int64_t) op->finish.job);
        return 0;
}

static int finish_result_lock(const PGresult *result, void *userdata, Error *reterr) {
        StoreFinishOp *op = userdata;
        int r;

        r = store_read_job_lock(result, op->finish.job, &op->lock, reterr);
        if (r < 0)
                return r;

        op->ended = job_state_is_final(op->lock.state);
        return 0;
}

/* Whoever ends a job must be its worker, or be sure that there is none: what that still does would come after
 * the end. */
static int finish_result_worker(const PGresult *result, void *userdata, Error *reterr) {
        StoreFinishOp *op = userdata;
        DbRow row = DB_ROW(result, 0);
        bool locked = false;
        int r;

        db_row_bool(&row, &locked);
        r = db_row_end(&row);
        if (r < 0)
                return db_row_error(r, "a lock", reterr);

        if (!locked && !op->ended)
                return error_setf(reterr, CCP_ERROR_BUSY,
                                "A worker is still at work on the job %" PRIu64
                                ": its lock is held in PostgreSQL.",
                                op->finish.job);

        return 0;
}

static int finish_bind_steps(DbParams *params, void *userdata) {
        StoreFinishOp *op = userdata;

        return op->ended ? DB_STEP_SKIP : finish_bind_id(params, userdata);
}

static int finish_bind_job(DbParams *params, void *userdata) {
        StoreFinishOp *op = userdata;

        if (op->ended)
                return DB_STEP_SKIP;

        db_params_add_int64(params, (int64_t) op->finish.job);
        db_params_add_string(params, job_state_to_string(op->finish.state));
        db_params_add_string(params, op->finish.error_name);
        db_params_add_string(params, op->finish.error_name ? op->finish.error_message : NULL);
        return 0;
}

static int finish_bind_instance(DbParams *params, void *userdata) {
        StoreFinishOp *op = userdata;
        const char *state = NULL;

        if (op->ended || IN_SET(op->finish.end, STORE_END_ASIDE, STORE_END_RELEASE))
                return DB_STEP_SKIP;

        if (op->finish.end == STORE_END_STATE)
                state = instance_state_to_string(op->finish.instance_state);
        else if (op->finish.end == STORE_END_BEFORE)
                state = instance_state_to_string(op->lock.state_before);

        db_params_add_string(params, op->lock.instance);
        db_params_add_string(params, state);
        db_params_add_string(params, op->finish.error_name);
        db_params_add_string(params, op->finish.error_name ? op->finish.error_message : NULL);
        return 0;
}

static int finish_bind_success(DbParams *params, void *userdata) {
        StoreFinishOp *op = userdata;

        return op->finish.state == JOB_SUCCEEDED ? finish_bind_steps(params, userdata) : DB_STEP_SKIP;
}

static int finish_bind_release(DbParams *params, void *userdata) {
        StoreFinishOp *op = userdata;

        if (op->ended || op->finish.end != STORE_END_RELEASE)
                return DB_STEP_SKIP;

        db_params_add_string(params, op->lock.instance);
        return 0;
}

static int finish_bind_read(DbParams *params, void *userdata) {
        StoreFinishOp *op = userdata;

        store_bind_jobs(params, &(StoreJobsQuery) STORE_JOB_QUERY(op->finish.job));
        return 0;
}

static int finish_read(const PGresult *result, void *userdata, Error *reterr) {
        StoreFinishOp *op = userdata;

        return job_record_read(result, 0, &op->job, reterr);
}

static int finish_bind_audit(DbParams *params, void *userdata) {
        StoreFinishOp *op = userdata;

        if (op->ended && !op->earlier_audit)
                return DB_STEP_SKIP;

        db_params_add_int64(params, (int64_t) op->finish.job);
        db_params_add_string(params, audit_outcome_to_string(audit_outcome_of_job(op->finish.state)));
        db_params_add_string(params, op->finish.error_name);
        db_params_add_string(params, "{}");
        return 0;
}

/* The terminal entry, whoever appended it; none for a job that was accepted before there was a record. */
static int finish_result_audit(const PGresult *result, void *userdata, Error *reterr) {
        StoreFinishOp *op = userdata;
        int r;

        if (PQntuples(result) == 0)
                return 0;

        r = audit_record_read(result, 0, &op->audit, reterr);
        if (r < 0)
                return r;

        if (op->ended && memcmp(op->audit->hash, op->earlier_audit->hash, AUDIT_HASH_SIZE) != 0)
                op->audit = audit_record_free(op->audit);
        return 0;
}

void store_finish_log(const StoreFinishOp *op, int r, const Error *error) {
        if (r >= 0) {
                if (op->audit)
                        audit_record_log(op->audit);
                return;
        }

        /* The job was read right before. An end that was interrupted is recorded later, by this worker or the next one. */
        if (op->job && !op->ended && !op->audit && r != -ECANCELED)
                audit_entry_log_lost(
                                &(AuditEntry) {
                                                .action = audit_action_of_job(op->job->kind),
                                                .outcome = audit_outcome_of_job(op->finish.state),
                                                .actor =
                                                                &(AuditActor) {
                                                                                .uid = op->job->started_by_uid,
                                                                                .user = op->job->started_by,
                                                                                .login_uid = -1,
                                                                },
                                                .instance = op->job->slug,
                                                .instance_id = op->job->instance,
                                                .job = op->job->id,
                                                .error_name = op->finish.error_name,
                                },
                                error);
}

static const DbStep finish_steps[] = {
        { sql_job_lock_instance, finish_bind_id },
        { sql_job_lock, finish_bind_id, finish_result_lock },
        { sql_job_lock_worker, finish_bind_id, finish_result_worker },
        /* They are told in this order: who hears that the job ended has seen what became of the instance. */
        { sql_instance_finish, finish_bind_instance },
        { sql_instance_note_stopped, finish_bind_success },
        { sql_instance_note_recovered, finish_bind_success },
        { sql_instance_delete, finish_bind_release },
        { sql_job_finish_steps, finish_bind_steps },
        { sql_job_finish, finish_bind_job },
        { sql_jobs_select, finish_bind_read, finish_read },
        { sql_audit_finish, finish_bind_audit, finish_result_audit, .refusal = STORE_AUDIT_REFUSAL },
};
const DbTransaction store_finish_transaction = {
        .what = "record the end of the job",
        .steps = finish_steps,
        .n_steps = ELEMENTSOF(finish_steps),
        .reset = finish_reset,
};

static int cancel_result_lock(const PGresult *result, void *userdata, Error *reterr) {
        StoreFinishOp *op = userdata;
        int r;

        r = finish_result_lock(result, userdata, reterr);
        if (r < 0)
                return r;

        return op->ended ? store_job_ended_error(op->finish.job, op->lock.state, reterr) : 0;
}

static int cancel_bind_audit(DbParams *params, void *userdata) {
        StoreFinishOp *op = userdata;
        int r;

        r = store_audit_set_instance(&op->cancel_audit, op->job->slug, op->job->instance);
        return r < 0 ? r : store_audit_bind(&op->cancel_audit, params);
}

static int cancel_result_audit(const PGresult *result, void *userdata, Error *reterr) {
        StoreFinishOp *op = userdata;

        return store_audit_result(&op->cancel_audit, result, reterr);
}

static const DbStep cancel_steps[] = {
        { sql_job_lock, finish_bind_id, cancel_result_lock },
        { sql_job_cancel, finish_bind_id },
        { sql_jobs_select, finish_bind_read, finish_read },
        { sql_audit_append, cancel_bind_audit, cancel_result_audit, .refusal = STORE_AUDIT_REFUSAL },
};
static const DbTransaction cancel_transaction = {
        .what = "record that the job shall be cancelled",
        .steps = cancel_steps,
        .n_steps = ELEMENTSOF(cancel_steps),
        .reset = finish_reset,
};

void store_finish_op_done(StoreFinishOp *op) {
        finish_reset(op);
        op->earlier_audit = audit_record_free(op->earlier_audit);
        store_audit_done(&op->cancel_audit);
}

static void finish_op_free(void *userdata) {
        StoreFinishOp *op = userdata;

        store_finish_op_done(op);
        free((char *) op->finish.error_message);
        free(op);
}

static void finish_done(int r, Error *error, void *userdata) {
        StoreFinishOp *op = userdata;

        store_finish_log(op, r, error);
        op->callback(r, r < 0 ? NULL : TAKE_PTR(op->job), error, op->userdata);
}

/* NULL when out of memory. */
static StoreFinishOp *finish_op_new(const StoreFinish *finish, StoreJobCallback callback, void *userdata) {
        StoreFinishOp *op;

        op = new0(StoreFinishOp, 1);
        if (!op)
                return NULL;

        *op = (StoreFinishOp) { .finish = *finish, .callback = callback, .userdata = userdata };
        if (finish->error_name)
                op->finish.error_name = error_name_intern(finish->error_name);
        op->finish.error_message = NULL;
        if (finish->error_message) {
                op->finish.error_message = strdup(finish->error_message);
                if (!op->finish.error_message) {
                        finish_op_free(op);
                        return NULL;
                }
        }

        return op;
}

int store_finish_job(Db *db, const StoreFinish *finish, StoreJobCallback callback, void *userdata,
                DbSlot **ret_slot, Error *reterr) {
        StoreFinishOp *op;

        assert(job_state_is_final(finish->state));

        op = finish_op_new(finish, callback, userdata);
        if (!op)
                return store_oom(&store_finish_transaction, reterr);

        return db_request(db, &store_finish_transaction, finish_done, op, finish_op_free, ret_slot, reterr);
}

static void cancel_done(int r, Error *error, void *userdata) {
        StoreFinishOp *op = userdata;

        store_audit_end(&op->cancel_audit, r, error);
        op->callback(r, r < 0 ? NULL : TAKE_PTR(op->job), error, op->userdata);
}

int store_cancel_job(Db *db, uint64_t id, const AuditActor *actor, StoreJobCallback callback, void *userdata,
                DbSlot **ret_slot, Error *reterr) {
        StoreFinishOp *op;

        op = finish_op_new(&(StoreFinish) { .job = id }, callback, userdata);
        if (!op)
                return store_oom(&cancel_transaction, reterr);

        if (store_audit_init(&op->cancel_audit,
                            &(AuditEntry) {
                                            .action = AUDIT_JOB_CANCEL,
                                            .outcome = AUDIT_SUCCEEDED,
                                            .actor = actor,
                                            .job = id,
                            }) < 0) {
                finish_op_free(op);
                return store_oom(&cancel_transaction, reterr);
        }

        return db_request(db, &cancel_transaction, cancel_done, op, finish_op_free, ret_slot, reterr);
}
