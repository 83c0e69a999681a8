/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "s3-sign.h"

#include "alloc-util.h"
#include "string-util.h"
#include "test.h"

#define PAIRS_MAX 4U
#define EMPTY_HASH "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define FORM_HASH "9095672bbd1f56dfc5b65f3e153adc8731a4a654192329106275f4c7b24d0b6e"
#define UNRESERVED "-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
#define SESSION_TOKEN                                                                                     \
        "AQoDYXdzEPT//////////wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKWHGBuFqwAeMicRXmxfpSPfIe" \
        "oIYRqTflfKD8YUuwthAx7mSEI/qkPpKPi/kMcGdQrmGdeehM4IC1NtBmUpp2wUE8phUZampKsburEDy0KPkyQDYwT7WZ0wq" \
        "5VSXDvp75YU9HFvlRd8Tx6q6fE8YQcHNVXAkiY9q6d+xo0rKwT38xVqr7ZD0u0iPPkUL64lIZbqBAz+scqKmlzm8FDrypNC" \
        "9Yjc8fPOLn9FX9KSYvKTr4rvx3iSIlTJabIQwj2ICCR/oLxBA=="

typedef struct Vector {
        const char *name, *method, *path;
        S3Pair query[PAIRS_MAX], headers[PAIRS_MAX];
        const char *hash; /* NULL: of nothing */
        const char *signed_headers, *signature;
} Vector;

static size_t count_pairs(const S3Pair pairs[static PAIRS_MAX]) {
        size_t n = 0;

        while (n < PAIRS_MAX && pairs[n].name)
                n++;
        return n;
}

static S3SignInput vector_input(const Vector *v) {
        return (S3SignInput) {
                .method = v->method,
                .path = v->path,
                .query = v->query,
                .n_query = count_pairs(v->query),
                .headers = v->headers,
                .n_headers = count_pairs(v->headers),
                .payload_hash = v->hash ?: EMPTY_HASH,
        };
}

/* The names are those of AWS's test suite for Signature Version 4. Paths that it has normalised are left out: S3 does
 * not do so. */
