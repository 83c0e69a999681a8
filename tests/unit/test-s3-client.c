/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "s3-client.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "alloc-util.h"
#include "fake-s3.h"
#include "fd-util.h"
#include "s3-sign.h"
#include "string-util.h"
#include "test.h"

#define SECRET "very-secret-key"
#define SIZE 2500U

#define HEAD_SIZE(n) FAKE_HEAD("200 OK", "Content-Length: " n "\r\nETag: \"whole\"\r\n")
#define NO_KEY FAKE_HEAD("404 Not Found", "")
#define PART_DONE(etag) FAKE_HEAD("200 OK", "Content-Length: 0\r\nETag: \"" etag "\"\r\n")
#define INITIATED                                                                  \
        FAKE_ANSWER("200 OK",                                                      \
                        "<InitiateMultipartUploadResult><UploadId>up/1</UploadId>" \
                        "</InitiateMultipartUploadResult>")
#define COMPLETED                                                                  \
        FAKE_ANSWER("200 OK",                                                      \
                        " <?xml version=\"1.0\"?> <CompleteMultipartUploadResult>" \
                        "<ETag>&quot;x-3&quot;</ETag></CompleteMultipartUploadResult>")

#define PUT_KEY "PUT /backups/host/a/b.ccpb "
#define PUT_PART "PUT /backups/host/a/b.ccpb?partNumber="
#define HEAD_KEY "HEAD /backups/host/a/b.ccpb "
#define GET_KEY "GET /backups/host/a/b.ccpb "
#define INITIATE "POST /backups/host/a/b.ccpb?uploads= "
#define COMPLETE "POST /backups/host/a/b.ccpb?uploadId=up%2F1 "
#define ABORT "DELETE /backups/host/a/b.ccpb?uploadId=up%2F1 "

/* What every upload in parts needs when nothing goes wrong. */
#define PARTS_GO_WELL                                                                               \
        { .request = HEAD_KEY, .answer = NO_KEY },                                                  \
                        { .request = HEAD_KEY, .answer = HEAD_SIZE("2500"), .from = 1 },            \
                        { .request = INITIATE, .answer = INITIATED },                               \
                        { .request = PUT_PART "1&uploadId=up%2F1 ", .answer = PART_DONE("one") },   \
                        { .request = PUT_PART "2&uploadId=up%2F1 ", .answer = PART_DONE("two&") },  \
                        { .request = PUT_PART "3&uploadId=up%2F1 ", .answer = PART_DONE("three") }, \
                        { .request = COMPLETE, .answer = COMPLETED }, {                             \
                .request = ABORT, .answer = FAKE_HEAD("204 No Content", "")                         \
        }

static const S3Limits limits = {
        .part_size = 1000,
        .attempts = 5,
        .backoff = 2 * USEC_PER_MSEC,
        .backoff_max = 10 * USEC_PER_MSEC,
        .retry_after_max = 2 * USEC_PER_SEC,
        .connect_timeout = USEC_PER_SEC,
        .stall_timeout = USEC_PER_SEC,
        .answer_timeout = USEC_PER_SEC,
};

typedef struct Fixture {
        FakeS3 server;
        S3Client *client;
        int file;
        unsigned char data[SIZE];
        Error error;
} Fixture;

static void fixture_done(Fixture *f) {
        (void) s3_client_free(f->client);
        fake_s3_stop(&f->server);
        safe_close(f->file);
        error_done(&f->error);
}
#define _cleanup_fixture_ _cleanup_(fixture_done)

static void start(Fixture *f, const FakeStep *steps, size_t n) {
        S3Config config = {
                .bucket = "backups",
                .prefix = "host",
                .access_key = "AKIDEXAMPLE",
                .secret_key = SECRET,
                .path_style = true,
        };

        for (size_t i = 0; i < SIZE; i++)
                f->data[i] = (unsigned char) (i * 7 + i / 251);
        f->file = memfd_new_sealed("backup", f->data, SIZE);
        ck_assert_int_ge(f->file, 0);
        fake_s3_start(&f->server, steps, n);
        config.endpoint = f->server.endpoint;
        ASSERT_OK(s3_client_new(&config, &f->client, &f->error));
        s3_client_set_limits(f->client, &limits);
}
#define START(f, ...)                                     \
        static const FakeStep steps[] = { __VA_ARGS__ };  \
        _cleanup_fixture_ Fixture f = { .file = -EBADF }; \
        start(&f, steps, ELEMENTSOF(steps))

static int put(Fixture *f, uint64_t size) {
        return s3_put_file(f->client, "a/b.ccpb", f->file, size, NULL, &f->error);
}

/* The error names bucket and key, never the secret, and says all of 'texts'. */
static void expect_error(const Fixture *f, const char *name, const char *const *texts, size_t n) {
        ck_assert_ptr_nonnull(f->error.name);
        ck_assert_str_eq(f->error.name, name);
        ck_assert_ptr_null(strstr(f->error.message, SECRET));
        FOREACH_ARRAY(t, texts, n)
                ck_assert_msg(!!strstr(f->error.message, *t), "no '%s' in: %s", *t, f->error.message);
}
#define EXPECT_STORAGE_FAILED(f, ...)                                                                     \
        expect_error((f), CCP_ERROR_STORAGE_FAILED,                                                       \
                        (const char *const[]) { "host/a/b.ccpb", "'backups'", "127.0.0.1", __VA_ARGS__ }, \
                        ELEMENTSOF(((const char *const[]) { "", "", "", __VA_ARGS__ })))

static void expect_body(const Fixture *f, size_t offset, size_t size) {
        char hash[S3_HASH_HEX_MAX], line[128], header[128];

        s3_hash(f->data + offset, size, hash);
        (void) snprintf(line, sizeof(line), "body: %zu %s\n", size, hash);
        ck_assert_uint_ge(fake_s3_count(&f->server, line), 1);
        /* Without TLS what is sent is signed. */
        (void) snprintf(header, sizeof(header), "X-Amz-Content-Sha256: %s\r\n", hash);
        ck_assert_uint_ge(fake_s3_count(&f->server, header), 1);
}

