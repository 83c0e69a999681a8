/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <inttypes.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/xattr.h>

#include "pax.h"
#include "test-volume.h"

/* The top, one entry, the end. */
static void assert_entry_refused(const VolumeEntry *e, VolumeErrorKind kind) {
        _cleanup_string_builder_ StringBuilder b = {};

        add_top(&b);
        add_entry(&b, e, NULL);
        add_end(&b);
        assert_refused(&b, kind, NULL);
}

START_TEST(a_sound_stream_is_taken) {
        _cleanup_string_builder_ StringBuilder b = {};
        _cleanup_volume_error_ VolumeError e = {};
        _cleanup_free_ char *text = NULL;
        char target[16] = {};
        struct stat a, c;

        begin();
        add_top(&b);
        add_file(&b, "./a", "content");
        add_folder(&b, "./d/");
        add_link(&b, VOLUME_HARD_LINK, "./d/h", "./a");
        add_link(&b, VOLUME_SYMLINK, "./l", "/etc/passwd");
        add_end(&b);
        ck_assert_msg(unpack_builder(&b, &e) >= 0, "%s", e.message);

        text = get_text("a");
        ck_assert_str_eq(text, "content");
        ASSERT_OK(fstatat(to_fd, "a", &a, 0));
        ASSERT_OK(fstatat(to_fd, "d/h", &c, 0));
        ck_assert_uint_eq(a.st_ino, c.st_ino);
        ck_assert_int_eq(a.st_mtim.tv_sec, 1000000000);
        ck_assert_int_eq(readlinkat(to_fd, "l", target, sizeof(target)), STRLEN("/etc/passwd"));
        ck_assert_str_eq(target, "/etc/passwd");
        end();
}
END_TEST

START_TEST(names_that_leave_are_refused) {
        static const char *const names[] = { "./../x", "/abs", "x", "", ".", "./.", "./..", "../x", ".//x",
                "./a//b", "./a/./b", "./a/../../x", "./a/..", "x/y", "./x/" };

        begin();
        FOREACH_ARRAY(n, names, ELEMENTSOF(names)) {
                VolumeEntry e = entry_of(VOLUME_FILE, *n);

                assert_entry_refused(&e, VOLUME_ERROR_DAMAGED);
        }
        ck_assert_int_lt(faccessat(top_fd, "x", F_OK, 0), 0);
        assert_entry_refused(&(VolumeEntry) { .name = (char *) "./x", .type = VOLUME_FOLDER },
                        VOLUME_ERROR_DAMAGED);
        assert_entry_refused(&(VolumeEntry) { .name = (char *) "./../", .type = VOLUME_FOLDER },
                        VOLUME_ERROR_DAMAGED);
        end();
}
END_TEST

START_TEST(long_names_are_refused) {
        _cleanup_free_ char *name = calloc(1, 70002);
        VolumeEntry e = entry_of(VOLUME_FILE, name);

        begin();
        memset(name, 'n', 256 + 2);
        memcpy(name, "./", 2);
        assert_entry_refused(&e, VOLUME_ERROR_DAMAGED);

        for (size_t i = 0; i < 70000; i++)
                name[i] = i % 2 == 0 ? 'a' : '/';
        memcpy(name, "./a", 3);
        name[70000] = 'a';
        assert_entry_refused(&e, VOLUME_ERROR_DAMAGED);
        end();
}
END_TEST

START_TEST(nothing_is_written_through_a_link) {
        static const char *const targets[] = { "/tmp", "..", "../from", "." };

        begin();
        FOREACH_ARRAY(t, targets, ELEMENTSOF(targets)) {
                _cleanup_string_builder_ StringBuilder b = {}, c = {};

                add_top(&b);
                add_link(&b, VOLUME_SYMLINK, "./l", *t);
                add_file(&b, "./l/escaped", "x");
                add_end(&b);
                assert_refused(&b, VOLUME_ERROR_DAMAGED, "./l/escaped");

                add_top(&c);
                add_link(&c, VOLUME_SYMLINK, "./l", *t);
                add_folder(&c, "./l/");
                add_file(&c, "./l/escaped", "x");
                add_end(&c);
                assert_refused(&c, VOLUME_ERROR_DAMAGED, "./l/");
        }
        ck_assert_int_lt(faccessat(top_fd, "escaped", F_OK, 0), 0);
        ck_assert_int_lt(faccessat(from_fd, "escaped", F_OK, 0), 0);
        end();
}
END_TEST

