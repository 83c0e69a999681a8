/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The folders from the top to where a walk is, however deep that is: only the top and the lowest ones are
 * kept open. One that was closed is opened again as the parent of the one below, and must be the same
 * folder. */

#include <sys/stat.h>

#include "ccp/macro.h"

#define DIR_STACK_OPEN_MAX 32U

typedef struct DirLevel {
        int fd;
        dev_t device;
        ino_t inode;
} DirLevel;

typedef struct DirStack {
        DirLevel *levels;
        size_t n, allocated;
} DirStack;

void dir_stack_done(DirStack *s);

/* Takes the descriptor over, also when it fails (-ENOMEM). */
int dir_stack_push(DirStack *s, int fd, const struct stat *st);
/* Makes sure that the level above the lowest is open. -ESTALE: it is another folder now. */
int dir_stack_open_parent(DirStack *s);
/* Closes the lowest. That above it must be open. */
void dir_stack_pop(DirStack *s);

/* Of the lowest level; borrowed. */
static inline int dir_stack_fd(const DirStack *s) {
        return s->levels[s->n - 1].fd;
}