START_TEST(vectors_of_the_test_suite) {
        static const Vector vectors[] = {
                { "get-vanilla", "GET", "/", {}, {}, NULL, "host;x-amz-date",
                                "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31" },
                { "get-utf8", "GET", "/\xE1\x88\xB4", {}, {}, NULL, "host;x-amz-date",
                                "8318018e0b0f223aa2bbf98705b62bb787dc9c0e678f255a891fd03141be5d85" },
                { "get-space-unnormalized", "GET", "/example space/", {}, {}, NULL, "host;x-amz-date",
                                "652487583200325589f1fba4c7e578f72c47cb61beeca81406b39ddec1366741" },
                { "get-slashes-unnormalized", "GET", "//example//", {}, {}, NULL, "host;x-amz-date",
                                "87cca117541a147f6df867677d98a7d80dff226d2bfca9e4ffa899665623c7e5" },
                { "get-slash-dot-slash-unnormalized", "GET", "/./", {}, {}, NULL, "host;x-amz-date",
                                "68714168e6557f8f2de0ef956fc24dc2593a4bd2961f8df51898d8a134695145" },
                { "get-relative-relative-unnormalized", "GET", "/example1/example2/../..", {}, {}, NULL,
                                "host;x-amz-date",
                                "dc33e0856fd4baca4d7aa2146c38958283844764f38c74252a333df5e613003b" },
                { "get-unreserved", "GET", "/" UNRESERVED, {}, {}, NULL, "host;x-amz-date",
                                "07ef7494c76fa4850883e2b006601f940f8a34d404d0cfa977f52a65bbf5f24f" },
                { "get-vanilla-empty-query-key", "GET", "/", { { "Param1", "value1" } }, {}, NULL,
                                "host;x-amz-date",
                                "a67d582fa61cc504c4bae71f336f98b97f1ea3c7a6bfe1b6e45aec72011b9aeb" },
                { "get-vanilla-query-order-key-case", "GET", "/",
                                { { "Param2", "value2" }, { "Param1", "value1" } }, {}, NULL,
                                "host;x-amz-date",
                                "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500" },
                { "get-vanilla-query-order-encoded", "GET", "/",
                                { { "Param-3", "Value3" }, { "Param", "Value2" },
                                                { "\xE1\x88\xB4", "Value1" } },
                                {}, NULL, "host;x-amz-date",
                                "371d3713e185cc334048618a97f809c9ffe339c62934c032af5a0e595648fcac" },
                { "get-vanilla-query-unreserved", "GET", "/", { { UNRESERVED, UNRESERVED } }, {}, NULL,
                                "host;x-amz-date",
                                "9c3e54bfcdf0b19771a7f523ee5669cdf59bc7cc0884027167c21bb143a40197" },
                { "get-vanilla-utf8-query", "GET", "/", { { "\xE1\x88\xB4", "bar" } }, {}, NULL,
                                "host;x-amz-date",
                                "2cdec8eed098649ff3a119c94853b13c643bcf08f8b0a1d91e12c9027818dd04" },
                { "get-header-key-duplicate", "GET", "/", {},
                                { { "My-Header1", "value2" }, { "My-Header1", "value2" },
                                                { "My-Header1", "value1" } },
                                NULL, "host;my-header1;x-amz-date",
                                "c9d5ea9f3f72853aea855b47ea873832890dbdd183b4468f858259531a5138ea" },
                { "get-header-value-order", "GET", "/", {},
                                { { "My-Header1", "value4" }, { "My-Header1", "value1" },
                                                { "My-Header1", "value3" }, { "My-Header1", "value2" } },
                                NULL, "host;my-header1;x-amz-date",
                                "08c7e5a9acfcfeb3ab6b2185e75ce8b1deb5e634ec47601a50643f830c755c01" },
                { "get-header-value-trim", "GET", "/", {},
                                { { "My-Header1", " value1" }, { "My-Header2", " \"a   b   c\"" } }, NULL,
                                "host;my-header1;my-header2;x-amz-date",
                                "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736" },
                { "post-vanilla", "POST", "/", {}, {}, NULL, "host;x-amz-date",
                                "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b" },
                { "post-vanilla-query", "POST", "/", { { "Param1", "value1" } }, {}, NULL, "host;x-amz-date",
                                "28038455d6de14eafc1f9222cf5aa6f1a96197d7deb8263271d420d138af7f11" },
                { "post-header-key-sort", "POST", "/", {}, { { "My-Header1", "value1" } }, NULL,
                                "host;my-header1;x-amz-date",
                                "c5410059b04c1ee005303aed430f6e6645f61f4dc9e1461ec8f8916fdf18852c" },
                { "post-header-value-case", "POST", "/", {}, { { "My-Header1", "VALUE1" } }, NULL,
                                "host;my-header1;x-amz-date",
                                "cdbc9802e29d2942e5e10b5bccfdd67c5f22c7c4e8ae67b53629efa58b974b7d" },
                { "post-sts-header-before", "POST", "/", {}, { { "X-Amz-Security-Token", SESSION_TOKEN } },
                                NULL, "host;x-amz-date;x-amz-security-token",
                                "85d96828115b5dc0cfc3bd16ad9e210dd772bbebba041836c64533a82be05ead" },
                { "post-x-www-form-urlencoded", "POST", "/", {},
                                { { "Content-Type", "application/x-www-form-urlencoded" },
                                                { "Content-Length", "13" },
                                                { "X-Amz-Content-Sha256", FORM_HASH } },
                                FORM_HASH,
                                "content-length;content-type;host;x-amz-content-sha256;x-amz-date",
                                "d3875051da38690788ef43de4db0d8f280229d82040bfac253562e56c3f20e0b" },
                { "post-x-www-form-urlencoded-parameters", "POST", "/", {},
                                { { "Content-Type", "application/x-www-form-urlencoded; charset=utf-8" },
                                                { "Content-Length", "13" },
                                                { "X-Amz-Content-Sha256", FORM_HASH } },
                                FORM_HASH,
                                "content-length;content-type;host;x-amz-content-sha256;x-amz-date",
                                "328d1b9eaadca9f5818ef05e8392801e091653bafec24fcab71e7344e7f51422" },
        };

        FOREACH_ARRAY(v, vectors, ELEMENTSOF(vectors)) {
                _cleanup_free_ char *authorization = NULL, *expected = NULL;
                S3SignInput in = vector_input(v);

                in.host = "example.amazonaws.com";
                in.realtime = 1440938160 * USEC_PER_SEC;
                in.region = "us-east-1";
                in.service = "service";
                in.access_key = "AKIDEXAMPLE";
                in.secret_key = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
                expected = strjoin("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/"
                                   "aws4_request, SignedHeaders=",
                                v->signed_headers, ", Signature=", v->signature);
                ASSERT_OK(s3_authorization(&in, &authorization));
                ck_assert_msg(streq(authorization, expected), "%s: %s", v->name, authorization);
        }
}
END_TEST

