/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "alloc-util.h"
#include "s3-request.h"

#define PARTS_MAX 10000U
#define PART_SIZE_STEP (1024U * 1024U)
#define OBJECT_SIZE_MAX (5ULL * 1024 * 1024 * 1024 * 1024)
#define NUMBER_MAX 16U

#define SOMETHING_ELSE "there is already something else, which was not touched: an object"

typedef struct Upload {
        S3Client *client;
        const char *key; /* relative, for s3_head() */
        char *whole;
        int fd;
        uint64_t size, part_size;
        const S3Progress *progress;
        char *id; /* of an upload in parts that has begun */
        char **etags;
        unsigned n_etags;
} Upload;

static void upload_done(Upload *u) {
        for (unsigned i = 0; i < u->n_etags; i++)
                free(u->etags[i]);
        free(u->etags);
        free(u->id);
        free(u->whole);
}

static S3Request upload_request(const Upload *u, const char *method) {
        return (S3Request) { .what = "write", .method = method, .key = u->whole, .progress = u->progress };
}

/* --- what is there --- */

static int fail_size(const Upload *u, const char *what, uint64_t size, Error *reterr) {
        const S3Request q = upload_request(u, "HEAD");

        return s3_failf(u->client, &q, reterr, "%s of %" PRIu64 " bytes, not %" PRIu64 ".", what, size,
                        u->size);
}

/* Whether there is what the storage spoke of. 'what' begins the sentence about one of another size. */
static int check_there(const Upload *u, const char *what, Error *reterr) {
        const S3Request q = upload_request(u, "HEAD");
        _cleanup_error_ Error e = {};
        uint64_t size;
        int r;

        r = s3_head(u->client, u->key, &size, NULL, u->progress, &e);
        if (r == -ENOENT)
                return s3_failf(u->client, &q, reterr, "it spoke of an object, and has none. Try again.");
        if (r < 0) {
                error_move(reterr, &e);
                return r;
        }
        return size == u->size ? 0 : fail_size(u, what, size, reterr);
}

static int check_written(const Upload *u, Error *reterr) {
        return check_there(u, "it confirmed the upload, and has an object", reterr);
}

/* By another run, or by an attempt whose answer was lost. */
static int check_present(const Upload *u, Error *reterr) {
        return check_there(u, SOMETHING_ELSE, reterr);
}

/* 1: what is to be written is there; 0: nothing is, or it may not be looked at (403 is also what is said of nothing to who may
 * not list); StorageFailed: something else, or nobody knows. */
static int look(const Upload *u, Error *reterr) {
        _cleanup_s3_answer_ S3Answer a = {};
        _cleanup_error_ Error e = {};
        S3Request q = upload_request(u, "HEAD");
        int r;

        q.what = "look at";
        r = s3_request(u->client, &q, &a, &e);
        if (r < 0 && IN_SET(a.status, HTTP_NOT_FOUND, HTTP_FORBIDDEN))
                return 0;
        if (r < 0) {
                error_move(reterr, &e);
                return r;
        }
        if (a.length == UINT64_MAX)
                return s3_failf(u->client, &q, reterr,
                                "there is an object already, and it does not tell its size.");
        return a.length == u->size ? 1 : fail_size(u, SOMETHING_ELSE, a.length, reterr);
}

/* --- in one piece --- */

static int put_once(const Upload *u, bool careful, S3Answer *a, Error *reterr) {
        const S3Pair headers[] = {
                { "Content-Type", "application/octet-stream" },
                { "If-None-Match", "*" },
        };
        S3Request q = upload_request(u, "PUT");

        q.headers = headers;
        q.n_headers = careful ? 2 : 1;
        q.is_file = true;
        q.fd = u->fd;
        q.size = q.total = u->size;
        return s3_request(u->client, &q, a, reterr);
}

