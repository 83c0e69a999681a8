/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "store-audit.h"

#include <errno.h>
#include <stdlib.h>

#include "alloc-util.h"
#include "audit-chain.h"
#include "db-row.h"
#include "json-util.h"
#include "statements.h"
#include "store-audit-internal.h"
#include "store-internal.h"

/* Bytes kept of a text that comes from outside: the name of a process, or of an instance that there may not
 * be. What is longer than an index takes must not keep a denial off the record. */
#define TEXT_MAX 256U
/* No entry is of a later time, and the database can add to it. */
#define TIME_MAX ((usec_t) INT64_MAX / 2)
/* How many entries are checked at a time, before others get their turn. */
#define VERIFY_PAGE 1000U

/* --- records --- */

AuditRecord *audit_record_free(AuditRecord *a) {
        if (!a)
                return NULL;

        free(a->action);
        free(a->outcome);
        free(a->instance);
        free(a->instance_id);
        free(a->user);
        free(a->process);
        free(a->unit);
        free(a->session);
        free(a->remote_host);
        free(a->error_name);
        free(a->details);
        return mfree(a);
}

void audit_records_done(AuditRecords *l) {
        FOREACH_ARRAY(i, l->items, l->n)
                audit_record_free(*i);
        free(l->items);
        *l = (AuditRecords) {};
}

static void read_hash(DbRow *row, uint8_t ret[AUDIT_HASH_SIZE]) {
        _cleanup_free_ uint8_t *data = NULL;
        size_t size = 0;

        db_row_bytes(row, &data, &size);
        if (row->error == 0 && size != AUDIT_HASH_SIZE)
                row->error = -EBADMSG;
        if (row->error == 0)
                memcpy(ret, data, AUDIT_HASH_SIZE);
}

int audit_record_read(const PGresult *result, int number, AuditRecord **ret, Error *reterr) {
        _cleanup_(audit_record_freep) AuditRecord *a = NULL;
        uint64_t login_uid = UINT64_MAX, pid = 0;
        DbRow row = DB_ROW(result, number);
        int r;

        a = new0(AuditRecord, 1);
        if (!a)
                return db_row_error(-ENOMEM, "the audit record", reterr);

        db_row_uint(&row, INT64_MAX, &a->seq);
        db_row_uint(&row, INT64_MAX, &a->time);
        db_row_string(&row, &a->action);
        db_row_string(&row, &a->outcome);
        db_row_string_or_null(&row, &a->instance);
        db_row_string_or_null(&row, &a->instance_id);
        db_row_uint32(&row, &a->uid);
        db_row_string(&row, &a->user);
        db_row_uint_or_null(&row, UINT32_MAX, &login_uid);
        db_row_uint_or_null(&row, UINT32_MAX, &pid);
        db_row_string_or_null(&row, &a->process);
        db_row_string_or_null(&row, &a->unit);
        db_row_string_or_null(&row, &a->session);
        db_row_string_or_null(&row, &a->remote_host);
        db_row_uint_or_null(&row, INT64_MAX, &a->job);
        db_row_string_or_null(&row, &a->error_name);
        db_row_string(&row, &a->details);
        read_hash(&row, a->previous);
        read_hash(&row, a->hash);
        r = db_row_end(&row);
        if (r < 0)
                return db_row_error(r, "the audit record", reterr);

        a->login_uid = login_uid == UINT64_MAX ? -1 : (int64_t) login_uid;
        a->pid = (uint32_t) pid;
        *ret = TAKE_PTR(a);
        return 0;
}

static int audit_records_read(const PGresult *result, AuditRecords *ret, Error *reterr) {
        int n = PQntuples(result);

        audit_records_done(ret);
        ret->items = new0(AuditRecord *, (size_t) n);
        if (!ret->items)
                return db_row_error(-ENOMEM, "the audit record", reterr);

        for (int i = 0; i < n; i++) {
                int r;

                r = audit_record_read(result, i, ret->items + i, reterr);
                if (r < 0)
                        return r;
                ret->n++;
        }

        return 0;
}

/* --- an entry that is appended together with a change --- */

/* A copy that the records take: UTF-8, and not too long. */
static int copy_text(const char **ret, const char *s) {
        char *copy;

        if (!s)
                return 0;

        copy = strndup(s, TEXT_MAX);
        if (!copy)
                return -ENOMEM;

        utf8_make_valid(copy);
        *ret = copy;
        return 0;
}

