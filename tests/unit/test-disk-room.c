/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <fcntl.h>
#include <sys/statvfs.h>

#include "disk-room.h"
#include "fd-util.h"
#include "test.h"

START_TEST(what_fits_is_let_in) {
        _cleanup_close_ int fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);

        ASSERT_OK(disk_check_room(fd, "/", 1, "Make room.", NULL));
        ASSERT_OK(disk_check_entries(fd, "/", 1, NULL));
}
END_TEST

START_TEST(what_does_not_fit_is_told) {
        _cleanup_close_ int fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
        _cleanup_error_ Error error = {};

        ASSERT_ERROR(disk_check_room(fd, "/there", UINT64_MAX, "Make room.", &error), ENOSPC);
        ck_assert_str_eq(error.name, CCP_ERROR_NO_SPACE);
        ck_assert_ptr_nonnull(strstr(error.message, "more in /there: "));
        ck_assert_ptr_nonnull(strstr(error.message, "are kept for others. Make room."));
}
END_TEST

START_TEST(some_of_it_is_kept) {
        _cleanup_close_ int fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
        struct statvfs s;
        uint64_t there;

        ck_assert_int_eq(fstatvfs(fd, &s), 0);
        there = (uint64_t) s.f_bavail * s.f_frsize;
        ASSERT_ERROR(disk_check_room(fd, "/", there, "", NULL), ENOSPC);
}
END_TEST

TESTS("disk-room", what_fits_is_let_in, what_does_not_fit_is_told, some_of_it_is_kept)
