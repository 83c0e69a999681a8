/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "store-rotation.h"

#include <errno.h>
#include <inttypes.h>

#include "alloc-util.h"
#include "db-row.h"
#include "json-util.h"
#include "statements.h"
#include "store-internal.h"

static const char *const sealed_kind_table[_SEALED_KIND_MAX] = {
        [SEALED_SECRET] = "secret",
        [SEALED_BACKUP_KEY] = "backup-key",
        [SEALED_ALERT_SECRET] = "alert-secret",
        [SEALED_STORAGE] = "storage",
};
DEFINE_STRING_TABLE(sealed_kind, SealedKind);

DB_ENUM_READER(sealed_kind);

/* --- records --- */

SealedRecords *sealed_records_free(SealedRecords *l) {
        if (!l)
                return NULL;

        FOREACH_ARRAY(s, l->items, l->n) {
                free(s->instance);
                free(s->name);
                free(s->sealed);
        }
        free(l->items);
        return mfree(l);
}

static int sealed_record_read(const PGresult *result, int number, SealedRecord *s, uint64_t *left) {
        DbRow row = DB_ROW(result, number);
        int kind = _SEALED_KIND_INVALID, r;

        db_row_enum(&row, read_sealed_kind, &kind);
        db_row_string(&row, &s->instance);
        db_row_string(&row, &s->name);
        db_row_uint32(&row, &s->version);
        db_row_bytes(&row, &s->sealed, &s->size);
        db_row_uint(&row, INT64_MAX, left);
        r = db_row_end(&row);
        if (r >= 0)
                s->kind = kind;
        return r;
}

static int sealed_records_read(const PGresult *result, SealedRecords **ret, Error *reterr) {
        _cleanup_(sealed_records_freep) SealedRecords *l = new0(SealedRecords, 1);
        int n = PQntuples(result);

        if (l)
                l->items = new0(SealedRecord, (size_t) n);
        if (!l || !l->items)
                return db_row_error(-ENOMEM, "what is sealed", reterr);

        for (int i = 0; i < n; i++) {
                int r;

                r = sealed_record_read(result, i, l->items + l->n++, &l->left);
                if (r < 0)
                        return db_row_error(r, "what is sealed", reterr);
        }

        sealed_records_free(*ret);
        *ret = TAKE_PTR(l);
        return 0;
}

/* --- the requests --- */

typedef struct RotationOp {
        char *from, *to;
        unsigned limit;
        SealedRecords *records; /* that were read, or are to be written */
        uint64_t left;
        bool recorded; /* that it ended */
        StoreAudit audit;
        bool audits;
        StoreSealedCallback sealed_callback; /* of the first request … */
        StoreRotationCallback callback;      /* … and of the others */
        void *userdata;
} RotationOp;

static void rotation_reset(void *userdata) {
        RotationOp *op = userdata;

        store_audit_reset(&op->audit);
}

static void rotation_op_free(void *userdata) {
        RotationOp *op = userdata;

        store_audit_done(&op->audit);
        sealed_records_free(op->records);
        free(op->from);
        free(op->to);
        free(op);
}

static void rotation_done(int r, Error *error, void *userdata) {
        RotationOp *op = userdata;

        if (op->audits)
                store_audit_end(&op->audit, r, error);
        if (op->sealed_callback)
                op->sealed_callback(r, r < 0 ? NULL : TAKE_PTR(op->records), error, op->userdata);
        else
                op->callback(r, op->left, error, op->userdata);
}

/* 'actor' NULL: nothing is put on record. */
static RotationOp *rotation_op_new(
                const char *from, const char *to, const AuditActor *actor, AuditOutcome outcome) {
        const AuditEntry entry = { .action = AUDIT_KEY_ROTATE, .outcome = outcome, .actor = actor };
        RotationOp *op;

        op = new0(RotationOp, 1);
        if (!op)
                return NULL;

        op->audits = actor;
        if (free_and_strdup(&op->from, from) >= 0 && free_and_strdup(&op->to, to) >= 0 &&
                        (!actor || store_audit_init(&op->audit, &entry) >= 0))
                return op;

        rotation_op_free(op);
        return NULL;
}

static int bind_from(DbParams *params, void *userdata) {
        db_params_add_string(params, ((RotationOp *) userdata)->from);
        return 0;
}

static int append_audit(RotationOp *op, json_t *details, DbParams *params) {
        if (!details)
                return -ENOMEM;
        json_decref((json_t *) op->audit.entry.details);
        op->audit.entry.details = details;
        return store_audit_bind(&op->audit, params);
}

