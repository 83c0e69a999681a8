/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "alloc-util.h"
#include "string-util.h"
#include "strv.h"
#include "test.h"

START_TEST(builder_grows_and_hands_over) {
        _cleanup_string_builder_ StringBuilder b = {};
        _cleanup_free_ char *s = NULL;
        size_t n;

        for (int i = 0; i < 1000; i++)
                string_builder_appendf(&b, "%d,", i % 10);
        ASSERT_OK(string_builder_finish(&b, &s, &n));
        ck_assert_uint_eq(n, 2000);
        ck_assert_ptr_nonnull(startswith(s, "0,1,2,"));
        ck_assert_ptr_nonnull(endswith(s, "8,9,"));
}
END_TEST

START_TEST(empty_builder_is_an_empty_string) {
        _cleanup_string_builder_ StringBuilder b = {};
        _cleanup_free_ char *s = NULL;

        ASSERT_OK(string_builder_finish(&b, &s, NULL));
        ck_assert_str_eq(s, "");
}
END_TEST

START_TEST(safe_strings_have_no_control_characters) {
        ck_assert(string_is_safe("Zürich – 東京"));
        ck_assert(!string_is_safe("a\nb"));
        ck_assert(!string_is_safe("a\x7f"));
        ck_assert(!string_is_safe("a\xff"));
        ck_assert(!string_is_safe("\xc0\xaf"));     /* overlong "/" */
        ck_assert(!string_is_safe("\xed\xa0\x80")); /* surrogate */
        ck_assert(!string_is_safe("\xf4\x90\x80\x80"));
        ck_assert(!string_is_safe("\xe2\x82"));
        /* CSI, which terminals obey */
        ck_assert(!string_is_safe("\xc2\x9b"));
        ck_assert(string_is_safe("\xc2\xa0"));
        /* U+FDD0, U+FFFE, U+10FFFF: sd-bus refuses them */
        ck_assert(!string_is_safe("\xef\xb7\x90"));
        ck_assert(!string_is_safe("\xef\xbf\xbe"));
        ck_assert(!string_is_safe("\xf4\x8f\xbf\xbf"));
        ck_assert(string_is_safe("\xef\xbf\xbd"));
}
END_TEST

START_TEST(strv_joins) {
        _cleanup_strv_free_ char **l = NULL;
        _cleanup_free_ char *s = NULL;

        ASSERT_OK(strv_extend(&l, "a"));
        ASSERT_OK(strv_extendf(&l, "%d", 7));
        s = strv_join(l, ", ");
        ck_assert_str_eq(s, "a, 7");
        ck_assert(strv_contains(l, "7"));
        ck_assert_uint_eq(strv_length(l), 2);
}
END_TEST

TESTS("string-util", builder_grows_and_hands_over, empty_builder_is_an_empty_string,
                safe_strings_have_no_control_characters, strv_joins)
