/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "store-backup.h"

#include <errno.h>
#include <inttypes.h>

#include "alloc-util.h"
#include "db-row.h"
#include "statements.h"
#include "store-internal.h"
#include "string-util.h"
#include "strv.h"

static const char *const backup_state_table[_BACKUP_STATE_MAX] = {
        [BACKUP_WRITING] = "writing",
        [BACKUP_WRITTEN] = "written",
        [BACKUP_VERIFIED] = "verified",
        [BACKUP_DAMAGED] = "damaged",
};
DEFINE_STRING_TABLE(backup_state, BackupState);

static const char *const backup_consistency_table[_BACKUP_CONSISTENCY_MAX] = {
        [BACKUP_LIVE] = "live",
        [BACKUP_PAUSED] = "paused",
        [BACKUP_COLD] = "cold",
};
DEFINE_STRING_TABLE(backup_consistency, BackupConsistency);

bool backup_consistency_may_be_asked(const char *text) {
        return streq(text, BACKUP_CONSISTENCY_AUTO) || backup_consistency_from_string(text) >= 0;
}

DB_ENUM_READER(backup_state);
DB_ENUM_READER(backup_consistency);

void backup_record_done(BackupRecord *b) {
        free(b->slug);
        free(b->blueprint);
        free(b->blueprint_version);
        free(b->file);
        json_decref(b->contents);
        json_decref(b->config);
        json_decref(b->recovery_keys);
        free(b->error);
        free(b->copy_key);
        free(b->signer);
        *b = (BackupRecord) {};
}

RetentionItem backup_record_retention(const BackupRecord *b) {
        return (RetentionItem) {
                .sequence = b->sequence,
                .created_at = b->created_at,
                .verified = b->state == BACKUP_VERIFIED,
                .damaged = b->state == BACKUP_DAMAGED,
                .imported = b->signer != NULL,
        };
}

int backup_record_check_verified(const BackupRecord *b, Error *reterr) {
        if (b->state == BACKUP_VERIFIED)
                return 0;
        return b->replicated_at > 0
                        ? error_setf(reterr, CCP_ERROR_WRONG_STATE,
                                          "Backup %" PRIu64 " is %s: nothing is restored from it. There "
                                          "is a copy in the storage; to get it: ccpctl backup fetch "
                                          "%" PRIu64,
                                          b->id, backup_state_to_string(b->state), b->id)
                        : error_setf(reterr, CCP_ERROR_WRONG_STATE,
                                          "Backup %" PRIu64 " is %s: nothing is restored from it. For "
                                          "others: ccpctl backup list --instance=%s",
                                          b->id, backup_state_to_string(b->state), b->slug);
}

void backup_records_done(BackupRecords *l) {
        FOREACH_ARRAY(b, l->items, l->n)
                backup_record_done(b);
        free(l->items);
        *l = (BackupRecords) {};
}

void backup_key_record_done(BackupKeyRecord *k) {
        free(k->id);
        free(k->key_id);
        free(k->sealed);
        *k = (BackupKeyRecord) {};
}

/* --- reading --- */

typedef struct LoadOp {
        BackupRecords records;
        DbParams params;
        StoreBackupsCallback callback;
        void *userdata;
} LoadOp;

static void load_op_free(void *userdata) {
        LoadOp *op = userdata;

        backup_records_done(&op->records);
        db_params_done(&op->params);
        free(op);
}

static int load_bind(DbParams *params, void *userdata) {
        LoadOp *op = userdata;

        db_params_borrow(params, &op->params);
        return 0;
}

