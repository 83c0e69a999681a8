/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The content hash of a file that is being read, calculated in a thread beside reading and writing it: it
 * takes as long as both of them. The one thread of this program, which has nothing but these buffers. Lives
 * on the stack, as VolumeContent. */

#include <pthread.h>

#include "volume-content.h"

#define VOLUME_HASHER_BUFFER (256U * 1024U)
#define VOLUME_HASHER_BUFFERS 4U

typedef struct VolumeHasher {
        VolumeContent content; /* the thread's, as long as not all buffers are done */
        char *buffers;
        size_t sizes[VOLUME_HASHER_BUFFERS];
        uint64_t n_given, n_done; /* buffers, ever */
        pthread_mutex_t mutex;
        pthread_cond_t changed;
        pthread_t thread;
        bool has_thread, in_thread, stop;
} VolumeHasher;

/* 0 or a negative errno. Without a thread, which is no failure, all is done at once. */
int volume_hasher_init(VolumeHasher *h);
/* Also for one that is all zeros. */
void volume_hasher_done(VolumeHasher *h);

/* A file of that size begins. 'in_thread': it is worth the handing over. */
void volume_hasher_begin(VolumeHasher *h, uint64_t size, bool in_thread);
/* A buffer of VOLUME_HASHER_BUFFER bytes to read into. */
char *volume_hasher_get_buffer(VolumeHasher *h);
/* Adds the first bytes of that buffer. They may be read, but not changed, until the next one is gotten. */
void volume_hasher_add_buffer(VolumeHasher *h, size_t size);
void volume_hasher_add_zeros(VolumeHasher *h, uint64_t size);
void volume_hasher_final(VolumeHasher *h, uint8_t ret[static VOLUME_HASH]);
