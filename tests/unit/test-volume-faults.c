/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Volumes without memory, threads or descriptors (fault/fault.h): packing and unpacking fail as what it is, never as damage
 * or as something that is not kept, or give the same as always. */

#include <sys/socket.h>
#include <sys/un.h>
#include <sys/xattr.h>

#include "test-volume.h"

#include "fault.h"
#include "hard-links.h"

/* From 4 MiB on another thread hashes. */
#define LARGE_SIZE (5U * 1024U * 1024U)
#define LINKS_MAX 300U

typedef struct Scene {
        VolumeReport expected;
        char *stream; /* as it is without faults */
        size_t stream_size;

        int fd; /* where what is packed goes, and what is unpacked comes from */
        VolumeReport report;
        VolumeError error;
        char *line; /* what ccp-vol says at the end */
} Scene;

static char *stream_read(int fd, size_t *ret_size) {
        off_t size = lseek(fd, 0, SEEK_END);
        char *data = malloc((size_t) size);

        ck_assert_ptr_nonnull(data);
        ck_assert_int_eq(pread(fd, data, (size_t) size, 0), size);
        *ret_size = (size_t) size;
        return data;
}

static void scene_open(Scene *s) {
        *s = (Scene) {};
        s->fd = pack(&(VolumePackOptions) {}, &s->expected);
        s->stream = stream_read(s->fd, &s->stream_size);
        ck_assert_uint_eq(s->expected.n_changed, 0);
}

static void scene_close(Scene *s) {
        volume_report_done(&s->expected);
        free(s->stream);
        s->fd = safe_close(s->fd);
}

static int say(Scene *s, int r) {
        s->line = r < 0 ? volume_error_to_json(&s->error) : volume_report_to_json(&s->report);
        return r < 0 || s->line ? r : -ENOMEM;
}

/* Whether it ended well, which is as it always ends. */
static bool check_end(Scene *s, int r, bool failed) {
        if (r < 0) {
                ck_assert_msg(failed, "%s", strempty(s->error.message));
                ck_assert_msg(s->error.kind == VOLUME_ERROR_FAILED || !s->line, "%s",
                                strempty(s->error.message));
                ck_assert_msg(IN_SET(r, -ENOMEM, -EIO), "%d: %s", r, strempty(s->error.message));
                ck_assert(!s->line || startswith(s->line, "{\"error\":\"Failed\","));
        } else {
                ck_assert_ptr_nonnull(startswith(s->line, "{\"entries\":"));
                ck_assert_uint_eq(s->report.entries, s->expected.entries);
                ck_assert_uint_eq(s->report.bytes, s->expected.bytes);
                ck_assert_uint_eq(s->report.n_changed, 0);
                ck_assert_mem_eq(s->report.inventory, s->expected.inventory, VOLUME_HASH);
        }

        volume_report_done(&s->report);
        volume_error_done(&s->error);
        s->report = (VolumeReport) {};
        s->line = mfree(s->line);
        return r >= 0;
}

static int run_pack(void *userdata) {
        Scene *s = userdata;

        return say(s, volume_pack(from_fd, s->fd, &(VolumePackOptions) {}, &s->report, &s->error));
}

static void check_packed(int r, bool failed, void *userdata) {
        Scene *s = userdata;

        if (check_end(s, r, failed)) {
                _cleanup_free_ char *stream = NULL;
                size_t size;

                stream = stream_read(s->fd, &size);
                ck_assert_uint_eq(size, s->stream_size);
                ck_assert_int_eq(memcmp(stream, s->stream, size), 0);
        }
        ASSERT_OK(ftruncate(s->fd, 0));
        ASSERT_OK(lseek(s->fd, 0, SEEK_SET));
}

static int run_unpack(void *userdata) {
        Scene *s = userdata;

        return say(s, volume_unpack(to_fd, s->fd, NULL, &s->report, &s->error));
}

static void check_unpacked(int r, bool failed, void *userdata) {
        Scene *s = userdata;

        if (check_end(s, r, failed)) {
                _cleanup_volume_report_ VolumeReport found = {};

                take_inventory(to_fd, &found);
                ck_assert_mem_eq(found.inventory, s->expected.inventory, VOLUME_HASH);
        }
        renew();
        ASSERT_OK(lseek(s->fd, 0, SEEK_SET));
}

