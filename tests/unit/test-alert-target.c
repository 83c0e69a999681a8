/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "alert-target.h"

#include <stdio.h>

#include "alloc-util.h"
#include "string-util.h"
#include "strv.h"
#include "test.h"

START_TEST(addresses_of_webhooks) {
        static const char *const good[] = {
                "https://example.org",
                "https://example.org/",
                "http://127.0.0.1:8080/hook",
                "https://[2001:db8::1]/a",
                "https://[::1]:8443/a?b=c&d=%20",
                "https://hooks.example.org/services/T0/B0/x",
                "https://host:65535?x",
                "https://a-b.example.org/@user",
                "http://x/[1]",
        };
        static const char *const bad[] = {
                "",
                "example.org",
                "HTTPS://example.org",
                "ftp://example.org",
                "file:///etc/passwd",
                "https://",
                "https:///x",
                "https://?x",
                "https://:80/",
                "https://example.org:0/",
                "https://example.org:65536/",
                "https://example.org:/",
                "https://example.org:8a/",
                "https://example.org:123456/",
                "https://user@example.org/",
                "https://user:password@example.org/",
                "https://good.org\\@evil.org/",
                "https://example.org/#part",
                "https://example.org/a b",
                "https://example.org/\n",
                "https://example.org/\r\nHost: x",
                "https://exämple.org/",
                "https://example.org/…",
                "https://-example.org/",
                "https://.example.org",
                "https://[::1",
                "https://[]/",
                "https://[::1]x/",
                "https://[zz]/",
                "https://exa_mple.org/",
                "https://example.org/<x>",
                "https://{a,b}.org/",
                "unix:///run/docker.sock",
                "https//example.org",
                "javascript:alert(1)",
        };
        _cleanup_free_ char *long_one = NULL;

        FOREACH_ARRAY(url, good, ELEMENTSOF(good)) {
                _cleanup_error_ Error e = {};

                ck_assert_msg(webhook_url_validate(*url, &e) == 0, "%s: %s", *url, strempty(e.message));
        }
        FOREACH_ARRAY(url, bad, ELEMENTSOF(bad)) {
                _cleanup_error_ Error e = {};

                ck_assert_msg(webhook_url_validate(*url, &e) < 0, "%s", *url);
                ck_assert_str_eq(e.name, CCP_ERROR_INVALID_ARGUMENT);
                /* Not a word of it: it may be half a secret. */
                ck_assert_ptr_null(strstr(e.message, "password@"));
        }

        ck_assert_int_ge(asprintf(&long_one, "https://example.org/%*s", (int) WEBHOOK_URL_MAX, ""), 0);
        for (char *p = long_one; *p; p++)
                *p = *p == ' ' ? 'a' : *p;
        ck_assert_int_lt(webhook_url_validate(long_one, NULL), 0);
        long_one[WEBHOOK_URL_MAX] = 0;
        ck_assert_int_eq(webhook_url_validate(long_one, NULL), 0);
}
END_TEST

START_TEST(credentials_in_an_address_are_refused_with_advice) {
        _cleanup_error_ Error e = {};

        ck_assert_int_lt(webhook_url_validate("https://user:pass@example.org/", &e), 0);
        ck_assert_ptr_nonnull(strstr(e.message, "ccpctl alert secret"));
}
END_TEST

START_TEST(what_of_an_address_is_shown) {
        static const struct {
                const char *url, *shown;
        } cases[] = {
                { "https://example.org", "https://example.org" },
                { "https://example.org/", "https://example.org/" },
                { "https://example.org:8443/hook/secret", "https://example.org:8443/…" },
                { "http://example.org?key=secret", "http://example.org/…" },
                { "", "" },
                { "nonsense", "" },
        };

        FOREACH_ARRAY(c, cases, ELEMENTSOF(cases)) {
                _cleanup_free_ char *shown = webhook_url_redact(c->url);

                ck_assert_str_eq(shown, c->shown);
        }
}
END_TEST

START_TEST(mail_addresses) {
        static const char *const good[] = {
                "root",
                "ops@example.org",
                "a.b+c=d_e-f@sub.example.org",
                "x@mailhost",
        };
        static const char *const bad[] = {
                "",
                " ",
                ",",
                "-oQ/tmp",
                "-C/etc/passwd@example.org",
                "|/bin/sh",
                "/etc/passwd",
                "a@b@c.org",
                "a@",
                "@example.org",
                ".a@example.org",
                "a.@example.org",
                "a..b@example.org",
                "a@example..org",
                "\"a b\"@example.org",
                "a@-x.org",
                "a\n@example.org",
                "a@example.org\nBcc: b",
                "Ops <ops@example.org>",
                "ops@exämple.org",
                "a!b",
                "a%b@example.org",
                "a@[127.0.0.1]",
                "a:include:/etc/passwd",
        };
        _cleanup_strv_free_ char **l = NULL;
        _cleanup_free_ char *joined = NULL;

        FOREACH_ARRAY(s, good, ELEMENTSOF(good)) {
                _cleanup_strv_free_ char **one = NULL;

                ck_assert_msg(mail_addresses_parse(*s, &one, NULL) == 0, "%s", *s);
                ck_assert_uint_eq(strv_length(one), 1);
        }
        FOREACH_ARRAY(s, bad, ELEMENTSOF(bad)) {
                _cleanup_strv_free_ char **none = NULL;
                _cleanup_error_ Error e = {};

                ck_assert_msg(mail_addresses_parse(*s, &none, &e) < 0, "%s", *s);
                ck_assert_str_eq(e.name, CCP_ERROR_INVALID_ARGUMENT);
        }

        ASSERT_OK(mail_addresses_parse(" root, ops@example.org ,x@y ", &l, NULL));
        joined = strv_join(l, "|");
        ck_assert_str_eq(joined, "root|ops@example.org|x@y");
}
END_TEST

START_TEST(there_are_not_too_many_of_them) {
        _cleanup_string_builder_ StringBuilder b = {};
        _cleanup_strv_free_ char **l = NULL, **none = NULL;
        _cleanup_free_ char *text = NULL;

        for (unsigned i = 0; i < MAIL_ADDRESSES_MAX; i++)
                string_builder_appendf(&b, "user%u,", i);
        ASSERT_OK(string_builder_finish(&b, &text, NULL));
        ASSERT_OK(mail_addresses_parse(text, &l, NULL));
        ck_assert_uint_eq(strv_length(l), MAIL_ADDRESSES_MAX);

        b = (StringBuilder) {};
        string_builder_append(&b, text);
        string_builder_append(&b, "one-more");
        free(text);
        ASSERT_OK(string_builder_finish(&b, &text, NULL));
        ck_assert_int_lt(mail_addresses_parse(text, &none, NULL), 0);
}
END_TEST

TESTS("alert-target", addresses_of_webhooks, credentials_in_an_address_are_refused_with_advice,
                what_of_an_address_is_shown, mail_addresses, there_are_not_too_many_of_them)