/* The examples of the API reference of S3, "Authenticating Requests: Using the Authorization Header". */
START_TEST(vectors_of_s3) {
        static const char welcome[] = "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072";
        static const Vector vectors[] = {
                { "get object", "GET", "/test.txt", {},
                                { { "Range", "bytes=0-9" }, { "x-amz-content-sha256", EMPTY_HASH } }, NULL,
                                "host;range;x-amz-content-sha256;x-amz-date",
                                "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41" },
                { "put object", "PUT", "/test$file.text", {},
                                { { "Date", "Fri, 24 May 2013 00:00:00 GMT" },
                                                { "x-amz-storage-class", "REDUCED_REDUNDANCY" },
                                                { "x-amz-content-sha256", welcome } },
                                welcome, "date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class",
                                "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd" },
                { "get bucket lifecycle", "GET", "/", { { "lifecycle", "" } },
                                { { "x-amz-content-sha256", EMPTY_HASH } }, NULL,
                                "host;x-amz-content-sha256;x-amz-date",
                                "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543" },
                { "list objects", "GET", "/", { { "max-keys", "2" }, { "prefix", "J" } },
                                { { "x-amz-content-sha256", EMPTY_HASH } }, NULL,
                                "host;x-amz-content-sha256;x-amz-date",
                                "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7" },
        };

        FOREACH_ARRAY(v, vectors, ELEMENTSOF(vectors)) {
                _cleanup_free_ char *authorization = NULL, *expected = NULL;
                S3SignInput in = vector_input(v);

                in.host = "examplebucket.s3.amazonaws.com";
                in.realtime = 1369353600 * USEC_PER_SEC;
                in.region = "us-east-1";
                in.service = "s3";
                in.access_key = "AKIAIOSFODNN7EXAMPLE";
                in.secret_key = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
                expected = strjoin("AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/"
                                   "aws4_request, SignedHeaders=",
                                v->signed_headers, ", Signature=", v->signature);
                ASSERT_OK(s3_authorization(&in, &authorization));
                ck_assert_msg(streq(authorization, expected), "%s: %s", v->name, authorization);
        }
}
END_TEST

START_TEST(steps) {
        const S3Pair query[] = { { "b", "2 +&=/" }, { "a", "" }, { "a", "1" } };
        const S3Pair headers[] = { { "X-Amz-Content-Sha256", S3_UNSIGNED_PAYLOAD } };
        const S3SignInput in = {
                .method = "PUT",
                .host = "[::1]:9000",
                .path = "/bucket/a b",
                .query = query,
                .n_query = ELEMENTSOF(query),
                .headers = headers,
                .n_headers = ELEMENTSOF(headers),
                .payload_hash = S3_UNSIGNED_PAYLOAD,
                .realtime = 1369353600 * USEC_PER_SEC + 999999,
                .region = "eu",
                .service = "s3",
        };
        _cleanup_free_ char *canonical = NULL, *names = NULL, *text = NULL;
        char hash[S3_HASH_HEX_MAX];

        ASSERT_OK(s3_canonical_request(&in, &canonical, &names));
        ck_assert_str_eq(canonical,
                        "PUT\n"
                        "/bucket/a%20b\n"
                        "a=&a=1&b=2%20%2B%26%3D%2F\n"
                        "host:[::1]:9000\n"
                        "x-amz-content-sha256:UNSIGNED-PAYLOAD\n"
                        "x-amz-date:20130524T000000Z\n"
                        "\n"
                        "host;x-amz-content-sha256;x-amz-date\n"
                        "UNSIGNED-PAYLOAD");
        ck_assert_str_eq(names, "host;x-amz-content-sha256;x-amz-date");

        ASSERT_OK(s3_string_to_sign(&in, "", &text));
        ck_assert_str_eq(text,
                        "AWS4-HMAC-SHA256\n20130524T000000Z\n20130524/eu/s3/aws4_request\n" EMPTY_HASH);
        s3_hash("Param1=value1", 13, hash);
        ck_assert_str_eq(hash, FORM_HASH);
}
END_TEST

TESTS("s3-sign", vectors_of_the_test_suite, vectors_of_s3, steps)
