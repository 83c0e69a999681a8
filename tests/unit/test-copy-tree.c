/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "alloc-util.h"
#include "copy-tree.h"
#include "fd-util.h"
#include "fs-util.h"
#include "string-util.h"
#include "test.h"

static char top[32];
static int top_fd = -EBADF, from_fd = -EBADF, to_fd = -EBADF;
static unsigned n_polls;
static int poll_result;
static double last_fraction;

/* For others too: one test is somebody else. */
static int make_folder(const char *name) {
        int fd;

        ASSERT_OK(mkdirat(top_fd, name, 0755));
        ASSERT_OK(fchmodat(top_fd, name, 0755, 0));
        fd = openat(top_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        ASSERT_OK(fd);
        return fd;
}

static void begin(void) {
        memcpy(top, "/tmp/test-copy-tree.XXXXXX", sizeof("/tmp/test-copy-tree.XXXXXX"));
        ck_assert_ptr_nonnull(mkdtemp(top));
        ASSERT_OK(chmod(top, 0755));
        top_fd = open(top, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        ASSERT_OK(top_fd);
        from_fd = make_folder("from");
        to_fd = make_folder("to");
        n_polls = 0;
        poll_result = 0;
}

static void end(void) {
        _cleanup_close_ int tmp_fd = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        from_fd = safe_close(from_fd);
        to_fd = safe_close(to_fd);
        top_fd = safe_close(top_fd);
        ASSERT_OK(rm_rf_at(tmp_fd, top + STRLEN("/tmp/")));
}

static void put(const char *path, const char *text, mode_t mode) {
        ASSERT_OK(mkdir_parents_beneath(from_fd, path, 0755));
        ASSERT_OK(write_file_beneath(from_fd, path, text, strlen(text), mode));
}

static bool exists(const char *path) {
        return faccessat(to_fd, path, F_OK, AT_SYMLINK_NOFOLLOW) >= 0;
}

static int on_poll(double fraction, void *userdata _unused_) {
        n_polls++;
        if (fraction >= 0) {
                ck_assert(fraction >= last_fraction);
                last_fraction = fraction;
        }
        return poll_result;
}

static int copy(char *const *exclude, char **ret_path) {
        last_fraction = -1;
        return copy_tree(from_fd, to_fd, &(CopyTreeOptions) { .exclude = exclude, .poll = on_poll },
                        ret_path);
}

START_TEST(files_keep_content_mode_and_time) {
        const struct timespec times[] = { { .tv_sec = 1 }, { .tv_sec = 1234567890 } };
        _cleanup_free_ char *text = NULL, *path = NULL;
        struct stat st;

        begin();
        put("a/b/code.c", "int x;\n", 0640);
        put("a/run", "x", 04755);
        put("a/locked", "x", 0050);
        put("empty", "", 0644);
        ASSERT_OK(mkdirat(from_fd, "bare", 0700));
        ASSERT_OK(fchmodat(from_fd, "bare", 01770, 0));
        ASSERT_OK(utimensat(from_fd, "a/run", times, 0));
        ASSERT_OK(utimensat(from_fd, "a", times, 0));
        ck_assert_int_eq(copy(NULL, &path), 0);
        ck_assert_ptr_null(path);

        ASSERT_OK(read_file_beneath(to_fd, "a/b/code.c", 100, &text, NULL));
        ck_assert_str_eq(text, "int x;\n");
        ASSERT_OK(fstatat(to_fd, "a/b/code.c", &st, 0));
        ck_assert_uint_eq(st.st_mode & 07777, 0640);
        ASSERT_OK(fstatat(to_fd, "a/run", &st, 0));
        ck_assert_uint_eq(st.st_mode & 07777, 0755);
        ck_assert_int_eq(st.st_mtim.tv_sec, 1234567890);
        ASSERT_OK(fstatat(to_fd, "a", &st, 0));
        ck_assert_int_eq(st.st_mtim.tv_sec, 1234567890);
        ASSERT_OK(fstatat(to_fd, "a/locked", &st, 0));
        ck_assert_uint_eq(st.st_mode & 07777, 0750);
        ASSERT_OK(fstatat(to_fd, "bare", &st, 0));
        ck_assert_uint_eq(st.st_mode & 07777, 0770);
        ASSERT_OK(fstatat(to_fd, "empty", &st, 0));
        ck_assert_int_eq(st.st_size, 0);
        ck_assert(n_polls >= 2 * 8);
        ck_assert(last_fraction > 0.9 && last_fraction <= 1);
        end();
}
END_TEST

START_TEST(large_files_are_copied_whole) {
        _cleanup_free_ char *path = NULL, *data = NULL, *back = NULL;
        size_t size = 20 * 1024 * 1024 + 1, back_size;

        begin();
        data = malloc(size);
        ck_assert_ptr_nonnull(data);
        for (size_t i = 0; i < size; i++)
                data[i] = (char) (i * 31 >> 7);
        ASSERT_OK(write_file_beneath(from_fd, "big", data, size, 0600));
        ck_assert_int_eq(copy(NULL, &path), 0);
        ASSERT_OK(read_file_beneath(to_fd, "big", size, &back, &back_size));
        ck_assert_uint_eq(back_size, size);
        ck_assert(memcmp(data, back, size) == 0);
        ck_assert_uint_gt(n_polls, 3);
        end();
}
END_TEST

START_TEST(patterns_are_left_out) {
        static char *const exclude[] = { (char *) "node_modules", (char *) "*.log", (char *) "/build",
                (char *) "docs/*.pdf", (char *) "cache/", NULL };
        _cleanup_free_ char *path = NULL;

        begin();
        put("node_modules/a", "x", 0644);
        put("deep/node_modules/a", "x", 0644);
        put("deep/.hidden.log", "x", 0644);
        put("build/a", "x", 0644);
        put("deep/build/a", "x", 0644);
        put("docs/a.pdf", "x", 0644);
        put("docs/deep/a.pdf", "x", 0644);
        put("cache/a", "x", 0644);
        put("deep/cache", "a file", 0644);
        ck_assert_int_eq(copy(exclude, &path), 0);
        ck_assert(!exists("node_modules"));
        ck_assert(!exists("deep/node_modules"));
        ck_assert(!exists("deep/.hidden.log"));
        ck_assert(!exists("build"));
        ck_assert(exists("deep/build/a"));
        ck_assert(!exists("docs/a.pdf"));
        ck_assert(exists("docs/deep/a.pdf"));
        ck_assert(!exists("cache"));
        ck_assert(exists("deep/cache"));
        end();
}
END_TEST

START_TEST(links_stay_links_and_none_leads_out) {
        static const struct {
                const char *text;
                bool kept;
        } links[] = {
                { "file", true },
                { "nowhere", true },
                { "../top", true },
                { "../deep/file", true },
                { "..", true },
                { "..file", true },
                { "file/..file", true },
                { "/etc/passwd", false },
                { "../../elsewhere", false },
                { "../..", false },
                { "..//../elsewhere", false },
                { "sub/../../../elsewhere", false },
                { "./../../elsewhere", false },
                { "sub/..", false },
        };

        begin();
        put("top", "x", 0644);
        put("deep/file", "x", 0644);
        FOREACH_ARRAY(l, links, ELEMENTSOF(links)) {
                _cleanup_free_ char *path = NULL;
                char text[64] = {};

                ASSERT_OK(symlinkat(l->text, from_fd, "deep/link"));
                ck_assert_int_eq(copy(NULL, &path), 0);
                ck_assert_msg(exists("deep/link") == l->kept, "%s", l->text);
                if (l->kept) {
                        ck_assert_int_gt(readlinkat(to_fd, "deep/link", text, sizeof(text) - 1), 0);
                        ck_assert_str_eq(text, l->text);
                }
                ASSERT_OK(unlinkat(from_fd, "deep/link", 0));
                ASSERT_OK(rm_rf_at(to_fd, "deep"));
                ASSERT_OK(rm_rf_at(to_fd, "top"));
        }
        end();
}
END_TEST

START_TEST(pipes_and_sockets_are_left_out) {
        _cleanup_free_ char *path = NULL;

        begin();
        put("file", "x", 0644);
        ASSERT_OK(mkfifoat(from_fd, "pipe", 0666));
        ASSERT_OK(mknodat(from_fd, "socket", S_IFSOCK | 0666, 0));
        ck_assert_int_eq(copy(NULL, &path), 0);
        ck_assert(exists("file"));
        ck_assert(!exists("pipe"));
        ck_assert(!exists("socket"));
        end();
}
END_TEST

START_TEST(what_may_not_be_read_is_named) {
        _cleanup_free_ char *file = NULL, *folder = NULL;
        bool root = geteuid() == 0;

        begin();
        put("deep/private", "x", 0);
        if (root) {
                ASSERT_OK(fchown(to_fd, 65534, 65534));
                ASSERT_OK(seteuid(65534));
        }
        ASSERT_ERROR(copy(NULL, &file), EACCES);
        if (root)
                ASSERT_OK(seteuid(0));
        ck_assert_str_eq(file, "deep/private");
        ASSERT_OK(rm_rf_at(to_fd, "deep"));

        ASSERT_OK(fchmodat(from_fd, "deep", 0, 0));
        if (root)
                ASSERT_OK(seteuid(65534));
        ASSERT_ERROR(copy(NULL, &folder), EACCES);
        if (root)
                ASSERT_OK(seteuid(0));
        ck_assert_str_eq(folder, "deep");
        end();
}
END_TEST

START_TEST(a_fault_of_the_target_is_none_of_the_source) {
        _cleanup_free_ char *path = NULL;

        begin();
        put("file", "x", 0644);
        ASSERT_OK(write_file_beneath(to_fd, "file", "", 0, 0644));
        ASSERT_ERROR(copy(NULL, &path), EEXIST);
        ck_assert_ptr_null(path);
        end();
}
END_TEST

START_TEST(deep_trees_are_refused) {
        _cleanup_free_ char *path = NULL;
        _cleanup_string_builder_ StringBuilder b = {};
        _cleanup_free_ char *deep = NULL;
        int fd;

        begin();
        for (unsigned i = 0; i <= COPY_TREE_DEPTH_MAX; i++)
                string_builder_append(&b, "d/");
        ASSERT_OK(string_builder_finish(&b, &deep, NULL));
        fd = mkdir_open_beneath(from_fd, deep, 0755);
        ASSERT_OK(fd);
        safe_close(fd);
        ASSERT_ERROR(copy(NULL, &path), ELOOP);
        ck_assert_uint_eq(strlen(path), 2 * COPY_TREE_DEPTH_MAX + 1);
        end();
}
END_TEST

START_TEST(it_ends_when_it_is_asked_to) {
        _cleanup_free_ char *path = NULL;

        begin();
        put("file", "x", 0644);
        put("other", "x", 0644);
        poll_result = -ECANCELED;
        ASSERT_ERROR(copy(NULL, &path), ECANCELED);
        ck_assert_uint_eq(n_polls, 1);
        end();
}
END_TEST

TESTS("copy-tree", files_keep_content_mode_and_time, large_files_are_copied_whole, patterns_are_left_out,
                links_stay_links_and_none_leads_out, pipes_and_sockets_are_left_out,
                what_may_not_be_read_is_named, a_fault_of_the_target_is_none_of_the_source,
                deep_trees_are_refused, it_ends_when_it_is_asked_to)
