/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "store-storage.h"

#include <errno.h>

#include "alloc-util.h"
#include "db-row.h"
#include "statements.h"
#include "store-internal.h"

void storage_record_done(StorageRecord *s) {
        free(s->endpoint);
        free(s->region);
        free(s->bucket);
        free(s->prefix);
        free(s->ca_file);
        free(s->key_id);
        free(s->sealed);
        free(s->error);
        *s = (StorageRecord) {};
}

static int storage_record_read(const PGresult *result, StorageRecord *s, Error *reterr) {
        DbRow row = DB_ROW(result, 0);
        int r;

        storage_record_done(s);
        db_row_uint32(&row, &s->version);
        db_row_string_or_null(&row, &s->endpoint);
        db_row_string_or_null(&row, &s->region);
        db_row_string_or_null(&row, &s->bucket);
        db_row_string_or_null(&row, &s->prefix);
        db_row_bool(&row, &s->path_style);
        db_row_string_or_null(&row, &s->ca_file);
        db_row_string_or_null(&row, &s->key_id);
        db_row_bytes(&row, &s->sealed, &s->size);
        db_row_usec(&row, &s->set_at);
        db_row_usec(&row, &s->compared_at);
        db_row_uint(&row, INT64_MAX, &s->n_copied);
        db_row_uint(&row, INT64_MAX, &s->n_missing);
        db_row_string_or_null(&row, &s->error);
        r = db_row_end(&row);
        return r < 0 ? db_row_error(r, "the storage", reterr) : 0;
}

/* --- the daemon's: reading and setting --- */

typedef struct StorageOp {
        DbParams params; /* of storage-put */
        StorageRecord record;
        bool changes, moved;
        StoreAudit audit;
        StoreStorageCallback callback;
        void *userdata;
} StorageOp;

static void storage_reset(void *userdata) {
        store_audit_reset(&((StorageOp *) userdata)->audit);
}

static void storage_op_free(void *userdata) {
        StorageOp *op = userdata;

        db_params_done(&op->params);
        storage_record_done(&op->record);
        store_audit_done(&op->audit);
        free(op);
}

static void storage_op_done(int r, Error *error, void *userdata) {
        StorageOp *op = userdata;

        if (op->changes)
                store_audit_end(&op->audit, r, error);
        op->callback(r, r < 0 ? NULL : &op->record, error, op->userdata);
}

static int storage_result(const PGresult *result, void *userdata, Error *reterr) {
        return storage_record_read(result, &((StorageOp *) userdata)->record, reterr);
}

int store_load_storage(
                Db *db, StoreStorageCallback callback, void *userdata, DbSlot **ret_slot, Error *reterr) {
        static const DbStep step = { sql_storage_select, NULL, storage_result };
        static const DbTransaction transaction = {
                .what = "read the storage of backups",
                .steps = &step,
                .n_steps = 1,
                .read_only = true,
        };
        StorageOp *op = new0(StorageOp, 1);

        if (!op)
                return store_oom(&transaction, reterr);
        *op = (StorageOp) { .callback = callback, .userdata = userdata };
        return db_request(db, &transaction, storage_op_done, op, storage_op_free, ret_slot, reterr);
}

static int put_bind(DbParams *params, void *userdata) {
        db_params_borrow(params, &((StorageOp *) userdata)->params);
        return 0;
}

static int put_result(const PGresult *result, void *userdata, Error *reterr) {
        StorageOp *op = userdata;
        DbRow row = DB_ROW(result, 0);
        int r;

        if (PQntuples(result) == 0)
                return error_setf(reterr, CCP_ERROR_BUSY,
                                "The storage was changed by somebody else just now. Look at it, and try "
                                "again: ccpctl storage show");
        db_row_bool(&row, &op->moved);
        r = db_row_end(&row);
        return r < 0 ? db_row_error(r, "the storage", reterr) : 0;
}