/* --- one piece --- */

START_TEST(put_in_one_piece) {
        START(f, { .request = PUT_KEY, .answer = PART_DONE("x") }, { .request = HEAD_KEY, .answer = NO_KEY },
                        { .request = HEAD_KEY, .answer = HEAD_SIZE("1000"), .from = 1 });

        ASSERT_OK(put(&f, 1000));
        ck_assert_uint_eq(fake_s3_count(&f.server, "PUT"), 1);
        ck_assert_uint_eq(fake_s3_count(&f.server, "HEAD"), 2);
        ck_assert_uint_eq(fake_s3_count(&f.server, "If-None-Match: *\r"), 1);
        ck_assert_uint_eq(fake_s3_count(&f.server, "Content-Length: 1000\r"), 1);
        expect_body(&f, 0, 1000);
}
END_TEST

START_TEST(put_of_nothing) {
        START(f, { .request = PUT_KEY, .answer = PART_DONE("x") }, { .request = HEAD_KEY, .answer = NO_KEY },
                        { .request = HEAD_KEY, .answer = HEAD_SIZE("0"), .from = 1 });

        ASSERT_OK(put(&f, 0));
        ck_assert_uint_eq(fake_s3_count(&f.server, "Content-Length: 0\r"), 1);
}
END_TEST

START_TEST(put_is_tried_again) {
        START(f, { .request = PUT_KEY, .answer = FAKE_ERROR("503 Slow Down", "SlowDown") },
                        { .request = PUT_KEY, .answer = FAKE_ANSWER("500 Oops", "<html>"), .from = 1 },
                        { .request = PUT_KEY, .end = FAKE_RESET, .from = 2 },
                        { .request = PUT_KEY, .end = FAKE_HANG, .from = 3 },
                        { .request = PUT_KEY, .answer = PART_DONE("x"), .from = 4 },
                        { .request = HEAD_KEY, .answer = NO_KEY },
                        { .request = HEAD_KEY, .answer = FAKE_HEAD("429 Too Many Requests", ""), .from = 1 },
                        { .request = HEAD_KEY, .answer = HEAD_SIZE("1000"), .from = 2 });

        ASSERT_OK(put(&f, 1000));
        ck_assert_uint_eq(fake_s3_count(&f.server, "PUT"), 5);
        ck_assert_uint_eq(fake_s3_count(&f.server, "HEAD"), 3);
        expect_body(&f, 0, 1000);
}
END_TEST

START_TEST(put_is_given_up) {
        START(f, { .request = PUT_KEY, .answer = FAKE_ERROR("503 Slow Down", "SlowDown") });

        ASSERT_ERROR(put(&f, 1000), EREMOTEIO);
        EXPECT_STORAGE_FAILED(&f, "503 (SlowDown: It is so.)", "again later");
        ck_assert_uint_eq(fake_s3_count(&f.server, "PUT"), 5);
}
END_TEST

START_TEST(nobody_there) {
        START(f, {});

        (void) s3_client_free(f.client);
        ASSERT_OK(s3_client_new(
                        &(const S3Config) {
                                        .endpoint = "http://127.0.0.1:1",
                                        .bucket = "backups",
                                        .prefix = "host",
                                        .access_key = "a",
                                        .secret_key = SECRET,
                                        .path_style = true,
                        },
                        &f.client, NULL));
        s3_client_set_limits(f.client, &limits);
        ASSERT_ERROR(put(&f, 1000), EREMOTEIO);
        EXPECT_STORAGE_FAILED(&f, "can be reached");
}
END_TEST

START_TEST(retry_after_is_honoured) {
        START(f, { .request = PUT_KEY, .answer = FAKE_HEAD("503 Slow Down", "Retry-After: 1\r\n") },
                        { .request = PUT_KEY, .answer = PART_DONE("x"), .from = 1 },
                        { .request = HEAD_KEY, .answer = NO_KEY },
                        { .request = HEAD_KEY, .answer = HEAD_SIZE("1000"), .from = 1 });
        usec_t before = now(CLOCK_MONOTONIC);

        ASSERT_OK(put(&f, 1000));
        ck_assert_uint_ge(now(CLOCK_MONOTONIC) - before, USEC_PER_SEC);
}
END_TEST

START_TEST(what_is_there_already) {
        START(f,
                        { .request = PUT_KEY,
                                        .answer = FAKE_ERROR(
                                                        "412 Precondition Failed", "PreconditionFailed") },
                        { .request = HEAD_KEY, .answer = HEAD_SIZE("1000") },
                        { .request = HEAD_KEY, .answer = NO_KEY, .from = 2 },
                        { .request = HEAD_KEY, .answer = HEAD_SIZE("1000"), .from = 3 },
                        { .request = HEAD_KEY, .answer = NO_KEY, .from = 4 },
                        { .request = HEAD_KEY, .answer = HEAD_SIZE("1000"), .from = 5 });

        ASSERT_OK(put(&f, 1000));
        ASSERT_ERROR(put(&f, 999), EREMOTEIO);
        EXPECT_STORAGE_FAILED(&f, "already something else", "1000 bytes, not 999");
        ck_assert_uint_eq(fake_s3_count(&f.server, "PUT"), 0);
        error_done(&f.error);
        /* It came after the look. */
        ASSERT_OK(put(&f, 1000));
        ASSERT_ERROR(put(&f, 999), EREMOTEIO);
        EXPECT_STORAGE_FAILED(&f, "already something else", "1000 bytes, not 999");
        ck_assert_uint_eq(fake_s3_count(&f.server, "PUT"), 2);
}
END_TEST

