/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <sched.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/xattr.h>
#include <time.h>

#include "test-volume.h"
#include "volume-source.h"

#define MIB (1024U * 1024U)

static void touch(const char *path, time_t sec, long nsec) {
        const struct timespec times[] = { { .tv_nsec = UTIME_OMIT }, { .tv_sec = sec, .tv_nsec = nsec } };

        ASSERT_OK(utimensat(from_fd, path, times, AT_SYMLINK_NOFOLLOW));
}

static void check_round_trip(void) {
        _cleanup_volume_report_ VolumeReport packed = {};
        _cleanup_close_ int stream = pack(&(VolumePackOptions) {}, &packed);

        ck_assert_uint_eq(packed.n_changed, 0);
        check_stream(stream, &packed);
}

START_TEST(all_kinds_come_back) {
        begin();
        put_text("file", "content");
        put("empty", "", 0, geteuid() == 0 ? 0 : 0400);
        put("setuid", "#!", 2, 06755);
        put_text("BZhello", "not bzip2");
        put_text("-rf", "");
        put_text("new\nline", "");
        put_text("\xff\xfe", "not UTF-8");
        put_text("ä/ö", "UTF-8");
        put_text("a.b", "sorted after what is in a/");
        put_text("a/x", "");
        put_text("a0", "");
        ASSERT_OK(symlinkat("/nowhere/at/all", from_fd, "link"));
        ASSERT_OK(symlinkat("\xff", from_fd, "link2"));
        ASSERT_OK(mkfifoat(from_fd, "fifo", 0640));
        ASSERT_OK(linkat(from_fd, "file", from_fd, "a/hard", 0));
        ASSERT_OK(linkat(from_fd, "ä/ö", from_fd, "ä/hard", 0));
        ASSERT_OK(mkdirat(from_fd, "sticky", 0777));
        ASSERT_OK(fchmodat(from_fd, "sticky", 03777, 0));
        touch("file", -1, 999999999);
        touch("link", 4102444800, 1);
        touch("a", -86400, 0);
        touch("fifo", 1, 500);
        ASSERT_OK(fchmodat(from_fd, "a", 0555, 0));
        (void) fsetxattr(from_fd, "user.top", "1", 1, 0);
        check_round_trip();
        ASSERT_OK(fchmodat(from_fd, "a", 0755, 0));
        end();
}
END_TEST

START_TEST(owners_beyond_the_header) {
        begin();
        put_text("f", "");
        ASSERT_OK(symlinkat("f", from_fd, "l"));
        if (geteuid() == 0) {
                ASSERT_OK(fchownat(from_fd, "f", 2097152, 4294967294, 0));
                ASSERT_OK(fchownat(from_fd, "l", 100000, 2097151, AT_SYMLINK_NOFOLLOW));
        }
        check_round_trip();
        end();
}
END_TEST

