/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The root of a backup file: a hash of the hashes of its parts, in their order. The parts are all that lies before the
 * frames, and each frame. So threads can hash parts, and who has no key can tell that nothing was changed. */

#include <sodium.h>

#include "archive-format.h"

typedef crypto_generichash_state ArchiveRoot;

void archive_root_init(ArchiveRoot *r);
/* The hash of one part as it lies in the file. */
void archive_root_hash(const uint8_t *data, size_t size, uint8_t ret[ARCHIVE_HASH_SIZE]);
void archive_root_add(ArchiveRoot *r, const uint8_t hash[ARCHIVE_HASH_SIZE]);
void archive_root_finish(ArchiveRoot *r, uint8_t ret[ARCHIVE_HASH_SIZE]);
