/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "alloc-util.h"
#include "db-row.h"
#include "statements.h"
#include "store-audit-internal.h"
#include "store-internal.h"

/* More than any blueprint has. */
#define PORT_REQUESTS_MAX 64U
#define SECRETS_MAX 256U

typedef struct CreatePort {
        char *name, *range_name;
        PortRange range;
        uint16_t number; /* 0: not allocated yet */
} CreatePort;

typedef struct CreateOp {
        /* As asked for */
        char id[STORE_ID_MAX];
        JobKind kind;
        char *slug, *domain;
        char *host;
        char pool[SUBNET_TEXT_MAX];
        CreatePort *ports;
        size_t n_ports;
        size_t n_secrets;
        DbParams instance_params, ports_params, subnet_params, secrets_params, job_params;

        /* As it became */
        bool taken;
        char subnet[SUBNET_TEXT_MAX];
        uint64_t job_id;
        InstanceRecord *instance;
        JobRecord *job;
        StoreAudit audit;

        StoreCreatedCallback callback;
        void *userdata;
} CreateOp;

static void create_reset(void *userdata) {
        CreateOp *op = userdata;

        op->taken = false;
        FOREACH_ARRAY(p, op->ports, op->n_ports)
                p->number = 0;
        op->instance = instance_record_free(op->instance);
        op->job = job_record_free(op->job);
        store_audit_reset(&op->audit);
}

static CreateOp *create_op_free(CreateOp *op) {
        if (!op)
                return NULL;

        create_reset(op);
        FOREACH_ARRAY(p, op->ports, op->n_ports) {
                free(p->name);
                free(p->range_name);
        }
        free(op->ports);
        free(op->slug);
        free(op->domain);
        free(op->host);
        db_params_done(&op->instance_params);
        db_params_done(&op->ports_params);
        db_params_done(&op->subnet_params);
        db_params_done(&op->secrets_params);
        db_params_done(&op->job_params);
        store_audit_done(&op->audit);
        return mfree(op);
}
DEFINE_CLEANUP_FUNC(CreateOp *, create_op_free);

static void create_op_destroy(void *userdata) {
        create_op_free(userdata);
}

/* --- the instance --- */

static int bind_instance(DbParams *params, void *userdata) {
        CreateOp *op = userdata;

        db_params_borrow(params, &op->instance_params);
        return 0;
}

static int result_instance(const PGresult *result, void *userdata, Error *reterr _unused_) {
        CreateOp *op = userdata;

        op->taken = PQntuples(result) == 0;
        return 0;
}

static int bind_who_has(DbParams *params, void *userdata) {
        CreateOp *op = userdata;

        if (!op->taken)
                return DB_STEP_SKIP;

        db_params_add_string(params, op->slug);
        db_params_add_string(params, op->domain);
        return 0;
}

static int result_who_has(const PGresult *result, void *userdata, Error *reterr) {
        CreateOp *op = userdata;
        _cleanup_free_ char *slug = NULL;
        DbRow row = DB_ROW(result, 0);
        bool by_slug = false;
        int r;

        /* Whoever had it is gone, or it is the id, which is made anew for each attempt. */
        if (PQntuples(result) == 0)
                return error_setf(reterr, CCP_ERROR_BUSY,
                                "The name or domain of '%s' is just being released. Try again.", op->slug);

        db_row_string(&row, &slug);
        db_row_bool(&row, &by_slug);
        r = db_row_end(&row);
        if (r < 0)
                return db_row_error(r, "an instance", reterr);

        if (by_slug)
                return error_setf(reterr, CCP_ERROR_SLUG_TAKEN,
                                "There is an instance '%s' already. Choose another slug.", slug);

        return error_setf(reterr, CCP_ERROR_DOMAIN_TAKEN,
                        "The domain '%s' belongs to the instance '%s'. Choose another one.", op->domain,
                        slug);
}

/* --- ports --- */

static int bind_find_ports(DbParams *params, void *userdata) {
        CreateOp *op = userdata;

        if (op->n_ports == 0)
                return DB_STEP_SKIP;

        db_params_borrow(params, &op->ports_params);
        return 0;
}

