/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "volume-target.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>

#include "alloc-util.h"
#include "fd-util.h"
#include "fs-util.h"
#include "string-util.h"
#include "volume-source.h"

/* Longer paths are walked in pieces: the kernel takes 4095 bytes. */
#define PIECE_MAX 4000U

/* --- errors --- */

int volume_target_fail(int fd, int error, const char *path, uint64_t needed, VolumeError *reterr) {
        struct statvfs s;
        int r;

        error = error < 0 ? -error : error;
        if (error == ENOMEM)
                return volume_error_oom(reterr);
        if (!IN_SET(error, ENOSPC, EDQUOT) || fstatvfs(fd, &s) < 0)
                return volume_error_set_errnof(reterr, error, path, "cannot be written: %m");

        if (s.f_files > 0 && s.f_favail == 0)
                r = volume_error_set_errnof(reterr, error, path, "there is no room for more files: %m");
        else
                r = volume_error_set_errnof(reterr, error, path,
                                "there is no room: %" PRIu64 " bytes are needed, %" PRIu64 " are free: %m",
                                needed, (uint64_t) s.f_bavail * s.f_frsize);
        reterr->needed = needed;
        reterr->available = (uint64_t) s.f_bavail * s.f_frsize;
        reterr->has_space = true;
        return r;
}

/* --- the top --- */

int volume_target_check_empty(int fd) {
        _cleanup_volume_names_ VolumeNames names = {};
        int r;

        r = volume_names_read(fd, &names);
        if (r < 0)
                return r;

        return names.n > 0 ? -ENOTEMPTY : 0;
}

int volume_target_prepare(int fd) {
        _cleanup_volume_report_ VolumeReport ignored = {};
        _cleanup_volume_entry_ VolumeEntry e = { .type = VOLUME_FOLDER };
        int r;

        e.name = strdup("./");
        if (!e.name)
                return -ENOMEM;
        r = volume_xattrs_read(fd, &e, &ignored);
        if (r < 0)
                return r;
        FOREACH_ARRAY(x, e.xattrs, e.n_xattrs)
                if (fremovexattr(fd, x->name) < 0 && errno != ENODATA)
                        return -errno;

        return fchmod(fd, 0700) < 0 ? -errno : 0;
}

/* --- owner, attributes, mode, time --- */

static int set_xattrs(int fd, const VolumeEntry *e, bool acls, VolumeError *reterr) {
        FOREACH_ARRAY(x, e->xattrs, e->n_xattrs) {
                _cleanup_free_ char *name = NULL;

                if (acls != !!startswith(x->name, "system."))
                        continue;
                if (fsetxattr(fd, x->name, x->value, x->size, XATTR_CREATE) >= 0)
                        continue;
                if (IN_SET(errno, ENOSPC, EDQUOT))
                        return volume_target_fail(fd, errno, e->name, x->size, reterr);

                name = volume_escape(x->name);
                return volume_error_setf(reterr,
                                errno == EOPNOTSUPP ? VOLUME_ERROR_UNSUPPORTED : VOLUME_ERROR_FAILED,
                                e->name, "the attribute %s cannot be set: %m", strempty(name));
        }

        return 0;
}

/* Some file systems round times, or have an end of time, and do not say so. */
static void check_time(const VolumeEntry *e, const struct stat *st, VolumeReport *report) {
        if (st->st_mtim.tv_sec != e->mtime.tv_sec || st->st_mtim.tv_nsec != e->mtime.tv_nsec)
                volume_report_add_skipped(report, e->name, "its time is not kept");
}

static bool has_owner_and_mode(const VolumeEntry *e, const struct stat *st) {
        return st->st_uid == e->uid && st->st_gid == e->gid && (st->st_mode & 07777) == e->mode;
}

static int check(const VolumeEntry *e, const struct stat *st, VolumeReport *report, VolumeError *reterr) {
        if (!has_owner_and_mode(e, st))
                return volume_error_setf(reterr, VOLUME_ERROR_FAILED, e->name,
                                "the file system does not keep its owner or mode");

        check_time(e, st, report);
        return 0;
}

