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
        assert_same(DUMP_TEXT_INSERT, "-- at 1\nINSERT INTO `t` VALUES (1);\nINSERT INTO `t` VALUES (2);\n",
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
        assert_different(DUMP_TEXT_INSERT, "INSERT INTO `t` VALUES (1);\n", "INSERT INTO `u` VALUES (1);\n",
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
                it_may_be_cut_anywhere, long_rows_are_looked_at_to_their_end)
