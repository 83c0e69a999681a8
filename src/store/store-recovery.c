/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "alloc-util.h"
#include "statements.h"
#include "store-internal.h"

typedef struct RecoveryOp {
        DbParams params;
        RecoveryRecord *recovery;
        bool audited;
        StoreAudit audit;
        StoreRecoveryCallback callback;
        void *userdata;
} RecoveryOp;

static void recovery_reset(void *userdata) {
        RecoveryOp *op = userdata;

        op->recovery = recovery_record_free(op->recovery);
        store_audit_reset(&op->audit);
}

static void recovery_op_free(void *userdata) {
        RecoveryOp *op = userdata;

        recovery_reset(op);
        db_params_done(&op->params);
        store_audit_done(&op->audit);
        free(op);
}

static int recovery_bind(DbParams *params, void *userdata) {
        RecoveryOp *op = userdata;

        db_params_borrow(params, &op->params);
        return 0;
}

static int recovery_result(const PGresult *result, void *userdata, Error *reterr) {
        RecoveryOp *op = userdata;

        return recovery_record_read(result, &op->recovery, reterr);
}

static int recovery_bind_audit(DbParams *params, void *userdata) {
        RecoveryOp *op = userdata;

        return store_audit_bind(&op->audit, params);
}

static int recovery_result_audit(const PGresult *result, void *userdata, Error *reterr) {
        RecoveryOp *op = userdata;

        return store_audit_result(&op->audit, result, reterr);
}

static const DbStep begin_steps[] = {
        { sql_recovery_supersede },
        { sql_recovery_begin, recovery_bind, recovery_result },
        { sql_recovery_prune },
};
static const DbTransaction begin_transaction = {
        .what = "record that the instances are brought back",
        .steps = begin_steps,
        .n_steps = ELEMENTSOF(begin_steps),
        .reset = recovery_reset,
};

static const DbStep end_steps[] = {
        { sql_recovery_end, recovery_bind, recovery_result },
        { sql_audit_append, recovery_bind_audit, recovery_result_audit, .refusal = STORE_AUDIT_REFUSAL },
};
static const DbTransaction end_transaction = {
        .what = "record which instances came back",
        .steps = end_steps,
        .n_steps = ELEMENTSOF(end_steps),
        .reset = recovery_reset,
};

static void recovery_done(int r, Error *error, void *userdata) {
        RecoveryOp *op = userdata;

        if (op->audited)
                store_audit_end(&op->audit, r, error);
        op->callback(r, r < 0 ? NULL : TAKE_PTR(op->recovery), error, op->userdata);
}

int store_begin_recovery(Db *db, const StoreRecoveryBegin *begin, StoreRecoveryCallback callback,
                void *userdata, DbSlot **ret_slot, Error *reterr) {
        RecoveryOp *op;

        op = new0(RecoveryOp, 1);
        if (!op)
                return store_oom(&begin_transaction, reterr);

        *op = (RecoveryOp) { .callback = callback, .userdata = userdata };
        db_params_add_string(&op->params, recovery_reason_to_string(begin->reason));
        db_params_add_copy(&op->params, begin->boot);
        db_params_add_int64(&op->params, (int64_t) begin->engine_started_at);
        db_params_add_int64(&op->params, begin->total);
        return db_request(db, &begin_transaction, recovery_done, op, recovery_op_free, ret_slot, reterr);
}

int store_end_recovery(Db *db, const StoreRecoveryEnd *end, StoreRecoveryCallback callback, void *userdata,
                DbSlot **ret_slot, Error *reterr) {
        bool failed = strv_length(end->failed) > 0;
        RecoveryOp *op;

        op = new0(RecoveryOp, 1);
        if (!op)
                return store_oom(&end_transaction, reterr);

        *op = (RecoveryOp) { .audited = true, .callback = callback, .userdata = userdata };
        db_params_add_int64(&op->params, (int64_t) end->id);
        db_params_add_int64(&op->params, end->total);
        db_params_add_int64(&op->params, end->healthy);
        db_params_add_strv(&op->params, (const char *const *) end->failed, strv_length(end->failed));
        if (store_audit_init(&op->audit,
                            &(AuditEntry) {
                                            .action = AUDIT_FLEET_RECOVER,
                                            .outcome = failed ? AUDIT_FAILED : AUDIT_SUCCEEDED,
                                            .actor = end->actor,
                                            .error_name = failed ? CCP_ERROR_UNHEALTHY : NULL,
                                            .details = end->details,
                            }) < 0) {
                recovery_op_free(op);
                return store_oom(&end_transaction, reterr);
        }

        return db_request(db, &end_transaction, recovery_done, op, recovery_op_free, ret_slot, reterr);
}
