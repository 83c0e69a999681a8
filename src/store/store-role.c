/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "store-role.h"

#include <errno.h>
#include <inttypes.h>

#include "alloc-util.h"
#include "db-row.h"
#include "json-util.h"
#include "statements.h"
#include "store-internal.h"

/* --- records --- */

static RoleRecord *role_record_free(RoleRecord *i) {
        if (!i)
                return NULL;

        free(i->name);
        free(i->slug);
        free(i->granted_by);
        return mfree(i);
}
DEFINE_CLEANUP_FUNC(RoleRecord *, role_record_free);

RoleRecords *role_records_free(RoleRecords *l) {
        if (!l)
                return NULL;

        FOREACH_ARRAY(i, l->items, l->n)
                role_record_free(*i);
        free(l->items);
        free(l->grants);
        return mfree(l);
}

DB_ENUM_READER(role);
DB_ENUM_READER(subject_kind);

static int role_record_read(const PGresult *result, int number, RoleRecord **ret, Error *reterr) {
        _cleanup_(role_record_freep) RoleRecord *i = NULL;
        _cleanup_free_ char *instance = NULL;
        int subject = 0, role = 0, r;
        DbRow row = DB_ROW(result, number);

        i = new0(RoleRecord, 1);
        if (!i)
                return db_row_error(-ENOMEM, "the roles", reterr);

        db_row_enum(&row, read_subject_kind, &subject);
        db_row_uint32(&row, &i->grant.id);
        db_row_string(&row, &i->name);
        db_row_enum(&row, read_role, &role);
        db_row_string_or_null(&row, &instance);
        db_row_string_or_null(&row, &i->slug);
        db_row_usec(&row, &i->granted_at);
        db_row_string(&row, &i->granted_by);
        r = db_row_end(&row);
        if (r < 0)
                return db_row_error(r, "the roles", reterr);

        i->grant.subject = subject;
        i->grant.role = role;
        i->grant.name = i->name;
        if (instance) {
                store_copy_id(i->instance, instance);
                i->grant.instance = i->instance;
        }
        *ret = TAKE_PTR(i);
        return 0;
}

int role_records_read(const PGresult *result, RoleRecords **ret, Error *reterr) {
        _cleanup_(role_records_freep) RoleRecords *l = NULL;
        int n = PQntuples(result);

        l = new0(RoleRecords, 1);
        if (!l)
                return db_row_error(-ENOMEM, "the roles", reterr);

        l->items = new0(RoleRecord *, (size_t) n);
        l->grants = new0(const RoleGrant *, (size_t) n);
        if (!l->items || !l->grants)
                return db_row_error(-ENOMEM, "the roles", reterr);

        for (int i = 0; i < n; i++) {
                int r;

                r = role_record_read(result, i, l->items + i, reterr);
                if (r < 0)
                        return r;
                l->grants[i] = &l->items[i]->grant;
                l->n++;
        }

        role_records_free(*ret);
        *ret = TAKE_PTR(l);
        return 0;
}

/* --- the requests --- */

typedef struct RolesOp {
        SubjectKind subject;
        uint32_t id;
        char *name;
        Role role; /* _ROLE_INVALID: revoke */
        bool scoped;
        char instance[STORE_ID_MAX];
        StoreAudit audit;

        char *slug;
        bool found;      /* the subject has a role there … */
        Role found_role; /* … this one */
        bool same;       /* … and it is the one that is asked for */
        RoleRecords *roles;

        StoreRolesCallback callback;
        void *userdata;
} RolesOp;

static void roles_reset(void *userdata) {
        RolesOp *op = userdata;

        op->slug = mfree(op->slug);
        op->found = op->same = false;
        op->roles = role_records_free(op->roles);
        store_audit_reset(&op->audit);
}

static void roles_op_free(void *userdata) {
        RolesOp *op = userdata;

        roles_reset(op);
        store_audit_done(&op->audit);
        free(op->name);
        free(op);
}

