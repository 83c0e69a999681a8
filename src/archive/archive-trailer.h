/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The end of a backup file: that all of it is there, and who wrote it. */

#include "archive-format.h"

typedef struct ArchiveTrailer {
        uint64_t manifest_offset, file_size;
        uint8_t root[ARCHIVE_HASH_SIZE]; /* BLAKE2b-256 of the hashes of all before the frames, and of each frame */
        uint8_t signature[ARCHIVE_SIGNATURE_SIZE];
} ArchiveTrailer;

/* Signs the other fields, and by the root all of the file. */
void archive_trailer_sign(ArchiveTrailer *t, const uint8_t signing_key[ARCHIVE_SIGNING_KEY_SIZE]);
/* Whether it was signed by the owner of that key. */
bool archive_trailer_is_signed(const ArchiveTrailer *t, const uint8_t signer[ARCHIVE_KEY_SIZE]);

void archive_trailer_write(const ArchiveTrailer *t, uint8_t ret[ARCHIVE_TRAILER_SIZE]);
/* -EBADMSG if nothing ends like that. */
int archive_trailer_read(const uint8_t data[ARCHIVE_TRAILER_SIZE], ArchiveTrailer *ret);
