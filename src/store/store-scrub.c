/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "store-scrub.h"

#include <errno.h>

#include "alloc-util.h"
#include "db-row.h"
#include "statements.h"
#include "store-internal.h"

/* --- what is due --- */

typedef struct DueOp {
        Settings *settings;
        ScrubDue due;
} DueOp;

void scrub_due_done(ScrubDue *d) {
        free(d->ids);
        *d = (ScrubDue) {};
}

static void due_reset(void *userdata) {
        DueOp *op = userdata;

        op->settings = settings_free(op->settings);
        scrub_due_done(&op->due);
}

static int due_result_settings(const PGresult *result, void *userdata, Error *reterr) {
        return store_read_settings(result, &((DueOp *) userdata)->settings, reterr);
}

static int due_bind(DbParams *params, void *userdata) {
        DueOp *op = userdata;

        op->due.days = op->settings->scrub_days;
        db_params_add_int64(params, (int64_t) op->due.days);
        return 0;
}

static int due_result(const PGresult *result, void *userdata, Error *reterr) {
        ScrubDue *d = &((DueOp *) userdata)->due;
        int n = PQntuples(result), r;

        d->ids = new0(uint64_t, (size_t) n);
        if (!d->ids)
                return db_row_error(-ENOMEM, "the backups", reterr);

        for (int i = 0; i < n; i++) {
                DbRow row = DB_ROW(result, i);

                db_row_uint(&row, INT64_MAX, d->ids + d->n++);
                r = db_row_end(&row);
                if (r < 0)
                        return db_row_error(r, "a backup", reterr);
        }
        return 0;
}

int scrub_list_due(DbSync *db, ScrubDue *ret, Error *reterr) {
        static const DbStep steps[] = {
                { sql_settings_select, NULL, due_result_settings },
                { sql_scrub_due, due_bind, due_result },
        };
        static const DbTransaction transaction = {
                .what = "read which backups are to be read again",
                .steps = steps,
                .n_steps = ELEMENTSOF(steps),
                .read_only = true,
                .reset = due_reset,
        };
        DueOp op = {};
        int r;

        r = db_sync_run(db, &transaction, &op, reterr);
        if (r >= 0)
                *ret = op.due;
        else
                scrub_due_done(&op.due);
        settings_free(op.settings);
        return r;
}

/* --- what came of it --- */

typedef struct SetOp {
        const BackupRecord *backup;
        const char *why; /* NULL: it was whole */
        int found;
} SetOp;

static int set_bind(DbParams *params, void *userdata) {
        const SetOp *op = userdata;

        db_params_add_int64(params, (int64_t) op->backup->id);
        db_params_add_int64(params, (int64_t) op->backup->verified_at);
        if (op->why)
                db_params_add_string(params, op->why);
        return 0;
}

static int set_result(const PGresult *result, void *userdata, _unused_ Error *reterr) {
        ((SetOp *) userdata)->found = PQntuples(result) > 0;
        return 0;
}

static int set(DbSync *db, const DbTransaction *transaction, const BackupRecord *b, const char *why,
                Error *reterr) {
        SetOp op = { .backup = b, .why = why };
        int r;

        r = db_sync_run(db, transaction, &op, reterr);
        return r < 0 ? r : op.found;
}

int scrub_set_read(DbSync *db, const BackupRecord *b, Error *reterr) {
        static const DbStep step = { sql_scrub_read, set_bind, set_result };
        static const DbTransaction transaction = {
                .what = "record that the backup was read",
                .steps = &step,
                .n_steps = 1,
        };

        return set(db, &transaction, b, NULL, reterr);
}

int scrub_set_damaged(DbSync *db, const BackupRecord *b, const char *why, Error *reterr) {
        static const DbStep step = { sql_scrub_damaged, set_bind, set_result };
        static const DbTransaction transaction = {
                .what = "record that the backup is damaged",
                .steps = &step,
                .n_steps = 1,
        };

        return set(db, &transaction, b, why, reterr);
}

/* --- of instances that are gone --- */

typedef struct GoneOp {
        GoneBackups gone;
        StoreGoneBackupsCallback callback;
        void *userdata;
} GoneOp;

int gone_backups_read(const PGresult *result, GoneBackups *ret, Error *reterr) {
        DbRow row = DB_ROW(result, 0);
        GoneBackups gone = {};
        int r;

        db_row_uint(&row, INT64_MAX, &gone.n);
        db_row_uint(&row, INT64_MAX, &gone.n_damaged);
        db_row_uint(&row, INT64_MAX, &gone.first_damaged);
        db_row_usec(&row, &gone.unread_since);
        r = db_row_end(&row);
        if (r < 0)
                return db_row_error(r, "the backups of instances that are gone", reterr);

        *ret = gone;
        return 0;
}

static int gone_result(const PGresult *result, void *userdata, Error *reterr) {
        return gone_backups_read(result, &((GoneOp *) userdata)->gone, reterr);
}

static void gone_done(int r, Error *error, void *userdata) {
        GoneOp *op = userdata;

        op->callback(r, r < 0 ? NULL : &op->gone, error, op->userdata);
}

int store_load_gone_backups(Db *db, StoreGoneBackupsCallback callback, void *userdata, DbSlot **ret_slot,
                Error *reterr) {
        static const DbStep step = { sql_scrub_gone, NULL, gone_result };
        static const DbTransaction transaction = {
                .what = "read the backups of instances that are gone",
                .steps = &step,
                .n_steps = 1,
                .read_only = true,
        };
        GoneOp *op = new0(GoneOp, 1);

        if (!op)
                return store_oom(&transaction, reterr);
        *op = (GoneOp) { .callback = callback, .userdata = userdata };
        return db_request(db, &transaction, gone_done, op, free, ret_slot, reterr);
}
