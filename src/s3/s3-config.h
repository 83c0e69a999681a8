/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Where a storage is, and how it is spoken to: what the administrator wrote, and what is made of it. */

#include "error.h"

#define S3_REGION_DEFAULT "us-east-1"
#define S3_KEY_LENGTH_MAX 1024U
#define S3_CREDENTIAL_LENGTH_MAX 256U

/* All strings are borrowed. */
typedef struct S3Config {
        const char *endpoint; /* "https://host[:port]"; http:// too, where nobody listens */
        const char *region;   /* NULL, "": us-east-1 */
        const char *bucket;
        const char *prefix; /* NULL, "": none; all keys are beneath it, as in a folder */
        const char *access_key, *secret_key;
        bool path_style;     /* https://host/bucket/key, not https://bucket.host/key */
        const char *ca_file; /* NULL: the system's certificates */
} S3Config;

/* What requests are made of. */
typedef struct S3Place {
        bool tls;
        char *endpoint;  /* normalised, for people: "https://host[:port]" */
        char *authority; /* that requests go to, the bucket in it unless path_style: "bucket.host[:port]" */
        char *root;      /* of the bucket, and of its keys: "" or "/bucket" */
        char *region, *bucket;
        char *prefix; /* "" or "folder/folder/" */
} S3Place;

/* InvalidArgument says what is wrong with the configuration; the credentials are looked at, and left where they are. */
int s3_place_parse(const S3Config *config, S3Place *ret, Error *reterr);
void s3_place_done(S3Place *p);
#define _cleanup_s3_place_ _cleanup_(s3_place_done)

/* Names between slashes, of A-Z a-z 0-9 . _ -, none of them "." or "..". 'key' may end with a part of a name if it is
 * the beginning of keys. */
bool s3_key_is_valid(const char *key);
bool s3_bucket_is_valid(const char *bucket);
