/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The text that a rendering grows. Unlike a StringBuilder it has a limit and wipes what it leaves behind when
 * it grows, since that may hold secrets. */

#include <string.h>

#include "alloc-util.h"

typedef struct Output {
        char *data;
        size_t size, allocated, limit;
        int error; /* -ENOMEM or -E2BIG; then all calls are no-ops */
} Output;

/* Makes room for n more bytes and the final NUL. False on failure. */
bool output_grow(Output *o, size_t n);
void output_done(Output *o);

/* Room for n bytes, to be filled in before the next call; NULL on failure. */
static inline char *output_extend(Output *o, size_t n) {
        char *p;

        if (o->allocated - o->size <= n && !output_grow(o, n))
                return NULL;

        p = o->data + o->size;
        o->size += n;
        return p;
}

/* memcpy() for the short texts that a rendering is made of, without a call. */
static inline void copy_short(char *to, const char *from, size_t n) {
        if (n > 64)
                memcpy(to, from, n);
        else if (n > 32) {
                memcpy(to, from, 32);
                memcpy(to + n - 32, from + n - 32, 32);
        } else if (n >= 16) {
                memcpy(to, from, 16);
                memcpy(to + n - 16, from + n - 16, 16);
        } else if (n >= 8) {
                memcpy(to, from, 8);
                memcpy(to + n - 8, from + n - 8, 8);
        } else if (n >= 4) {
                memcpy(to, from, 4);
                memcpy(to + n - 4, from + n - 4, 4);
        } else
                for (size_t i = 0; i < n; i++)
                        to[i] = from[i];
}

static inline void output_append(Output *o, const char *s, size_t n) {
        char *p = output_extend(o, n);

        if (p && n > 0)
                memcpy(p, s, n);
}

static inline void output_append_short(Output *o, const char *s, size_t n) {
        char *p = output_extend(o, n);

        if (p)
                copy_short(p, s, n);
}

static inline void output_append_char(Output *o, char c) {
        char *p = output_extend(o, 1);

        if (p)
                *p = c;
}
#define output_append_literal(o, s) output_append((o), (s), STRLEN(s))