int store_audit_init(StoreAudit *a, const AuditEntry *entry) {
        const AuditActor *actor = entry->actor;
        int r;

        *a = (StoreAudit) {
                .actor = {
                        .uid = actor->uid,
                        .login_uid = actor->login_uid,
                        .pid = actor->pid,
                },
                .entry = {
                        .action = entry->action,
                        .outcome = entry->outcome,
                        .job = entry->job,
                },
        };
        a->entry.actor = &a->actor;

        r = copy_text(&a->actor.user, actor->user);
        if (r >= 0)
                r = copy_text(&a->actor.process, actor->process);
        if (r >= 0)
                r = copy_text(&a->actor.unit, actor->unit);
        if (r >= 0)
                r = copy_text(&a->actor.session, actor->session);
        if (r >= 0)
                r = copy_text(&a->actor.remote_host, actor->remote_host);
        if (r >= 0)
                r = copy_text(&a->entry.error_name, entry->error_name);
        if (r >= 0)
                r = store_audit_set_instance(a, entry->instance, entry->instance_id);
        if (r >= 0) {
                a->entry.details = entry->details ? json_deep_copy(entry->details) : json_object();
                if (!a->entry.details)
                        r = -ENOMEM;
        }
        return r;
}

void store_audit_done(StoreAudit *a) {
        free((char *) a->actor.user);
        free((char *) a->actor.process);
        free((char *) a->actor.unit);
        free((char *) a->actor.session);
        free((char *) a->actor.remote_host);
        free((char *) a->entry.instance);
        free((char *) a->entry.instance_id);
        free((char *) a->entry.error_name);
        json_decref((json_t *) a->entry.details);
        store_audit_reset(a);
        *a = (StoreAudit) {};
}

void store_audit_reset(StoreAudit *a) {
        a->begun = false;
        a->record = audit_record_free(a->record);
}

int store_audit_set_instance(StoreAudit *a, const char *slug, const char *id) {
        const char *new_slug = NULL, *new_id = NULL;
        int r;

        r = copy_text(&new_slug, slug);
        if (r >= 0)
                r = copy_text(&new_id, id);
        if (r < 0) {
                free((char *) new_slug);
                return r;
        }

        free((char *) a->entry.instance);
        free((char *) a->entry.instance_id);
        a->entry.instance = new_slug;
        a->entry.instance_id = new_id;
        return 0;
}

static void add_number(DbParams *params, int64_t number, bool known) {
        if (known)
                db_params_add_int64(params, number);
        else
                db_params_add_string(params, NULL);
}

int store_audit_bind(StoreAudit *a, DbParams *params) {
        const AuditEntry *e = &a->entry;

        a->begun = true;
        db_params_add_string(params, audit_action_to_string(e->action));
        db_params_add_string(params, audit_outcome_to_string(e->outcome));
        db_params_add_string(params, e->instance);
        db_params_add_string(params, e->instance_id);
        db_params_add_int64(params, a->actor.uid);
        db_params_add_string(params, a->actor.user);
        add_number(params, a->actor.login_uid, a->actor.login_uid >= 0);
        add_number(params, a->actor.pid, a->actor.pid > 0);
        db_params_add_string(params, a->actor.process);
        db_params_add_string(params, a->actor.unit);
        db_params_add_string(params, a->actor.session);
        db_params_add_string(params, a->actor.remote_host);
        add_number(params, (int64_t) e->job, e->job > 0);
        db_params_add_string(params, e->error_name);
        db_params_add_json(params, e->details);
        return 0;
}

int store_audit_result(StoreAudit *a, const PGresult *result, Error *reterr) {
        return audit_record_read(result, 0, &a->record, reterr);
}

void store_audit_end(const StoreAudit *a, int r, const Error *error) {
        if (r >= 0 && a->record)
                audit_record_log(a->record);
        else if (r < 0 && a->begun && !a->record)
                audit_entry_log_lost(&a->entry, error);
}

/* --- an entry of its own --- */

typedef struct AppendOp {
        StoreAudit audit;
        StoreAuditCallback callback;
        void *userdata;
} AppendOp;

static void append_reset(void *userdata) {
        AppendOp *op = userdata;

        store_audit_reset(&op->audit);
}

