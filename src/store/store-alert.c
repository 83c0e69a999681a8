/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "store-alert.h"

#include <stdio.h>

#include "alloc-util.h"
#include "db-row.h"
#include "json-util.h"
#include "statements.h"
#include "store-alert-internal.h"
#include "store-internal.h"

/* --- records --- */

AlertRecord *alert_record_free(AlertRecord *a) {
        if (!a)
                return NULL;

        free(a->rule);
        free(a->severity);
        free(a->slug);
        free(a->name);
        free(a->subject);
        free(a->message);
        FOREACH_ARRAY(d, a->deliveries, a->n_deliveries)
                free(d->error);
        free(a->deliveries);
        return mfree(a);
}

void alert_records_done(AlertRecords *l) {
        FOREACH_ARRAY(a, l->items, l->n)
                alert_record_free(*a);
        free(l->items);
        *l = (AlertRecords) {};
}

static int read_delivery(const json_t *object, AlertDelivery *d) {
        const char *channel = json_object_get_string(object, "channel"),
                   *status = json_object_get_string(object, "status"),
                   *state = json_object_get_string(object, "state"),
                   *error = json_object_get_string(object, "error");

        if (!channel || !status || !state || !error)
                return -EBADMSG;

        *d = (AlertDelivery) {
                .channel = alert_channel_from_string(channel),
                .status = alert_status_from_string(status),
                .number = (unsigned) json_integer_value(json_object_get(object, "number")),
                .n_attempts = (unsigned) json_integer_value(json_object_get(object, "attempts")),
                .at = (usec_t) json_integer_value(json_object_get(object, "at")),
                .error = strdup(error),
        };
        (void) snprintf(d->state, sizeof(d->state), "%s", state);
        if (!d->error)
                return -ENOMEM;
        return d->channel < 0 || d->status < 0 ? -EBADMSG : 0;
}

static int read_deliveries(const json_t *array, AlertRecord *a) {
        a->deliveries = new0(AlertDelivery, json_array_size(array));
        if (!a->deliveries)
                return -ENOMEM;

        while (a->n_deliveries < json_array_size(array)) {
                size_t k = a->n_deliveries++;
                int r;

                r = read_delivery(json_array_get(array, k), a->deliveries + k);
                if (r < 0)
                        return r;
        }
        return 0;
}

static void read_instance_id(DbRow *row, char ret[STORE_ID_MAX]) {
        _cleanup_free_ char *id = NULL;

        db_row_string_or_null(row, &id);
        if (id)
                store_copy_id(ret, id);
}

static int alert_record_read(const PGresult *result, int number, AlertRecord **ret, Error *reterr) {
        _cleanup_(alert_record_freep) AlertRecord *a = NULL;
        _cleanup_json_ json_t *deliveries = NULL;
        _cleanup_free_ char *state = NULL;
        DbRow row = DB_ROW(result, number);
        uint32_t n_notified = 0;
        int r;

        a = new0(AlertRecord, 1);
        if (!a)
                return db_row_error(-ENOMEM, "an alert", reterr);

        db_row_uint(&row, INT64_MAX, &a->id);
        db_row_text(&row, a->uuid, sizeof(a->uuid));
        db_row_string(&row, &a->rule);
        db_row_string(&row, &a->severity);
        read_instance_id(&row, a->instance);
        db_row_string_or_null(&row, &a->slug);
        db_row_string_or_null(&row, &a->name);
        db_row_string(&row, &a->subject);
        db_row_string(&row, &state);
        db_row_string(&row, &a->message);
        db_row_usec(&row, &a->since);
        db_row_usec(&row, &a->fired_at);
        db_row_usec(&row, &a->resolved_at);
        db_row_usec(&row, &a->notified_at);
        db_row_uint32(&row, &n_notified);
        db_row_json(&row, JSON_ARRAY, &deliveries);
        r = db_row_end(&row);
        if (r >= 0)
                r = read_deliveries(deliveries, a);
        if (r < 0)
                return db_row_error(r, "an alert", reterr);

        a->n_notified = n_notified;
        a->firing = streq(state, alert_status_to_string(ALERT_STATUS_FIRING));
        *ret = TAKE_PTR(a);
        return 0;
}

