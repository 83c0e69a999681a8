/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The content hash of a file, as volume-format.h defines it, over bytes that come in pieces of any size.
 * Live on the stack or in static memory: libsodium's states are aligned to 64 bytes. */

#include <sodium.h>

#include "ccp/macro.h"
#include "volume-format.h"

typedef struct VolumeContent {
        crypto_generichash_state all, block;
        uint64_t zero_blocks; /* a row of them that is not in 'all' yet */
        size_t filled;        /* bytes of the block */
        bool started;         /* the block is in 'block', as it has other bytes than 0 */
} VolumeContent;

void volume_content_init(VolumeContent *c, uint64_t size);
void volume_content_add(VolumeContent *c, const void *data, size_t size);
void volume_content_add_zeros(VolumeContent *c, uint64_t size);
/* As many bytes as were announced must have been added. */
void volume_content_final(VolumeContent *c, uint8_t ret[static VOLUME_HASH]);