static void append_op_free(void *userdata) {
        AppendOp *op = userdata;

        store_audit_done(&op->audit);
        free(op);
}

static int append_bind(DbParams *params, void *userdata) {
        AppendOp *op = userdata;

        return store_audit_bind(&op->audit, params);
}

static int append_result(const PGresult *result, void *userdata, Error *reterr) {
        AppendOp *op = userdata;

        return store_audit_result(&op->audit, result, reterr);
}

static const DbStep append_step = {
        .sql = sql_audit_append,
        .bind = append_bind,
        .result = append_result,
        .refusal = STORE_AUDIT_REFUSAL,
};
static const DbTransaction append_transaction = {
        .what = "put it on record",
        .steps = &append_step,
        .n_steps = 1,
        .reset = append_reset,
};

static void append_done(int r, Error *error, void *userdata) {
        AppendOp *op = userdata;

        if (r >= 0)
                audit_record_log(op->audit.record);
        else
                audit_entry_log_lost(&op->audit.entry, error);
        if (op->callback)
                op->callback(r, r < 0 ? NULL : TAKE_PTR(op->audit.record), error, op->userdata);
}

int store_append_audit(Db *db, const AuditEntry *entry, StoreAuditCallback callback, void *userdata,
                DbSlot **ret_slot, Error *reterr) {
        _cleanup_error_ Error error = {};
        AppendOp *op;
        int r;

        op = new0(AppendOp, 1);
        if (!op)
                r = store_oom(&append_transaction, &error);
        else {
                op->callback = callback;
                op->userdata = userdata;
                r = store_audit_init(&op->audit, entry);
                if (r < 0) {
                        append_op_free(op);
                        r = store_oom(&append_transaction, &error);
                } else
                        r = db_request(db, &append_transaction, append_done, op, append_op_free, ret_slot,
                                        &error);
        }
        if (r < 0) {
                audit_entry_log_lost(entry, &error);
                error_move(reterr, &error);
        }

        return r;
}

/* --- query --- */

typedef struct QueryOp {
        DbParams params;
        AuditRecords records;
        StoreAuditsCallback callback;
        void *userdata;
} QueryOp;

static void query_op_free(void *userdata) {
        QueryOp *op = userdata;

        db_params_done(&op->params);
        audit_records_done(&op->records);
        free(op);
}

static int query_bind(DbParams *params, void *userdata) {
        QueryOp *op = userdata;

        db_params_borrow(params, &op->params);
        return 0;
}

static int query_result(const PGresult *result, void *userdata, Error *reterr) {
        QueryOp *op = userdata;

        return audit_records_read(result, &op->records, reterr);
}

static const DbStep query_step = { sql_audit_select, query_bind, query_result };
static const DbTransaction query_transaction = {
        .what = "read the audit record",
        .steps = &query_step,
        .n_steps = 1,
        .read_only = true,
};

static void query_done(int r, Error *error, void *userdata) {
        QueryOp *op = userdata;

        op->callback(r, r < 0 ? NULL : &op->records, error, op->userdata);
}

/* A user is asked for by number, if it is one: entries of somebody without a name have it for a name, too. */
static bool parse_uid(const char *s, uint32_t *ret) {
        unsigned long long n;

        if (isempty(s) || strlen(s) > 10 || s[strspn(s, "0123456789")])
                return false;

        n = strtoull(s, NULL, 10);
        if (n > UINT32_MAX)
                return false;

        *ret = (uint32_t) n;
        return true;
}

/* The parameters of audit-select. */
static void query_params(DbParams *p, const StoreAuditFilter *f) {
        uint32_t uid = 0;
        bool by_uid = parse_uid(f->user, &uid);

        db_params_add_copy(p, f->instance);
        db_params_add_copy(p, by_uid ? NULL : f->user);
        add_number(p, uid, by_uid);
        db_params_add_copy(p, f->action);
        db_params_add_copy(p, f->outcome);
        add_number(p, (int64_t) MIN(f->since, TIME_MAX), f->since > 0);
        add_number(p, (int64_t) f->until, f->until > 0 && f->until < TIME_MAX);
        add_number(p, (int64_t) MIN(f->before, (uint64_t) INT64_MAX), f->before > 0);
        add_number(p, (int64_t) MIN(f->after, (uint64_t) INT64_MAX), f->after > 0);
        db_params_add_int64(p, (int64_t) MIN(f->limit ?: STORE_LIST_MAX, (uint64_t) STORE_LIST_MAX));
        db_params_add_bool(p, f->oldest_first);
        db_params_add_bool(p, f->instance || f->user || f->action || f->outcome);
}

