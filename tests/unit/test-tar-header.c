/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "tar-header.h"
#include "test.h"

static const TarHeader full = {
        .name = "./a/file",
        .link = "./b",
        .type = '0',
        .mode = 04755,
        .uid = TAR_ID_MAX,
        .gid = 1000,
        .size = TAR_NUMBER_MAX,
        .mtime = 1234567890,
};

START_TEST(block_is_as_posix_has_it) {
        char block[TAR_BLOCK];
        unsigned sum = 0;

        tar_header_format(&full, block);
        ck_assert_str_eq(block, "./a/file");
        ck_assert_str_eq(block + 100, "0004755");
        ck_assert_str_eq(block + 108, "7777777");
        ck_assert_str_eq(block + 116, "0001750");
        ck_assert_str_eq(block + 124, "77777777777");
        ck_assert_str_eq(block + 136, "11145401322");
        ck_assert_int_eq(block[156], '0');
        ck_assert_str_eq(block + 157, "./b");
        ck_assert_mem_eq(block + 257,
                        "ustar\0"
                        "00",
                        8);
        ck_assert_str_eq(block + 265, "");
        ck_assert_str_eq(block + 297, "");
        ck_assert_str_eq(block + 329, "0000000");
        ck_assert_str_eq(block + 337, "0000000");
        ck_assert_str_eq(block + 345, "");

        for (size_t i = 0; i < TAR_BLOCK; i++)
                sum += i >= 148 && i < 156 ? ' ' : (unsigned char) block[i];
        ck_assert_uint_eq(strtoul(block + 148, NULL, 8), sum);
        ck_assert_mem_eq(block + 154, "\0 ", 2);
}
END_TEST

START_TEST(what_is_written_is_read) {
        char block[TAR_BLOCK], again[TAR_BLOCK];
        TarHeader h, longest = full;

        tar_header_format(&full, block);
        ASSERT_OK(tar_header_parse(block, &h));
        ck_assert_str_eq(h.name, full.name);
        ck_assert_str_eq(h.link, full.link);
        ck_assert_int_eq(h.type, '0');
        ck_assert_uint_eq(h.mode, full.mode);
        ck_assert_uint_eq(h.uid, full.uid);
        ck_assert_uint_eq(h.gid, full.gid);
        ck_assert_uint_eq(h.size, full.size);
        ck_assert_uint_eq(h.mtime, full.mtime);

        /* Names that fill their fields have no NUL there. */
        memset(longest.name, 'n', TAR_NAME_MAX);
        memset(longest.link, 'l', TAR_NAME_MAX);
        tar_header_format(&longest, block);
        ASSERT_OK(tar_header_parse(block, &h));
        ck_assert_str_eq(h.name, longest.name);
        ck_assert_str_eq(h.link, longest.link);
        tar_header_format(&h, again);
        ck_assert_mem_eq(block, again, TAR_BLOCK);
}
END_TEST

START_TEST(each_changed_byte_is_seen) {
        char block[TAR_BLOCK];
        TarHeader h;

        tar_header_format(&full, block);
        for (size_t i = 0; i < TAR_BLOCK; i++) {
                char c = block[i];

                block[i] = (char) (c ^ 1);
                /* The last byte of the checksum's own field says nothing. */
                if (i != 155)
                        ASSERT_ERROR(tar_header_parse(block, &h), EBADMSG);
                block[i] = c;
        }
        ASSERT_OK(tar_header_parse(block, &h));
}
END_TEST

static void repair(char block[static TAR_BLOCK]) {
        unsigned sum = 0;

        for (size_t i = 0; i < TAR_BLOCK; i++)
                sum += i >= 148 && i < 156 ? ' ' : (unsigned char) block[i];
        (void) snprintf(block + 148, 8, "%06o", sum);
        block[155] = ' ';
}

START_TEST(other_kinds_are_told_apart) {
        char block[TAR_BLOCK];
        TarHeader h;

        /* GNU's own format. */
        tar_header_format(&full, block);
        memcpy(block + 257, "ustar  ", 8);
        repair(block);
        ASSERT_ERROR(tar_header_parse(block, &h), EPROTONOSUPPORT);

        /* A number in binary, one with spaces, one without its end. */
        tar_header_format(&full, block);
        block[124] = (char) 0x80;
        repair(block);
        ASSERT_ERROR(tar_header_parse(block, &h), EBADMSG);
        tar_header_format(&full, block);
        memset(block + 108, ' ', 3);
        repair(block);
        ASSERT_ERROR(tar_header_parse(block, &h), EBADMSG);
        tar_header_format(&full, block);
        block[107] = '7';
        repair(block);
        ASSERT_ERROR(tar_header_parse(block, &h), EBADMSG);
}
END_TEST

START_TEST(padding_fills_the_last_block) {
        ck_assert_uint_eq(tar_padding(0), 0);
        ck_assert_uint_eq(tar_padding(1), 511);
        ck_assert_uint_eq(tar_padding(512), 0);
        ck_assert_uint_eq(tar_padding(UINT64_MAX), 1);
}
END_TEST

TESTS("tar-header", block_is_as_posix_has_it, what_is_written_is_read, each_changed_byte_is_seen,
                other_kinds_are_told_apart, padding_fills_the_last_block)