static int alert_records_read(const PGresult *result, AlertRecords *ret, Error *reterr) {
        int n = PQntuples(result);

        alert_records_done(ret);
        ret->items = new0(AlertRecord *, (size_t) n);
        if (!ret->items)
                return db_row_error(-ENOMEM, "the alerts", reterr);

        for (int i = 0; i < n; i++) {
                int r;

                r = alert_record_read(result, i, ret->items + i, reterr);
                if (r < 0)
                        return r;
                ret->n++;
        }
        return 0;
}

SilenceRecords *silence_records_free(SilenceRecords *l) {
        if (!l)
                return NULL;

        FOREACH_ARRAY(s, l->items, l->n) {
                free(s->rule);
                free(s->slug);
                free(s->reason);
                free(s->created_by);
        }
        free(l->items);
        return mfree(l);
}

int silence_records_read(const PGresult *result, SilenceRecords **ret, Error *reterr) {
        _cleanup_(silence_records_freep) SilenceRecords *l = NULL;
        int n = PQntuples(result);

        l = new0(SilenceRecords, 1);
        if (!l)
                return db_row_error(-ENOMEM, "the silences", reterr);
        l->items = new0(SilenceRecord, (size_t) n);
        if (!l->items)
                return db_row_error(-ENOMEM, "the silences", reterr);

        for (int i = 0; i < n; i++) {
                SilenceRecord *s = l->items + l->n++;
                DbRow row = DB_ROW(result, i);
                int r;

                db_row_uint(&row, INT64_MAX, &s->id);
                db_row_string_or_null(&row, &s->rule);
                read_instance_id(&row, s->instance);
                db_row_string_or_null(&row, &s->slug);
                db_row_usec(&row, &s->until);
                db_row_string(&row, &s->reason);
                db_row_string(&row, &s->created_by);
                db_row_usec(&row, &s->created_at);
                r = db_row_end(&row);
                if (r < 0)
                        return db_row_error(r, "a silence", reterr);
        }

        silence_records_free(*ret);
        *ret = TAKE_PTR(l);
        return 0;
}

/* --- reading --- */
/* A test goes before all alerts, and each is a message. */
#define TESTS_MAX 60U
#define TESTS_PERIOD_USEC (5 * USEC_PER_MINUTE)

typedef struct AlertsOp {
        StoreAlertFilter filter; /* its strings are owned */
        AlertRecords alerts;
        SilenceRecords *silences;
        StoreAlertsLoadedCallback loaded;
        StoreAlertsCallback callback;
        void *userdata;
} AlertsOp;

static void alerts_op_free(void *userdata) {
        AlertsOp *op = userdata;

        alert_records_done(&op->alerts);
        silence_records_free(op->silences);
        free((char *) op->filter.rule);
        free((char *) op->filter.state);
        free((char *) op->filter.instance);
        strv_free((char **) op->filter.among);
        free(op);
}

static int alerts_bind(DbParams *params, void *userdata) {
        const StoreAlertFilter *f = &((AlertsOp *) userdata)->filter;

        if (f->id > 0)
                db_params_add_int64(params, (int64_t) MIN(f->id, (uint64_t) INT64_MAX));
        else
                db_params_add_string(params, NULL);
        db_params_add_string(params, f->rule);
        db_params_add_string(params, f->state);
        db_params_add_string(params, f->instance);
        if (f->among)
                db_params_add_strv(params, (const char *const *) f->among, strv_length(f->among));
        else
                db_params_add_string(params, NULL);
        db_params_add_int64(params, (int64_t) MIN(f->limit, (uint64_t) INT64_MAX));
        db_params_add_int64(params, (int64_t) MIN(f->offset, (uint64_t) INT64_MAX));
        return 0;
}

static int alerts_result(const PGresult *result, void *userdata, Error *reterr) {
        AlertsOp *op = userdata;

        return alert_records_read(result, &op->alerts, reterr);
}

static int alerts_result_silences(const PGresult *result, void *userdata, Error *reterr) {
        AlertsOp *op = userdata;

        return silence_records_read(result, &op->silences, reterr);
}

