/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "alloc-util.h"
#include "s3-request.h"

#define RANGE_MAX 64U

typedef struct Reading {
        S3Client *client;
        S3Request *q;
        s3_sink_t sink;
        void *userdata;
        uint64_t at, end; /* in the object; end may be UINT64_MAX until it is known */
        uint64_t from;    /* where it began */
        char etag[S3_ETAG_LENGTH_MAX + 1];
        bool looked; /* at the headers of this attempt */
} Reading;

static bool is_ranged(const Reading *g) {
        return g->at > 0 || g->end != UINT64_MAX;
}

/* "bytes 5-9/100" */
static bool content_range_parse(const char *s, uint64_t *ret_from, uint64_t *ret_last, uint64_t *ret_total) {
        int n = 0;

        /* Each has 19 digits at most, so that nothing overflows. */
        return sscanf(s, "bytes %19" SCNu64 "-%19" SCNu64 "/%19" SCNu64 "%n", ret_from, ret_last, ret_total,
                               &n) == 3 &&
                        s[n] == 0 && *ret_from <= *ret_last && *ret_last < *ret_total;
}

static int fail_changed(const Reading *g, Error *reterr) {
        return s3_failf(g->client, g->q, reterr,
                        "it was replaced by another object since it was looked at. Begin anew.");
}

/* Where the bytes of an answer are from, before any of them is given away. */
static int look_at_headers(Reading *g, const S3Answer *a, Error *reterr) {
        uint64_t from = 0, last = 0, total = a->length;

        g->looked = true;
        /* Not all storages know If-Match. */
        if (g->etag[0] && a->etag[0] && !streq(g->etag, a->etag))
                return fail_changed(g, reterr);

        if (is_ranged(g)) {
                if (a->status != HTTP_PARTIAL_CONTENT ||
                                !content_range_parse(a->content_range, &from, &last, &total) ||
                                from != g->at)
                        return s3_failf(g->client, g->q, reterr,
                                        "it gives other bytes than were asked for. Is the endpoint really a "
                                        "storage that speaks S3?");
        } else if (a->status != HTTP_OK || total == UINT64_MAX)
                return s3_failf(g->client, g->q, reterr,
                                "it does not tell the size. Is the endpoint really a storage that speaks "
                                "S3?");

        if (g->end == UINT64_MAX)
                g->end = total;
        if (g->end > total)
                return s3_failf(g->client, g->q, reterr,
                                "the object has %" PRIu64 " bytes, fewer than it should.", total);
        g->q->total = g->end - g->from;
        if (!g->etag[0])
                memcpy(g->etag, a->etag, sizeof(g->etag));
        return 0;
}

static int on_receive(const S3Answer *a, const void *data, size_t size, void *userdata, Error *reterr) {
        Reading *g = userdata;
        int r;

        if (!g->looked) {
                r = look_at_headers(g, a, reterr);
                if (r < 0)
                        return r;
        }
        if (size > g->end - g->at)
                return s3_failf(g->client, g->q, reterr, "it gives more bytes than were asked for.");

        r = g->sink(data, size, g->userdata, reterr);
        if (r < 0)
                return r;
        g->at += size;
        return 0;
}

static int get_once(Reading *g, S3Answer *a, Error *reterr) {
        S3Request *q = g->q;
        char range[RANGE_MAX];
        S3Pair headers[2];
        int r;

        q->n_headers = 0;
        if (is_ranged(g)) {
                if (g->end == UINT64_MAX)
                        (void) snprintf(range, sizeof(range), "bytes=%" PRIu64 "-", g->at);
                else
                        (void) snprintf(range, sizeof(range), "bytes=%" PRIu64 "-%" PRIu64, g->at,
                                        g->end - 1);
                headers[q->n_headers++] = (S3Pair) { "Range", range };
        }
        if (g->etag[0])
                headers[q->n_headers++] = (S3Pair) { "If-Match", g->etag };
        q->headers = headers;
        q->done = g->at - g->from;
        q->total = g->end == UINT64_MAX ? 0 : g->end - g->from;

        g->looked = false;
        r = s3_attempt(g->client, q, a, reterr);
        q->headers = NULL;
        /* An object of no bytes has only headers. */
        return r >= 0 && !g->looked ? look_at_headers(g, a, reterr) : r;
}

/* What the status of a failure means here. */
static int get_failed(const Reading *g, const S3Answer *a, int r, Error *e, Error *reterr) {
        if (a->status == HTTP_PRECONDITION_FAILED)
                return fail_changed(g, reterr);
        if (a->status == HTTP_NOT_FOUND && !streq_ptr(a->error.code, "NoSuchBucket"))
                return error_setf(reterr, CCP_ERROR_NO_SUCH_BACKUP,
                                "There is no '%s' in the bucket '%s' at %s.", g->q->key,
                                g->client->place.bucket, g->client->place.endpoint);
        error_move(reterr, e);
        return r;
}

static int get_all(Reading *g, Error *reterr) {
        _cleanup_s3_answer_ S3Answer a = {};

        for (;;) {
                _cleanup_error_ Error e = {};
                uint64_t at = g->at;
                int r;

                r = get_once(g, &a, &e);
                if (r >= 0 && g->at == g->end)
                        return 0;
                if (r >= 0)
                        r = s3_failf(g->client, g->q, &e, "it ended at byte %" PRIu64 " of %" PRIu64 ".",
                                        g->at, g->end);
                else if (!a.retry)
                        return get_failed(g, &a, r, &e, reterr);
                /* With all there is, it does not matter how the connection ended. */
                if (g->looked && g->at == g->end)
                        return 0;

                if (g->at > at)
                        a.attempts = 1;
                if (a.attempts >= g->client->limits.attempts) {
                        error_move(reterr, &e);
                        return r;
                }
                r = s3_pause(g->client, a.attempts, a.retry_after, g->q->progress, reterr);
                if (r < 0)
                        return r;
        }
}

int s3_get(S3Client *c, const char *key, const char *etag, uint64_t offset, uint64_t size, s3_sink_t sink,
                void *userdata, const S3Progress *progress, Error *reterr) {
        _cleanup_free_ char *whole = NULL;
        S3Request q;
        Reading g;
        int r;

        r = s3_client_key(c, key, &whole, reterr);
        if (r < 0)
                return r;
        if ((etag && !s3_etag_is_valid(etag)) || offset > INT64_MAX ||
                        (size != UINT64_MAX && size > INT64_MAX - offset))
                return error_setf(reterr, CCP_ERROR_INVALID_ARGUMENT,
                                "'%s' cannot be read: the ETag or the range is none.", whole);
        if (size == 0)
                return 0;

        g = (Reading) {
                .client = c,
                .q = &q,
                .sink = sink,
                .userdata = userdata,
                .at = offset,
                .from = offset,
                .end = size == UINT64_MAX ? UINT64_MAX : offset + size,
        };
        if (etag)
                memcpy(g.etag, etag, strlen(etag) + 1);
        q = (S3Request) {
                .what = "read",
                .method = "GET",
                .key = whole,
                .receive = on_receive,
                .userdata = &g,
                .progress = progress,
        };
        return get_all(&g, reterr);
}
