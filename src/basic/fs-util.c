/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "fs-util.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "alloc-util.h"
#include "fd-util.h"
#include "string-util.h"

/* Deeper trees than this are refused instead of recursed into (CVE-2021-3997 was such a recursion). */
#define RM_RF_DEPTH_MAX 512U

static int open_resolve(int dirfd, const char *path, int flags, mode_t mode, uint64_t resolve) {
        struct open_how how = {
                .flags = (uint64_t) (flags | O_CLOEXEC),
                .mode = flags & O_CREAT ? mode : 0,
                .resolve = resolve | RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
        };
        long fd;

        do
                fd = syscall(SYS_openat2, dirfd, path, &how, sizeof(how));
        while (fd < 0 && IN_SET(errno, EINTR, EAGAIN));

        return fd < 0 ? -errno : (int) fd;
}

int open_beneath(int dirfd, const char *path, int flags, mode_t mode) {
        return open_resolve(dirfd, path, flags, mode, 0);
}

int open_beneath_mount(int dirfd, const char *path, int flags) {
        return open_resolve(dirfd, path, flags, 0, RESOLVE_NO_XDEV);
}

int open_parent_beneath(int dirfd, const char *path, const char **ret_name) {
        const char *slash = strrchr(path, '/');
        _cleanup_free_ char *parent = NULL;
        int fd;

        if (slash) {
                if (slash == path)
                        return -EXDEV;
                parent = strndup(path, (size_t) (slash - path));
                if (!parent)
                        return -ENOMEM;
        }

        fd = open_beneath(dirfd, parent ?: ".", O_RDONLY | O_DIRECTORY, 0);
        if (fd < 0)
                return fd;

        *ret_name = slash ? slash + 1 : path;
        return fd;
}

int mkdir_open_beneath(int dirfd, const char *path, mode_t mode) {
        _cleanup_close_ int fd = -EBADF;
        _cleanup_free_ char *copy = NULL;
        char *saveptr = NULL;

        if (path[0] == '/')
                return -EXDEV;

        copy = strdup(path);
        if (!copy)
                return -ENOMEM;

        fd = open_beneath(dirfd, ".", O_RDONLY | O_DIRECTORY, 0);
        if (fd < 0)
                return fd;

        for (char *name = strtok_r(copy, "/", &saveptr); name; name = strtok_r(NULL, "/", &saveptr)) {
                int next;

                if (streq(name, ".."))
                        return -EXDEV;
                if (mkdirat(fd, name, mode) < 0 && errno != EEXIST)
                        return -errno;

                next = open_beneath(fd, name, O_RDONLY | O_DIRECTORY, 0);
                if (next < 0)
                        return next;

                safe_close(fd);
                fd = next;
        }

        return TAKE_FD(fd);
}

int mkdir_parents_beneath(int dirfd, const char *path, mode_t mode) {
        const char *slash = strrchr(path, '/');
        _cleanup_free_ char *parent = NULL;
        int fd;

        if (!slash)
                return 0;

        parent = strndup(path, (size_t) (slash - path));
        if (!parent)
                return -ENOMEM;

        fd = mkdir_open_beneath(dirfd, parent, mode);
        if (fd < 0)
                return fd;

        safe_close(fd);
        return 0;
}

int read_file_beneath(int dirfd, const char *path, size_t max, char **ret, size_t *ret_size) {
        _cleanup_close_ int fd = -EBADF;
        struct stat st;

        /* O_NONBLOCK: opening a FIFO must not wait for a writer. */
        fd = open_beneath(dirfd, path, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0);
        if (fd < 0)
                return fd;

        if (fstat(fd, &st) < 0)
                return -errno;
        if (!S_ISREG(st.st_mode))
                return S_ISDIR(st.st_mode) ? -EISDIR : -EBADFD;

        return read_full_fd(fd, max, ret, ret_size);
}

int write_file_beneath(int dirfd, const char *path, const void *data, size_t size, mode_t mode) {
        _cleanup_close_ int parent = -EBADF, fd = -EBADF;
        _cleanup_free_ char *temporary = NULL;
        const char *name;
        uint64_t suffix;
        int r;

        parent = open_parent_beneath(dirfd, path, &name);
        if (parent < 0)
                return parent;

        if (getrandom(&suffix, sizeof(suffix), 0) < 0)
                return -errno;
        if (asprintf(&temporary, ".#%s.%016" PRIx64, name, suffix) < 0) {
                temporary = NULL;
                return -ENOMEM;
        }

        fd = open_beneath(parent, temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, mode);
        if (fd < 0)
                return fd;

        r = loop_write(fd, data, size);
        if (r < 0)
                goto fail;

        /* The mode that was asked for, whatever the umask. */
        if (fchmod(fd, mode) < 0 || fsync(fd) < 0 || renameat(parent, temporary, parent, name) < 0) {
                r = -errno;
                goto fail;
        }

        if (fsync(parent) < 0)
                return -errno;

        return 0;

fail:
        (void) unlinkat(parent, temporary, 0);
        return r;
}

static int rm_rf_children(int fd, dev_t device, unsigned depth);

static int rm_rf_one(int dirfd, const char *name, dev_t device, unsigned depth) {
        _cleanup_close_ int fd = -EBADF;
        struct stat st;
        int r;

        if (unlinkat(dirfd, name, 0) >= 0 || errno == ENOENT)
                return 0;
        if (!IN_SET(errno, EISDIR, EPERM))
                return -errno;

        fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0)
                return errno == ENOENT ? 0 : -errno;
        if (fstat(fd, &st) < 0)
                return -errno;
        if (st.st_dev != device)
                return -EXDEV;
        if (depth >= RM_RF_DEPTH_MAX)
                return -ELOOP;

        /* A folder without write permission would keep its children. */
        if ((st.st_mode & S_IRWXU) != S_IRWXU && fchmod(fd, st.st_mode | S_IRWXU) < 0)
                return -errno;

        r = rm_rf_children(fd, device, depth + 1);
        if (r < 0)
                return r;

        if (unlinkat(dirfd, name, AT_REMOVEDIR) < 0 && errno != ENOENT)
                return -errno;

        return 0;
}

static int rm_rf_children(int fd, dev_t device, unsigned depth) {
        _cleanup_closedir_ DIR *d = NULL;
        int copy, ret = 0;

        copy = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (copy < 0)
                return -errno;

        d = fdopendir(copy);
        if (!d) {
                int r = -errno;

                safe_close(copy);
                return r;
        }

        for (;;) {
                struct dirent *de;
                int r;

                errno = 0;
                de = readdir(d);
                if (!de)
                        return errno > 0 && ret == 0 ? -errno : ret;
                if (streq(de->d_name, ".") || streq(de->d_name, ".."))
                        continue;

                /* Go on after a failure: remove as much as can be, report the first cause. */
                r = rm_rf_one(fd, de->d_name, device, depth);
                if (r < 0 && ret == 0)
                        ret = r;
        }
}

int rm_rf_at(int dirfd, const char *name) {
        struct stat st;

        if (isempty(name) || strchr(name, '/') || streq(name, ".") || streq(name, ".."))
                return -EINVAL;

        if (fstat(dirfd, &st) < 0)
                return -errno;

        return rm_rf_one(dirfd, name, st.st_dev, 0);
}

int rm_rf_beneath(int dirfd, const char *path) {
        _cleanup_close_ int parent = -EBADF;
        const char *name;

        parent = open_parent_beneath(dirfd, path, &name);
        if (parent < 0)
                return parent == -ENOENT ? 0 : parent;

        return rm_rf_at(parent, name);
}