START_TEST(storage_without_conditions) {
        START(f, { .request = PUT_KEY, .answer = FAKE_ERROR("501 Not Implemented", "NotImplemented") },
                        { .request = PUT_KEY, .answer = PART_DONE("x"), .from = 1 },
                        { .request = HEAD_KEY, .answer = NO_KEY },
                        { .request = HEAD_KEY, .answer = HEAD_SIZE("1000"), .from = 1 });

        ASSERT_OK(put(&f, 1000));
        ck_assert_uint_eq(fake_s3_count(&f.server, "If-None-Match"), 1);
        ck_assert_uint_eq(fake_s3_count(&f.server, "HEAD"), 2);
}
END_TEST

/* It takes whatever is written, and says nothing. */
START_TEST(storage_that_ignores_conditions) {
        START(f, { .request = PUT_KEY, .answer = PART_DONE("x") },
                        { .request = HEAD_KEY, .answer = HEAD_SIZE("1000") });

        ASSERT_ERROR(put(&f, 999), EREMOTEIO);
        EXPECT_STORAGE_FAILED(&f, "already something else", "1000 bytes, not 999");
        error_done(&f.error);
        ASSERT_OK(put(&f, 1000));
        ck_assert_uint_eq(fake_s3_count(&f.server, "PUT"), 0);
}
END_TEST

/* Whether something is there is not guessed. */
START_TEST(nothing_is_written_where_nobody_knows) {
        START(f, { .request = PUT_KEY, .answer = PART_DONE("x") },
                        { .request = HEAD_KEY, .answer = FAKE_HEAD("503 Slow Down", "") });

        ASSERT_ERROR(put(&f, 1000), EREMOTEIO);
        EXPECT_STORAGE_FAILED(&f, "503", "again later");
        error_done(&f.error);
        ASSERT_ERROR(put(&f, SIZE), EREMOTEIO);
        ck_assert_uint_eq(fake_s3_count(&f.server, "PUT"), 0);
        ck_assert_uint_eq(fake_s3_count(&f.server, "POST"), 0);
}
END_TEST

START_TEST(confirmed_and_not_there) {
        START(f, { .request = PUT_KEY, .answer = PART_DONE("x") }, { .request = HEAD_KEY, .answer = NO_KEY },
                        { .request = HEAD_KEY, .answer = HEAD_SIZE("999"), .from = 1 },
                        { .request = HEAD_KEY, .answer = NO_KEY, .from = 2 });

        ASSERT_ERROR(put(&f, 1000), EREMOTEIO);
        EXPECT_STORAGE_FAILED(&f, "999 bytes, not 1000");
        error_done(&f.error);
        ASSERT_ERROR(put(&f, 1000), EREMOTEIO);
        EXPECT_STORAGE_FAILED(&f, "has none");
}
END_TEST

START_TEST(wrong_credentials) {
        START(f, { .request = PUT_KEY, .answer = FAKE_ERROR("403 Forbidden", "SignatureDoesNotMatch") },
                        { .request = HEAD_KEY, .answer = FAKE_HEAD("403 Forbidden", "") });

        ASSERT_ERROR(put(&f, 1000), EREMOTEIO);
        EXPECT_STORAGE_FAILED(&f, "403 (SignatureDoesNotMatch", "Correct the secret key");
        ck_assert_uint_eq(fake_s3_count(&f.server, "PUT"), 1);

        error_done(&f.error);
        ASSERT_ERROR(s3_head(f.client, "a/b.ccpb", NULL, NULL, NULL, &f.error), EREMOTEIO);
        EXPECT_STORAGE_FAILED(&f, "403.", "access key and secret key");
        ck_assert_uint_eq(fake_s3_count(&f.server, "HEAD"), 2);
}
END_TEST

START_TEST(what_a_storage_says_is_cut) {
        START(f,
                        { .request = PUT_KEY,
                                        .answer = FAKE_ANSWER("400 Bad Request",
                                                        "<Error><Code>Odd&#27;&#10;</Code><Message>"
                                                        "\xC3\xA4"
                                                        "0123456789012345678901234567890123456789"
                                                        "0123456789012345678901234567890123456789"
                                                        "0123456789012345678901234567890123456789"
                                                        "0123456789012345678901234567890123456789"
                                                        "0123456789END</Message></Error>") });

        ASSERT_ERROR(put(&f, 1000), EREMOTEIO);
        EXPECT_STORAGE_FAILED(&f, "400 (Odd??: ??0123");
        ck_assert_uint_lt(strlen(f.error.message), 400);
        ck_assert(string_is_safe(f.error.message));
}
END_TEST

#define IN_2030 "Date: Tue, 01 Jan 2030 12:00:00 GMT\r\n"

START_TEST(clocks_that_differ) {
        START(f,
                        { .request = PUT_KEY,
                                        .answer = FAKE_HEAD("403 Forbidden",
                                                        IN_2030) "<Error><Code>RequestTimeTooSkewed"
                                                                 "</Code></Error>" },
                        { .request = PUT_KEY, .answer = PART_DONE("x"), .from = 1 },
                        { .request = HEAD_KEY, .answer = NO_KEY },
                        { .request = HEAD_KEY, .answer = HEAD_SIZE("1000"), .from = 1 });

        ASSERT_OK(put(&f, 1000));
        ck_assert_uint_eq(fake_s3_count(&f.server, "PUT"), 2);
        /* What was learned stays. */
        ck_assert_uint_eq(fake_s3_count(&f.server, "X-Amz-Date: 20300101T12000"), 2);
}
END_TEST

START_TEST(clocks_that_differ_by_a_head) {
        START(f, { .request = HEAD_KEY, .answer = FAKE_HEAD("403 Forbidden", IN_2030) },
                        { .request = HEAD_KEY, .answer = HEAD_SIZE("7"), .from = 1 },
                        { .request = HEAD_KEY, .answer = NO_KEY, .from = 2 },
                        { .request = PUT_KEY,
                                        .answer = FAKE_HEAD("403 Forbidden",
                                                        IN_2030) "<Error><Code>"
                                                                 "RequestTimeTooSkewed</Code>"
                                                                 "</Error>" });
        uint64_t size;

        ASSERT_OK(s3_head(f.client, "a/b.ccpb", &size, NULL, NULL, &f.error));
        ck_assert_uint_eq(size, 7);

        ASSERT_ERROR(put(&f, 1000), EREMOTEIO);
        EXPECT_STORAGE_FAILED(&f, "timedatectl");
        ck_assert_uint_eq(fake_s3_count(&f.server, "PUT"), 2);
}
END_TEST

