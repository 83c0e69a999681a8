/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Reads one row of a result, column by column in the order of the statement, strictly. Failures stick: after
 * one, all calls are no-ops and db_row_end() returns it (-EBADMSG for a value that is not what it should be,
 * and for columns left over). Outputs are not touched on failure. */

#include <jansson.h>
#include <libpq-fe.h>

#include "error.h"
#include "time-util.h"

typedef struct DbRow {
        const PGresult *result;
        int row, column;
        int error;
} DbRow;

#define DB_ROW(res, i) ((DbRow) { .result = (res), .row = (i) })

/* A copy; NULL is an error for the first, and NULL for the second. */
void db_row_string(DbRow *row, char **ret);
void db_row_string_or_null(DbRow *row, char **ret);
/* Text of a fixed size, without its end at least 'size' - 1 bytes. */
void db_row_text(DbRow *row, char *buf, size_t size);
/* 0 to max; NULL is an error. */
void db_row_uint(DbRow *row, uint64_t max, uint64_t *ret);
/* The same, but NULL leaves the output as it is. */
void db_row_uint_or_null(DbRow *row, uint64_t max, uint64_t *ret);
void db_row_uint32(DbRow *row, uint32_t *ret);
void db_row_bool(DbRow *row, bool *ret);
/* NULL is 0. */
void db_row_usec(DbRow *row, usec_t *ret);
/* A value of a string table, by its from_string(). */
void db_row_enum(DbRow *row, int (*from_string)(const char *s), int *ret);
/* Defines read_NAME(), such a from_string() for an enum. */
#define DB_ENUM_READER(name)                        \
        static int read_##name(const char *s) {     \
                return (int) name##_from_string(s); \
        }                                           \
        struct _require_semicolon_
/* A JSON value of the given type; NULL is an error. */
void db_row_json(DbRow *row, json_type type, json_t **ret);
void db_row_json_or_null(DbRow *row, json_type type, json_t **ret);
/* A bytea. */
void db_row_bytes(DbRow *row, uint8_t **ret, size_t *ret_size);
/* Passes a column over. */
void db_row_skip(DbRow *row);
int db_row_end(DbRow *row);

/* For result functions: sets the error for rows that can't be read. Returns r. */
int db_row_error(int r, const char *what, Error *reterr);