START_TEST(hard_links_stay_inside) {
        static const char *const targets[] = { "./../from/secret", "/etc/passwd", "../from/secret", "./l",
                "./l/secret", "./missing", "./d", "./d/", "./", "./z", "./h" };

        begin();
        put_text("secret", "x");
        FOREACH_ARRAY(t, targets, ELEMENTSOF(targets)) {
                _cleanup_string_builder_ StringBuilder b = {};

                add_top(&b);
                add_folder(&b, "./d/");
                add_link(&b, VOLUME_HARD_LINK, "./h", *t);
                add_link(&b, VOLUME_SYMLINK, "./l", "../from");
                add_end(&b);
                assert_refused(&b, VOLUME_ERROR_DAMAGED, "./h");
        }
        FOREACH_ARRAY(t, targets, ELEMENTSOF(targets)) {
                _cleanup_string_builder_ StringBuilder b = {};

                add_top(&b);
                add_folder(&b, "./d/");
                add_link(&b, VOLUME_SYMLINK, "./l", "../from");
                add_link(&b, VOLUME_HARD_LINK, "./z", *t);
                add_end(&b);
                assert_refused(&b, VOLUME_ERROR_DAMAGED, "./z");
        }
        end();
}
END_TEST

START_TEST(hard_links_say_what_the_file_is) {
        _cleanup_string_builder_ StringBuilder b = {};
        VolumeEntry e = entry_of(VOLUME_HARD_LINK, "./h");

        begin();
        e.link = (char *) "./a";
        e.mode = 06777;
        add_top(&b);
        add_file(&b, "./a", "x");
        add_entry(&b, &e, NULL);
        add_end(&b);
        assert_refused(&b, VOLUME_ERROR_DAMAGED, "./h");
        end();
}
END_TEST

START_TEST(order_is_kept) {
        _cleanup_string_builder_ StringBuilder twice = {}, unsorted = {}, back = {}, top_twice = {},
                                               no_top = {}, orphan = {};

        begin();
        add_top(&twice);
        add_file(&twice, "./a", "1");
        add_file(&twice, "./a", "2");
        add_end(&twice);
        assert_refused(&twice, VOLUME_ERROR_DAMAGED, "./a");

        add_top(&unsorted);
        add_file(&unsorted, "./b", "1");
        add_file(&unsorted, "./a", "2");
        add_end(&unsorted);
        assert_refused(&unsorted, VOLUME_ERROR_DAMAGED, "./a");

        add_top(&back);
        add_folder(&back, "./a/");
        add_file(&back, "./b", "1");
        add_file(&back, "./a/x", "2");
        add_end(&back);
        assert_refused(&back, VOLUME_ERROR_DAMAGED, "./a/x");

        add_top(&top_twice);
        add_top(&top_twice);
        add_end(&top_twice);
        assert_refused(&top_twice, VOLUME_ERROR_DAMAGED, "./");

        add_file(&no_top, "./a", "1");
        add_end(&no_top);
        assert_refused(&no_top, VOLUME_ERROR_DAMAGED, "./a");

        add_top(&orphan);
        add_file(&orphan, "./a", "1");
        add_file(&orphan, "./a/x", "1");
        add_end(&orphan);
        assert_refused(&orphan, VOLUME_ERROR_DAMAGED, "./a/x");
        end();
}
END_TEST

START_TEST(other_types_are_not_supported) {
        begin();
        for (const char *t = "3478gKLSVDNMX\x7f"; *t; t++) {
                VolumeEntry e = entry_of((VolumeType) *t, "./n");

                assert_entry_refused(&e, VOLUME_ERROR_UNSUPPORTED);
                ck_assert(!exists("n"));
        }
        end();
}
END_TEST

