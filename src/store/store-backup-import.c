/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <errno.h>

#include "alloc-util.h"
#include "db-row.h"
#include "statements.h"
#include "store-backup.h"
#include "store-internal.h"
#include "string-util.h"

void backup_import_done(BackupImport *i) {
        free(i->slug);
        free(i->key_id);
        free(i->sealed);
        *i = (BackupImport) {};
}

/* --- the daemon's --- */

typedef struct ImportOp {
        DbParams params;
        bool alone;
        uint64_t id;
        StoreImportCallback callback;
        void *userdata;
} ImportOp;

static void import_op_free(void *userdata) {
        ImportOp *op = userdata;

        db_params_done(&op->params);
        free(op);
}

static int import_bind(DbParams *params, void *userdata) {
        db_params_borrow(params, &((ImportOp *) userdata)->params);
        return 0;
}

static int import_result(const PGresult *result, void *userdata, Error *reterr) {
        ImportOp *op = userdata;
        DbRow row = DB_ROW(result, 0);
        int r;

        if (PQntuples(result) == 0)
                return error_setf(reterr, CCP_ERROR_WRONG_STATE,
                                "This backup is here already. See: ccpctl backup list");
        db_row_uint(&row, INT64_MAX, &op->id);
        r = db_row_end(&row);
        return r < 0 ? db_row_error(r, "a backup", reterr) : 0;
}

static int sweep_bind(_unused_ DbParams *params, void *userdata) {
        return ((ImportOp *) userdata)->alone ? 0 : DB_STEP_SKIP;
}

static const DbStep import_steps[] = {
        { sql_backup_import_sweep, sweep_bind },
        { sql_backup_import, import_bind, import_result },
};
static const DbTransaction import_transaction = {
        .what = "record the backup that is imported",
        .steps = import_steps,
        .n_steps = ELEMENTSOF(import_steps),
};

static void import_done(int r, Error *error, void *userdata) {
        ImportOp *op = userdata;

        op->callback(r, op->id, error, op->userdata);
}

int store_begin_import(Db *db, const BackupImport *import, bool alone, StoreImportCallback callback,
                void *userdata, DbSlot **ret_slot, Error *reterr) {
        const DbBytes sealed = { import->sealed, import->size },
                      signer = { import->signer, sizeof(import->signer) };
        ImportOp *op = new0(ImportOp, 1);

        if (!op)
                return store_oom(&import_transaction, reterr);
        *op = (ImportOp) { .alone = alone, .callback = callback, .userdata = userdata };
        db_params_add_copy(&op->params, import->instance);
        db_params_add_copy(&op->params, import->slug);
        db_params_add_int64(&op->params, (int64_t) MIN(import->sequence, (uint64_t) INT64_MAX));
        db_params_add_copy(&op->params, import->archive);
        db_params_add_int64(&op->params, (int64_t) import->created_at);
        db_params_add_copy(&op->params, import->key_id);
        db_params_add_bytesv(&op->params, &sealed, 1);
        db_params_add_bytesv(&op->params, &signer, 1);
        if (db_params_check(&op->params) < 0) {
                import_op_free(op);
                return store_oom(&import_transaction, reterr);
        }
        return db_request(db, &import_transaction, import_done, op, import_op_free, ret_slot, reterr);
}

typedef struct TrustOp {
        DbParams params;
        StoreImportTrust trust;
        StoreImportTrustCallback callback;
        void *userdata;
} TrustOp;

static void trust_done(StoreImportTrust *t) {
        free(t->key_id);
        free(t->sealed);
        *t = (StoreImportTrust) {};
}

static void trust_op_free(void *userdata) {
        TrustOp *op = userdata;

        trust_done(&op->trust);
        db_params_done(&op->params);
        free(op);
}

static int trust_bind(DbParams *params, void *userdata) {
        db_params_borrow(params, &((TrustOp *) userdata)->params);
        return 0;
}

static int trust_result(const PGresult *result, void *userdata, Error *reterr) {
        StoreImportTrust *t = &((TrustOp *) userdata)->trust;
        DbRow row = DB_ROW(result, 0);
        int r;

        trust_done(t);
        db_row_bool(&row, &t->ours);
        db_row_bool(&row, &t->imported);
        db_row_bool(&row, &t->known);
        db_row_string(&row, &t->key_id);
        db_row_bytes(&row, &t->sealed, &t->size);
        r = db_row_end(&row);
        return r < 0 ? db_row_error(r, "who signs backups", reterr) : 0;
}

