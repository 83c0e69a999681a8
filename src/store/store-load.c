/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <errno.h>
#include <inttypes.h>

#include "alloc-util.h"
#include "db-row.h"
#include "records-read.h"
#include "statements.h"
#include "store-health-internal.h"
#include "store-internal.h"
#include "store-scrub.h"
#include "store.h"

void store_bind_jobs(DbParams *params, const StoreJobsQuery *q) {
        if (q->id > 0)
                db_params_add_int64(params, (int64_t) q->id);
        else
                db_params_add_string(params, NULL);
        db_params_add_string(params, q->slug);
        db_params_add_string(params, job_state_to_string(q->state));
        db_params_add_string(params, job_kind_to_string(q->kind));
        db_params_add_int64(params, (int64_t) MIN(q->limit, (uint64_t) INT64_MAX));
        db_params_add_int64(params, (int64_t) MIN(q->offset, (uint64_t) INT64_MAX));
        if (q->recent > 0)
                db_params_add_int64(params, (int64_t) q->recent);
        else
                db_params_add_string(params, NULL);
        if (q->among)
                db_params_add_strv(params, (const char *const *) q->among, strv_length(q->among));
        else
                db_params_add_string(params, NULL);
}

/* --- everything --- */

typedef struct LoadOp {
        StoreContents *contents;
        StoreContentsCallback callback;
        void *userdata;
} LoadOp;

static void sealed_keys_done(StoreContents *c) {
        FOREACH_ARRAY(k, c->sealed_keys, c->n_sealed_keys)
                free(k->key_id);
        c->sealed_keys = mfree(c->sealed_keys);
        c->n_sealed_keys = 0;
}

StoreContents *store_contents_free(StoreContents *c) {
        if (!c)
                return NULL;

        instance_records_done(&c->instances);
        job_records_done(&c->jobs);
        settings_free(c->settings);
        role_records_free(c->roles);
        health_states_free(c->health);
        recovery_record_free(c->recovery);
        recovery_key_records_free(c->recovery_keys);
        sealed_keys_done(c);
        free(c->gone_backups);
        return mfree(c);
}

static void load_op_free(void *userdata) {
        LoadOp *op = userdata;

        store_contents_free(op->contents);
        free(op);
}

static int load_bind_instances(DbParams *params, void *userdata _unused_) {
        db_params_add_string(params, NULL);
        return 0;
}

static int load_result_instances(const PGresult *result, void *userdata, Error *reterr) {
        LoadOp *op = userdata;

        return instance_records_read(result, &op->contents->instances, reterr);
}

static int load_bind_jobs(DbParams *params, void *userdata _unused_) {
        store_bind_jobs(params,
                        &(StoreJobsQuery) {
                                        .state = _JOB_STATE_INVALID,
                                        .kind = _JOB_KIND_INVALID,
                                        .limit = INT64_MAX,
                                        .recent = JOB_OBJECTS_MAX,
                        });
        return 0;
}

static int load_result_jobs(const PGresult *result, void *userdata, Error *reterr) {
        LoadOp *op = userdata;
        JobRecords *jobs = &op->contents->jobs;
        int r;

        r = job_records_read(result, jobs, reterr);
        if (r < 0)
                return r;

        for (size_t i = 0; i < jobs->n / 2; i++) {
                JobRecord *j = jobs->items[i];

                jobs->items[i] = jobs->items[jobs->n - 1 - i];
                jobs->items[jobs->n - 1 - i] = j;
        }
        return 0;
}

static int load_result_settings(const PGresult *result, void *userdata, Error *reterr) {
        LoadOp *op = userdata;

        return store_read_settings(result, &op->contents->settings, reterr);
}

static int load_result_roles(const PGresult *result, void *userdata, Error *reterr) {
        LoadOp *op = userdata;

        return role_records_read(result, &op->contents->roles, reterr);
}

static int load_result_probes(const PGresult *result, void *userdata, Error *reterr) {
        return health_probe_records_read(result, &((LoadOp *) userdata)->contents->health->probes, reterr);
}

static int load_result_currents(const PGresult *result, void *userdata, Error *reterr) {
        return health_currents_read(result, ((LoadOp *) userdata)->contents->health, reterr);
}

static int load_result_sweep(const PGresult *result, void *userdata, Error *reterr) {
        return health_sweep_record_read(result, &((LoadOp *) userdata)->contents->health->sweep, reterr);
}

static int load_result_recovery(const PGresult *result, void *userdata, Error *reterr) {
        LoadOp *op = userdata;

        return recovery_record_read(result, &op->contents->recovery, reterr);
}

static int load_result_recovery_keys(const PGresult *result, void *userdata, Error *reterr) {
        LoadOp *op = userdata;

        return recovery_keys_read(result, &op->contents->recovery_keys, reterr);
}