static int result_audit(const PGresult *result, void *userdata, Error *reterr) {
        return store_audit_result(&((RotationOp *) userdata)->audit, result, reterr);
}

/* --- looking --- */

static int load_bind(DbParams *params, void *userdata) {
        RotationOp *op = userdata;

        db_params_add_string(params, op->from);
        db_params_add_int64(params, op->limit);
        return 0;
}

static int load_result(const PGresult *result, void *userdata, Error *reterr) {
        return sealed_records_read(result, &((RotationOp *) userdata)->records, reterr);
}

int store_load_sealed(Db *db, const char *key_id, unsigned limit, StoreSealedCallback callback,
                void *userdata, DbSlot **ret_slot, Error *reterr) {
        static const DbStep step = { sql_sealed_select, load_bind, load_result };
        static const DbTransaction transaction = {
                .what = "read what is sealed with a master key",
                .steps = &step,
                .n_steps = 1,
                .read_only = true,
        };
        RotationOp *op;

        op = rotation_op_new(key_id, NULL, NULL, _AUDIT_OUTCOME_INVALID);
        if (!op)
                return store_oom(&transaction, reterr);

        op->limit = limit;
        op->sealed_callback = callback;
        op->userdata = userdata;
        return db_request(db, &transaction, rotation_done, op, rotation_op_free, ret_slot, reterr);
}

/* --- beginning --- */

static int others_result(const PGresult *result, void *userdata, Error *reterr) {
        const RotationOp *op = userdata;
        _cleanup_free_ char *key_id = NULL;
        DbRow row = DB_ROW(result, 0);
        uint64_t n = 0;
        int r;

        if (PQntuples(result) == 0)
                return 0;

        db_row_string(&row, &key_id);
        db_row_uint(&row, INT64_MAX, &n);
        r = db_row_end(&row);
        if (r < 0)
                return db_row_error(r, "what is sealed", reterr);

        return error_setf(reterr, CCP_ERROR_KEY_MISSING,
                        "There are secrets (%" PRIu64 ") that are sealed with the master key %s, but this "
                        "server has the master key %s. Bring that one back first; nothing was changed.",
                        n, key_id, op->from);
}

static int begin_bind_audit(DbParams *params, void *userdata) {
        RotationOp *op = userdata;

        return append_audit(op, json_pack("{s:s}", "former", op->from), params);
}

int store_begin_rotation(Db *db, const char *key_id, const AuditActor *actor, StoreRotationCallback callback,
                void *userdata, DbSlot **ret_slot, Error *reterr) {
        static const DbStep steps[] = {
                { sql_sealed_with_others, bind_from, others_result },
                { sql_audit_append, begin_bind_audit, result_audit, .refusal = STORE_AUDIT_REFUSAL },
        };
        static const DbTransaction transaction = {
                .what = "record that the master key is to be replaced",
                .steps = steps,
                .n_steps = ELEMENTSOF(steps),
                .reset = rotation_reset,
        };
        RotationOp *op;

        op = rotation_op_new(key_id, NULL, actor, AUDIT_ACCEPTED);
        if (!op)
                return store_oom(&transaction, reterr);

        op->callback = callback;
        op->userdata = userdata;
        return db_request(db, &transaction, rotation_done, op, rotation_op_free, ret_slot, reterr);
}

/* --- sealing anew --- */

/* The columns of those of one kind, as arrays. */
typedef struct Columns {
        const char **instances, **names;
        int64_t *versions;
        DbBytes *sealed;
        size_t n;
} Columns;

static void columns_done(Columns *c) {
        free(c->instances);
        free(c->names);
        free(c->versions);
        free(c->sealed);
}

static int columns_fill(Columns *c, const SealedRecords *l, SealedKind kind) {
        c->instances = new0(const char *, l->n);
        c->names = new0(const char *, l->n);
        c->versions = new0(int64_t, l->n);
        c->sealed = new0(DbBytes, l->n);
        if (!c->instances || !c->names || !c->versions || !c->sealed)
                return -ENOMEM;

        FOREACH_ARRAY(s, l->items, l->n) {
                if (s->kind != kind)
                        continue;
                c->instances[c->n] = s->instance;
                c->names[c->n] = s->name;
                c->versions[c->n] = s->version;
                c->sealed[c->n++] = (DbBytes) { s->sealed, s->size };
        }
        return 0;
}

