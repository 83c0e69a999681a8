/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "volume-source.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/limits.h>
#include <stdio.h>
#include <sys/xattr.h>

#include "alloc-util.h"
#include "fd-util.h"
#include "string-util.h"
#include "tar-header.h"

/* --- names --- */

void volume_names_done(VolumeNames *n) {
        free(n->data);
        free(n->names);
        *n = (VolumeNames) {};
}

static int compare_names(const void *a, const void *b) {
        return strcmp(*(const char *const *) a, *(const char *const *) b);
}

/* The names behind each other, each with its NUL. */
static int read_names(int fd, char **ret, size_t *ret_n) {
        _cleanup_closedir_ DIR *d = NULL;
        _cleanup_free_ char *data = NULL;
        size_t size = 0, allocated = 0, n_names;
        int copy;

        copy = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (copy < 0)
                return -errno;
        d = fdopendir(copy);
        if (!d) {
                int r = -errno;

                safe_close(copy);
                return r;
        }

        for (n_names = 0;; n_names++) {
                struct dirent *de;
                size_t n;

                do {
                        errno = 0;
                        de = readdir(d);
                } while (de && (streq(de->d_name, ".") || streq(de->d_name, "..")));
                if (!de) {
                        if (errno > 0)
                                return -errno;
                        break;
                }

                n = strlen(de->d_name) + 1;
                if (!GREEDY_REALLOC(data, allocated, size + n))
                        return -ENOMEM;
                memcpy(data + size, de->d_name, n);
                size += n;
        }

        *ret = TAKE_PTR(data);
        *ret_n = n_names;
        return 0;
}

int volume_names_read(int fd, VolumeNames *ret) {
        _cleanup_volume_names_ VolumeNames names = {};
        size_t n = 0;
        int r;

        r = read_names(fd, &names.data, &n);
        if (r < 0)
                return r;

        names.names = new0(const char *, n);
        if (!names.names)
                return -ENOMEM;
        for (const char *s = names.data; names.n < n; s += strlen(s) + 1)
                names.names[names.n++] = s;
        if (n > 1)
                qsort((void *) names.names, n, sizeof(names.names[0]), compare_names);

        /* While others change the folder, one name may be listed twice. */
        if (n > 0)
                names.n = 1;
        for (size_t i = 1; i < n; i++)
                if (!streq(names.names[i], names.names[names.n - 1]))
                        names.names[names.n++] = names.names[i];

        *ret = (VolumeNames) {
                .data = TAKE_PTR(names.data),
                .names = TAKE_PTR(names.names),
                .n = names.n,
        };
        return 0;
}

/* --- extended attributes --- */

#define PROC_FD_PATH_MAX 32U

/* A pipe is not opened, as its writer would go on. */
static ssize_t list_xattrs(int fd, bool path_only, char *list, size_t size) {
        char path[PROC_FD_PATH_MAX];

        if (!path_only)
                return flistxattr(fd, list, size);

        (void) snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
        return listxattr(path, list, size);
}

static ssize_t get_xattr(int fd, bool path_only, const char *name, char *value, size_t size) {
        char path[PROC_FD_PATH_MAX];

        if (!path_only)
                return fgetxattr(fd, name, value, size);

        (void) snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
        return getxattr(path, name, value, size);
}

/* The machine's own: a restored file gets that of where it is restored. */
static bool is_label(const char *name) {
        return startswith(name, "security.") && !streq(name, "security.capability");
}

static int read_xattr(int fd, bool path_only, const char *name, VolumeEntry *e) {
        _cleanup_free_ char *value = NULL;
        ssize_t n;

        value = malloc(XATTR_SIZE_MAX);
        if (!value)
                return -ENOMEM;
        n = get_xattr(fd, path_only, name, value, XATTR_SIZE_MAX);
        if (n < 0)
                /* Removed meanwhile; that changes the file's ctime. */
                return errno == ENODATA ? 0 : -errno;

        return volume_entry_add_xattr(e, name, strlen(name), value, (size_t) n);
}

