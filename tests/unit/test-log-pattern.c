/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <errno.h>

#include "alloc-util.h"
#include "log-pattern.h"
#include "string-util.h"
#include "test.h"
#include "time-util.h"

static bool matches(const char *pattern, const char *text) {
        _cleanup_(log_pattern_freep) LogPattern *p = NULL;
        _cleanup_error_ Error e = {};

        ck_assert_msg(log_pattern_new(pattern, &p, &e) >= 0, "%s: %s", pattern, strempty(e.message));
        return log_pattern_matches(p, text, NULL, NULL) > 0;
}

START_TEST(patterns_match) {
        ck_assert(matches("error|fatal", "An Error."));
        ck_assert(!matches("Error", "an error"));
        ck_assert(matches("^GET /\\S+ 50\\d$", "GET /x 503"));
        ck_assert(!matches("^GET /\\S+ 50\\d$", "GET /x 200"));
        ck_assert(matches("gr\xC3\xBC.e",
                        "Gr\xC3\x9C\xC3\x9F"
                        "e"));
        ck_assert(matches("^.$", "\xF0\x9F\x90\xB3"));
        ck_assert(!matches("x", ""));
        ck_assert(matches("(?<=a)b", "ab"));
}
END_TEST

static void assert_refused(const char *pattern, const char *hint) {
        _cleanup_(log_pattern_freep) LogPattern *p = NULL;
        _cleanup_error_ Error e = {};

        ck_assert_int_lt(log_pattern_new(pattern, &p, &e), 0);
        ck_assert_str_eq(e.name, CCP_ERROR_INVALID_ARGUMENT);
        ck_assert_msg(strstr(e.message, hint), "%s: %s", pattern, e.message);
}

START_TEST(what_cannot_be_used_is_explained) {
        _cleanup_string_builder_ StringBuilder deep = {};

        assert_refused("(", "missing closing parenthesis");
        assert_refused("a**b{2,1}", "character");
        assert_refused("\\C", "\\C");
        assert_refused("((((((((((a{1,200}){1,200}){1,200}){1,200}){1,200}){1,200}){1,200}){1,200}){1,200}){"
                       "1,200})",
                        "pattern");
        for (unsigned i = 0; i < 200; i++)
                string_builder_append(&deep, "(");
        assert_refused(deep.data, "nested");
}
END_TEST

static char *repeat(const char *s, size_t size) {
        size_t n = strlen(s);
        char *text = new0(char, size + 1);

        ck_assert_ptr_nonnull(text);
        for (size_t i = 0; i + n <= size; i += n)
                memcpy(text + i, s, n);
        return text;
}

/* Each of these would take minutes to years: from one place of the text, from each of its places, and by items that
 * are slow themselves. What cannot be decided is shown. */
START_TEST(a_match_does_not_take_for_ever) {
        static const struct {
                const char *pattern, *text;
        } cases[] = {
                { "^(a|a)*$", "a" },
                { "^(a+)+$", "a" },
                { ".{0,1000}.{0,1000}[\\x01\\x02]", "a" },
                { "(*NO_START_OPT)a*b", "a" },
                { "(*NO_START_OPT)(?=.*+\\x{fff}|(?=.*+z))*q", "ab\n" },
                { "(*NO_START_OPT)(.*)\\1\\1\\1z", "\xC3\xBC" },
                { "(*NO_START_OPT)(?:|||||||||)*(?:||||||||)+\\z.", "a" },
                { "(*NO_START_OPT)[^\\p{Lu}\\p{N}]*+.{3}z", "\xF0\x9F\x87\xA6" },
                { "(*NO_START_OPT)(*asr:\\w*)z", "a" },
        };

        FOREACH_ARRAY(c, cases, ELEMENTSOF(cases)) {
                _cleanup_free_ char *many = repeat(c->text, 1024 * 1024 - 1), *text = strjoin(many, "!");
                usec_t begin = now(CLOCK_THREAD_CPUTIME_ID);

                ck_assert_msg(matches(c->pattern, text), "%s", c->pattern);
                ck_assert_msg(now(CLOCK_THREAD_CPUTIME_ID) - begin < USEC_PER_SEC, "%s", c->pattern);
        }
        /* Which alone takes minutes for this text. */
        assert_refused("(*NO_START_OPT)\\X+z", "\\X");
}
END_TEST

static int count_to_three(void *userdata) {
        unsigned *n = userdata;

        return ++*n == 3 ? -ECANCELED : 0;
}

START_TEST(a_match_can_be_ended_amid_it) {
        _cleanup_(log_pattern_freep) LogPattern *p = NULL;
        _cleanup_free_ char *text = repeat("a", 64 * 1024);
        unsigned n = 0;

        ASSERT_OK(log_pattern_new(".{0,1000}.{0,1000}[\\x01\\x02]", &p, NULL));
        ck_assert_int_eq(log_pattern_matches(p, text, count_to_three, &n), -ECANCELED);
        ck_assert_uint_eq(n, 3);
        /* The next one is another one. */
        ck_assert_int_eq(log_pattern_matches(p, "a\x01", count_to_three, &n), 1);
        ck_assert_int_eq(log_pattern_matches(p, "a", count_to_three, &n), 0);
}
END_TEST

START_TEST(a_long_line_is_searched_to_its_end) {
        _cleanup_free_ char *text = new0(char, 1024 * 1024 + 1);

        memset(text, 'x', 1024 * 1024);
        memcpy(text + 1024 * 1024 - 6, "needle", 6);
        ck_assert(matches("needle$", text));
        ck_assert(!matches("needles", text));
}
END_TEST

TESTS("log-pattern", patterns_match, what_cannot_be_used_is_explained, a_match_does_not_take_for_ever,
                a_match_can_be_ended_amid_it, a_long_line_is_searched_to_its_end)
