/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "db-row.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "alloc-util.h"
#include "json-util.h"
#include "string-util.h"

/* The next column's text, NULL for SQL's NULL or after a failure. */
static const char *next_value(DbRow *row, bool may_be_null, int *ret_length) {
        int column = row->column;

        if (row->error < 0)
                return NULL;

        if (column >= PQnfields(row->result) || row->row >= PQntuples(row->result)) {
                row->error = -EBADMSG;
                return NULL;
        }

        row->column++;
        if (PQgetisnull(row->result, row->row, column)) {
                if (!may_be_null)
                        row->error = -EBADMSG;
                return NULL;
        }

        if (ret_length)
                *ret_length = PQgetlength(row->result, row->row, column);
        return PQgetvalue(row->result, row->row, column);
}

static void read_string(DbRow *row, bool may_be_null, char **ret) {
        const char *value;
        char *copy;

        value = next_value(row, may_be_null, NULL);
        if (!value)
                return;

        copy = strdup(value);
        if (!copy) {
                row->error = -ENOMEM;
                return;
        }

        *ret = copy;
}

void db_row_string(DbRow *row, char **ret) {
        read_string(row, false, ret);
}

void db_row_string_or_null(DbRow *row, char **ret) {
        read_string(row, true, ret);
}

void db_row_text(DbRow *row, char *buf, size_t size) {
        const char *value;
        int length = 0;

        value = next_value(row, false, &length);
        if (!value)
                return;

        if ((size_t) length != size - 1) {
                row->error = -EBADMSG;
                return;
        }

        memcpy(buf, value, size);
}

/* Decimal digits only. */
static int parse_uint(const char *s, uint64_t max, uint64_t *ret) {
        uint64_t n = 0;

        if (!*s)
                return -EBADMSG;

        for (; *s; s++) {
                if (*s < '0' || *s > '9')
                        return -EBADMSG;
                if (__builtin_mul_overflow(n, 10U, &n) || __builtin_add_overflow(n, *s - '0', &n))
                        return -EBADMSG;
        }

        if (n > max)
                return -EBADMSG;

        *ret = n;
        return 0;
}

void db_row_uint(DbRow *row, uint64_t max, uint64_t *ret) {
        const char *value;

        value = next_value(row, false, NULL);
        if (value)
                row->error = parse_uint(value, max, ret);
}

void db_row_uint_or_null(DbRow *row, uint64_t max, uint64_t *ret) {
        const char *value;

        value = next_value(row, true, NULL);
        if (value)
                row->error = parse_uint(value, max, ret);
}

void db_row_uint32(DbRow *row, uint32_t *ret) {
        uint64_t n = *ret;

        db_row_uint(row, UINT32_MAX, &n);
        *ret = (uint32_t) n;
}

void db_row_bool(DbRow *row, bool *ret) {
        const char *value;

        value = next_value(row, false, NULL);
        if (!value)
                return;

        if (streq(value, "t"))
                *ret = true;
        else if (streq(value, "f"))
                *ret = false;
        else
                row->error = -EBADMSG;
}

void db_row_usec(DbRow *row, usec_t *ret) {
        db_row_uint_or_null(row, INT64_MAX, ret);
}

void db_row_enum(DbRow *row, int (*from_string)(const char *s), int *ret) {
        const char *value;
        int i;

        value = next_value(row, false, NULL);
        if (!value)
                return;

        i = from_string(value);
        if (i < 0)
                row->error = -EBADMSG;
        else
                *ret = i;
}

static void read_json(DbRow *row, json_type type, bool may_be_null, json_t **ret) {
        const char *value;
        json_t *j;
        int length = 0, r;

        value = next_value(row, may_be_null, &length);
        if (!value)
                return;

        r = json_parse(value, (size_t) length, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &j);
        if (r < 0) {
                row->error = r;
                return;
        }
        if (json_typeof(j) != type) {
                json_decref(j);
                row->error = -EBADMSG;
                return;
        }

        *ret = j;
}

void db_row_json(DbRow *row, json_type type, json_t **ret) {
        read_json(row, type, /* may_be_null= */ false, ret);
}

void db_row_json_or_null(DbRow *row, json_type type, json_t **ret) {
        read_json(row, type, /* may_be_null= */ true, ret);
}

static int hex_digit(char c) {
        if (c >= '0' && c <= '9')
                return c - '0';
        if (c >= 'a' && c <= 'f')
                return c - 'a' + 10;
        return -EBADMSG;
}

void db_row_bytes(DbRow *row, uint8_t **ret, size_t *ret_size) {
        _cleanup_free_ uint8_t *data = NULL;
        const char *value;
        int length = 0;
        size_t n;

        value = next_value(row, false, &length);
        if (!value)
                return;

        if (length < 2 || length % 2 != 0 || !startswith(value, "\\x")) {
                row->error = -EBADMSG;
                return;
        }

        n = (size_t) length / 2 - 1;
        data = malloc(n ?: 1);
        if (!data) {
                row->error = -ENOMEM;
                return;
        }

        for (size_t i = 0; i < n; i++) {
                int high = hex_digit(value[2 + 2 * i]), low = hex_digit(value[3 + 2 * i]);

                if (high < 0 || low < 0) {
                        row->error = -EBADMSG;
                        return;
                }
                data[i] = (uint8_t) (high << 4 | low);
        }

        *ret = TAKE_PTR(data);
        *ret_size = n;
}

void db_row_skip(DbRow *row) {
        (void) next_value(row, true, NULL);
}

int db_row_end(DbRow *row) {
        if (row->error == 0 && row->column != PQnfields(row->result))
                row->error = -EBADMSG;

        return row->error;
}

int db_row_error(int r, const char *what, Error *reterr) {
        if (r == -ENOMEM)
                return error_set_errnof(reterr, ENOMEM, "Could not read %s: %m", what);

        return error_set_errnof(reterr, r,
                        "The records of %s hold a value that this version can't read. "
                        "Was the database changed by hand, or by a newer version?",
                        what);
}
