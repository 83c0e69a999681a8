/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "alloc-util.h"
#include "log-print.h"
#include "string-util.h"
#include "test.h"

static void assert_shown(const char *in, const char *out) {
        _cleanup_free_ char *s = log_text_for_people(in);

        ck_assert_str_eq(s, out);
}

START_TEST(nothing_steers_a_terminal) {
        assert_shown("", "");
        assert_shown("plain text, \xC3\xBC \xF0\x9F\x90\xB3", "plain text, \xC3\xBC \xF0\x9F\x90\xB3");
        assert_shown("\tat Main.java", "\tat Main.java");
        assert_shown("\x1b]0;title\x07", "\\x1b]0;title\\x07");
        assert_shown("\x1b[2J\x1b[H", "\\x1b[2J\\x1b[H");
        assert_shown("a\nb\rc\x7f", "a\\x0ab\\x0dc\\x7f");
        /* CSI as one character of C1. */
        assert_shown("\xC2\x9B"
                     "2J",
                        "\\x9b2J");
        assert_shown("\xC2\xA0", "\xC2\xA0");
        assert_shown("\xFF", "\\xff");
}
END_TEST

START_TEST(colours_are_left_out) {
        assert_shown("\x1b[31mred\x1b[0m \x1b[1;38;5;245mgrey\x1b[m", "red grey");
        assert_shown("\x1b[38:2::1:2:3mred", "red");
        assert_shown("\x1b[31", "\\x1b[31");
        assert_shown("done\r", "done");
}
END_TEST

/* Each character is looked at once: else this takes minutes, and check ends it. */
START_TEST(a_long_line_takes_no_longer_than_many_short_ones) {
        const size_t n = (size_t) 16 * 1024 * 1024;
        _cleanup_free_ char *line = malloc(n + 1), *s = NULL;

        ck_assert_ptr_nonnull(line);
        memset(line, 'x', n);
        line[n] = 0;
        s = log_text_for_people(line);
        ck_assert_ptr_nonnull(s);
        ck_assert(streq(s, line));
}
END_TEST

TESTS("log-print", nothing_steers_a_terminal, colours_are_left_out,
                a_long_line_takes_no_longer_than_many_short_ones)