static int put_whole(const Upload *u, Error *reterr) {
        _cleanup_s3_answer_ S3Answer a = {};
        _cleanup_error_ Error e = {};
        int r;

        /* There are storages that do not know the condition: some say so, and others write. */
        r = look(u, reterr);
        if (r != 0)
                return r < 0 ? r : 0;

        r = put_once(u, /* careful= */ true, &a, &e);
        if (r < 0 && a.status == HTTP_NOT_IMPLEMENTED) {
                error_done(&e);
                s3_answer_done(&a);
                r = put_once(u, /* careful= */ false, &a, &e);
        }
        if (r >= 0)
                return check_written(u, reterr);
        if (a.status == HTTP_PRECONDITION_FAILED)
                return check_present(u, reterr);
        error_move(reterr, &e);
        return r;
}

/* --- in parts --- */

static const char *need_upload_id(S3Answer *a, void *userdata) {
        Upload *u = userdata;

        return s3_initiated_parse(strempty(a->body.data), a->body.size, &u->id) < 0
                        ? "without an upload's id"
                        : NULL;
}

static int begin_parts(Upload *u, Error *reterr) {
        const S3Pair query = { "uploads", "" }, header = { "Content-Type", "application/octet-stream" };
        _cleanup_s3_answer_ S3Answer a = {};
        S3Request q = upload_request(u, "POST");

        q.query = &query;
        q.n_query = 1;
        q.headers = &header;
        q.n_headers = 1;
        q.judge = need_upload_id;
        q.userdata = u;
        return s3_request(u->client, &q, &a, reterr);
}

static const char *need_etag(S3Answer *a, _unused_ void *userdata) {
        return a->etag[0] ? NULL : "without the ETag of the part";
}

static int put_part(Upload *u, unsigned number, Error *reterr) {
        uint64_t offset = (uint64_t) (number - 1) * u->part_size;
        _cleanup_s3_answer_ S3Answer a = {};
        S3Request q = upload_request(u, "PUT");
        char digits[NUMBER_MAX];
        const S3Pair query[] = { { "partNumber", digits }, { "uploadId", u->id } };
        int r;

        (void) snprintf(digits, sizeof(digits), "%u", number);
        q.query = query;
        q.n_query = ELEMENTSOF(query);
        q.is_file = true;
        q.fd = u->fd;
        q.offset = q.done = offset;
        q.size = MIN(u->part_size, u->size - offset);
        q.total = u->size;
        q.judge = need_etag;
        r = s3_request(u->client, &q, &a, reterr);
        if (r < 0)
                return r;

        u->etags[u->n_etags] = strdup(a.etag);
        if (!u->etags[u->n_etags])
                return error_set_errnof(reterr, ENOMEM, "Cannot hold the answer of the storage: %m");
        u->n_etags++;
        return 0;
}

static void append_escaped(StringBuilder *b, const char *s) {
        for (; *s; s++)
                if (strchr("\"&<>", *s))
                        string_builder_appendf(b, "&#%d;", *s);
                else
                        string_builder_append_n(b, s, 1);
}

static int build_parts(const Upload *u, char **ret, size_t *ret_size) {
        _cleanup_string_builder_ StringBuilder b = {};

        string_builder_append(&b, "<CompleteMultipartUpload>");
        for (unsigned i = 0; i < u->n_etags; i++) {
                string_builder_appendf(&b, "<Part><PartNumber>%u</PartNumber><ETag>", i + 1);
                append_escaped(&b, u->etags[i]);
                string_builder_append(&b, "</ETag></Part>");
        }
        string_builder_append(&b, "</CompleteMultipartUpload>");
        return string_builder_finish(&b, ret, ret_size);
}

/* The status was sent before the work was done, so that it says nothing. */
static const char *need_completed(S3Answer *a, _unused_ void *userdata) {
        _cleanup_free_ char *etag = NULL;
        const char *body = strempty(a->body.data);

        if (s3_completed_parse(body, a->body.size, &etag) >= 0)
                return NULL;
        (void) s3_error_parse(body, a->body.size, &a->error);
        return "does not say that the upload is complete";
}

