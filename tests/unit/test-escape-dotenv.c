/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The reader of .env files, against what compose-go's parser makes of the same texts. */

#include "alloc-util.h"
#include "dotenv.h"
#include "json-util.h"
#include "test.h"

START_TEST(reads_what_compose_reads) {
        static const struct {
                const char *text, *expected;
        } cases[] = {
                { "A=b", "{\"A\":\"b\"}" },
                { "  export A=b\n\n# c\nB: d\n", "{\"A\":\"b\",\"B\":\"d\"}" },
                { "A=b # c\nB=b#c\nC= # c\n", "{\"A\":\"b\",\"B\":\"b#c\",\"C\":\"# c\"}" },
                { "A=\nB=\"\"\nC=''\n", "{\"A\":\"\",\"B\":\"\",\"C\":\"\"}" },
                { "A=  b c  \r\nB=1", "{\"A\":\"b c\",\"B\":\"1\"}" },
                { "A='$x \\n'\n", "{\"A\":\"$x \\\\n\"}" },
                { "A='it\\'s'\n", "{\"A\":\"it's\"}" },
                { "A=\"a\\nb\\t\\\"\\\\ \\$x\"", "{\"A\":\"a\\nb\\t\\\"\\\\ $x\"}" },
                { "A=\"\\0101\\q\"", "{\"A\":\"A\\\\q\"}" },
                { "A=\"two\nlines\" # c\nB=1", "{\"A\":\"two\\nlines\",\"B\":\"1\"}" },
                { "A=x\nB=$A-${A}-$$A-${C:-d}-${A:+e}-${C-f}$", "{\"A\":\"x\",\"B\":\"x-x-$A-d-e-f$\"}" },
                { "A=${B:-${C:-z}}", "{\"A\":\"z\"}" },
                { "A\nB=1", "{\"B\":\"1\"}" },
                { "A=\\n\\", "{\"A\":\"\\\\n\\\\\"}" },
                { "\xEF\xBB\xBF"
                  "A=1",
                                "{\"A\":\"1\"}" },
                { "A.b-c[0]=1", "{\"A.b-c[0]\":\"1\"}" },
                { "", "{}" },
        };

        FOREACH_ARRAY(c, cases, ELEMENTSOF(cases)) {
                _cleanup_json_ json_t *j = NULL, *expected = json_loads(c->expected, 0, NULL);
                _cleanup_error_ Error e = {};
                _cleanup_free_ char *s = NULL;

                ck_assert_ptr_nonnull(expected);
                ck_assert_msg(dotenv_load(c->text, strlen(c->text), &j, &e) >= 0, "%s: %s", c->text,
                                e.message);
                s = json_dumps(j, JSON_COMPACT);
                ck_assert_msg(json_equal(j, expected), "%s gives %s", c->text, s);
        }
}
END_TEST

START_TEST(refuses_what_compose_refuses) {
        static const char *const cases[] = { "A=\"x", "A='x\\'", "A B=1", "A;=1", "=1", "A=${B?no}", "A=${B",
                "A=${-x}" };

        FOREACH_ARRAY(c, cases, ELEMENTSOF(cases)) {
                _cleanup_error_ Error e = {};
                json_t *j;

                ck_assert_msg(dotenv_load(*c, strlen(*c), &j, &e) < 0, "%s", *c);
                ck_assert(error_is_set(&e));
        }
}
END_TEST

START_TEST(white_space_of_unicode_is_trimmed) {
        ck_assert_uint_eq(dotenv_leading_space(" \t\xC2\xA0\xE2\x80\xA8x", 8), 7);
        ck_assert_uint_eq(dotenv_trailing_space("x\xE3\x80\x80\xC2\x85 ", 7), 6);
        ck_assert_uint_eq(dotenv_trailing_space("x", 1), 0);
        ck_assert_uint_eq(dotenv_trailing_space("  ", 2), 2);
        ck_assert_uint_eq(dotenv_leading_space("", 0), 0);
}
END_TEST

TESTS("escape-dotenv", reads_what_compose_reads, refuses_what_compose_refuses,
                white_space_of_unicode_is_trimmed)