static const DbStep load_steps[] = {
        { sql_alerts_select, alerts_bind, alerts_result },
        { sql_alert_silences_select, NULL, alerts_result_silences },
};
static const DbTransaction load_transaction = {
        .what = "read the alerts",
        .steps = load_steps,
        .n_steps = ELEMENTSOF(load_steps),
        .read_only = true,
};
static const DbTransaction list_transaction = {
        .what = "list the alerts",
        .steps = load_steps,
        .n_steps = 1,
        .read_only = true,
};

static void load_done(int r, Error *error, void *userdata) {
        AlertsOp *op = userdata;

        op->loaded(r, r < 0 ? NULL : &op->alerts, r < 0 ? NULL : TAKE_PTR(op->silences), error,
                        op->userdata);
}

int store_load_alerts(Db *db, StoreAlertsLoadedCallback callback, void *userdata, DbSlot **ret_slot,
                Error *reterr) {
        AlertsOp *op;

        op = new0(AlertsOp, 1);
        if (!op)
                return store_oom(&load_transaction, reterr);

        *op = (AlertsOp) {
                .filter = {
                        .state = strdup(alert_status_to_string(ALERT_STATUS_FIRING)),
                        .limit = INT64_MAX,
                },
                .loaded = callback,
                .userdata = userdata,
        };
        if (!op->filter.state) {
                alerts_op_free(op);
                return store_oom(&load_transaction, reterr);
        }
        return db_request(db, &load_transaction, load_done, op, alerts_op_free, ret_slot, reterr);
}

static void list_done(int r, Error *error, void *userdata) {
        AlertsOp *op = userdata;

        op->callback(r, r < 0 ? NULL : &op->alerts, error, op->userdata);
}

static int copy_filter(const StoreAlertFilter *from, StoreAlertFilter *ret) {
        char *rule = NULL, *state = NULL, *instance = NULL;
        int r;

        r = free_and_strdup(&rule, from->rule);
        if (r >= 0)
                r = free_and_strdup(&state, from->state);
        if (r >= 0)
                r = free_and_strdup(&instance, from->instance);
        *ret = (StoreAlertFilter) {
                .id = from->id,
                .rule = rule,
                .state = state,
                .instance = instance,
                .among = from->among ? strv_copy(from->among) : NULL,
                .offset = from->offset,
                .limit = MIN(from->limit, (uint64_t) STORE_LIST_MAX),
        };
        return r < 0 || (from->among && !ret->among) ? -ENOMEM : 0;
}

int store_list_alerts(Db *db, const StoreAlertFilter *filter, StoreAlertsCallback callback, void *userdata,
                DbSlot **ret_slot, Error *reterr) {
        AlertsOp *op;

        op = new0(AlertsOp, 1);
        if (!op)
                return store_oom(&list_transaction, reterr);

        *op = (AlertsOp) { .callback = callback, .userdata = userdata };
        if (copy_filter(filter, &op->filter) < 0) {
                alerts_op_free(op);
                return store_oom(&list_transaction, reterr);
        }
        return db_request(db, &list_transaction, list_done, op, alerts_op_free, ret_slot, reterr);
}

/* --- the queue --- */

typedef struct DueOp {
        StoreQueueDue due;
        StoreQueueDueCallback callback;
        void *userdata;
} DueOp;

static int due_result(const PGresult *result, void *userdata, Error *reterr) {
        DueOp *op = userdata;

        FOREACH_ARRAY(in, op->due.in, ELEMENTSOF(op->due.in))
                *in = USEC_INFINITY;

        for (int i = 0; i < PQntuples(result); i++) {
                DbRow row = DB_ROW(result, i);
                _cleanup_free_ char *name = NULL;
                AlertChannel channel;
                uint64_t in = 0, n_attempts = 0;
                int r;

                db_row_string(&row, &name);
                db_row_uint(&row, INT64_MAX, &in);
                db_row_uint(&row, INT64_MAX, &n_attempts);
                r = db_row_end(&row);
                if (r < 0)
                        return db_row_error(r, "the queue of alerts", reterr);

                channel = alert_channel_from_string(name);
                if (channel >= 0) {
                        op->due.in[channel] = in;
                        op->due.n_attempts[channel] = n_attempts;
                }
        }
        return 0;
}

