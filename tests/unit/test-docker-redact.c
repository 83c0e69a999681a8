/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "redact.h"
#include "string-util.h"
#include "strv.h"
#include "test.h"

static char *const values[] = { (char *) "hunter22", (char *) "hunter22-longer", (char *) "a\"b\\c$d'e/f<g",
        (char *) "abc", NULL };

START_TEST(values_are_masked_in_every_form) {
        static const struct {
                const char *in, *out;
        } table[] = {
                { "nothing here", "nothing here" },
                { "password=hunter22.", "password=********." },
                { "hunter22hunter22", "****************" },
                /* The longer one goes first, so that no end of it is left. */
                { "x hunter22-longer y", "x ******** y" },
                { "a\"b\\c$d'e/f<g", "********" },
                { "\"a\\\"b\\\\c$d'e/f<g\"", "\"********\"" },
                { "a\\\"b\\\\c$d'e/f\\u003cg", "********" },
                { "a\\\"b\\\\c$d'e\\/f<g", "********" },
                { "a\"b\\c$$d'e/f<g", "********" },
                { "'a\"b\\c$d''e/f<g'", "'********'" },
                { "a%22b%5Cc%24d%27e%2Ff%3Cg", "********" },
                { "a%22b%5cc%24d%27e%2ff%3cg", "********" },
                { "Basic aHVudGVyMjI=", "Basic ********=" },
                /* Too short to be looked for. */
                { "abc", "abc" },
        };

        FOREACH_ARRAY(i, table, ELEMENTSOF(table)) {
                _cleanup_free_ char *s = NULL;

                ASSERT_OK(redact(i->in, values, &s));
                ck_assert_str_eq(s, i->out);
        }
}
END_TEST

START_TEST(without_values_nothing_changes) {
        _cleanup_free_ char *s = NULL;

        ASSERT_OK(redact("text", NULL, &s));
        ck_assert_str_eq(s, "text");
}
END_TEST

TESTS("docker-redact", values_are_masked_in_every_form, without_values_nothing_changes)