static void trust_end(int r, Error *error, void *userdata) {
        TrustOp *op = userdata;

        op->callback(r, &op->trust, error, op->userdata);
}

int store_get_import_trust(Db *db, const BackupImport *import, StoreImportTrustCallback callback,
                void *userdata, DbSlot **ret_slot, Error *reterr) {
        static const DbStep step = { sql_backup_import_trust, trust_bind, trust_result };
        static const DbTransaction transaction = {
                .what = "read who signs the backups of the instance",
                .steps = &step,
                .n_steps = 1,
                .read_only = true,
        };
        const DbBytes signer = { import->signer, sizeof(import->signer) };
        TrustOp *op = new0(TrustOp, 1);

        if (!op)
                return store_oom(&transaction, reterr);
        *op = (TrustOp) { .callback = callback, .userdata = userdata };
        db_params_add_copy(&op->params, import->instance);
        db_params_add_bytesv(&op->params, &signer, 1);
        if (db_params_check(&op->params) < 0) {
                trust_op_free(op);
                return store_oom(&transaction, reterr);
        }
        return db_request(db, &transaction, trust_end, op, trust_op_free, ret_slot, reterr);
}

/* --- the worker's --- */

typedef struct WorkOp {
        uint64_t id, job;
        const BackupRecord *record;
        BackupImport import;
} WorkOp;

static int claim_bind(DbParams *params, void *userdata) {
        const WorkOp *op = userdata;

        db_params_add_int64(params, (int64_t) op->id);
        db_params_add_int64(params, (int64_t) op->job);
        return 0;
}

static int describe_bind(DbParams *params, void *userdata) {
        const BackupRecord *b = ((WorkOp *) userdata)->record;

        db_params_add_int64(params, (int64_t) b->id);
        db_params_add_string(params, b->blueprint);
        db_params_add_string(params, b->blueprint_version);
        return 0;
}

static int expect_row(const PGresult *result, _unused_ void *userdata, Error *reterr) {
        return PQntuples(result) == 1
                        ? 0
                        : error_setf(reterr, CCP_ERROR_NO_SUCH_BACKUP, "The record of the backup is gone.");
}

static int get_bind(DbParams *params, void *userdata) {
        db_params_add_int64(params, (int64_t) ((WorkOp *) userdata)->id);
        return 0;
}

static int get_result(const PGresult *result, void *userdata, Error *reterr) {
        BackupImport *i = &((WorkOp *) userdata)->import;
        _cleanup_free_ uint8_t *signer = NULL;
        DbRow row = DB_ROW(result, 0);
        size_t n = 0;
        int r;

        backup_import_done(i);
        if (PQntuples(result) == 0)
                return 0;
        db_row_string(&row, &i->key_id);
        db_row_bytes(&row, &i->sealed, &i->size);
        db_row_bytes(&row, &signer, &n);
        r = db_row_end(&row);
        if (r < 0)
                return db_row_error(r, "a backup", reterr);
        if (n != sizeof(i->signer))
                return db_row_error(-EBADMSG, "a backup", reterr);
        memcpy(i->signer, signer, n);
        return 0;
}

static void get_reset(void *userdata) {
        backup_import_done(&((WorkOp *) userdata)->import);
}

int backup_import_claim(DbSync *db, uint64_t id, uint64_t job, Error *reterr) {
        static const DbStep step = { sql_backup_import_claim, claim_bind, expect_row };
        static const DbTransaction transaction = {
                .what = "record who imports the backup",
                .steps = &step,
                .n_steps = 1,
        };
        WorkOp op = { .id = id, .job = job };

        return db_sync_run(db, &transaction, &op, reterr);
}

int backup_import_describe(DbSync *db, const BackupRecord *b, Error *reterr) {
        static const DbStep step = { sql_backup_import_describe, describe_bind, expect_row };
        static const DbTransaction transaction = {
                .what = "record what was imported",
                .steps = &step,
                .n_steps = 1,
        };
        WorkOp op = { .record = b };

        return db_sync_run(db, &transaction, &op, reterr);
}

int backup_import_get(DbSync *db, uint64_t id, BackupImport *ret, Error *reterr) {
        static const DbStep step = { sql_backup_import_get, get_bind, get_result };
        static const DbTransaction transaction = {
                .what = "read the key of the backup",
                .steps = &step,
                .n_steps = 1,
                .read_only = true,
                .reset = get_reset,
        };
        WorkOp op = { .id = id };
        int r;

        r = db_sync_run(db, &transaction, &op, reterr);
        if (r < 0) {
                backup_import_done(&op.import);
                return r;
        }

        *ret = op.import;
        return 0;
}