START_TEST(fields_that_no_volume_has) {
        VolumeEntry e;

        begin();
        /* -1 would leave the owner as it is. */
        e = entry_of(VOLUME_FILE, "./f");
        e.uid = UINT32_MAX;
        assert_entry_refused(&e, VOLUME_ERROR_DAMAGED);
        e = entry_of(VOLUME_FILE, "./f");
        e.gid = UINT32_MAX;
        assert_entry_refused(&e, VOLUME_ERROR_DAMAGED);
        e = entry_of(VOLUME_FILE, "./f");
        e.mode = 010644;
        assert_entry_refused(&e, VOLUME_ERROR_DAMAGED);
        e = entry_of(VOLUME_SYMLINK, "./l");
        assert_entry_refused(&e, VOLUME_ERROR_DAMAGED);
        e.link = (char *) "x";
        e.mode = 0644;
        assert_entry_refused(&e, VOLUME_ERROR_DAMAGED);
        e = entry_of(VOLUME_FILE, "./f");
        e.link = (char *) "./x";
        assert_entry_refused(&e, VOLUME_ERROR_DAMAGED);
        e = entry_of(VOLUME_FOLDER, "./d/");
        e.sparse = true;
        e.size = 5;
        assert_entry_refused(&e, VOLUME_ERROR_DAMAGED);
        end();
}
END_TEST

START_TEST(sizes_are_bounded) {
        _cleanup_string_builder_ StringBuilder pax = {};
        VolumeEntry e = entry_of(VOLUME_FILE, "./f");
        TarHeader h = { .name = "./PaxHeader", .type = 'x', .mode = 0644, .size = TAR_NUMBER_MAX };
        char block[TAR_BLOCK];

        begin();
        /* More content than there is. */
        e.size = TAR_NUMBER_MAX;
        assert_entry_refused(&e, VOLUME_ERROR_DAMAGED);
        e.size = INT64_MAX;
        assert_entry_refused(&e, VOLUME_ERROR_DAMAGED);
        e.size = UINT64_MAX;
        assert_entry_refused(&e, VOLUME_ERROR_DAMAGED);

        add_top(&pax);
        tar_header_format(&h, block);
        string_builder_append_n(&pax, block, sizeof(block));
        add_end(&pax);
        assert_refused(&pax, VOLUME_ERROR_DAMAGED, NULL);
        end();
}
END_TEST

/* A file with holes of the size, whose map is this text. */
static void assert_map(uint64_t size, const char *map, bool good) {
        _cleanup_string_builder_ StringBuilder b = {}, pax = {};
        TarHeader x = { .name = "./PaxHeader", .type = 'x', .mode = 0644 };
        TarHeader h = { .name = "./GNUSparseFile.0/file",
                .type = '0',
                .mode = 0644,
                .uid = geteuid(),
                .gid = getegid() };
        _cleanup_volume_error_ VolumeError e = {};
        size_t n = strlen(map);
        char block[TAR_BLOCK];
        int r;

        begin();
        pax_append_number(&pax, "GNU.sparse.major", 1);
        pax_append_number(&pax, "GNU.sparse.minor", 0);
        pax_append(&pax, "GNU.sparse.name", "./f", 3);
        pax_append_number(&pax, "GNU.sparse.realsize", size);
        x.size = pax.size;
        /* All maps here are of one block, with one block of data. */
        h.size = 1024;

        add_top(&b);
        tar_header_format(&x, block);
        string_builder_append_n(&b, block, sizeof(block));
        string_builder_append_n(&b, pax.data, pax.size);
        string_builder_append_n(&b, (const char[TAR_BLOCK]) {}, tar_padding(pax.size));
        tar_header_format(&h, block);
        string_builder_append_n(&b, block, sizeof(block));
        string_builder_append(&b, map);
        string_builder_append_n(&b, (const char[TAR_BLOCK]) {}, tar_padding(n));
        string_builder_append_n(&b, (const char[TAR_BLOCK]) { 'd' }, TAR_BLOCK);
        add_end(&b);

        r = unpack_builder(&b, &e);
        ck_assert_msg((r >= 0) == good, "map '%s': %s", map, r < 0 ? e.message : "taken");
        if (!good)
                ck_assert_msg(e.kind == VOLUME_ERROR_DAMAGED, "map '%s': %s", map, e.message);
        end();
}

