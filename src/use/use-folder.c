/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "use-folder.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "fd-util.h"
#include "fs-util.h"
#include "string-util.h"

/* What st_blocks counts in, whatever the file system's own blocks are. */
#define BLOCK_SIZE 512U

static void measure_children(FolderSize *s, int fd, dev_t device, unsigned depth);

static void add(FolderSize *s, const struct stat *st) {
        s->entries++;
        s->bytes += (uint64_t) st->st_blocks * BLOCK_SIZE /
                        MAX(S_ISDIR(st->st_mode) ? 1U : st->st_nlink, 1U);
}

static void measure_folder(FolderSize *s, int parent, const char *name, dev_t device, unsigned depth) {
        int fd;

        fd = depth < FOLDER_DEPTH_MAX
                        ? openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC)
                        : -1;
        if (fd >= 0)
                measure_children(s, fd, device, depth);
        /* What is gone meanwhile takes nothing. */
        else if (depth >= FOLDER_DEPTH_MAX || errno != ENOENT)
                s->incomplete = true;
}

/* Takes the descriptor: the stream has it up to its end. */
static void measure_children(FolderSize *s, int fd, dev_t device, unsigned depth) {
        _cleanup_closedir_ DIR *d = NULL;
        struct dirent *e;

        d = fdopendir(fd);
        if (!d) {
                safe_close(fd);
                s->incomplete = true;
                return;
        }

        while ((errno = 0, e = readdir(d))) {
                struct stat st;

                if (streq(e->d_name, ".") || streq(e->d_name, ".."))
                        continue;
                if (s->entries >= FOLDER_ENTRIES_MAX) {
                        s->incomplete = true;
                        return;
                }
                if (fstatat(fd, e->d_name, &st, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT) < 0) {
                        s->incomplete = s->incomplete || errno != ENOENT;
                        continue;
                }
                if (st.st_dev != device)
                        continue;

                add(s, &st);
                if (S_ISDIR(st.st_mode))
                        measure_folder(s, fd, e->d_name, device, depth + 1);
        }
        if (errno != 0)
                s->incomplete = true;
}

int folder_measure(int dirfd, const char *name, FolderSize *ret) {
        _cleanup_close_ int fd = -EBADF;
        struct stat st;

        *ret = (FolderSize) {};
        fd = open_beneath(dirfd, name, O_RDONLY | O_DIRECTORY, 0);
        if (fd < 0)
                return fd;
        if (fstat(fd, &st) < 0)
                return -errno;

        add(ret, &st);
        measure_children(ret, TAKE_FD(fd), st.st_dev, 0);
        return 0;
}
