/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "store-schedule.h"

#include <errno.h>

#include "alloc-util.h"
#include "db-row.h"
#include "log.h"
#include "statements.h"
#include "store-internal.h"

void schedule_records_done(ScheduleRecords *l) {
        FOREACH_ARRAY(s, l->items, l->n)
                free(s->expression);
        free(l->items);
        *l = (ScheduleRecords) {};
}

/* --- reading --- */

typedef struct LoadOp {
        ScheduleRecords schedules;
        StoreSchedulesCallback callback;
        void *userdata;
} LoadOp;

static void load_op_free(void *userdata) {
        LoadOp *op = userdata;

        schedule_records_done(&op->schedules);
        free(op);
}

static int load_result(const PGresult *result, void *userdata, Error *reterr) {
        ScheduleRecords *l = &((LoadOp *) userdata)->schedules;
        int n = PQntuples(result);

        schedule_records_done(l);
        l->items = new0(ScheduleRecord, (size_t) n);
        if (!l->items)
                return db_row_error(-ENOMEM, "the schedules", reterr);

        for (int i = 0; i < n; i++) {
                ScheduleRecord *s = l->items + l->n++;
                DbRow row = DB_ROW(result, i);
                int r;

                db_row_string(&row, &s->expression);
                db_row_uint(&row, INT64_MAX, &s->knock);
                db_row_usec(&row, &s->times.before);
                db_row_usec(&row, &s->times.knocked);
                db_row_usec(&row, &s->times.next);
                r = db_row_end(&row);
                if (r < 0)
                        return db_row_error(r, "the schedules", reterr);
        }
        return 0;
}

static void load_done(int r, Error *error, void *userdata) {
        LoadOp *op = userdata;

        op->callback(r, r < 0 ? NULL : &op->schedules, error, op->userdata);
}

int store_load_schedules(
                Db *db, StoreSchedulesCallback callback, void *userdata, DbSlot **ret_slot, Error *reterr) {
        static const DbStep step = { sql_schedules_select, NULL, load_result };
        static const DbTransaction transaction = {
                .what = "read the schedules",
                .steps = &step,
                .n_steps = 1,
                .read_only = true,
        };
        LoadOp *op = new0(LoadOp, 1);

        if (!op)
                return store_oom(&transaction, reterr);
        *op = (LoadOp) { .callback = callback, .userdata = userdata };
        return db_request(db, &transaction, load_done, op, load_op_free, ret_slot, reterr);
}

/* --- writing --- */

typedef struct KeepOp {
        DbParams keep, next;
        bool has_next;
} KeepOp;

static void keep_op_free(void *userdata) {
        KeepOp *op = userdata;

        db_params_done(&op->keep);
        db_params_done(&op->next);
        free(op);
}

static int keep_bind(DbParams *params, void *userdata) {
        db_params_borrow(params, &((KeepOp *) userdata)->keep);
        return 0;
}

static int next_bind(DbParams *params, void *userdata) {
        KeepOp *op = userdata;

        if (!op->has_next)
                return DB_STEP_SKIP;
        db_params_borrow(params, &op->next);
        return 0;
}

static void keep_done(int r, Error *error, _unused_ void *userdata) {
        if (r < 0)
                log_debug("Failed to record the schedules, it is done again: %s", error->message);
}

int store_keep_schedules(Db *db, char *const *expressions, const ScheduleRecord *next, Error *reterr) {
        static const DbStep steps[] = {
                { sql_schedules_keep, keep_bind },
                { sql_schedule_set_next, next_bind },
        };
        static const DbTransaction transaction = {
                .what = "record the schedules",
                .steps = steps,
                .n_steps = ELEMENTSOF(steps),
        };
        KeepOp *op = new0(KeepOp, 1);

        if (!op)
                return store_oom(&transaction, reterr);
        op->has_next = next != NULL;
        db_params_add_strv(&op->keep, (const char *const *) expressions, strv_length(expressions));
        if (next) {
                db_params_add_copy(&op->next, next->expression);
                db_params_add_int64(&op->next, (int64_t) next->times.next);
        }
        if (db_params_check(&op->keep) < 0 || db_params_check(&op->next) < 0) {
                keep_op_free(op);
                return store_oom(&transaction, reterr);
        }
        return db_request(db, &transaction, keep_done, op, keep_op_free, NULL, reterr);
}

typedef struct SkipOp {
        char instance[STORE_ID_MAX];
        uint64_t knock;
        StoreSkippedCallback callback;
        void *userdata;
} SkipOp;

static int skip_bind(DbParams *params, void *userdata) {
        const SkipOp *op = userdata;

        db_params_add_string(params, op->instance);
        db_params_add_int64(params, (int64_t) op->knock);
        return 0;
}

static void skip_done(int r, Error *error, void *userdata) {
        SkipOp *op = userdata;

        op->callback(r, error, op->userdata);
}

int store_skip_drill(Db *db, const char *instance, uint64_t knock, StoreSkippedCallback callback,
                void *userdata, Error *reterr) {
        static const DbStep step = { sql_instance_skip_drill, skip_bind };
        static const DbTransaction transaction = {
                .what = "record that an instance is left out",
                .steps = &step,
                .n_steps = 1,
        };
        SkipOp *op = new0(SkipOp, 1);

        if (!op)
                return store_oom(&transaction, reterr);
        *op = (SkipOp) { .knock = knock, .callback = callback, .userdata = userdata };
        store_copy_id(op->instance, instance);
        return db_request(db, &transaction, skip_done, op, free, NULL, reterr);
}

static int knock_bind(DbParams *params, void *userdata) {
        db_params_add_string(params, userdata);
        return 0;
}

int schedule_knock(DbSync *db, const char *expression, Error *reterr) {
        static const DbStep step = { sql_schedule_knock, knock_bind };
        static const DbTransaction transaction = {
                .what = "record that it is time",
                .steps = &step,
                .n_steps = 1,
        };

        return db_sync_run(db, &transaction, (void *) expression, reterr);
}