static int reseal_bind(DbParams *params, const RotationOp *op, SealedKind kind) {
        _cleanup_(columns_done) Columns c = {};
        int r;

        r = columns_fill(&c, op->records, kind);
        if (r < 0)
                return r;
        if (c.n == 0)
                return DB_STEP_SKIP;

        db_params_add_string(params, op->from);
        db_params_add_string(params, op->to);
        if (kind == SEALED_SECRET)
                db_params_add_strv(params, c.instances, c.n);
        if (IN_SET(kind, SEALED_SECRET, SEALED_BACKUP_KEY))
                db_params_add_strv(params, c.names, c.n);
        if (kind != SEALED_BACKUP_KEY)
                db_params_add_int64v(params, c.versions, c.n);
        db_params_add_bytesv(params, c.sealed, c.n);
        return 0;
}

static int reseal_bind_secrets(DbParams *params, void *userdata) {
        return reseal_bind(params, userdata, SEALED_SECRET);
}

static int reseal_bind_backup_keys(DbParams *params, void *userdata) {
        return reseal_bind(params, userdata, SEALED_BACKUP_KEY);
}

static int reseal_bind_alert_secrets(DbParams *params, void *userdata) {
        return reseal_bind(params, userdata, SEALED_ALERT_SECRET);
}

static int reseal_bind_storage(DbParams *params, void *userdata) {
        return reseal_bind(params, userdata, SEALED_STORAGE);
}

int store_reseal(Db *db, const char *from, const char *to, SealedRecords *records,
                StoreRotationCallback callback, void *userdata, DbSlot **ret_slot, Error *reterr) {
        static const DbStep steps[] = {
                { sql_reseal_secrets, reseal_bind_secrets },
                { sql_reseal_backup_keys, reseal_bind_backup_keys },
                { sql_reseal_alert_secrets, reseal_bind_alert_secrets },
                { sql_reseal_storage, reseal_bind_storage },
        };
        static const DbTransaction transaction = {
                .what = "record what was sealed anew",
                .steps = steps,
                .n_steps = ELEMENTSOF(steps),
        };
        RotationOp *op;

        op = rotation_op_new(from, to, NULL, _AUDIT_OUTCOME_INVALID);
        if (!op) {
                sealed_records_free(records);
                return store_oom(&transaction, reterr);
        }

        op->records = records;
        op->left = records->left - records->n;
        op->callback = callback;
        op->userdata = userdata;
        return db_request(db, &transaction, rotation_done, op, rotation_op_free, ret_slot, reterr);
}

/* --- ending --- */

static int end_bind(DbParams *params, void *userdata) {
        RotationOp *op = userdata;

        db_params_add_string(params, op->from);
        db_params_add_string(params, op->to);
        return 0;
}

static int end_result(const PGresult *result, void *userdata, Error *reterr) {
        RotationOp *op = userdata;
        DbRow row = DB_ROW(result, 0);
        int r;

        db_row_uint(&row, INT64_MAX, &op->left);
        db_row_bool(&row, &op->recorded);
        r = db_row_end(&row);
        return r < 0 ? db_row_error(r, "what is sealed", reterr) : 0;
}

static int end_bind_audit(DbParams *params, void *userdata) {
        RotationOp *op = userdata;

        if (op->left > 0 || op->recorded)
                return DB_STEP_SKIP;
        return append_audit(op, json_pack("{s:s, s:s}", "key", op->to, "former", op->from), params);
}

int store_end_rotation(Db *db, const char *from, const char *to, const AuditActor *actor,
                StoreRotationCallback callback, void *userdata, DbSlot **ret_slot, Error *reterr) {
        static const DbStep steps[] = {
                { sql_rotation_lock },
                { sql_sealed_left, end_bind, end_result },
                { sql_audit_append, end_bind_audit, result_audit, .refusal = STORE_AUDIT_REFUSAL },
        };
        static const DbTransaction transaction = {
                .what = "record that the master key was replaced",
                .steps = steps,
                .n_steps = ELEMENTSOF(steps),
                .reset = rotation_reset,
        };
        RotationOp *op;

        op = rotation_op_new(from, to, actor, AUDIT_SUCCEEDED);
        if (!op)
                return store_oom(&transaction, reterr);

        op->callback = callback;
        op->userdata = userdata;
        return db_request(db, &transaction, rotation_done, op, rotation_op_free, ret_slot, reterr);
}
