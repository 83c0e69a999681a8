/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Silences, and the secret that messages to the webhook are signed with: what people change about alerts, on record. */

#include <inttypes.h>

#include "alloc-util.h"
#include "db-row.h"
#include "json-util.h"
#include "records-read.h"
#include "statements.h"
#include "store-alert-internal.h"
#include "store-internal.h"

/* --- silences --- */

typedef struct SilenceOp {
        uint64_t id; /* of the one that is removed, or that was made */
        char *rule, *reason, *slug;
        bool scoped;
        char instance[STORE_ID_MAX];
        usec_t until;
        SilenceRecords *silences;
        StoreAudit audit;
        StoreSilencesCallback callback;
        void *userdata;
} SilenceOp;

static void silence_reset(void *userdata) {
        SilenceOp *op = userdata;

        op->silences = silence_records_free(op->silences);
        store_audit_reset(&op->audit);
}

static void silence_op_free(void *userdata) {
        SilenceOp *op = userdata;

        silence_reset(op);
        store_audit_done(&op->audit);
        free(op->rule);
        free(op->reason);
        free(op->slug);
        free(op);
}

static int silence_bind_instance(DbParams *params, void *userdata) {
        SilenceOp *op = userdata;

        db_params_add_string(params, op->instance);
        return op->scoped ? 0 : DB_STEP_SKIP;
}

static int silence_result_instance(const PGresult *result, void *userdata _unused_, Error *reterr) {
        if (PQntuples(result) > 0)
                return 0;

        return error_setf(reterr, CCP_ERROR_NO_SUCH_INSTANCE,
                        "There is no such instance (any more). 'ccpctl list' shows those that there are.");
}

static int silence_bind_count(DbParams *params, void *userdata) {
        SilenceOp *op = userdata;

        db_params_add_string(params, op->scoped ? op->instance : NULL);
        return 0;
}

static int silence_result_count(const PGresult *result, void *userdata, Error *reterr) {
        SilenceOp *op = userdata;
        DbRow row = DB_ROW(result, 0);
        uint64_t n = 0, n_alike = 0;
        int r;

        db_row_uint(&row, INT64_MAX, &n);
        db_row_uint(&row, INT64_MAX, &n_alike);
        r = db_row_end(&row);
        if (r < 0)
                return db_row_error(r, "the silences", reterr);

        /* Who may silence one instance must not use up those of the others. */
        if (op->scoped && n_alike >= STORE_SILENCES_OF_ONE_MAX)
                return error_setf(reterr, CCP_ERROR_LIMIT_EXCEEDED,
                                "There are %u silences of this instance already, which is all there can be. "
                                "End "
                                "some: ccpctl alert silences",
                                STORE_SILENCES_OF_ONE_MAX);

        return n < STORE_SILENCES_MAX
                        ? 0
                        : error_setf(reterr, CCP_ERROR_LIMIT_EXCEEDED,
                                          "There are %u silences already, which is all there can "
                                          "be. End some: ccpctl alert silences",
                                          STORE_SILENCES_MAX);
}

static int silence_bind_put(DbParams *params, void *userdata) {
        SilenceOp *op = userdata;

        db_params_add_string(params, op->rule);
        db_params_add_string(params, op->scoped ? op->instance : NULL);
        db_params_add_int64(params, (int64_t) op->until);
        db_params_add_string(params, op->reason);
        db_params_add_string(params, op->audit.actor.user);
        return 0;
}

static int silence_result_put(const PGresult *result, void *userdata, Error *reterr) {
        SilenceOp *op = userdata;
        DbRow row = DB_ROW(result, 0);
        int r;

        db_row_uint(&row, INT64_MAX, &op->id);
        r = db_row_end(&row);
        return r < 0 ? db_row_error(r, "a silence", reterr) : 0;
}

static int silence_result_select(const PGresult *result, void *userdata, Error *reterr) {
        SilenceOp *op = userdata;

        return silence_records_read(result, &op->silences, reterr);
}

/* By the clock that says when alerts were told. */
static int silence_bind_end(DbParams *params, void *userdata) {
        SilenceOp *op = userdata;

        db_params_add_int64(params, (int64_t) MIN(op->id, (uint64_t) INT64_MAX));
        db_params_add_int64(params, (int64_t) now(CLOCK_REALTIME));
        return 0;
}

