/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "output.h"

#include <errno.h>

bool output_grow(Output *o, size_t n) {
        size_t want;
        char *p;

        if (o->error < 0)
                return false;
        if (n >= o->limit || o->size > o->limit - n) {
                o->error = -E2BIG;
                return false;
        }

        want = MIN(o->allocated * 2, o->limit + 1);
        want = MAX(want, o->size + n + 1);
        p = malloc(want);
        if (!p) {
                o->error = -ENOMEM;
                return false;
        }

        if (o->data) {
                memcpy(p, o->data, o->size);
                explicit_bzero(o->data, o->size);
                free(o->data);
        }
        o->data = p;
        o->allocated = want;
        return true;
}

void output_done(Output *o) {
        if (o->data)
                explicit_bzero(o->data, o->size);
        free(o->data);
        *o = (Output) {};
}
