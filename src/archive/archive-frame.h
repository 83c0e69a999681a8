/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* One frame of a backup file: compressing and sealing it, and the reverse. A codec serves one thread. */

#include "archive-key.h"
#include "error.h"

/* What a frame says of itself, in the 16 bytes before its ciphertext. */
typedef struct ArchiveFrame {
        uint32_t size; /* of the ciphertext, tag included */
        uint8_t type;  /* ArchiveFrameType */
        uint8_t flags; /* ArchiveFrameFlags */
        uint16_t stream;
        uint64_t index;
} ArchiveFrame;

/* Of a frame as it lies in the file. */
#define ARCHIVE_FRAME_SIZE_MAX (ARCHIVE_FRAME_SIZE + ARCHIVE_CHUNK_SIZE + ARCHIVE_TAG_SIZE)

typedef struct ArchiveCodec ArchiveCodec;

/* Borrows secrets and header MAC. 'level' is zstd's. NULL when out of memory. */
ArchiveCodec *archive_codec_new(
                const ArchiveSecrets *secrets, const uint8_t header_mac[ARCHIVE_MAC_SIZE], int level);
/* Returns NULL. */
ArchiveCodec *archive_codec_free(ArchiveCodec *c);
DEFINE_CLEANUP_FUNC(ArchiveCodec *, archive_codec_free);

/* Makes a frame of at most ARCHIVE_CHUNK_SIZE bytes in 'ret', which has room for ARCHIVE_FRAME_SIZE_MAX. 'frame' says
 * what it is; its size and whether it is compressed are set. Returns how long it is in the file. */
size_t archive_frame_seal(
                ArchiveCodec *c, ArchiveFrame *frame, const uint8_t *plain, size_t size, uint8_t *ret);

/* Reads those 16 bytes. -EBADMSG if no frame begins like that. */
int archive_frame_read(const uint8_t data[ARCHIVE_FRAME_SIZE], ArchiveFrame *ret);

/* Opens a frame whose 16 bytes were read before: 'data' begins with them. 'ret' has room for ARCHIVE_CHUNK_SIZE.
 * -EBADMSG if anything of it is not what was written. */
int archive_frame_open(ArchiveCodec *c, const ArchiveFrame *frame, const uint8_t *data, uint8_t *ret,
                size_t *ret_size);
/* The same, but does not unpack what is compressed and must be full, as all chunks of a stream but its last are: 'ret' is
 * not to be used then, and whether it is full is told by who opens it. */
int archive_frame_check(ArchiveCodec *c, const ArchiveFrame *frame, const uint8_t *data, uint8_t *ret,
                size_t *ret_size);