START_TEST(redirects_are_not_followed) {
        START(f,
                        { .request = PUT_KEY,
                                        .answer = FAKE_HEAD("307 Temporary Redirect",
                                                        "Location: http://127.0.0.1:1/\r\n") "<Error><Code>"
                                                                                             "TemporaryRedir"
                                                                                             "ect</Code></"
                                                                                             "Error>" });

        ASSERT_ERROR(put(&f, 1000), EREMOTEIO);
        EXPECT_STORAGE_FAILED(&f, "307 (TemporaryRedirect)", "not followed");
        ck_assert_uint_eq(fake_s3_count(&f.server, "PUT"), 1);
}
END_TEST

START_TEST(file_that_is_too_short) {
        START(f, PARTS_GO_WELL);

        ASSERT_ERROR(put(&f, SIZE + 400), ENODATA);
        expect_error(&f, CCP_ERROR_INTERNAL, (const char *const[]) { "Cannot read the file" }, 1);
        ck_assert_uint_eq(fake_s3_count(&f.server, "DELETE"), 1);
}
END_TEST

/* --- parts --- */

static void count_progress(uint64_t done, uint64_t size, void *userdata) {
        uint64_t *last = userdata;

        ck_assert_uint_eq(size, SIZE);
        ck_assert_uint_ge(done, *last);
        *last = done;
}

START_TEST(put_in_parts) {
        static const char parts[] = "<CompleteMultipartUpload>"
                                    "<Part><PartNumber>1</PartNumber><ETag>&#34;one&#34;</ETag></Part>"
                                    "<Part><PartNumber>2</PartNumber><ETag>&#34;two&#38;&#34;</ETag></Part>"
                                    "<Part><PartNumber>3</PartNumber><ETag>&#34;three&#34;</ETag></Part>"
                                    "</CompleteMultipartUpload>";
        START(f, PARTS_GO_WELL);
        char hash[S3_HASH_HEX_MAX], line[128];
        uint64_t done = 0;

        ASSERT_OK(s3_put_file(f.client, "a/b.ccpb", f.file, SIZE,
                        &(const S3Progress) { .progress = count_progress, .userdata = &done }, &f.error));
        ck_assert_uint_eq(done, SIZE);
        expect_body(&f, 0, 1000);
        expect_body(&f, 1000, 1000);
        expect_body(&f, 2000, 500);
        s3_hash(parts, strlen(parts), hash);
        (void) snprintf(line, sizeof(line), "body: %zu %s\n", strlen(parts), hash);
        ck_assert_uint_eq(fake_s3_count(&f.server, line), 1);
        ck_assert_uint_eq(fake_s3_count(&f.server, "PUT"), 3);
        ck_assert_uint_eq(fake_s3_count(&f.server, "POST"), 2);
        ck_assert_uint_eq(fake_s3_count(&f.server, "DELETE"), 0);
}
END_TEST

START_TEST(part_is_tried_again) {
        START(f, PARTS_GO_WELL, { .request = INITIATE, .answer = FAKE_ANSWER("200 OK", "<html>") },
                        { .request = INITIATE, .answer = INITIATED, .from = 1 },
                        { .request = PUT_PART "2", .answer = FAKE_HEAD("200 OK", "Content-Length: 0\r\n") },
                        { .request = PUT_PART "2", .end = FAKE_RESET, .from = 1 },
                        { .request = PUT_PART "2", .answer = PART_DONE("two"), .from = 2 });

        ASSERT_OK(put(&f, SIZE));
        ck_assert_uint_eq(fake_s3_count(&f.server, INITIATE), 2);
        ck_assert_uint_eq(fake_s3_count(&f.server, PUT_PART "1"), 1);
        ck_assert_uint_eq(fake_s3_count(&f.server, PUT_PART "2"), 3);
        expect_body(&f, 1000, 1000);
}
END_TEST

START_TEST(part_without_etag) {
        START(f, PARTS_GO_WELL,
                        { .request = PUT_PART "2", .answer = FAKE_HEAD("200 OK", "Content-Length: 0\r\n") },
                        { .request = ABORT, .answer = FAKE_ERROR("403 Forbidden", "AccessDenied") });

        ASSERT_ERROR(put(&f, SIZE), EREMOTEIO);
        EXPECT_STORAGE_FAILED(&f, "ETag of the part");
        ck_assert_uint_eq(fake_s3_count(&f.server, PUT_PART "2"), 5);
        ck_assert_uint_eq(fake_s3_count(&f.server, COMPLETE), 0);
        ck_assert_uint_eq(fake_s3_count(&f.server, ABORT), 1);
}
END_TEST

START_TEST(complete_with_an_error_inside) {
        START(f, PARTS_GO_WELL, { .request = COMPLETE, .answer = FAKE_ERROR("200 OK", "InternalError") },
                        { .request = COMPLETE, .answer = FAKE_ANSWER("200 OK", ""), .from = 1 },
                        { .request = COMPLETE, .answer = COMPLETED, .from = 2 });

        ASSERT_OK(put(&f, SIZE));
        ck_assert_uint_eq(fake_s3_count(&f.server, COMPLETE), 3);
        ck_assert_uint_eq(fake_s3_count(&f.server, PUT_PART), 3);
}
END_TEST

