/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "alloc-util.h"
#include "dump-digest.h"
#include "string-util.h"
#include "test.h"

#define HEAD "--\n-- PostgreSQL database dump\n--\n\\restrict abc\nSET client_encoding = 'UTF8';\n\n"
#define BEGIN "COPY public.t (n, text) FROM stdin;\n"
#define END "\\.\n"

static json_t *digest(DumpText kind, const char *text) {
        _cleanup_(dump_digest_freep) DumpDigest *d = NULL;
        json_t *result;

        ASSERT_OK(dump_digest_new(kind, &d));
        ASSERT_OK(dump_digest_add(d, text, strlen(text)));
        ASSERT_OK(dump_digest_finish(d, &result));
        return result;
}

static void assert_same(DumpText kind, const char *a, const char *b, uint64_t rows) {
        _cleanup_json_ json_t *x = digest(kind, a), *y = digest(kind, b);
        uint64_t n;

        ASSERT_OK(dump_digest_compare(x, y, &n, NULL));
        ck_assert_uint_eq(n, rows);
}

static void assert_different(DumpText kind, const char *a, const char *b, const char *words) {
        _cleanup_json_ json_t *x = digest(kind, a), *y = digest(kind, b);
        _cleanup_error_ Error e = {};

        ck_assert_int_lt(dump_digest_compare(x, y, NULL, &e), 0);
        ck_assert_str_eq(e.name, CCP_ERROR_BACKUP_DAMAGED);
        ck_assert_msg(strstr(e.message, words) != NULL, "%s", e.message);
}

START_TEST(the_order_of_rows_does_not_count) {
        assert_same(DUMP_TEXT_COPY, HEAD BEGIN "1\ta\n2\tb\n3\tc\n" END,
                        "SET x = 2;\n" BEGIN "3\tc\n1\ta\n2\tb\n" END, 3);
        assert_same(DUMP_TEXT_COPY, BEGIN END, BEGIN END, 0);
        assert_same(DUMP_TEXT_MYSQL, "-- at 1\nINSERT INTO `t` VALUES (1);\nINSERT INTO `t` VALUES (2);\n",
                        "-- at 2\nINSERT INTO `t` VALUES (2);\nINSERT INTO `t` VALUES (1);\n", 2);
}
END_TEST

START_TEST(what_differs_is_named) {
        assert_different(DUMP_TEXT_COPY, BEGIN "1\ta\n2\tb\n" END, BEGIN "1\ta\n" END, "public.t (n, text)");
        assert_different(DUMP_TEXT_COPY, BEGIN "1\ta\n2\tb\n" END, BEGIN "1\ta\n2\tc\n" END, "rows");
        /* Two rows whose parts are swapped are others. */
        assert_different(DUMP_TEXT_COPY, BEGIN "1\ta\n2\tb\n" END, BEGIN "1\tb\n2\ta\n" END, "rows");
        /* A row twice is not the same as two other ones. */
        assert_different(DUMP_TEXT_COPY, BEGIN "1\n1\n2\n2\n" END, BEGIN "1\n1\n1\n1\n" END, "rows");
        assert_different(DUMP_TEXT_COPY, BEGIN END, "", "rows in the backup");
        assert_different(DUMP_TEXT_COPY, "", BEGIN END, "not in the backup");
        assert_different(DUMP_TEXT_COPY, "SELECT pg_catalog.setval('s', 1);\n",
                        "SELECT pg_catalog.setval('s', 2);\n", "rows");
        assert_different(DUMP_TEXT_MYSQL, "INSERT INTO `t` VALUES (1);\n", "INSERT INTO `u` VALUES (1);\n",
                        "`t`");
}
END_TEST

/* What a row holds is a row, whatever it looks like. */
START_TEST(rows_are_no_orders) {
        assert_same(DUMP_TEXT_COPY, BEGIN "-- no comment\nCOPY u FROM stdin;\n\nSET x = 1;\n\\.x\n" END,
                        BEGIN "\nSET x = 1;\n\\.x\n-- no comment\nCOPY u FROM stdin;\n" END, 5);
        assert_different(DUMP_TEXT_COPY, BEGIN "-- a\n" END, BEGIN "-- b\n" END, "rows");
}
END_TEST

START_TEST(it_may_be_cut_anywhere) {
        static const char text[] = HEAD BEGIN "1\ta\n2\tb\n" END "SELECT pg_catalog.setval('s', 7);\n";
        _cleanup_json_ json_t *whole = digest(DUMP_TEXT_COPY, text);

        for (size_t part = 1; part < 9; part++) {
                _cleanup_(dump_digest_freep) DumpDigest *d = NULL;
                _cleanup_json_ json_t *parts = NULL;

                ASSERT_OK(dump_digest_new(DUMP_TEXT_COPY, &d));
                for (size_t at = 0; at < strlen(text); at += part)
                        ASSERT_OK(dump_digest_add(d, text + at, MIN(part, strlen(text) - at)));
                ASSERT_OK(dump_digest_finish(d, &parts));
                ck_assert(json_equal(whole, parts));
        }
}
END_TEST

