/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "s3-sign.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>

#include "alloc-util.h"
#include "string-util.h"

#define ALGORITHM "AWS4-HMAC-SHA256"
#define SCOPE_END "aws4_request"
#define DAY_LENGTH STRLEN("YYYYMMDD")

static_assert(crypto_hash_sha256_BYTES == crypto_auth_hmacsha256_BYTES, "both are SHA-256");
static_assert(S3_HASH_HEX_MAX == 2 * crypto_hash_sha256_BYTES + 1, "hash");

/* Pairs of our own, to be sorted. */
typedef struct PairList {
        struct Pair {
                char *name, *value;
        } *items;
        size_t n, allocated;
} PairList;

static void pair_list_done(PairList *l) {
        FOREACH_ARRAY(i, l->items, l->n) {
                free(i->name);
                free(i->value);
        }
        free(l->items);
}
#define _cleanup_pairs_ _cleanup_(pair_list_done)

/* Takes both strings, also when it fails, and when one of them is NULL for want of memory. */
static int pair_list_take(PairList *l, char *name, char *value) {
        if (!name || !value || !GREEDY_REALLOC(l->items, l->allocated, l->n + 1)) {
                free(name);
                free(value);
                return -ENOMEM;
        }

        l->items[l->n++] = (struct Pair) { .name = name, .value = value };
        return 0;
}

/* --- encoding --- */