START_TEST(complete_that_never_is) {
        START(f, PARTS_GO_WELL, { .request = COMPLETE, .answer = FAKE_ERROR("200 OK", "InternalError") });

        ASSERT_ERROR(put(&f, SIZE), EREMOTEIO);
        EXPECT_STORAGE_FAILED(&f, "200 (InternalError: It is so.)");
        ck_assert_uint_eq(fake_s3_count(&f.server, COMPLETE), 5);
        ck_assert_uint_eq(fake_s3_count(&f.server, ABORT), 1);
}
END_TEST

START_TEST(complete_whose_answer_was_lost) {
        START(f, PARTS_GO_WELL, { .request = COMPLETE, .end = FAKE_RESET },
                        { .request = COMPLETE,
                                        .answer = FAKE_ERROR("404 Not Found", "NoSuchUpload"),
                                        .from = 1 });

        ASSERT_OK(put(&f, SIZE));
        ck_assert_uint_eq(fake_s3_count(&f.server, COMPLETE), 2);
        ck_assert_uint_eq(fake_s3_count(&f.server, ABORT), 0);
}
END_TEST

START_TEST(complete_of_nothing) {
        START(f, PARTS_GO_WELL,
                        { .request = COMPLETE, .answer = FAKE_ERROR("404 Not Found", "NoSuchUpload") });

        ASSERT_ERROR(put(&f, SIZE), EREMOTEIO);
        EXPECT_STORAGE_FAILED(&f, "NoSuchUpload");
        ck_assert_uint_eq(fake_s3_count(&f.server, COMPLETE), 1);
}
END_TEST

START_TEST(parts_of_what_is_there) {
        START(f, { .request = HEAD_KEY, .answer = HEAD_SIZE("2500") },
                        { .request = HEAD_KEY, .answer = HEAD_SIZE("2501"), .from = 1 });

        ASSERT_OK(put(&f, SIZE));
        ASSERT_ERROR(put(&f, SIZE), EREMOTEIO);
        EXPECT_STORAGE_FAILED(&f, "already something else");
        ck_assert_uint_eq(fake_s3_count(&f.server, "POST"), 0);
}
END_TEST

/* Who may not list a bucket hears 403, and not 404, of what is not there. */
START_TEST(parts_where_nothing_can_be_looked_at) {
        START(f, PARTS_GO_WELL, { .request = HEAD_KEY, .answer = FAKE_HEAD("403 Forbidden", "") },
                        { .request = HEAD_KEY, .answer = HEAD_SIZE("2500"), .from = 1 });

        ASSERT_OK(put(&f, SIZE));
}
END_TEST

/* --- cancelling --- */

static int poll_until(void *userdata) {
        usec_t *until = userdata;

        return now(CLOCK_MONOTONIC) >= *until;
}

static void expect_cancelled(Fixture *f) {
        usec_t from = now(CLOCK_MONOTONIC), until = from + USEC_PER_SEC / 2;
        const S3Progress progress = { .poll = poll_until, .userdata = &until };

        ASSERT_ERROR(s3_put_file(f->client, "a/b.ccpb", f->file, SIZE, &progress, &f->error), ECANCELED);
        ck_assert_str_eq(f->error.name, CCP_ERROR_CANCELLED);
        ck_assert_uint_lt(now(CLOCK_MONOTONIC) - from, 2 * USEC_PER_SEC);
}

START_TEST(cancelling_a_transfer) {
        START(f, PARTS_GO_WELL, { .request = PUT_PART "2", .end = FAKE_HANG });
        S3Limits patient = limits;

        patient.stall_timeout = USEC_PER_MINUTE;
        s3_client_set_limits(f.client, &patient);
        expect_cancelled(&f);
        ck_assert_uint_eq(fake_s3_count(&f.server, ABORT), 1);
}
END_TEST

START_TEST(cancelling_a_wait) {
        START(f, PARTS_GO_WELL,
                        { .request = PUT_PART "2", .answer = FAKE_HEAD("503 Slow", "Retry-After: 9\r\n") });
        S3Limits patient = limits;

        patient.retry_after_max = USEC_PER_MINUTE;
        s3_client_set_limits(f.client, &patient);
        expect_cancelled(&f);
}
END_TEST

/* --- reading --- */

static int sink(const void *data, size_t size, void *userdata, _unused_ Error *reterr) {
        string_builder_append_n(userdata, data, size);
        return 0;
}

static int get(Fixture *f, const char *etag, uint64_t offset, uint64_t size, const char *expected) {
        _cleanup_string_builder_ StringBuilder b = {};
        int r;

        r = s3_get(f->client, "a/b.ccpb", etag, offset, size, sink, &b, NULL, &f->error);
        ck_assert_str_eq(strempty(b.data), expected);
        return r;
}

START_TEST(get_all_of_it) {
        START(f, { .request = GET_KEY, .answer = FAKE_HEAD("200 OK", "Content-Length: 5\r\n") "hello" },
                        { .request = GET_KEY,
                                        .answer = FAKE_HEAD("200 OK", "Content-Length: 0\r\n"),
                                        .from = 1 });

        ASSERT_OK(get(&f, NULL, 0, UINT64_MAX, "hello"));
        ASSERT_OK(get(&f, NULL, 0, UINT64_MAX, ""));
        ck_assert_uint_eq(fake_s3_count(&f.server, "Range:"), 0);
        ck_assert_uint_eq(fake_s3_count(&f.server, "If-Match:"), 0);
}
END_TEST

#define RANGE(length, range, etag)                                                                    \
        FAKE_HEAD("206 Partial Content",                                                              \
                        "Content-Length: " length "\r\nContent-Range: bytes " range "\r\nETag: " etag \
                        "\r\n")

