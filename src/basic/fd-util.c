/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "fd-util.h"

#include "alloc-util.h"

int safe_close(int fd) {
        if (fd >= 0) {
                int saved_errno = errno;

                (void) close(fd);
                errno = saved_errno;
        }

        return -EBADF;
}

int loop_write(int fd, const void *data, size_t size) {
        const char *p = data;

        while (size > 0) {
                ssize_t n;

                n = write(fd, p, size);
                if (n < 0) {
                        if (errno == EINTR)
                                continue;
                        return -errno;
                }

                p += n;
                size -= (size_t) n;
        }

        return 0;
}

int read_full_fd(int fd, size_t max, char **ret, size_t *ret_size) {
        _cleanup_erase_ char *buffer = NULL;
        size_t size = 0, allocated = 0;

        for (;;) {
                ssize_t n;

                if (!GREEDY_REALLOC(buffer, allocated, MAX(size + 2, (size_t) 4096)))
                        return -ENOMEM;

                n = read(fd, buffer + size, allocated - size - 1);
                if (n < 0) {
                        if (errno == EINTR)
                                continue;
                        return -errno;
                }
                buffer[size += (size_t) n] = 0;
                if (n == 0)
                        break;
                if (size > max)
                        return -EFBIG;
        }

        if (ret_size)
                *ret_size = size;
        *ret = TAKE_PTR(buffer);
        return 0;
}
