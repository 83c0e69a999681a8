/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What somebody sets of an instance that is there. */

#include "alloc-util.h"
#include "db-row.h"
#include "json-util.h"
#include "statements.h"
#include "store-internal.h"

typedef struct SetOp {
        char id[STORE_ID_MAX];
        DbParams params;
        char *slug;
        InstanceRecord *instance;
        StoreAudit audit;
        StoreInstanceCallback callback;
        void *userdata;
} SetOp;

static void set_reset(void *userdata) {
        SetOp *op = userdata;

        op->slug = mfree(op->slug);
        op->instance = instance_record_free(op->instance);
        store_audit_reset(&op->audit);
}

static void set_op_free(void *userdata) {
        SetOp *op = userdata;

        set_reset(op);
        db_params_done(&op->params);
        store_audit_done(&op->audit);
        free(op);
}

static int set_bind_id(DbParams *params, void *userdata) {
        SetOp *op = userdata;

        db_params_add_string(params, op->id);
        return 0;
}

static int set_bind(DbParams *params, void *userdata) {
        SetOp *op = userdata;

        db_params_borrow(params, &op->params);
        return 0;
}

static int set_result(const PGresult *result, void *userdata, Error *reterr) {
        DbRow row = DB_ROW(result, 0);
        SetOp *op = userdata;
        int r;

        if (PQntuples(result) == 0)
                return error_setf(reterr, CCP_ERROR_NO_SUCH_INSTANCE,
                                "There is no such instance (any more). 'ccpctl list' shows those that there "
                                "are.");

        db_row_string(&row, &op->slug);
        r = db_row_end(&row);
        return r < 0 ? db_row_error(r, "an instance", reterr) : 0;
}

static int set_result_instance(const PGresult *result, void *userdata, Error *reterr) {
        SetOp *op = userdata;

        return instance_record_read(result, 0, &op->instance, reterr);
}

static int set_bind_audit(DbParams *params, void *userdata) {
        SetOp *op = userdata;
        int r;

        r = store_audit_set_instance(&op->audit, op->slug, op->id);
        return r < 0 ? r : store_audit_bind(&op->audit, params);
}

static int set_result_audit(const PGresult *result, void *userdata, Error *reterr) {
        SetOp *op = userdata;

        return store_audit_result(&op->audit, result, reterr);
}

static const DbStep set_steps[] = {
        { sql_instance_set, set_bind, set_result },
        { sql_instances_select, set_bind_id, set_result_instance },
        { sql_audit_append, set_bind_audit, set_result_audit, .refusal = STORE_AUDIT_REFUSAL },
};
static const DbTransaction set_transaction = {
        .what = "record the setting of the instance",
        .steps = set_steps,
        .n_steps = ELEMENTSOF(set_steps),
        .reset = set_reset,
};

static void set_done(int r, Error *error, void *userdata) {
        SetOp *op = userdata;

        store_audit_end(&op->audit, r, error);
        op->callback(r, r < 0 ? NULL : TAKE_PTR(op->instance), error, op->userdata);
}

int store_set_instance(Db *db, const char *instance, const StoreInstanceSettings *settings,
                StoreInstanceCallback callback, void *userdata, DbSlot **ret_slot, Error *reterr) {
        SetOp *op;

        op = new0(SetOp, 1);
        if (!op)
                return store_oom(&set_transaction, reterr);

        *op = (SetOp) { .callback = callback, .userdata = userdata };
        store_copy_id(op->id, instance);
        db_params_add_string(&op->params, op->id);
        db_params_add_string(
                        &op->params, settings->repair < 0 ? NULL : repair_mode_to_string(settings->repair));
        db_params_add_json(&op->params, settings->backup);
        if (db_params_check(&op->params) < 0 ||
                        store_audit_init(&op->audit,
                                        &(AuditEntry) {
                                                        .action = AUDIT_INSTANCE_UPDATE,
                                                        .outcome = AUDIT_SUCCEEDED,
                                                        .actor = settings->actor,
                                                        .details = settings->details,
                                        }) < 0) {
                set_op_free(op);
                return store_oom(&set_transaction, reterr);
        }

        return db_request(db, &set_transaction, set_done, op, set_op_free, ret_slot, reterr);
}