int store_query_audit(Db *db, const StoreAuditFilter *filter, StoreAuditsCallback callback, void *userdata,
                DbSlot **ret_slot, Error *reterr) {
        QueryOp *op;

        op = new0(QueryOp, 1);
        if (!op)
                return store_oom(&query_transaction, reterr);

        *op = (QueryOp) { .callback = callback, .userdata = userdata };
        query_params(&op->params, filter);
        return db_request(db, &query_transaction, query_done, op, query_op_free, ret_slot, reterr);
}

/* --- verify --- */

typedef struct VerifyOp {
        Db *db;
        AuditChain chain;
        bool begun; /* the ends are known */
        bool over;  /* the verdict stands */
        StoreVerdictCallback callback;
        void *userdata;
} VerifyOp;

static int verify_result_ends(const PGresult *result, void *userdata, Error *reterr) {
        VerifyOp *op = userdata;
        _cleanup_free_ char *checkpoint_hash = NULL, *head_hash = NULL;
        uint64_t checkpoint = 0, head = 0, first = 0, last = 0, beyond = 0;
        DbRow row = DB_ROW(result, 0);
        int r;

        db_row_uint(&row, INT64_MAX, &checkpoint);
        db_row_string_or_null(&row, &checkpoint_hash);
        db_row_uint(&row, INT64_MAX, &head);
        db_row_string_or_null(&row, &head_hash);
        db_row_uint(&row, INT64_MAX, &first);
        db_row_uint(&row, INT64_MAX, &last);
        db_row_uint(&row, INT64_MAX, &beyond);
        r = db_row_end(&row);
        if (r < 0)
                return db_row_error(r, "the audit record", reterr);

        if (!op->begun) {
                op->begun = true;
                op->over = !audit_chain_begin(&op->chain, checkpoint, checkpoint_hash, head, head_hash,
                                first, last, beyond);
        } else if (checkpoint_hash)
                audit_chain_pruned(&op->chain, checkpoint, checkpoint_hash);

        return 0;
}

static int verify_bind_page(DbParams *params, void *userdata) {
        VerifyOp *op = userdata;

        if (op->over)
                return DB_STEP_SKIP;

        db_params_add_int64(params, (int64_t) op->chain.position);
        db_params_add_int64(params, (int64_t) op->chain.end);
        db_params_add_int64(params, VERIFY_PAGE);
        return 0;
}

static int verify_result_page(const PGresult *result, void *userdata, Error *reterr) {
        VerifyOp *op = userdata;
        int n = PQntuples(result);

        if (PQnfields(result) != _AUDIT_FIELD_MAX + 1)
                return db_row_error(-EBADMSG, "the audit record", reterr);

        for (int i = 0; i < n && !op->over; i++) {
                const char *values[_AUDIT_FIELD_MAX + 1];

                for (int k = 0; k <= _AUDIT_FIELD_MAX; k++)
                        values[k] = PQgetisnull(result, i, k) ? NULL : PQgetvalue(result, i, k);
                op->over = !audit_chain_add(&op->chain,
                                strtoull(strempty(values[AUDIT_FIELD_SEQ]), NULL, 10), values,
                                values[_AUDIT_FIELD_MAX]);
        }

        if (!op->over && n < (int) VERIFY_PAGE) {
                audit_chain_finish(&op->chain);
                op->over = true;
        }
        return 0;
}

static const DbStep verify_steps[] = {
        { sql_audit_ends, NULL, verify_result_ends },
        { sql_audit_chain, verify_bind_page, verify_result_page },
};
static const DbTransaction verify_transaction = {
        .what = "verify the audit record",
        .steps = verify_steps,
        .n_steps = ELEMENTSOF(verify_steps),
        .read_only = true,
};

static int verify_request(const VerifyOp *from, Error *reterr);

