/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <sys/statvfs.h>

#include "alloc-util.h"
#include "disk-use.h"
#include "string-util.h"
#include "test.h"

#define GIB_OF_BLOCKS 262144U

static void check_use(const struct statvfs *s, unsigned percent, const char *expected) {
        _cleanup_free_ char *text = NULL;
        DiskUse u = {};

        disk_use_count(s, &u);
        text = disk_use_describe(&u);
        ck_assert_uint_eq(u.percent, percent);
        ck_assert_str_eq(text, expected);
}

START_TEST(a_disk_is_as_full_as_df_says) {
        struct statvfs s = {
                .f_frsize = 4096,
                .f_blocks = 20 * GIB_OF_BLOCKS,
                .f_bfree = 3 * GIB_OF_BLOCKS,
                .f_bavail = 2 * GIB_OF_BLOCKS,
        };

        /* A GiB is kept for root. */
        check_use(&s, 90, "90 % of its 20.0 GiB are used, 2.0 GiB are left");

        /* What has no inodes to count has no lack of them. */
        s.f_files = 1000;
        s.f_ffree = s.f_favail = 90;
        check_use(&s, 91, "91 % of its 1000 inodes are used");
        s.f_ffree = s.f_favail = 1000;
        check_use(&s, 90, "90 % of its 20.0 GiB are used, 2.0 GiB are left");

        s.f_bfree = s.f_bavail = 0;
        check_use(&s, 100, "100 % of its 20.0 GiB are used, 0.0 GiB are left");
        check_use(&(struct statvfs) {}, 0, "0 % of its 0.0 GiB are used, 0.0 GiB are left");
        /* Some count what is free as they like. */
        check_use(&(struct statvfs) { .f_frsize = 1, .f_blocks = 1, .f_bfree = 2, .f_bavail = 2 }, 0,
                        "0 % of its 0.0 GiB are used, 0.0 GiB are left");
}
END_TEST

START_TEST(each_file_system_is_counted_once) {
        DiskUse l[DISK_USE_MAX];
        unsigned n_docker = 0;
        size_t n;

        n = disk_use_read("/proc", l);
        ck_assert_uint_ge(n, 1);
        for (size_t i = 0; i < n; i++)
                n_docker += streq(l[i].path, "/proc");
        ck_assert_uint_eq(n_docker, 1);
        disk_use_done(l, n);

        n = disk_use_read("/nowhere", l);
        for (size_t i = 0; i < n; i++)
                ck_assert_str_ne(l[i].path, "/nowhere");
        disk_use_done(l, n);
}
END_TEST

TESTS("disk-use", a_disk_is_as_full_as_df_says, each_file_system_is_counted_once)
