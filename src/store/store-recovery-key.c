/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "store-recovery-key.h"

#include <errno.h>

#include "alloc-util.h"
#include "db-row.h"
#include "json-util.h"
#include "records-read.h"
#include "statements.h"
#include "store-internal.h"
#include "validate.h"

/* --- records --- */

RecoveryKeyRecords *recovery_key_records_free(RecoveryKeyRecords *l) {
        if (!l)
                return NULL;

        FOREACH_ARRAY(k, l->items, l->n) {
                free(k->id);
                free(k->enrolled_by);
        }
        free(l->items);
        return mfree(l);
}

static int recovery_key_read(const PGresult *result, int number, RecoveryKeyRecord *k) {
        _cleanup_free_ uint8_t *public_key = NULL;
        DbRow row = DB_ROW(result, number);
        size_t size = 0;
        int r;

        db_row_string(&row, &k->id);
        db_row_bytes(&row, &public_key, &size);
        db_row_string(&row, &k->enrolled_by);
        db_row_usec(&row, &k->enrolled_at);
        r = db_row_end(&row);
        if (r < 0)
                return r;
        if (size != sizeof(k->public))
                return -EBADMSG;

        memcpy(k->public, public_key, size);
        return 0;
}

int recovery_keys_read(const PGresult *result, RecoveryKeyRecords **ret, Error *reterr) {
        _cleanup_(recovery_key_records_freep) RecoveryKeyRecords *l = new0(RecoveryKeyRecords, 1);
        int n = PQntuples(result);

        if (l)
                l->items = new0(RecoveryKeyRecord, (size_t) n);
        if (!l || !l->items)
                return db_row_error(-ENOMEM, "the recovery keys", reterr);

        for (int i = 0; i < n; i++) {
                int r;

                r = recovery_key_read(result, i, l->items + l->n++);
                if (r < 0)
                        return db_row_error(r, "the recovery keys", reterr);
        }

        recovery_key_records_free(*ret);
        *ret = TAKE_PTR(l);
        return 0;
}

/* --- changes --- */

typedef struct KeyOp {
        char *id;
        bool last;       /* may be forgotten */
        DbParams params; /* of recovery-key-put */
        StoreAudit audit;

        bool found;
        uint64_t n; /* how many there were */
        RecoveryKeyRecords *keys;

        StoreRecoveryKeysCallback callback;
        void *userdata;
} KeyOp;

static void key_reset(void *userdata) {
        KeyOp *op = userdata;

        op->keys = recovery_key_records_free(op->keys);
        store_audit_reset(&op->audit);
}

static void key_op_free(void *userdata) {
        KeyOp *op = userdata;

        key_reset(op);
        db_params_done(&op->params);
        store_audit_done(&op->audit);
        free(op->id);
        free(op);
}

static int bind_id(DbParams *params, void *userdata) {
        db_params_add_string(params, ((KeyOp *) userdata)->id);
        return 0;
}

static int read_count(const PGresult *result, KeyOp *op, Error *reterr) {
        DbRow row = DB_ROW(result, 0);
        int r;

        db_row_uint(&row, INT64_MAX, &op->n);
        db_row_bool(&row, &op->found);
        r = db_row_end(&row);
        return r < 0 ? db_row_error(r, "the recovery keys", reterr) : 0;
}

static int enroll_result_count(const PGresult *result, void *userdata, Error *reterr) {
        KeyOp *op = userdata;
        int r;

        r = read_count(result, op, reterr);
        if (r < 0)
                return r;
        if (!op->found && op->n >= STORE_RECOVERY_KEYS_MAX)
                return error_setf(reterr, CCP_ERROR_LIMIT_EXCEEDED,
                                "There are %u recovery keys already, which is all there can be. Forget one "
                                "that nobody has any more: ccpctl key forget ID",
                                STORE_RECOVERY_KEYS_MAX);
        return 0;
}

static int enroll_bind_put(DbParams *params, void *userdata) {
        KeyOp *op = userdata;

        if (op->found)
                return DB_STEP_SKIP;
        db_params_borrow(params, &op->params);
        return 0;
}

static int forget_result_count(const PGresult *result, void *userdata, Error *reterr) {
        KeyOp *op = userdata;
        int r;

        r = read_count(result, op, reterr);
        if (r < 0)
                return r;
        if (!op->found)
                return error_setf(reterr, CCP_ERROR_NO_SUCH_KEY,
                                "There is no recovery key '%s'. See: ccpctl key list",
                                TEXT_FOR_ERROR(op->id));
        if (op->n == 1 && !op->last)
                return error_setf(reterr, CCP_ERROR_WRONG_STATE,
                                "'%s' is the last recovery key: without it, new backups could be opened on "
                                "this server only. Enroll another one first (ccpctl key enroll-recovery), "
                                "or forget it all the same: ccpctl key forget --last %s",
                                op->id, op->id);
        return 0;
}

