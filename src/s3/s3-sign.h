/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* AWS Signature, version 4, in a header. Pure: what it says depends on its arguments alone. The path is encoded once
 * and is not normalised, as S3 alone has it. */

#include "time-util.h"

#define S3_UNSIGNED_PAYLOAD "UNSIGNED-PAYLOAD"
#define S3_HASH_HEX_MAX (2U * 32U + 1U)
#define S3_DATE_MAX sizeof("YYYYMMDDTHHMMSSZ")

typedef struct S3Pair {
        const char *name, *value;
} S3Pair;

typedef struct S3SignInput {
        const char *method;
        const char *host;    /* as in the header Host */
        const char *path;    /* not encoded; begins with '/' */
        const S3Pair *query; /* not encoded, in any order */
        size_t n_query;
        const S3Pair *headers; /* those that are signed besides Host and X-Amz-Date, in any order and case */
        size_t n_headers;
        const char *payload_hash; /* hex, or S3_UNSIGNED_PAYLOAD */
        usec_t realtime;
        const char *region, *service;
        const char *access_key, *secret_key;
} S3SignInput;

/* "20150830T123600Z". Returns buf. */
const char *s3_date_format(usec_t realtime, char buf[static S3_DATE_MAX]);

/* SHA-256 in hex. */
void s3_hash_to_hex(const unsigned char hash[static 32], char ret[static S3_HASH_HEX_MAX]);
void s3_hash(const void *data, size_t size, char ret[static S3_HASH_HEX_MAX]);

/* The text as it stands in an address: all but A-Z a-z 0-9 - . _ ~ as %XX, and '/' stays in a path. -ENOMEM. */
int s3_path_encode(const char *path, char **ret);
/* The pairs, encoded, sorted and joined: "a=1&b=". Used in addresses too, so that what is sent is what was signed. */
int s3_query_encode(const S3Pair *query, size_t n, char **ret);

/* The steps. All results are to be freed, -ENOMEM is the only error; ret_signed_headers may be NULL. */
int s3_canonical_request(const S3SignInput *in, char **ret, char **ret_signed_headers);
int s3_string_to_sign(const S3SignInput *in, const char *canonical_request, char **ret);

/* The value of the header Authorization, which holds nothing of the secret key that could be told from it. */
int s3_authorization(const S3SignInput *in, char **ret);