int volume_target_finish(int fd, const VolumeEntry *e, VolumeReport *report, VolumeError *reterr) {
        const struct timespec times[] = { { .tv_nsec = UTIME_OMIT }, e->mtime };
        struct stat st;
        int r;

        if (fchown(fd, e->uid, e->gid) < 0)
                return volume_error_set_errnof(reterr, errno, e->name,
                                "cannot be given to user %" PRIu32 ", group %" PRIu32 ": %m", e->uid,
                                e->gid);
        /* An ACL changes the mode, which could then forbid the owner to set more. */
        r = set_xattrs(fd, e, false, reterr);
        if (r >= 0)
                r = set_xattrs(fd, e, true, reterr);
        if (r < 0)
                return r;
        if (fchmod(fd, e->mode) < 0)
                return volume_error_set_errnof(
                                reterr, errno, e->name, "cannot have the mode %04o: %m", (unsigned) e->mode);
        if (futimens(fd, times) < 0)
                return volume_error_set_errnof(reterr, errno, e->name, "cannot have its time: %m");
        if (fstat(fd, &st) < 0)
                return volume_target_fail(fd, errno, e->name, 0, reterr);

        return check(e, &st, report, reterr);
}

/* --- links --- */

int volume_target_symlink(int dirfd, const char *name, const VolumeEntry *e, VolumeReport *report,
                VolumeError *reterr) {
        const struct timespec times[] = { { .tv_nsec = UTIME_OMIT }, e->mtime };
        struct stat st;

        if (symlinkat(e->link, dirfd, name) < 0)
                return volume_target_fail(dirfd, errno, e->name, 0, reterr);
        if (fchownat(dirfd, name, e->uid, e->gid, AT_SYMLINK_NOFOLLOW) < 0)
                return volume_error_set_errnof(reterr, errno, e->name,
                                "cannot be given to user %" PRIu32 ", group %" PRIu32 ": %m", e->uid,
                                e->gid);
        if (utimensat(dirfd, name, times, AT_SYMLINK_NOFOLLOW) < 0)
                return volume_error_set_errnof(reterr, errno, e->name, "cannot have its time: %m");
        if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
                return volume_target_fail(dirfd, errno, e->name, 0, reterr);

        return check(e, &st, report, reterr);
}

/* As many whole components as fit. */
static size_t piece_size(const char *path, size_t size) {
        size_t n = MIN(size, (size_t) PIECE_MAX);

        while (n < size && path[n] != '/')
                n--;

        return n;
}

/* Opens the folder that holds the last component, which begins at 'size'. */
static int open_parent(int top, const char *path, size_t size) {
        _cleanup_close_ int fd = -EBADF;

        fd = open_beneath_mount(top, ".", O_PATH | O_DIRECTORY);
        if (fd < 0)
                return fd;

        for (size_t i = 0, n; i < size; i += n + 1) {
                _cleanup_free_ char *piece = NULL;
                int next;

                n = piece_size(path + i, size - 1 - i);
                piece = strndup(path + i, n);
                if (!piece)
                        return -ENOMEM;
                next = open_beneath_mount(fd, piece, O_PATH | O_DIRECTORY);
                if (next < 0)
                        return next;

                safe_close(fd);
                fd = next;
        }

        return TAKE_FD(fd);
}

int volume_target_hard_link(int top, int dirfd, const char *name, const VolumeEntry *e, VolumeReport *report,
                VolumeError *reterr) {
        _cleanup_close_ int parent = -EBADF;
        const char *target = strrchr(e->link, '/') + 1;
        struct stat st;
        int r;

        parent = open_parent(top, e->link, (size_t) (target - e->link));
        r = parent < 0 ? parent : 0;
        if (r >= 0 && fstatat(parent, target, &st, AT_SYMLINK_NOFOLLOW) < 0)
                r = -errno;
        if (IN_SET(r, -ENOENT, -ENOTDIR, -ELOOP, -EXDEV))
                return volume_error_setf(reterr, VOLUME_ERROR_DAMAGED, e->name,
                                "it links to a file that does not come before it");
        if (r < 0)
                return volume_target_fail(dirfd, r, e->name, 0, reterr);
        if (!S_ISREG(st.st_mode))
                return volume_error_setf(reterr, VOLUME_ERROR_DAMAGED, e->name,
                                "it links to something that is no file");
        if (!has_owner_and_mode(e, &st))
                return volume_error_setf(reterr, VOLUME_ERROR_DAMAGED, e->name,
                                "its owner or mode are not those of the file that it links to");

        if (linkat(parent, target, dirfd, name, 0) < 0)
                return volume_target_fail(dirfd, errno, e->name, 0, reterr);
        check_time(e, &st, report);
        return 0;
}
