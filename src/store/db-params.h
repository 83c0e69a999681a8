/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The parameters of one statement, bound and never pasted into its text. Initialize with {}. Failures stick:
 * after one, all calls are no-ops and db_params_check() returns it, so that only the end needs a check.
 * Strings and bytes are borrowed and must stay until the statement was sent. */

#include <jansson.h>
#include <sys/types.h>

#include "ccp/macro.h"

#define DB_PARAMS_MAX 24U

typedef struct DbParams {
        const char *values[DB_PARAMS_MAX];
        int lengths[DB_PARAMS_MAX];
        int formats[DB_PARAMS_MAX]; /* 0: text, 1: binary */
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

/* NULL is SQL's NULL, here and below. */
void db_params_add_string(DbParams *p, const char *s);
void db_params_add_int64(DbParams *p, int64_t i);
void db_params_add_bool(DbParams *p, bool b);
void db_params_add_json(DbParams *p, const json_t *j);
/* Arrays: text[] (an empty one for NULL), bigint[], bytea[] */
void db_params_add_strv(DbParams *p, const char *const *l, size_t n);
void db_params_add_int64v(DbParams *p, const int64_t *l, size_t n);
void db_params_add_bytesv(DbParams *p, const DbBytes *l, size_t n);
int db_params_check(const DbParams *p);