/* Gives each request the lowest port that is free and was not given to one before it. There are as many
 * candidates for each as there are requests, so that they suffice. */
static int result_find_ports(const PGresult *result, void *userdata, Error *reterr) {
        CreateOp *op = userdata;
        _cleanup_free_ PortSet *given = NULL;
        char text[PORT_RANGE_TEXT_MAX];

        given = new0(PortSet, 1);
        if (!given)
                return db_row_error(-ENOMEM, "the ports", reterr);

        for (int i = 0; i < PQntuples(result); i++) {
                DbRow row = DB_ROW(result, i);
                uint64_t request = 0, number = 0;
                CreatePort *port;
                int r;

                db_row_uint(&row, op->n_ports, &request);
                db_row_uint(&row, PORT_MAX, &number);
                r = db_row_end(&row);
                if (r < 0 || request == 0)
                        return db_row_error(-EBADMSG, "the ports", reterr);

                port = op->ports + request - 1;
                if (port->number > 0 || port_set_contains(given, (uint16_t) number))
                        continue;

                port->number = (uint16_t) number;
                port_set_add(given, port->number);
        }

        FOREACH_ARRAY(p, op->ports, op->n_ports)
                if (p->number == 0) {
                        bool named = p->range_name[0] < '0' ||
                                        p->range_name[0] > '9'; /* names begin with a letter */

                        (void) port_range_format(text, sizeof(text), &p->range);
                        return error_setf(reterr, CCP_ERROR_PORTS_EXHAUSTED,
                                        "No port is free for '%s' in the range %s%s%s%s: all are given to "
                                        "instances or in use on this host. Widen the range with 'ccpctl "
                                        "settings set', or delete an instance.",
                                        p->name, text, named ? " (" : "", named ? p->range_name : "",
                                        named ? ")" : "");
                }

        return 0;
}

static int bind_insert_ports(DbParams *params, void *userdata) {
        CreateOp *op = userdata;
        const char *names[PORT_REQUESTS_MAX];
        int64_t numbers[PORT_REQUESTS_MAX];

        if (op->n_ports == 0)
                return DB_STEP_SKIP;

        for (size_t i = 0; i < op->n_ports; i++) {
                names[i] = op->ports[i].name;
                numbers[i] = op->ports[i].number;
        }

        db_params_add_string(params, op->id);
        db_params_add_string(params, op->host);
        db_params_add_strv(params, names, op->n_ports);
        db_params_add_int64v(params, numbers, op->n_ports);
        return 0;
}

/* --- the subnet --- */

static int bind_find_subnet(DbParams *params, void *userdata) {
        CreateOp *op = userdata;

        db_params_borrow(params, &op->subnet_params);
        return 0;
}

static int result_find_subnet(const PGresult *result, void *userdata, Error *reterr) {
        CreateOp *op = userdata;
        _cleanup_free_ char *text = NULL;
        uint64_t n_recorded = 0, n_routed = 0;
        DbRow row = DB_ROW(result, 0);
        Subnet subnet;
        int r;

        db_row_string_or_null(&row, &text);
        db_row_uint(&row, INT64_MAX, &n_recorded);
        db_row_uint(&row, INT64_MAX, &n_routed);
        r = db_row_end(&row);
        if (r >= 0 && text && subnet_parse(text, &subnet) < 0)
                r = -EBADMSG;
        if (r < 0)
                return db_row_error(r, "the subnets", reterr);

        if (!text)
                return error_setf(reterr, CCP_ERROR_SUBNETS_EXHAUSTED,
                                "No /%u subnet is free in %s: %" PRIu64
                                " of it are given to instances, and %" PRIu64
                                " routes of this host lead into it. Choose a larger or another pool with "
                                "'ccpctl settings set subnet_pool'.",
                                INSTANCE_SUBNET_PREFIX, op->pool, n_recorded, n_routed);

        (void) subnet_format(op->subnet, sizeof(op->subnet), &subnet);
        return 0;
}

