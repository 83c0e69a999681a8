/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "store-alert-worker.h"

#include "alloc-util.h"
#include "db-row.h"
#include "records-read.h"
#include "statements.h"
#include "store-internal.h"

static void alert_notice_done(AlertNotice *n) {
        free(n->rule);
        free(n->severity);
        free(n->slug);
        free(n->name);
        free(n->subject);
        free(n->message);
}

void alert_message_done(AlertMessage *m) {
        FOREACH_ARRAY(n, m->notices, m->n_notices)
                alert_notice_done(n);
        free(m->notices);
        settings_free(m->settings);
        secret_records_done(&m->secrets);
        *m = (AlertMessage) {};
}

/* --- claim --- */

typedef struct ClaimOp {
        AlertChannel channel;
        uint64_t after, n_max;
        AlertMessage message;
} ClaimOp;

static void claim_reset(void *userdata) {
        ClaimOp *op = userdata;

        alert_message_done(&op->message);
}

static int claim_bind_tests(DbParams *params, void *userdata) {
        ClaimOp *op = userdata;

        db_params_add_string(params, alert_channel_to_string(op->channel));
        return op->after > 0 ? DB_STEP_SKIP : 0;
}

static int claim_bind_form(DbParams *params, void *userdata) {
        ClaimOp *op = userdata;

        db_params_add_string(params, alert_channel_to_string(op->channel));
        db_params_add_int64(params, (int64_t) op->n_max);
        db_params_add_int64(params, (int64_t) op->after);
        return 0;
}

static int claim_bind_claim(DbParams *params, void *userdata) {
        ClaimOp *op = userdata;

        db_params_add_string(params, alert_channel_to_string(op->channel));
        db_params_add_int64(params, (int64_t) op->after);
        db_params_add_int64(params, (int64_t) ALERT_LEASE_USEC);
        return 0;
}

static int claim_result_claim(const PGresult *result, void *userdata, Error *reterr) {
        AlertMessage *m = &((ClaimOp *) userdata)->message;
        DbRow row = DB_ROW(result, 0);
        uint32_t n_attempts = 0;
        int r;

        if (PQntuples(result) == 0)
                return 0;

        db_row_uint(&row, INT64_MAX, &m->id);
        db_row_text(&row, m->uuid, sizeof(m->uuid));
        db_row_bool(&row, &m->test);
        db_row_uint32(&row, &n_attempts);
        db_row_uint(&row, INT64_MAX, &m->age);
        r = db_row_end(&row);
        m->n_attempts = n_attempts;
        return r < 0 ? db_row_error(r, "a message", reterr) : 0;
}

static int claim_bind_notices(DbParams *params, void *userdata) {
        ClaimOp *op = userdata;

        db_params_add_int64(params, (int64_t) op->message.id);
        return op->message.id == 0 ? DB_STEP_SKIP : 0;
}

DB_ENUM_READER(alert_status);

static int notice_read(const PGresult *result, int number, AlertNotice *n, Error *reterr) {
        DbRow row = DB_ROW(result, number);
        uint32_t k = 0;
        int status = 0, r;

        db_row_uint(&row, INT64_MAX, &n->alert);
        db_row_string(&row, &n->rule);
        db_row_string(&row, &n->severity);
        db_row_enum(&row, read_alert_status, &status);
        db_row_string_or_null(&row, &n->slug);
        db_row_string_or_null(&row, &n->name);
        db_row_string(&row, &n->subject);
        db_row_usec(&row, &n->since);
        db_row_usec(&row, &n->told);
        db_row_uint32(&row, &k);
        db_row_string(&row, &n->message);
        r = db_row_end(&row);
        n->status = status;
        n->number = k;
        return r < 0 ? db_row_error(r, "a notice", reterr) : 0;
}

