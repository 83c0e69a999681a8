/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "alloc-util.h"
#include "fd-util.h"
#include "fs-util.h"
#include "test.h"

static int open_scratch(char template[static 32]) {
        int fd;

        memcpy(template, "/tmp/test-fs-util.XXXXXX", sizeof("/tmp/test-fs-util.XXXXXX"));
        ck_assert_ptr_nonnull(mkdtemp(template));
        fd = open(template, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        ASSERT_OK(fd);
        return fd;
}

static void remove_scratch(const char *path) {
        _cleanup_close_ int tmp = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        ASSERT_OK(rm_rf_at(tmp, path + STRLEN("/tmp/")));
        ck_assert_int_lt(access(path, F_OK), 0);
}

START_TEST(files_are_written_whole_with_their_mode) {
        char path[32];
        _cleanup_close_ int dir = open_scratch(path);
        _cleanup_free_ char *s = NULL;
        struct stat st;
        size_t n;

        ASSERT_OK(mkdir_parents_beneath(dir, "a/b/c.env", 0700));
        ASSERT_OK(write_file_beneath(dir, "a/b/c.env", "KEY=1\n", 6, 0600));
        ASSERT_OK(write_file_beneath(dir, "a/b/c.env", "KEY=22\n", 7, 0600));
        ASSERT_OK(read_file_beneath(dir, "a/b/c.env", 100, &s, &n));
        ck_assert_str_eq(s, "KEY=22\n");
        ck_assert_int_eq(fstatat(dir, "a/b/c.env", &st, 0), 0);
        ck_assert_uint_eq(st.st_mode & 07777, 0600);
        ck_assert_int_eq(fstatat(dir, "a", &st, 0), 0);
        ck_assert_uint_eq(st.st_mode & 07777, 0700);
        remove_scratch(path);
}
END_TEST

START_TEST(nothing_leads_out) {
        char path[32];
        _cleanup_close_ int dir = open_scratch(path);
        _cleanup_free_ char *s = NULL;

        ck_assert_int_eq(symlinkat("/etc", dir, "out"), 0);
        ck_assert_int_eq(symlinkat("/etc/passwd", dir, "file"), 0);
        ck_assert_int_lt(write_file_beneath(dir, "out/x", "", 0, 0600), 0);
        ck_assert_int_lt(write_file_beneath(dir, "../x", "", 0, 0600), 0);
        ck_assert_int_lt(write_file_beneath(dir, "/tmp/x", "", 0, 0600), 0);
        ck_assert_int_lt(mkdir_parents_beneath(dir, "a/../../x/y", 0700), 0);
        ASSERT_ERROR(read_file_beneath(dir, "file", 10000, &s, NULL), ELOOP);
        ASSERT_ERROR(read_file_beneath(dir, "../../etc/passwd", 10000, &s, NULL), EXDEV);
        remove_scratch(path);
        ck_assert_int_eq(access("/etc/passwd", R_OK), 0);
}
END_TEST

START_TEST(another_mount_can_be_refused) {
        _cleanup_close_ int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC), proc = -EBADF, tmp = -EBADF;

        proc = open_beneath(root, "proc/self/task", O_RDONLY | O_DIRECTORY, 0);
        ck_assert_int_lt(proc, 0); /* by a link */
        proc = open_beneath(root, "proc", O_RDONLY | O_DIRECTORY, 0);
        ASSERT_OK(proc);
        ASSERT_ERROR(open_beneath_mount(root, "proc", O_RDONLY | O_DIRECTORY), EXDEV);
        tmp = open_beneath_mount(proc, "sys", O_RDONLY | O_DIRECTORY);
        ASSERT_OK(tmp);
}
END_TEST

START_TEST(paths_are_removed) {
        char path[32];
        _cleanup_close_ int dir = open_scratch(path);

        ASSERT_OK(mkdir_parents_beneath(dir, "a/b/c/d", 0700));
        ck_assert_int_eq(symlinkat("a", dir, "link"), 0);
        ASSERT_OK(rm_rf_beneath(dir, "a/b/c"));
        ck_assert_int_lt(faccessat(dir, "a/b/c", F_OK, 0), 0);
        ck_assert_int_eq(faccessat(dir, "a/b", F_OK, 0), 0);
        ASSERT_OK(rm_rf_beneath(dir, "not/there"));
        ck_assert_int_lt(rm_rf_beneath(dir, "link/b"), 0);
        ck_assert_int_lt(rm_rf_beneath(dir, "a/.."), 0);
        remove_scratch(path);
}
END_TEST

START_TEST(the_disk_keeps_up_with_who_writes) {
        const off_t mib = 1024 * 1024;
        _cleanup_close_ int fd = -EBADF;
        uint64_t flushed = 0;
        int fds[2];

        fd = memfd_create("large", MFD_CLOEXEC);
        ck_assert_int_ge(fd, 0);
        ck_assert_int_eq(lseek(fd, 31 * mib, SEEK_SET), 31 * mib);
        ASSERT_OK(write_behind(fd, &flushed));
        ck_assert_uint_eq(flushed, 0);
        for (off_t size = 40 * mib; size < 200 * mib; size += 40 * mib) {
                ck_assert_int_eq(lseek(fd, size, SEEK_SET), size);
                ASSERT_OK(write_behind(fd, &flushed));
                ck_assert_uint_eq(flushed, (uint64_t) size);
                ASSERT_OK(write_behind(fd, &flushed));
                ck_assert_uint_eq(flushed, (uint64_t) size);
        }

        ck_assert_int_eq(pipe2(fds, O_CLOEXEC), 0);
        ASSERT_ERROR(write_behind(fds[1], &flushed), ESPIPE);
        safe_close(fds[0]);
        safe_close(fds[1]);
}
END_TEST

START_TEST(large_and_odd_files_are_refused) {
        char path[32];
        _cleanup_close_ int dir = open_scratch(path);
        _cleanup_free_ char *s = NULL;

        ASSERT_OK(write_file_beneath(dir, "f", "12345", 5, 0600));
        ASSERT_ERROR(read_file_beneath(dir, "f", 4, &s, NULL), EFBIG);
        ck_assert_int_eq(mkfifoat(dir, "pipe", 0600), 0);
        ASSERT_ERROR(read_file_beneath(dir, "pipe", 4, &s, NULL), EBADFD);
        ASSERT_ERROR(rm_rf_at(dir, ".."), EINVAL);
        ASSERT_ERROR(rm_rf_at(dir, "a/b"), EINVAL);
        ASSERT_OK(rm_rf_at(dir, "not-there"));
        remove_scratch(path);
}
END_TEST

TESTS("fs-util", files_are_written_whole_with_their_mode, nothing_leads_out, another_mount_can_be_refused,
                paths_are_removed, the_disk_keeps_up_with_who_writes, large_and_odd_files_are_refused)
