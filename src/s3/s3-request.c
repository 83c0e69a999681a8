/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "s3-request.h"

#include <errno.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "alloc-util.h"

#define QUOTE_MAX 200U
#define HASH_CHUNK (1024U * 1024U)
/* Storages refuse what is 15 minutes off. */
#define SKEW_MIN (10 * USEC_PER_MINUTE)
#define EXPECT_MIN (1024U * 1024U)
#define WAIT_SLICE (200 * USEC_PER_MSEC)

void s3_answer_done(S3Answer *a) {
        string_builder_done(&a->body);
        s3_error_done(&a->error);
        *a = (S3Answer) {};
}

/* --- what people are told --- */

int s3_failf(const S3Client *c, const S3Request *q, Error *reterr, const char *format, ...) {
        _cleanup_free_ char *sentence = NULL;
        va_list ap;
        int n;

        va_start(ap, format);
        n = vasprintf(&sentence, format, ap);
        va_end(ap);
        if (n < 0)
                sentence = NULL;

        return q->key ? error_setf(reterr, CCP_ERROR_STORAGE_FAILED,
                                        "Cannot %s '%s' in the bucket '%s' at %s: %s", q->what, q->key,
                                        c->place.bucket, c->place.endpoint, strempty(sentence))
                      : error_setf(reterr, CCP_ERROR_STORAGE_FAILED, "Cannot %s the bucket '%s' at %s: %s",
                                        q->what, c->place.bucket, c->place.endpoint, strempty(sentence));
}

/* " (Code: Message)", cut, and without what a terminal or a record could take amiss. */
static const char *quote(const S3Error *e, char buf[static QUOTE_MAX + 1]) {
        int n;

        if (isempty(e->code) && isempty(e->message)) {
                buf[0] = 0;
                return buf;
        }

        n = snprintf(buf, QUOTE_MAX, " (%s%s%s", strempty(e->code),
                        isempty(e->code) || isempty(e->message) ? "" : ": ", strempty(e->message));
        n = MIN(n, (int) QUOTE_MAX - 1);
        for (int i = 0; i < n; i++)
                if (buf[i] < ' ' || buf[i] > '~')
                        buf[i] = '?';
        buf[n] = ')';
        buf[n + 1] = 0;
        return buf;
}

static const char *advice(const S3Answer *a) {
        static const struct {
                const char *code, *advice;
        } codes[] = {
                { "InvalidAccessKeyId", "Correct the access key and the secret key of the storage." },
                { "SignatureDoesNotMatch", "Correct the secret key of the storage." },
                { "InvalidToken", "Correct the access key and the secret key of the storage." },
                { "ExpiredToken", "Give the storage's settings a key that does not expire." },
                { "RequestTimeTooSkewed", "Set this server's clock; see timedatectl(1)." },
                { "NoSuchBucket", "Make the bucket, or correct its name." },
                { "AuthorizationHeaderMalformed", "Correct the region of the storage." },
                { "PermanentRedirect", "Correct the endpoint and the region of the storage." },
                { "QuotaExceeded", "Make room in the storage." },
        };

        FOREACH_ARRAY(i, codes, ELEMENTSOF(codes))
                if (streq_ptr(i->code, a->error.code))
                        return i->advice;

        if (a->status >= 300 && a->status < 400)
                return "A redirection is not followed: correct the endpoint and the region of the storage.";
        if (IN_SET(a->status, 401, HTTP_FORBIDDEN))
                return "Look whether access key and secret key are right, and may do this in the bucket.";
        if (a->status == HTTP_NOT_FOUND)
                return "Look whether bucket and endpoint are right.";
        if (a->status == 507)
                return "Make room in the storage.";
        return a->retry ? "Try again later; if it stays so, ask who runs the storage."
                        : "Look whether endpoint, region and bucket are right.";
}

static int fail_answered(const S3Client *c, const S3Request *q, const S3Answer *a, Error *reterr) {
        char buf[QUOTE_MAX + 1];

        return s3_failf(c, q, reterr, "it answered %li%s. %s", a->status, quote(&a->error, buf), advice(a));
}

static int fail_unanswered(const S3Client *c, const S3Request *q, CURLcode code, Error *reterr) {
        const char *text = curl_easy_strerror(code);

        if (IN_SET(code, CURLE_PEER_FAILED_VERIFICATION, CURLE_SSL_CACERT_BADFILE))
                return s3_failf(c, q, reterr,
                                "%s. Correct the endpoint, or give the certificate of the "
                                "authority that the storage's own is from.",
                                text);
        return s3_failf(c, q, reterr, "%s. Look whether the endpoint is right and can be reached.", text);
}

/* --- the request as it is signed and sent --- */

