/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <stddef.h>

#include "alloc-util.h"
#include "ast.h"

#define ARENA_CHUNK_SIZE (16U * 1024U)

struct ArenaChunk {
        struct ArenaChunk *next;
        max_align_t data[];
};

/* Zeroed memory, or NULL. */
void *arena_alloc(Arena *a, size_t size) {
        const size_t align = _Alignof(max_align_t);
        void *p;

        if (size > SIZE_MAX / 2)
                return NULL;

        size = (size + align - 1) / align * align;
        if (size > a->left) {
                size_t n = MAX(size, (size_t) ARENA_CHUNK_SIZE);
                struct ArenaChunk *c;

                c = calloc(1, sizeof(*c) + n);
                if (!c)
                        return NULL;
                c->next = a->chunks;
                a->chunks = c;
                a->next = (char *) c->data;
                a->left = n;
        }

        p = a->next;
        a->next += size;
        a->left -= size;
        return p;
}

void arena_done(Arena *a) {
        struct ArenaChunk *next;

        for (struct ArenaChunk *c = a->chunks; c; c = next) {
                next = c->next;
                free(c);
        }
        *a = (Arena) {};
}
