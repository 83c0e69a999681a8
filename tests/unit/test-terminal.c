/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <errno.h>

#include "alloc-util.h"
#include "string-util.h"
#include "terminal.h"
#include "test.h"

static void set_environment(const char *locale, const char *no_color, const char *ccp, const char *systemd) {
        const char *const pairs[][2] = {
                { "LC_ALL", locale },
                { "NO_COLOR", no_color },
                { "CCP_COLORS", ccp },
                { "SYSTEMD_COLORS", systemd },
        };

        for (size_t i = 0; i < ELEMENTSOF(pairs); i++)
                if (pairs[i][1])
                        ck_assert_int_eq(setenv(pairs[i][0], pairs[i][1], true), 0);
                else
                        ck_assert_int_eq(unsetenv(pairs[i][0]), 0);
        terminal_open();
}

START_TEST(width_is_that_of_the_characters_in_every_locale) {
        static const char *const locales[] = { "C", "C.UTF-8" };

        for (size_t i = 0; i < ELEMENTSOF(locales); i++) {
                set_environment(locales[i], NULL, NULL, NULL);
                ck_assert_uint_eq(text_columns("abc"), 3);
                ck_assert_uint_eq(text_columns("Zürich"), 6);
                ck_assert_uint_eq(text_columns("東京"), 4);
                ck_assert_uint_eq(text_columns("e\xcc\x81"), 1); /* combining accent */
        }
}
END_TEST

START_TEST(ellipsis_fits_the_locale) {
        _cleanup_free_ char *utf8 = NULL, *ascii = NULL, *whole = NULL, *tiny = NULL, *wide = NULL;

        set_environment("C.UTF-8", NULL, NULL, NULL);
        utf8 = text_ellipsize("provisioning", 8);
        ck_assert_str_eq(utf8, "provisi…");
        whole = text_ellipsize("eightchr", 8);
        ck_assert_str_eq(whole, "eightchr");
        tiny = text_ellipsize("abc", 0);
        ck_assert_str_eq(tiny, "");
        wide = text_ellipsize("東京都", 4); /* the second one would not leave room for the ellipsis */
        ck_assert_str_eq(wide, "東…");

        set_environment("C", NULL, NULL, NULL);
        ascii = text_ellipsize("provisioning", 8);
        ck_assert_str_eq(ascii, "provi...");
}
END_TEST

START_TEST(control_characters_are_escaped) {
        _cleanup_free_ char *s = NULL;

        s = text_escape("a\tb\nc\x1b]0;x\x07 \x7f \xc2\x9b Zürich");
        ck_assert_str_eq(s, "a\\tb\\nc\\x1b]0;x\\x07 \\x7f \\x9b Zürich");
}
END_TEST

START_TEST(our_variable_decides_on_colours_before_the_others) {
        set_environment("C", NULL, NULL, NULL);
        ck_assert(!color_enabled(stdout) || terminal_is_output());
        set_environment("C", NULL, "1", "0");
        ck_assert(color_enabled(stdout));
        set_environment("C", NULL, NULL, "256");
        ck_assert(color_enabled(stdout));
        set_environment("C", "1", "yes", NULL);
        ck_assert(color_enabled(stdout));
        set_environment("C", "1", NULL, NULL);
        ck_assert(!color_enabled(stdout));
        set_environment("C", NULL, "no", "1");
        ck_assert(!color_enabled(stdout));
        ck_assert_str_eq(color_on(stdout, COLOR_RED), "");
}
END_TEST

START_TEST(booleans_are_parsed) {
        ck_assert_int_eq(boolean_parse("YES"), 1);
        ck_assert_int_eq(boolean_parse("on"), 1);
        ck_assert_int_eq(boolean_parse("0"), 0);
        ck_assert_int_eq(boolean_parse("n"), 0);
        ASSERT_ERROR(boolean_parse(""), EINVAL);
        ASSERT_ERROR(boolean_parse("maybe"), EINVAL);
}
END_TEST

TESTS("terminal", width_is_that_of_the_characters_in_every_locale, ellipsis_fits_the_locale,
                control_characters_are_escaped, our_variable_decides_on_colours_before_the_others,
                booleans_are_parsed)