/* The hash that goes with a piece of a file where no TLS guards it. */
static int hash_file(const S3Request *q, char ret[static S3_HASH_HEX_MAX], Error *reterr) {
        _cleanup_free_ char *chunk = malloc(HASH_CHUNK);
        unsigned char hash[crypto_hash_sha256_BYTES];
        crypto_hash_sha256_state state;

        if (!chunk)
                return error_set_errnof(reterr, ENOMEM, "Cannot read the file that goes to the storage: %m");

        (void) crypto_hash_sha256_init(&state);
        for (uint64_t at = 0; at < q->size;) {
                ssize_t n = pread(q->fd, chunk, MIN((uint64_t) HASH_CHUNK, q->size - at),
                                (off_t) (q->offset + at));
                int r;

                if (n <= 0)
                        return error_set_errnof(reterr, n < 0 ? errno : ENODATA,
                                        "Cannot read the file that goes to the storage: %m");
                (void) crypto_hash_sha256_update(
                                &state, (const unsigned char *) chunk, (unsigned long long) n);
                at += (uint64_t) n;
                r = s3_poll(q->progress, reterr);
                if (r < 0)
                        return r;
        }
        (void) crypto_hash_sha256_final(&state, hash);
        s3_hash_to_hex(hash, ret);
        return 0;
}

static int payload_hash(
                const S3Client *c, const S3Request *q, char ret[static S3_HASH_HEX_MAX], Error *reterr) {
        if (!q->is_file)
                s3_hash(q->data ?: "", q->size, ret);
        else if (!c->place.tls)
                return hash_file(q, ret, reterr);
        else
                memcpy(ret, S3_UNSIGNED_PAYLOAD, sizeof(S3_UNSIGNED_PAYLOAD));
        return 0;
}

static int append_header(struct curl_slist **l, const char *name, const char *value) {
        _cleanup_free_ char *line = strjoin(name, ":", isempty(value) ? "" : " ", value);
        struct curl_slist *longer = line ? curl_slist_append(*l, line) : NULL;

        if (!longer)
                return -ENOMEM;
        *l = longer;
        return 0;
}

static int build_headers(const S3Request *q, const S3SignInput *in, struct curl_slist **l) {
        _cleanup_free_ char *authorization = NULL;
        char date[S3_DATE_MAX];
        int r;

        r = s3_authorization(in, &authorization);
        if (r < 0)
                return r;

        FOREACH_ARRAY(h,
                        ((const S3Pair[]) {
                                        { "Host", in->host },
                                        { "X-Amz-Date", s3_date_format(in->realtime, date) },
                                        { "Authorization", authorization },
                        }),
                        3)
                r = r < 0 ? r : append_header(l, h->name, h->value);
        for (size_t i = 0; r >= 0 && i < in->n_headers; i++)
                r = append_header(l, in->headers[i].name, in->headers[i].value);
        /* libcurl would call a POST a form. */
        if (r >= 0 && streq(q->method, "POST"))
                r = append_header(l, "Content-Type", "");
        /* To ask first whether much may be sent saves sending it; to ask for little costs a second where a storage
         * does not answer that. */
        if (r >= 0 && q->size < EXPECT_MIN)
                r = append_header(l, "Expect", "");
        return r;
}

static int build_path(const S3Client *c, const S3Request *q, char **ret) {
        *ret = q->key ? strjoin(c->place.root, "/", q->key) : strdup(c->place.root[0] ? c->place.root : "/");
        return *ret ? 0 : -ENOMEM;
}

static int build_url(const S3Client *c, const S3SignInput *in, char **ret) {
        _cleanup_free_ char *path = NULL, *query = NULL;
        int r;

        r = s3_path_encode(in->path, &path);
        if (r >= 0)
                r = s3_query_encode(in->query, in->n_query, &query);
        if (r < 0)
                return r;

        *ret = strjoin(c->place.tls ? "https://" : "http://", c->place.authority, path, query[0] ? "?" : "",
                        query);
        return *ret ? 0 : -ENOMEM;
}

static usec_t storage_time(const S3Client *c) {
        return (usec_t) ((int64_t) now(CLOCK_REALTIME) + c->skew);
}

static int build_request(const S3Client *c, const S3Request *q, const char *hash, char **ret_url,
                struct curl_slist **headers) {
        _cleanup_free_ S3Pair *pairs = new0(S3Pair, q->n_headers + 1);
        _cleanup_free_ char *path = NULL;
        S3SignInput in;
        int r;

        if (!pairs)
                return -ENOMEM;
        pairs[0] = (S3Pair) { "X-Amz-Content-Sha256", hash };
        if (q->n_headers > 0)
                memcpy(pairs + 1, q->headers, q->n_headers * sizeof(S3Pair));
        r = build_path(c, q, &path);
        if (r < 0)
                return r;

        in = (S3SignInput) {
                .method = q->method,
                .host = c->place.authority,
                .path = path,
                .query = q->query,
                .n_query = q->n_query,
                .headers = pairs,
                .n_headers = q->n_headers + 1,
                .payload_hash = hash,
                .realtime = storage_time(c),
                .region = c->place.region,
                .service = "s3",
                .access_key = c->access_key,
                .secret_key = c->secret_key,
        };
        r = build_url(c, &in, ret_url);
        return r < 0 ? r : build_headers(q, &in, headers);
}

/* --- what came of it --- */