static int roles_result(const PGresult *result, void *userdata, Error *reterr) {
        RolesOp *op = userdata;

        return role_records_read(result, &op->roles, reterr);
}

static const DbStep load_step = { sql_roles_select, NULL, roles_result };
static const DbTransaction load_transaction = {
        .what = "read the roles",
        .steps = &load_step,
        .n_steps = 1,
        .read_only = true,
};

static int set_bind_instance(DbParams *params, void *userdata) {
        RolesOp *op = userdata;

        if (!op->scoped)
                return DB_STEP_SKIP;

        db_params_add_string(params, op->instance);
        return 0;
}

static int set_result_instance(const PGresult *result, void *userdata, Error *reterr) {
        RolesOp *op = userdata;
        DbRow row = DB_ROW(result, 0);
        int r;

        if (PQntuples(result) == 0)
                return error_setf(reterr, CCP_ERROR_NO_SUCH_INSTANCE,
                                "There is no such instance (any more). 'ccpctl list' shows those that there "
                                "are.");

        db_row_string(&row, &op->slug);
        r = db_row_end(&row);
        return r < 0 ? db_row_error(r, "an instance", reterr) : 0;
}

static void add_subject_and_scope(DbParams *params, const RolesOp *op) {
        db_params_add_string(params, subject_kind_to_string(op->subject));
        db_params_add_string(params, op->name);
        db_params_add_string(params, op->scoped ? op->instance : NULL);
}

static int set_bind_find(DbParams *params, void *userdata) {
        add_subject_and_scope(params, userdata);
        return 0;
}

static int set_result_find(const PGresult *result, void *userdata, Error *reterr) {
        RolesOp *op = userdata;
        _cleanup_free_ char *role = NULL;
        DbRow row = DB_ROW(result, 0);
        uint64_t n = 0, id = 0;
        int r;

        db_row_uint(&row, INT64_MAX, &n);
        db_row_string_or_null(&row, &role);
        db_row_uint_or_null(&row, UINT32_MAX, &id);
        r = db_row_end(&row);
        if (r >= 0 && role) {
                op->found = true;
                op->found_role = role_from_string(role);
                if (op->found_role < 0)
                        r = -EBADMSG;
        }
        if (r < 0)
                return db_row_error(r, "the roles", reterr);

        if (op->role < 0 && !op->found)
                return error_setf(reterr, CCP_ERROR_NO_SUCH_ROLE,
                                "The %s '%s' has no role %s%s%s. 'ccpctl role list' shows the roles that "
                                "there "
                                "are.",
                                subject_kind_to_string(op->subject), op->name,
                                op->scoped ? "on '" : "for the whole fleet", strempty(op->slug),
                                op->scoped ? "'" : "");
        if (!op->found && n >= STORE_ROLES_MAX)
                return error_setf(reterr, CCP_ERROR_LIMIT_EXCEEDED,
                                "There are %u roles already, which is all there can be. Grant roles to "
                                "groups, "
                                "or revoke some.",
                                STORE_ROLES_MAX);

        op->same = op->found && op->found_role == op->role && id == op->id;
        return 0;
}

static int set_bind_put(DbParams *params, void *userdata) {
        RolesOp *op = userdata;

        if (op->role < 0 || op->same)
                return DB_STEP_SKIP;

        add_subject_and_scope(params, op);
        db_params_add_int64(params, op->id);
        db_params_add_string(params, role_to_string(op->role));
        db_params_add_string(params, op->audit.actor.user);
        return 0;
}

static int set_bind_remove(DbParams *params, void *userdata) {
        RolesOp *op = userdata;

        if (op->role >= 0)
                return DB_STEP_SKIP;

        add_subject_and_scope(params, op);
        return 0;
}