static int bind_insert_subnet(DbParams *params, void *userdata) {
        CreateOp *op = userdata;

        db_params_add_string(params, op->id);
        db_params_add_string(params, op->subnet);
        return 0;
}

/* --- secrets and the job --- */

static int bind_secrets(DbParams *params, void *userdata) {
        CreateOp *op = userdata;

        if (op->n_secrets == 0)
                return DB_STEP_SKIP;

        db_params_borrow(params, &op->secrets_params);
        return 0;
}

static int bind_job(DbParams *params, void *userdata) {
        CreateOp *op = userdata;

        db_params_borrow(params, &op->job_params);
        return 0;
}

static int result_job(const PGresult *result, void *userdata, Error *reterr) {
        CreateOp *op = userdata;
        DbRow row = DB_ROW(result, 0);
        int r;

        db_row_uint(&row, INT64_MAX, &op->job_id);
        r = db_row_end(&row);
        return r < 0 ? db_row_error(r, "a job", reterr) : 0;
}

static int bind_job_steps(DbParams *params, void *userdata) {
        CreateOp *op = userdata;
        const char *names[JOB_STEPS_MAX];
        const JobStep *steps;
        size_t n, n_done = 0;

        steps = job_kind_steps(op->kind, &n);
        for (size_t i = 0; i < n; i++) {
                names[i] = steps[i].name;
                if (steps[i].by_daemon)
                        n_done = i + 1;
        }

        db_params_add_int64(params, (int64_t) op->job_id);
        db_params_add_strv(params, names, n);
        db_params_add_int64(params, (int64_t) n_done);
        return 0;
}

/* --- what it became --- */

static int bind_read_instance(DbParams *params, void *userdata) {
        CreateOp *op = userdata;

        db_params_add_string(params, op->id);
        return 0;
}

static int result_read_instance(const PGresult *result, void *userdata, Error *reterr) {
        CreateOp *op = userdata;

        return instance_record_read(result, 0, &op->instance, reterr);
}

static int bind_read_job(DbParams *params, void *userdata) {
        CreateOp *op = userdata;

        store_bind_jobs(params, &(StoreJobsQuery) STORE_JOB_QUERY(op->job_id));
        return 0;
}

static int result_read_job(const PGresult *result, void *userdata, Error *reterr) {
        CreateOp *op = userdata;

        return job_record_read(result, 0, &op->job, reterr);
}

static int bind_audit(DbParams *params, void *userdata) {
        CreateOp *op = userdata;

        op->audit.entry.job = op->job_id;
        return store_audit_bind(&op->audit, params);
}

static int result_audit(const PGresult *result, void *userdata, Error *reterr) {
        CreateOp *op = userdata;

        return store_audit_result(&op->audit, result, reterr);
}

static const DbStep create_steps[] = {
        { sql_allocation_lock },
        { sql_instance_insert, bind_instance, result_instance },
        { sql_instance_who_has, bind_who_has, result_who_has },
        { sql_ports_find_free, bind_find_ports, result_find_ports },
        { sql_ports_insert, bind_insert_ports },
        { sql_subnet_find_free, bind_find_subnet, result_find_subnet },
        { sql_subnet_insert, bind_insert_subnet },
        { sql_secrets_insert, bind_secrets },
        { sql_job_insert, bind_job, result_job },
        { sql_job_steps_insert, bind_job_steps },
        { sql_instances_select, bind_read_instance, result_read_instance },
        { sql_jobs_select, bind_read_job, result_read_job },
        { sql_audit_append, bind_audit, result_audit, .refusal = STORE_AUDIT_REFUSAL },
};
static const DbTransaction create_transaction = {
        .what = "record the instance",
        .steps = create_steps,
        .n_steps = ELEMENTSOF(create_steps),
        .reset = create_reset,
};
static const DbTransaction plan_transaction = {
        .what = "plan the instance",
        .steps = create_steps,
        .n_steps = ELEMENTSOF(create_steps) - 1, /* nothing to put on record */
        .roll_back = true,
        .reset = create_reset,
};

