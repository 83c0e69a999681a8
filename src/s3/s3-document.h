/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The documents of the S3 protocol that are read here. All functions return -EBADMSG for what is another document or
 * lacks what it must have, and -ENOMEM; what they return on success is to be freed. Of several elements of a name the
 * last counts. */

#include "time-util.h"

#define S3_ETAG_LENGTH_MAX 256U

/* <Error>: either may be NULL. Both may be any text. */
typedef struct S3Error {
        char *code, *message;
} S3Error;
void s3_error_done(S3Error *e);
#define _cleanup_s3_error_ _cleanup_(s3_error_done)

typedef struct S3Object {
        char *key;
        uint64_t size;
        usec_t last_modified; /* CLOCK_REALTIME */
} S3Object;

/* One page of <ListBucketResult>. */
typedef struct S3Listing {
        S3Object *objects;
        size_t n_objects, n_allocated;
        char *next; /* what the next page is asked for with; NULL: this was the last */
} S3Listing;
void s3_listing_done(S3Listing *l);
#define _cleanup_s3_listing_ _cleanup_(s3_listing_done)

typedef struct S3Upload {
        char *key, *id;
        usec_t initiated; /* CLOCK_REALTIME */
} S3Upload;

/* One page of <ListMultipartUploadsResult>. */
typedef struct S3Uploads {
        S3Upload *uploads;
        size_t n_uploads, n_allocated;
        char *next_key, *next_id; /* of the next page; both NULL: this was the last */
} S3Uploads;
void s3_uploads_done(S3Uploads *u);
#define _cleanup_s3_uploads_ _cleanup_(s3_uploads_done)

int s3_error_parse(const char *data, size_t size, S3Error *ret);
int s3_listing_parse(const char *data, size_t size, S3Listing *ret);
int s3_uploads_parse(const char *data, size_t size, S3Uploads *ret);
/* <InitiateMultipartUploadResult> */
int s3_initiated_parse(const char *data, size_t size, char **ret_upload_id);
/* <CompleteMultipartUploadResult>: with no <ETag> in it nothing was completed. */
int s3_completed_parse(const char *data, size_t size, char **ret_etag);

/* "2009-10-12T17:50:30.000Z". -EINVAL. */
int s3_time_parse(const char *s, usec_t *ret);

/* An ETag as it may go into a header: printable ASCII without space. */
bool s3_etag_is_valid(const char *s);
