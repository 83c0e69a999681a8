/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Strings: comparison, joining, growing, and the tests for text that comes from outside. */

#include <stdarg.h>
#include <string.h>

#include "ccp/macro.h"

#define streq(a, b) (strcmp((a), (b)) == 0)

/* Equal, where NULL equals only NULL. */
static inline bool streq_ptr(const char *a, const char *b) {
        return a && b ? streq(a, b) : !a && !b;
}

static inline bool isempty(const char *s) {
        return !s || !s[0];
}

static inline const char *strempty(const char *s) {
        return s ?: "";
}

/* The rest of s after prefix, or NULL if s does not begin with it. */
static inline char *startswith(const char *s, const char *prefix) {
        size_t n = strlen(prefix);

        return strncmp(s, prefix, n) == 0 ? (char *) s + n : NULL;
}

/* The place in s where suffix begins, or NULL if s does not end with it. */
char *endswith(const char *s, const char *suffix);

/* Joins the arguments up to NULL in a new string; NULL when out of memory. */
char *strjoin_real(const char *first, ...) _sentinel_;
#define strjoin(...) strjoin_real(__VA_ARGS__, NULL)

/* Index of s in a table of strings; -EINVAL if it is not there. */
int string_table_lookup(const char *const *table, size_t n, const char *s);

/* Replaces *p by a copy of s (NULL allowed). 0 or -ENOMEM. */
int free_and_strdup(char **p, const char *s);

/* True if all of it is text that a person and the bus can be shown: no control character, neither of ASCII nor of C1, no
 * malformed sequence, and no noncharacter, which sd-bus refuses. */
bool string_is_safe(const char *s);
bool utf8_is_valid(const char *s, size_t n);
/* Bytes of the longest UTF-8 sequence. */
#define UTF8_LENGTH_MAX 4U
/* Length of the UTF-8 sequence at s (RFC 3629: no overlong form, no surrogate, at most U+10FFFF), 0 if it is
 * malformed. */
size_t utf8_sequence_length(const unsigned char *s, size_t n);
/* Of a valid sequence of n bytes: whether Unicode has set that code point aside for no character. */
bool utf8_is_noncharacter(const unsigned char *s, size_t n);
/* Puts '?' in place of each byte that belongs to no UTF-8 sequence: neither the records nor the bus take such
 * text, and what a program wrote, or what was cut in the middle of a character, shall be told all the same. */
void utf8_make_valid(char *s);

/* A growing byte string. Initialize with {}; after the first failure all calls are no-ops and
 * string_builder_finish() returns -ENOMEM, so that only the end needs a check. */
typedef struct StringBuilder {
        char *data;
        size_t size, allocated;
        bool failed;
} StringBuilder;

void string_builder_append_n(StringBuilder *b, const char *s, size_t n);
void string_builder_append(StringBuilder *b, const char *s);
void string_builder_appendf(StringBuilder *b, const char *format, ...) _printf_(2, 3);
/* Hands the NUL-terminated result over. ret_size may be NULL. */
int string_builder_finish(StringBuilder *b, char **ret, size_t *ret_size);
/* Wipes and frees. */
void string_builder_done(StringBuilder *b);
#define _cleanup_string_builder_ _cleanup_(string_builder_done)
