/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What somebody sets of an instance that is there. */

#include "alloc-util.h"
#include "db-row.h"
#include "json-util.h"
#include "statements.h"
#include "store-internal.h"

typedef struct RepairOp {
        char id[STORE_ID_MAX];
        RepairMode mode;
        char *slug;
        InstanceRecord *instance;
        StoreAudit audit;
        StoreInstanceCallback callback;
        void *userdata;
} RepairOp;

static void repair_reset(void *userdata) {
        RepairOp *op = userdata;

        op->slug = mfree(op->slug);
        op->instance = instance_record_free(op->instance);
        store_audit_reset(&op->audit);
}

static void repair_op_free(void *userdata) {
        RepairOp *op = userdata;

        repair_reset(op);
        store_audit_done(&op->audit);
        free(op);
}

static int repair_bind_id(DbParams *params, void *userdata) {
        RepairOp *op = userdata;

        db_params_add_string(params, op->id);
        return 0;
}

static int repair_bind(DbParams *params, void *userdata) {
        RepairOp *op = userdata;

        db_params_add_string(params, op->id);
        db_params_add_string(params, repair_mode_to_string(op->mode));
        return 0;
}

static int repair_result(const PGresult *result, void *userdata, Error *reterr) {
        DbRow row = DB_ROW(result, 0);
        RepairOp *op = userdata;
        int r;

        if (PQntuples(result) == 0)
                return error_setf(reterr, CCP_ERROR_NO_SUCH_INSTANCE,
                                "There is no such instance (any more). 'ccpctl list' shows those that there "
                                "are.");

        db_row_string(&row, &op->slug);
        r = db_row_end(&row);
        return r < 0 ? db_row_error(r, "an instance", reterr) : 0;
}

static int repair_result_instance(const PGresult *result, void *userdata, Error *reterr) {
        RepairOp *op = userdata;

        return instance_record_read(result, 0, &op->instance, reterr);
}

static int repair_bind_audit(DbParams *params, void *userdata) {
        RepairOp *op = userdata;
        int r;

        r = store_audit_set_instance(&op->audit, op->slug, op->id);
        return r < 0 ? r : store_audit_bind(&op->audit, params);
}

static int repair_result_audit(const PGresult *result, void *userdata, Error *reterr) {
        RepairOp *op = userdata;

        return store_audit_result(&op->audit, result, reterr);
}

static const DbStep repair_steps[] = {
        { sql_instance_set_repair, repair_bind, repair_result },
        { sql_instances_select, repair_bind_id, repair_result_instance },
        { sql_audit_append, repair_bind_audit, repair_result_audit, .refusal = STORE_AUDIT_REFUSAL },
};
static const DbTransaction repair_transaction = {
        .what = "record the setting of the instance",
        .steps = repair_steps,
        .n_steps = ELEMENTSOF(repair_steps),
        .reset = repair_reset,
};

static void repair_done(int r, Error *error, void *userdata) {
        RepairOp *op = userdata;

        store_audit_end(&op->audit, r, error);
        op->callback(r, r < 0 ? NULL : TAKE_PTR(op->instance), error, op->userdata);
}

int store_set_repair(Db *db, const char *instance, RepairMode mode, const AuditActor *actor,
                StoreInstanceCallback callback, void *userdata, DbSlot **ret_slot, Error *reterr) {
        _cleanup_json_ json_t *details = json_pack("{s:s}", "repair", repair_mode_to_string(mode));
        RepairOp *op;

        op = new0(RepairOp, 1);
        if (!op || !details) {
                free(op);
                return store_oom(&repair_transaction, reterr);
        }

        *op = (RepairOp) { .mode = mode, .callback = callback, .userdata = userdata };
        store_copy_id(op->id, instance);
        if (store_audit_init(&op->audit,
                            &(AuditEntry) {
                                            .action = AUDIT_INSTANCE_UPDATE,
                                            .outcome = AUDIT_SUCCEEDED,
                                            .actor = actor,
                                            .details = details,
                            }) < 0) {
                repair_op_free(op);
                return store_oom(&repair_transaction, reterr);
        }

        return db_request(db, &repair_transaction, repair_done, op, repair_op_free, ret_slot, reterr);
}
