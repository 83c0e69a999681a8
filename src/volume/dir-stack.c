/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "dir-stack.h"

#include <fcntl.h>

#include "alloc-util.h"
#include "fd-util.h"

void dir_stack_done(DirStack *s) {
        FOREACH_ARRAY(l, s->levels, s->n)
                safe_close(l->fd);
        free(s->levels);
        *s = (DirStack) {};
}

int dir_stack_push(DirStack *s, int fd, const struct stat *st) {
        if (!GREEDY_REALLOC(s->levels, s->allocated, s->n + 1)) {
                safe_close(fd);
                return -ENOMEM;
        }

        s->levels[s->n++] = (DirLevel) { .fd = fd, .device = st->st_dev, .inode = st->st_ino };
        if (s->n > DIR_STACK_OPEN_MAX + 1) {
                DirLevel *above = s->levels + s->n - 1 - DIR_STACK_OPEN_MAX;

                above->fd = safe_close(above->fd);
        }
        return 0;
}

int dir_stack_open_parent(DirStack *s) {
        _cleanup_close_ int fd = -EBADF;
        DirLevel *parent;
        struct stat st;

        assert(s->n > 1);
        parent = s->levels + s->n - 2;
        if (parent->fd >= 0)
                return 0;

        fd = openat(dir_stack_fd(s), "..", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0 || fstat(fd, &st) < 0)
                return -errno;
        if (st.st_dev != parent->device || st.st_ino != parent->inode)
                return -ESTALE;

        parent->fd = TAKE_FD(fd);
        return 0;
}

void dir_stack_pop(DirStack *s) {
        assert(s->n > 0);
        safe_close(s->levels[--s->n].fd);
}