static json_t *digest_bytes(DumpText kind, const void *data, size_t size, size_t part, int *ret_error) {
        _cleanup_(dump_digest_freep) DumpDigest *d = NULL;
        json_t *result = NULL;
        int r = 0;

        ASSERT_OK(dump_digest_new(kind, &d));
        for (size_t at = 0; r >= 0 && at < size; at += part)
                r = dump_digest_add(d, (const char *) data + at, MIN(part, size - at));
        if (r >= 0)
                r = dump_digest_finish(d, &result);
        *ret_error = r;
        return result;
}

static void assert_rows(const json_t *digest, const char *name, json_int_t rows) {
        const json_t *table = json_object_get(digest, name);

        ck_assert_msg(table != NULL, "no '%s'", name);
        ck_assert_int_eq(json_integer_value(json_object_get(table, "rows")), rows);
}

#define MARIADB                                                                                           \
        "INSERT INTO `odd ``name` VALUES\n(1,'it\\'s; (\\\\'),\n(2,'\\'),(3'),\n(3,_binary 'x)',0x00);\n" \
        "INSERT INTO `t` (`a`, `VALUES`) VALUES\n(1,NULL),\n(2,POINT(1,2));\n"
#define MYSQL                                                                  \
        "INSERT INTO `odd ``name` VALUES (2,'\\'),(3'),(1,'it\\'s; (\\\\');\n" \
        "INSERT INTO `t` (`a`, `VALUES`) VALUES (2,POINT(1,2)),(1,NULL);\n"    \
        "INSERT INTO `odd ``name` VALUES (3,_binary 'x)',0x00);\n"

/* What is in one statement, or one line, does not count. */
START_TEST(rows_of_statements_are_counted_one_by_one) {
        int r;

        for (size_t part = 1; part < sizeof(MARIADB); part++) {
                _cleanup_json_ json_t *a = digest_bytes(DUMP_TEXT_MYSQL, MARIADB, strlen(MARIADB), part, &r),
                                      *b = digest_bytes(DUMP_TEXT_MYSQL, MYSQL, strlen(MYSQL), 7, &r);

                assert_rows(a, "`odd ``name`", 3);
                assert_rows(a, "`t`", 2);
                assert_rows(a, "", 0);
                ck_assert(json_equal(a, b));
        }
        assert_different(DUMP_TEXT_MYSQL, "INSERT INTO `t` VALUES (1),(2);\n",
                        "INSERT INTO `t` VALUES (1),(3);\n", "`t`");
        assert_different(DUMP_TEXT_MYSQL, "INSERT INTO `t` VALUES (1),(2);\n",
                        "INSERT INTO `t` VALUES (1);\n", "2 rows");
        /* Cut off in the middle of a row. */
        assert_different(DUMP_TEXT_MYSQL, "INSERT INTO `t` VALUES (1),(2);\n",
                        "INSERT INTO `t` VALUES (1),(2", "2 rows");
        assert_different(DUMP_TEXT_MYSQL, "INSERT INTO t SELECT 1;\n", "INSERT INTO t SELECT 2;\n", "rows");
}
END_TEST

/* A view, a trigger or a routine counts; what sets up the session does not. */
START_TEST(what_is_no_row_counts_too) {
        static const char trigger[] = "DELIMITER ;;\n/*!50003 CREATE*/ /*!50003 TRIGGER t BEFORE\n"
                                      "-- it's %s\nINSERT INTO log VALUES ('\nEND */;;\nDELIMITER ;\n"
                                      "INSERT INTO `t` VALUES (1);\n";
        _cleanup_free_ char *a = NULL, *b = NULL;
        int r;

        ck_assert_int_gt(asprintf(&a, trigger, "odd"), 0);
        ck_assert_int_gt(asprintf(&b, trigger, "even"), 0);
        assert_same(DUMP_TEXT_MYSQL, a, a, 1);
        assert_different(DUMP_TEXT_MYSQL, a, b, "rows");
        assert_same(DUMP_TEXT_MYSQL,
                        "/*!50003 SET sql_mode = 'a' */ ;\n-- at 1\nSET AUTOCOMMIT=0;\nCOMMIT;\n",
                        "/*M!999999\\- enable the sandbox mode */\n/*!40101 SET NAMES utf8mb4 */;\n", 0);
        assert_different(DUMP_TEXT_MYSQL, "/*!50001 VIEW `v` AS select 1 */;\n",
                        "/*!50001 VIEW `v` AS select 2 */;\n", "rows");

        /* SQLite knows no backslash. */
        {
                static const char text[] =
                                "INSERT INTO \"a b\" VALUES(1,'\\');\nINSERT INTO t VALUES(X'00','it''s "
                                "\n(');\n";
                _cleanup_json_ json_t *d = digest_bytes(DUMP_TEXT_SQLITE, text, strlen(text), 1, &r);

                assert_rows(d, "\"a b\"", 1);
                assert_rows(d, "t", 1);
                assert_rows(d, "", 0);
        }
}
END_TEST