static int forget_result(const PGresult *result, void *userdata, Error *reterr) {
        ((StorageOp *) userdata)->moved = true;
        return PQntuples(result) > 0 ? 0
                                     : error_setf(reterr, CCP_ERROR_WRONG_STATE,
                                                       "There is no storage that could be forgotten.");
}

static int bind_if_moved(_unused_ DbParams *params, void *userdata) {
        return ((StorageOp *) userdata)->moved ? 0 : DB_STEP_SKIP;
}

static int bind_if_stayed(_unused_ DbParams *params, void *userdata) {
        return ((StorageOp *) userdata)->moved ? DB_STEP_SKIP : 0;
}

static int storage_bind_audit(DbParams *params, void *userdata) {
        return store_audit_bind(&((StorageOp *) userdata)->audit, params);
}

static int storage_result_audit(const PGresult *result, void *userdata, Error *reterr) {
        return store_audit_result(&((StorageOp *) userdata)->audit, result, reterr);
}

static StorageOp *change_new(AuditAction action, const AuditActor *actor, const json_t *details,
                StoreStorageCallback callback, void *userdata) {
        StorageOp *op = new0(StorageOp, 1);

        if (!op)
                return NULL;
        *op = (StorageOp) { .changes = true, .callback = callback, .userdata = userdata };
        if (store_audit_init(&op->audit,
                            &(AuditEntry) {
                                            .action = action,
                                            .outcome = AUDIT_SUCCEEDED,
                                            .actor = actor,
                                            .details = details,
                            }) >= 0)
                return op;

        storage_op_free(op);
        return NULL;
}

int store_set_storage(Db *db, const StorageRecord *storage, const AuditActor *actor, const json_t *details,
                StoreStorageCallback callback, void *userdata, DbSlot **ret_slot, Error *reterr) {
        static const DbStep steps[] = {
                { sql_storage_put, put_bind, put_result },
                { sql_copies_forget, bind_if_moved },
                { sql_doomed_copies_forget, bind_if_moved },
                { sql_copies_hurry, bind_if_stayed },
                { sql_doomed_copies_hurry, bind_if_stayed },
                { sql_storage_select, NULL, storage_result },
                { sql_audit_append, storage_bind_audit, storage_result_audit,
                                .refusal = STORE_AUDIT_REFUSAL },
        };
        static const DbTransaction transaction = {
                .what = "record the storage of backups",
                .steps = steps,
                .n_steps = ELEMENTSOF(steps),
                .reset = storage_reset,
        };
        const DbBytes sealed = { storage->sealed, storage->size };
        StorageOp *op;

        op = change_new(AUDIT_STORAGE_SET, actor, details, callback, userdata);
        if (!op)
                return store_oom(&transaction, reterr);
        db_params_add_int64(&op->params, storage->version);
        db_params_add_copy(&op->params, storage->endpoint);
        db_params_add_copy(&op->params, strempty(storage->region));
        db_params_add_copy(&op->params, storage->bucket);
        db_params_add_copy(&op->params, strempty(storage->prefix));
        db_params_add_bool(&op->params, storage->path_style);
        db_params_add_copy(&op->params, strempty(storage->ca_file));
        db_params_add_copy(&op->params, storage->key_id);
        db_params_add_bytesv(&op->params, &sealed, 1);
        if (db_params_check(&op->params) < 0) {
                storage_op_free(op);
                return store_oom(&transaction, reterr);
        }
        return db_request(db, &transaction, storage_op_done, op, storage_op_free, ret_slot, reterr);
}

