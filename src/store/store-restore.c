/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "store-restore.h"

#include <errno.h>
#include <stdio.h>

#include "alloc-util.h"
#include "db-row.h"
#include "records-read.h"
#include "statements.h"
#include "store-internal.h"
#include "string-util.h"
#include "strv.h"

static const char *const restore_state_table[_RESTORE_STATE_MAX] = {
        [RESTORE_BUILDING] = "building",
        [RESTORE_KEPT] = "kept",
        [RESTORE_UNDONE] = "undone",
        [RESTORE_DISCARDED] = "discarded",
};
DEFINE_STRING_TABLE(restore_state, RestoreState);

DB_ENUM_READER(restore_state);

void restore_record_done(RestoreRecord *r) {
        json_decref(r->volumes_before);
        json_decref(r->volumes_after);
        *r = (RestoreRecord) {};
}

void restore_records_done(RestoreRecords *l) {
        FOREACH_ARRAY(r, l->items, l->n)
                restore_record_done(r);
        free(l->items);
        *l = (RestoreRecords) {};
}

static int restore_record_read(const PGresult *result, int number, RestoreRecord *ret, Error *reterr) {
        DbRow row = DB_ROW(result, number);
        int state = _RESTORE_STATE_INVALID, r;

        db_row_uint(&row, INT64_MAX, &ret->id);
        db_row_uint(&row, INT64_MAX, &ret->job);
        db_row_uint(&row, INT64_MAX, &ret->backup);
        db_row_uint(&row, INT64_MAX, &ret->undoes);
        db_row_text(&row, ret->instance, sizeof(ret->instance));
        db_row_enum(&row, read_restore_state, &state);
        db_row_uint32(&row, &ret->revision_before);
        db_row_uint32(&row, &ret->revision_after);
        db_row_json(&row, JSON_OBJECT, &ret->volumes_before);
        db_row_json(&row, JSON_OBJECT, &ret->volumes_after);
        db_row_usec(&row, &ret->switched_at);
        db_row_usec(&row, &ret->keep_until);
        r = db_row_end(&row);
        if (r < 0)
                return db_row_error(r, "a restore", reterr);

        ret->state = state;
        return 0;
}

/* One transaction: what goes in, and the rows that come. */
typedef struct RestoreOp {
        const RestoreRecord *new;
        const char *instance;
        uint64_t job, id, keep_hours;
        uint32_t revision;
        RestoreListFlags flags;
        RestoreRecords records;
} RestoreOp;

static void op_reset(void *userdata) {
        restore_records_done(&((RestoreOp *) userdata)->records);
}