START_TEST(get_a_range_that_breaks) {
        START(f, { .request = GET_KEY, .answer = RANGE("6", "2-7/10", "e1") "ab" },
                        { .request = GET_KEY,
                                        .answer = RANGE("4", "4-7/10", "e1"),
                                        .from = 1,
                                        .end = FAKE_RESET },
                        { .request = GET_KEY, .answer = FAKE_HEAD("503 Slow Down", "") "Sorry", .from = 2 },
                        { .request = GET_KEY, .answer = RANGE("4", "4-7/10", "e1") "cd", .from = 3 },
                        { .request = GET_KEY, .answer = RANGE("2", "6-7/10", "e1") "ef", .from = 4 });

        ASSERT_OK(get(&f, NULL, 2, 6, "abcdef"));
        ck_assert_uint_eq(fake_s3_count(&f.server, "Range: bytes=2-7\r"), 1);
        ck_assert_uint_eq(fake_s3_count(&f.server, "Range: bytes=4-7\r"), 3);
        ck_assert_uint_eq(fake_s3_count(&f.server, "Range: bytes=6-7\r"), 1);
        ck_assert_uint_eq(fake_s3_count(&f.server, "If-Match: e1\r"), 4);
}
END_TEST

START_TEST(get_to_the_end_that_breaks) {
        START(f,
                        { .request = GET_KEY,
                                        .answer = FAKE_HEAD("200 OK",
                                                        "Content-Length: 5\r\nETag: e1\r\n") "he" },
                        { .request = GET_KEY, .answer = RANGE("3", "2-4/5", "e1") "llo", .from = 1 });

        ASSERT_OK(get(&f, NULL, 0, UINT64_MAX, "hello"));
        ck_assert_uint_eq(fake_s3_count(&f.server, "Range: bytes=2-4\r"), 1);
}
END_TEST

START_TEST(get_breaks_too_often) {
        START(f, { .request = GET_KEY, .answer = RANGE("6", "2-7/10", "e1") "ab" },
                        { .request = GET_KEY, .end = FAKE_RESET, .from = 1 });

        ASSERT_ERROR(get(&f, NULL, 2, 6, "ab"), EREMOTEIO);
        EXPECT_STORAGE_FAILED(&f, "reached");
        ck_assert_uint_eq(fake_s3_count(&f.server, "GET"), 5);
}
END_TEST

START_TEST(get_of_what_changed) {
        START(f, { .request = GET_KEY, .answer = RANGE("6", "2-7/10", "e1") "ab" },
                        { .request = GET_KEY,
                                        .answer = FAKE_ERROR(
                                                        "412 Precondition Failed", "PreconditionFailed"),
                                        .from = 1 },
                        { .request = GET_KEY, .answer = RANGE("6", "2-7/10", "e2") "abcdef", .from = 2 });

        ASSERT_ERROR(get(&f, NULL, 2, 6, "ab"), EREMOTEIO);
        EXPECT_STORAGE_FAILED(&f, "replaced");
        error_done(&f.error);
        /* From a storage that does not know If-Match. */
        ASSERT_ERROR(get(&f, "e1", 2, 6, ""), EREMOTEIO);
        EXPECT_STORAGE_FAILED(&f, "replaced");
        ck_assert_uint_eq(fake_s3_count(&f.server, "GET"), 3);
}
END_TEST

START_TEST(get_other_bytes_than_were_asked_for) {
        START(f,
                        { .request = GET_KEY,
                                        .answer = FAKE_HEAD(
                                                        "200 OK", "Content-Length: 10\r\n") "0123456789" },
                        { .request = GET_KEY, .answer = RANGE("6", "3-8/10", "e1") "abcdef", .from = 1 },
                        { .request = GET_KEY, .answer = RANGE("2", "2-3/4", "e1") "ab", .from = 2 },
                        { .request = GET_KEY,
                                        .answer = FAKE_HEAD("206 Partial Content", "") "abcdef",
                                        .from = 3 },
                        { .request = GET_KEY,
                                        .answer = RANGE("9", "2-10/11", "e1") "abcdefghi",
                                        .from = 4 });
        static const char *const texts[] = { "other bytes", "other bytes", "4 bytes, fewer", "other bytes" };

        FOREACH_ARRAY(t, texts, ELEMENTSOF(texts)) {
                ASSERT_ERROR(get(&f, NULL, 2, 6, ""), EREMOTEIO);
                EXPECT_STORAGE_FAILED(&f, *t);
                error_done(&f.error);
        }
        ASSERT_ERROR(get(&f, NULL, 2, 6, ""), EREMOTEIO);
        EXPECT_STORAGE_FAILED(&f, "more bytes");
        ck_assert_uint_eq(fake_s3_count(&f.server, "GET"), 5);
}
END_TEST

static int full_sink(
                _unused_ const void *data, _unused_ size_t size, _unused_ void *userdata, Error *reterr) {
        return error_setf(reterr, CCP_ERROR_NO_SPACE, "full");
}

START_TEST(sink_that_is_full) {
        START(f, { .request = GET_KEY, .answer = FAKE_HEAD("200 OK", "Content-Length: 5\r\n") "hello" });

        ASSERT_ERROR(s3_get(f.client, "a/b.ccpb", NULL, 0, UINT64_MAX, full_sink, NULL, NULL, &f.error),
                        ENOSPC);
        ck_assert_str_eq(f.error.message, "full");
        ck_assert_uint_eq(fake_s3_count(&f.server, "GET"), 1);
}
END_TEST

START_TEST(what_is_not_there) {
        START(f, { .request = HEAD_KEY, .answer = NO_KEY },
                        { .request = "DELETE", .answer = FAKE_ERROR("404 Not Found", "NoSuchKey") },
                        { .request = "DELETE", .answer = FAKE_HEAD("204 No Content", ""), .from = 1 },
                        { .request = "DELETE",
                                        .answer = FAKE_ERROR("404 Not Found", "NoSuchBucket"),
                                        .from = 2 });

        ASSERT_ERROR(s3_head(f.client, "a/b.ccpb", NULL, NULL, NULL, &f.error), ENOENT);
        expect_error(&f, CCP_ERROR_NO_SUCH_BACKUP, (const char *const[]) { "host/a/b.ccpb", "backups" }, 2);
        error_done(&f.error);
        ASSERT_ERROR(get(&f, NULL, 0, UINT64_MAX, ""), ENOENT);
        error_done(&f.error);
        ASSERT_OK(s3_delete(f.client, "a/b.ccpb", NULL, &f.error));
        ASSERT_OK(s3_delete(f.client, "a/b.ccpb", NULL, &f.error));
        ASSERT_ERROR(s3_delete(f.client, "a/b.ccpb", NULL, &f.error), EREMOTEIO);
        EXPECT_STORAGE_FAILED(&f, "Make the bucket");
        error_done(&f.error);
        ASSERT_ERROR(s3_delete(f.client, "../x", NULL, &f.error), EINVAL);
        ck_assert_str_eq(f.error.name, CCP_ERROR_INVALID_ARGUMENT);
}
END_TEST

