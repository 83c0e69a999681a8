/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "store-use.h"

#include <errno.h>

#include "alloc-util.h"
#include "db-row.h"
#include "statements.h"
#include "store-internal.h"

static const char *const disk_kind_table[_DISK_KIND_MAX] = {
        [DISK_FOLDER] = "folder",
        [DISK_VOLUME] = "volume",
        [DISK_CONTAINER] = "container",
};
DEFINE_STRING_TABLE(disk_kind, DiskKind);

DB_ENUM_READER(disk_kind);

void disk_records_done(DiskRecords *l) {
        FOREACH_ARRAY(d, l->items, l->n)
                free(d->name);
        free(l->items);
        *l = (DiskRecords) {};
}

int disk_records_add(DiskRecords *l, const char *instance, DiskKind kind, const char *name, uint64_t bytes,
                bool complete) {
        DiskRecord *d;

        if (!GREEDY_REALLOC(l->items, l->n_allocated, l->n + 1))
                return -ENOMEM;

        d = l->items + l->n;
        *d = (DiskRecord) { .kind = kind, .name = strdup(name), .bytes = bytes, .complete = complete };
        if (!d->name)
                return -ENOMEM;
        store_copy_id(d->instance, instance);
        l->n++;
        return 0;
}

/* --- reading --- */

typedef struct LoadOp {
        DiskRecords records;
        StoreDiskCallback callback;
        void *userdata;
} LoadOp;

static void load_op_free(void *userdata) {
        LoadOp *op = userdata;

        disk_records_done(&op->records);
        free(op);
}

static int disk_record_read(const PGresult *result, int number, DiskRecord *ret, Error *reterr) {
        _cleanup_free_ char *name = NULL;
        DbRow row = DB_ROW(result, number);
        int kind = _DISK_KIND_INVALID, r;
        DiskRecord d = {};

        db_row_text(&row, d.instance, sizeof(d.instance));
        db_row_enum(&row, read_disk_kind, &kind);
        db_row_string(&row, &name);
        db_row_uint(&row, INT64_MAX, &d.bytes);
        db_row_bool(&row, &d.complete);
        db_row_usec(&row, &d.measured_at);
        r = db_row_end(&row);
        if (r < 0)
                return db_row_error(r, "the use of the disk", reterr);

        d.kind = kind;
        d.name = TAKE_PTR(name);
        *ret = d;
        return 0;
}

static int load_result(const PGresult *result, void *userdata, Error *reterr) {
        DiskRecords *l = &((LoadOp *) userdata)->records;

        disk_records_done(l);
        l->items = new0(DiskRecord, (size_t) PQntuples(result));
        if (!l->items)
                return db_row_error(-ENOMEM, "the use of the disk", reterr);
        l->n_allocated = (size_t) PQntuples(result);

        for (; l->n < l->n_allocated; l->n++) {
                int r;

                r = disk_record_read(result, (int) l->n, l->items + l->n, reterr);
                if (r < 0)
                        return r;
        }
        return 0;
}

static const DbStep load_step = { sql_disk_select, NULL, load_result };
static const DbTransaction load_transaction = {
        .what = "read the use of the disk",
        .steps = &load_step,
        .n_steps = 1,
        .read_only = true,
};

static void load_done(int r, Error *error, void *userdata) {
        LoadOp *op = userdata;

        op->callback(r, r < 0 ? NULL : &op->records, error, op->userdata);
}

int store_load_disk(Db *db, StoreDiskCallback callback, void *userdata, DbSlot **ret_slot, Error *reterr) {
        LoadOp *op;

        op = new0(LoadOp, 1);
        if (!op)
                return store_oom(&load_transaction, reterr);

        *op = (LoadOp) { .callback = callback, .userdata = userdata };
        return db_request(db, &load_transaction, load_done, op, load_op_free, ret_slot, reterr);
}

/* --- writing --- */

static int list_result(const PGresult *result, void *userdata, Error *reterr) {
        char ***l = userdata;

        *l = strv_free(*l);
        for (int i = 0; i < PQntuples(result); i++)
                if (strv_extend(l, PQgetvalue(result, i, 0)) < 0 ||
                                strv_extend(l, PQgetvalue(result, i, 1)) < 0)
                        return db_row_error(-ENOMEM, "the instances", reterr);
        return 0;
}

static const DbStep list_step = { sql_disk_instances, NULL, list_result };
static const DbTransaction list_transaction = {
        .what = "read which instances there are",
        .steps = &list_step,
        .n_steps = 1,
        .read_only = true,
};

int disk_list_instances(DbSync *db, char ***ret, Error *reterr) {
        _cleanup_strv_free_ char **l = NULL;
        int r;

        r = db_sync_run(db, &list_transaction, &l, reterr);
        if (r < 0)
                return r;

        *ret = TAKE_PTR(l);
        return 0;
}

typedef struct ReplaceOp {
        const char *const *kinds;
        size_t n_kinds;
        DbParams params;
} ReplaceOp;

static int replace_bind_delete(DbParams *params, void *userdata) {
        const ReplaceOp *op = userdata;

        db_params_add_strv(params, op->kinds, op->n_kinds);
        return 0;
}

static int replace_bind_insert(DbParams *params, void *userdata) {
        const ReplaceOp *op = userdata;

        db_params_borrow(params, &op->params);
        return 0;
}

static const DbStep replace_steps[] = {
        { sql_disk_delete, replace_bind_delete },
        { sql_disk_insert, replace_bind_insert },
};
static const DbTransaction replace_transaction = {
        .what = "record the use of the disk",
        .steps = replace_steps,
        .n_steps = ELEMENTSOF(replace_steps),
};

static int bind_records(DbParams *params, const DiskRecords *l) {
        _cleanup_free_ const char **instances = NULL, **kinds = NULL, **names = NULL;
        _cleanup_free_ int64_t *bytes = NULL, *complete = NULL;

        instances = new0(const char *, l->n);
        kinds = new0(const char *, l->n);
        names = new0(const char *, l->n);
        bytes = new0(int64_t, l->n);
        complete = new0(int64_t, l->n);
        if (!instances || !kinds || !names || !bytes || !complete)
                return -ENOMEM;

        for (size_t i = 0; i < l->n; i++) {
                const DiskRecord *d = l->items + i;

                instances[i] = d->instance;
                kinds[i] = disk_kind_to_string(d->kind);
                names[i] = d->name;
                bytes[i] = (int64_t) MIN(d->bytes, (uint64_t) INT64_MAX);
                complete[i] = d->complete;
        }
        db_params_add_strv(params, instances, l->n);
        db_params_add_strv(params, kinds, l->n);
        db_params_add_strv(params, names, l->n);
        db_params_add_int64v(params, bytes, l->n);
        db_params_add_int64v(params, complete, l->n);
        return db_params_check(params);
}

int disk_replace(DbSync *db, const DiskRecords *records, const char *const *kinds, Error *reterr) {
        ReplaceOp op = { .kinds = kinds };
        int r;

        while (kinds[op.n_kinds])
                op.n_kinds++;

        r = bind_records(&op.params, records);
        r = r < 0 ? error_set_errnof(reterr, r, "Could not record the use of the disk: %m")
                  : db_sync_run(db, &replace_transaction, &op, reterr);
        db_params_done(&op.params);
        return r;
}
