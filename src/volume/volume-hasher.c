/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "volume-hasher.h"

#include <errno.h>

#include "alloc-util.h"

static char *buffer_at(const VolumeHasher *h, uint64_t n) {
        return h->buffers + n % VOLUME_HASHER_BUFFERS * VOLUME_HASHER_BUFFER;
}

static void *run(void *userdata) {
        VolumeHasher *h = userdata;

        (void) pthread_mutex_lock(&h->mutex);
        for (;;) {
                uint64_t n = h->n_done;

                if (n == h->n_given) {
                        if (h->stop)
                                break;
                        (void) pthread_cond_wait(&h->changed, &h->mutex);
                        continue;
                }

                (void) pthread_mutex_unlock(&h->mutex);
                volume_content_add(&h->content, buffer_at(h, n), h->sizes[n % VOLUME_HASHER_BUFFERS]);
                (void) pthread_mutex_lock(&h->mutex);
                h->n_done++;
                (void) pthread_cond_broadcast(&h->changed);
        }
        (void) pthread_mutex_unlock(&h->mutex);
        return NULL;
}

int volume_hasher_init(VolumeHasher *h) {
        int r;

        h->buffers = malloc((size_t) VOLUME_HASHER_BUFFERS * VOLUME_HASHER_BUFFER);
        if (!h->buffers)
                return -ENOMEM;

        r = pthread_mutex_init(&h->mutex, NULL);
        if (r == 0)
                r = pthread_cond_init(&h->changed, NULL);
        if (r != 0)
                return -r;

        /* A container may be allowed one task only. */
        h->has_thread = pthread_create(&h->thread, NULL, run, h) == 0;
        return 0;
}

void volume_hasher_done(VolumeHasher *h) {
        if (h->has_thread) {
                (void) pthread_mutex_lock(&h->mutex);
                h->stop = true;
                (void) pthread_cond_broadcast(&h->changed);
                (void) pthread_mutex_unlock(&h->mutex);
                (void) pthread_join(h->thread, NULL);
                h->has_thread = false;
        }
        h->buffers = mfree(h->buffers);
}

/* Until at most so many buffers are with the thread. */
static void wait_for_thread(VolumeHasher *h, uint64_t n) {
        (void) pthread_mutex_lock(&h->mutex);
        while (h->n_given - h->n_done > n)
                (void) pthread_cond_wait(&h->changed, &h->mutex);
        (void) pthread_mutex_unlock(&h->mutex);
}

void volume_hasher_begin(VolumeHasher *h, uint64_t size, bool in_thread) {
        h->in_thread = in_thread && h->has_thread;
        volume_content_init(&h->content, size);
}

char *volume_hasher_get_buffer(VolumeHasher *h) {
        if (h->in_thread)
                wait_for_thread(h, VOLUME_HASHER_BUFFERS - 1);

        return buffer_at(h, h->n_given);
}

void volume_hasher_add_buffer(VolumeHasher *h, size_t size) {
        if (!h->in_thread) {
                volume_content_add(&h->content, buffer_at(h, h->n_given), size);
                return;
        }

        (void) pthread_mutex_lock(&h->mutex);
        h->sizes[h->n_given++ % VOLUME_HASHER_BUFFERS] = size;
        (void) pthread_cond_broadcast(&h->changed);
        (void) pthread_mutex_unlock(&h->mutex);
}

void volume_hasher_add_zeros(VolumeHasher *h, uint64_t size) {
        if (size == 0)
                return;

        if (h->in_thread)
                wait_for_thread(h, 0);
        volume_content_add_zeros(&h->content, size);
}

void volume_hasher_final(VolumeHasher *h, uint8_t ret[static VOLUME_HASH]) {
        if (h->in_thread)
                wait_for_thread(h, 0);
        volume_content_final(&h->content, ret);
}