/* That it stays so is told from what may be mended. */
START_TEST(what_may_not_be_deleted) {
        START(f, { .request = "DELETE", .answer = FAKE_ERROR("403 Forbidden", "AccessDenied") },
                        { .request = "DELETE",
                                        .answer = FAKE_ERROR("405 Method Not Allowed", "MethodNotAllowed"),
                                        .from = 1 },
                        { .request = "DELETE",
                                        .answer = FAKE_ERROR("403 Forbidden", "InvalidAccessKeyId"),
                                        .from = 2 });

        for (unsigned i = 0; i < 2; i++) {
                ASSERT_ERROR(s3_delete(f.client, "a/b.ccpb", NULL, &f.error), EPERM);
                EXPECT_STORAGE_FAILED(&f, "Cannot delete");
                error_done(&f.error);
                if (i == 0)
                        ck_assert_uint_eq(fake_s3_count(&f.server, "DELETE"), 1);
        }
        ASSERT_ERROR(s3_delete(f.client, "a/b.ccpb", NULL, &f.error), EREMOTEIO);
        EXPECT_STORAGE_FAILED(&f, "Correct the access key");
}
END_TEST

START_TEST(head_tells_size_and_etag) {
        START(f, { .request = HEAD_KEY, .answer = HEAD_SIZE("100000000000") },
                        { .request = HEAD_KEY, .answer = FAKE_HEAD("200 OK", ""), .from = 1 });
        _cleanup_free_ char *etag = NULL;
        uint64_t size;

        ASSERT_OK(s3_head(f.client, "a/b.ccpb", &size, &etag, NULL, &f.error));
        ck_assert_uint_eq(size, 100000000000);
        ck_assert_str_eq(etag, "\"whole\"");
        ASSERT_ERROR(s3_head(f.client, "a/b.ccpb", &size, NULL, NULL, &f.error), EREMOTEIO);
}
END_TEST

/* --- lists --- */

static int on_object(const char *key, uint64_t size, usec_t last_modified, void *userdata,
                _unused_ Error *reterr) {
        string_builder_appendf(userdata, "%s=%u@%u ", key, (unsigned) size,
                        (unsigned) (last_modified / USEC_PER_SEC));
        return 0;
}

#define CONTENTS(key, size)                       \
        "<Contents><Key>" key "</Key><Size>" size \
        "</Size><LastModified>1970-01-01T00:01:40.000Z</LastModified></Contents>"
#define PAGE(end, contents) FAKE_ANSWER("200 OK", "<ListBucketResult>" contents end "</ListBucketResult>")
#define MORE(token) "<IsTruncated>true</IsTruncated><NextContinuationToken>" token "</NextContinuationToken>"
#define LIST "GET /backups?"

START_TEST(list_of_two_pages) {
        START(f,
                        { .request = LIST "list-type=2&prefix=host%2Fa%2F ",
                                        .answer = PAGE(MORE("t/1"),
                                                        CONTENTS("host/a/1", "1")
                                                                        CONTENTS("elsewhere", "2")) },
                        { .request = LIST "continuation-token=t%2F1&list-type=2&prefix=host%2Fa%2F ",
                                        .answer = PAGE("",
                                                        CONTENTS("host/a/b c", "3")
                                                                        CONTENTS("host/a/2", "4")) });
        _cleanup_string_builder_ StringBuilder b = {};

        ASSERT_OK(s3_list(f.client, "a/", on_object, &b, NULL, &f.error));
        ck_assert_str_eq(b.data, "a/1=1@100 a/2=4@100 ");
        ASSERT_ERROR(s3_list(f.client, "/", on_object, &b, NULL, &f.error), EINVAL);
}
END_TEST

static int on_first_object(
                const char *key, uint64_t size, usec_t last_modified, void *userdata, Error *reterr) {
        (void) on_object(key, size, last_modified, userdata, reterr);
        return 1;
}

START_TEST(list_that_is_long_enough) {
        START(f,
                        { .request = LIST,
                                        .answer = PAGE(MORE("t"),
                                                        CONTENTS("host/1", "1") CONTENTS("host/2", "2")) });
        _cleanup_string_builder_ StringBuilder b = {};

        ASSERT_OK(s3_list(f.client, NULL, on_first_object, &b, NULL, &f.error));
        ck_assert_str_eq(b.data, "1=1@100 ");
        ck_assert_uint_eq(fake_s3_count(&f.server, "GET"), 1);
}
END_TEST

START_TEST(lists_that_are_none) {
        START(f, { .request = LIST, .answer = FAKE_ANSWER("200 OK", "<ListBucketResult>") },
                        { .request = LIST,
                                        .answer = FAKE_ANSWER("200 OK", "<ListBucketResult>"),
                                        .filler = 10U * 1024 * 1024,
                                        .from = 1 },
                        { .request = LIST, .answer = PAGE(MORE("same"), ""), .from = 2 },
                        { .request = LIST,
                                        .answer = FAKE_ERROR("404 Not Found", "NoSuchBucket"),
                                        .from = 4 });
        static const char *const texts[] = { "no list", "more than 8 MiB", "circle", "Make the bucket" };
        _cleanup_string_builder_ StringBuilder b = {};

        FOREACH_ARRAY(t, texts, ELEMENTSOF(texts)) {
                ASSERT_ERROR(s3_list(f.client, NULL, on_object, &b, NULL, &f.error), EREMOTEIO);
                expect_error(&f, CCP_ERROR_STORAGE_FAILED, (const char *const[]) { "'backups'", *t }, 2);
                error_done(&f.error);
        }
        ck_assert_uint_eq(fake_s3_count(&f.server, "GET"), 5);
}
END_TEST