/* What is recorded shall be read without the records of today: names, no numbers of rows. */
static json_t *set_details(const RolesOp *op) {
        _cleanup_json_ json_t *details = NULL;
        int r = 0;

        details = json_pack("{s:s, s:s, s:s}", "role",
                        role_to_string(op->role >= 0 ? op->role : op->found_role), "kind",
                        subject_kind_to_string(op->subject), "name", op->name);
        if (!details)
                return NULL;

        if (op->role >= 0) {
                r |= json_object_set_new(details, "id", json_integer(op->id));
                if (op->found)
                        r |= json_object_set_new(
                                        details, "role_before", json_string(role_to_string(op->found_role)));
        }
        r |= json_object_set_new(details, "instance", json_string(strempty(op->slug)));
        return r < 0 ? NULL : TAKE_PTR(details);
}

static int set_bind_audit(DbParams *params, void *userdata) {
        RolesOp *op = userdata;
        json_t *details;
        int r;

        if (op->same)
                return DB_STEP_SKIP;

        details = set_details(op);
        if (!details)
                return -ENOMEM;
        json_decref((json_t *) op->audit.entry.details);
        op->audit.entry.details = details;

        r = store_audit_set_instance(&op->audit, op->slug, op->scoped ? op->instance : NULL);
        if (r < 0)
                return r;

        op->audit.entry.action = op->role < 0 ? AUDIT_USER_DELETE
                        : op->found           ? AUDIT_USER_UPDATE
                                              : AUDIT_USER_CREATE;
        return store_audit_bind(&op->audit, params);
}

static int set_result_audit(const PGresult *result, void *userdata, Error *reterr) {
        RolesOp *op = userdata;

        return store_audit_result(&op->audit, result, reterr);
}

static const DbStep set_steps[] = {
        { sql_role_instance, set_bind_instance, set_result_instance },
        { sql_roles_lock },
        { sql_role_find, set_bind_find, set_result_find },
        { sql_role_put, set_bind_put },
        { sql_role_remove, set_bind_remove },
        { sql_roles_select, NULL, roles_result },
        { sql_audit_append, set_bind_audit, set_result_audit, .refusal = STORE_AUDIT_REFUSAL },
};
static const DbTransaction set_transaction = {
        .what = "record the role",
        .steps = set_steps,
        .n_steps = ELEMENTSOF(set_steps),
        .reset = roles_reset,
};

static void roles_done(int r, Error *error, void *userdata) {
        RolesOp *op = userdata;

        store_audit_end(&op->audit, r, error);
        op->callback(r, r < 0 ? NULL : TAKE_PTR(op->roles), error, op->userdata);
}

int store_load_roles(Db *db, StoreRolesCallback callback, void *userdata, DbSlot **ret_slot, Error *reterr) {
        RolesOp *op;

        op = new0(RolesOp, 1);
        if (!op)
                return store_oom(&load_transaction, reterr);

        *op = (RolesOp) { .callback = callback, .userdata = userdata };
        return db_request(db, &load_transaction, roles_done, op, roles_op_free, ret_slot, reterr);
}

int store_set_role(Db *db, const RoleGrant *grant, const AuditActor *actor, StoreRolesCallback callback,
                void *userdata, DbSlot **ret_slot, Error *reterr) {
        const AuditEntry entry = { .action = AUDIT_USER_CREATE, .outcome = AUDIT_SUCCEEDED, .actor = actor };
        RolesOp *op;

        op = new0(RolesOp, 1);
        if (!op)
                return store_oom(&set_transaction, reterr);

        *op = (RolesOp) {
                .subject = grant->subject,
                .id = grant->id,
                .role = grant->role,
                .scoped = grant->instance,
                .callback = callback,
                .userdata = userdata,
        };
        if (grant->instance)
                store_copy_id(op->instance, grant->instance);
        if (store_audit_init(&op->audit, &entry) < 0 || free_and_strdup(&op->name, grant->name) < 0) {
                roles_op_free(op);
                return store_oom(&set_transaction, reterr);
        }

        return db_request(db, &set_transaction, roles_done, op, roles_op_free, ret_slot, reterr);
}
