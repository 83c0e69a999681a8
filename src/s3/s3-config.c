/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "s3-config.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>

#include "alloc-util.h"
#include "string-util.h"

#define ALPHANUMERIC "abcdefghijklmnopqrstuvwxyz0123456789"
#define UPPER "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define KEY_CHARS ALPHANUMERIC UPPER "._-"
#define BUCKET_LENGTH_MIN 3U
#define BUCKET_LENGTH_MAX 63U
#define HOST_LENGTH_MAX 253U
#define REGION_LENGTH_MAX 64U
#define PORT_MAX 65535U
#define HTTPS_PORT 443U
#define HTTP_PORT 80U

void s3_place_done(S3Place *p) {
        free(p->endpoint);
        free(p->authority);
        free(p->root);
        free(p->region);
        free(p->bucket);
        free(p->prefix);
        *p = (S3Place) {};
}

/* --- names --- */

static bool consists_of(const char *s, const char *chars) {
        return s[strspn(s, chars)] == 0;
}

static bool name_is_valid(const char *s, size_t n) {
        return n > 0 && strspn(s, KEY_CHARS) >= n && !(n == 1 && s[0] == '.') &&
                        !(n == 2 && s[0] == '.' && s[1] == '.');
}

bool s3_key_is_valid(const char *key) {
        if (isempty(key) || strlen(key) > S3_KEY_LENGTH_MAX)
                return false;

        for (;;) {
                size_t n = strcspn(key, "/");

                if (!name_is_valid(key, n))
                        return false;
                if (key[n] == 0)
                        return true;
                key += n + 1;
        }
}

static bool is_ipv4(const char *s) {
        return inet_pton(AF_INET, s, &(struct in_addr) {}) == 1;
}

bool s3_bucket_is_valid(const char *bucket) {
        size_t n = strlen(strempty(bucket));

        return n >= BUCKET_LENGTH_MIN && n <= BUCKET_LENGTH_MAX && consists_of(bucket, ALPHANUMERIC ".-") &&
                        strchr(ALPHANUMERIC, bucket[0]) && strchr(ALPHANUMERIC, bucket[n - 1]) &&
                        !strstr(bucket, "..") && !strstr(bucket, ".-") && !strstr(bucket, "-.") &&
                        !is_ipv4(bucket);
}

static bool credential_is_valid(const char *s) {
        if (isempty(s) || strlen(s) > S3_CREDENTIAL_LENGTH_MAX)
                return false;
        for (; *s; s++)
                if (*s <= ' ' || *s > '~')
                        return false;
        return true;
}

/* Slashes at its ends, and several for one, mean nothing. */
static int prefix_normalise(const char *prefix, char **ret) {
        _cleanup_string_builder_ StringBuilder b = {};

        for (const char *s = strempty(prefix); *s;) {
                size_t n = strcspn(s, "/");

                if (n > 0) {
                        if (!name_is_valid(s, n))
                                return -EINVAL;
                        string_builder_append_n(&b, s, n);
                        string_builder_append(&b, "/");
                }
                s += n + strspn(s + n, "/");
        }

        return b.size > S3_KEY_LENGTH_MAX / 2 ? -EINVAL : string_builder_finish(&b, ret, NULL);
}

/* --- the endpoint --- */

typedef struct Endpoint {
        bool tls;
        bool is_address;                /* not a name */
        char host[HOST_LENGTH_MAX + 1]; /* an IPv6 address in brackets */
        uint16_t port;                  /* 0: the scheme's own */
} Endpoint;

static bool port_parse(const char *s, uint16_t *ret) {
        unsigned port = 0;

        if (*s == 0)
                return false;
        for (; *s; s++) {
                if (*s < '0' || *s > '9')
                        return false;
                port = port * 10 + (unsigned) (*s - '0');
                if (port > PORT_MAX)
                        return false;
        }
        *ret = (uint16_t) port;
        return port > 0;
}

/* The length of the host, or 0. */
static size_t host_length(const char *s, bool *ret_is_address) {
        char address[INET6_ADDRSTRLEN] = "";
        size_t n;

        if (*s != '[') {
                n = strspn(s, KEY_CHARS);
                *ret_is_address = false;
                return n > HOST_LENGTH_MAX || *s == '.' || *s == '-' ? 0 : n;
        }

        n = strcspn(s, "]");
        if (s[n] == 0 || n > sizeof(address))
                return 0;
        memcpy(address, s + 1, n - 1);
        *ret_is_address = true;
        return inet_pton(AF_INET6, address, &(struct in6_addr) {}) == 1 ? n + 1 : 0;
}

