/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The parameters of one statement, as text, bound and never pasted into it. Initialize with {}. Failures
 * stick: after one, all calls are no-ops and db_params_check() returns it, so that only the end needs a
 * check. */

#include <jansson.h>

#include "ccp/macro.h"

#define DB_PARAMS_MAX 24U

typedef struct DbParams {
        const char *values[DB_PARAMS_MAX];
        char *owned[DB_PARAMS_MAX];
        unsigned n;
        int error;
} DbParams;

typedef struct DbBytes {
        const void *data;
        size_t size;
} DbBytes;

void db_params_done(DbParams *p);
#define _cleanup_db_params_ _cleanup_(db_params_done)

/* NULL is SQL's NULL, here and below. The string is borrowed. */
void db_params_add_string(DbParams *p, const char *s);
void db_params_add_copy(DbParams *p, const char *s);
void db_params_add_int64(DbParams *p, int64_t i);
void db_params_add_bool(DbParams *p, bool b);
void db_params_add_json(DbParams *p, const json_t *j);
/* Arrays: text[], bigint[], bytea[] */
void db_params_add_strv(DbParams *p, const char *const *l, size_t n);
void db_params_add_int64v(DbParams *p, const int64_t *l, size_t n);
void db_params_add_bytesv(DbParams *p, const DbBytes *l, size_t n);
/* All that others hold, which must stay. */
void db_params_borrow(DbParams *p, const DbParams *from);
int db_params_check(const DbParams *p);
