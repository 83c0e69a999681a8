/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "string-util.h"

#include <errno.h>
#include <stdio.h>

#include "alloc-util.h"

char *endswith(const char *s, const char *suffix) {
        size_t n = strlen(s), k = strlen(suffix);

        return n >= k && streq(s + n - k, suffix) ? (char *) s + n - k : NULL;
}

char *strjoin_real(const char *first, ...) {
        _cleanup_string_builder_ StringBuilder b = {};
        char *result;
        va_list ap;

        va_start(ap, first);
        for (const char *s = first; s; s = va_arg(ap, const char *))
                string_builder_append(&b, s);
        va_end(ap);

        return string_builder_finish(&b, &result, NULL) < 0 ? NULL : result;
}

int string_table_lookup(const char *const *table, size_t n, const char *s) {
        if (!s)
                return -EINVAL;

        for (size_t i = 0; i < n; i++)
                if (table[i] && streq(table[i], s))
                        return (int) i;

        return -EINVAL;
}

int free_and_strdup(char **p, const char *s) {
        char *copy = NULL;

        if (s) {
                copy = strdup(s);
                if (!copy)
                        return -ENOMEM;
        }

        free(*p);
        *p = copy;
        return 0;
}

size_t utf8_sequence_length(const unsigned char *s, size_t n) {
        static const struct {
                unsigned char mask, lead;
                uint32_t min;
        } forms[] = {
                { 0x80, 0x00, 0 },
                { 0xE0, 0xC0, 0x80 },
                { 0xF0, 0xE0, 0x800 },
                { 0xF8, 0xF0, 0x10000 },
        };

        for (size_t k = 0; k < ELEMENTSOF(forms); k++) {
                uint32_t c;

                if ((s[0] & forms[k].mask) != forms[k].lead)
                        continue;
                if (k >= n)
                        return 0;

                c = s[0] & (unsigned char) ~forms[k].mask;
                for (size_t i = 1; i <= k; i++) {
                        if ((s[i] & 0xC0) != 0x80)
                                return 0;
                        c = c << 6 | (s[i] & 0x3F);
                }

                return c < forms[k].min || c > 0x10FFFF || (c >= 0xD800 && c <= 0xDFFF) ? 0 : k + 1;
        }

        return 0;
}

bool utf8_is_valid(const char *s, size_t n) {
        for (size_t i = 0, k; i < n; i += k) {
                k = utf8_sequence_length((const unsigned char *) s + i, n - i);
                if (k == 0)
                        return false;
        }

        return true;
}

/* U+FDD0 to U+FDEF, and the last two of each plane. */
bool utf8_is_noncharacter(const unsigned char *s, size_t n) {
        if (n == 3)
                return s[0] == 0xEF &&
                                ((s[1] == 0xB7 && s[2] >= 0x90 && s[2] <= 0xAF) ||
                                                (s[1] == 0xBF && s[2] >= 0xBE));
        return n == 4 && (s[1] & 0x0F) == 0x0F && s[2] == 0xBF && s[3] >= 0xBE;
}

void utf8_make_valid(char *s) {
        size_t n = strlen(s);

        for (size_t i = 0, k; i < n; i += MAX(k, (size_t) 1)) {
                k = utf8_sequence_length((const unsigned char *) s + i, n - i);
                if (k == 0)
                        s[i] = '?';
        }
}

bool string_is_safe(const char *s) {
        const unsigned char *p = (const unsigned char *) s;

        for (size_t n = strlen(s), k; n > 0; p += k, n -= k) {
                k = utf8_sequence_length(p, n);
                if (k == 0 || *p < ' ' || *p == 0x7F || (k == 2 && *p == 0xC2 && p[1] < 0xA0) ||
                                utf8_is_noncharacter(p, k))
                        return false;
        }
        return true;
}

/* realloc() would leave a copy of what may be a secret behind. */
static bool string_builder_grow(StringBuilder *b, size_t need) {
        size_t n = MAX(MAX(need, b->allocated * 2), (size_t) 64);
        char *p;

        if (need <= b->allocated)
                return true;

        p = malloc(n);
        if (!p)
                return false;

        if (b->size > 0)
                memcpy(p, b->data, b->size);
        if (b->data)
                explicit_bzero(b->data, b->allocated);
        free(b->data);
        b->data = p;
        b->allocated = n;
        return true;
}

void string_builder_append_n(StringBuilder *b, const char *s, size_t n) {
        if (b->failed)
                return;

        if (n > SIZE_MAX / 4 - b->size || !string_builder_grow(b, b->size + n + 1)) {
                b->failed = true;
                return;
        }

        if (n > 0)
                memcpy(b->data + b->size, s, n);
        b->size += n;
        b->data[b->size] = 0;
}

void string_builder_append(StringBuilder *b, const char *s) {
        string_builder_append_n(b, s, strlen(s));
}

void string_builder_appendf(StringBuilder *b, const char *format, ...) {
        _cleanup_free_ char *s = NULL;
        va_list ap;
        int n;

        va_start(ap, format);
        n = vasprintf(&s, format, ap);
        va_end(ap);

        if (n < 0) {
                s = NULL;
                b->failed = true;
                return;
        }
        string_builder_append_n(b, s, (size_t) n);
}

int string_builder_finish(StringBuilder *b, char **ret, size_t *ret_size) {
        /* An empty result is a string too. */
        string_builder_append_n(b, NULL, 0);
        if (b->failed)
                return -ENOMEM;

        if (ret_size)
                *ret_size = b->size;
        *ret = TAKE_PTR(b->data);
        *b = (StringBuilder) {};
        return 0;
}

void string_builder_done(StringBuilder *b) {
        if (b->data)
                explicit_bzero(b->data, b->allocated);
        free(b->data);
        *b = (StringBuilder) {};
}
