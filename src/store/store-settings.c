/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "alloc-util.h"
#include "db-row.h"
#include "json-util.h"
#include "schedule.h"
#include "statements.h"
#include "store-internal.h"

static int read_setting(const PGresult *result, int number, Settings *settings, Error *reterr) {
        _cleanup_free_ char *key = NULL, *text = NULL;
        DbRow row = DB_ROW(result, number);
        _cleanup_json_ json_t *value = NULL;
        int r;

        db_row_string(&row, &key);
        db_row_string(&row, &text);
        r = db_row_end(&row);
        if (r < 0)
                return db_row_error(r, "the settings", reterr);

        if (!settings_is_known(key))
                return 0;

        r = json_parse(text, strlen(text), JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &value);
        if (r < 0)
                return db_row_error(r, "the settings", reterr);

        return settings_set(settings, key, value, reterr);
}

int store_read_settings(const PGresult *result, Settings **ret, Error *reterr) {
        _cleanup_(settings_freep) Settings *settings = NULL;
        int r;

        r = settings_new(&settings);
        if (r < 0)
                return db_row_error(r, "the settings", reterr);

        for (int i = 0; i < PQntuples(result); i++) {
                r = read_setting(result, i, settings, reterr);
                if (r < 0)
                        return r;
        }

        settings_free(*ret);
        *ret = TAKE_PTR(settings);
        return 0;
}

typedef struct SettingsOp {
        json_t *changes;
        Settings *settings;
        StoreAudit audit;
        StoreSettingsCallback callback;
        void *userdata;
} SettingsOp;

static void settings_reset(void *userdata) {
        SettingsOp *op = userdata;

        store_audit_reset(&op->audit);
}

static void settings_op_free(void *userdata) {
        SettingsOp *op = userdata;

        json_decref(op->changes);
        settings_free(op->settings);
        store_audit_done(&op->audit);
        free(op);
}

static int settings_bind(DbParams *params, void *userdata) {
        SettingsOp *op = userdata;

        db_params_add_json(params, op->changes);
        return 0;
}

static int settings_bind_schedule(_unused_ DbParams *params, void *userdata) {
        return json_object_get(((SettingsOp *) userdata)->changes, schedule_work_to_setting(SCHEDULE_BACKUP))
                        ? 0
                        : DB_STEP_SKIP;
}

static int settings_bind_drill_schedule(_unused_ DbParams *params, void *userdata) {
        return json_object_get(((SettingsOp *) userdata)->changes, schedule_work_to_setting(SCHEDULE_DRILL))
                        ? 0
                        : DB_STEP_SKIP;
}

static int settings_result(const PGresult *result, void *userdata, Error *reterr) {
        SettingsOp *op = userdata;

        return store_read_settings(result, &op->settings, reterr);
}

static int settings_bind_audit(DbParams *params, void *userdata) {
        SettingsOp *op = userdata;

        return json_object_size(op->changes) == 0 ? DB_STEP_SKIP : store_audit_bind(&op->audit, params);
}

static int settings_result_audit(const PGresult *result, void *userdata, Error *reterr) {
        SettingsOp *op = userdata;

        return store_audit_result(&op->audit, result, reterr);
}

static const DbStep settings_steps[] = {
        { sql_settings_reset, settings_bind },
        { sql_settings_put, settings_bind },
        { sql_instances_reschedule, settings_bind_schedule },
        { sql_instances_reschedule_drills, settings_bind_drill_schedule },
        { sql_settings_select, NULL, settings_result },
        { sql_audit_append, settings_bind_audit, settings_result_audit, .refusal = STORE_AUDIT_REFUSAL },
};
static const DbTransaction settings_transaction = {
        .what = "record the settings",
        .steps = settings_steps,
        .n_steps = ELEMENTSOF(settings_steps),
        .reset = settings_reset,
};

static void settings_done(int r, Error *error, void *userdata) {
        SettingsOp *op = userdata;

        store_audit_end(&op->audit, r, error);
        op->callback(r, r < 0 ? NULL : TAKE_PTR(op->settings), error, op->userdata);
}

int store_set_settings(Db *db, const json_t *changes, const AuditActor *actor,
                StoreSettingsCallback callback, void *userdata, DbSlot **ret_slot, Error *reterr) {
        _cleanup_json_ json_t *details = NULL;
        SettingsOp *op;
        const char *key;
        json_t *value;
        int r;

        json_object_foreach((json_t *) changes, key, value) {
                r = settings_validate(key, value, reterr);
                if (r < 0)
                        return r;
        }

        op = new0(SettingsOp, 1);
        if (!op)
                return store_oom(&settings_transaction, reterr);

        *op = (SettingsOp) {
                .changes = json_deep_copy(changes),
                .callback = callback,
                .userdata = userdata,
        };
        details = json_deep_copy(changes);
        if (!op->changes || !details || settings_redact(details) < 0 ||
                        store_audit_init(&op->audit,
                                        &(AuditEntry) {
                                                        .action = AUDIT_SETTINGS_UPDATE,
                                                        .outcome = AUDIT_SUCCEEDED,
                                                        .actor = actor,
                                                        .details = details,
                                        }) < 0) {
                settings_op_free(op);
                return store_oom(&settings_transaction, reterr);
        }

        return db_request(db, &settings_transaction, settings_done, op, settings_op_free, ret_slot, reterr);
}
