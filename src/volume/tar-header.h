/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* One header block of a POSIX (ustar) archive. */

#include <stdint.h>

#include "ccp/macro.h"

#define TAR_BLOCK 512U
#define TAR_NAME_MAX 100U
#define TAR_ID_MAX 07777777U
#define TAR_NUMBER_MAX 077777777777ULL

typedef struct TarHeader {
        char name[TAR_NAME_MAX + 1], link[TAR_NAME_MAX + 1]; /* NUL-terminated */
        char type;
        uint32_t mode, uid, gid; /* at most TAR_ID_MAX */
        uint64_t size, mtime;    /* bytes, seconds; at most TAR_NUMBER_MAX */
} TarHeader;

/* Bytes from the end of 'size' bytes of content to that of their last block. */
static inline size_t tar_padding(uint64_t size) {
        return (size_t) (-size % TAR_BLOCK);
}

void tar_header_format(const TarHeader *h, char ret[static TAR_BLOCK]);

/* Reads a block. -EBADMSG: the checksum is wrong, or a field is not as we write it. -EPROTONOSUPPORT: it is
 * sound, but not ustar. The type is the caller's to judge, and that the unused fields are empty. */
int tar_header_parse(const char block[static TAR_BLOCK], TarHeader *ret);
