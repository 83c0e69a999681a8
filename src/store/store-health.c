/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "store-health.h"

#include <errno.h>
#include <stdlib.h>

#include "alloc-util.h"
#include "db-row.h"
#include "json-util.h"
#include "statements.h"
#include "store-health-internal.h"

/* --- records --- */

void health_probe_record_done(HealthProbeRecord *p) {
        free(p->service);
        free(p->container);
        free(p->exec);
        probe_state_done(&p->state);
        *p = (HealthProbeRecord) {};
}

void health_probe_records_done(HealthProbeRecords *l) {
        FOREACH_ARRAY(p, l->items, l->n)
                health_probe_record_done(p);
        free(l->items);
        *l = (HealthProbeRecords) {};
}

static void health_sweep_record_done(HealthSweepRecord *s) {
        free(s->error_name);
        free(s->error_message);
        *s = (HealthSweepRecord) {};
}

void health_states_done(HealthStates *s) {
        health_probe_records_done(&s->probes);
        free(s->currents);
        health_sweep_record_done(&s->sweep);
        *s = (HealthStates) {};
}

HealthStates *health_states_free(HealthStates *s) {
        if (!s)
                return NULL;

        health_states_done(s);
        return mfree(s);
}

DB_ENUM_READER(probe_verdict);
DB_ENUM_READER(health);

static int probe_record_read(const PGresult *result, int number, HealthProbeRecord *ret) {
        uint64_t n_failures = 0, n_successes = 0;
        DbRow row = DB_ROW(result, number);
        int verdict = 0, r;

        db_row_text(&row, ret->instance, sizeof(ret->instance));
        db_row_string(&row, &ret->service);
        db_row_string(&row, &ret->container);
        db_row_enum(&row, read_probe_verdict, &verdict);
        db_row_uint(&row, UINT32_MAX, &n_failures);
        db_row_uint(&row, UINT32_MAX, &n_successes);
        db_row_usec(&row, &ret->state.since);
        db_row_usec(&row, &ret->state.checked_at);
        db_row_usec(&row, &ret->state.latency);
        db_row_string_or_null(&row, &ret->state.reason);
        db_row_string_or_null(&row, &ret->exec);
        r = db_row_end(&row);
        ret->state.verdict = verdict;
        ret->state.n_failures = (unsigned) n_failures;
        ret->state.n_successes = (unsigned) n_successes;
        return r;
}

int health_probe_records_read(const PGresult *result, HealthProbeRecords *ret, Error *reterr) {
        int n = PQntuples(result), r = 0;
        HealthProbeRecords l = {};

        l.items = new0(HealthProbeRecord, (size_t) n);
        if (!l.items)
                return db_row_error(-ENOMEM, "the probes", reterr);

        for (int i = 0; r >= 0 && i < n; i++)
                r = probe_record_read(result, i, l.items + l.n++);
        if (r < 0) {
                health_probe_records_done(&l);
                return db_row_error(r, "the probes", reterr);
        }

        health_probe_records_done(ret);
        *ret = l;
        return 0;
}

int health_sweep_record_read(const PGresult *result, HealthSweepRecord *ret, Error *reterr) {
        DbRow row = DB_ROW(result, 0);
        HealthSweepRecord s = {};
        int r;

        if (PQntuples(result) > 0) {
                db_row_uint(&row, INT64_MAX, &s.number);
                db_row_usec(&row, &s.began_at);
                db_row_usec(&row, &s.began_monotonic);
                db_row_string_or_null(&row, &s.error_name);
                db_row_string_or_null(&row, &s.error_message);
                r = db_row_end(&row);
                if (r < 0) {
                        health_sweep_record_done(&s);
                        return db_row_error(r, "the last sweep", reterr);
                }
        }

        health_sweep_record_done(ret);
        *ret = s;
        return 0;
}

/* --- what is known now --- */

typedef struct StatesOp {
        bool one;
        char instance[STORE_ID_MAX];
        HealthStates states;
        StoreHealthCallback callback;
        void *userdata;
} StatesOp;

static void states_op_free(void *userdata) {
        StatesOp *op = userdata;

        health_states_done(&op->states);
        free(op);
}

static int states_bind(DbParams *params, void *userdata) {
        StatesOp *op = userdata;

        db_params_add_string(params, op->one ? op->instance : NULL);
        return 0;
}

static int states_result_probes(const PGresult *result, void *userdata, Error *reterr) {
        return health_probe_records_read(result, &((StatesOp *) userdata)->states.probes, reterr);
}

int health_currents_read(const PGresult *result, HealthStates *ret, Error *reterr) {
        HealthCurrentRecord *l;
        int n = PQntuples(result), r = 0;

        l = new0(HealthCurrentRecord, (size_t) n);
        if (!l)
                return db_row_error(-ENOMEM, "the healths", reterr);
        for (int i = 0; r >= 0 && i < n; i++) {
                DbRow row = DB_ROW(result, i);
                int health = 0;

                db_row_text(&row, l[i].instance, sizeof(l[i].instance));
                db_row_enum(&row, read_health, &health);
                db_row_usec(&row, &l[i].since);
                db_row_usec(&row, &l[i].checked_at);
                r = db_row_end(&row);
                l[i].health = health;
        }
        if (r < 0) {
                free(l);
                return db_row_error(r, "the healths", reterr);
        }

        free(ret->currents);
        ret->currents = l;
        ret->n_currents = (size_t) n;
        return 0;
}

