/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <errno.h>

#include "alloc-util.h"
#include "log.h"
#include "s3-request.h"

/* To end an upload is worth this much time: the sweep does it again. */
#define ABORT_TIMEOUT (10 * USEC_PER_SEC)

static int fail_unreadable(const S3Client *c, const S3Request *q, int r, Error *reterr) {
        return r == -ENOMEM ? error_set_errnof(reterr, r, "Cannot hold the answer of the storage: %m")
                            : s3_failf(c, q, reterr,
                                              "what it answered is no list. Is the endpoint really a "
                                              "storage that speaks S3?");
}

/* The key beneath the prefix, or NULL if it is none that was put there. */
static const char *key_of_ours(const S3Client *c, const char *key, const char *prefix) {
        const char *name = startswith(key, c->place.prefix);

        return name && startswith(key, prefix) && s3_key_is_valid(name) ? name : NULL;
}

/* --- objects --- */

static int list_page(S3Client *c, const char *prefix, const char *token, const S3Progress *progress,
                S3Listing *ret, Error *reterr) {
        S3Pair query[] = {
                { "list-type", "2" },
                { "prefix", prefix },
                { "continuation-token", token },
        };
        const S3Request q = {
                .what = "list",
                .method = "GET",
                .query = query,
                .n_query = token ? 3 : 2,
                .progress = progress,
        };
        _cleanup_s3_answer_ S3Answer a = {};
        int r;

        r = s3_request(c, &q, &a, reterr);
        if (r < 0)
                return r;

        r = s3_listing_parse(strempty(a.body.data), a.body.size, ret);
        if (r >= 0 && token && streq_ptr(ret->next, token))
                return s3_failf(c, &q, reterr, "its list goes round in a circle.");
        return r < 0 ? fail_unreadable(c, &q, r, reterr) : 0;
}

/* What keys begin with, whole; it may end in the midst of a name. */
static int list_prefix(const S3Client *c, const char *prefix, char **ret, Error *reterr) {
        _cleanup_free_ char *name = strjoin(strempty(prefix), "x");
        char *whole;

        if (name && !s3_key_is_valid(name))
                return error_setf(reterr, CCP_ERROR_INVALID_ARGUMENT, "'%s' cannot be what keys begin with.",
                                prefix);

        whole = strjoin(c->place.prefix, strempty(prefix));
        if (!name || !whole) {
                free(whole);
                return error_set_errnof(reterr, ENOMEM, "Cannot hold the key of an object: %m");
        }
        *ret = whole;
        return 0;
}

int s3_list(S3Client *c, const char *prefix, s3_list_t handler, void *userdata, const S3Progress *progress,
                Error *reterr) {
        _cleanup_free_ char *whole = NULL, *token = NULL;
        int r;

        r = list_prefix(c, prefix, &whole, reterr);
        if (r < 0)
                return r;

        do {
                _cleanup_s3_listing_ S3Listing page = {};

                r = list_page(c, whole, token, progress, &page, reterr);
                if (r < 0)
                        return r;

                FOREACH_ARRAY(o, page.objects, page.n_objects) {
                        const char *key = key_of_ours(c, o->key, whole);

                        r = key ? handler(key, o->size, o->last_modified, userdata, reterr) : 0;
                        if (r != 0)
                                return r < 0 ? r : 0;
                }
                free(token);
                token = TAKE_PTR(page.next);
        } while (token);

        return 0;
}

/* --- uploads --- */

typedef struct Sweep {
        S3Client *client;
        const char *prefix;
        const char *key;   /* of this one alone, whole, and however young; NULL: of all of ours */
        usec_t age;        /* from which on they go */
        unsigned attempts; /* of each list; 0: as the limits have it */
        const S3Progress *progress;
        usec_t date; /* CLOCK_REALTIME of the storage; 0: it does not tell */
        unsigned n;  /* ended */
} Sweep;

static int uploads_page(Sweep *s, const S3Uploads *last, S3Uploads *ret, Error *reterr) {
        S3Pair query[] = {
                { "uploads", "" },
                { "prefix", s->prefix },
                { "key-marker", last->next_key },
                { "upload-id-marker", last->next_id },
        };
        const S3Request q = {
                .what = "list the uploads in",
                .method = "GET",
                .query = query,
                .n_query = last->next_key ? 4 : 2,
                .attempts = s->attempts,
                .progress = s->progress,
        };
        _cleanup_s3_answer_ S3Answer a = {};
        int r;

        r = s3_request(s->client, &q, &a, reterr);
        if (r < 0)
                return r;

        s->date = a.date;
        r = s3_uploads_parse(strempty(a.body.data), a.body.size, ret);
        if (r >= 0 && last->next_key && streq_ptr(ret->next_key, last->next_key) &&
                        streq_ptr(ret->next_id, last->next_id))
                return s3_failf(s->client, &q, reterr, "its list goes round in a circle.");
        return r < 0 ? fail_unreadable(s->client, &q, r, reterr) : 0;
}

static bool is_to_go(const Sweep *s, const S3Upload *u) {
        if (s->key)
                return streq(u->key, s->key);
        return key_of_ours(s->client, u->key, s->prefix) && s->date > s->age &&
                        u->initiated < s->date - s->age;
}

static int sweep(Sweep *s, Error *reterr) {
        _cleanup_s3_uploads_ S3Uploads last = {};

        do {
                _cleanup_s3_uploads_ S3Uploads page = {};
                int r;

                r = uploads_page(s, &last, &page, reterr);
                if (r < 0)
                        return r;

                FOREACH_ARRAY(u, page.uploads, page.n_uploads) {
                        if (!is_to_go(s, u))
                                continue;
                        r = s3_poll(s->progress, reterr);
                        if (r < 0)
                                return r;
                        s->n += s3_abort_upload(s->client, u->key, u->id);
                }
                s3_uploads_done(&last);
                last = TAKE_GENERIC(page, (S3Uploads) {});
        } while (last.next_key);

        return 0;
}

bool s3_abort_upload(S3Client *c, const char *key, const char *id) {
        const S3Pair query = { "uploadId", id };
        const S3Request q = {
                .what = "end the upload of",
                .method = "DELETE",
                .key = key,
                .query = &query,
                .n_query = 1,
                .attempts = 1,
                .timeout = ABORT_TIMEOUT,
        };
        _cleanup_s3_answer_ S3Answer a = {};
        _cleanup_error_ Error e = {};

        if (s3_request(c, &q, &a, &e) >= 0)
                return true;

        log_debug("%s", strempty(e.message));
        return false;
}

int s3_abort_uploads(S3Client *c, const char *key, const S3Progress *progress, Error *reterr) {
        Sweep s = { .client = c, .prefix = key, .key = key, .attempts = 1, .progress = progress };
        _cleanup_error_ Error e = {};
        int r;

        r = sweep(&s, &e);
        if (r == -ECANCELED) {
                error_move(reterr, &e);
                return r;
        }
        if (r < 0)
                log_debug("%s", strempty(e.message));
        return 0;
}

int s3_sweep_uploads(S3Client *c, usec_t age, const S3Progress *progress, unsigned *ret_n, Error *reterr) {
        Sweep s = { .client = c, .prefix = c->place.prefix, .age = age, .progress = progress };
        int r;

        r = sweep(&s, reterr);
        if (r >= 0 && ret_n)
                *ret_n = s.n;
        return r;
}