int store_forget_storage(Db *db, const AuditActor *actor, StoreStorageCallback callback, void *userdata,
                DbSlot **ret_slot, Error *reterr) {
        static const DbStep steps[] = {
                { sql_storage_forget, NULL, forget_result },
                { sql_copies_forget },
                { sql_doomed_copies_forget },
                { sql_storage_select, NULL, storage_result },
                { sql_audit_append, storage_bind_audit, storage_result_audit,
                                .refusal = STORE_AUDIT_REFUSAL },
        };
        static const DbTransaction transaction = {
                .what = "record that the storage is forgotten",
                .steps = steps,
                .n_steps = ELEMENTSOF(steps),
                .reset = storage_reset,
        };
        StorageOp *op;

        op = change_new(AUDIT_STORAGE_FORGET, actor, NULL, callback, userdata);
        if (!op)
                return store_oom(&transaction, reterr);
        return db_request(db, &transaction, storage_op_done, op, storage_op_free, ret_slot, reterr);
}

/* --- the daemon's: what is to be done --- */

typedef struct DueOp {
        StoreCopiesDue due;
        StoreCopiesDueCallback callback;
        void *userdata;
} DueOp;

static int due_bind(DbParams *params, _unused_ void *userdata) {
        db_params_add_int64(params, STORE_COPIES_DUE_MAX);
        return 0;
}

static int due_result(const PGresult *result, void *userdata, Error *reterr) {
        StoreCopiesDue *due = &((DueOp *) userdata)->due;
        int n = MIN(PQntuples(result), (int) STORE_COPIES_DUE_MAX);

        due->n = 0;
        for (int i = 0; i < n; i++) {
                CopyDue *d = due->items + due->n++;
                DbRow row = DB_ROW(result, i);
                int r;

                db_row_uint(&row, INT64_MAX, &d->backup);
                db_row_usec(&row, &d->in);
                r = db_row_end(&row);
                if (r < 0)
                        return db_row_error(r, "what is to be copied", reterr);
        }
        return 0;
}

/* NULL: never. */
static int wait_read(const PGresult *result, const char *what, usec_t *ret, Error *reterr) {
        DbRow row = DB_ROW(result, 0);
        int r;

        *ret = USEC_INFINITY;
        db_row_uint_or_null(&row, INT64_MAX, ret);
        r = db_row_end(&row);
        return r < 0 ? db_row_error(r, what, reterr) : 0;
}

static int doomed_result(const PGresult *result, void *userdata, Error *reterr) {
        return wait_read(result, "what is to be removed", &((DueOp *) userdata)->due.doomed_in, reterr);
}

static int compare_result(const PGresult *result, void *userdata, Error *reterr) {
        return wait_read(result, "what is to be compared", &((DueOp *) userdata)->due.compare_in, reterr);
}

static void due_done(int r, Error *error, void *userdata) {
        DueOp *op = userdata;

        op->callback(r, r < 0 ? NULL : &op->due, error, op->userdata);
}

int store_copies_due(
                Db *db, StoreCopiesDueCallback callback, void *userdata, DbSlot **ret_slot, Error *reterr) {
        static const DbStep steps[] = {
                { sql_copies_wanted_mend },
                { sql_copies_due, due_bind, due_result },
                { sql_doomed_copies_due, NULL, doomed_result },
                { sql_copies_compare_due, NULL, compare_result },
        };
        static const DbTransaction transaction = {
                .what = "read what is to be copied to the storage",
                .steps = steps,
                .n_steps = ELEMENTSOF(steps),
        };
        DueOp *op = new0(DueOp, 1);

        if (!op)
                return store_oom(&transaction, reterr);
        *op = (DueOp) { .callback = callback, .userdata = userdata };
        return db_request(db, &transaction, due_done, op, free, ret_slot, reterr);
}

/* --- the workers' --- */

int storage_none(Error *reterr) {
        return error_setf(reterr, CCP_ERROR_WRONG_STATE,
                        "There is no storage for copies of backups. To name one: ccpctl storage set");
}

static int get_result(const PGresult *result, void *userdata, Error *reterr) {
        return storage_record_read(result, userdata, reterr);
}

