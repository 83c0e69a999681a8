/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <errno.h>

#include "alloc-util.h"
#include "dump-version.h"
#include "string-util.h"
#include "test.h"

static const struct {
        const char *text, *version;
} programs[] = {
        { "pg_dump (PostgreSQL) 17.6 (Debian 17.6-0+deb13u1)\n", "17.6" },
        { "pg_dump (PostgreSQL) 9.6.24\n", "9.6.24" },
        { "/usr/sbin/mysqld  Ver 8.0.36-0ubuntu0.22.04.1 for Linux on x86_64 ((Ubuntu))\n", "8.0.36" },
        { "mariadbd  Ver 11.8.2-MariaDB-1 from Debian for debian-linux-gnu on x86_64\n", "11.8.2" },
        { "db version v7.0.5\nBuild Info: {\n    \"version\": \"7.0.5\",\n", "7.0.5" },
        { "redis-cli 8.0.2\n", "8.0.2" },
        { "3.46.1 2024-08-13 09:16:08 c9c2ab54ba1f5f46360f1b4f35d849cd3f080e6fc2b6c60e91b16c63f69aalt1\n",
                        "3.46.1" },
        { "1.2.3.4.5", "1.2.3" },
        { "1.2.", "1.2" },
};

START_TEST(what_a_program_says_of_itself_has_its_version) {
        FOREACH_ARRAY(p, programs, ELEMENTSOF(programs)) {
                _cleanup_free_ char *version = NULL;

                ck_assert_int_eq(dump_version_parse(p->text, strlen(p->text), &version), 0);
                ck_assert_str_eq(version, p->version);
        }
}
END_TEST

/* What is not a version is none: what a tenant's program says goes nowhere. */
START_TEST(other_texts_have_none) {
        static const char *const texts[] = {
                "",
                "1",
                "17",
                "..",
                ".1",
                "no version",
                "18devel",
                "1234567.1234567",
                "$(reboot) \e[31m",
                "1.",
        };

        FOREACH_ARRAY(t, texts, ELEMENTSOF(texts)) {
                char *version = NULL;

                ck_assert_msg(dump_version_parse(*t, strlen(*t), &version) == -ENODATA, "%s", *t);
                ck_assert_ptr_null(version);
        }
        /* Not a byte more than there is. */
        ck_assert_int_eq(dump_version_parse("17.6", 3, &(char *) { NULL }), -ENODATA);
}
END_TEST

START_TEST(as_many_numbers_count_as_the_program_needs) {
        ck_assert(dump_version_is_newer("17.1", "16.9", 1));
        ck_assert(!dump_version_is_newer("17.9", "17.1", 1));
        ck_assert(!dump_version_is_newer("9.9", "17.1", 1));
        ck_assert(dump_version_is_newer("8.4.0", "8.0.36", 2));
        ck_assert(!dump_version_is_newer("8.0.36", "8.0.1", 2));
        ck_assert(dump_version_is_newer("10.11.10", "10.11.9", 3));
        ck_assert(!dump_version_is_newer("10.11.9", "10.11.9", 3));
        ck_assert(!dump_version_is_newer("10.11", "10.11.0", 3));
        ck_assert(!dump_version_is_newer("99.1", "1.1", 0));
        ck_assert(!dump_version_is_newer("none", "1.1", 3));
        ck_assert(!dump_version_is_newer("99.1", "", 3));
}
END_TEST

TESTS("dump-version", what_a_program_says_of_itself_has_its_version, other_texts_have_none,
                as_many_numbers_count_as_the_program_needs)
