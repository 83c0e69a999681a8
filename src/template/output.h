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

static inline void output_append(Output *o, const char *s, size_t n) {
        char *p = output_extend(o, n);

        if (p && n > 0)
                memcpy(p, s, n);
}

static inline void output_append_char(Output *o, char c) {
        char *p = output_extend(o, 1);

        if (p)
                *p = c;
}
#define output_append_literal(o, s) output_append((o), (s), STRLEN(s))
