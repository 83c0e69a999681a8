/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "copy-key.h"

#include <errno.h>
#include <stdio.h>
#include <time.h>

#include "string-util.h"

#define TIME_FORMAT "%Y%m%dT%H%M%SZ"
#define TIME_LENGTH STRLEN("YYYYMMDDTHHMMSSZ")
#define ID_LENGTH (STORE_ID_MAX - 1)

char *copy_key_format(const char *instance, const char *slug, usec_t created_at, const char *archive) {
        time_t seconds = (time_t) (created_at / USEC_PER_SEC);
        char at[TIME_LENGTH + 1];
        struct tm tm;
        char *key;

        if (!gmtime_r(&seconds, &tm) || strftime(at, sizeof(at), TIME_FORMAT, &tm) != TIME_LENGTH)
                return NULL;
        return asprintf(&key, "%s/%s-%s.%s" COPY_KEY_SUFFIX, instance, slug, at, archive) < 0 ? NULL : key;
}

/* A UUID in lower case. */
static bool id_is_valid(const char *s) {
        static const char form[] = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";

        for (size_t i = 0; i < ID_LENGTH; i++)
                if (form[i] == '-' ? s[i] != '-' : !strchr("0123456789abcdef", s[i]))
                        return false;
        return true;
}

int copy_key_prefix(const char *instance, char **ret) {
        if (strlen(instance) != ID_LENGTH || !id_is_valid(instance))
                return -EINVAL;
        *ret = strjoin(instance, "/");
        return *ret ? 0 : -ENOMEM;
}

static int parse_time(const char *s, usec_t *ret) {
        char again[TIME_LENGTH + 1];
        struct tm tm = {};
        const char *end;
        time_t t;

        end = strptime(s, TIME_FORMAT, &tm);
        if (!end || *end)
                return -EINVAL;
        t = timegm(&tm);
        /* It takes fewer digits than it writes. */
        if (t < 0 || strftime(again, sizeof(again), TIME_FORMAT, &tm) != TIME_LENGTH || !streq(again, s))
                return -EINVAL;

        *ret = (usec_t) t * USEC_PER_SEC;
        return 0;
}

/* "SLUG-TIME" */
static int parse_name(const char *s, size_t n, CopyKey *ret) {
        char at[TIME_LENGTH + 1];
        size_t k;

        if (n < TIME_LENGTH + 2)
                return -EINVAL;
        k = n - TIME_LENGTH - 1;
        if (k >= sizeof(ret->slug) || s[k] != '-')
                return -EINVAL;
        memcpy(ret->slug, s, k);
        ret->slug[k] = 0;
        memcpy(at, s + k + 1, TIME_LENGTH);
        at[TIME_LENGTH] = 0;
        return slug_is_valid(ret->slug) ? parse_time(at, &ret->created_at) : -EINVAL;
}

int copy_key_parse(const char *key, CopyKey *ret) {
        const char *slash = strchr(key, '/'), *end = endswith(key, COPY_KEY_SUFFIX), *dot;
        CopyKey k;
        int r;

        if (!slash || !end || (size_t) (slash - key) != ID_LENGTH)
                return -EINVAL;
        dot = strchr(slash + 1, '.');
        if (!dot || end <= dot || (size_t) (end - dot - 1) != ID_LENGTH)
                return -EINVAL;
        memcpy(k.instance, key, ID_LENGTH);
        memcpy(k.archive, dot + 1, ID_LENGTH);
        k.instance[ID_LENGTH] = k.archive[ID_LENGTH] = 0;
        if (!id_is_valid(k.instance) || !id_is_valid(k.archive))
                return -EINVAL;
        r = parse_name(slash + 1, (size_t) (dot - slash - 1), &k);
        if (r < 0)
                return r;

        *ret = k;
        return 0;
}
