/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "alloc-util.h"
#include "db-row.h"
#include "json-util.h"
#include "statements.h"
#include "store-health-internal.h"
#include "store-health.h"

/* A whole day of a thousand instances, at the most. */
#define ROLL_UP_TIMEOUT USEC_PER_MINUTE

/* --- what a sweep needs --- */

void health_sweep_input_done(HealthSweepInput *i) {
        instance_records_done(&i->instances);
        strv_free(i->busy);
        health_states_done(&i->states);
        settings_free(i->settings);
        *i = (HealthSweepInput) {};
}

static void read_reset(void *userdata) {
        health_sweep_input_done(userdata);
}

static int lock_result(const PGresult *result, _unused_ void *userdata, Error *reterr) {
        DbRow row = DB_ROW(result, 0);
        bool locked = false;
        int r;

        db_row_bool(&row, &locked);
        r = db_row_end(&row);
        if (r < 0)
                return db_row_error(r, "a lock", reterr);

        return locked ? 0
                      : error_setf(reterr, CCP_ERROR_BUSY,
                                        "Another sweep goes on. See: systemctl status ccp-health");
}

static int read_bind_all(DbParams *params, _unused_ void *userdata) {
        db_params_add_string(params, NULL);
        return 0;
}

static int read_result_instances(const PGresult *result, void *userdata, Error *reterr) {
        return instance_records_read(result, &((HealthSweepInput *) userdata)->instances, reterr);
}

static int read_result_busy(const PGresult *result, void *userdata, Error *reterr) {
        HealthSweepInput *input = userdata;

        for (int i = 0; i < PQntuples(result); i++)
                if (strv_extend(&input->busy, PQgetvalue(result, i, 0)) < 0)
                        return db_row_error(-ENOMEM, "the jobs", reterr);
        return 0;
}

static int read_result_probes(const PGresult *result, void *userdata, Error *reterr) {
        return health_probe_records_read(result, &((HealthSweepInput *) userdata)->states.probes, reterr);
}

static int read_result_sweep(const PGresult *result, void *userdata, Error *reterr) {
        return health_sweep_record_read(result, &((HealthSweepInput *) userdata)->states.sweep, reterr);
}

static int read_result_settings(const PGresult *result, void *userdata, Error *reterr) {
        return store_read_settings(result, &((HealthSweepInput *) userdata)->settings, reterr);
}

static int read_until(const PGresult *result, usec_t *ret, Error *reterr) {
        DbRow row = DB_ROW(result, 0);
        int r;

        db_row_usec(&row, ret);
        r = db_row_end(&row);
        return r < 0 ? db_row_error(r, "how far the history is", reterr) : 0;
}

static int read_result_until(const PGresult *result, void *userdata, Error *reterr) {
        return read_until(result, &((HealthSweepInput *) userdata)->rolled_up_until, reterr);
}

static const DbStep lock_step = { sql_health_lock, NULL, lock_result };
static const DbTransaction lock_transaction = {
        .what = "take the lock of the sweeps",
        .steps = &lock_step,
        .n_steps = 1,
};

static const DbStep read_steps[] = {
        { sql_instances_select, read_bind_all, read_result_instances },
        { sql_health_busy, NULL, read_result_busy },
        { sql_health_probes_select, read_bind_all, read_result_probes },
        { sql_health_sweep_last, NULL, read_result_sweep },
        { sql_settings_select, NULL, read_result_settings },
        { sql_health_rolled_up_select, NULL, read_result_until },
};
static const DbTransaction read_transaction = {
        .what = "read what is to be looked at",
        .steps = read_steps,
        .n_steps = ELEMENTSOF(read_steps),
        .read_only = true,
        .reset = read_reset,
};

int health_sweep_read(DbSync *db, HealthSweepInput *ret, Error *reterr) {
        int r;

        r = db_sync_run(db, &lock_transaction, NULL, reterr);
        return r < 0 ? r : db_sync_run(db, &read_transaction, ret, reterr);
}

/* --- what a sweep has seen --- */

static json_t *probe_to_json(const HealthProbeRecord *p) {
        return json_pack("{s:s, s:s, s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:s?, s:s?}", "instance",
                        p->instance, "service", p->service, "container", p->container, "verdict",
                        probe_verdict_to_string(p->state.verdict), "n_failures",
                        (json_int_t) p->state.n_failures, "n_successes", (json_int_t) p->state.n_successes,
                        "since", (json_int_t) p->state.since, "checked_at", (json_int_t) p->state.checked_at,
                        "latency", (json_int_t) p->state.latency, "reason", p->state.reason, "exec",
                        p->exec);
}

