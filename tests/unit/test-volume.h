/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the tests of volumes share: two folders, a stream in memory, and looks at what came of it. */

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "alloc-util.h"
#include "fd-util.h"
#include "fs-util.h"
#include "string-util.h"
#include "test.h"
#include "volume-header.h"
#include "volume-pack.h"
#include "volume-unpack.h"

static char top[64];
static int top_fd = -EBADF, from_fd = -EBADF, to_fd = -EBADF;

static int make_folder(const char *name) {
        int fd;

        ASSERT_OK(mkdirat(top_fd, name, 0755));
        fd = openat(top_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        ASSERT_OK(fd);
        return fd;
}

/* In memory if possible: syncfs(2) is part of each unpacking. */
static void begin(void) {
        const char *base = access("/dev/shm", W_OK) >= 0 ? "/dev/shm" : "/tmp";

        (void) snprintf(top, sizeof(top), "%s/test-volume.XXXXXX", base);
        ck_assert_ptr_nonnull(mkdtemp(top));
        top_fd = open(top, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        ASSERT_OK(top_fd);
        from_fd = make_folder("from");
        to_fd = make_folder("to");
}

static void end(void) {
        _cleanup_close_ int base =
                        open(top[1] == 'd' ? "/dev/shm" : "/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        from_fd = safe_close(from_fd);
        to_fd = safe_close(to_fd);
        top_fd = safe_close(top_fd);
        ASSERT_OK(rm_rf_at(base, strrchr(top, '/') + 1));
}

/* An empty folder to unpack to once more. */
static _unused_ void renew(void) {
        to_fd = safe_close(to_fd);
        ASSERT_OK(rm_rf_at(top_fd, "to"));
        to_fd = make_folder("to");
}

static _unused_ void put(const char *path, const void *data, size_t size, mode_t mode) {
        _cleanup_close_ int fd = -EBADF;

        ASSERT_OK(mkdir_parents_beneath(from_fd, path, 0755));
        fd = openat(from_fd, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        ASSERT_OK(fd);
        ASSERT_OK(loop_write(fd, data, size));
        ASSERT_OK(fchmod(fd, mode));
}

static _unused_ void put_text(const char *path, const char *text) {
        put(path, text, strlen(text), 0644);
}

static _unused_ bool exists(const char *path) {
        return faccessat(to_fd, path, F_OK, AT_SYMLINK_NOFOLLOW) >= 0;
}

static _unused_ char *get_text(const char *path) {
        char *text;

        ASSERT_OK(read_file_beneath(to_fd, path, SIZE_MAX / 2, &text, NULL));
        return text;
}

/* A descriptor with the stream in it, at its beginning. */
static _unused_ int stream_new(const void *data, size_t size) {
        int fd = memfd_create("stream", MFD_CLOEXEC);

        ASSERT_OK(fd);
        ASSERT_OK(loop_write(fd, data, size));
        ASSERT_OK(lseek(fd, 0, SEEK_SET));
        return fd;
}

/* Packs 'from'; the stream is at its beginning. */
static _unused_ int pack(const VolumePackOptions *options, VolumeReport *ret) {
        _cleanup_volume_error_ VolumeError e = {};
        int fd = stream_new("", 0), r;

        r = volume_pack(from_fd, fd, options, ret, &e);
        ck_assert_msg(r >= 0, "%s", e.message);
        ASSERT_OK(lseek(fd, 0, SEEK_SET));
        return fd;
}

static _unused_ void unpack(int stream, VolumeReport *ret) {
        _cleanup_volume_error_ VolumeError e = {};
        int r;

        ASSERT_OK(lseek(stream, 0, SEEK_SET));
        r = volume_unpack(to_fd, stream, NULL, ret, &e);
        ck_assert_msg(r >= 0, "%s", e.message);
}

static _unused_ void take_inventory(int fd, VolumeReport *ret) {
        _cleanup_volume_error_ VolumeError e = {};
        int r;

        r = volume_pack(fd, -EBADF, &(VolumePackOptions) {}, ret, &e);
        ck_assert_msg(r >= 0, "%s", e.message);
}

/* The stream of 'from' becomes 'to', and all three agree. */
static _unused_ void check_stream(int stream, const VolumeReport *packed) {
        _cleanup_volume_report_ VolumeReport unpacked = {}, found = {};

        unpack(stream, &unpacked);
        take_inventory(to_fd, &found);
        ck_assert_uint_eq(packed->entries, unpacked.entries);
        ck_assert_uint_eq(packed->entries, found.entries);
        ck_assert_uint_eq(packed->bytes, unpacked.bytes);
        ck_assert_uint_eq(packed->bytes, found.bytes);
        ck_assert_mem_eq(packed->inventory, unpacked.inventory, VOLUME_HASH);
        ck_assert_mem_eq(packed->inventory, found.inventory, VOLUME_HASH);
        ck_assert_uint_eq(unpacked.n_skipped + found.n_skipped, 0);
}

/* --- streams by hand: nothing is checked, so that they may be hostile --- */

static _unused_ VolumeEntry entry_of(VolumeType type, const char *name) {
        return (VolumeEntry) {
                .name = (char *) name,
                .type = type,
                .mode = type == VOLUME_SYMLINK ? 0777 : 0755,
                .uid = geteuid(),
                .gid = getegid(),
                .mtime = { .tv_sec = 1000000000 },
        };
}

static _unused_ void add_entry(StringBuilder *b, const VolumeEntry *e, const char *content) {
        size_t n = content ? strlen(content) : 0;

        ASSERT_OK(volume_header_format(e, b));
        string_builder_append_n(b, content, n);
        string_builder_append_n(b, (const char[TAR_BLOCK]) {}, tar_padding(n));
}

static _unused_ void add_top(StringBuilder *b) {
        VolumeEntry e = entry_of(VOLUME_FOLDER, "./");

        add_entry(b, &e, NULL);
}

static _unused_ void add_folder(StringBuilder *b, const char *name) {
        VolumeEntry e = entry_of(VOLUME_FOLDER, name);

        add_entry(b, &e, NULL);
}

static _unused_ void add_file(StringBuilder *b, const char *name, const char *content) {
        VolumeEntry e = entry_of(VOLUME_FILE, name);

        e.size = strlen(content);
        add_entry(b, &e, content);
}

static _unused_ void add_link(StringBuilder *b, VolumeType type, const char *name, const char *target) {
        VolumeEntry e = entry_of(type, name);

        e.link = (char *) target;
        add_entry(b, &e, NULL);
}

static _unused_ void add_end(StringBuilder *b) {
        string_builder_append_n(b, (const char[2 * TAR_BLOCK]){}, (size_t) 2 * TAR_BLOCK);
}

/* Writes the checksum of a header anew. */
static _unused_ void repair_block(char *block) {
        unsigned sum = 0;

        for (size_t i = 0; i < TAR_BLOCK; i++)
                sum += i >= 148 && i < 156 ? ' ' : (unsigned char) block[i];
        (void) snprintf(block + 148, 8, "%06o", sum);
        block[155] = ' ';
}

static _unused_ int unpack_builder(const StringBuilder *b, VolumeError *e) {
        _cleanup_volume_report_ VolumeReport report = {};
        _cleanup_close_ int stream = stream_new(b->data, b->size);

        ck_assert(!b->failed);
        renew();
        return volume_unpack(to_fd, stream, NULL, &report, e);
}

static _unused_ void assert_refused(const StringBuilder *b, VolumeErrorKind kind, const char *path) {
        _cleanup_volume_error_ VolumeError e = {};

        ck_assert_int_lt(unpack_builder(b, &e), 0);
        ck_assert_msg(e.kind == kind, "%s", e.message);
        if (path)
                ck_assert_str_eq(e.path, path);
}