static int backup_record_read(const PGresult *result, int number, BackupRecord *b, Error *reterr) {
        int state = _BACKUP_STATE_INVALID, consistency = _BACKUP_CONSISTENCY_INVALID, r;
        DbRow row = DB_ROW(result, number);

        db_row_uint(&row, INT64_MAX, &b->id);
        db_row_text(&row, b->instance, sizeof(b->instance));
        db_row_string(&row, &b->slug);
        db_row_uint(&row, INT64_MAX, &b->job);
        db_row_uint(&row, INT64_MAX, &b->sequence);
        db_row_enum(&row, read_backup_state, &state);
        db_row_enum(&row, read_backup_consistency, &consistency);
        db_row_string(&row, &b->blueprint);
        db_row_string(&row, &b->blueprint_version);
        db_row_string(&row, &b->file);
        db_row_text(&row, b->archive, sizeof(b->archive));
        db_row_uint(&row, INT64_MAX, &b->size);
        db_row_json(&row, JSON_ARRAY, &b->contents);
        db_row_json(&row, JSON_OBJECT, &b->config);
        db_row_usec(&row, &b->created_at);
        db_row_usec(&row, &b->verified_at);
        db_row_usec(&row, &b->read_at);
        db_row_string_or_null(&row, &b->error);
        db_row_usec(&row, &b->drilled_at);
        db_row_uint(&row, INT64_MAX, &b->drill_took);
        db_row_usec(&row, &b->replicated_at);
        db_row_string_or_null(&row, &b->copy_key);
        db_row_string_or_null(&row, &b->signer);
        db_row_json_or_null(&row, JSON_ARRAY, &b->recovery_keys);
        r = db_row_end(&row);
        if (r < 0)
                return db_row_error(r, "a backup", reterr);

        b->state = state;
        b->consistency = consistency;
        return 0;
}