/* --- the request --- */

static int copy_ports(CreateOp *op, const StoreCreate *create) {
        op->ports = new0(CreatePort, create->n_ports);
        if (!op->ports)
                return -ENOMEM;

        for (size_t i = 0; i < create->n_ports; i++) {
                CreatePort *port = op->ports + op->n_ports++;

                port->range = create->ports[i].range;
                port->name = strdup(create->ports[i].name);
                port->range_name = strdup(create->ports[i].range_name);
                if (!port->name || !port->range_name)
                        return -ENOMEM;
        }

        return 0;
}

/* The parameters of ports-find-free. Of the ports in use only those in the ranges are sent. */
static int build_ports(CreateOp *op, const StoreCreate *create) {
        int64_t first[PORT_REQUESTS_MAX], last[PORT_REQUESTS_MAX];
        _cleanup_free_ int64_t *in_use = NULL;
        _cleanup_free_ PortSet *seen = NULL;
        size_t n = 0, n_allocated = 0;

        seen = new0(PortSet, 1);
        if (!seen)
                return -ENOMEM;

        for (size_t i = 0; i < op->n_ports; i++) {
                const PortRange *range = &op->ports[i].range;

                first[i] = range->first;
                last[i] = range->last;
                for (uint32_t p = range->first; create->ports_in_use && p <= range->last; p++) {
                        if (!port_set_contains(create->ports_in_use, (uint16_t) p) ||
                                        port_set_contains(seen, (uint16_t) p))
                                continue;
                        if (!GREEDY_REALLOC(in_use, n_allocated, n + 1))
                                return -ENOMEM;
                        port_set_add(seen, (uint16_t) p);
                        in_use[n++] = p;
                }
        }

        db_params_add_int64v(&op->ports_params, first, op->n_ports);
        db_params_add_int64v(&op->ports_params, last, op->n_ports);
        db_params_add_string(&op->ports_params, op->host);
        db_params_add_int64v(&op->ports_params, in_use, n);
        db_params_add_int64(&op->ports_params, (int64_t) op->n_ports);
        return db_params_check(&op->ports_params);
}

static int build_subnet(CreateOp *op, const StoreCreate *create) {
        _cleanup_strv_free_ char **routes = NULL;
        int r;

        for (size_t i = 0; i < create->n_subnets_in_use; i++) {
                r = strv_extend(&routes, SUBNET_FORMAT(create->subnets_in_use + i));
                if (r < 0)
                        return r;
        }

        (void) subnet_format(op->pool, sizeof(op->pool), &create->subnet_pool);
        db_params_add_string(&op->subnet_params, op->pool);
        db_params_add_int64(&op->subnet_params, INSTANCE_SUBNET_PREFIX);
        db_params_add_strv(&op->subnet_params, (const char *const *) routes, create->n_subnets_in_use);
        return db_params_check(&op->subnet_params);
}

static int build_secrets(CreateOp *op, const StoreCreate *create) {
        const char *names[SECRETS_MAX], *key_ids[SECRETS_MAX];
        DbBytes sealed[SECRETS_MAX];

        op->n_secrets = create->n_secrets;
        for (size_t i = 0; i < create->n_secrets; i++) {
                names[i] = create->secrets[i].name;
                key_ids[i] = create->secrets[i].key_id;
                sealed[i] = (DbBytes) { create->secrets[i].sealed, create->secrets[i].size };
        }

        db_params_add_string(&op->secrets_params, op->id);
        db_params_add_strv(&op->secrets_params, names, create->n_secrets);
        db_params_add_strv(&op->secrets_params, key_ids, create->n_secrets);
        db_params_add_bytesv(&op->secrets_params, sealed, create->n_secrets);
        return db_params_check(&op->secrets_params);
}