int volume_xattrs_read(int fd, VolumeEntry *e, VolumeReport *report) {
        bool path_only = e->type == VOLUME_FIFO;
        _cleanup_free_ char *list = NULL;
        char buffer[256];
        const char *names = buffer;
        ssize_t n;
        int r;

        n = list_xattrs(fd, path_only, buffer, sizeof(buffer));
        if (n < 0 && errno == ERANGE) {
                list = malloc(XATTR_LIST_MAX);
                if (!list)
                        return -ENOMEM;
                n = list_xattrs(fd, path_only, list, XATTR_LIST_MAX);
                names = list;
        }
        if (n < 0)
                return IN_SET(errno, EOPNOTSUPP, ENOSYS) ? 0 : -errno;

        for (const char *s = names; s < names + n; s += strlen(s) + 1) {
                if (volume_xattr_is_kept(s)) {
                        r = read_xattr(fd, path_only, s, e);
                        if (r < 0)
                                return r;
                } else if (!is_label(s))
                        volume_report_add_skipped(report, e->name, "the attribute %s is not kept", s);
        }

        volume_entry_sort_xattrs(e);
        return 0;
}

/* --- holes --- */

/* Makes one segment of those with less than that between them. */
static void join_over(VolumeEntry *e, uint64_t gap) {
        size_t n = 0;

        for (size_t i = 1; i < e->n_segments; i++) {
                VolumeSegment *a = e->segments + n, *b = e->segments + i;

                if (b->offset - (a->offset + a->size) < gap)
                        a->size = b->offset + b->size - a->offset;
                else
                        e->segments[++n] = *b;
        }
        e->n_segments = MIN(e->n_segments, n + 1);
}

/* Leaves at most half of them, so that it is not soon to be done again. The gap grows only as long as there
 * is a wider one in the file. */
static void join_segments(VolumeEntry *e, size_t max, uint64_t *gap) {
        for (;;) {
                join_over(e, *gap);
                if (e->n_segments <= MAX(max / 2, (size_t) 1))
                        return;
                *gap *= 2;
        }
}

/* In whole blocks, as others read such archives in blocks. */
static int add_segment(VolumeEntry *e, uint64_t begin, uint64_t end) {
        begin -= begin % TAR_BLOCK;
        end = MIN(end + tar_padding(end), e->size);

        if (e->n_segments > 0) {
                VolumeSegment *last = e->segments + e->n_segments - 1;

                if (begin <= last->offset + last->size) {
                        last->size = end - last->offset;
                        return 0;
                }
        }

        return volume_entry_add_segment(e, begin, end - begin);
}

static int read_segments(int fd, VolumeEntry *e, size_t max) {
        uint64_t gap = TAR_BLOCK;
        off_t begin, end = 0;
        int r;

        while ((uint64_t) end < e->size) {
                begin = lseek(fd, end, SEEK_DATA);
                /* No data from here on, or the file was cut meanwhile. */
                if (begin < 0 && errno == ENXIO)
                        return 0;
                if (begin < 0)
                        return -errno;
                if ((uint64_t) begin >= e->size)
                        return 0;

                end = lseek(fd, begin, SEEK_HOLE);
                if (end < 0)
                        return errno == ENXIO ? 0 : -errno;

                r = add_segment(e, (uint64_t) begin, MIN((uint64_t) end, e->size));
                if (r < 0)
                        return r;
                if (e->n_segments > max)
                        join_segments(e, max, &gap);
        }

        return 0;
}

int volume_segments_read(int fd, VolumeEntry *e, size_t max) {
        int r;

        if (e->size == 0)
                return 0;

        r = read_segments(fd, e, max);
        if (r < 0 && r != -EINVAL && r != -EOPNOTSUPP)
                return r;

        e->sparse = r >= 0 && (e->n_segments != 1 || e->segments[0].size != e->size);
        if (!e->sparse)
                e->n_segments = 0;
        return 0;
}
