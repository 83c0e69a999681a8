/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Streams that were damaged at random, seeded: whatever comes of them stays in its folder, and what is
 * taken is on the disk just as the report says. That a byte of a content was changed is not noticed here:
 * it is by whoever compares the inventory, or authenticates the stream. */

#include <stdio.h>
#include <sys/xattr.h>

#include "test-volume.h"

#define RUNS 10000U

static uint64_t state;

static uint64_t next_random(uint64_t below) {
        /* xorshift64 */
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        return state % below;
}

/* One of everything, and links that point at what must stay as it is. */
static int make_stream(void) {
        static const uint64_t offset = 4096;
        _cleanup_volume_report_ VolumeReport packed = {};
        _cleanup_close_ int fd = -EBADF;

        put_text("a", "linked twice");
        put_text("d/e/f", "deep");
        put_text("d/\xff", "not UTF-8");
        ASSERT_OK(linkat(from_fd, "a", from_fd, "d/hard", 0));
        ASSERT_OK(symlinkat("../canary", from_fd, "d/out"));
        ASSERT_OK(symlinkat("..", from_fd, "up"));
        ASSERT_OK(mkfifoat(from_fd, "p", 0600));
        put_text("x", "");
        fd = openat(from_fd, "x", O_WRONLY | O_CLOEXEC);
        ASSERT_OK(ftruncate(fd, 16384));
        ck_assert_int_eq(pwrite(fd, "sparse", 6, (off_t) offset), 6);
        (void) fsetxattr(fd, "user.name", "value", 5, 0);
        return pack(&(VolumePackOptions) {}, &packed);
}

static bool is_header(const char *block) {
        return memcmp(block + 257, "ustar", 6) == 0;
}

static void repair(char *data, size_t size) {
        for (size_t i = 0; i + TAR_BLOCK <= size; i += TAR_BLOCK)
                if (is_header(data + i))
                        repair_block(data + i);
}

static void flip(char *data, size_t size) {
        data[next_random(size)] ^= (char) (1 + next_random(255));
}

/* Where it hurts: in headers, and in the blocks after extended ones. */
static void flip_header(char *data, size_t size) {
        size_t i;

        do
                i = next_random(size / TAR_BLOCK) * TAR_BLOCK;
        while (!is_header(data + i));
        if (data[i + 156] == 'x' && next_random(2) == 0)
                i += TAR_BLOCK;
        data[i + next_random(next_random(2) == 0 ? 160 : 300)] = (char) ("\0/.0179'x\xff"[next_random(10)]);
}

static void copy_blocks(char *data, size_t size) {
        size_t n = size / TAR_BLOCK, count = 1 + next_random(3), from = next_random(n - 3),
               to = next_random(n - 3);

        memmove(data + to * TAR_BLOCK, data + from * TAR_BLOCK, count * TAR_BLOCK);
}

/* Returns how much of it is left. */
static size_t damage(char *data, size_t size) {
        switch (next_random(5)) {
        case 0:
                flip(data, size);
                return size;
        case 1:
                return next_random(size);
        case 2:
                flip(data, size);
                break;
        case 3:
                flip_header(data, size);
                break;
        default:
                copy_blocks(data, size);
        }

        repair(data, size);
        return size;
}

static void check_outside(uint64_t seed) {
        _cleanup_free_ char *text = NULL;
        _cleanup_closedir_ DIR *d = NULL;
        struct stat st;
        unsigned n = 0;

        ASSERT_OK(read_file_beneath(top_fd, "canary", 64, &text, NULL));
        ck_assert_msg(streq(text, "alive"), "seed %llu", (unsigned long long) seed);
        ASSERT_OK(fstatat(top_fd, "canary", &st, AT_SYMLINK_NOFOLLOW));
        ck_assert_msg(st.st_nlink == 1 && (st.st_mode & 07777) == 0600, "seed %llu",
                        (unsigned long long) seed);

        d = fdopendir(openat(top_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
        ck_assert_ptr_nonnull(d);
        while (readdir(d))
                n++;
        /* ".", "..", canary, from, to */
        ck_assert_msg(n == 5, "seed %llu", (unsigned long long) seed);
}

static void try_stream(const char *data, size_t size, uint64_t seed, unsigned *n_taken) {
        _cleanup_volume_report_ VolumeReport unpacked = {}, found = {};
        _cleanup_close_ int stream = stream_new(data, size);
        _cleanup_volume_error_ VolumeError e = {};

        renew();
        if (volume_unpack(to_fd, stream, NULL, &unpacked, &e) < 0) {
                ck_assert_ptr_nonnull(e.message);
                return;
        }

        (*n_taken)++;
        /* Others cannot read all that they may have made. */
        if (geteuid() != 0)
                return;
        take_inventory(to_fd, &found);
        ck_assert_msg(memcmp(unpacked.inventory, found.inventory, VOLUME_HASH) == 0 ||
                                        unpacked.n_skipped > 0,
                        "seed %llu", (unsigned long long) seed);
}

START_TEST(damages_stay_inside) {
        _cleanup_free_ char *data = NULL, *copy = NULL;
        _cleanup_close_ int stream = -EBADF;
        unsigned n_taken = 0;
        size_t size;

        begin();
        stream = make_stream();
        ASSERT_OK(write_file_beneath(top_fd, "canary", "alive", 5, 0600));
        ASSERT_OK(read_full_fd(stream, SIZE_MAX / 2, &data, &size));
        copy = malloc(size);

        try_stream(data, size, 0, &n_taken);
        ck_assert_uint_eq(n_taken, 1);
        for (uint64_t seed = 1; seed <= RUNS; seed++) {
                state = seed * 0x9E3779B97F4A7C15ULL;
                memcpy(copy, data, size);
                try_stream(copy, damage(copy, size), seed, &n_taken);
                check_outside(seed);
        }
        /* Those that hit contents, or fields whose every value is good. */
        ck_assert_uint_gt(n_taken, RUNS / 100);
        ck_assert_uint_lt(n_taken, RUNS / 2);
        end();
}
END_TEST

TESTS("volume-damage", damages_stay_inside)