static int load_result_sealed_keys(const PGresult *result, void *userdata, Error *reterr) {
        StoreContents *c = ((LoadOp *) userdata)->contents;
        size_t n = (size_t) PQntuples(result);

        sealed_keys_done(c);
        c->sealed_keys = new0(StoreSealedKey, n);
        if (!c->sealed_keys)
                return db_row_error(-ENOMEM, "what is sealed", reterr);

        for (size_t i = 0; i < n; i++) {
                DbRow row = DB_ROW(result, (int) i);
                int r;

                c->n_sealed_keys++;
                db_row_string(&row, &c->sealed_keys[i].key_id);
                db_row_uint(&row, INT64_MAX, &c->sealed_keys[i].n);
                r = db_row_end(&row);
                if (r < 0)
                        return db_row_error(r, "what is sealed", reterr);
        }
        return 0;
}

static int load_result_gone_backups(const PGresult *result, void *userdata, Error *reterr) {
        return gone_backups_read(result, ((LoadOp *) userdata)->contents->gone_backups, reterr);
}

static const DbStep load_steps[] = {
        { sql_instances_select, load_bind_instances, load_result_instances },
        { sql_jobs_select, load_bind_jobs, load_result_jobs },
        { sql_settings_select, NULL, load_result_settings },
        { sql_roles_select, NULL, load_result_roles },
        { sql_health_probes_select, load_bind_instances, load_result_probes },
        { sql_health_current_select, load_bind_instances, load_result_currents },
        { sql_health_sweep_last, NULL, load_result_sweep },
        { sql_recovery_last, NULL, load_result_recovery },
        { sql_recovery_keys_select, NULL, load_result_recovery_keys },
        { sql_sealed_keys, NULL, load_result_sealed_keys },
        { sql_scrub_gone, NULL, load_result_gone_backups },
};
static const DbTransaction load_transaction = {
        .what = "read the records",
        .steps = load_steps,
        .n_steps = ELEMENTSOF(load_steps),
        .read_only = true,
};

static void load_done(int r, Error *error, void *userdata) {
        LoadOp *op = userdata;

        op->callback(r, r < 0 ? NULL : TAKE_PTR(op->contents), error, op->userdata);
}

int store_load(Db *db, StoreContentsCallback callback, void *userdata, DbSlot **ret_slot, Error *reterr) {
        LoadOp *op;

        op = new0(LoadOp, 1);
        if (!op)
                return store_oom(&load_transaction, reterr);

        *op = (LoadOp) { new0(StoreContents, 1), callback, userdata };
        if (op->contents) {
                op->contents->health = new0(HealthStates, 1);
                op->contents->gone_backups = new0(GoneBackups, 1);
        }
        if (!op->contents || !op->contents->health || !op->contents->gone_backups) {
                load_op_free(op);
                return store_oom(&load_transaction, reterr);
        }

        return db_request(db, &load_transaction, load_done, op, load_op_free, ret_slot, reterr);
}

/* --- one instance --- */

typedef struct InstanceOp {
        char id[STORE_ID_MAX];
        InstanceRecord *instance;
        StoreInstanceCallback callback;
        void *userdata;
} InstanceOp;

static void instance_op_free(void *userdata) {
        InstanceOp *op = userdata;

        instance_record_free(op->instance);
        free(op);
}

static int instance_bind(DbParams *params, void *userdata) {
        InstanceOp *op = userdata;

        db_params_add_string(params, op->id);
        return 0;
}

static int instance_result(const PGresult *result, void *userdata, Error *reterr) {
        InstanceOp *op = userdata;

        return PQntuples(result) > 0 ? instance_record_read(result, 0, &op->instance, reterr) : 0;
}

static const DbStep instance_step = { sql_instances_select, instance_bind, instance_result };
static const DbTransaction instance_transaction = {
        .what = "read the record of an instance",
        .steps = &instance_step,
        .n_steps = 1,
        .read_only = true,
};

static void instance_done(int r, Error *error, void *userdata) {
        InstanceOp *op = userdata;

        op->callback(r, r < 0 ? NULL : TAKE_PTR(op->instance), error, op->userdata);
}

int store_load_instance(Db *db, const char *id, StoreInstanceCallback callback, void *userdata,
                DbSlot **ret_slot, Error *reterr) {
        InstanceOp *op;

        op = new0(InstanceOp, 1);
        if (!op)
                return store_oom(&instance_transaction, reterr);

        op->callback = callback;
        op->userdata = userdata;
        store_copy_id(op->id, id);
        return db_request(db, &instance_transaction, instance_done, op, instance_op_free, ret_slot, reterr);
}