static int probes_to_json(const HealthProbeRecord *probes, size_t n, json_t **ret) {
        _cleanup_json_ json_t *array = json_array();

        FOREACH_ARRAY(p, probes, n)
                if (json_array_append_new(array, probe_to_json(p)) < 0)
                        return -ENOMEM;

        *ret = TAKE_PTR(array);
        return *ret ? 0 : -ENOMEM;
}

static int samples_to_json(const HealthSample *samples, size_t n, json_t **ret) {
        _cleanup_json_ json_t *array = json_array();

        FOREACH_ARRAY(s, samples, n)
                if (json_array_append_new(array,
                                    json_pack("{s:s, s:I, s:s, s:o?, s:s?}", "instance", s->instance,
                                                    "state_changed_at", (json_int_t) s->state_changed_at,
                                                    "health", health_to_string(s->health), "latency",
                                                    s->latency > 0 ? json_integer((json_int_t) s->latency)
                                                                   : NULL,
                                                    "reason", s->reason)) < 0)
                        return -ENOMEM;

        *ret = TAKE_PTR(array);
        return *ret ? 0 : -ENOMEM;
}

typedef struct WriteOp {
        const HealthSweepOutput *output;
        json_t *probes, *gone, *samples;
        uint64_t number;
        char number_text[STRLEN("18446744073709551615") + 1];
} WriteOp;

static int write_bind_sweep(DbParams *params, void *userdata) {
        WriteOp *op = userdata;
        const HealthSweepOutput *o = op->output;
        bool failed = error_is_set(o->error);

        db_params_add_int64(params, (int64_t) o->began_at);
        db_params_add_int64(params, (int64_t) o->began_monotonic);
        db_params_add_int64(params, (int64_t) o->duration);
        db_params_add_int64(params, (int64_t) o->n_instances);
        db_params_add_int64(params, (int64_t) o->n_probes);
        db_params_add_string(params, failed ? o->error->name : NULL);
        db_params_add_string(params, failed ? strempty(o->error->message) : NULL);
        return 0;
}

static int write_result_sweep(const PGresult *result, void *userdata, Error *reterr) {
        WriteOp *op = userdata;
        DbRow row = DB_ROW(result, 0);
        int r;

        db_row_uint(&row, INT64_MAX, &op->number);
        r = db_row_end(&row);
        if (r < 0)
                return db_row_error(r, "the sweep", reterr);

        (void) snprintf(op->number_text, sizeof(op->number_text), "%" PRIu64, op->number);
        return 0;
}

static int bind_json(DbParams *params, const json_t *rows) {
        if (json_array_size(rows) == 0)
                return DB_STEP_SKIP;

        db_params_add_json(params, rows);
        return 0;
}

static int write_bind_probes(DbParams *params, void *userdata) {
        return bind_json(params, ((WriteOp *) userdata)->probes);
}

static int write_bind_gone(DbParams *params, void *userdata) {
        return bind_json(params, ((WriteOp *) userdata)->gone);
}

static int write_bind_samples(DbParams *params, void *userdata) {
        WriteOp *op = userdata;

        if (bind_json(params, op->samples) == DB_STEP_SKIP)
                return DB_STEP_SKIP;
        db_params_add_int64(params, (int64_t) op->output->began_at);
        db_params_add_bool(params, !op->output->repeats);
        return 0;
}

static int write_bind_notify(DbParams *params, void *userdata) {
        db_params_add_string(params, ((WriteOp *) userdata)->number_text);
        return 0;
}

static const DbStep write_steps[] = {
        { sql_health_sweep_put, write_bind_sweep, write_result_sweep },
        { sql_health_samples_put, write_bind_samples },
        { sql_health_probes_put, write_bind_probes },
        { sql_health_probes_forget, write_bind_gone },
        { sql_health_notify, write_bind_notify },
};
static const DbTransaction write_transaction = {
        .what = "record the sweep",
        .steps = write_steps,
        .n_steps = ELEMENTSOF(write_steps),
};

