/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "alloc-util.h"
#include "ccp-storage.h"
#include "fake-s3.h"
#include "json-util.h"
#include "string-util.h"
#include "test.h"

#define NO_KEY FAKE_HEAD("404 Not Found", "")
#define IS_THERE FAKE_HEAD("200 OK", "Content-Length: 64\r\n")
#define DONE FAKE_HEAD("200 OK", "Content-Length: 0\r\nETag: \"x\"\r\n")
#define OBJECT "/backups/host/ccpd-test-"

typedef struct Fixture {
        FakeS3 server;
        S3Client *client;
        json_t *findings;
} Fixture;

static void fixture_done(Fixture *f) {
        (void) s3_client_free(f->client);
        fake_s3_stop(&f->server);
        json_decref(f->findings);
}
#define _cleanup_fixture_ _cleanup_(fixture_done)

static void start(Fixture *f, const FakeStep *steps, size_t n) {
        f->findings = json_array();
        fake_s3_start(&f->server, steps, n);
        f->client = fake_s3_client(&f->server, "host");
}
#define START(f, ...)                                    \
        static const FakeStep steps[] = { __VA_ARGS__ }; \
        _cleanup_fixture_ Fixture f = {};                \
        start(&f, steps, ELEMENTSOF(steps))

/* What was found of the n-th check. */
static void expect(const Fixture *f, size_t n, const char *check, const char *verdict, const char *text) {
        const json_t *finding = json_array_get(f->findings, n);

        ck_assert_pstr_eq(json_object_get_string(finding, "check"), check);
        ck_assert_pstr_eq(json_object_get_string(finding, "verdict"), verdict);
        ck_assert_ptr_nonnull(strstr(json_object_get_string(finding, "message"), text));
}

/* So large that it comes in many pieces, each larger than what was written. */
START_TEST(what_comes_back_is_far_too_long) {
        START(f, { .request = "HEAD " OBJECT, .answer = NO_KEY },
                        { .request = "HEAD " OBJECT, .answer = IS_THERE, .from = 1 },
                        { .request = "PUT " OBJECT, .answer = DONE },
                        { .request = "GET " OBJECT,
                                        .answer = FAKE_HEAD("200 OK", "Content-Length: 8000000\r\n"),
                                        .filler = 8000000 },
                        { .request = "GET /backups?",
                                        .answer = FAKE_ANSWER(
                                                        "200 OK", "<ListBucketResult></ListBucketResult>") },
                        { .request = "DELETE " OBJECT, .answer = FAKE_HEAD("204 No Content", "") });

        ASSERT_OK(storage_try(f.client, f.findings, NULL, NULL));
        ck_assert_uint_eq(json_array_size(f.findings), 4);
        expect(&f, 0, "write", "ok", "may write");
        expect(&f, 1, "read", "failed", "something else");
        expect(&f, 2, "list", "failed", "does not list");
        expect(&f, 3, "delete", "ok", "may delete");
        /* It is not asked for again: another attempt would bring nothing else. */
        ck_assert_uint_eq(fake_s3_count(&f.server, "GET " OBJECT), 1);
}
END_TEST

START_TEST(what_comes_back_is_too_short) {
        START(f, { .request = "HEAD " OBJECT, .answer = NO_KEY },
                        { .request = "HEAD " OBJECT, .answer = IS_THERE, .from = 1 },
                        { .request = "PUT " OBJECT, .answer = DONE },
                        { .request = "GET " OBJECT,
                                        .answer = FAKE_HEAD("200 OK", "Content-Length: 0\r\n") });

        ASSERT_OK(storage_try(f.client, f.findings, NULL, NULL));
        expect(&f, 1, "read", "failed", "something else");
}
END_TEST

START_TEST(what_cannot_be_written) {
        START(f, { .request = "PUT " OBJECT, .answer = FAKE_ERROR("403 Forbidden", "AccessDenied") });

        ASSERT_OK(storage_try(f.client, f.findings, NULL, NULL));
        ck_assert_uint_eq(json_array_size(f.findings), 1);
        expect(&f, 0, "write", "failed", "AccessDenied");
        ck_assert_uint_eq(fake_s3_count(&f.server, "GET"), 0);
}
END_TEST

TESTS("storage-try", what_comes_back_is_far_too_long, what_comes_back_is_too_short, what_cannot_be_written)
