/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "archive-root.h"

static_assert(ARCHIVE_HASH_SIZE == crypto_generichash_BYTES, "hash");

void archive_root_init(ArchiveRoot *r) {
        (void) crypto_generichash_init(r, NULL, 0, ARCHIVE_HASH_SIZE);
}

void archive_root_hash(const uint8_t *data, size_t size, uint8_t ret[ARCHIVE_HASH_SIZE]) {
        (void) crypto_generichash(ret, ARCHIVE_HASH_SIZE, data, size, NULL, 0);
}

void archive_root_add(ArchiveRoot *r, const uint8_t hash[ARCHIVE_HASH_SIZE]) {
        (void) crypto_generichash_update(r, hash, ARCHIVE_HASH_SIZE);
}

void archive_root_finish(ArchiveRoot *r, uint8_t ret[ARCHIVE_HASH_SIZE]) {
        (void) crypto_generichash_final(r, ret, ARCHIVE_HASH_SIZE);
}
