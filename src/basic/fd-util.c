/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "fd-util.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "alloc-util.h"

/* So much the slowest of disks takes in seconds. */
#define WRITE_BEHIND_SIZE (UINT64_C(32) * 1024 * 1024)

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

/* Room for one descriptor. */
typedef union FdControl {
        struct cmsghdr header;
        char space[CMSG_SPACE(sizeof(int))];
} FdControl;

int write_behind(int fd, uint64_t *flushed) {
        off_t end = lseek(fd, 0, SEEK_CUR);

        if (end < 0)
                return -errno;
        if ((uint64_t) end < *flushed + WRITE_BEHIND_SIZE)
                return 0;

        /* A length of 0 would be all that is there. */
        if (*flushed > 0 &&
                        sync_file_range(fd, 0, (off_t) *flushed,
                                        SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE |
                                                        SYNC_FILE_RANGE_WAIT_AFTER) < 0)
                return -errno;
        if (sync_file_range(fd, (off_t) *flushed, end - (off_t) *flushed, SYNC_FILE_RANGE_WRITE) < 0)
                return -errno;
        *flushed = (uint64_t) end;
        return 0;
}

int send_with_fd(int socket, const void *data, size_t size, int fd) {
        struct iovec iov = { (void *) data, size };
        FdControl control = {};
        struct msghdr msg = {
                .msg_iov = &iov,
                .msg_iovlen = 1,
                .msg_control = &control,
                .msg_controllen = sizeof(control),
        };
        ssize_t n;

        control.header = (struct cmsghdr) {
                .cmsg_level = SOL_SOCKET,
                .cmsg_type = SCM_RIGHTS,
                .cmsg_len = CMSG_LEN(sizeof(int)),
        };
        memcpy(CMSG_DATA(&control.header), &fd, sizeof(fd));

        n = sendmsg(socket, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0)
                return -errno;
        return (size_t) n == size ? 0 : -ENOBUFS;
}

ssize_t recv_with_fd(int socket, void *data, size_t size, int flags, int *fd) {
        struct iovec iov = { data, size };
        FdControl control = {};
        struct msghdr msg = {
                .msg_iov = &iov,
                .msg_iovlen = 1,
                .msg_control = &control,
                .msg_controllen = sizeof(control),
        };
        ssize_t n;

        n = recvmsg(socket, &msg, flags | MSG_CMSG_CLOEXEC);
        if (n < 0)
                return -errno;
        for (struct cmsghdr *c = CMSG_FIRSTHDR(&msg); c; c = CMSG_NXTHDR(&msg, c)) {
                if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS ||
                                c->cmsg_len != CMSG_LEN(sizeof(int)))
                        continue;
                safe_close(*fd);
                memcpy(fd, CMSG_DATA(c), sizeof(*fd));
        }
        return n;
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

int memfd_new_sealed(const char *name, const void *data, size_t size) {
        _cleanup_close_ int fd = -EBADF;
        int r;

        fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
        if (fd < 0)
                return -errno;
        r = loop_write(fd, data, size);
        if (r < 0)
                return r;
        if (lseek(fd, 0, SEEK_SET) < 0)
                return -errno;
        if (fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) < 0)
                return -errno;

        return TAKE_FD(fd);
}