int storage_get(DbSync *db, StorageRecord *ret, Error *reterr) {
        static const DbStep step = { sql_storage_select, NULL, get_result };
        static const DbTransaction transaction = {
                .what = "read the storage of backups",
                .steps = &step,
                .n_steps = 1,
                .read_only = true,
        };
        StorageRecord s = {};
        int r;

        r = db_sync_run(db, &transaction, &s, reterr);
        if (r >= 0 && !s.endpoint)
                r = storage_none(reterr);
        if (r < 0) {
                storage_record_done(&s);
                return r;
        }

        *ret = s;
        return 0;
}

typedef struct CopyOp {
        uint64_t backup;
        const char *key;
        uint32_t version;
} CopyOp;

static int copy_bind(DbParams *params, void *userdata) {
        const CopyOp *op = userdata;

        db_params_add_int64(params, (int64_t) op->backup);
        if (op->key)
                db_params_add_string(params, op->key);
        db_params_add_int64(params, op->version);
        return 0;
}

static int copy_result(const PGresult *result, _unused_ void *userdata, Error *reterr) {
        return PQntuples(result) > 0 ? 0
                                     : error_setf(reterr, CCP_ERROR_STORAGE_FAILED,
                                                       "The storage was changed meanwhile: what was copied "
                                                       "to the former one does not count.");
}

int copy_begin(DbSync *db, uint64_t backup, const char *key, uint32_t version, Error *reterr) {
        static const DbStep step = { sql_copy_begin, copy_bind, copy_result };
        static const DbTransaction transaction = {
                .what = "record that the backup is copied",
                .steps = &step,
                .n_steps = 1,
        };

        return db_sync_run(db, &transaction, &(CopyOp) { backup, key, version }, reterr);
}

int copy_done(DbSync *db, uint64_t backup, uint32_t version, Error *reterr) {
        static const DbStep step = { sql_copy_done, copy_bind, copy_result };
        static const DbTransaction transaction = {
                .what = "record that the backup was copied",
                .steps = &step,
                .n_steps = 1,
        };

        return db_sync_run(db, &transaction, &(CopyOp) { .backup = backup, .version = version }, reterr);
}

int copy_lost(DbSync *db, uint64_t backup, uint32_t version, Error *reterr) {
        static const DbStep step = { sql_copy_lost, copy_bind };
        static const DbTransaction transaction = {
                .what = "record that the copy is gone",
                .steps = &step,
                .n_steps = 1,
        };

        return db_sync_run(db, &transaction, &(CopyOp) { .backup = backup, .version = version }, reterr);
}

void copy_records_done(CopyRecords *l) {
        FOREACH_ARRAY(c, l->items, l->n) {
                free(c->slug);
                free(c->key);
        }
        free(l->items);
        *l = (CopyRecords) {};
}

static int copy_record_read(const PGresult *result, int number, CopyRecord *c) {
        DbRow row = DB_ROW(result, number);

        db_row_uint(&row, INT64_MAX, &c->backup);
        db_row_string(&row, &c->slug);
        db_row_string(&row, &c->key);
        db_row_uint(&row, INT64_MAX, &c->size);
        db_row_bool(&row, &c->alone);
        return db_row_end(&row);
}

static int list_result(const PGresult *result, void *userdata, Error *reterr) {
        CopyRecords *l = userdata;
        int n = PQntuples(result);

        copy_records_done(l);
        l->items = new0(CopyRecord, (size_t) n);
        if (!l->items)
                return db_row_error(-ENOMEM, "the copies", reterr);
        for (int i = 0; i < n; i++) {
                int r;

                r = copy_record_read(result, i, l->items + l->n++);
                if (r < 0)
                        return db_row_error(r, "the copies", reterr);
        }
        return 0;
}

int copies_list(DbSync *db, CopyRecords *ret, Error *reterr) {
        static const DbStep step = { sql_copies_list, NULL, list_result };
        static const DbTransaction transaction = {
                .what = "read which copies there are",
                .steps = &step,
                .n_steps = 1,
                .read_only = true,
        };
        CopyRecords l = {};
        int r;

        r = db_sync_run(db, &transaction, &l, reterr);
        if (r < 0) {
                copy_records_done(&l);
                return r;
        }

        *ret = l;
        return 0;
}