START_TEST(maps_are_strict) {
        assert_map(8192, "2\n512\n512\n8192\n0\n", true);
        assert_map(8192, "1\n7680\n512\n", true);
        assert_map(1ULL << 40, "2\n536870912\n512\n1099511627776\n0\n", true);

        assert_map(8192, "", false);
        assert_map(8192, "0\n", false);
        assert_map(8192, "1\n8192\n0\n", false);  /* right, but then there are no data */
        assert_map(8192, "1\n0\n8192\n", false);  /* no hole */
        assert_map(8192, "1\n512\n512\n", false); /* no end */
        assert_map(8192, "2\n512\n512\n8192\n0", false);
        assert_map(8192, "2\n513\n512\n8192\n0\n", false);
        assert_map(8192, "2\n512\n511\n8192\n0\n", false);
        assert_map(8192, "2\n8192\n512\n8192\n0\n", false);
        assert_map(8192, "2\n9223372036854775296\n512\n8192\n0\n", false);
        assert_map(8192, "2\n512\n18446744073709551104\n8192\n0\n", false);
        assert_map(8192, "2\n512\n9999999999999999999999999\n8192\n0\n", false);
        assert_map(8192, "3\n512\n512\n512\n512\n8192\n0\n", false);
        assert_map(8192, "3\n512\n512\n1024\n512\n8192\n0\n", false);
        assert_map(8192, "3\n1024\n512\n0\n512\n8192\n0\n", false);
        assert_map(8192, "3\n0\n4096\n2048\n512\n8192\n0\n", false);
        assert_map(8192, "3\n512\n512\n8192\n0\n8192\n0\n", false);
        assert_map(8192, "2\n512\n512\n8191\n0\n", false);
        assert_map(8192, "2\n0512\n512\n8192\n0\n", false);
        assert_map(8192, "+2\n512\n512\n8192\n0\n", false);
        assert_map(8192, "2\n512\n512\n8192\n0\nx", false);
        assert_map(8192, "999999999\n512\n512\n8192\n0\n", false);
        assert_map(0, "2\n512\n512\n0\n0\n", false);
}
END_TEST

static void assert_attribute(const char *name, size_t size, VolumeErrorKind kind) {
        VolumeEntry e = entry_of(VOLUME_FILE, "./f");
        VolumeXattr x = { .name = (char *) name, .value = calloc(1, size), .size = size };

        e.xattrs = &x;
        e.n_xattrs = 1;
        assert_entry_refused(&e, kind);
        free(x.value);
}

START_TEST(attributes_are_strict) {
        VolumeXattr two[] = { { .name = (char *) "user.b" }, { .name = (char *) "user.a" } };
        VolumeXattr same[] = { { .name = (char *) "user.a" }, { .name = (char *) "user.a" } };
        VolumeEntry e = entry_of(VOLUME_FILE, "./f");

        begin();
        assert_attribute("trusted.overlay.opaque", 1, VOLUME_ERROR_UNSUPPORTED);
        assert_attribute("security.selinux", 1, VOLUME_ERROR_UNSUPPORTED);
        assert_attribute("system.posix_acl_other", 1, VOLUME_ERROR_UNSUPPORTED);
        assert_attribute("user.", 1, VOLUME_ERROR_UNSUPPORTED);
        assert_attribute("user.a", 64U * 1024U + 1, VOLUME_ERROR_DAMAGED);

        e.n_xattrs = 2;
        e.xattrs = two;
        assert_entry_refused(&e, VOLUME_ERROR_DAMAGED);
        e.xattrs = same;
        assert_entry_refused(&e, VOLUME_ERROR_DAMAGED);
        e = entry_of(VOLUME_SYMLINK, "./l");
        e.link = (char *) "x";
        e.n_xattrs = 1;
        e.xattrs = two;
        assert_entry_refused(&e, VOLUME_ERROR_DAMAGED);
        end();
}
END_TEST

START_TEST(attributes_of_nested_folders_are_bounded) {
        _cleanup_string_builder_ StringBuilder b = {}, name = {};
        VolumeXattr xattrs[10];
        char names[ELEMENTSOF(xattrs)][8];
        VolumeEntry e;

        begin();
        FOREACH_ARRAY(x, xattrs, ELEMENTSOF(xattrs)) {
                char *s = names[x - xattrs];

                (void) snprintf(s, sizeof(names[0]), "user.%u", (unsigned) (x - xattrs));
                *x = (VolumeXattr) { .name = s, .value = calloc(1, 64U * 1024U), .size = 64U * 1024U };
        }

        add_top(&b);
        string_builder_append(&name, "./");
        for (unsigned i = 0; i <= 16U * 1024U / 640U; i++) {
                string_builder_append(&name, "d/");
                e = entry_of(VOLUME_FOLDER, name.data);
                e.xattrs = xattrs;
                e.n_xattrs = ELEMENTSOF(xattrs);
                add_entry(&b, &e, NULL);
        }
        add_end(&b);
        assert_refused(&b, VOLUME_ERROR_DAMAGED, name.data);

        FOREACH_ARRAY(x, xattrs, ELEMENTSOF(xattrs))
                free(x->value);
        end();
}
END_TEST

