/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "db-params.h"

#include <errno.h>

#include "alloc-util.h"
#include "db-row.h"
#include "json-util.h"
#include "postgres.h"
#include "string-util.h"
#include "test.h"

/* Sends the parameters through the server and back. */
static PGresult *echo(const char *sql, const DbParams *p) {
        PGresult *result;
        PGconn *conn;
        char *conninfo;

        conninfo = test_postgres_new_database();
        conn = PQconnectdb(conninfo);
        free(conninfo);
        ck_assert_int_eq(db_params_check(p), 0);
        result = PQexecParams(conn, sql, (int) p->n, NULL, p->values, NULL, NULL, 0);
        ck_assert_msg(PQresultStatus(result) == PGRES_TUPLES_OK, "%s", PQerrorMessage(conn));
        PQfinish(conn);
        return result;
}

START_TEST(values_come_back_as_they_were) {
        static const char nasty[] = "a'b\"c\\d{e},f\ng\t$1 Zürich";
        _cleanup_db_params_ DbParams p = {};
        _cleanup_free_ char *text = NULL, *copy = NULL, *null = NULL;
        _cleanup_json_ json_t *object = json_pack("{s:s, s:i}", "k", nasty, "n", 7), *read = NULL;
        PGresult *result;
        uint64_t number = 0;
        bool flag = false;
        DbRow row;

        db_params_add_string(&p, nasty);
        db_params_add_copy(&p, nasty);
        db_params_add_string(&p, NULL);
        db_params_add_int64(&p, INT64_MAX);
        db_params_add_bool(&p, true);
        db_params_add_json(&p, object);
        result = echo("SELECT $1::text, $2::text, $3::text, $4::bigint, $5::boolean, $6::jsonb", &p);

        row = DB_ROW(result, 0);
        db_row_string(&row, &text);
        db_row_string(&row, &copy);
        db_row_string_or_null(&row, &null);
        db_row_uint(&row, UINT64_MAX, &number);
        db_row_bool(&row, &flag);
        db_row_json(&row, JSON_OBJECT, &read);
        ASSERT_OK(db_row_end(&row));
        ck_assert_str_eq(text, nasty);
        ck_assert_str_eq(copy, nasty);
        ck_assert_ptr_null(null);
        ck_assert_uint_eq(number, INT64_MAX);
        ck_assert(flag);
        ck_assert(json_equal(read, object));
        PQclear(result);
}
END_TEST

START_TEST(arrays_come_back_as_they_were) {
        static const char *const words[] = { "", "NULL", "a\"b", "c\\d", "{e}", "f,g", "'; DROP TABLE x" };
        static const int64_t numbers[] = { 0, -1, INT64_MAX, INT64_MIN };
        uint8_t all[256];
        const DbBytes blobs[] = { { all, sizeof(all) }, { NULL, 0 } };
        _cleanup_db_params_ DbParams p = {};
        _cleanup_free_ uint8_t *data = NULL, *empty = NULL;
        _cleanup_json_ json_t *strings = NULL;
        PGresult *result;
        size_t n = 0, m = 1;
        DbRow row;

        for (unsigned i = 0; i < sizeof(all); i++)
                all[i] = (uint8_t) i;
        db_params_add_strv(&p, words, ELEMENTSOF(words));
        db_params_add_int64v(&p, numbers, ELEMENTSOF(numbers));
        db_params_add_bytesv(&p, blobs, ELEMENTSOF(blobs));
        db_params_add_strv(&p, NULL, 0);
        result = echo("SELECT to_json($1::text[]), $2::bigint[]::text, ($3::bytea[])[1], ($3::bytea[])[2], "
                      "cardinality($4::text[])",
                        &p);

        row = DB_ROW(result, 0);
        db_row_json(&row, JSON_ARRAY, &strings);
        db_row_skip(&row);
        db_row_bytes(&row, &data, &n);
        db_row_bytes(&row, &empty, &m);
        db_row_skip(&row);
        ASSERT_OK(db_row_end(&row));
        ck_assert_uint_eq(json_array_size(strings), ELEMENTSOF(words));
        for (size_t i = 0; i < ELEMENTSOF(words); i++)
                ck_assert_str_eq(json_string_value(json_array_get(strings, i)), words[i]);
        ck_assert_str_eq(PQgetvalue(result, 0, 1), "{0,-1,9223372036854775807,-9223372036854775808}");
        ck_assert_uint_eq(n, sizeof(all));
        ck_assert_mem_eq(data, all, sizeof(all));
        ck_assert_uint_eq(m, 0);
        ck_assert_str_eq(PQgetvalue(result, 0, 4), "0");
        PQclear(result);
}
END_TEST

START_TEST(too_many_parameters_stick) {
        _cleanup_db_params_ DbParams p = {};

        for (unsigned i = 0; i <= DB_PARAMS_MAX; i++)
                db_params_add_int64(&p, i);
        ASSERT_ERROR(db_params_check(&p), E2BIG);
        db_params_add_copy(&p, "more");
        ASSERT_ERROR(db_params_check(&p), E2BIG);
}
END_TEST

START_TEST(rows_are_read_strictly) {
        static const struct {
                const char *sql;
                int column; /* which of the readers below */
        } cases[] = {
                { "SELECT 'x'", 1 },
                { "SELECT ''", 1 },
                { "SELECT -1", 1 },
                { "SELECT 1001", 1 },
                { "SELECT NULL", 1 },
                { "SELECT '99999999999999999999999'", 1 },
                { "SELECT NULL", 0 },
                { "SELECT 'true'", 2 },
                { "SELECT NULL", 2 },
                { "SELECT '[1]'", 3 },
                { "SELECT '{'", 3 },
                { "SELECT '{\"a\":1,\"a\":2}'", 3 },
                { "SELECT NULL", 3 },
                { "SELECT '\\x0'", 4 },
                { "SELECT '\\x0G'", 4 },
                { "SELECT '00'", 4 },
                { "SELECT NULL", 4 },
                { "SELECT 1, 2", 1 },
                { "SELECT 1 WHERE false", 1 },
                { "SELECT 'abcd'", 5 },
                { "SELECT 'abcdef'", 5 },
        };
        _cleanup_free_ char *conninfo = test_postgres_new_database();
        PGconn *conn = PQconnectdb(conninfo);

        FOREACH_ARRAY(c, cases, ELEMENTSOF(cases)) {
                PGresult *result = PQexec(conn, c->sql);
                DbRow row = DB_ROW(result, 0);
                _cleanup_free_ char *s = NULL;
                _cleanup_free_ uint8_t *data = NULL;
                _cleanup_json_ json_t *j = NULL;
                uint64_t number = 4711;
                char text[6] = "";
                size_t n;
                bool b;

                if (c->column == 0)
                        db_row_string(&row, &s);
                else if (c->column == 1)
                        db_row_uint(&row, 1000, &number);
                else if (c->column == 2)
                        db_row_bool(&row, &b);
                else if (c->column == 3)
                        db_row_json(&row, JSON_OBJECT, &j);
                else if (c->column == 4)
                        db_row_bytes(&row, &data, &n);
                else
                        db_row_text(&row, text, sizeof(text));
                ck_assert_msg(db_row_end(&row) == -EBADMSG, "%s", c->sql);
                PQclear(result);
        }
        PQfinish(conn);
}
END_TEST

TESTS("db-params", values_come_back_as_they_were, arrays_come_back_as_they_were, too_many_parameters_stick,
                rows_are_read_strictly)
