/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "migrate.h"

#include <inttypes.h>

#include "alloc-util.h"
#include "db-row.h"
#include "statements.h"
#include "store-audit-internal.h"
#include "string-util.h"

/* The whole of one migration; it may rewrite a table. */
#define MIGRATION_TIMEOUT (10U * USEC_PER_MINUTE)

static int result_exists(const PGresult *result, void *userdata, Error *reterr) {
        MigrationRun *run = userdata;
        DbRow row = DB_ROW(result, 0);
        int r;

        db_row_bool(&row, &run->exists);
        r = db_row_end(&row);
        return r < 0 ? db_row_error(r, "the schema", reterr) : 0;
}

static int bind_table(DbParams *params _unused_, void *userdata) {
        MigrationRun *run = userdata;

        return run->exists ? DB_STEP_SKIP : 0;
}

static int bind_versions(DbParams *params _unused_, void *userdata) {
        MigrationRun *run = userdata;

        return run->exists ? 0 : DB_STEP_SKIP;
}

static int check_version(MigrationRun *run, const PGresult *result, int i, Error *reterr) {
        _cleanup_free_ char *name = NULL, *sha256 = NULL;
        DbRow row = DB_ROW(result, i);
        uint32_t version = 0;
        int r;

        db_row_uint32(&row, &version);
        db_row_string(&row, &name);
        db_row_string(&row, &sha256);
        r = db_row_end(&row);
        if (r < 0)
                return db_row_error(r, "the schema", reterr);

        if (version > run->n_migrations)
                return error_setf(reterr, CCP_ERROR_STORE_UNAVAILABLE,
                                "The records in PostgreSQL have the schema version %" PRIu32
                                " (%s), and this program knows only up to %zu. Install the version of ccpd "
                                "that made them, or a newer one.",
                                version, name, run->n_migrations);

        if (version != (uint32_t) i + 1)
                return error_setf(reterr, CCP_ERROR_STORE_UNAVAILABLE,
                                "The records in PostgreSQL lack the schema version %d, but have %" PRIu32
                                ". Restore the database from a backup.",
                                i + 1, version);

        if (!streq(run->migrations[i].sha256, sha256))
                return error_setf(reterr, CCP_ERROR_STORE_UNAVAILABLE,
                                "The schema version %" PRIu32
                                " (%s) of the records in PostgreSQL was made from another text than this "
                                "program has. Install the version of ccpd that made it.",
                                version, name);

        run->n_applied++;
        return 0;
}

static int result_versions(const PGresult *result, void *userdata, Error *reterr) {
        MigrationRun *run = userdata;
        int r;

        run->n_applied = 0;
        for (int i = 0; i < PQntuples(result); i++) {
                r = check_version(run, result, i, reterr);
                if (r < 0)
                        return r;
        }

        return 0;
}

/* The end of a check: 'nothing at all' comes here by way of n_applied = 0. */
static int result_complete(const PGresult *result _unused_, void *userdata, Error *reterr) {
        MigrationRun *run = userdata;

        if (run->n_applied < run->n_migrations)
                return error_setf(reterr, CCP_ERROR_STORE_UNAVAILABLE,
                                "The records in PostgreSQL have the schema version %zu, and this program "
                                "needs %zu. Start ccpd.service, which brings them up to date.",
                                run->n_applied, run->n_migrations);

        return 0;
}

static int bind_apply(DbParams *params _unused_, void *userdata) {
        MigrationRun *run = userdata;

        return run->n_applied == run->index ? 0 : DB_STEP_SKIP;
}

static int bind_record(DbParams *params, void *userdata) {
        MigrationRun *run = userdata;
        const Migration *m = run->migrations + run->index;

        if (run->n_applied != run->index)
                return DB_STEP_SKIP;

        db_params_add_int64(params, m->version);
        db_params_add_string(params, m->name);
        db_params_add_string(params, m->sha256);
        return 0;
}

#define RUN_SETUP "Run /usr/lib/ccpd/ccp-setup --database."

static int result_audit_exists(const PGresult *result, void *userdata, Error *reterr) {
        MigrationRun *run = userdata;
        int r;

        r = result_exists(result, userdata, reterr);
        if (r < 0 || run->exists)
                return r;

        return error_setf(reterr, CCP_ERROR_STORE_UNAVAILABLE,
                        "The database has no audit record (the schema ccpd_audit), and nothing is done that "
                        "is "
                        "not on record. " RUN_SETUP);
}

static int result_audit_version(const PGresult *result, void *userdata _unused_, Error *reterr) {
        DbRow row = DB_ROW(result, 0);
        uint32_t version = 0;
        int r;

        db_row_uint32(&row, &version);
        r = db_row_end(&row);
        if (r < 0)
                return db_row_error(r, "the schema", reterr);

        if (version < STORE_AUDIT_VERSION)
                return error_setf(reterr, CCP_ERROR_STORE_UNAVAILABLE,
                                "The audit record in the database has the version %" PRIu32
                                ", and this program needs %u. " RUN_SETUP,
                                version, STORE_AUDIT_VERSION);

        return 0;
}

static void run_reset(void *userdata) {
        MigrationRun *run = userdata;

        run->exists = false;
        run->n_applied = 0;
}

void migration_run_prepare(MigrationRun *run, const Migration *list, size_t n, size_t index) {
        assert(index < n);

        *run = (MigrationRun){
                .migrations = list,
                .n_migrations = n,
                .index = index,
                .steps = {
                        { .sql = sql_schema_lock },
                        { .sql = sql_schema_patience },
                        { .sql = sql_schema_exists, .result = result_exists },
                        { .sql = sql_schema_table, .bind = bind_table },
                        { .sql = sql_schema_versions, .bind = bind_versions, .result = result_versions },
                        { .sql = list[index].sql, .bind = bind_apply, .script = true },
                        { .sql = sql_schema_record, .bind = bind_record },
                },
                .transaction = {
                        .what = "bring the schema of the records up to date",
                        .n_steps = 7,
                        .timeout = MIGRATION_TIMEOUT,
                        .reset = run_reset,
                },
        };
        run->transaction.steps = run->steps;
}

void migration_run_prepare_check(MigrationRun *run, const Migration *list, size_t n) {
        *run = (MigrationRun){
                .migrations = list,
                .n_migrations = n,
                .steps = {
                        { .sql = sql_schema_exists, .result = result_exists },
                        { .sql = sql_schema_versions, .bind = bind_versions, .result = result_versions },
                        { .sql = sql_schema_exists, .result = result_complete },
                },
                .transaction = {
                        .what = "check the schema of the records",
                        .n_steps = 3,
                        .read_only = true,
                        .reset = run_reset,
                },
        };
        run->transaction.steps = run->steps;
}

void migration_run_prepare_audit_check(MigrationRun *run) {
        *run = (MigrationRun){
                .steps = {
                        { .sql = sql_audit_exists, .result = result_audit_exists, .refusal = RUN_SETUP },
                        { .sql = sql_audit_version, .result = result_audit_version, .refusal = RUN_SETUP },
                },
                .transaction = {
                        .what = "check the audit record",
                        .n_steps = 2,
                        .read_only = true,
                        .reset = run_reset,
                },
        };
        run->transaction.steps = run->steps;
}