int health_sweep_write(DbSync *db, const HealthSweepOutput *o, Error *reterr) {
        WriteOp op = { .output = o, .gone = json_array() };
        int r;

        r = probes_to_json(o->probes, o->n_probes, &op.probes);
        if (r >= 0)
                r = samples_to_json(o->samples, o->n_samples, &op.samples);
        for (size_t i = 0; r >= 0 && i < o->n_gone; i++)
                if (json_array_append_new(op.gone, probe_to_json(o->gone[i])) < 0)
                        r = -ENOMEM;
        if (r < 0)
                r = error_set_errnof(reterr, r, "Could not record the sweep: %m");
        else
                r = db_sync_run(db, &write_transaction, &op, reterr);

        json_decref(op.probes);
        json_decref(op.gone);
        json_decref(op.samples);
        return r;
}

/* --- history --- */

typedef struct RollUpOp {
        const Settings *settings;
        usec_t realtime;
        usec_t until; /* so far; then, from now on */
        usec_t from, to;
} RollUpOp;

static int roll_up_result_until(const PGresult *result, void *userdata, Error *reterr) {
        RollUpOp *op = userdata;
        int r;

        r = read_until(result, &op->until, reterr);
        if (r < 0)
                return r;

        op->to = op->realtime - op->realtime % USEC_PER_HOUR;
        /* Where the clock was set back, the hours from now on are made again when they are over. */
        op->from = MIN(op->until, op->to);
        return 0;
}

static int roll_up_bind(DbParams *params, void *userdata) {
        int64_t bounds[LATENCY_BOUNDS];
        RollUpOp *op = userdata;

        if (op->from == op->to)
                return DB_STEP_SKIP;

        latency_bounds(bounds);
        db_params_add_int64v(params, bounds, LATENCY_BOUNDS);
        db_params_add_int64(params, (int64_t) op->from);
        db_params_add_int64(params, (int64_t) op->to);
        return 0;
}

static int roll_up_bind_until(DbParams *params, void *userdata) {
        db_params_add_int64(params, (int64_t) ((RollUpOp *) userdata)->to);
        return 0;
}

static void bind_prune(DbParams *params, const RollUpOp *op, usec_t keep) {
        db_params_add_int64(params, (int64_t) (op->realtime - MIN(op->realtime, keep)));
        db_params_add_int64(params, (int64_t) op->realtime);
}

static int roll_up_bind_samples(DbParams *params, void *userdata) {
        RollUpOp *op = userdata;

        bind_prune(params, op, op->settings->health_samples_hours * USEC_PER_HOUR);
        return 0;
}

static int roll_up_bind_hours(DbParams *params, void *userdata) {
        RollUpOp *op = userdata;

        bind_prune(params, op, op->settings->health_history_days * USEC_PER_DAY);
        return 0;
}

static const DbStep roll_up_steps[] = {
        { sql_health_rolled_up_lock, NULL, roll_up_result_until },
        { sql_health_roll_up, roll_up_bind },
        { sql_health_rolled_up_set, roll_up_bind_until },
        { sql_health_samples_prune, roll_up_bind_samples },
        { sql_health_sweeps_prune, roll_up_bind_samples },
        { sql_health_hours_prune, roll_up_bind_hours },
};
static const DbTransaction roll_up_transaction = {
        .what = "make the history of health",
        .steps = roll_up_steps,
        .n_steps = ELEMENTSOF(roll_up_steps),
        .timeout = ROLL_UP_TIMEOUT,
};

int health_roll_up(DbSync *db, const Settings *settings, usec_t realtime, Error *reterr) {
        RollUpOp op = { .settings = settings, .realtime = realtime };

        return db_sync_run(db, &roll_up_transaction, &op, reterr);
}

/* --- what a job has seen --- */

typedef struct PutOp {
        const char *instance;
        json_t *probes;
} PutOp;

static int put_bind(DbParams *params, void *userdata) {
        return bind_json(params, ((PutOp *) userdata)->probes);
}

static int put_bind_notify(DbParams *params, void *userdata) {
        db_params_add_string(params, ((PutOp *) userdata)->instance);
        return 0;
}

static const DbStep put_steps[] = {
        { sql_health_probes_put, put_bind },
        { sql_health_notify, put_bind_notify },
};
static const DbTransaction put_transaction = {
        .what = "record the health of services",
        .steps = put_steps,
        .n_steps = ELEMENTSOF(put_steps),
};

int health_put_probes(
                DbSync *db, const char *instance, const HealthProbeRecord *probes, size_t n, Error *reterr) {
        PutOp op = { .instance = instance };
        int r;

        r = probes_to_json(probes, n, &op.probes);
        if (r < 0)
                return error_set_errnof(reterr, r, "Could not record the health of services: %m");

        r = db_sync_run(db, &put_transaction, &op, reterr);
        json_decref(op.probes);
        return r;
}
