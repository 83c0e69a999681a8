/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <errno.h>

#include "alloc-util.h"
#include "slice.h"
#include "string-util.h"
#include "strv.h"
#include "test.h"
#include "validate.h"

START_TEST(slugs_keep_to_the_rule) {
        static const char *const good[] = { "a", "0", "ab", "a-b", "a--b",
                "abcdefghijklmnopqrstuvwxyz-01234" };
        static const char *const bad[] = { "", "-", "-a", "a-", "A", "a_b", "a.b", "a b", "a/b", "ä", "a\n",
                "abcdefghijklmnopqrstuvwxyz-012345", "../a" };

        FOREACH_ARRAY(s, good, ELEMENTSOF(good))
                ck_assert_msg(slug_is_valid(*s), "%s", *s);
        ASSERT_ERROR(slug_validate("jobs", NULL), EINVAL);
        FOREACH_ARRAY(s, bad, ELEMENTSOF(bad)) {
                _cleanup_error_ Error e = {};

                ck_assert_msg(!slug_is_valid(*s), "%s", *s);
                ASSERT_ERROR(slug_validate(*s, &e), EINVAL);
                ck_assert_str_eq(e.name, CCP_ERROR_INVALID_ARGUMENT);
                ck_assert(string_is_safe(e.message));
        }
        ck_assert(!slug_is_valid(NULL));
}
END_TEST

START_TEST(slugs_are_made_from_names) {
        static const struct {
                const char *name, *slug;
        } cases[] = {
                { "Zürich Chapter", "zurich-chapter" },
                { "  Edmonton!!  North  ", "edmonton-north" },
                { "People's Party", "peoples-party" },
                { "Straße Ærø", "strasse-aero" },
                { "a", "a" },
                { "A very long name that does not fit in", "a-very-long-name-that-does-not-f" },
                { "An exact cut at the dash here, x", "an-exact-cut-at-the-dash-here-x" },
                { "aaaaaaaaaabbbbbbbbbbccccccccccd e", "aaaaaaaaaabbbbbbbbbbccccccccccd" },
                { "東京 2", "2" },
        };

        FOREACH_ARRAY(c, cases, ELEMENTSOF(cases)) {
                _cleanup_free_ char *slug = NULL;

                ASSERT_OK(slug_from_name(c->name, &slug));
                ck_assert_str_eq(slug, c->slug);
                ck_assert(slug_is_valid(slug));
        }
}
END_TEST

START_TEST(names_without_letters_make_no_slug) {
        static const char *const names[] = { "", "---", "東京", "\xc3", "!?" };
        char *slug = NULL;

        FOREACH_ARRAY(name, names, ELEMENTSOF(names))
                ASSERT_ERROR(slug_from_name(*name, &slug), ENOENT);
        ck_assert_ptr_null(slug);
}
END_TEST

START_TEST(domains_are_lower_cased) {
        _cleanup_free_ char *domain = NULL;

        ASSERT_OK(domain_normalize("App.Example.ORG", &domain, NULL));
        ck_assert_str_eq(domain, "app.example.org");
}
END_TEST

START_TEST(domains_keep_to_the_rule) {
        static const char label63[] = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
        static const char *const good[] = { "a.b", "example.org", "xn--mnchen-3ya.de", "1.2.example",
                "a-b.c-d", "example.xn--p1ai" };
        static const char *const bad[] = { "", "example", ".org", "example.", "a..b", "-a.org", "a-.org",
                "a_b.org", "münchen.de", "a.1", "127.0.0.1", "a.org\n", "a b.org", "*.org", "ab--c.org",
                "a.org:80" };
        _cleanup_free_ char *s = NULL, *t = NULL;

        FOREACH_ARRAY(d, good, ELEMENTSOF(good))
                ck_assert_msg(domain_is_valid(*d), "%s", *d);
        FOREACH_ARRAY(d, bad, ELEMENTSOF(bad)) {
                _cleanup_error_ Error e = {};
                char *normalized = NULL;

                ck_assert_msg(!domain_is_valid(*d), "%s", *d);
                ASSERT_ERROR(domain_normalize(*d, &normalized, &e), EINVAL);
                ck_assert(string_is_safe(e.message));
        }

        s = strjoin(label63, ".org");
        ck_assert(domain_is_valid(s));
        t = strjoin("a", label63, ".org");
        ck_assert(!domain_is_valid(t));
}
END_TEST

START_TEST(domains_have_at_most_253_characters) {
        _cleanup_string_builder_ StringBuilder b = {};
        _cleanup_free_ char *s = NULL;

        while (b.size < 250)
                string_builder_append(&b, "a.");
        string_builder_append(&b, "org");
        ASSERT_OK(string_builder_finish(&b, &s, NULL));
        ck_assert_uint_eq(strlen(s), 253);
        ck_assert(domain_is_valid(s));

        string_builder_appendf(&b, "x%s", s);
        free(TAKE_PTR(s));
        ASSERT_OK(string_builder_finish(&b, &s, NULL));
        ck_assert(!domain_is_valid(s));
}
END_TEST

