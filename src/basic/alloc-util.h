/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Allocation and its clean-up handlers. */

#include <stdlib.h>
#include <string.h>

#include "ccp/macro.h"

/* Zeroed memory for n of a type; n = 0 gives room for one, so that NULL means out of memory. */
#define new0(t, n) ((t *) calloc((n) ?: 1, sizeof(t)))

static inline void freep(void *p) {
        free(*(void **) p);
}
#define _cleanup_free_ _cleanup_(freep)

/* Frees a pointer and returns NULL, to be written back into it. */
#define mfree(p)                      \
        ({                            \
                free(p);              \
                (__typeof__(p)) NULL; \
        })

/* Makes room for at least 'need' elements, doubling. Returns false when out of memory; the array then
 * stays as it was. */
#define GREEDY_REALLOC(array, n_allocated, need) \
        greedy_realloc((void **) &(array), &(n_allocated), (need), sizeof((array)[0]))

static inline bool greedy_realloc(void **array, size_t *n_allocated, size_t need, size_t size) {
        size_t n = *n_allocated;
        void *p;

        if (need <= n)
                return true;

        n = MAX(MAX(need, n * 2), (size_t) 8);
        p = reallocarray(*array, n, size);
        if (!p)
                return false;

        *array = p;
        *n_allocated = n;
        return true;
}

/* Wipes a string before freeing it: for whatever held a secret. */
static inline char *erase_and_free(char *s) {
        if (s)
                explicit_bzero(s, strlen(s));
        return mfree(s);
}
DEFINE_CLEANUP_FUNC(char *, erase_and_free);
#define _cleanup_erase_ _cleanup_(erase_and_freep)
