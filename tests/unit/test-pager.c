/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "pager.h"
#include "string-util.h"
#include "strv.h"
#include "test.h"

static void set_pagers(const char *ccp, const char *systemd, const char *pager) {
        const char *const pairs[][2] = {
                { "CCP_PAGER", ccp },
                { "SYSTEMD_PAGER", systemd },
                { "PAGER", pager },
        };

        for (size_t i = 0; i < ELEMENTSOF(pairs); i++)
                if (pairs[i][1])
                        ck_assert_int_eq(setenv(pairs[i][0], pairs[i][1], true), 0);
                else
                        ck_assert_int_eq(unsetenv(pairs[i][0]), 0);
}

static char *choose(bool secure) {
        _cleanup_strv_free_ char **words = NULL;

        ASSERT_OK(pager_choose(secure, &words));
        return words ? strv_join(words, "|") : NULL;
}

START_TEST(less_is_what_there_is_without_a_wish) {
        _cleanup_free_ char *s = NULL;

        set_pagers(NULL, NULL, NULL);
        s = choose(false);
        ck_assert_str_eq(s, "less");
}
END_TEST

START_TEST(the_most_specific_variable_wins_and_is_split_into_words) {
        _cleanup_free_ char *s = NULL, *t = NULL;

        set_pagers(NULL, "more", "most");
        s = choose(false);
        ck_assert_str_eq(s, "more");
        set_pagers("  less\t-R  +G ", "more", "most");
        t = choose(false);
        ck_assert_str_eq(t, "less|-R|+G");
}
END_TEST

START_TEST(an_empty_pager_or_cat_means_none) {
        set_pagers(NULL, "", "less");
        ck_assert_ptr_null(choose(false));
        set_pagers(NULL, NULL, "cat");
        ck_assert_ptr_null(choose(false));
        set_pagers(NULL, NULL, "   ");
        ck_assert_ptr_null(choose(false));
}
END_TEST

START_TEST(in_secure_mode_the_environment_does_not_choose) {
        _cleanup_free_ char *s = NULL;

        set_pagers("sh", "sh", "sh");
        s = choose(true);
        ck_assert_str_eq(s, "less");
}
END_TEST

TESTS("pager", less_is_what_there_is_without_a_wish, the_most_specific_variable_wins_and_is_split_into_words,
                an_empty_pager_or_cat_means_none, in_secure_mode_the_environment_does_not_choose)