static int silence_result_ended(const PGresult *result, void *userdata, Error *reterr) {
        SilenceOp *op = userdata;
        DbRow row = DB_ROW(result, 0);
        _cleanup_free_ char *instance = NULL;
        int r;

        if (PQntuples(result) == 0)
                return error_setf(reterr, CCP_ERROR_NO_SUCH_ALERT,
                                "There is no silence %" PRIu64 " (any more). See: ccpctl alert silences",
                                op->id);

        op->rule = mfree(op->rule);
        op->slug = mfree(op->slug);
        db_row_string_or_null(&row, &op->rule);
        db_row_string_or_null(&row, &instance);
        db_row_string_or_null(&row, &op->slug);
        r = db_row_end(&row);
        if (r < 0)
                return db_row_error(r, "a silence", reterr);

        op->scoped = instance;
        if (instance)
                store_copy_id(op->instance, instance);
        return 0;
}

static int silence_bind_audit(DbParams *params, void *userdata) {
        SilenceOp *op = userdata;
        json_t *details;
        int r;

        details = json_pack("{s:I, s:s}", "silence", (json_int_t) op->id, "rule", strempty(op->rule));
        if (details && op->until > 0 &&
                        (json_object_set_new(details, "until", json_integer((json_int_t) op->until)) < 0 ||
                                        json_object_set_new(details, "reason", json_string(op->reason)) <
                                                        0)) {
                json_decref(details);
                details = NULL;
        }
        if (!details)
                return -ENOMEM;
        json_decref((json_t *) op->audit.entry.details);
        op->audit.entry.details = details;

        r = store_audit_set_instance(&op->audit, op->slug, op->scoped ? op->instance : NULL);
        return r < 0 ? r : store_audit_bind(&op->audit, params);
}

static int silence_result_audit(const PGresult *result, void *userdata, Error *reterr) {
        SilenceOp *op = userdata;

        return store_audit_result(&op->audit, result, reterr);
}

static const DbStep silence_steps[] = {
        { sql_role_instance, silence_bind_instance, silence_result_instance },
        { sql_alert_silences_lock },
        { sql_alert_silences_count, silence_bind_count, silence_result_count },
        { sql_alert_silence_put, silence_bind_put, silence_result_put },
        { sql_alert_silences_select, NULL, silence_result_select },
        { sql_audit_append, silence_bind_audit, silence_result_audit, .refusal = STORE_AUDIT_REFUSAL },
};
static const DbTransaction silence_transaction = {
        .what = "record the silence",
        .steps = silence_steps,
        .n_steps = ELEMENTSOF(silence_steps),
        .reset = silence_reset,
};

static const DbStep unsilence_steps[] = {
        { sql_alert_silence_end, silence_bind_end, silence_result_ended },
        { sql_alert_silences_select, NULL, silence_result_select },
        { sql_audit_append, silence_bind_audit, silence_result_audit, .refusal = STORE_AUDIT_REFUSAL },
};
static const DbTransaction unsilence_transaction = {
        .what = "end the silence",
        .steps = unsilence_steps,
        .n_steps = ELEMENTSOF(unsilence_steps),
        .reset = silence_reset,
};

static void silence_done(int r, Error *error, void *userdata) {
        SilenceOp *op = userdata;

        store_audit_end(&op->audit, r, error);
        op->callback(r, op->id, r < 0 ? NULL : TAKE_PTR(op->silences), error, op->userdata);
}

static SilenceOp *silence_op_new(AuditAction action, const AuditActor *actor, StoreSilencesCallback callback,
                void *userdata) {
        const AuditEntry entry = { .action = action, .outcome = AUDIT_SUCCEEDED, .actor = actor };
        SilenceOp *op;

        op = new0(SilenceOp, 1);
        if (!op)
                return NULL;

        *op = (SilenceOp) { .callback = callback, .userdata = userdata };
        if (store_audit_init(&op->audit, &entry) >= 0)
                return op;

        silence_op_free(op);
        return NULL;
}

int store_silence_alerts(Db *db, const StoreSilence *silence, const AuditActor *actor,
                StoreSilencesCallback callback, void *userdata, DbSlot **ret_slot, Error *reterr) {
        SilenceOp *op;

        op = silence_op_new(AUDIT_ALERT_SILENCE, actor, callback, userdata);
        if (!op)
                return store_oom(&silence_transaction, reterr);

        op->until = silence->until;
        op->scoped = silence->instance;
        if (silence->instance)
                store_copy_id(op->instance, silence->instance);
        if (free_and_strdup(&op->rule, silence->rule) < 0 || free_and_strdup(&op->slug, silence->slug) < 0 ||
                        free_and_strdup(&op->reason, strempty(silence->reason)) < 0) {
                silence_op_free(op);
                return store_oom(&silence_transaction, reterr);
        }

        return db_request(db, &silence_transaction, silence_done, op, silence_op_free, ret_slot, reterr);
}