static int result_select(const PGresult *result, void *userdata, Error *reterr) {
        return recovery_keys_read(result, &((KeyOp *) userdata)->keys, reterr);
}

static int bind_audit(DbParams *params, void *userdata) {
        KeyOp *op = userdata;
        json_t *details;

        if (op->audit.entry.action == AUDIT_KEY_ENROLL && op->found)
                return DB_STEP_SKIP;

        details = json_pack("{s:s, s:i}", "key", op->id, "keys", (int) op->keys->n);
        if (!details)
                return -ENOMEM;
        json_decref((json_t *) op->audit.entry.details);
        op->audit.entry.details = details;
        return store_audit_bind(&op->audit, params);
}

static int result_audit(const PGresult *result, void *userdata, Error *reterr) {
        return store_audit_result(&((KeyOp *) userdata)->audit, result, reterr);
}

static const DbStep enroll_steps[] = {
        { sql_recovery_keys_lock },
        { sql_recovery_keys_count, bind_id, enroll_result_count },
        { sql_recovery_key_put, enroll_bind_put },
        { sql_recovery_keys_select, NULL, result_select },
        { sql_audit_append, bind_audit, result_audit, .refusal = STORE_AUDIT_REFUSAL },
};
static const DbTransaction enroll_transaction = {
        .what = "record the recovery key",
        .steps = enroll_steps,
        .n_steps = ELEMENTSOF(enroll_steps),
        .reset = key_reset,
};

static const DbStep forget_steps[] = {
        { sql_recovery_keys_lock },
        { sql_recovery_keys_count, bind_id, forget_result_count },
        { sql_recovery_key_remove, bind_id },
        { sql_recovery_keys_select, NULL, result_select },
        { sql_audit_append, bind_audit, result_audit, .refusal = STORE_AUDIT_REFUSAL },
};
static const DbTransaction forget_transaction = {
        .what = "forget the recovery key",
        .steps = forget_steps,
        .n_steps = ELEMENTSOF(forget_steps),
        .reset = key_reset,
};

static void key_done(int r, Error *error, void *userdata) {
        KeyOp *op = userdata;

        store_audit_end(&op->audit, r, error);
        op->callback(r, op->id, r < 0 ? NULL : TAKE_PTR(op->keys), error, op->userdata);
}

static KeyOp *key_op_new(AuditAction action, const char *id, const AuditActor *actor,
                StoreRecoveryKeysCallback callback, void *userdata) {
        const AuditEntry entry = { .action = action, .outcome = AUDIT_SUCCEEDED, .actor = actor };
        KeyOp *op;

        op = new0(KeyOp, 1);
        if (!op)
                return NULL;

        *op = (KeyOp) { .callback = callback, .userdata = userdata };
        if (store_audit_init(&op->audit, &entry) >= 0 && free_and_strdup(&op->id, id) >= 0)
                return op;

        key_op_free(op);
        return NULL;
}

int store_enroll_recovery_key(Db *db, const char *id, const uint8_t public_key[STORE_RECOVERY_KEY_SIZE],
                const AuditActor *actor, StoreRecoveryKeysCallback callback, void *userdata,
                DbSlot **ret_slot, Error *reterr) {
        KeyOp *op;

        op = key_op_new(AUDIT_KEY_ENROLL, id, actor, callback, userdata);
        if (!op)
                return store_oom(&enroll_transaction, reterr);

        db_params_add_string(&op->params, op->id);
        db_params_add_bytesv(&op->params, &(DbBytes) { public_key, STORE_RECOVERY_KEY_SIZE }, 1);
        db_params_add_string(&op->params, op->audit.actor.user);
        if (db_params_check(&op->params) < 0) {
                key_op_free(op);
                return store_oom(&enroll_transaction, reterr);
        }
        return db_request(db, &enroll_transaction, key_done, op, key_op_free, ret_slot, reterr);
}

int store_forget_recovery_key(Db *db, const char *id, bool last, const AuditActor *actor,
                StoreRecoveryKeysCallback callback, void *userdata, DbSlot **ret_slot, Error *reterr) {
        KeyOp *op;

        op = key_op_new(AUDIT_KEY_FORGET, id, actor, callback, userdata);
        if (!op)
                return store_oom(&forget_transaction, reterr);

        op->last = last;
        return db_request(db, &forget_transaction, key_done, op, key_op_free, ret_slot, reterr);
}
