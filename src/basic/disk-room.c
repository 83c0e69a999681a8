/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "disk-room.h"

#include <errno.h>
#include <inttypes.h>
#include <sys/statvfs.h>

#include "ccp/macro.h"
#include "ccp/names.h"

/* So much of a disk stays free: one part of it, and this at most. */
#define KEPT_FREE_PART 20U
#define KEPT_FREE_MAX (UINT64_C(1024) * 1024U * 1024U)

static int look(int fd, const char *where, struct statvfs *ret, Error *reterr) {
        return fstatvfs(fd, ret) < 0 ? error_set_errnof(reterr, errno,
                                                       "Cannot tell how much room there is in %s: %m", where)
                                     : 0;
}

int disk_check_room(int fd, const char *where, uint64_t size, const char *advice, Error *reterr) {
        uint64_t there, kept;
        struct statvfs s;
        int r;

        r = look(fd, where, &s, reterr);
        if (r < 0)
                return r;
        there = (uint64_t) s.f_bavail * s.f_frsize;
        kept = MIN((uint64_t) s.f_blocks * s.f_frsize / KEPT_FREE_PART, KEPT_FREE_MAX);
        if (there >= kept && there - kept >= size)
                return 0;
        return error_setf(reterr, CCP_ERROR_NO_SPACE,
                        "There is no room for %" PRIu64 " MiB more in %s: %" PRIu64
                        " MiB are free, of which %" PRIu64 " MiB are kept for others. %s",
                        (size + 1024 * 1024 - 1) / 1024 / 1024, where, there / 1024 / 1024,
                        kept / 1024 / 1024, advice);
}

int disk_check_entries(int fd, const char *where, uint64_t n, Error *reterr) {
        struct statvfs s;
        int r;

        r = look(fd, where, &s, reterr);
        if (r < 0)
                return r;
        /* Some file systems make inodes as they need them, and count none. */
        if (s.f_files == 0 || s.f_favail >= n + s.f_files / KEPT_FREE_PART)
                return 0;
        return error_setf(reterr, CCP_ERROR_NO_SPACE,
                        "There is no room for %" PRIu64
                        " files more in %s, where the file system has %" PRIu64
                        " inodes left. Remove small files there.",
                        n, where, (uint64_t) s.f_favail);
}