static bool endpoint_parse(const char *s, Endpoint *ret) {
        static const struct {
                const char *scheme;
                bool tls;
                unsigned port;
        } schemes[] = {
                { "https://", true, HTTPS_PORT },
                { "http://", false, HTTP_PORT },
        };
        Endpoint e = {};
        unsigned port = 0;
        char rest[sizeof("65535")];
        size_t n = 0, k;

        FOREACH_ARRAY(i, schemes, ELEMENTSOF(schemes))
                if (strncasecmp(s, i->scheme, strlen(i->scheme)) == 0) {
                        n = strlen(i->scheme);
                        e.tls = i->tls;
                        port = i->port;
                }
        if (n == 0)
                return false;

        s += n;
        n = host_length(s, &e.is_address);
        if (n == 0)
                return false;
        for (size_t i = 0; i < n; i++)
                e.host[i] = (char) (s[i] >= 'A' && s[i] <= 'Z' ? s[i] - 'A' + 'a' : s[i]);
        e.is_address = e.is_address || is_ipv4(e.host);

        s += n;
        if (*s == ':') {
                k = strcspn(++s, "/");
                if (k >= sizeof(rest))
                        return false;
                memcpy(rest, s, k);
                rest[k] = 0;
                if (!port_parse(rest, &e.port))
                        return false;
                s += k;
        }
        if (!streq(s, "") && !streq(s, "/"))
                return false;

        /* What the scheme has of itself stands in no Host header. */
        if (e.port == port)
                e.port = 0;
        *ret = e;
        return true;
}

/* --- all of it --- */

static int place_check(const S3Config *c, const Endpoint *e, Error *reterr) {
        const char *region = strempty(c->region);

        if (!s3_bucket_is_valid(c->bucket))
                return error_setf(reterr, CCP_ERROR_INVALID_ARGUMENT,
                                "'%s' cannot be the name of a bucket: it has 3 to 63 of a-z, 0-9, '.' and "
                                "'-', and begins and ends with a letter or digit.",
                                strempty(c->bucket));
        if (strlen(region) > REGION_LENGTH_MAX || !consists_of(region, ALPHANUMERIC UPPER "-_"))
                return error_setf(reterr, CCP_ERROR_INVALID_ARGUMENT,
                                "The region of the bucket '%s' cannot be one: give the name that the "
                                "storage "
                                "has for it, such as '%s'.",
                                c->bucket, S3_REGION_DEFAULT);
        if (!credential_is_valid(c->access_key) || strpbrk(c->access_key, "/,="))
                return error_setf(reterr, CCP_ERROR_INVALID_ARGUMENT,
                                "The access key for the bucket '%s' cannot be one: copy it once more, "
                                "without space around it.",
                                c->bucket);
        if (!credential_is_valid(c->secret_key))
                return error_setf(reterr, CCP_ERROR_INVALID_ARGUMENT,
                                "The secret key for the bucket '%s' cannot be one: copy it once more, "
                                "without space around it.",
                                c->bucket);
        if (c->path_style)
                return 0;

        if (e->is_address)
                return error_setf(reterr, CCP_ERROR_INVALID_ARGUMENT,
                                "%s is an address, before which the bucket '%s' cannot stand: set path "
                                "style.",
                                c->endpoint, c->bucket);
        if (e->tls && strchr(c->bucket, '.'))
                return error_setf(reterr, CCP_ERROR_INVALID_ARGUMENT,
                                "No certificate is for the bucket '%s', which has a dot in its name, before "
                                "a host: set path style.",
                                c->bucket);
        return 0;
}

static int place_build(const S3Config *c, const Endpoint *e, S3Place *p) {
        char port[sizeof(":65535")] = "";

        if (e->port > 0)
                (void) snprintf(port, sizeof(port), ":%u", e->port);

        p->tls = e->tls;
        p->endpoint = strjoin(e->tls ? "https://" : "http://", e->host, port);
        p->authority = c->path_style ? strjoin(e->host, port) : strjoin(c->bucket, ".", e->host, port);
        p->root = c->path_style ? strjoin("/", c->bucket) : strdup("");
        p->region = strdup(isempty(c->region) ? S3_REGION_DEFAULT : c->region);
        p->bucket = strdup(c->bucket);
        return p->endpoint && p->authority && p->root && p->region && p->bucket ? 0 : -ENOMEM;
}

int s3_place_parse(const S3Config *config, S3Place *ret, Error *reterr) {
        _cleanup_s3_place_ S3Place p = {};
        Endpoint e = {};
        int r;

        /* It is not quoted: what is wrong with it may be a password. */
        if (!endpoint_parse(strempty(config->endpoint), &e))
                return error_setf(reterr, CCP_ERROR_INVALID_ARGUMENT,
                                "The endpoint of the storage cannot be used: it is https://HOST or "
                                "https://HOST:PORT (or http://), with no user, path or question mark.");
        r = place_check(config, &e, reterr);
        if (r < 0)
                return r;

        r = prefix_normalise(config->prefix, &p.prefix);
        if (r == -EINVAL)
                return error_setf(reterr, CCP_ERROR_INVALID_ARGUMENT,
                                "The prefix in the bucket '%s' cannot be used: it is names of A-Z, a-z, "
                                "0-9, "
                                "'.', '_' and '-' with '/' between them.",
                                config->bucket);
        if (r >= 0)
                r = place_build(config, &e, &p);
        if (r < 0)
                return error_set_errnof(reterr, r, "Cannot hold where the storage is: %m");

        *ret = TAKE_GENERIC(p, (S3Place) {});
        return 0;
}