static int complete_once(
                Upload *u, const char *parts, size_t size, bool careful, S3Answer *a, Error *reterr) {
        const S3Pair query = { "uploadId", u->id };
        const S3Pair headers[] = { { "Content-Type", "application/xml" }, { "If-None-Match", "*" } };
        S3Request q = upload_request(u, "POST");

        q.query = &query;
        q.n_query = 1;
        q.headers = headers;
        q.n_headers = careful ? 2 : 1;
        q.data = parts;
        q.size = size;
        q.judge = need_completed;
        q.timeout = u->client->limits.answer_timeout;
        return s3_request(u->client, &q, a, reterr);
}

static int complete_parts(Upload *u, Error *reterr) {
        _cleanup_s3_answer_ S3Answer a = {};
        _cleanup_free_ char *parts = NULL;
        _cleanup_error_ Error e = {};
        size_t size;
        int r;

        r = build_parts(u, &parts, &size);
        if (r < 0)
                return error_set_errnof(reterr, r, "Cannot write the request to the storage: %m");

        r = complete_once(u, parts, size, /* careful= */ true, &a, &e);
        /* Storages that know the condition for one piece only say so; that nothing was there is known since the
         * beginning. */
        if (r < 0 && a.status == HTTP_NOT_IMPLEMENTED) {
                error_done(&e);
                s3_answer_done(&a);
                r = complete_once(u, parts, size, /* careful= */ false, &a, &e);
        }
        if (r >= 0)
                return check_written(u, reterr);
        if (a.status == HTTP_PRECONDITION_FAILED)
                return check_present(u, reterr);
        /* Gone is an upload too that an attempt has completed whose answer was lost. */
        if (a.status == HTTP_NOT_FOUND && a.attempts > 1 && look(u, NULL) > 0)
                return 0;
        error_move(reterr, &e);
        return r;
}

static int put_parts(Upload *u, Error *reterr) {
        unsigned n = (unsigned) ((u->size + u->part_size - 1) / u->part_size);
        int r;

        /* Gigabytes are not sent to hear only then that they are there. */
        r = look(u, reterr);
        if (r != 0)
                return r < 0 ? r : 0;

        u->etags = new0(char *, n);
        if (!u->etags)
                return error_set_errnof(reterr, ENOMEM, "Cannot hold what goes to the storage: %m");
        /* Of a worker that was killed: nobody else writes what has this key. */
        r = s3_abort_uploads(u->client, u->whole, u->progress, reterr);
        if (r >= 0)
                r = begin_parts(u, reterr);
        for (unsigned i = 1; r >= 0 && i <= n; i++)
                r = put_part(u, i, reterr);
        if (r >= 0)
                r = complete_parts(u, reterr);
        if (r < 0 && u->id)
                (void) s3_abort_upload(u->client, u->whole, u->id);
        return r;
}

/* As large as it must be for all to fit into the number of parts that S3 has. */
static uint64_t choose_part_size(const S3Client *c, uint64_t size) {
        uint64_t least = (size + PARTS_MAX - 1) / PARTS_MAX;

        return least <= c->limits.part_size ? c->limits.part_size
                                            : (least + PART_SIZE_STEP - 1) / PART_SIZE_STEP * PART_SIZE_STEP;
}

int s3_put_file(S3Client *c, const char *key, int fd, uint64_t size, const S3Progress *progress,
                Error *reterr) {
        _cleanup_error_ Error e = {};
        _cleanup_(upload_done) Upload u = {
                .client = c,
                .key = key,
                .fd = fd,
                .size = size,
                .progress = progress,
        };
        int r;

        if (size > OBJECT_SIZE_MAX)
                return error_setf(reterr, CCP_ERROR_LIMIT_EXCEEDED,
                                "'%s' has %" PRIu64 " bytes, and S3 takes 5 TiB for one object at most.",
                                key, size);
        r = s3_client_key(c, key, &u.whole, reterr);
        if (r < 0)
                return r;

        u.part_size = choose_part_size(c, size);
        r = size <= c->limits.part_size ? put_whole(&u, &e) : put_parts(&u, &e);
        if (r < 0)
                error_move(reterr, &e);
        return r < 0 ? r : 0;
}