static int build_instance(CreateOp *op, const StoreCreate *create) {
        _cleanup_json_ json_t *limits = NULL;
        DbParams *p = &op->instance_params;
        int r;

        r = limits_to_json(&create->limits, &limits);
        if (r < 0)
                return r;

        db_params_add_string(p, op->id);
        db_params_add_string(p, op->slug);
        db_params_add_copy(p, create->name);
        db_params_add_string(p, op->domain);
        db_params_add_copy(p, create->blueprint);
        db_params_add_copy(p, create->blueprint_version);
        db_params_add_copy(p, create->engine);
        db_params_add_copy(p, create->source);
        db_params_add_copy(p, create->bind_address);
        db_params_add_json(p, create->parameters);
        db_params_add_strv(p, (const char *const *) create->features, strv_length(create->features));
        db_params_add_json(p, limits);

        p = &op->job_params;
        db_params_add_string(p, op->id);
        db_params_add_string(p, job_kind_to_string(create->kind));
        db_params_add_json(p, create->spec);
        db_params_add_copy(p, create->actor->user);
        db_params_add_int64(p, create->actor->uid);
        db_params_add_string(p, job_state_to_string(JOB_QUEUED));
        return MIN(db_params_check(&op->instance_params), db_params_check(&op->job_params));
}

static int create_op_new(const StoreCreate *create, CreateOp **ret) {
        _cleanup_(create_op_freep) CreateOp *op = NULL;
        int r;

        op = new0(CreateOp, 1);
        if (!op)
                return -ENOMEM;

        store_copy_id(op->id, create->id);
        op->kind = create->kind;
        op->slug = strdup(create->slug);
        op->host = strdup(create->host ?: STORE_HOST_LOCAL);
        if (!op->slug || !op->host)
                return -ENOMEM;

        r = free_and_strdup(&op->domain, create->domain);
        if (r >= 0)
                r = copy_ports(op, create);
        if (r >= 0)
                r = build_ports(op, create);
        if (r >= 0)
                r = build_subnet(op, create);
        if (r >= 0)
                r = build_secrets(op, create);
        if (r >= 0)
                r = build_instance(op, create);
        if (r >= 0)
                r = store_audit_init(&op->audit,
                                &(AuditEntry) {
                                                .action = AUDIT_INSTANCE_CREATE,
                                                .outcome = AUDIT_ACCEPTED,
                                                .actor = create->actor,
                                                .instance = op->slug,
                                                .instance_id = op->id,
                                                .details = create->details,
                                });
        if (r < 0)
                return r;

        *ret = TAKE_PTR(op);
        return 0;
}

static void create_done(int r, Error *error, void *userdata) {
        CreateOp *op = userdata;

        store_audit_end(&op->audit, r, error);
        op->callback(r, r < 0 ? NULL : TAKE_PTR(op->instance), r < 0 ? NULL : TAKE_PTR(op->job), error,
                        op->userdata);
}

static int request_create(Db *db, const DbTransaction *transaction, const StoreCreate *create,
                StoreCreatedCallback callback, void *userdata, DbSlot **ret_slot, Error *reterr) {
        CreateOp *op;
        int r;

        if (create->n_ports > PORT_REQUESTS_MAX || create->n_secrets > SECRETS_MAX)
                return error_setf(reterr, CCP_ERROR_LIMIT_EXCEEDED,
                                "An instance can have %u ports and %u secrets at most.", PORT_REQUESTS_MAX,
                                SECRETS_MAX);

        r = create_op_new(create, &op);
        if (r < 0)
                return error_set_errnof(reterr, r, "Could not %s: %m", transaction->what);

        op->callback = callback;
        op->userdata = userdata;
        return db_request(db, transaction, create_done, op, create_op_destroy, ret_slot, reterr);
}

int store_create_instance(Db *db, const StoreCreate *create, StoreCreatedCallback callback, void *userdata,
                DbSlot **ret_slot, Error *reterr) {
        return request_create(db, &create_transaction, create, callback, userdata, ret_slot, reterr);
}

int store_plan_instance(Db *db, const StoreCreate *create, StoreCreatedCallback callback, void *userdata,
                DbSlot **ret_slot, Error *reterr) {
        return request_create(db, &plan_transaction, create, callback, userdata, ret_slot, reterr);
}