START_TEST(counts_are_taken_over) {
        assert_same(DUMP_TEXT_COUNTS, "db0 12 abc\ndb9 3 def\n", "db9 3 def\ndb0 12 abc\n", 15);
        assert_different(DUMP_TEXT_COUNTS, "db0 12 abc\n", "db0 11 abc\n", "12 rows");
        assert_different(DUMP_TEXT_COUNTS, "db0 12 abc\n", "db0 12 abd\n", "db0");
        assert_different(DUMP_TEXT_COUNTS, "db0 12 abc\n", "", "db0");
        assert_different(DUMP_TEXT_COUNTS, "odd\n", "even\n", "rows");
}
END_TEST

#define MAGIC "\x6d\xe2\x99\x81"
#define STOP "\xff\xff\xff\xff"
#define VERSION                             \
        "\x16\0\0\0\x02version\0\x04\0\0\0" \
        "0.1\0\0"
#define ABOUT(c)                \
        "\x21\0\0\0\x02"        \
        "db\0\x02\0\0\0d\0\x02" \
        "collection\0\x02\0\0\0" c "\0\0"
#define ROW(n) "\x0c\0\0\0\x10n\0" n "\0\0\0\0"

static json_t *digest_archive(const char *data, size_t size, int *ret_error) {
        return digest_bytes(DUMP_MONGODB, data, size, 3, ret_error);
}
#define DIGEST_ARCHIVE(text, error) digest_archive(text, sizeof(text) - 1, error)

START_TEST(documents_of_an_archive_are_rows) {
        _cleanup_json_ json_t *a = NULL, *b = NULL, *c = NULL;
        int r;

        /* A collection in two parts is the same as in one; an empty one is one. */
        a = DIGEST_ARCHIVE(MAGIC VERSION ABOUT("x") ABOUT("y") STOP ABOUT("x") ROW("1") STOP ABOUT("x")
                                           ROW("2") STOP ABOUT("x") STOP,
                        &r);
        ASSERT_OK(r);
        b = DIGEST_ARCHIVE(MAGIC ABOUT("y") ABOUT("x") STOP ABOUT("x") ROW("2") ROW("1") STOP, &r);
        ASSERT_OK(r);
        ck_assert(json_equal(a, b));
        assert_rows(a, "d.x", 2);
        assert_rows(a, "d.y", 0);
        c = DIGEST_ARCHIVE(MAGIC ABOUT("x") ABOUT("y") STOP ABOUT("x") ROW("1") ROW("3") STOP, &r);
        ASSERT_OK(r);
        ck_assert(!json_equal(a, c));
}
END_TEST

START_TEST(what_is_no_archive_is_told) {
#define ASSERT_NONE(text)                                      \
        do {                                                   \
                int r_;                                        \
                ck_assert_ptr_null(DIGEST_ARCHIVE(text, &r_)); \
                ck_assert_int_eq(r_, -EBADMSG);                \
        } while (false)

        ASSERT_NONE("");
        ASSERT_NONE("nothing at all");
        ASSERT_NONE(MAGIC ABOUT("x"));
        ASSERT_NONE(MAGIC ABOUT("x") STOP ABOUT("x") ROW("1"));
        ASSERT_NONE(MAGIC ABOUT("x") STOP ABOUT("x") "\x0c\0\0\0\x10n");
        ASSERT_NONE(MAGIC STOP "\x04\0\0\0");
        ASSERT_NONE(MAGIC STOP "\0\0\0\x7f");
        /* Documents of no collection. */
        ASSERT_NONE(MAGIC STOP ROW("1") ROW("1") STOP);
        ASSERT_NONE(MAGIC STOP STOP);
}
END_TEST

/* The end of a line counts, however long it is. */
START_TEST(long_rows_are_looked_at_to_their_end) {
        _cleanup_free_ char *a = malloc(1 << 20), *b = malloc(1 << 20);

        memset(a, 'x', (1 << 20) - 1);
        memcpy(a, BEGIN, strlen(BEGIN));
        strcpy(a + (1 << 20) - 6, "1\n\\.\n");
        memcpy(b, a, 1 << 20);
        b[(1 << 20) - 6] = '2';
        assert_same(DUMP_TEXT_COPY, a, a, 1);
        assert_different(DUMP_TEXT_COPY, a, b, "rows");
}
END_TEST

TESTS("dump-digest", the_order_of_rows_does_not_count, what_differs_is_named, rows_are_no_orders,
                rows_of_statements_are_counted_one_by_one, what_is_no_row_counts_too, counts_are_taken_over,
                documents_of_an_archive_are_rows, what_is_no_archive_is_told, it_may_be_cut_anywhere,
                long_rows_are_looked_at_to_their_end)
