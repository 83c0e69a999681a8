/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "s3-client.h"

#include <errno.h>
#include <sodium.h>

#include "alloc-util.h"
#include "s3-request.h"

const S3Limits s3_limits_default = {
        .part_size = 16ULL * 1024 * 1024,
        .attempts = 5,
        .backoff = USEC_PER_SEC,
        .backoff_max = 30 * USEC_PER_SEC,
        .retry_after_max = 5 * USEC_PER_MINUTE,
        .connect_timeout = 10 * USEC_PER_SEC,
        .stall_timeout = USEC_PER_MINUTE,
        .answer_timeout = 10 * USEC_PER_MINUTE,
};

S3Client *s3_client_free(S3Client *c) {
        if (!c)
                return NULL;

        if (c->easy)
                curl_easy_cleanup(c->easy);
        if (c->multi)
                (void) curl_multi_cleanup(c->multi);
        curl_global_cleanup();
        sodium_free(c->access_key);
        sodium_free(c->secret_key);
        free(c->ca_file);
        s3_place_done(&c->place);
        return mfree(c);
}

static char *sodium_strdup(const char *s) {
        size_t n = strlen(s) + 1;
        char *copy = sodium_malloc(n);

        if (!copy)
                return NULL;
        memcpy(copy, s, n);
        (void) sodium_mprotect_readonly(copy);
        return copy;
}

static int client_fill(S3Client *c, const S3Config *config) {
        c->limits = s3_limits_default;
        c->access_key = sodium_strdup(config->access_key);
        c->secret_key = sodium_strdup(config->secret_key);
        c->multi = curl_multi_init();
        c->easy = curl_easy_init();
        if (!c->access_key || !c->secret_key || !c->multi || !c->easy)
                return -ENOMEM;

        return isempty(config->ca_file) ? 0 : free_and_strdup(&c->ca_file, config->ca_file);
}

int s3_client_new(const S3Config *config, S3Client **ret, Error *reterr) {
        _cleanup_s3_client_ S3Client *c = NULL;
        _cleanup_s3_place_ S3Place place = {};
        int r;

        r = s3_place_parse(config, &place, reterr);
        if (r < 0)
                return r;
        if (sodium_init() < 0 || curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
                return error_setf(reterr, CCP_ERROR_INTERNAL,
                                "The libraries for cryptography and HTTP do not start.");

        c = new0(S3Client, 1);
        if (!c) {
                curl_global_cleanup();
                return error_set_errnof(reterr, ENOMEM, "Cannot prepare to speak to the storage: %m");
        }
        c->place = TAKE_GENERIC(place, (S3Place) {});
        r = client_fill(c, config);
        if (r < 0)
                return error_set_errnof(reterr, r, "Cannot prepare to speak to the storage: %m");

        *ret = TAKE_PTR(c);
        return 0;
}

void s3_client_set_limits(S3Client *c, const S3Limits *limits) {
        c->limits = *limits;
}

int s3_client_key(const S3Client *c, const char *key, char **ret, Error *reterr) {
        _cleanup_free_ char *whole = strjoin(c->place.prefix, strempty(key));

        if (!whole)
                return error_set_errnof(reterr, ENOMEM, "Cannot hold the key of an object: %m");
        if (!s3_key_is_valid(strempty(key)) || !s3_key_is_valid(whole))
                return error_setf(reterr, CCP_ERROR_INVALID_ARGUMENT,
                                "'%s' cannot be the key of an object: it is names of A-Z, a-z, 0-9, '.', "
                                "'_' "
                                "and '-' with '/' between them, %u bytes with the prefix at most.",
                                strempty(key), S3_KEY_LENGTH_MAX);
        *ret = TAKE_PTR(whole);
        return 0;
}

int s3_head(S3Client *c, const char *key, uint64_t *ret_size, char **ret_etag, const S3Progress *progress,
                Error *reterr) {
        _cleanup_s3_answer_ S3Answer a = {};
        _cleanup_error_ Error e = {};
        _cleanup_free_ char *whole = NULL, *etag = NULL;
        S3Request q;
        int r;

        r = s3_client_key(c, key, &whole, reterr);
        if (r < 0)
                return r;

        q = (S3Request) { .what = "look at", .method = "HEAD", .key = whole, .progress = progress };
        r = s3_request(c, &q, &a, &e);
        if (r < 0 && a.status == HTTP_NOT_FOUND)
                return error_setf(reterr, CCP_ERROR_NO_SUCH_BACKUP,
                                "There is no '%s' in the bucket '%s' at %s.", whole, c->place.bucket,
                                c->place.endpoint);
        if (r < 0) {
                error_move(reterr, &e);
                return r;
        }
        if (a.length == UINT64_MAX)
                return s3_failf(c, &q, reterr,
                                "it does not tell a size. Is the endpoint really a storage that speaks S3?");

        if (a.etag[0] && free_and_strdup(&etag, a.etag) < 0)
                return error_set_errnof(reterr, ENOMEM, "Cannot hold the answer of the storage: %m");
        if (ret_size)
                *ret_size = a.length;
        if (ret_etag)
                *ret_etag = TAKE_PTR(etag);
        return 0;
}

/* It knows who we are, and does not let us. */
static bool is_forbidden(const S3Answer *a) {
        return streq_ptr(a->error.code, "AccessDenied") || streq_ptr(a->error.code, "MethodNotAllowed") ||
                        streq_ptr(a->error.code, "InvalidObjectState") ||
                        a->status == HTTP_METHOD_NOT_ALLOWED;
}

int s3_delete(S3Client *c, const char *key, const S3Progress *progress, Error *reterr) {
        _cleanup_s3_answer_ S3Answer a = {};
        _cleanup_error_ Error e = {};
        _cleanup_free_ char *whole = NULL;
        int r;

        r = s3_client_key(c, key, &whole, reterr);
        if (r < 0)
                return r;

        r = s3_request(c,
                        &(const S3Request) {
                                        .what = "delete",
                                        .method = "DELETE",
                                        .key = whole,
                                        .progress = progress,
                        },
                        &a, &e);
        /* Some storages say it so, and not by 204. */
        if (r < 0 && a.status == HTTP_NOT_FOUND && streq_ptr(a.error.code, "NoSuchKey"))
                return 0;
        if (r < 0)
                error_move(reterr, &e);
        if (r < 0 && is_forbidden(&a))
                return -EPERM;
        return r < 0 ? r : 0;
}