static int backup_records_read(const PGresult *result, BackupRecords *l, Error *reterr) {
        int n = PQntuples(result);

        backup_records_done(l);
        l->items = new0(BackupRecord, (size_t) n);
        if (!l->items)
                return db_row_error(-ENOMEM, "the backups", reterr);

        l->n_allocated = (size_t) n;
        for (int i = 0; i < n; i++) {
                int r;

                l->n++;
                r = backup_record_read(result, i, l->items + i, reterr);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int load_result(const PGresult *result, void *userdata, Error *reterr) {
        return backup_records_read(result, &((LoadOp *) userdata)->records, reterr);
}

static const DbStep load_step = { sql_backup_select, load_bind, load_result };
static const DbTransaction load_transaction = {
        .what = "read the backups",
        .steps = &load_step,
        .n_steps = 1,
        .read_only = true,
};

static void load_done(int r, Error *error, void *userdata) {
        LoadOp *op = userdata;

        op->callback(r, r < 0 ? NULL : &op->records, error, op->userdata);
}

static void bind_filter(DbParams *p, const StoreBackupFilter *f) {
        db_params_add_copy(p, f->slug);
        if (f->id > 0)
                db_params_add_int64(p, (int64_t) MIN(f->id, (uint64_t) INT64_MAX));
        else
                db_params_add_string(p, NULL);
        if (f->among)
                db_params_add_strv(p, (const char *const *) f->among, strv_length(f->among));
        else
                db_params_add_string(p, NULL);
        db_params_add_int64(p, (int64_t) MIN(f->offset, (uint64_t) INT64_MAX));
        db_params_add_int64(p, (int64_t) MIN(f->limit, (uint64_t) INT64_MAX));
}

int store_list_backups(Db *db, const StoreBackupFilter *filter, StoreBackupsCallback callback,
                void *userdata, DbSlot **ret_slot, Error *reterr) {
        LoadOp *op;

        op = new0(LoadOp, 1);
        if (!op)
                return store_oom(&load_transaction, reterr);

        *op = (LoadOp) { .callback = callback, .userdata = userdata };
        bind_filter(&op->params, filter);
        if (db_params_check(&op->params) < 0) {
                load_op_free(op);
                return store_oom(&load_transaction, reterr);
        }
        return db_request(db, &load_transaction, load_done, op, load_op_free, ret_slot, reterr);
}

/* --- the worker's --- */

typedef struct Begin {
        BackupRecord *record;
        BackupSize last;
} Begin;

static int begin_bind(DbParams *params, void *userdata) {
        const Begin *begin = userdata;
        const BackupRecord *b = begin->record;

        db_params_add_string(params, b->instance);
        db_params_add_int64(params, (int64_t) b->job);
        db_params_add_string(params, backup_consistency_to_string(b->consistency));
        db_params_add_string(params, b->blueprint);
        db_params_add_string(params, b->blueprint_version);
        return 0;
}

static int begin_result(const PGresult *result, void *userdata, Error *reterr) {
        Begin *begin = userdata;
        BackupRecord *b = begin->record;
        _cleanup_free_ char *file = NULL;
        DbRow row = DB_ROW(result, 0);
        int r;

        if (PQntuples(result) == 0)
                return error_setf(reterr, CCP_ERROR_NO_SUCH_INSTANCE, "The instance is gone.");
        db_row_uint(&row, INT64_MAX, &b->id);
        db_row_uint(&row, INT64_MAX, &b->sequence);
        db_row_string(&row, &file);
        db_row_usec(&row, &b->created_at);
        db_row_uint(&row, INT64_MAX, &begin->last.file);
        db_row_uint(&row, INT64_MAX, &begin->last.contents);
        r = db_row_end(&row);
        if (r < 0)
                return db_row_error(r, "a backup", reterr);

        free(b->file);
        b->file = TAKE_PTR(file);
        return 0;
}

int backup_begin(DbSync *db, BackupRecord *b, BackupSize *ret_last, Error *reterr) {
        static const DbStep step = { sql_backup_begin, begin_bind, begin_result };
        static const DbTransaction transaction = {
                .what = "record the backup",
                .steps = &step,
                .n_steps = 1,
        };
        Begin begin = { .record = b };
        int r;

        r = db_sync_run(db, &transaction, &begin, reterr);
        if (r < 0)
                return r;

        *ret_last = begin.last;
        return 0;
}

static int one_row(const PGresult *result, _unused_ void *userdata, Error *reterr) {
        return PQntuples(result) == 1
                        ? 0
                        : error_setf(reterr, CCP_ERROR_NO_SUCH_BACKUP, "The record of the backup is gone.");
}

static int written_bind(DbParams *params, void *userdata) {
        const BackupRecord *b = userdata;

        db_params_add_int64(params, (int64_t) b->id);
        db_params_add_string(params, b->archive);
        db_params_add_int64(params, (int64_t) b->size);
        db_params_add_json(params, b->contents);
        db_params_add_string(params, backup_consistency_to_string(b->consistency));
        db_params_add_json(params, b->config);
        return 0;
}

int backup_set_written(DbSync *db, const BackupRecord *b, Error *reterr) {
        static const DbStep step = { sql_backup_written, written_bind, one_row };
        static const DbTransaction transaction = {
                .what = "record that the backup is written",
                .steps = &step,
                .n_steps = 1,
        };

        return db_sync_run(db, &transaction, (void *) b, reterr);
}

static int id_bind(DbParams *params, void *userdata) {
        db_params_add_int64(params, (int64_t) *(const uint64_t *) userdata);
        return 0;
}

typedef struct VerifiedOp {
        uint64_t id;
        const json_t *recovery_keys;
} VerifiedOp;

static int verified_bind(DbParams *params, void *userdata) {
        const VerifiedOp *op = userdata;

        db_params_add_int64(params, (int64_t) op->id);
        db_params_add_json(params, op->recovery_keys);
        return 0;
}

int backup_set_verified(DbSync *db, uint64_t id, const json_t *recovery_keys, Error *reterr) {
        static const DbStep step = { sql_backup_verified, verified_bind, one_row };
        static const DbTransaction transaction = {
                .what = "record that the backup is verified",
                .steps = &step,
                .n_steps = 1,
        };
        VerifiedOp op = { .id = id, .recovery_keys = recovery_keys };

        return db_sync_run(db, &transaction, &op, reterr);
}

typedef struct DamagedOp {
        uint64_t id;
        const char *why;
} DamagedOp;

static int damaged_bind(DbParams *params, void *userdata) {
        const DamagedOp *op = userdata;

        db_params_add_int64(params, (int64_t) op->id);
        db_params_add_string(params, op->why);
        return 0;
}

int backup_set_damaged(DbSync *db, uint64_t id, const char *why, Error *reterr) {
        static const DbStep step = { sql_backup_damaged, damaged_bind, one_row };
        static const DbTransaction transaction = {
                .what = "record that the backup is damaged",
                .steps = &step,
                .n_steps = 1,
        };
        DamagedOp op = { .id = id, .why = why };

        return db_sync_run(db, &transaction, &op, reterr);
}

int backup_list(DbSync *db, const StoreBackupFilter *filter, BackupRecords *ret, Error *reterr) {
        LoadOp op = {};
        int r;

        bind_filter(&op.params, filter);
        r = db_sync_run(db, &load_transaction, &op, reterr);
        db_params_done(&op.params);
        if (r < 0) {
                backup_records_done(&op.records);
                return r;
        }

        *ret = op.records;
        return 0;
}

typedef struct GetOp {
        uint64_t id;
        BackupRecord record;
} GetOp;

static int get_bind(DbParams *params, void *userdata) {
        return id_bind(params, &((GetOp *) userdata)->id);
}

static int get_result(const PGresult *result, void *userdata, Error *reterr) {
        GetOp *op = userdata;

        backup_record_done(&op->record);
        if (PQntuples(result) == 0)
                return error_setf(reterr, CCP_ERROR_NO_SUCH_BACKUP, "The record of the backup is gone.");
        return backup_record_read(result, 0, &op->record, reterr);
}

static int get_by(DbSync *db, const DbTransaction *transaction, uint64_t id, BackupRecord *ret,
                Error *reterr) {
        GetOp op = { .id = id };
        int r;

        r = db_sync_run(db, transaction, &op, reterr);
        if (r < 0) {
                backup_record_done(&op.record);
                return r;
        }

        *ret = op.record;
        return 0;
}

int backup_get_of_job(DbSync *db, uint64_t job, BackupRecord *ret, Error *reterr) {
        static const DbStep step = { sql_backup_of_job, get_bind, get_result };
        static const DbTransaction transaction = {
                .what = "read the record of the backup",
                .steps = &step,
                .n_steps = 1,
                .read_only = true,
        };

        return get_by(db, &transaction, job, ret, reterr);
}

int backup_get(DbSync *db, uint64_t id, BackupRecord *ret, Error *reterr) {
        static const DbStep step = { sql_backup_get, get_bind, get_result };
        static const DbTransaction transaction = {
                .what = "read the record of the backup",
                .steps = &step,
                .n_steps = 1,
                .read_only = true,
        };

        return get_by(db, &transaction, id, ret, reterr);
}

typedef struct DrilledOp {
        uint64_t id, job;
} DrilledOp;

static int drilled_bind(DbParams *params, void *userdata) {
        const DrilledOp *op = userdata;

        db_params_add_int64(params, (int64_t) op->id);
        db_params_add_int64(params, (int64_t) op->job);
        return 0;
}

int backup_set_drilled(DbSync *db, uint64_t id, uint64_t job, Error *reterr) {
        static const DbStep step = { sql_backup_drilled, drilled_bind, one_row };
        static const DbTransaction transaction = {
                .what = "record that the backup was restored by a drill",
                .steps = &step,
                .n_steps = 1,
        };
        DrilledOp op = { id, job };

        return db_sync_run(db, &transaction, &op, reterr);
}

int backup_discard(DbSync *db, uint64_t job, Error *reterr) {
        static const DbStep step = { sql_backup_discard, id_bind };
        static const DbTransaction transaction = {
                .what = "forget the backup",
                .steps = &step,
                .n_steps = 1,
        };

        return db_sync_run(db, &transaction, &job, reterr);
}

/* --- deleting --- */

int store_read_backup_lock(const PGresult *result, uint64_t id, StoreBackupLock *ret, Error *reterr) {
        DbRow row = DB_ROW(result, 0);
        int r;

        if (PQntuples(result) == 0)
                return error_setf(reterr, CCP_ERROR_NO_SUCH_BACKUP,
                                "There is no backup %" PRIu64
                                ". 'ccpctl backup list' shows those that there are.",
                                id);

        db_row_text(&row, ret->instance, sizeof(ret->instance));
        db_row_string(&row, &ret->slug);
        db_row_bool(&row, &ret->last);
        db_row_bool(&row, &ret->gone);
        db_row_uint(&row, INT64_MAX, &ret->job);
        r = db_row_end(&row);
        return r < 0 ? db_row_error(r, "a backup", reterr) : 0;
}

int store_check_backup_lock(const StoreBackupLock *lock, uint64_t id, bool last, Error *reterr) {
        if (lock->job > 0)
                return error_setf(reterr, CCP_ERROR_BUSY,
                                "The job %" PRIu64 " uses the backup %" PRIu64
                                ". Wait for it ('ccpctl job follow %" PRIu64 "') or cancel it.",
                                lock->job, id, lock->job);
        if (lock->last && !last && lock->gone)
                return error_setf(reterr, CCP_ERROR_WRONG_STATE,
                                "The backup %" PRIu64
                                " is the last one of '%s' that can be restored, and there "
                                "is no such instance here to make another one of. To delete it, say --last.",
                                id, strempty(lock->slug));
        if (lock->last && !last)
                return error_setf(reterr, CCP_ERROR_WRONG_STATE,
                                "The backup %" PRIu64 " is the last one of '%s' that can be restored. Make "
                                "another one first (ccpctl backup create %s), or say --last.",
                                id, strempty(lock->slug), strempty(lock->slug));
        return 0;
}

typedef struct DeleteOp {
        uint64_t id, job;
        bool flag; /* also the last one; also what others left */
        BackupRecords records;
        bool removed;
        StoreAudit *audit;
} DeleteOp;

static void delete_reset(void *userdata) {
        DeleteOp *op = userdata;

        op->removed = false;
        if (op->audit)
                store_audit_reset(op->audit);
}

static int delete_bind(DbParams *params, void *userdata) {
        const DeleteOp *op = userdata;

        db_params_add_int64(params, (int64_t) op->id);
        db_params_add_int64(params, (int64_t) op->job);
        return 0;
}

static int mark_result(const PGresult *result, void *userdata, Error *reterr) {
        const DeleteOp *op = userdata;
        StoreBackupLock lock = {};
        int r;

        r = store_read_backup_lock(result, op->id, &lock, reterr);
        if (r >= 0)
                r = store_check_backup_lock(&lock, op->id, op->flag, reterr);
        free(lock.slug);
        return r;
}

int backup_delete_mark(DbSync *db, uint64_t id, uint64_t job, bool last, Error *reterr) {
        static const DbStep steps[] = {
                { sql_backup_lock, delete_bind, mark_result },
                { sql_backup_delete_mark, delete_bind },
        };
        static const DbTransaction transaction = {
                .what = "record that the backup is deleted",
                .steps = steps,
                .n_steps = ELEMENTSOF(steps),
        };
        DeleteOp op = { .id = id, .job = job, .flag = last };

        return db_sync_run(db, &transaction, &op, reterr);
}

static int list_bind(DbParams *params, void *userdata) {
        db_params_add_int64(params, (int64_t) ((const DeleteOp *) userdata)->job);
        return 0;
}

static int adopt_bind(DbParams *params, void *userdata) {
        return ((const DeleteOp *) userdata)->flag ? list_bind(params, userdata) : DB_STEP_SKIP;
}

static int list_result(const PGresult *result, void *userdata, Error *reterr) {
        return backup_records_read(result, &((DeleteOp *) userdata)->records, reterr);
}

int backup_delete_list(DbSync *db, uint64_t job, bool adopt, BackupRecords *ret, Error *reterr) {
        static const DbStep steps[] = {
                { sql_backup_delete_adopt, adopt_bind },
                { sql_backup_delete_list, list_bind, list_result },
        };
        static const DbTransaction transaction = {
                .what = "read which backups are deleted",
                .steps = steps,
                .n_steps = ELEMENTSOF(steps),
        };
        DeleteOp op = { .job = job, .flag = adopt };
        int r;

        r = db_sync_run(db, &transaction, &op, reterr);
        if (r < 0) {
                backup_records_done(&op.records);
                return r;
        }

        *ret = op.records;
        return 0;
}

int backup_delete_keep(DbSync *db, uint64_t id, uint64_t job, Error *reterr) {
        static const DbStep step = { sql_backup_delete_keep, delete_bind };
        static const DbTransaction transaction = {
                .what = "record that the backup stays",
                .steps = &step,
                .n_steps = 1,
        };
        DeleteOp op = { .id = id, .job = job };

        return db_sync_run(db, &transaction, &op, reterr);
}

static int record_result(const PGresult *result, void *userdata, _unused_ Error *reterr) {
        ((DeleteOp *) userdata)->removed = PQntuples(result) > 0;
        return 0;
}

static int record_bind_audit(DbParams *params, void *userdata) {
        const DeleteOp *op = userdata;

        return op->audit && op->removed ? store_audit_bind(op->audit, params) : DB_STEP_SKIP;
}

static int record_result_audit(const PGresult *result, void *userdata, Error *reterr) {
        return store_audit_result(((DeleteOp *) userdata)->audit, result, reterr);
}

int backup_delete_record(
                DbSync *db, const BackupRecord *b, uint64_t job, const AuditEntry *entry, Error *reterr) {
        static const DbStep steps[] = {
                { sql_backup_delete_record, delete_bind, record_result },
                { sql_audit_append, record_bind_audit, record_result_audit, .refusal = STORE_AUDIT_REFUSAL },
        };
        static const DbTransaction transaction = {
                .what = "remove the record of the backup",
                .steps = steps,
                .n_steps = ELEMENTSOF(steps),
                .reset = delete_reset,
        };
        DeleteOp op = { .id = b->id, .job = job };
        _cleanup_error_ Error error = {};
        StoreAudit audit = {};
        int r;

        if (entry) {
                if (store_audit_init(&audit, entry) < 0)
                        return store_oom(&transaction, reterr);
                op.audit = &audit;
        }

        r = db_sync_run(db, &transaction, &op, &error);
        if (entry) {
                store_audit_end(&audit, r, &error);
                store_audit_done(&audit);
        }
        if (r < 0)
                error_move(reterr, &error);
        return r;
}

/* --- keys --- */

typedef struct KeyOp {
        const char *name;
        const BackupKeyRecord *new;
        BackupKeyRecord found;
} KeyOp;

static int key_put_bind(DbParams *params, void *userdata) {
        const KeyOp *op = userdata;

        if (!op->new)
                return DB_STEP_SKIP;
        db_params_add_string(params, op->name);
        db_params_add_string(params, op->new->id);
        db_params_add_string(params, op->new->key_id);
        db_params_add_bytesv(params, &(DbBytes) { op->new->sealed, op->new->size }, 1);
        return 0;
}

static int key_get_bind(DbParams *params, void *userdata) {
        const KeyOp *op = userdata;

        db_params_add_string(params, op->name);
        return 0;
}

static int key_get_result(const PGresult *result, void *userdata, Error *reterr) {
        KeyOp *op = userdata;
        DbRow row = DB_ROW(result, 0);
        int r;

        backup_key_record_done(&op->found);
        if (PQntuples(result) == 0)
                return 0;
        db_row_string(&row, &op->found.id);
        db_row_string(&row, &op->found.key_id);
        db_row_bytes(&row, &op->found.sealed, &op->found.size);
        r = db_row_end(&row);
        return r < 0 ? db_row_error(r, "a key of backups", reterr) : 0;
}

int backup_key_ensure(DbSync *db, const char *name, const BackupKeyRecord *new, BackupKeyRecord *ret,
                Error *reterr) {
        static const DbStep steps[] = {
                { sql_backup_key_put, key_put_bind },
                { sql_backup_key_get, key_get_bind, key_get_result },
        };
        static const DbTransaction transaction = {
                .what = "record the key of the backups",
                .steps = steps,
                .n_steps = ELEMENTSOF(steps),
        };
        KeyOp op = { .name = name, .new = new };
        int r;

        r = db_sync_run(db, &transaction, &op, reterr);
        if (r < 0) {
                backup_key_record_done(&op.found);
                return r;
        }

        *ret = op.found;
        return 0;
}

typedef struct RecoveryOp {
        uint8_t *keys;
        size_t n;
} RecoveryOp;

static int recovery_result(const PGresult *result, void *userdata, Error *reterr) {
        RecoveryOp *op = userdata;
        int n = PQntuples(result);

        free(op->keys);
        op->n = 0;
        op->keys = new0(uint8_t, (size_t) n *RECOVERY_KEY_SIZE);
        if (!op->keys)
                return db_row_error(-ENOMEM, "the recovery keys", reterr);

        for (int i = 0; i < n; i++) {
                _cleanup_free_ uint8_t *key = NULL;
                DbRow row = DB_ROW(result, i);
                size_t size = 0;
                int r;

                db_row_bytes(&row, &key, &size);
                r = db_row_end(&row);
                if (r < 0 || size != RECOVERY_KEY_SIZE)
                        return db_row_error(r < 0 ? r : -EBADMSG, "the recovery keys", reterr);
                memcpy(op->keys + op->n++ * RECOVERY_KEY_SIZE, key, size);
        }
        return 0;
}

int recovery_key_list(DbSync *db, uint8_t **ret, size_t *ret_n, Error *reterr) {
        static const DbStep step = { sql_recovery_key_list, NULL, recovery_result };
        static const DbTransaction transaction = {
                .what = "read the recovery keys",
                .steps = &step,
                .n_steps = 1,
                .read_only = true,
        };
        RecoveryOp op = {};
        int r;

        r = db_sync_run(db, &transaction, &op, reterr);
        if (r < 0) {
                free(op.keys);
                return r;
        }

        *ret = op.keys;
        *ret_n = op.n;
        return 0;
}