static const DbStep due_steps[] = {
        { sql_alert_queue_hurry },
        { sql_alert_queue_due, NULL, due_result },
};
static const DbTransaction due_transaction = {
        .what = "read the queue of alerts",
        .steps = due_steps + 1,
        .n_steps = 1,
        .read_only = true,
};
static const DbTransaction hurry_transaction = {
        .what = "hurry the queue of alerts",
        .steps = due_steps,
        .n_steps = ELEMENTSOF(due_steps),
};

static void due_done(int r, Error *error, void *userdata) {
        DueOp *op = userdata;

        op->callback(r, &op->due, error, op->userdata);
}

int store_alert_queue_due(Db *db, bool hurry, StoreQueueDueCallback callback, void *userdata,
                DbSlot **ret_slot, Error *reterr) {
        const DbTransaction *transaction = hurry ? &hurry_transaction : &due_transaction;
        DueOp *op;

        op = new0(DueOp, 1);
        if (!op)
                return store_oom(transaction, reterr);

        *op = (DueOp) { .callback = callback, .userdata = userdata };
        return db_request(db, transaction, due_done, op, free, ret_slot, reterr);
}

/* --- what time brings --- */

typedef struct TendOp {
        usec_t age;
        StoreOldSecret *items;
        size_t n;
        StoreOldSecretsCallback callback;
        void *userdata;
} TendOp;

static void tend_op_free(void *userdata) {
        TendOp *op = userdata;

        free(op->items);
        free(op);
}

static int tend_bind_keep(DbParams *params, void *userdata _unused_) {
        db_params_add_int64(params, (int64_t) STORE_ALERTS_KEEP);
        return 0;
}

static int tend_bind_age(DbParams *params, void *userdata) {
        TendOp *op = userdata;

        db_params_add_int64(params, (int64_t) op->age);
        return op->age == 0 ? DB_STEP_SKIP : 0;
}

static int tend_result(const PGresult *result, void *userdata, Error *reterr) {
        TendOp *op = userdata;
        int n = PQntuples(result);

        op->n = 0;
        free(op->items);
        op->items = new0(StoreOldSecret, (size_t) n);
        if (!op->items)
                return db_row_error(-ENOMEM, "the age of secrets", reterr);

        for (int i = 0; i < n; i++) {
                StoreOldSecret *s = op->items + op->n++;
                DbRow row = DB_ROW(result, i);
                int r;

                db_row_text(&row, s->instance, sizeof(s->instance));
                db_row_usec(&row, &s->created_at);
                r = db_row_end(&row);
                if (r < 0)
                        return db_row_error(r, "the age of secrets", reterr);
        }
        return 0;
}

static const DbStep tend_steps[] = {
        { sql_alerts_prune, tend_bind_keep },
        { sql_alert_messages_prune, tend_bind_keep },
        { sql_alert_silences_prune },
        { sql_alert_old_secrets, tend_bind_age, tend_result },
};
static const DbTransaction tend_transaction = {
        .what = "tidy up the alerts",
        .steps = tend_steps,
        .n_steps = ELEMENTSOF(tend_steps),
};

static void tend_done(int r, Error *error, void *userdata) {
        TendOp *op = userdata;

        op->callback(r, op->items, op->n, error, op->userdata);
}

int store_tend_alerts(Db *db, usec_t age, StoreOldSecretsCallback callback, void *userdata,
                DbSlot **ret_slot, Error *reterr) {
        TendOp *op;

        op = new0(TendOp, 1);
        if (!op)
                return store_oom(&tend_transaction, reterr);

        *op = (TendOp) { .age = age, .callback = callback, .userdata = userdata };
        return db_request(db, &tend_transaction, tend_done, op, tend_op_free, ret_slot, reterr);
}

/* --- writing --- */

typedef struct PutOp {
        json_t *alerts;
        char **channels;
        StoreDoneCallback callback;
        void *userdata;
} PutOp;

static void put_op_free(void *userdata) {
        PutOp *op = userdata;

        json_decref(op->alerts);
        strv_free(op->channels);
        free(op);
}

static int put_bind_alerts(DbParams *params, void *userdata) {
        PutOp *op = userdata;

        db_params_add_json(params, op->alerts);
        return 0;
}

static int put_bind_notices(DbParams *params, void *userdata) {
        PutOp *op = userdata;

        db_params_add_json(params, op->alerts);
        db_params_add_strv(params, (const char *const *) op->channels, strv_length(op->channels));
        db_params_add_int64(params, (int64_t) ALERT_COLLECT_USEC);
        return strv_length(op->channels) == 0 ? DB_STEP_SKIP : 0;
}