/* An entry with these records, which are not those that it needs. */
static void assert_records(const char *key, const char *value, size_t size, VolumeErrorKind kind) {
        _cleanup_string_builder_ StringBuilder b = {}, pax = {};
        TarHeader x = { .name = "./PaxHeader", .type = 'x', .mode = 0644 };
        TarHeader h = { .name = "./f", .type = '0', .mode = 0644 };
        char block[TAR_BLOCK];

        pax_append(&pax, key, value, size);
        x.size = pax.size;
        add_top(&b);
        tar_header_format(&x, block);
        string_builder_append_n(&b, block, sizeof(block));
        string_builder_append_n(&b, pax.data, pax.size);
        string_builder_append_n(&b, (const char[TAR_BLOCK]) {}, tar_padding(pax.size));
        tar_header_format(&h, block);
        string_builder_append_n(&b, block, sizeof(block));
        add_end(&b);
        assert_refused(&b, kind, NULL);
}

START_TEST(records_are_strict) {
        begin();
        assert_records("path", "./f", 3, VOLUME_ERROR_DAMAGED);
        assert_records("path", "./f\0x", 5, VOLUME_ERROR_DAMAGED);
        assert_records("path", "", 0, VOLUME_ERROR_DAMAGED);
        assert_records("linkpath", "./f", 3, VOLUME_ERROR_DAMAGED);
        assert_records("mtime", "5", 1, VOLUME_ERROR_DAMAGED);
        assert_records("mtime", "0.000000000", 11, VOLUME_ERROR_DAMAGED);
        assert_records("mtime", "-0", 2, VOLUME_ERROR_DAMAGED);
        assert_records("uid", "1", 1, VOLUME_ERROR_DAMAGED);
        assert_records("uid", "4294967295", 10, VOLUME_ERROR_DAMAGED);
        assert_records("size", "0", 1, VOLUME_ERROR_DAMAGED);
        assert_records("hdrcharset", "BINARY", 6, VOLUME_ERROR_DAMAGED);
        assert_records("GNU.sparse.minor", "0", 1, VOLUME_ERROR_DAMAGED);
        assert_records("GNU.sparse.major", "2", 1, VOLUME_ERROR_UNSUPPORTED);
        assert_records("comment", "x", 1, VOLUME_ERROR_UNSUPPORTED);
        assert_records("atime", "1", 1, VOLUME_ERROR_UNSUPPORTED);
        assert_records("SCHILY.xattr.", "1", 1, VOLUME_ERROR_UNSUPPORTED);
        end();
}
END_TEST

START_TEST(the_end_is_where_it_must_be) {
        _cleanup_string_builder_ StringBuilder b = {}, empty = {}, zeros = {}, binary = {};
        char *p;
        size_t size;

        begin();
        string_builder_append(&empty, "");
        assert_refused(&empty, VOLUME_ERROR_DAMAGED, NULL);
        add_end(&zeros);
        assert_refused(&zeros, VOLUME_ERROR_DAMAGED, NULL);

        add_top(&b);
        add_file(&b, "./f", "0123456789");
        add_end(&b);
        size = b.size;

        /* Cut anywhere. */
        for (b.size = 0; b.size < size; b.size += b.size % TAR_BLOCK == 0 ? 1 : 37)
                assert_refused(&b, VOLUME_ERROR_DAMAGED, NULL);

        /* Something more, even if it is zeros. */
        b.size = size;
        string_builder_append_n(&b, "", 1);
        assert_refused(&b, VOLUME_ERROR_DAMAGED, NULL);
        b.size--;
        add_end(&b);
        assert_refused(&b, VOLUME_ERROR_DAMAGED, NULL);

        /* After the content, and where the second block of zeros is. */
        p = b.data + size - (size_t) 2 * TAR_BLOCK - 1;
        b.size = size;
        *p = 'x';
        assert_refused(&b, VOLUME_ERROR_DAMAGED, "./f");
        *p = 0;
        b.data[size - 1] = 'x';
        assert_refused(&b, VOLUME_ERROR_DAMAGED, "./f");
        b.data[size - 1] = 0;

        /* What Engine appends to a stream that failed. */
        b.size = size;
        string_builder_append(&b, "{\"message\":\"no\"}");
        assert_refused(&b, VOLUME_ERROR_DAMAGED, NULL);

        /* Another kind of archive. */
        add_top(&binary);
        memcpy(binary.data + 257, "ustar  ", 8);
        repair_block(binary.data);
        add_end(&binary);
        assert_refused(&binary, VOLUME_ERROR_UNSUPPORTED, NULL);
        end();
}
END_TEST

