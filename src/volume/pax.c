/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "pax.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#define NSEC_PER_SEC 1000000000L
#define FRACTION_DIGITS 9U

static size_t count_digits(size_t n) {
        size_t digits = 1;

        for (; n >= 10; n /= 10)
                digits++;

        return digits;
}

/* The length counts its own digits too. */
static size_t record_size(size_t rest) {
        size_t n = rest + count_digits(rest);

        return rest + count_digits(n);
}

void pax_append(StringBuilder *b, const char *key, const void *value, size_t size) {
        string_builder_appendf(b, "%zu %s=", record_size(strlen(key) + size + STRLEN(" =\n")), key);
        string_builder_append_n(b, value, size);
        string_builder_append_n(b, "\n", 1);
}

void pax_append_number(StringBuilder *b, const char *key, uint64_t value) {
        char text[32];

        pax_append(b, key, text, (size_t) snprintf(text, sizeof(text), "%" PRIu64, value));
}

void pax_append_time(StringBuilder *b, const char *key, const struct timespec *t) {
        /* Nanoseconds count upwards from the second; before 1970 the sign is for both. */
        bool negative = t->tv_sec < 0, borrow = negative && t->tv_nsec > 0;
        uint64_t sec = negative ? -(uint64_t) t->tv_sec - (borrow ? 1 : 0) : (uint64_t) t->tv_sec;
        long nsec = borrow ? NSEC_PER_SEC - t->tv_nsec : t->tv_nsec;
        char text[48];
        int n;

        n = snprintf(text, sizeof(text), "%s%" PRIu64, negative ? "-" : "", sec);
        if (nsec > 0)
                n += snprintf(text + n, sizeof(text) - (size_t) n, ".%09ld", nsec);
        pax_append(b, key, text, (size_t) n);
}

static int parse_number(const char *s, size_t n, uint64_t *ret) {
        uint64_t value = 0;

        if (n == 0)
                return -EBADMSG;
        for (size_t i = 0; i < n; i++) {
                if (s[i] < '0' || s[i] > '9')
                        return -EBADMSG;
                if (__builtin_mul_overflow(value, 10U, &value) ||
                                __builtin_add_overflow(value, (uint64_t) (s[i] - '0'), &value) ||
                                value > INT64_MAX)
                        return -EBADMSG;
        }

        *ret = value;
        return 0;
}

int pax_next(const char **p, size_t *size, PaxRecord *ret) {
        const char *begin = *p, *space, *equals;
        uint64_t n;

        if (*size == 0)
                return 0;

        space = memchr(begin, ' ', *size);
        if (!space || parse_number(begin, (size_t) (space - begin), &n) < 0 || n > *size ||
                        n < (size_t) (space - begin) + STRLEN(" =\n") || begin[n - 1] != '\n')
                return -EBADMSG;

        equals = memchr(space, '=', n - 1 - (size_t) (space - begin));
        if (!equals)
                return -EBADMSG;

        *ret = (PaxRecord) {
                .key = space + 1,
                .key_size = (size_t) (equals - space) - 1,
                .value = equals + 1,
                .value_size = n - 1 - (size_t) (equals + 1 - begin),
        };
        *p += n;
        *size -= n;
        return 1;
}

bool pax_record_is(const PaxRecord *r, const char *key) {
        return r->key_size == strlen(key) && memcmp(r->key, key, r->key_size) == 0;
}

int pax_record_get_number(const PaxRecord *r, uint64_t *ret) {
        return parse_number(r->value, r->value_size, ret);
}

int pax_record_get_time(const PaxRecord *r, struct timespec *ret) {
        const char *s = r->value, *point;
        size_t n = r->value_size;
        uint64_t sec, nsec = 0;
        bool negative;

        negative = n > 0 && s[0] == '-';
        if (negative) {
                s++;
                n--;
        }

        point = memchr(s, '.', n);
        if (point) {
                size_t k = n - (size_t) (point - s) - 1;

                if (k != FRACTION_DIGITS || parse_number(point + 1, k, &nsec) < 0)
                        return -EBADMSG;
                n -= k + 1;
        }
        if (parse_number(s, n, &sec) < 0)
                return -EBADMSG;

        *ret = (struct timespec) { .tv_sec = (time_t) sec, .tv_nsec = (long) nsec };
        if (negative) {
                ret->tv_sec = -ret->tv_sec;
                if (nsec > 0) {
                        ret->tv_sec--;
                        ret->tv_nsec = NSEC_PER_SEC - ret->tv_nsec;
                }
        }
        return 0;
}
