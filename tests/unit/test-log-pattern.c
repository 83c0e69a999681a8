/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "alloc-util.h"
#include "log-pattern.h"
#include "string-util.h"
#include "test.h"
#include "time-util.h"

static bool matches(const char *pattern, const char *text) {
        _cleanup_(log_pattern_freep) LogPattern *p = NULL;
        _cleanup_error_ Error e = {};

        ck_assert_msg(log_pattern_new(pattern, &p, &e) >= 0, "%s: %s", pattern, strempty(e.message));
        return log_pattern_matches(p, text);
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

/* Without a limit this would take years. What cannot be decided is shown. */
START_TEST(a_match_does_not_take_for_ever) {
        _cleanup_string_builder_ StringBuilder text = {};
        usec_t begin = now(CLOCK_MONOTONIC);

        for (unsigned i = 0; i < 64; i++)
                string_builder_append(&text, "a");
        string_builder_append(&text, "!");
        ck_assert(matches("^(a|a)*$", text.data));
        ck_assert(matches("^(a+)+$", text.data));
        ck_assert(now(CLOCK_MONOTONIC) - begin < 20 * USEC_PER_SEC);
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
                a_long_line_is_searched_to_its_end)