START_TEST(only_an_empty_folder_is_filled) {
        _cleanup_string_builder_ StringBuilder b = {};
        _cleanup_volume_error_ VolumeError e = {};
        _cleanup_volume_report_ VolumeReport report = {};
        _cleanup_close_ int stream = -EBADF;

        begin();
        add_top(&b);
        add_end(&b);
        stream = stream_new(b.data, b.size);
        ASSERT_OK(mkdirat(to_fd, "lost+found", 0700));
        ASSERT_ERROR(volume_unpack(to_fd, stream, NULL, &report, &e), EIO);
        ck_assert_ptr_nonnull(strstr(e.message, "not empty"));
        end();
}
END_TEST

START_TEST(what_the_folder_had_is_not_handed_on) {
        static const char acl[] = "\2\0\0\0"
                                  "\1\0\7\0\xff\xff\xff\xff"
                                  "\2\0\7\0\1\0\0\0"
                                  "\4\0\5\0\xff\xff\xff\xff"
                                  "\x10\0\7\0\xff\xff\xff\xff"
                                  "\x20\0\5\0\xff\xff\xff\xff";
        _cleanup_string_builder_ StringBuilder b = {};
        _cleanup_volume_report_ VolumeReport unpacked = {}, found = {};
        _cleanup_close_ int stream = -EBADF;

        begin();
        if (fsetxattr(to_fd, "system.posix_acl_default", acl, sizeof(acl) - 1, 0) >= 0) {
                (void) fsetxattr(to_fd, "user.old", "1", 1, 0);
                ASSERT_OK(fchmod(to_fd, 02777));
                add_top(&b);
                add_folder(&b, "./d/");
                add_file(&b, "./d/f", "x");
                add_end(&b);
                stream = stream_new(b.data, b.size);
                unpack(stream, &unpacked);
                take_inventory(to_fd, &found);
                ck_assert_mem_eq(unpacked.inventory, found.inventory, VOLUME_HASH);
        }
        end();
}
END_TEST

START_TEST(a_full_disk_is_told) {
        _cleanup_string_builder_ StringBuilder b = {};
        _cleanup_volume_error_ VolumeError e = {};
        _cleanup_volume_report_ VolumeReport report = {};
        _cleanup_close_ int stream = -EBADF, small = -EBADF;
        _cleanup_free_ char *content = NULL, *path = NULL;

        begin();
        path = strjoin(top, "/to");
        /* Needs rights that not every place where tests run has. */
        if (unshare(CLONE_NEWNS) >= 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) >= 0 &&
                        mount("small", path, "tmpfs", 0, "size=128k") >= 0) {
                content = malloc(1024U * 1024U + 1);
                memset(content, 'x', 1024U * 1024U);
                content[1024U * 1024U] = 0;
                add_top(&b);
                add_file(&b, "./big", content);
                add_end(&b);
                stream = stream_new(b.data, b.size);

                small = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
                ASSERT_ERROR(volume_unpack(small, stream, NULL, &report, &e), ENOSPC);
                ck_assert_int_eq(e.kind, VOLUME_ERROR_NO_SPACE);
                ck_assert(e.has_space);
                ck_assert_uint_gt(e.needed, 512U * 1024U);
                ck_assert_uint_le(e.needed, 1024U * 1024U);
                ck_assert_uint_lt(e.available, e.needed);
                ck_assert_str_eq(e.path, "./big");
                small = safe_close(small);
                ASSERT_OK(umount(path));
        }
        end();
}
END_TEST

TESTS("volume-unpack", a_sound_stream_is_taken, names_that_leave_are_refused, long_names_are_refused,
                nothing_is_written_through_a_link, hard_links_stay_inside, hard_links_say_what_the_file_is,
                order_is_kept, other_types_are_not_supported, fields_that_no_volume_has, sizes_are_bounded,
                maps_are_strict, attributes_are_strict, attributes_of_nested_folders_are_bounded,
                records_are_strict, the_end_is_where_it_must_be, only_an_empty_folder_is_filled,
                what_the_folder_had_is_not_handed_on, a_full_disk_is_told)