static int take_records(const PGresult *result, void *userdata, Error *reterr) {
        RestoreRecords *l = &((RestoreOp *) userdata)->records;
        int n = PQntuples(result), r;

        restore_records_done(l);
        l->items = new0(RestoreRecord, (size_t) n);
        if (!l->items)
                return db_row_error(-ENOMEM, "the restores", reterr);
        for (int i = 0; i < n; i++) {
                l->n++;
                r = restore_record_read(result, i, l->items + i, reterr);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int expect_row(const PGresult *result, _unused_ void *userdata, Error *reterr) {
        return PQntuples(result) == 1
                        ? 0
                        : error_setf(reterr, CCP_ERROR_INTERNAL,
                                          "The record of the restore, or of the revision, is gone.");
}

static int bind_new(DbParams *params, void *userdata) {
        const RestoreRecord *new = ((RestoreOp *) userdata)->new;

        db_params_add_int64(params, (int64_t) new->job);
        db_params_add_int64(params, (int64_t) new->backup);
        db_params_add_int64(params, (int64_t) new->undoes);
        db_params_add_string(params, new->instance);
        db_params_add_json(params, new->volumes_before);
        db_params_add_json(params, new->volumes_after);
        return 0;
}

static int bind_job(DbParams *params, void *userdata) {
        db_params_add_int64(params, (int64_t) ((RestoreOp *) userdata)->job);
        return 0;
}

static int bind_list(DbParams *params, void *userdata) {
        const RestoreOp *op = userdata;

        db_params_add_string(params, op->instance);
        db_params_add_bool(params, op->flags & RESTORE_LIST_KEPT);
        db_params_add_bool(params, op->flags & RESTORE_LIST_DUE);
        return 0;
}

static int bind_revision(DbParams *params, void *userdata) {
        const RestoreOp *op = userdata;

        db_params_add_string(params, op->instance);
        db_params_add_int64(params, op->revision);
        return 0;
}

static int bind_switched(DbParams *params, void *userdata) {
        const RestoreOp *op = userdata;

        db_params_add_int64(params, (int64_t) op->job);
        db_params_add_int64(params, (int64_t) op->keep_hours);
        return 0;
}

static int bind_id(DbParams *params, void *userdata) {
        db_params_add_int64(params, (int64_t) ((RestoreOp *) userdata)->id);
        return 0;
}

/* The one record that a statement gave. */
static int take_one(RestoreOp *op, RestoreRecord *ret) {
        *ret = TAKE_GENERIC(op->records.items[0], (RestoreRecord) {});
        restore_records_done(&op->records);
        return 0;
}

int restore_begin(DbSync *db, const RestoreRecord *new, RestoreRecord *ret, Error *reterr) {
        static const DbStep step = { sql_restore_begin, bind_new, take_records };
        static const DbTransaction transaction = {
                .what = "record the restore",
                .steps = &step,
                .n_steps = 1,
                .reset = op_reset,
        };
        RestoreOp op = { .new = new };
        int r;

        r = db_sync_run(db, &transaction, &op, reterr);
        if (r >= 0 && op.records.n == 1)
                return take_one(&op, ret);
        restore_records_done(&op.records);
        return r < 0 ? r : error_setf(reterr, CCP_ERROR_INTERNAL, "The restore could not be recorded.");
}

int restore_get_of_job(DbSync *db, uint64_t job, RestoreRecord *ret, Error *reterr) {
        static const DbStep step = { sql_restore_of_job, bind_job, take_records };
        static const DbTransaction transaction = {
                .what = "read the record of the restore",
                .steps = &step,
                .n_steps = 1,
                .read_only = true,
                .reset = op_reset,
        };
        RestoreOp op = { .job = job };
        int r;

        r = db_sync_run(db, &transaction, &op, reterr);
        if (r >= 0 && op.records.n == 1)
                return take_one(&op, ret);
        restore_records_done(&op.records);
        return r < 0 ? r : -ENOENT;
}

int restore_list(DbSync *db, const char *instance, RestoreListFlags flags, RestoreRecords *ret,
                Error *reterr) {
        static const DbStep step = { sql_restore_select, bind_list, take_records };
        static const DbTransaction transaction = {
                .what = "read the restores",
                .steps = &step,
                .n_steps = 1,
                .read_only = true,
                .reset = op_reset,
        };
        RestoreOp op = { .instance = instance, .flags = flags };
        int r;

        r = db_sync_run(db, &transaction, &op, reterr);
        if (r < 0) {
                restore_records_done(&op.records);
                return r;
        }

        *ret = op.records;
        return 0;
}

int restore_switch(DbSync *db, const RestoreRecord *restore, uint64_t keep_hours, Error *reterr) {
        static const DbStep steps[] = {
                { sql_revision_supersede_others, bind_revision },
                { sql_revision_activate, bind_revision, expect_row },
                { sql_instance_set_revision, bind_revision },
                { sql_restore_switched, bind_switched, expect_row },
                { sql_restore_set_undone, bind_job },
        };
        static const DbTransaction transaction = {
                .what = "record that the instance has other volumes",
                .steps = steps,
                .n_steps = ELEMENTSOF(steps),
        };
        RestoreOp op = {
                .instance = restore->instance,
                .job = restore->job,
                .revision = restore->revision_after,
                .keep_hours = keep_hours,
        };

        return db_sync_run(db, &transaction, &op, reterr);
}

int restore_switch_back(DbSync *db, const RestoreRecord *restore, Error *reterr) {
        static const DbStep steps[] = {
                { sql_revision_supersede_others, bind_revision },
                { sql_revision_activate, bind_revision, expect_row },
                { sql_instance_set_revision, bind_revision },
                { sql_restore_switched_back, bind_job, expect_row },
                { sql_restore_set_kept, bind_job },
        };
        static const DbTransaction transaction = {
                .what = "record that the instance has its former volumes",
                .steps = steps,
                .n_steps = ELEMENTSOF(steps),
        };
        RestoreOp op = {
                .instance = restore->instance,
                .job = restore->job,
                .revision = restore->revision_before,
        };

        return db_sync_run(db, &transaction, &op, reterr);
}

int restore_set_discarded(DbSync *db, uint64_t id, Error *reterr) {
        static const DbStep step = { sql_restore_set_discarded, bind_id };
        static const DbTransaction transaction = {
                .what = "record that the former volumes are gone",
                .steps = &step,
                .n_steps = 1,
        };
        RestoreOp op = { .id = id };

        return db_sync_run(db, &transaction, &op, reterr);
}

int restore_forget(DbSync *db, uint64_t job, Error *reterr) {
        static const DbStep step = { sql_restore_forget, bind_job };
        static const DbTransaction transaction = {
                .what = "forget the restore",
                .steps = &step,
                .n_steps = 1,
        };
        RestoreOp op = { .job = job };

        return db_sync_run(db, &transaction, &op, reterr);
}

/* --- what is due, for the daemon --- */

typedef struct DueOp {
        char boot[STORE_ID_MAX];
        usec_t up;
        char **instances;
        StoreDueCallback callback;
        void *userdata;
} DueOp;

static void due_op_free(void *userdata) {
        DueOp *op = userdata;

        strv_free(op->instances);
        free(op);
}

static int due_result(const PGresult *result, void *userdata, Error *reterr) {
        DueOp *op = userdata;

        op->instances = strv_free(op->instances);
        for (int i = 0; i < PQntuples(result); i++)
                if (strv_extend(&op->instances, PQgetvalue(result, i, 0)) < 0)
                        return db_row_error(-ENOMEM, "the restores", reterr);
        return 0;
}

static int count_bind(DbParams *params, void *userdata) {
        const DueOp *op = userdata;

        db_params_add_string(params, op->boot);
        db_params_add_int64(params, (int64_t) (op->up / USEC_PER_SEC));
        return 0;
}

static const DbStep due_steps[] = {
        { sql_restore_count, count_bind },
        { sql_restore_due, NULL, due_result },
};
static const DbTransaction due_transaction = {
        .what = "count how long restores are kept",
        .steps = due_steps,
        .n_steps = ELEMENTSOF(due_steps),
};

static void due_done(int r, Error *error, void *userdata) {
        DueOp *op = userdata;

        op->callback(r, op->instances, error, op->userdata);
}

int store_list_due_restores(Db *db, const char *boot, usec_t up, StoreDueCallback callback, void *userdata,
                DbSlot **ret_slot, Error *reterr) {
        DueOp *op = new0(DueOp, 1);

        if (!op)
                return store_oom(&due_transaction, reterr);
        *op = (DueOp) { .up = up, .callback = callback, .userdata = userdata };
        (void) snprintf(op->boot, sizeof(op->boot), "%s", boot);
        return db_request(db, &due_transaction, due_done, op, due_op_free, ret_slot, reterr);
}

/* --- secrets --- */

typedef struct AdoptOp {
        const char *instance;
        const char **names, **key_ids;
        DbBytes *sealed;
        size_t n;
        SecretRecords secrets;
} AdoptOp;

static int adopt_bind(DbParams *params, void *userdata) {
        const AdoptOp *op = userdata;

        db_params_add_string(params, op->instance);
        db_params_add_strv(params, op->names, op->n);
        db_params_add_strv(params, op->key_ids, op->n);
        db_params_add_bytesv(params, op->sealed, op->n);
        return 0;
}

static int adopt_bind_read(DbParams *params, void *userdata) {
        db_params_add_string(params, ((AdoptOp *) userdata)->instance);
        db_params_add_string(params, NULL);
        return 0;
}

static int adopt_read(const PGresult *result, void *userdata, Error *reterr) {
        return secret_records_read(result, &((AdoptOp *) userdata)->secrets, reterr);
}

static void adopt_reset(void *userdata) {
        secret_records_done(&((AdoptOp *) userdata)->secrets);
}

static const DbStep adopt_steps[] = {
        { sql_secrets_adopt, adopt_bind },
        { sql_secrets_newest, adopt_bind_read, adopt_read },
};
static const DbTransaction adopt_transaction = {
        .what = "record the secrets of the backup",
        .steps = adopt_steps,
        .n_steps = ELEMENTSOF(adopt_steps),
        .reset = adopt_reset,
};

int secrets_adopt(DbSync *db, const char *instance, const StoreSecret *secrets, size_t n, SecretRecords *ret,
                Error *reterr) {
        _cleanup_free_ const char **names = new0(const char *, n), **key_ids = new0(const char *, n);
        _cleanup_free_ DbBytes *sealed = new0(DbBytes, n);
        AdoptOp op = { .instance = instance, .names = names, .key_ids = key_ids, .sealed = sealed, .n = n };
        int r;

        if (!names || !key_ids || !sealed)
                return error_set_errnof(reterr, ENOMEM, "%m");
        for (size_t i = 0; i < n; i++) {
                names[i] = secrets[i].name;
                key_ids[i] = secrets[i].key_id;
                sealed[i] = (DbBytes) { secrets[i].sealed, secrets[i].size };
        }
        r = db_sync_run(db, &adopt_transaction, &op, reterr);
        if (r < 0) {
                secret_records_done(&op.secrets);
                return r;
        }

        *ret = op.secrets;
        return 0;
}