static const DbStep put_steps[] = {
        { sql_alerts_put, put_bind_alerts },
        { sql_alert_notices_put, put_bind_notices },
};
static const DbTransaction put_transaction = {
        .what = "record the alerts",
        .steps = put_steps,
        .n_steps = ELEMENTSOF(put_steps),
};

static void put_done(int r, Error *error, void *userdata) {
        PutOp *op = userdata;

        op->callback(r, error, op->userdata);
}

int store_put_alerts(Db *db, const json_t *alerts, char *const *channels, StoreDoneCallback callback,
                void *userdata, DbSlot **ret_slot, Error *reterr) {
        PutOp *op;

        op = new0(PutOp, 1);
        if (!op)
                return store_oom(&put_transaction, reterr);

        *op = (PutOp) {
                .alerts = json_incref((json_t *) alerts),
                .channels = strv_copy(channels),
                .callback = callback,
                .userdata = userdata,
        };
        if (channels && !op->channels) {
                put_op_free(op);
                return store_oom(&put_transaction, reterr);
        }
        return db_request(db, &put_transaction, put_done, op, put_op_free, ret_slot, reterr);
}

typedef struct TestOp {
        AlertChannel channel;
        char *message;
        uint64_t id;
        StoreIdCallback callback;
        void *userdata;
} TestOp;

static void test_op_free(void *userdata) {
        TestOp *op = userdata;

        free(op->message);
        free(op);
}

static int test_bind(DbParams *params, void *userdata) {
        TestOp *op = userdata;

        db_params_add_string(params, op->message);
        return 0;
}

static int test_result(const PGresult *result, void *userdata, Error *reterr) {
        TestOp *op = userdata;
        DbRow row = DB_ROW(result, 0);
        int r;

        db_row_uint(&row, INT64_MAX, &op->id);
        r = db_row_end(&row);
        return r < 0 ? db_row_error(r, "an alert", reterr) : 0;
}

static int test_bind_notice(DbParams *params, void *userdata) {
        TestOp *op = userdata;

        db_params_add_int64(params, (int64_t) op->id);
        db_params_add_string(params, alert_channel_to_string(op->channel));
        return 0;
}

static int test_bind_count(DbParams *params, void *userdata _unused_) {
        db_params_add_int64(params, (int64_t) TESTS_PERIOD_USEC);
        return 0;
}

static int test_result_count(const PGresult *result, void *userdata _unused_, Error *reterr) {
        DbRow row = DB_ROW(result, 0);
        uint64_t n = 0;
        int r;

        db_row_uint(&row, INT64_MAX, &n);
        r = db_row_end(&row);
        if (r < 0)
                return db_row_error(r, "the tests of alerts", reterr);
        if (n < TESTS_MAX)
                return 0;

        return error_setf(reterr, CCP_ERROR_BUSY,
                        "There were %u tests within the last minutes. Wait a little: they go before all "
                        "alerts.",
                        TESTS_MAX);
}

static const DbStep test_steps[] = {
        { sql_alert_tests_count, test_bind_count, test_result_count },
        { sql_alert_test, test_bind, test_result },
        { sql_alert_test_notice, test_bind_notice },
};
static const DbTransaction test_transaction = {
        .what = "queue the test",
        .steps = test_steps,
        .n_steps = ELEMENTSOF(test_steps),
};

static void test_done(int r, Error *error, void *userdata) {
        TestOp *op = userdata;

        op->callback(r, op->id, error, op->userdata);
}

int store_test_alert(Db *db, AlertChannel channel, const char *message, StoreIdCallback callback,
                void *userdata, DbSlot **ret_slot, Error *reterr) {
        TestOp *op;

        op = new0(TestOp, 1);
        if (!op)
                return store_oom(&test_transaction, reterr);

        *op = (TestOp) {
                .channel = channel,
                .message = strdup(message),
                .callback = callback,
                .userdata = userdata,
        };
        if (!op->message) {
                test_op_free(op);
                return store_oom(&test_transaction, reterr);
        }
        return db_request(db, &test_transaction, test_done, op, test_op_free, ret_slot, reterr);
}
