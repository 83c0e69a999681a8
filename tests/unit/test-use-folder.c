/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "use-folder.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "alloc-util.h"
#include "fd-util.h"
#include "fs-util.h"
#include "string-util.h"
#include "test.h"

#define MEBIBYTE (1024U * 1024U)

static char top[32];
static int top_fd = -EBADF;

static void begin(void) {
        memcpy(top, "/tmp/test-use-folder.XXXXXX", sizeof("/tmp/test-use-folder.XXXXXX"));
        ck_assert_ptr_nonnull(mkdtemp(top));
        top_fd = open(top, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        ASSERT_OK(top_fd);
        ASSERT_OK(mkdirat(top_fd, "a", 0755));
}

static void end(void) {
        _cleanup_close_ int tmp_fd = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        top_fd = safe_close(top_fd);
        ASSERT_OK(rm_rf_at(tmp_fd, top + STRLEN("/tmp/")));
}

static void put(const char *path, size_t size) {
        _cleanup_free_ char *data = new0(char, size);

        memset(data, 'x', size);
        ASSERT_OK(write_file_beneath(top_fd, path, data, size, 0644));
}

START_TEST(all_that_lies_in_a_folder_counts) {
        FolderSize empty, size;

        begin();
        ASSERT_OK(folder_measure(top_fd, "a", &empty));
        ASSERT_OK(mkdirat(top_fd, "a/b", 0755));
        ASSERT_OK(mkdirat(top_fd, "a/b/c", 0755));
        put("a/file", MEBIBYTE);
        put("a/b/c/file", MEBIBYTE);
        put("outside", MEBIBYTE);
        ASSERT_OK(folder_measure(top_fd, "a", &size));
        ck_assert_uint_ge(size.bytes, empty.bytes + 2 * MEBIBYTE);
        ck_assert_uint_lt(size.bytes, empty.bytes + 3 * MEBIBYTE);
        ck_assert_uint_eq(size.entries, 5);
        ck_assert(!size.incomplete);
        end();
}
END_TEST

START_TEST(no_link_is_followed_and_names_count_once) {
        FolderSize size;

        begin();
        put("outside", MEBIBYTE);
        ASSERT_OK(symlinkat("../outside", top_fd, "a/link"));
        ASSERT_OK(symlinkat("..", top_fd, "a/up"));
        ASSERT_OK(symlinkat("/proc", top_fd, "a/proc"));
        ASSERT_OK(folder_measure(top_fd, "a", &size));
        ck_assert_uint_lt(size.bytes, MEBIBYTE);
        ck_assert(!size.incomplete);

        put("a/one", MEBIBYTE);
        ASSERT_OK(linkat(top_fd, "a/one", top_fd, "a/two", 0));
        ASSERT_OK(folder_measure(top_fd, "a", &size));
        ck_assert_uint_ge(size.bytes, MEBIBYTE);
        ck_assert_uint_lt(size.bytes, 2 * MEBIBYTE);
        end();
}
END_TEST

START_TEST(a_folder_outside_or_absent_is_refused) {
        FolderSize size;

        begin();
        ASSERT_ERROR(folder_measure(top_fd, "absent", &size), ENOENT);
        ASSERT_ERROR(folder_measure(top_fd, "..", &size), EXDEV);
        ASSERT_OK(symlinkat("a", top_fd, "link"));
        ASSERT_ERROR(folder_measure(top_fd, "link", &size), ELOOP);
        put("file", 1);
        ASSERT_ERROR(folder_measure(top_fd, "file", &size), ENOTDIR);
        end();
}
END_TEST

START_TEST(what_is_too_deep_is_left_out) {
        _cleanup_close_ int fd = -EBADF;
        FolderSize size;

        begin();
        fd = openat(top_fd, "a", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        for (unsigned i = 0; i < FOLDER_DEPTH_MAX + 3; i++) {
                int next;

                ASSERT_OK(mkdirat(fd, "d", 0755));
                next = openat(fd, "d", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
                ASSERT_OK(next);
                safe_close(fd);
                fd = next;
        }
        ASSERT_OK(folder_measure(top_fd, "a", &size));
        ck_assert(size.incomplete);
        ck_assert_uint_eq(size.entries, FOLDER_DEPTH_MAX + 1);
        end();
}
END_TEST

TESTS("use-folder", all_that_lies_in_a_folder_counts, no_link_is_followed_and_names_count_once,
                a_folder_outside_or_absent_is_refused, what_is_too_deep_is_left_out)