static void append_encoded(StringBuilder *b, const char *s, bool is_path) {
        for (; *s; s++) {
                unsigned char c = (unsigned char) *s;

                if ((c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
                                IN_SET(c, '-', '.', '_', '~') || (is_path && c == '/'))
                        string_builder_append_n(b, s, 1);
                else
                        string_builder_appendf(b, "%%%02X", c);
        }
}

static int encode(const char *s, bool is_path, char **ret) {
        _cleanup_string_builder_ StringBuilder b = {};

        append_encoded(&b, s, is_path);
        return string_builder_finish(&b, ret, NULL);
}

int s3_path_encode(const char *path, char **ret) {
        return encode(path, /* is_path= */ true, ret);
}

static int pair_compare(const void *a, const void *b) {
        const struct Pair *x = a, *y = b;
        int r = strcmp(x->name, y->name);

        return r != 0 ? r : strcmp(x->value, y->value);
}

int s3_query_encode(const S3Pair *query, size_t n, char **ret) {
        _cleanup_string_builder_ StringBuilder b = {};
        _cleanup_pairs_ PairList l = {};

        FOREACH_ARRAY(q, query, n) {
                char *name = NULL, *value = NULL;

                (void) encode(q->name, /* is_path= */ false, &name);
                (void) encode(q->value, /* is_path= */ false, &value);
                if (pair_list_take(&l, name, value) < 0)
                        return -ENOMEM;
        }

        /* By what is sent, not by what it means. */
        if (l.n > 0)
                qsort(l.items, l.n, sizeof(l.items[0]), pair_compare);
        FOREACH_ARRAY(i, l.items, l.n)
                string_builder_appendf(&b, "%s%s=%s", i == l.items ? "" : "&", i->name, i->value);
        return string_builder_finish(&b, ret, NULL);
}

const char *s3_date_format(usec_t realtime, char buf[static S3_DATE_MAX]) {
        time_t t = (time_t) (realtime / USEC_PER_SEC);
        struct tm tm = {};

        if (!gmtime_r(&t, &tm) || strftime(buf, S3_DATE_MAX, "%Y%m%dT%H%M%SZ", &tm) == 0)
                buf[0] = 0;
        return buf;
}

void s3_hash_to_hex(const unsigned char hash[static 32], char ret[static S3_HASH_HEX_MAX]) {
        (void) sodium_bin2hex(ret, S3_HASH_HEX_MAX, hash, crypto_hash_sha256_BYTES);
}

void s3_hash(const void *data, size_t size, char ret[static S3_HASH_HEX_MAX]) {
        unsigned char hash[crypto_hash_sha256_BYTES];

        (void) crypto_hash_sha256(hash, data, size);
        s3_hash_to_hex(hash, ret);
}

/* --- the canonical request --- */

static char *to_lower(const char *s) {
        char *copy = strdup(s);

        for (char *p = copy; p && *p; p++)
                if (*p >= 'A' && *p <= 'Z')
                        *p = (char) (*p - 'A' + 'a');
        return copy;
}

/* Without space around it, and one where there are several. */
static char *to_trimmed(const char *s) {
        char *copy = new0(char, strlen(s) + 1), *p = copy;

        for (; p && *s; s++)
                if (*s != ' ' || (p > copy && p[-1] != ' '))
                        *p++ = *s;
        if (p && p > copy && p[-1] == ' ')
                p[-1] = 0;
        return copy;
}

/* Sorted by name; values of one name stay in their order. */
static int header_list_add(PairList *l, const char *name, const char *value) {
        int r;

        r = pair_list_take(l, to_lower(name), to_trimmed(value));
        if (r < 0)
                return r;

        for (size_t i = l->n - 1; i > 0 && strcmp(l->items[i - 1].name, l->items[i].name) > 0; i--) {
                struct Pair swap = l->items[i];

                l->items[i] = l->items[i - 1];
                l->items[i - 1] = swap;
        }
        return 0;
}

static int header_list_build(const S3SignInput *in, PairList *l) {
        char date[S3_DATE_MAX];
        int r;

        r = header_list_add(l, "host", in->host);
        if (r >= 0)
                r = header_list_add(l, "x-amz-date", s3_date_format(in->realtime, date));
        for (size_t i = 0; r >= 0 && i < in->n_headers; i++)
                r = header_list_add(l, in->headers[i].name, in->headers[i].value);
        return r;
}

static void append_headers(StringBuilder *lines, StringBuilder *names, const PairList *l) {
        for (size_t i = 0; i < l->n; i++) {
                if (i > 0 && streq(l->items[i - 1].name, l->items[i].name)) {
                        string_builder_appendf(lines, ",%s", l->items[i].value);
                        continue;
                }
                string_builder_appendf(
                                lines, "%s%s:%s", i > 0 ? "\n" : "", l->items[i].name, l->items[i].value);
                string_builder_appendf(names, "%s%s", i > 0 ? ";" : "", l->items[i].name);
        }
        string_builder_append(lines, "\n");
}

int s3_canonical_request(const S3SignInput *in, char **ret, char **ret_signed_headers) {
        _cleanup_string_builder_ StringBuilder b = {}, lines = {}, names = {};
        _cleanup_free_ char *path = NULL, *query = NULL, *header_lines = NULL, *signed_headers = NULL;
        _cleanup_pairs_ PairList headers = {};
        int r;

        r = s3_path_encode(in->path, &path);
        if (r >= 0)
                r = s3_query_encode(in->query, in->n_query, &query);
        if (r >= 0)
                r = header_list_build(in, &headers);
        if (r < 0)
                return r;

        append_headers(&lines, &names, &headers);
        r = string_builder_finish(&lines, &header_lines, NULL);
        if (r >= 0)
                r = string_builder_finish(&names, &signed_headers, NULL);
        if (r < 0)
                return r;

        string_builder_appendf(&b, "%s\n%s\n%s\n%s\n%s\n%s", in->method, path, query, header_lines,
                        signed_headers, in->payload_hash);
        r = string_builder_finish(&b, ret, NULL);
        if (r < 0)
                return r;

        if (ret_signed_headers)
                *ret_signed_headers = TAKE_PTR(signed_headers);
        return 0;
}

/* --- the signature --- */

static void append_scope(StringBuilder *b, const S3SignInput *in, const char *date) {
        string_builder_appendf(b, "%.*s/%s/%s/" SCOPE_END, (int) DAY_LENGTH, date, in->region, in->service);
}

int s3_string_to_sign(const S3SignInput *in, const char *canonical_request, char **ret) {
        _cleanup_string_builder_ StringBuilder b = {};
        char date[S3_DATE_MAX], hash[S3_HASH_HEX_MAX];

        (void) s3_date_format(in->realtime, date);
        s3_hash(canonical_request, strlen(canonical_request), hash);
        string_builder_appendf(&b, ALGORITHM "\n%s\n", date);
        append_scope(&b, in, date);
        string_builder_appendf(&b, "\n%s", hash);
        return string_builder_finish(&b, ret, NULL);
}

/* ret may be the key itself. */
static void hmac(const void *key, size_t key_size, const char *data,
                unsigned char ret[static crypto_auth_hmacsha256_BYTES]) {
        crypto_auth_hmacsha256_state state;

        (void) crypto_auth_hmacsha256_init(&state, key, key_size);
        (void) crypto_auth_hmacsha256_update(&state, (const unsigned char *) data, strlen(data));
        (void) crypto_auth_hmacsha256_final(&state, ret);
        sodium_memzero(&state, sizeof(state));
}

static int sign(const S3SignInput *in, const char *text, char ret[static S3_HASH_HEX_MAX]) {
        _cleanup_string_builder_ StringBuilder secret = {};
        unsigned char key[crypto_auth_hmacsha256_BYTES];
        char date[S3_DATE_MAX];

        string_builder_append(&secret, "AWS4");
        string_builder_append(&secret, in->secret_key);
        if (secret.failed)
                return -ENOMEM;

        (void) s3_date_format(in->realtime, date);
        date[DAY_LENGTH] = 0;
        hmac(secret.data, secret.size, date, key);
        FOREACH_ARRAY(i, ((const char *[]) { in->region, in->service, SCOPE_END, text }), 4)
                hmac(key, sizeof(key), *i, key);
        s3_hash_to_hex(key, ret);
        sodium_memzero(key, sizeof(key));
        return 0;
}

int s3_authorization(const S3SignInput *in, char **ret) {
        _cleanup_free_ char *canonical = NULL, *signed_headers = NULL, *text = NULL;
        _cleanup_string_builder_ StringBuilder b = {};
        char date[S3_DATE_MAX], signature[S3_HASH_HEX_MAX];
        int r;

        r = s3_canonical_request(in, &canonical, &signed_headers);
        if (r >= 0)
                r = s3_string_to_sign(in, canonical, &text);
        if (r >= 0)
                r = sign(in, text, signature);
        if (r < 0)
                return r;

        string_builder_appendf(&b, ALGORITHM " Credential=%s/", in->access_key);
        append_scope(&b, in, s3_date_format(in->realtime, date));
        string_builder_appendf(&b, ", SignedHeaders=%s, Signature=%s", signed_headers, signature);
        return string_builder_finish(&b, ret, NULL);
}