/* --- jobs --- */

typedef struct JobsOp {
        StoreJobsQuery query;
        char *slug, **among;
        JobRecords jobs;
        StoreJobsCallback callback;
        void *userdata;
} JobsOp;

static void jobs_op_free(void *userdata) {
        JobsOp *op = userdata;

        job_records_done(&op->jobs);
        free(op->slug);
        strv_free(op->among);
        free(op);
}

static int jobs_bind(DbParams *params, void *userdata) {
        JobsOp *op = userdata;

        store_bind_jobs(params, &op->query);
        return 0;
}

static int jobs_result(const PGresult *result, void *userdata, Error *reterr) {
        JobsOp *op = userdata;

        return job_records_read(result, &op->jobs, reterr);
}

static const DbStep jobs_step = { sql_jobs_select, jobs_bind, jobs_result };
static const DbTransaction jobs_transaction = {
        .what = "read the records of jobs",
        .steps = &jobs_step,
        .n_steps = 1,
        .read_only = true,
};

static void jobs_done(int r, Error *error, void *userdata) {
        JobsOp *op = userdata;

        op->callback(r, r < 0 ? NULL : &op->jobs, error, op->userdata);
}

int store_list_jobs(Db *db, const StoreJobFilter *filter, StoreJobsCallback callback, void *userdata,
                DbSlot **ret_slot, Error *reterr) {
        JobsOp *op;

        op = new0(JobsOp, 1);
        if (!op)
                return store_oom(&jobs_transaction, reterr);

        *op = (JobsOp) {
                .query = {
                        .state = filter->state,
                        .kind = filter->kind,
                        .limit = MIN(filter->limit, (uint64_t) STORE_LIST_MAX),
                        .offset = filter->offset,
                },
                .callback = callback,
                .userdata = userdata,
        };
        if (filter->instance)
                op->query.slug = op->slug = strdup(filter->instance);
        if (filter->among)
                op->query.among = op->among = strv_copy(filter->among);
        if ((filter->instance && !op->slug) || (filter->among && !op->among)) {
                jobs_op_free(op);
                return store_oom(&jobs_transaction, reterr);
        }

        return db_request(db, &jobs_transaction, jobs_done, op, jobs_op_free, ret_slot, reterr);
}

/* --- one job --- */

typedef struct JobOp {
        uint64_t id;
        JobRecords jobs;
        InstanceRecord *instance;
        StoreLoadedJobCallback callback;
        void *userdata;
} JobOp;

static void job_op_free(void *userdata) {
        JobOp *op = userdata;

        job_records_done(&op->jobs);
        instance_record_free(op->instance);
        free(op);
}

static int job_bind(DbParams *params, void *userdata) {
        const JobOp *op = userdata;

        store_bind_jobs(params, &(StoreJobsQuery) STORE_JOB_QUERY(op->id));
        return 0;
}

static int job_result(const PGresult *result, void *userdata, Error *reterr) {
        JobOp *op = userdata;

        return job_records_read(result, &op->jobs, reterr);
}

static int job_bind_instance(DbParams *params, void *userdata) {
        const JobOp *op = userdata;

        if (op->jobs.n == 0 || !job_state_is_final(op->jobs.items[0]->state))
                return DB_STEP_SKIP;

        db_params_add_string(params, op->jobs.items[0]->instance);
        return 0;
}

static int job_result_instance(const PGresult *result, void *userdata, Error *reterr) {
        JobOp *op = userdata;

        return PQntuples(result) > 0 ? instance_record_read(result, 0, &op->instance, reterr) : 0;
}

static const DbStep job_steps[] = {
        { sql_jobs_select, job_bind, job_result },
        { sql_instances_select, job_bind_instance, job_result_instance },
};
static const DbTransaction job_transaction = {
        .what = "read the record of a job",
        .steps = job_steps,
        .n_steps = ELEMENTSOF(job_steps),
        .read_only = true,
};

static void job_done(int r, Error *error, void *userdata) {
        JobOp *op = userdata;

        op->callback(r, r >= 0 && op->jobs.n > 0 ? TAKE_PTR(op->jobs.items[0]) : NULL,
                        r >= 0 ? TAKE_PTR(op->instance) : NULL, error, op->userdata);
}

int store_load_job(Db *db, uint64_t id, StoreLoadedJobCallback callback, void *userdata, DbSlot **ret_slot,
                Error *reterr) {
        JobOp *op;

        op = new0(JobOp, 1);
        if (!op)
                return store_oom(&job_transaction, reterr);

        *op = (JobOp) { .id = id, .callback = callback, .userdata = userdata };
        return db_request(db, &job_transaction, job_done, op, job_op_free, ret_slot, reterr);
}