static bool code_is_transient(CURLcode code) {
        return IN_SET(code, CURLE_COULDNT_RESOLVE_HOST, CURLE_COULDNT_RESOLVE_PROXY, CURLE_COULDNT_CONNECT,
                        CURLE_WEIRD_SERVER_REPLY, CURLE_PARTIAL_FILE, CURLE_OPERATION_TIMEDOUT,
                        CURLE_SSL_CONNECT_ERROR, CURLE_GOT_NOTHING, CURLE_SEND_ERROR, CURLE_RECV_ERROR,
                        CURLE_SEND_FAIL_REWIND);
}

static bool status_is_transient(const S3Answer *a) {
        return (a->status >= 500 && a->status != HTTP_NOT_IMPLEMENTED) ||
                        IN_SET(a->status, HTTP_REQUEST_TIMEOUT, HTTP_TOO_MANY_REQUESTS) ||
                        /* This is what S3 calls a connection on which nothing moved, with status 400. */
                        streq_ptr(a->error.code, "RequestTimeout");
}

static int judge(const S3Client *c, const S3Request *q, S3Answer *a, Error *reterr) {
        const char *wrong;

        if (a->status < 200 || a->status >= 300) {
                if (a->body.data)
                        (void) s3_error_parse(a->body.data, a->body.size, &a->error);
                a->retry = status_is_transient(a);
                return fail_answered(c, q, a, reterr);
        }

        wrong = q->judge ? q->judge(a, q->userdata) : NULL;
        if (!wrong)
                return 0;
        a->retry = true;
        if (a->error.code)
                return fail_answered(c, q, a, reterr);
        return s3_failf(c, q, reterr,
                        "it answered %li, but %s. Try again later; if it stays so, ask who runs "
                        "the storage.",
                        a->status, wrong);
}

static int attempt(S3Client *c, const S3Request *q, S3Answer *a, Error *reterr) {
        unsigned n = a->attempts;
        _cleanup_free_ char *url = NULL;
        struct curl_slist *headers = NULL;
        char hash[S3_HASH_HEX_MAX];
        CURLcode code = CURLE_OK;
        int r;

        s3_answer_done(a);
        a->attempts = n;
        r = payload_hash(c, q, hash, reterr);
        if (r < 0)
                return r;

        r = build_request(c, q, hash, &url, &headers);
        if (r < 0)
                (void) error_set_errnof(reterr, r, "Cannot write the request to the storage: %m");
        else
                r = s3_transfer(c, q, url, headers, a, &code, reterr);
        curl_slist_free_all(headers);
        if (r < 0)
                return r;
        if (r == 0)
                return judge(c, q, a, reterr);

        a->status = 0;
        a->retry = code_is_transient(code);
        return fail_unanswered(c, q, code, reterr);
}

/* Our clock and the storage's are so far apart that it refuses, which the answer to a HEAD does not say in words. */
static bool is_skewed(const S3Client *c, const S3Answer *a) {
        usec_t n = storage_time(c);

        return a->status == HTTP_FORBIDDEN && a->date > 0 &&
                        (streq_ptr(a->error.code, "RequestTimeTooSkewed") ||
                                        (!a->error.code && MAX(n, a->date) - MIN(n, a->date) > SKEW_MIN));
}

int s3_attempt(S3Client *c, const S3Request *q, S3Answer *a, Error *reterr) {
        _cleanup_error_ Error e = {};
        int r;

        a->attempts++;
        r = attempt(c, q, a, &e);
        if (r < 0 && is_skewed(c, a)) {
                c->skew = (int64_t) a->date - (int64_t) now(CLOCK_REALTIME);
                error_done(&e);
                r = attempt(c, q, a, &e);
        }

        if (r < 0)
                error_move(reterr, &e);
        return r;
}

int s3_pause(const S3Client *c, unsigned n, usec_t retry_after, const S3Progress *progress, Error *reterr) {
        usec_t wait = c->limits.backoff, until;

        for (unsigned i = 1; i < n && wait < c->limits.backoff_max; i++)
                wait *= 2;
        wait = MIN(wait, c->limits.backoff_max);
        /* Half of it by chance, lest all who were refused come back at once. */
        wait = wait / 2 + randombytes_uniform((uint32_t) MIN(wait / 2 + 1, (usec_t) UINT32_MAX));
        wait = MAX(wait, MIN(retry_after, c->limits.retry_after_max));

        until = now(CLOCK_MONOTONIC) + wait;
        for (;;) {
                usec_t t = now(CLOCK_MONOTONIC);
                int r;

                r = s3_poll(progress, reterr);
                if (r < 0)
                        return r;
                if (t >= until)
                        return 0;
                (void) usleep((useconds_t) MIN(until - t, WAIT_SLICE));
        }
}

int s3_request(S3Client *c, const S3Request *q, S3Answer *a, Error *reterr) {
        unsigned max = q->attempts ?: c->limits.attempts;

        for (;;) {
                _cleanup_error_ Error e = {};
                int r;

                r = s3_attempt(c, q, a, &e);
                if (r >= 0)
                        return r;
                if (!a->retry || a->attempts >= max) {
                        error_move(reterr, &e);
                        return r;
                }

                r = s3_pause(c, a->attempts, a->retry_after, q->progress, reterr);
                if (r < 0)
                        return r;
        }
}
