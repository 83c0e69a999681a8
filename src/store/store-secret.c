/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "store-secret.h"

#include <stdlib.h>

#include "alloc-util.h"
#include "statements.h"
#include "store-internal.h"

typedef struct SecretsOp {
        char instance[STORE_ID_MAX];
        char *name;
        SecretRecords secrets;
        StoreSecretsCallback callback;
        void *userdata;
} SecretsOp;

static void secrets_op_free(void *userdata) {
        SecretsOp *op = userdata;

        secret_records_done(&op->secrets);
        free(op->name);
        free(op);
}

static int secrets_bind(DbParams *params, void *userdata) {
        SecretsOp *op = userdata;

        db_params_add_string(params, op->instance);
        db_params_add_string(params, op->name);
        return 0;
}

static int secrets_result(const PGresult *result, void *userdata, Error *reterr) {
        SecretsOp *op = userdata;

        return secret_records_read(result, &op->secrets, reterr);
}

static const DbStep secrets_step = { sql_secrets_newest, secrets_bind, secrets_result };
static const DbTransaction secrets_transaction = {
        .what = "read the records of secrets",
        .steps = &secrets_step,
        .n_steps = 1,
        .read_only = true,
};

static void secrets_done(int r, Error *error, void *userdata) {
        SecretsOp *op = userdata;

        op->callback(r, r < 0 ? NULL : &op->secrets, error, op->userdata);
}

int store_load_secrets(Db *db, const char *instance, const char *name, StoreSecretsCallback callback,
                void *userdata, DbSlot **ret_slot, Error *reterr) {
        SecretsOp *op;

        op = new0(SecretsOp, 1);
        if (!op)
                return store_oom(&secrets_transaction, reterr);

        *op = (SecretsOp) { .callback = callback, .userdata = userdata };
        store_copy_id(op->instance, instance);
        if (free_and_strdup(&op->name, name) < 0) {
                free(op);
                return store_oom(&secrets_transaction, reterr);
        }

        return db_request(db, &secrets_transaction, secrets_done, op, secrets_op_free, ret_slot, reterr);
}