static int compared_bind(DbParams *params, void *userdata) {
        db_params_add_int64(params, *(const uint32_t *) userdata);
        return 0;
}

int copies_compared(DbSync *db, uint32_t version, Error *reterr) {
        static const DbStep step = { sql_copies_compared, compared_bind };
        static const DbTransaction transaction = {
                .what = "record that the copies were compared",
                .steps = &step,
                .n_steps = 1,
        };

        return db_sync_run(db, &transaction, &version, reterr);
}

static int claim_result(const PGresult *result, void *userdata, Error *reterr) {
        char **key = userdata;

        *key = mfree(*key);
        if (PQntuples(result) == 0)
                return 0;
        *key = strdup(PQgetvalue(result, 0, 0));
        return *key ? 0 : db_row_error(-ENOMEM, "what is to be removed", reterr);
}

int doomed_copy_claim(DbSync *db, char **ret, Error *reterr) {
        static const DbStep step = { sql_doomed_copy_claim, NULL, claim_result };
        static const DbTransaction transaction = {
                .what = "take what is to be removed from the storage",
                .steps = &step,
                .n_steps = 1,
        };
        _cleanup_free_ char *key = NULL;
        int r;

        r = db_sync_run(db, &transaction, &key, reterr);
        if (r < 0)
                return r;

        *ret = TAKE_PTR(key);
        return 0;
}

static int end_bind(DbParams *params, void *userdata) {
        db_params_add_string(params, userdata);
        return 0;
}

int doomed_copy_lost(DbSync *db, const char *key, Error *reterr) {
        static const DbStep step = { sql_doomed_copy_lost, end_bind };
        static const DbTransaction transaction = {
                .what = "record that the copy may be gone",
                .steps = &step,
                .n_steps = 1,
        };

        return db_sync_run(db, &transaction, (void *) key, reterr);
}

int doomed_copy_end(DbSync *db, const char *key, Error *reterr) {
        static const DbStep step = { sql_doomed_copy_end, end_bind };
        static const DbTransaction transaction = {
                .what = "record what was removed from the storage",
                .steps = &step,
                .n_steps = 1,
        };

        return db_sync_run(db, &transaction, (void *) key, reterr);
}

typedef struct FindOp {
        const char *const *archives;
        size_t n;
        uint64_t *ids;
} FindOp;

static int find_bind(DbParams *params, void *userdata) {
        const FindOp *op = userdata;

        db_params_add_strv(params, op->archives, op->n);
        return 0;
}

static int find_result(const PGresult *result, void *userdata, Error *reterr) {
        FindOp *op = userdata;

        if ((size_t) PQntuples(result) != op->n)
                return db_row_error(-EBADMSG, "the backups", reterr);
        for (size_t i = 0; i < op->n; i++) {
                DbRow row = DB_ROW(result, (int) i);
                int r;

                db_row_skip(&row);
                db_row_uint(&row, INT64_MAX, op->ids + i);
                r = db_row_end(&row);
                if (r < 0)
                        return db_row_error(r, "the backups", reterr);
        }
        return 0;
}

int copies_find(DbSync *db, const char *const *archives, size_t n, uint64_t **ret, Error *reterr) {
        static const DbStep step = { sql_copies_known, find_bind, find_result };
        static const DbTransaction transaction = {
                .what = "look which backups are here",
                .steps = &step,
                .n_steps = 1,
                .read_only = true,
        };
        FindOp op = { .archives = archives, .n = n, .ids = new0(uint64_t, n + 1) };
        int r;

        if (!op.ids)
                return store_oom(&transaction, reterr);
        r = db_sync_run(db, &transaction, &op, reterr);
        if (r < 0) {
                free(op.ids);
                return r;
        }

        *ret = op.ids;
        return 0;
}