#define UPLOAD(key, id, year)                                                   \
        "<Upload><Key>" key "</Key><UploadId>" id "</UploadId><Initiated>" year \
        "-01-01T00:00:00.000Z</Initiated></Upload>"

#define UPLOADS(headers, content) \
        FAKE_HEAD("200 OK", headers) "<ListMultipartUploadsResult>" content "</ListMultipartUploadsResult>"
#define IN_2021 "Date: Fri, 01 Jan 2021 00:00:00 GMT\r\n"
#define YEAR (365 * USEC_PER_DAY)

/* Told by the storage's clock: ours is years ahead of it. */
START_TEST(sweep_of_what_is_old) {
        START(f,
                        { .request = "GET /backups?prefix=host%2F&uploads= ",
                                        .answer = UPLOADS(IN_2021,
                                                        "<IsTruncated>true</IsTruncated>"
                                                        "<NextKeyMarker>k</NextKeyMarker>"
                                                        "<NextUploadIdMarker>u</NextUploadIdMarker>" UPLOAD(
                                                                        "host/a/b.ccpb", "up/1", "2001")
                                                                        UPLOAD("elsewhere", "2", "2001")) },
                        { .request = "GET /backups?key-marker=k&prefix=host%2F&upload-id-marker=u&uploads= ",
                                        .answer = UPLOADS(IN_2021,
                                                        UPLOAD("host/young", "3", "2020") UPLOAD(
                                                                        "host/refused", "4", "2001")) },
                        { .request = ABORT, .answer = FAKE_HEAD("204 No Content", "") },
                        { .request = "DELETE /backups/host/refused?uploadId=4 ",
                                        .answer = FAKE_ERROR("403 Forbidden", "AccessDenied") });
        unsigned n;

        ASSERT_OK(s3_sweep_uploads(f.client, 2 * YEAR, NULL, &n, &f.error));
        ck_assert_uint_eq(n, 1);
        ck_assert_uint_eq(fake_s3_count(&f.server, "DELETE"), 2);
}
END_TEST

START_TEST(sweep_of_a_storage_without_a_clock) {
        START(f,
                        { .request = "GET /backups?prefix=host%2F&uploads= ",
                                        .answer = UPLOADS("", UPLOAD("host/a/b.ccpb", "up/1", "2001")) });
        unsigned n;

        ASSERT_OK(s3_sweep_uploads(f.client, USEC_PER_DAY, NULL, &n, &f.error));
        ck_assert_uint_eq(n, 0);
        ck_assert_uint_eq(fake_s3_count(&f.server, "DELETE"), 0);
}
END_TEST

/* Of the key itself, and before anything is sent. */
START_TEST(parts_of_one_that_was_killed) {
        START(f, PARTS_GO_WELL,
                        { .request = "GET /backups?prefix=host%2Fa%2Fb.ccpb&uploads= ",
                                        .answer = UPLOADS("",
                                                        UPLOAD("host/a/b.ccpb", "up/0", "2020")
                                                                        UPLOAD("host/a/b.ccpb.x", "up/9",
                                                                                        "2001")) },
                        { .request = "DELETE /backups/host/a/b.ccpb?uploadId=up%2F0 ",
                                        .answer = FAKE_HEAD("204 No Content", "") });
        _cleanup_free_ char *log = NULL;
        const char *ended, *begun;

        ASSERT_OK(put(&f, SIZE));
        ck_assert_uint_eq(fake_s3_count(&f.server, "DELETE"), 1);
        log = fake_s3_log(&f.server);
        ended = strstr(log, "DELETE /backups/host/a/b.ccpb?uploadId=up%2F0 ");
        begun = strstr(log, INITIATE);
        ck_assert_ptr_nonnull(ended);
        ck_assert_ptr_nonnull(begun);
        ck_assert(ended < begun);
}
END_TEST

/* That is no reason not to send anything. */
START_TEST(parts_where_uploads_are_not_listed) {
        START(f, PARTS_GO_WELL,
                        { .request = "GET /backups?prefix=",
                                        .answer = FAKE_ERROR("503 Slow Down", "SlowDown") });

        ASSERT_OK(put(&f, SIZE));
        ck_assert_uint_eq(fake_s3_count(&f.server, "GET"), 1);
}
END_TEST

TESTS("s3-client", put_in_one_piece, put_of_nothing, put_is_tried_again, put_is_given_up, nobody_there,
                retry_after_is_honoured, what_is_there_already, storage_without_conditions,
                storage_that_ignores_conditions, nothing_is_written_where_nobody_knows,
                confirmed_and_not_there, wrong_credentials, what_a_storage_says_is_cut, clocks_that_differ,
                clocks_that_differ_by_a_head, redirects_are_not_followed, file_that_is_too_short,
                put_in_parts, part_is_tried_again, part_without_etag, complete_with_an_error_inside,
                complete_that_never_is, complete_whose_answer_was_lost, complete_of_nothing,
                parts_of_what_is_there, parts_where_nothing_can_be_looked_at, cancelling_a_transfer,
                cancelling_a_wait, get_all_of_it, get_a_range_that_breaks, get_to_the_end_that_breaks,
                get_breaks_too_often, get_of_what_changed, get_other_bytes_than_were_asked_for,
                sink_that_is_full, what_is_not_there, what_may_not_be_deleted, head_tells_size_and_etag,
                list_of_two_pages, list_that_is_long_enough, lists_that_are_none, sweep_of_what_is_old,
                sweep_of_a_storage_without_a_clock, parts_of_one_that_was_killed,
                parts_where_uploads_are_not_listed)
