/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <errno.h>
#include <unistd.h>

#include "alloc-util.h"
#include "s3-request.h"

#define ANSWER_MAX (8U * 1024U * 1024U)
#define POLL_MSEC 500
/* So often is the caller asked at most, however fast bytes come. */
#define POLL_USEC (200 * USEC_PER_MSEC)
#define STALL_BYTES_PER_SEC 1024L
#define BUFFER_SIZE (256L * 1024L)

typedef struct Transfer {
        S3Client *client;
        const S3Request *q;
        S3Answer *a;
        uint64_t sent, received;
        bool has_headers, too_long;
        usec_t polled;
        uint64_t told; /* bytes, of the progress */
        int error;     /* of the file, or of who receives */
        Error *reterr;
} Transfer;

int s3_poll(const S3Progress *progress, Error *reterr) {
        if (!progress || !progress->poll || progress->poll(progress->userdata) == 0)
                return 0;
        return error_setf(reterr, CCP_ERROR_CANCELLED, "The work with the storage was cancelled.");
}

/* --- what is sent --- */

static size_t on_read(char *buffer, size_t size, size_t n, void *userdata) {
        Transfer *t = userdata;
        uint64_t left = t->q->size - t->sent;
        ssize_t k;

        if (left == 0)
                return 0;

        k = pread(t->q->fd, buffer, MIN((uint64_t) (size * n), left), (off_t) (t->q->offset + t->sent));
        if (k <= 0) {
                t->error = k < 0 ? -errno : -ENODATA;
                return CURL_READFUNC_ABORT;
        }
        t->sent += (uint64_t) k;
        return (size_t) k;
}

/* A connection that was kept and turns out to be gone makes libcurl begin anew. */
static int on_seek(void *userdata, curl_off_t offset, int origin) {
        Transfer *t = userdata;

        if (origin != SEEK_SET || offset < 0 || (uint64_t) offset > t->q->size)
                return CURL_SEEKFUNC_FAIL;
        t->sent = (uint64_t) offset;
        return CURL_SEEKFUNC_OK;
}

/* --- what comes --- */

static const char *get_header(CURL *easy, const char *name) {
        struct curl_header *h;

        return curl_easy_header(easy, name, 0, CURLH_HEADER, -1, &h) == CURLHE_OK ? h->value : "";
}

static void read_headers(CURL *easy, S3Answer *a) {
        const char *etag, *range;
        curl_off_t n = -1;
        time_t date;

        (void) curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &a->status);
        (void) curl_easy_getinfo(easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &n);
        a->length = n < 0 ? UINT64_MAX : (uint64_t) n;
        n = 0;
        (void) curl_easy_getinfo(easy, CURLINFO_RETRY_AFTER, &n);
        a->retry_after = n > 0 ? (usec_t) MIN(n, (curl_off_t) INT32_MAX) * USEC_PER_SEC : 0;

        etag = get_header(easy, "ETag");
        if (s3_etag_is_valid(etag))
                memcpy(a->etag, etag, strlen(etag) + 1);
        range = get_header(easy, "Content-Range");
        if (strlen(range) < sizeof(a->content_range))
                memcpy(a->content_range, range, strlen(range) + 1);
        date = curl_getdate(get_header(easy, "Date"), NULL);
        a->date = date > 0 ? (usec_t) date * USEC_PER_SEC : 0;
}

static size_t on_write(const char *data, size_t size, size_t n, void *userdata) {
        Transfer *t = userdata;

        size *= n;
        if (!t->has_headers) {
                read_headers(t->client->easy, t->a);
                t->has_headers = true;
        }

        t->received += size;
        if (t->q->receive && t->a->status >= 200 && t->a->status < 300) {
                t->error = t->q->receive(t->a, data, size, t->q->userdata, t->reterr);
                return t->error < 0 ? 0 : size;
        }

        t->too_long = t->received > ANSWER_MAX;
        if (!t->too_long)
                string_builder_append_n(&t->a->body, data, size);
        return t->too_long ? 0 : size;
}

/* --- the exchange --- */

static CURLcode set_method(Transfer *t) {
        CURL *easy = t->client->easy;
        const S3Request *q = t->q;
        CURLcode c = CURLE_OK;

#define SET(option, value) c = c == CURLE_OK ? curl_easy_setopt(easy, (option), (value)) : c
        if (streq(q->method, "HEAD"))
                SET(CURLOPT_NOBODY, 1L);
        else if (q->is_file) {
                SET(CURLOPT_UPLOAD, 1L);
                SET(CURLOPT_INFILESIZE_LARGE, (curl_off_t) q->size);
                SET(CURLOPT_UPLOAD_BUFFERSIZE, BUFFER_SIZE);
                SET(CURLOPT_READFUNCTION, on_read);
                SET(CURLOPT_READDATA, t);
                SET(CURLOPT_SEEKFUNCTION, on_seek);
                SET(CURLOPT_SEEKDATA, t);
        } else if (streq(q->method, "POST")) {
                SET(CURLOPT_POST, 1L);
                SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t) q->size);
                SET(CURLOPT_POSTFIELDS, q->data ?: "");
        } else if (!streq(q->method, "GET"))
                SET(CURLOPT_CUSTOMREQUEST, q->method);
        return c;
}

