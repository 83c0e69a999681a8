/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "db-params.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alloc-util.h"
#include "json-util.h"
#include "string-util.h"

void db_params_done(DbParams *p) {
        for (unsigned i = 0; i < p->n; i++)
                free(p->owned[i]);
        *p = (DbParams) {};
}

int db_params_check(const DbParams *p) {
        return p->error;
}

static void add(DbParams *p, const char *value, char *owned) {
        if (p->error == 0 && p->n >= DB_PARAMS_MAX)
                p->error = -E2BIG;
        if (p->error < 0) {
                free(owned);
                return;
        }

        p->values[p->n] = owned ?: value;
        p->owned[p->n] = owned;
        p->n++;
}

/* Takes the text over; NULL means out of memory. */
static void add_owned(DbParams *p, char *owned) {
        if (!owned && p->error == 0)
                p->error = -ENOMEM;
        add(p, NULL, owned);
}

void db_params_borrow(DbParams *p, const DbParams *from) {
        if (p->error == 0)
                p->error = from->error;
        for (unsigned i = 0; i < from->n; i++)
                add(p, from->values[i], NULL);
}

void db_params_add_string(DbParams *p, const char *s) {
        add(p, s, NULL);
}

void db_params_add_copy(DbParams *p, const char *s) {
        if (s)
                add_owned(p, strdup(s));
        else
                add(p, NULL, NULL);
}

void db_params_add_int64(DbParams *p, int64_t i) {
        char *s;

        if (asprintf(&s, "%" PRIi64, i) < 0)
                s = NULL;
        add_owned(p, s);
}

void db_params_add_bool(DbParams *p, bool b) {
        add(p, b ? "true" : "false", NULL);
}

void db_params_add_json(DbParams *p, const json_t *j) {
        if (j)
                add_owned(p, json_format(j, JSON_COMPACT | JSON_ENCODE_ANY));
        else
                add(p, NULL, NULL);
}

/* One element of an array, as the server reads it: in quotes, with quotes and backslashes escaped. */
static void append_element(StringBuilder *b, const char *s) {
        string_builder_append(b, "\"");
        for (; *s; s++) {
                if (IN_SET(*s, '"', '\\'))
                        string_builder_append(b, "\\");
                string_builder_append_n(b, s, 1);
        }
        string_builder_append(b, "\"");
}

static void add_built(DbParams *p, StringBuilder *b) {
        char *s;
        int r;

        r = string_builder_finish(b, &s, NULL);
        add_owned(p, r < 0 ? NULL : s);
}

void db_params_add_strv(DbParams *p, const char *const *l, size_t n) {
        _cleanup_string_builder_ StringBuilder b = {};

        string_builder_append(&b, "{");
        for (size_t i = 0; i < n; i++) {
                string_builder_append(&b, i > 0 ? "," : "");
                append_element(&b, l[i]);
        }
        string_builder_append(&b, "}");
        add_built(p, &b);
}

void db_params_add_int64v(DbParams *p, const int64_t *l, size_t n) {
        _cleanup_string_builder_ StringBuilder b = {};

        string_builder_append(&b, "{");
        for (size_t i = 0; i < n; i++)
                string_builder_appendf(&b, "%s%" PRIi64, i > 0 ? "," : "", l[i]);
        string_builder_append(&b, "}");
        add_built(p, &b);
}

void db_params_add_bytesv(DbParams *p, const DbBytes *l, size_t n) {
        _cleanup_string_builder_ StringBuilder b = {};

        string_builder_append(&b, "{");
        for (size_t i = 0; i < n; i++) {
                const uint8_t *data = l[i].data;

                string_builder_append(&b, i > 0 ? ",\"\\\\x" : "\"\\\\x");
                for (size_t k = 0; k < l[i].size; k++)
                        string_builder_append_n(&b,
                                        (char[]) { "0123456789abcdef"[data[k] >> 4],
                                                        "0123456789abcdef"[data[k] & 15] },
                                        2);
                string_builder_append(&b, "\"");
        }
        string_builder_append(&b, "}");
        add_built(p, &b);
}
