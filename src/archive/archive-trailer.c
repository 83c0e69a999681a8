/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "archive-trailer.h"

#include <endian.h>
#include <errno.h>
#include <sodium.h>
#include <string.h>

#define PURPOSE "ccp-backup-1 file"
#define MAGIC_OFFSET (ARCHIVE_TRAILER_SIZE - ARCHIVE_MAGIC_SIZE)
#define ROOT_OFFSET 16U
#define SIGNATURE_OFFSET (ROOT_OFFSET + ARCHIVE_HASH_SIZE)
#define ZERO_OFFSET (SIGNATURE_OFFSET + ARCHIVE_SIGNATURE_SIZE)
#define SIGNED_SIZE (STRLEN(PURPOSE) + SIGNATURE_OFFSET)

static void put_numbers(const ArchiveTrailer *t, uint8_t *ret) {
        uint64_t n[] = { htole64(t->manifest_offset), htole64(t->file_size) };

        memcpy(ret, n, sizeof(n));
}

static void put_signed(const ArchiveTrailer *t, uint8_t ret[SIGNED_SIZE]) {
        memcpy(ret, PURPOSE, STRLEN(PURPOSE));
        ret += STRLEN(PURPOSE);
        put_numbers(t, ret);
        memcpy(ret + ROOT_OFFSET, t->root, ARCHIVE_HASH_SIZE);
}

void archive_trailer_sign(ArchiveTrailer *t, const uint8_t signing_key[ARCHIVE_SIGNING_KEY_SIZE]) {
        uint8_t message[SIGNED_SIZE];

        put_signed(t, message);
        (void) crypto_sign_detached(t->signature, NULL, message, sizeof(message), signing_key);
}

bool archive_trailer_is_signed(const ArchiveTrailer *t, const uint8_t signer[ARCHIVE_KEY_SIZE]) {
        uint8_t message[SIGNED_SIZE];

        put_signed(t, message);
        return crypto_sign_verify_detached(t->signature, message, sizeof(message), signer) == 0;
}

void archive_trailer_write(const ArchiveTrailer *t, uint8_t ret[ARCHIVE_TRAILER_SIZE]) {
        static const uint8_t magic[ARCHIVE_MAGIC_SIZE] = ARCHIVE_TRAILER_MAGIC;

        memset(ret, 0, ARCHIVE_TRAILER_SIZE);
        put_numbers(t, ret);
        memcpy(ret + ROOT_OFFSET, t->root, ARCHIVE_HASH_SIZE);
        memcpy(ret + SIGNATURE_OFFSET, t->signature, ARCHIVE_SIGNATURE_SIZE);
        memcpy(ret + MAGIC_OFFSET, magic, sizeof(magic));
}

int archive_trailer_read(const uint8_t data[ARCHIVE_TRAILER_SIZE], ArchiveTrailer *ret) {
        static const uint8_t zero[MAGIC_OFFSET - ZERO_OFFSET] = {};
        uint64_t n[2];

        if (memcmp(data + MAGIC_OFFSET, ARCHIVE_TRAILER_MAGIC, ARCHIVE_MAGIC_SIZE) != 0 ||
                        memcmp(data + ZERO_OFFSET, zero, sizeof(zero)) != 0)
                return -EBADMSG;

        memcpy(n, data, sizeof(n));
        ret->manifest_offset = le64toh(n[0]);
        ret->file_size = le64toh(n[1]);
        memcpy(ret->root, data + ROOT_OFFSET, ARCHIVE_HASH_SIZE);
        memcpy(ret->signature, data + SIGNATURE_OFFSET, ARCHIVE_SIGNATURE_SIZE);
        return 0;
}