static int claim_result_notices(const PGresult *result, void *userdata, Error *reterr) {
        AlertMessage *m = &((ClaimOp *) userdata)->message;
        int n = PQntuples(result);

        m->notices = new0(AlertNotice, (size_t) n);
        if (!m->notices)
                return db_row_error(-ENOMEM, "the notices", reterr);

        for (int i = 0; i < n; i++) {
                int r;

                r = notice_read(result, i, m->notices + m->n_notices++, reterr);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int claim_result_settings(const PGresult *result, void *userdata, Error *reterr) {
        ClaimOp *op = userdata;

        return store_read_settings(result, &op->message.settings, reterr);
}

static int claim_result_secrets(const PGresult *result, void *userdata, Error *reterr) {
        ClaimOp *op = userdata;

        return secret_records_read(result, &op->message.secrets, reterr);
}

static const DbStep claim_steps[] = {
        { sql_alert_queue_form_tests, claim_bind_tests },
        { sql_alert_queue_form, claim_bind_form },
        { sql_alert_queue_claim, claim_bind_claim, claim_result_claim },
        { sql_alert_queue_notices, claim_bind_notices, claim_result_notices },
        { sql_settings_select, NULL, claim_result_settings },
        { sql_alert_secrets_select, NULL, claim_result_secrets },
};
static const DbTransaction claim_transaction = {
        .what = "take an alert from the queue",
        .steps = claim_steps,
        .n_steps = ELEMENTSOF(claim_steps),
        .reset = claim_reset,
};

int alert_queue_claim(DbSync *db, AlertChannel channel, uint64_t after, uint64_t n_max, AlertMessage *ret,
                Error *reterr) {
        ClaimOp op = { .channel = channel, .after = after, .n_max = n_max };
        int r;

        r = db_sync_run(db, &claim_transaction, &op, reterr);
        if (r < 0) {
                alert_message_done(&op.message);
                return r;
        }

        *ret = op.message;
        return 0;
}

/* --- statements that stand for themselves --- */

static int bind_params(DbParams *params, void *userdata) {
        db_params_borrow(params, userdata);
        return 0;
}

static int run(DbSync *db, const DbTransaction *transaction, DbParams *params, Error *reterr) {
        int r;

        r = db_sync_run(db, transaction, params, reterr);
        db_params_done(params);
        return r;
}

static const DbStep note_step = { sql_alert_queue_note, bind_params };
static const DbTransaction note_transaction = {
        .what = "record what came of an alert's delivery",
        .steps = &note_step,
        .n_steps = 1,
};
static const DbStep drop_step = { sql_alert_queue_drop, bind_params };
static const DbTransaction drop_transaction = {
        .what = "empty the queue of alerts",
        .steps = &drop_step,
        .n_steps = 1,
};
static const DbStep hurry_step = { sql_alert_queue_hurry };
static const DbTransaction hurry_transaction = {
        .what = "hurry the queue of alerts",
        .steps = &hurry_step,
        .n_steps = 1,
};

int alert_queue_note(DbSync *db, uint64_t id, AlertOutcome outcome, const char *error, usec_t wait,
                Error *reterr) {
        static const char *const states[] = {
                [ALERT_OUTCOME_RETRY] = "queued",
                [ALERT_OUTCOME_DELIVERED] = "delivered",
                [ALERT_OUTCOME_FAILED] = "failed",
        };
        DbParams params = {};

        db_params_add_int64(&params, (int64_t) id);
        db_params_add_string(&params, states[outcome]);
        db_params_add_string(&params, error);
        db_params_add_int64(&params, outcome == ALERT_OUTCOME_RETRY ? (int64_t) wait : 0);
        return run(db, &note_transaction, &params, reterr);
}

int alert_queue_drop(DbSync *db, AlertChannel channel, const char *error, Error *reterr) {
        DbParams params = {};

        db_params_add_string(&params, alert_channel_to_string(channel));
        db_params_add_string(&params, error);
        return run(db, &drop_transaction, &params, reterr);
}

int alert_queue_hurry(DbSync *db, Error *reterr) {
        DbParams params = {};

        return run(db, &hurry_transaction, &params, reterr);
}