static void check_all(Scene *s, unsigned least) {
        const FaultScenario packing = { run_pack, check_packed, s },
                            unpacking = { run_unpack, check_unpacked, s };

        scene_open(s);
        ASSERT_OK(ftruncate(s->fd, 0));
        ASSERT_OK(lseek(s->fd, 0, SEEK_SET));
        ck_assert_uint_ge(fault_loop(FAULT_MEMORY | FAULT_THREAD, &packing), least);
        ck_assert_uint_ge(fault_loop(FAULT_FILE, &packing), 3);

        ASSERT_OK(loop_write(s->fd, s->stream, s->stream_size));
        ASSERT_OK(lseek(s->fd, 0, SEEK_SET));
        ck_assert_uint_ge(fault_loop(FAULT_MEMORY | FAULT_THREAD, &unpacking), least);
        ck_assert_uint_ge(fault_loop(FAULT_FILE, &unpacking), 3);
        scene_close(s);
}

/* Something of each kind, of each that is not kept, and names and numbers that take more than a header. */
static void put_everything(void) {
        struct sockaddr_un sa = { .sun_family = AF_UNIX };
        _cleanup_close_ int sock = -EBADF, fd = -EBADF;
        char name[VOLUME_NAME_MAX + 1];

        memset(name, 'n', sizeof(name) - 1);
        name[sizeof(name) - 1] = 0;
        put_text("file", "content");
        put_text("folder/below/it", "content");
        put_text(name, "long");
        put_text("\xff", "no text");
        ASSERT_OK(linkat(from_fd, "file", from_fd, "folder/hard", 0));
        ASSERT_OK(linkat(from_fd, name, from_fd, "hard", 0));
        ASSERT_OK(symlinkat(name, from_fd, "symlink"));
        ASSERT_OK(mkfifoat(from_fd, "fifo", 0644));
        fd = openat(from_fd, "file", O_WRONLY | O_CLOEXEC);
        (void) fsetxattr(fd, "user.b=%", "b", 1, 0);
        (void) fsetxattr(fd, "user.a", name, sizeof(name), 0);
        (void) fsetxattr(from_fd, "user.top", "", 0, 0);
        fd = safe_close(fd);
        fd = openat(from_fd, "sparse", O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
        ASSERT_OK(ftruncate(fd, (off_t) 1024 * 1024));
        ck_assert_int_eq(pwrite(fd, "data", 4, (off_t) 512 * 1024), 4);

        (void) snprintf(sa.sun_path, sizeof(sa.sun_path), "%s/from/socket", top);
        sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        ASSERT_OK(bind(sock, (struct sockaddr *) &sa, sizeof(sa)));
}

START_TEST(a_volume_comes_back_or_its_end_is_told) {
        Scene s;

        begin();
        put_everything();
        check_all(&s, 100);
        end();
}
END_TEST

START_TEST(so_does_one_that_a_thread_hashes) {
        _cleanup_free_ char *large = malloc(LARGE_SIZE);
        Scene s;

        begin();
        ck_assert_ptr_nonnull(large);
        for (size_t i = 0; i < LARGE_SIZE; i++)
                large[i] = (char) (i * 31 >> 3);
        put("large", large, LARGE_SIZE, 0644);
        check_all(&s, 8);
        end();
}
END_TEST

/* --- many links, for which a table grows --- */

typedef struct Links {
        HardLinks links;
        unsigned n_found;
} Links;

static struct stat stat_of(unsigned i) {
        return (struct stat) { .st_dev = 1, .st_ino = i, .st_nlink = 2 };
}

static int run_links(void *userdata) {
        Links *l = userdata;
        int r = 0;

        l->n_found = 0;
        for (unsigned i = 0; i < LINKS_MAX && r >= 0; i++) {
                const struct stat st = stat_of(i);

                r = hard_links_add(&l->links, &st, "./name");
        }
        for (unsigned i = 0; i < LINKS_MAX && r >= 0; i++) {
                _cleanup_volume_entry_ VolumeEntry e = {};
                const struct stat st = stat_of(i);

                r = hard_links_find(&l->links, &st, &e);
                l->n_found += r == 1 && streq_ptr(e.link, "./name");
        }
        hard_links_done(&l->links);
        return r;
}

static void check_links(int r, bool failed, void *userdata) {
        Links *l = userdata;

        ck_assert_int_eq(r, failed ? -ENOMEM : 1);
        ck_assert(failed || l->n_found == LINKS_MAX);
        ck_assert_ptr_null(l->links.links);
}

START_TEST(names_of_files_are_remembered_or_not) {
        Links l = {};
        const FaultScenario scenario = { run_links, check_links, &l };

        ck_assert_uint_gt(fault_loop(FAULT_MEMORY, &scenario), 3 * LINKS_MAX);
}
END_TEST

TESTS("volume-faults", a_volume_comes_back_or_its_end_is_told, so_does_one_that_a_thread_hashes,
                names_of_files_are_remembered_or_not)