START_TEST(display_names_are_one_line_of_text) {
        _cleanup_free_ char *umlauts = calloc(1, DISPLAY_NAME_MAX * 2 + 3);

        for (unsigned i = 0; i < DISPLAY_NAME_MAX; i++)
                memcpy(umlauts + i * 2, "ü", 2);
        ASSERT_OK(display_name_validate("Zürich – 東京", NULL));
        ASSERT_OK(display_name_validate(umlauts, NULL));
        memcpy(umlauts + DISPLAY_NAME_MAX * 2, "ü", 2);
        ASSERT_ERROR(display_name_validate(umlauts, NULL), EINVAL);
        ASSERT_ERROR(display_name_validate("", NULL), EINVAL);
        ASSERT_ERROR(display_name_validate("   ", NULL), EINVAL);
        ASSERT_ERROR(display_name_validate("a\nb", NULL), EINVAL);
        ASSERT_ERROR(display_name_validate("\x1b[31m", NULL), EINVAL);
        ASSERT_ERROR(display_name_validate("\xff", NULL), EINVAL);
        ASSERT_ERROR(display_name_validate(NULL, NULL), EINVAL);
}
END_TEST

START_TEST(names_of_keys_keep_to_their_rules) {
        ck_assert(parameter_name_is_valid("smtp_port"));
        ck_assert(!parameter_name_is_valid("smtp-port"));
        ck_assert(!parameter_name_is_valid("1a"));
        ck_assert(!parameter_name_is_valid(""));
        ck_assert(feature_name_is_valid("smtp-port"));
        ck_assert(!feature_name_is_valid("-a"));
        ck_assert(secret_name_is_valid("POSTGRES_PASSWORD2"));
        ck_assert(!secret_name_is_valid("postgres"));
        ck_assert(service_name_is_valid("v2-postgres.1"));
        ck_assert(!service_name_is_valid("-a"));
        ck_assert(!service_name_is_valid("a b"));
}
END_TEST

START_TEST(quoted_text_is_safe_and_short) {
        char buf[TEXT_FOR_ERROR_MAX];
        _cleanup_free_ char *s = calloc(1, 1000);

        ck_assert_str_eq(text_for_error(buf, sizeof(buf), "abc"), "abc");
        ck_assert(string_is_safe(text_for_error(buf, sizeof(buf), "a\nb")));
        ck_assert(string_is_safe(text_for_error(buf, sizeof(buf), NULL)));

        /* Wherever the cut falls, no character is halved. */
        for (size_t shift = 0; shift < 4; shift++) {
                memset(s, 'x', shift);
                for (size_t i = 0; i < 200; i++)
                        memcpy(s + shift + i * 3, "東", 3);
                s[shift + 600] = 0;
                ck_assert(string_is_safe(text_for_error(buf, sizeof(buf), s)));
                ck_assert_ptr_nonnull(endswith(buf, "…"));
        }
}
END_TEST

START_TEST(slices_escape_the_dash) {
        _cleanup_free_ char *a = NULL, *b = NULL;
        char *c = NULL;

        ASSERT_OK(slice_from_slug("alpha", &a));
        ck_assert_str_eq(a, "ccp-alpha.slice");
        ASSERT_OK(slice_from_slug("my-chapter", &b));
        ck_assert_str_eq(b, "ccp-my\\x2dchapter.slice");
        ASSERT_ERROR(slice_from_slug("../x", &c), EINVAL);
}
END_TEST

START_TEST(no_two_instances_have_things_of_one_name) {
        static const char *const slugs[] = { "a", "a-b", "a--b", "a-b-c", "ccp", "a-ccp" },
                                 *const names[] = { "c", "b-c", "b_c", "b-c-d", "ccp", "ccp-c", "ccp_c",
                                         "b_ccp", "b_ccp-c" },
                                 *const separators[] = { "-", "_" };
        _cleanup_strv_free_ char **all = NULL;

        FOREACH_ARRAY(slug, slugs, ELEMENTSOF(slugs))
                FOREACH_ARRAY(name, names, ELEMENTSOF(names))
                        FOREACH_ARRAY(separator, separators, ELEMENTSOF(separators)) {
                                _cleanup_free_ char *s =
                                                strjoin(*slug, CCP_PROJECT_SUFFIX, *separator, *name);

                                ck_assert(slug_is_valid(*slug));
                                ck_assert_msg(!strv_contains(all, s), "%s", s);
                                ASSERT_OK(strv_extend(&all, s));
                        }
}
END_TEST

TESTS("validate", slugs_keep_to_the_rule, slugs_are_made_from_names, names_without_letters_make_no_slug,
                domains_are_lower_cased, domains_keep_to_the_rule, domains_have_at_most_253_characters,
                display_names_are_one_line_of_text, names_of_keys_keep_to_their_rules,
                quoted_text_is_safe_and_short, slices_escape_the_dash,
                no_two_instances_have_things_of_one_name)