static void verify_done(int r, Error *error, void *userdata) {
        VerifyOp *op = userdata;
        _cleanup_error_ Error e = {};

        /* The next page is a request of its own, behind those that wait. */
        if (r >= 0 && !op->over) {
                r = verify_request(op, &e);
                if (r >= 0)
                        return;
                error = &e;
        }

        op->callback(r, r < 0 ? NULL : &op->chain.verdict, error, op->userdata);
}

static int verify_request(const VerifyOp *from, Error *reterr) {
        VerifyOp *op;

        op = new0(VerifyOp, 1);
        if (!op)
                return store_oom(&verify_transaction, reterr);

        *op = *from;
        return db_request(op->db, &verify_transaction, verify_done, op, free, NULL, reterr);
}

int store_verify_audit(Db *db, StoreVerdictCallback callback, void *userdata, Error *reterr) {
        return verify_request(&(VerifyOp) { .db = db, .callback = callback, .userdata = userdata }, reterr);
}

/* --- prune --- */

typedef struct PruneOp {
        StoreAudit audit;
        usec_t keep;
        uint64_t n_removed, last_removed;
        StorePruneCallback callback;
        void *userdata;
} PruneOp;

static void prune_reset(void *userdata) {
        PruneOp *op = userdata;

        store_audit_reset(&op->audit);
        op->n_removed = 0;
}

static void prune_op_free(void *userdata) {
        PruneOp *op = userdata;

        store_audit_done(&op->audit);
        free(op);
}

static int prune_bind(DbParams *params, void *userdata) {
        PruneOp *op = userdata;
        usec_t t = now(CLOCK_REALTIME);

        db_params_add_int64(params, t > op->keep ? (int64_t) (t - op->keep) : 0);
        return 0;
}

static int prune_result(const PGresult *result, void *userdata, Error *reterr) {
        PruneOp *op = userdata;
        DbRow row = DB_ROW(result, 0);
        int r;

        db_row_uint(&row, INT64_MAX, &op->n_removed);
        db_row_uint(&row, INT64_MAX, &op->last_removed);
        r = db_row_end(&row);
        return r < 0 ? db_row_error(r, "the audit record", reterr) : 0;
}

static int prune_bind_audit(DbParams *params, void *userdata) {
        PruneOp *op = userdata;
        json_t *details;

        if (op->n_removed == 0)
                return DB_STEP_SKIP;

        details = json_pack("{s:I, s:I}", "removed", (json_int_t) op->n_removed, "last",
                        (json_int_t) op->last_removed);
        if (!details)
                return -ENOMEM;

        json_decref((json_t *) op->audit.entry.details);
        op->audit.entry.details = details;
        return store_audit_bind(&op->audit, params);
}

static int prune_result_audit(const PGresult *result, void *userdata, Error *reterr) {
        PruneOp *op = userdata;

        return store_audit_result(&op->audit, result, reterr);
}

static const DbStep prune_steps[] = {
        { sql_audit_prune, prune_bind, prune_result },
        { sql_audit_append, prune_bind_audit, prune_result_audit, .refusal = STORE_AUDIT_REFUSAL },
};
static const DbTransaction prune_transaction = {
        .what = "prune the audit record",
        .steps = prune_steps,
        .n_steps = ELEMENTSOF(prune_steps),
        .timeout = USEC_PER_MINUTE,
        .reset = prune_reset,
};

static void prune_done(int r, Error *error, void *userdata) {
        PruneOp *op = userdata;

        store_audit_end(&op->audit, r, error);
        op->callback(r, r < 0 ? 0 : op->n_removed, error, op->userdata);
}

int store_prune_audit(Db *db, usec_t keep, const AuditActor *actor, StorePruneCallback callback,
                void *userdata, DbSlot **ret_slot, Error *reterr) {
        const AuditEntry entry = {
                .action = AUDIT_AUDIT_PRUNE,
                .outcome = AUDIT_SUCCEEDED,
                .actor = actor,
        };
        PruneOp *op;

        op = new0(PruneOp, 1);
        if (!op)
                return store_oom(&prune_transaction, reterr);

        *op = (PruneOp) { .keep = keep, .callback = callback, .userdata = userdata };
        if (store_audit_init(&op->audit, &entry) < 0) {
                prune_op_free(op);
                return store_oom(&prune_transaction, reterr);
        }

        return db_request(db, &prune_transaction, prune_done, op, prune_op_free, ret_slot, reterr);
}