int store_unsilence_alerts(Db *db, uint64_t id, const AuditActor *actor, StoreSilencesCallback callback,
                void *userdata, DbSlot **ret_slot, Error *reterr) {
        SilenceOp *op;

        op = silence_op_new(AUDIT_ALERT_UNSILENCE, actor, callback, userdata);
        if (!op)
                return store_oom(&unsilence_transaction, reterr);

        op->id = id;
        return db_request(db, &unsilence_transaction, silence_done, op, silence_op_free, ret_slot, reterr);
}

/* --- the secret of the webhook --- */

typedef struct SecretOp {
        bool puts, audits;
        DbParams params; /* of alert-secret-put */
        unsigned version;
        SecretRecords secrets;
        StoreAudit audit;
        StoreAlertSecretsCallback callback;
        void *userdata;
} SecretOp;

static void secret_reset(void *userdata) {
        SecretOp *op = userdata;

        store_audit_reset(&op->audit);
}

static void secret_op_free(void *userdata) {
        SecretOp *op = userdata;

        secret_records_done(&op->secrets);
        db_params_done(&op->params);
        store_audit_done(&op->audit);
        free(op);
}

static int secret_bind_lock(DbParams *params _unused_, void *userdata) {
        SecretOp *op = userdata;

        return op->puts ? 0 : DB_STEP_SKIP;
}

static int secret_bind_put(DbParams *params, void *userdata) {
        SecretOp *op = userdata;

        db_params_borrow(params, &op->params);
        return op->puts ? 0 : DB_STEP_SKIP;
}

static int secret_result(const PGresult *result, void *userdata, Error *reterr) {
        SecretOp *op = userdata;

        return secret_records_read(result, &op->secrets, reterr);
}

/* Whoever lost the race has changed nothing. */
static int secret_bind_audit(DbParams *params, void *userdata) {
        SecretOp *op = userdata;

        if (!op->audits || op->secrets.n == 0 || op->secrets.items[0].version != op->version)
                return DB_STEP_SKIP;
        return store_audit_bind(&op->audit, params);
}

static int secret_result_audit(const PGresult *result, void *userdata, Error *reterr) {
        SecretOp *op = userdata;

        return store_audit_result(&op->audit, result, reterr);
}

static const DbStep secret_steps[] = {
        { sql_alert_secrets_lock, secret_bind_lock },
        { sql_alert_secret_put, secret_bind_put },
        { sql_alert_secrets_select, NULL, secret_result },
        { sql_audit_append, secret_bind_audit, secret_result_audit, .refusal = STORE_AUDIT_REFUSAL },
};
static const DbTransaction secret_transaction = {
        .what = "read or record the secret of the webhook",
        .steps = secret_steps,
        .n_steps = ELEMENTSOF(secret_steps),
        .reset = secret_reset,
};

static void secret_done(int r, Error *error, void *userdata) {
        SecretOp *op = userdata;

        if (op->audits)
                store_audit_end(&op->audit, r, error);
        op->callback(r, r < 0 ? NULL : &op->secrets, error, op->userdata);
}

static int secret_op_fill(SecretOp *op, const StoreAlertSecret *put, const AuditActor *actor) {
        _cleanup_json_ json_t *details = NULL;

        op->puts = true;
        op->version = put->version;
        db_params_add_int64(&op->params, put->version);
        db_params_add_copy(&op->params, put->key_id);
        db_params_add_bytesv(&op->params, &(DbBytes) { put->sealed, put->size }, 1);
        if (!actor)
                return db_params_check(&op->params);

        op->audits = true;
        details = json_pack("{s:s, s:i}", "secret", STORE_ALERT_SECRET_NAME, "version", (int) put->version);
        if (!details || db_params_check(&op->params) < 0)
                return -ENOMEM;
        return store_audit_init(&op->audit,
                        &(AuditEntry) {
                                        .action = AUDIT_SECRET_ROTATE,
                                        .outcome = AUDIT_SUCCEEDED,
                                        .actor = actor,
                                        .details = details,
                        });
}

int store_alert_secrets(Db *db, const StoreAlertSecret *put, const AuditActor *actor,
                StoreAlertSecretsCallback callback, void *userdata, DbSlot **ret_slot, Error *reterr) {
        SecretOp *op;

        op = new0(SecretOp, 1);
        if (!op)
                return store_oom(&secret_transaction, reterr);

        *op = (SecretOp) { .callback = callback, .userdata = userdata };
        if (put && secret_op_fill(op, put, actor) < 0) {
                secret_op_free(op);
                return store_oom(&secret_transaction, reterr);
        }
        return db_request(db, &secret_transaction, secret_done, op, secret_op_free, ret_slot, reterr);
}