static int states_result_currents(const PGresult *result, void *userdata, Error *reterr) {
        return health_currents_read(result, &((StatesOp *) userdata)->states, reterr);
}

static int states_result_sweep(const PGresult *result, void *userdata, Error *reterr) {
        return health_sweep_record_read(result, &((StatesOp *) userdata)->states.sweep, reterr);
}

static const DbStep states_steps[] = {
        { sql_health_probes_select, states_bind, states_result_probes },
        { sql_health_current_select, states_bind, states_result_currents },
        { sql_health_sweep_last, NULL, states_result_sweep },
};
static const DbTransaction states_transaction = {
        .what = "read what sweeps have seen",
        .steps = states_steps,
        .n_steps = ELEMENTSOF(states_steps),
        .read_only = true,
};

static void states_done(int r, Error *error, void *userdata) {
        StatesOp *op = userdata;

        op->callback(r, r < 0 ? NULL : &op->states, error, op->userdata);
}

int store_load_health(Db *db, const char *instance, StoreHealthCallback callback, void *userdata,
                DbSlot **ret_slot, Error *reterr) {
        StatesOp *op;

        op = new0(StatesOp, 1);
        if (!op)
                return store_oom(&states_transaction, reterr);

        op->callback = callback;
        op->userdata = userdata;
        op->one = instance;
        if (instance)
                store_copy_id(op->instance, instance);
        return db_request(db, &states_transaction, states_done, op, states_op_free, ret_slot, reterr);
}

/* --- history --- */

typedef struct QueryOp {
        StoreHealthQuery query;
        char **instances;
        HealthPeriods periods;
        StoreHealthPeriodsCallback callback;
        void *userdata;
} QueryOp;

static void query_reset(void *userdata) {
        QueryOp *op = userdata;

        free(op->periods.items);
        op->periods = (HealthPeriods) {};
}

static void query_op_free(void *userdata) {
        QueryOp *op = userdata;

        query_reset(op);
        strv_free(op->instances);
        free(op);
}

static int query_bind(DbParams *params, void *userdata) {
        int64_t bounds[LATENCY_BOUNDS];
        QueryOp *op = userdata;

        latency_bounds(bounds);
        db_params_add_strv(params, (const char *const *) op->instances, strv_length(op->instances));
        db_params_add_int64(params, (int64_t) op->query.since);
        db_params_add_int64(params, (int64_t) op->query.until);
        db_params_add_int64(params, (int64_t) op->query.step);
        db_params_add_int64v(params, bounds, LATENCY_BOUNDS);
        db_params_add_bool(params, op->query.latencies);
        db_params_add_bool(params, op->query.hours);
        return 0;
}

/* {"12": 40, …} */
static int read_histogram(json_t *counts, LatencyHistogram *ret) {
        const char *key;
        json_t *value;

        json_object_foreach(counts, key, value) {
                unsigned long k;
                char *end;

                errno = 0;
                k = strtoul(key, &end, 10);
                if (errno != 0 || *end || k >= LATENCY_BUCKETS || !json_is_integer(value) ||
                                json_integer_value(value) < 0)
                        return -EBADMSG;
                ret->counts[k] = (uint64_t) json_integer_value(value);
        }

        return 0;
}

static int period_read(const PGresult *result, int number, HealthPeriod *ret) {
        _cleanup_json_ json_t *counts = NULL;
        DbRow row = DB_ROW(result, number);
        int r;

        db_row_text(&row, ret->instance, sizeof(ret->instance));
        db_row_uint(&row, INT64_MAX, &ret->period);
        for (Health h = 0; h < _HEALTH_MAX; h++)
                db_row_uint(&row, INT64_MAX, ret->n + h);
        db_row_json(&row, JSON_OBJECT, &counts);
        r = db_row_end(&row);
        return r < 0 ? r : read_histogram(counts, &ret->latency);
}

static int query_result(const PGresult *result, void *userdata, Error *reterr) {
        QueryOp *op = userdata;
        int n = PQntuples(result), r = 0;

        op->periods.items = new0(HealthPeriod, (size_t) n);
        if (!op->periods.items)
                return db_row_error(-ENOMEM, "the history of health", reterr);

        for (int i = 0; r >= 0 && i < n; i++)
                r = period_read(result, i, op->periods.items + op->periods.n++);
        return r < 0 ? db_row_error(r, "the history of health", reterr) : 0;
}

static const DbStep query_step = { sql_health_query, query_bind, query_result };
static const DbTransaction query_transaction = {
        .what = "read the history of health",
        .steps = &query_step,
        .n_steps = 1,
        .read_only = true,
        .reset = query_reset,
};

static void query_done(int r, Error *error, void *userdata) {
        QueryOp *op = userdata;

        op->callback(r, &op->query, r < 0 ? NULL : &op->periods, error, op->userdata);
}

int store_query_health(Db *db, const StoreHealthQuery *query, StoreHealthPeriodsCallback callback,
                void *userdata, DbSlot **ret_slot, Error *reterr) {
        QueryOp *op;

        assert(query->step > 0);

        op = new0(QueryOp, 1);
        if (!op)
                return store_oom(&query_transaction, reterr);

        *op = (QueryOp) { .query = *query, .callback = callback, .userdata = userdata };
        op->query.instances = op->instances = strv_copy(query->instances);
        if (!op->instances) {
                query_op_free(op);
                return store_oom(&query_transaction, reterr);
        }
        return db_request(db, &query_transaction, query_done, op, query_op_free, ret_slot, reterr);
}
