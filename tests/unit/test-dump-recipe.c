/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "dump-recipe.h"
#include "string-util.h"
#include "test.h"

static bool is_whole(DatabaseKind kind, const char *text, size_t size) {
        DumpEnds e = { .size = size };

        e.n_head = MIN(size, sizeof(e.head));
        memcpy(e.head, text, e.n_head);
        e.n_tail = MIN(size, sizeof(e.tail) - 1);
        memcpy(e.tail, text + size - e.n_tail, e.n_tail);
        return recipe_get(kind)->is_whole(&e);
}
#define IS_WHOLE(kind, text) is_whole(kind, text, sizeof(text) - 1)

#define MARK "0123456789abcdef0123456789abcdef01234567"

/* What ends well may have written anything. */
START_TEST(a_dump_has_its_begin_and_its_end) {
        for (DatabaseKind kind = 0; kind < _DATABASE_KIND_MAX; kind++) {
                ck_assert(!IS_WHOLE(kind, ""));
                ck_assert(!IS_WHOLE(kind, "nothing of the kind, but long enough to be looked at"));
        }

        ck_assert(IS_WHOLE(DATABASE_POSTGRESQL, "PGDMP\1\16"));
        ck_assert(IS_WHOLE(DATABASE_MYSQL, "-- MySQL dump 10.13\n-- Dump completed on 2026-01-01\n"));
        ck_assert(!IS_WHOLE(DATABASE_MYSQL, "-- MySQL dump 10.13\nINSERT INTO `t` VALUES (1);\n"));
        ck_assert(IS_WHOLE(
                        DATABASE_MARIADB, "/*M!999999\\- enable the sandbox mode */\n-- Dump completed\n"));
        ck_assert(IS_WHOLE(DATABASE_MARIADB, "-- MariaDB dump 10.19\n-- Dump completed\n"));
        ck_assert(!IS_WHOLE(DATABASE_MARIADB, "-- MariaDB dump 10.19\n"));
        ck_assert(IS_WHOLE(DATABASE_MONGODB, "\x6d\xe2\x99\x81\5\0\0\0\0\xff\xff\xff\xff"));
        ck_assert(!IS_WHOLE(DATABASE_MONGODB, "\x6d\xe2\x99\x81\5\0\0\0\0\xff\xff\xff"));
        ck_assert(IS_WHOLE(DATABASE_REDIS,
                        "REDIS0011\xfe\0\xff"
                        "12345678"));
        ck_assert(IS_WHOLE(DATABASE_REDIS,
                        "REDIS0011\xfe\0\xff"
                        "12345678" MARK));
        ck_assert(!IS_WHOLE(DATABASE_REDIS,
                        "REDIS0011\xfe\0\xff"
                        "1234567"));
        ck_assert(!IS_WHOLE(DATABASE_REDIS, "REDIS0011\xfe\0 12345678" MARK));
}
END_TEST

/* Two pages of 512 bytes; one of 65536, which its header calls 1. */
START_TEST(a_file_of_sqlite_has_all_its_pages) {
        static char file[65536];

        memcpy(file, "SQLite format 3", 16);
        memcpy(file + 16, "\2\0", 2);
        memcpy(file + 28, "\0\0\0\2", 4);
        ck_assert(is_whole(DATABASE_SQLITE, file, 1024));
        ck_assert(!is_whole(DATABASE_SQLITE, file, 1023));
        ck_assert(!is_whole(DATABASE_SQLITE, file, 512));
        memcpy(file + 16, "\0\1", 2);
        memcpy(file + 28, "\0\0\0\1", 4);
        ck_assert(is_whole(DATABASE_SQLITE, file, 65536));
        ck_assert(!is_whole(DATABASE_SQLITE, file, 512));
        ck_assert(!is_whole(DATABASE_SQLITE, file, 20));
}
END_TEST

/* Nothing that a recipe lacks is found out in the middle of a restore. */
START_TEST(each_recipe_is_complete) {
        for (DatabaseKind kind = 0; kind < _DATABASE_KIND_MAX; kind++) {
                const Recipe *r = recipe_get(kind);

                ck_assert_int_eq(r->suffix[0], '.');
                ck_assert_ptr_nonnull(r->version[0]);
                ck_assert_ptr_nonnull(r->dump[0]);
                ck_assert_ptr_nonnull(r->restore[0]);
                ck_assert_ptr_nonnull(r->dump_rows[0]);
                ck_assert(r->offline == !r->ready[0]);
                ck_assert(r->offline == !r->password);
                ck_assert_ptr_null(r->dump[ELEMENTSOF(r->dump) - 1]);
                ck_assert_ptr_null(r->restore[ELEMENTSOF(r->restore) - 1]);
                ck_assert_ptr_null(r->dump_rows[ELEMENTSOF(r->dump_rows) - 1]);
        }
}
END_TEST

TESTS("dump-recipe", a_dump_has_its_begin_and_its_end, a_file_of_sqlite_has_all_its_pages,
                each_recipe_is_complete)