static CURLcode set_times(Transfer *t) {
        const S3Limits *limits = &t->client->limits;
        CURL *easy = t->client->easy;
        CURLcode c = CURLE_OK;

        SET(CURLOPT_CONNECTTIMEOUT_MS, (long) (limits->connect_timeout / USEC_PER_MSEC));
        if (t->q->timeout > 0)
                SET(CURLOPT_TIMEOUT_MS, (long) (t->q->timeout / USEC_PER_MSEC));
        else {
                SET(CURLOPT_LOW_SPEED_LIMIT, STALL_BYTES_PER_SEC);
                SET(CURLOPT_LOW_SPEED_TIME, (long) (limits->stall_timeout / USEC_PER_SEC));
        }
        return c;
}

static CURLcode set_options(Transfer *t, const char *url, struct curl_slist *headers) {
        CURL *easy = t->client->easy;
        CURLcode c = CURLE_OK;

        curl_easy_reset(easy);
        SET(CURLOPT_URL, url);
        SET(CURLOPT_PATH_AS_IS, 1L);
        SET(CURLOPT_PROTOCOLS_STR, "http,https");
        SET(CURLOPT_HTTP_VERSION, (long) CURL_HTTP_VERSION_1_1);
        SET(CURLOPT_FOLLOWLOCATION, 0L);
        SET(CURLOPT_SSL_VERIFYPEER, 1L);
        SET(CURLOPT_SSL_VERIFYHOST, 2L);
        SET(CURLOPT_SSLVERSION, (long) CURL_SSLVERSION_TLSv1_2);
        SET(CURLOPT_NOSIGNAL, 1L);
        SET(CURLOPT_TCP_KEEPALIVE, 1L);
        SET(CURLOPT_USERAGENT, "ccpd/" CCP_VERSION);
        SET(CURLOPT_HTTPHEADER, headers);
        SET(CURLOPT_BUFFERSIZE, BUFFER_SIZE);
        SET(CURLOPT_WRITEFUNCTION, on_write);
        SET(CURLOPT_WRITEDATA, t);
        if (t->client->ca_file)
                SET(CURLOPT_CAINFO, t->client->ca_file);
#undef SET
        c = c == CURLE_OK ? set_times(t) : c;
        return c == CURLE_OK ? set_method(t) : c;
}

static void tell_progress(Transfer *t) {
        const S3Progress *p = t->q->progress;
        uint64_t done = t->q->done + (t->q->is_file ? t->sent : t->received);

        /* What an error says is no progress. */
        if (!p || !p->progress || t->q->total == 0 || done == t->told || t->a->status >= 300)
                return;
        t->told = done;
        p->progress(MIN(done, t->q->total), t->q->total, p->userdata);
}

static int look_around(Transfer *t) {
        usec_t n = now(CLOCK_MONOTONIC);

        if (n < t->polled + POLL_USEC)
                return 0;
        t->polled = n;
        tell_progress(t);
        return s3_poll(t->q->progress, t->reterr);
}

static int perform(Transfer *t, CURLcode *ret) {
        S3Client *c = t->client;

        for (;;) {
                int running = 0, left, r;
                CURLMsg *m;

                if (curl_multi_perform(c->multi, &running) != CURLM_OK)
                        return error_set_errnof(t->reterr, EIO, "Cannot speak to the storage: %m");
                m = running == 0 ? curl_multi_info_read(c->multi, &left) : NULL;
                if (m) {
                        *ret = m->data.result;
                        return 0;
                }
                r = look_around(t);
                if (r < 0)
                        return r;
                if (curl_multi_poll(c->multi, NULL, 0, POLL_MSEC, NULL) != CURLM_OK)
                        return error_set_errnof(t->reterr, EIO, "Cannot speak to the storage: %m");
        }
}

static int transfer_end(Transfer *t, CURLcode code, CURLcode *ret_code) {
        S3Answer *a = t->a;

        read_headers(t->client->easy, a);
        if (t->error < 0)
                return !error_is_set(t->reterr)
                                ? error_set_errnof(t->reterr, t->error,
                                                  "Cannot read the file that goes to the storage: %m")
                                : t->error;
        if (a->body.failed)
                return error_set_errnof(t->reterr, ENOMEM, "Cannot hold the answer of the storage: %m");
        if (t->too_long)
                return s3_failf(t->client, t->q, t->reterr,
                                "it answered %li with more than %u MiB. Is the endpoint really a storage "
                                "that "
                                "speaks S3?",
                                a->status, ANSWER_MAX / 1024 / 1024);

        /* With a refusal it does not matter how the connection ended. */
        if (a->status >= (code == CURLE_OK ? 200 : 300)) {
                tell_progress(t);
                return 0;
        }
        *ret_code = code == CURLE_OK ? CURLE_WEIRD_SERVER_REPLY : code;
        return 1;
}

int s3_transfer(S3Client *c, const S3Request *q, const char *url, struct curl_slist *headers, S3Answer *a,
                CURLcode *ret_code, Error *reterr) {
        _cleanup_error_ Error e = {};
        Transfer t = { .client = c, .q = q, .a = a, .polled = now(CLOCK_MONOTONIC), .reterr = &e };
        CURLcode code = CURLE_OK;
        int r;

        r = s3_poll(q->progress, reterr);
        if (r < 0)
                return r;

        if (set_options(&t, url, headers) != CURLE_OK ||
                        curl_multi_add_handle(c->multi, c->easy) != CURLM_OK)
                return error_set_errnof(reterr, ENOMEM, "Cannot speak to the storage: %m");
        r = perform(&t, &code);
        if (r >= 0)
                r = transfer_end(&t, code, ret_code);
        (void) curl_multi_remove_handle(c->multi, c->easy);

        if (r < 0)
                error_move(reterr, &e);
        return r;
}
