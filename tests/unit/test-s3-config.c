/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "s3-config.h"

#include <errno.h>

#include "string-util.h"
#include "test.h"

#define CONFIG(e, style)                                                                    \
        (S3Config) {                                                                        \
                .endpoint = (e), .bucket = "backups", .access_key = "a", .secret_key = "s", \
                .path_style = (style)                                                       \
        }

START_TEST(endpoints) {
        static const struct {
                const char *endpoint;
                bool path_style;
                const char *shown, *authority, *root;
        } good[] = {
                { "https://s3.example.org", false, "https://s3.example.org", "backups.s3.example.org", "" },
                { "HTTPS://S3.Example.org:443/", true, "https://s3.example.org", "s3.example.org",
                                "/backups" },
                { "https://s3.example.org:80", false, "https://s3.example.org:80",
                                "backups.s3.example.org:80", "" },
                { "http://minio:80", true, "http://minio", "minio", "/backups" },
                { "http://127.0.0.1:9000", true, "http://127.0.0.1:9000", "127.0.0.1:9000", "/backups" },
                { "https://[::1]:9000/", true, "https://[::1]:9000", "[::1]:9000", "/backups" },
        };
        static const char *const bad[] = { "", "s3.example.org", "ftp://s3.example.org", "https://",
                "https:///", "https://:443", "https://user@s3.example.org", "https://user:pw@s3.example.org",
                "https://s3.example.org/path", "https://s3.example.org?x", "https://s3.example.org/?x",
                "https://s3.example.org#x", "https://s3.example.org:", "https://s3.example.org:0",
                "https://s3.example.org:65536", "https://s3.example.org:99999999999",
                "https://s3.example.org:4x", "https://s3 .example.org", "https://s3.example.org\n",
                "https://[::1", "https://[::g]", "https://[]", "https://-x", "https://.x",
                "https://s3.example.org\\x", " https://s3.example.org" };

        FOREACH_ARRAY(i, good, ELEMENTSOF(good)) {
                _cleanup_s3_place_ S3Place p = {};
                const S3Config config = CONFIG(i->endpoint, i->path_style);

                ck_assert_msg(s3_place_parse(&config, &p, NULL) == 0, "%s", i->endpoint);
                ck_assert_str_eq(p.endpoint, i->shown);
                ck_assert_str_eq(p.authority, i->authority);
                ck_assert_str_eq(p.root, i->root);
                ck_assert_str_eq(p.region, "us-east-1");
        }
        FOREACH_ARRAY(i, bad, ELEMENTSOF(bad)) {
                _cleanup_s3_place_ S3Place p = {};
                _cleanup_error_ Error e = {};
                const S3Config config = CONFIG(*i, true);

                ck_assert_msg(s3_place_parse(&config, &p, &e) == -EINVAL, "%s", *i);
                ck_assert_str_eq(e.name, CCP_ERROR_INVALID_ARGUMENT);
                /* It may hold a password. */
                ck_assert_ptr_null(strstr(e.message, "pw"));
        }
}
END_TEST

START_TEST(what_cannot_stand_before_a_host) {
        _cleanup_s3_place_ S3Place p = {};
        S3Config config = CONFIG("https://127.0.0.1", false);

        ASSERT_ERROR(s3_place_parse(&config, &p, NULL), EINVAL);
        config = CONFIG("https://[::1]", false);
        ASSERT_ERROR(s3_place_parse(&config, &p, NULL), EINVAL);
        config = CONFIG("https://s3.example.org", false);
        config.bucket = "my.backups";
        ASSERT_ERROR(s3_place_parse(&config, &p, NULL), EINVAL);
        config.path_style = true;
        ASSERT_OK(s3_place_parse(&config, &p, NULL));
}
END_TEST

START_TEST(buckets) {
        static const char *const good[] = { "abc", "a-b.c", "1bucket", "a.b-c.d" };
        static const char *const bad[] = { "", "ab", "Abc", "a_b", ".abc", "abc.", "-abc", "abc-", "a..b",
                "a.-b", "a-.b", "192.168.0.1", "a/b", "a b", "m\xC3\xBCnchen",
                "a123456789a123456789a123456789a123456789a123456789a123456789a123" };

        FOREACH_ARRAY(i, good, ELEMENTSOF(good))
                ck_assert_msg(s3_bucket_is_valid(*i), "%s", *i);
        FOREACH_ARRAY(i, bad, ELEMENTSOF(bad))
                ck_assert_msg(!s3_bucket_is_valid(*i), "%s", *i);
        ck_assert(!s3_bucket_is_valid(NULL));
}
END_TEST

START_TEST(keys_and_prefixes) {
        static const struct {
                const char *prefix, *normalised;
        } prefixes[] = {
                { NULL, "" },
                { "", "" },
                { "/", "" },
                { "a", "a/" },
                { "//a//b.c/", "a/b.c/" },
                { "..", NULL },
                { "a/./b", NULL },
                { "a b", NULL },
                { "a?b", NULL },
        };
        char key[S3_KEY_LENGTH_MAX + 2];

        ck_assert(s3_key_is_valid("a/B.c_d-e/0"));
        ck_assert(s3_key_is_valid("..."));
        FOREACH_ARRAY(i,
                        ((const char *[]) { "", "/a", "a/", "a//b", ".", "a/..", "../a", "a b", "a\n",
                                        "a%20", "\xC3\xA4" }),
                        11)
                ck_assert_msg(!s3_key_is_valid(*i), "%s", *i);
        memset(key, 'a', sizeof(key));
        key[S3_KEY_LENGTH_MAX + 1] = 0;
        ck_assert(!s3_key_is_valid(key));
        key[S3_KEY_LENGTH_MAX] = 0;
        ck_assert(s3_key_is_valid(key));

        FOREACH_ARRAY(i, prefixes, ELEMENTSOF(prefixes)) {
                _cleanup_s3_place_ S3Place p = {};
                S3Config config = CONFIG("https://s3.example.org", false);
                int r;

                config.prefix = i->prefix;
                r = s3_place_parse(&config, &p, NULL);
                ck_assert_msg((r == 0) == !!i->normalised, "%s", strempty(i->prefix));
                if (i->normalised)
                        ck_assert_str_eq(p.prefix, i->normalised);
        }
}
END_TEST

START_TEST(credentials_are_checked_and_not_told) {
        S3Config configs[] = { CONFIG("https://s3.example.org", false),
                CONFIG("https://s3.example.org", false), CONFIG("https://s3.example.org", false),
                CONFIG("https://s3.example.org", false) };

        configs[0].access_key = "secret/x";
        configs[1].access_key = "";
        configs[2].secret_key = "secret with space";
        configs[3].secret_key = NULL;
        FOREACH_ARRAY(c, configs, ELEMENTSOF(configs)) {
                _cleanup_s3_place_ S3Place p = {};
                _cleanup_error_ Error e = {};

                ASSERT_ERROR(s3_place_parse(c, &p, &e), EINVAL);
                ck_assert_ptr_null(strstr(e.message, "secret/"));
                ck_assert_ptr_null(strstr(e.message, "with space"));
        }
}
END_TEST

TESTS("s3-config", endpoints, what_cannot_stand_before_a_host, buckets, keys_and_prefixes,
                credentials_are_checked_and_not_told)