START_TEST(deep_trees) {
        char name[VOLUME_NAME_MAX + 1];
        int fd;

        begin();
        fd = openat(from_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        memset(name, 'd', sizeof(name) - 1);
        name[sizeof(name) - 1] = 0;
        /* Beyond what is kept open, and beyond PATH_MAX. */
        for (unsigned i = 0; i < 200; i++) {
                int next;

                ASSERT_OK(mkdirat(fd, name, 0755));
                if (i % 50 == 0)
                        ASSERT_OK(mkdirat(fd, "side", 0755));
                next = openat(fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
                ASSERT_OK(next);
                (void) safe_close(fd);
                fd = next;
        }
        put_text("a", "linked from far below");
        ASSERT_OK(linkat(from_fd, "a", fd, "hard", 0));
        ASSERT_OK(mkdirat(fd, "x", 0755));
        ASSERT_OK(linkat(from_fd, "a", fd, "x/hard", 0));
        ASSERT_OK(symlinkat("x", fd, "y"));
        ASSERT_OK(linkat(fd, "y", fd, "z", 0));
        (void) safe_close(fd);

        /* A link to a name that is itself deep. */
        ASSERT_OK(unlinkat(from_fd, "a", 0));
        check_round_trip();
        end();
}
END_TEST

static void put_sparse(const char *path, uint64_t size, const uint64_t *offsets, size_t n) {
        _cleanup_close_ int fd = openat(from_fd, path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);

        ASSERT_OK(fd);
        ASSERT_OK(ftruncate(fd, (off_t) size));
        FOREACH_ARRAY(o, offsets, n)
                ck_assert_int_eq(pwrite(fd, "data", 4, (off_t) *o), 4);
}

START_TEST(holes_stay_holes) {
        static const uint64_t middle[] = { 512ULL * 1024U * MIB }, ends[] = { 0, 16 * MIB - 4 },
                              many[] = { 0, MIB, 3 * MIB, 7 * MIB + 5 };
        _cleanup_volume_report_ VolumeReport packed = {};
        _cleanup_close_ int stream = -EBADF;
        struct stat st;

        begin();
        put_sparse("all", 5, NULL, 0);
        put_sparse("tib", 1024ULL * 1024U * MIB, middle, 1);
        put_sparse("ends", 16ULL * MIB, ends, 2);
        put_sparse("many", 8ULL * MIB + 3, many, 4);
        stream = pack(&(VolumePackOptions) {}, &packed);
        check_stream(stream, &packed);

        ASSERT_OK(fstatat(to_fd, "tib", &st, 0));
        ck_assert_int_eq(st.st_size, 1024LL * 1024 * MIB);
        ck_assert_int_lt(st.st_blocks, 2048);
        ASSERT_OK(fstatat(to_fd, "all", &st, 0));
        ck_assert_int_eq(st.st_blocks, 0);
        ck_assert_int_lt(lseek(stream, 0, SEEK_END), 100 * 1024);
        end();
}
END_TEST

START_TEST(layout_of_holes_does_not_matter) {
        _cleanup_volume_report_ VolumeReport sparse = {}, full = {};
        _cleanup_free_ char *zeros = calloc(1, 3U * MIB + 5);

        begin();
        put_sparse("f", 3 * MIB + 5, NULL, 0);
        touch("f", 1, 0);
        touch(".", 1, 0);
        take_inventory(from_fd, &sparse);
        put("f", zeros, (size_t) 3 * MIB + 5, 0644);
        touch("f", 1, 0);
        take_inventory(from_fd, &full);
        ck_assert_mem_eq(sparse.inventory, full.inventory, VOLUME_HASH);
        end();
}
END_TEST

START_TEST(segments_are_joined_beyond_the_limit) {
        _cleanup_close_ int fd = -EBADF;
        uint64_t offsets[64];

        begin();
        /* Gaps that grow. */
        for (size_t i = 0, at = 0; i < ELEMENTSOF(offsets); i++, at += 8192 + i * 4096)
                offsets[i] = at;
        put_sparse("f", MIB * 16, offsets, ELEMENTSOF(offsets));
        fd = openat(from_fd, "f", O_RDONLY | O_CLOEXEC);
        for (size_t max = 1; max <= 65; max++) {
                _cleanup_volume_entry_ VolumeEntry e = { .size = 16ULL * MIB };
                uint64_t last = 0;

                ASSERT_OK(volume_segments_read(fd, &e, max));
                if (!e.sparse)
                        continue; /* no holes on this file system */
                ck_assert_uint_le(e.n_segments, max);
                FOREACH_ARRAY(s, e.segments, e.n_segments) {
                        ck_assert(s == e.segments || s->offset > last);
                        last = s->offset + s->size;
                }
                ck_assert_uint_gt(last, offsets[ELEMENTSOF(offsets) - 1]);
        }
        end();
}
END_TEST

START_TEST(attributes_come_back) {
        static const char acl[] = "\2\0\0\0"
                                  "\1\0\7\0\xff\xff\xff\xff"
                                  "\2\0\7\0\1\0\0\0"
                                  "\4\0\5\0\xff\xff\xff\xff"
                                  "\x10\0\7\0\xff\xff\xff\xff"
                                  "\x20\0\5\0\xff\xff\xff\xff";
        _cleanup_free_ char *large = malloc(3000);
        int fd;

        begin();
        memset(large, 0xFF, 3000);
        put_text("f", "x");
        ASSERT_OK(mkdirat(from_fd, "d", 0755));
        ASSERT_OK(mkfifoat(from_fd, "p", 0644));
        fd = openat(from_fd, "f", O_RDONLY | O_CLOEXEC);
        (void) fsetxattr(fd, "user.b=%=\n", "=\n\0%", 4, 0);
        (void) fsetxattr(fd, "user.a", "", 0, 0);
        (void) fsetxattr(fd, "user.\xff", large, 3000, 0);
        (void) fsetxattr(fd, "system.posix_acl_access", acl, sizeof(acl) - 1, 0);
        (void) fsetxattr(fd, "security.capability", "\1\0\0\2\0\4\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 20, 0);
        (void) safe_close(fd);
        fd = openat(from_fd, "d", O_RDONLY | O_CLOEXEC);
        (void) fsetxattr(fd, "system.posix_acl_default", acl, sizeof(acl) - 1, 0);
        (void) safe_close(fd);
        fd = openat(from_fd, "p", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
        (void) fsetxattr(fd, "system.posix_acl_access", acl, sizeof(acl) - 1, 0);
        (void) safe_close(fd);
        check_round_trip();
        end();
}
END_TEST

START_TEST(what_is_not_kept_is_told) {
        struct sockaddr_un sa = { .sun_family = AF_UNIX };
        _cleanup_volume_report_ VolumeReport packed = {};
        _cleanup_close_ int stream = -EBADF, s = -EBADF;
        unsigned n = 1;

        begin();
        (void) snprintf(sa.sun_path, sizeof(sa.sun_path), "%s/from/socket", top);
        s = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        ASSERT_OK(bind(s, (struct sockaddr *) &sa, sizeof(sa)));
        if (mknodat(from_fd, "device", S_IFCHR | 0600, 0) >= 0)
                n++;
        put_text("f", "");
        if (geteuid() == 0) {
                _cleanup_close_ int fd = openat(from_fd, "f", O_RDONLY | O_CLOEXEC);

                if (fsetxattr(fd, "trusted.x", "", 0, 0) >= 0)
                        n++;
        }
        stream = pack(&(VolumePackOptions) {}, &packed);
        ck_assert_uint_eq(packed.n_skipped, n);
        ck_assert_str_eq(packed.skipped[n - 1].path, "./socket");
        ck_assert_uint_eq(packed.n_changed, 0);
        check_stream(stream, &packed);
        end();
}
END_TEST

START_TEST(other_mounts_are_not_entered) {
        _cleanup_free_ char *from = NULL, *path = NULL, *file = NULL;

        begin();
        put_text("f", "x");
        put_text("other/hidden", "x");
        put_text("z", "x");
        from = strjoin(top, "/from");
        path = strjoin(top, "/from/other");
        file = strjoin(top, "/from/f");
        if (unshare(CLONE_NEWNS) >= 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) >= 0 &&
                        mount("/", path, NULL, MS_BIND, NULL) >= 0) {
                _cleanup_volume_report_ VolumeReport packed = {};
                _cleanup_close_ int stream = -EBADF;

                ASSERT_OK(mount("/etc/passwd", file, NULL, MS_BIND, NULL));
                /* A descriptor from before does not see what is mounted here. */
                from_fd = safe_close(from_fd);
                from_fd = open(from, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
                ASSERT_OK(from_fd);
                stream = pack(&(VolumePackOptions) {}, &packed);
                ck_assert_uint_eq(packed.n_skipped, 2);
                ck_assert_str_eq(packed.skipped[0].path, "./f");
                ck_assert_str_eq(packed.skipped[1].path, "./other/");
                ck_assert_uint_eq(packed.entries, 2);
                check_stream(stream, &packed);
                ASSERT_OK(umount2(file, MNT_DETACH));
                ASSERT_OK(umount2(path, MNT_DETACH));
        }
        end();
}
END_TEST

START_TEST(excluded_paths_are_left_out) {
        static char *const exclude[] = { (char *) "a", (char *) "b/c", (char *) "f.tmp", (char *) "missing",
                NULL };
        const VolumePackOptions options = { .exclude = exclude };
        _cleanup_volume_report_ VolumeReport packed = {};
        _cleanup_close_ int stream = -EBADF;

        begin();
        put_text("a/x", "");
        put_text("aa", "");
        put_text("b/c/d", "");
        put_text("b/cc", "");
        put_text("f.tmp", "");
        put_text("b/a", "");
        stream = pack(&options, &packed);
        check_stream(stream, &packed);
        ck_assert(!exists("a") && !exists("b/c") && !exists("f.tmp"));
        ck_assert(exists("aa") && exists("b/cc") && exists("b/a"));
        ck_assert_uint_eq(packed.n_skipped, 0);

        ck_assert(volume_exclude_is_valid("a/b c"));
        ck_assert(!volume_exclude_is_valid(""));
        ck_assert(!volume_exclude_is_valid("/a"));
        ck_assert(!volume_exclude_is_valid("a/"));
        ck_assert(!volume_exclude_is_valid("./a"));
        ck_assert(!volume_exclude_is_valid("a/../b"));
        end();
}
END_TEST

START_TEST(same_content_is_the_same_stream) {
        _cleanup_volume_report_ VolumeReport a = {}, b = {};
        _cleanup_close_ int one = -EBADF, two = -EBADF;
        _cleanup_free_ char *x = NULL, *y = NULL;
        size_t n, m;

        begin();
        put_text("b/x", "1");
        put_text("a", "2");
        one = pack(&(VolumePackOptions) {}, &a);
        two = pack(&(VolumePackOptions) {}, &b);
        ASSERT_OK(read_full_fd(one, MIB, &x, &n));
        ASSERT_OK(read_full_fd(two, MIB, &y, &m));
        ck_assert_uint_eq(n, m);
        ck_assert_mem_eq(x, y, n);
        ck_assert_uint_eq(n % TAR_BLOCK, 0);
        end();
}
END_TEST

START_TEST(unreadable_is_a_failure) {
        _cleanup_volume_report_ VolumeReport report = {};
        _cleanup_volume_error_ VolumeError e = {};

        begin();
        put("secret", "x", 1, 0);
        ASSERT_OK(fchmodat(top_fd, ".", 0755, 0));
        if (geteuid() == 0)
                ASSERT_OK(seteuid(65534));
        ASSERT_ERROR(volume_pack(from_fd, -EBADF, &(VolumePackOptions) {}, &report, &e), EIO);
        if (getuid() == 0)
                ASSERT_OK(seteuid(0));
        ck_assert_str_eq(e.message, "./secret: cannot be read: Permission denied");
        ck_assert_str_eq(e.path, "./secret");
        end();
}
END_TEST

START_TEST(a_reader_who_left_is_a_failure) {
        _cleanup_volume_report_ VolumeReport report = {};
        _cleanup_volume_error_ VolumeError e = {};
        _cleanup_close_ int full = open("/dev/full", O_WRONLY | O_CLOEXEC);

        begin();
        put_text("f", "x");
        if (full >= 0) {
                ASSERT_ERROR(volume_pack(from_fd, full, &(VolumePackOptions) {}, &report, &e), ENOSPC);
                ck_assert_int_eq(e.kind, VOLUME_ERROR_NO_SPACE);
        }
        end();
}
END_TEST

/* --- changes under our hands --- */

typedef struct Change {
        VolumeStep when;
        const char *name;
        void (*change)(void);
        unsigned n;
} Change;

static void on_step(VolumeStep step, const char *name, void *userdata) {
        Change *c = userdata;

        if (step == c->when && streq(name, c->name)) {
                c->change();
                c->n++;
        }
}

static void resize(const char *name, off_t size) {
        _cleanup_close_ int fd = openat(from_fd, name, O_WRONLY | O_CLOEXEC);

        ASSERT_OK(ftruncate(fd, size));
}

static void shrink(void) {
        resize("f", 10);
}

static void shrink_to_nothing(void) {
        resize("f", 0);
}

static void grow(void) {
        resize("f", 6 * MIB);
}

static void vanish(void) {
        ASSERT_OK(unlinkat(from_fd, "f", 0));
}

static void become_link(void) {
        vanish();
        ASSERT_OK(symlinkat("/etc/passwd", from_fd, "f"));
}

static void become_fifo(void) {
        vanish();
        ASSERT_OK(mkfifoat(from_fd, "f", 0600));
}

static void become_folder(void) {
        vanish();
        put_text("f/x", "");
}

static void be_replaced(void) {
        put_text("new", "replaced");
        ASSERT_OK(renameat(from_fd, "new", from_fd, "f"));
}

static void change_in_place(void) {
        _cleanup_close_ int fd = openat(from_fd, "f", O_WRONLY | O_CLOEXEC);

        ck_assert_int_eq(pwrite(fd, "y", 1, 100), 1);
}

static void change_mode(void) {
        ASSERT_OK(fchmodat(from_fd, "f", 0600, 0));
}

/* The number of an inode is used again at once on some file systems. */
static void inode_is_another(void) {
        _cleanup_close_ int fd = openat(from_fd, "x", O_WRONLY | O_CLOEXEC);

        ASSERT_OK(loop_write(fd, "other", 5));
}

static void folder_vanishes(void) {
        ASSERT_OK(unlinkat(from_fd, "d/a", 0));
        ASSERT_OK(unlinkat(from_fd, "d", AT_REMOVEDIR));
}

static void appear(void) {
        put_text("d/new", "x");
}

/* What is packed is a sound stream all the same, and the report names what changed. */
static void check_change(VolumeStep when, void (*change)(void), const char *name, const char *changed) {
        const struct timespec tick = { .tv_nsec = 20000000 };
        Change c = { .when = when, .name = name, .change = change };
        const VolumePackOptions options = { .on_step = on_step, .userdata = &c };
        _cleanup_volume_report_ VolumeReport packed = {};
        _cleanup_free_ char *data = malloc((size_t) 5 * MIB);
        _cleanup_close_ int stream = -EBADF;
        bool found = false;

        begin();
        memset(data, 'x', (size_t) 5 * MIB);
        put("f", data, (size_t) 5 * MIB, 0644);
        put_text("d/a", "before");
        put_text("x", "linked");
        ASSERT_OK(linkat(from_fd, "x", from_fd, "y", 0));
        put_text("z", "after");
        /* The file system's clock must have gone on since. */
        (void) nanosleep(&tick, NULL);

        stream = pack(&options, &packed);
        ck_assert_uint_eq(c.n, 1);
        ck_assert_uint_ge(packed.n_changed, 1);
        for (size_t i = 0; i < packed.n_changed; i++)
                found = found || streq(packed.changed[i], changed);
        ck_assert(found);
        check_stream(stream, &packed);
        ck_assert(exists("z"));
        end();
}

START_TEST(a_file_changes_while_it_is_read) {
        check_change(VOLUME_STEP_CONTENT, shrink, "./f", "./f");
        check_change(VOLUME_STEP_CONTENT, shrink_to_nothing, "./f", "./f");
        check_change(VOLUME_STEP_CONTENT, grow, "./f", "./f");
        check_change(VOLUME_STEP_CONTENT, change_in_place, "./f", "./f");
        check_change(VOLUME_STEP_CONTENT, change_mode, "./f", "./f");
}
END_TEST

START_TEST(a_file_vanishes_before_it_is_read) {
        check_change(VOLUME_STEP_NAME, vanish, "./f", "./f");
        check_change(VOLUME_STEP_OPEN, vanish, "./f", "./f");
        check_change(VOLUME_STEP_OPEN, become_link, "./f", "./f");
        check_change(VOLUME_STEP_OPEN, become_fifo, "./f", "./f");
        check_change(VOLUME_STEP_OPEN, become_folder, "./f", "./f");
        /* These are noticed by the folder's time. */
        check_change(VOLUME_STEP_OPEN, be_replaced, "./f", "./");
        check_change(VOLUME_STEP_NAME, appear, "./d/a", "./d/");
        check_change(VOLUME_STEP_NAME, folder_vanishes, "./d", "./d");
        check_change(VOLUME_STEP_OPEN, folder_vanishes, "./d", "./d/");
        check_change(VOLUME_STEP_NAME, folder_vanishes, "./d/a", "./d/");
        /* Both names are files of their own then, with what was in them. */
        check_change(VOLUME_STEP_OPEN, inode_is_another, "./y", "./y");
}
END_TEST

TESTS("volume-pack", all_kinds_come_back, owners_beyond_the_header, deep_trees, holes_stay_holes,
                layout_of_holes_does_not_matter, segments_are_joined_beyond_the_limit, attributes_come_back,
                what_is_not_kept_is_told, other_mounts_are_not_entered, excluded_paths_are_left_out,
                same_content_is_the_same_stream, unreadable_is_a_failure, a_reader_who_left_is_a_failure,
                a_file_changes_while_it_is_read, a_file_vanishes_before_it_is_read)
