/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* One request to the storage: signed, sent, answered, tried again. Not for use outside of src/s3. */

#include <curl/curl.h>

#include "s3-client.h"
#include "s3-document.h"
#include "s3-sign.h"
#include "string-util.h"

#define HTTP_OK 200
#define HTTP_PARTIAL_CONTENT 206
#define HTTP_FORBIDDEN 403
#define HTTP_NOT_FOUND 404
#define HTTP_METHOD_NOT_ALLOWED 405
#define HTTP_REQUEST_TIMEOUT 408
#define HTTP_PRECONDITION_FAILED 412
#define HTTP_TOO_MANY_REQUESTS 429
#define HTTP_NOT_IMPLEMENTED 501

struct S3Client {
        S3Place place;
        S3Limits limits;
        char *ca_file;
        char *access_key, *secret_key; /* of sodium_malloc() */
        CURLM *multi;
        CURL *easy;
        int64_t skew; /* usec that the storage's clock is ahead */
};

typedef struct S3Answer {
        long status; /* 0: none came */
        StringBuilder body;
        char etag[S3_ETAG_LENGTH_MAX + 1]; /* "": none that can be used */
        char content_range[64];
        uint64_t length; /* of the body as announced; UINT64_MAX: not */
        usec_t date, retry_after;
        S3Error error;
        bool retry; /* it failed, and another attempt may mend that */
        unsigned attempts;
} S3Answer;
void s3_answer_done(S3Answer *a);
#define _cleanup_s3_answer_ _cleanup_(s3_answer_done)

typedef struct S3Request {
        const char *what; /* for people: "write" in "Cannot write 'key' in the bucket" */
        const char *method;
        const char *key; /* the whole; NULL: it is about the bucket */
        const S3Pair *query, *headers;
        size_t n_query, n_headers;
        /* Sent: 'size' bytes of memory, or if is_file from an offset of a file. */
        const void *data;
        bool is_file;
        int fd;
        uint64_t offset, size;
        /* Takes the body of a 2xx; NULL: it goes to answer.body. */
        int (*receive)(const S3Answer *a, const void *data, size_t size, void *userdata, Error *reterr);
        /* Looks at a 2xx: NULL if it is what it should be; else what is wrong with it, and it is tried again. */
        const char *(*judge)(S3Answer *a, void *userdata);
        void *userdata;
        unsigned attempts; /* 0: as the limits have it */
        usec_t timeout;    /* for all of an attempt; 0: as long as something moves */
        const S3Progress *progress;
        uint64_t done, total; /* for the progress: bytes before this request, and of all; 0: none is told */
} S3Request;

/* One attempt (and another one if only the clock was wrong). 0 for a 2xx; else the error is set, answer->status says
 * what was answered, and answer->retry whether to try again. */
int s3_attempt(S3Client *c, const S3Request *q, S3Answer *a, Error *reterr);
/* All attempts. */
int s3_request(S3Client *c, const S3Request *q, S3Answer *a, Error *reterr);

/* Waits after the n-th attempt failed, from 1. Cancelled. */
int s3_pause(const S3Client *c, unsigned n, usec_t retry_after, const S3Progress *progress, Error *reterr);

/* The whole key, to be freed; InvalidArgument if it cannot be one. */
int s3_client_key(const S3Client *c, const char *key, char **ret, Error *reterr);

/* "Cannot write 'key' in the bucket 'bucket' at https://host: " and a sentence. StorageFailed. */
int s3_failf(const S3Client *c, const S3Request *q, Error *reterr, const char *format, ...) _printf_(4, 5);

/* One exchange over HTTP, for s3_attempt(). 'headers' are complete. Returns 0 if there is a status, 1 if there is none
 * and ret_code says why, or a negative errno with the error set. */
int s3_transfer(S3Client *c, const S3Request *q, const char *url, struct curl_slist *headers, S3Answer *a,
                CURLcode *ret_code, Error *reterr);

/* Ends all uploads in parts of a whole key, if the storage lists them and lets us. Cancelled, and no other error. */
int s3_abort_uploads(S3Client *c, const char *key, const S3Progress *progress, Error *reterr);

/* Ends an upload in parts, if the storage lets us: with no more than a word for debugging. True if it is gone. */
bool s3_abort_upload(S3Client *c, const char *key, const char *id);

/* Asks the caller whether to go on. */
int s3_poll(const S3Progress *progress, Error *reterr);
