/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Frames at work: a ring of slots, which one thread fills and empties in order, while others do what takes time to each.
 * So frames are sealed or opened in parallel, and stay in the order of the file. */

#include "archive-frame.h"

typedef struct ArchiveSlot {
        ArchiveFrame frame;
        uint8_t *in, *out; /* each has room for ARCHIVE_FRAME_SIZE_MAX */
        size_t in_size, out_size;
        uint8_t hash[ARCHIVE_HASH_SIZE];
        int result; /* of the work */
        bool done;
} ArchiveSlot;

/* What is done to a slot by a thread with a codec of its own. NULL as codec: there are no keys. */
typedef void (*archive_work_t)(ArchiveCodec *codec, ArchiveSlot *slot);

typedef struct ArchivePool ArchivePool;

/* 'n_threads' 0: the work is done when it is asked for, by who asks. Borrows the secrets, which may be NULL. */
int archive_pool_new(unsigned n_threads, const ArchiveSecrets *secrets, const uint8_t *header_mac, int level,
                archive_work_t work, ArchivePool **ret);
/* Ends the threads. Returns NULL. */
ArchivePool *archive_pool_free(ArchivePool *p);
DEFINE_CLEANUP_FUNC(ArchivePool *, archive_pool_free);

/* The slot that is filled next, NULL as long as all are at work. */
ArchiveSlot *archive_pool_next(ArchivePool *p);
/* Gives that one to work. */
void archive_pool_submit(ArchivePool *p);
/* The oldest of those at work, once it is done; NULL if there is none. */
ArchiveSlot *archive_pool_wait(ArchivePool *p);
/* It may be filled again. */
void archive_pool_release(ArchivePool *p);

/* How many threads serve well here. */
unsigned archive_pool_threads(void);
