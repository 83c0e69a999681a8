/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "archive-pool.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>

#include "alloc-util.h"

/* More make nothing faster: one thread reads or writes. */
#define THREADS_MAX 8U
/* Slots besides those at work, so that nobody waits for the file. */
#define SLOTS_SPARE 2U

typedef struct PoolThread {
        ArchivePool *pool;
        ArchiveCodec *codec;
        pthread_t id;
        bool started;
} PoolThread;

struct ArchivePool {
        archive_work_t work;
        PoolThread threads[THREADS_MAX];
        unsigned n_threads; /* 0: the first codec is used by the caller */

        ArchiveSlot *slots;
        size_t n_slots;
        /* Counted on and on; a slot is the remainder. oldest <= begun <= submitted <= oldest + n_slots */
        uint64_t oldest, begun, submitted;
        bool ending;
        pthread_mutex_t lock;
        pthread_cond_t some_submitted, some_done;
};

static ArchiveSlot *slot_at(ArchivePool *p, uint64_t number) {
        return p->slots + number % p->n_slots;
}

static void *run_thread(void *userdata) {
        PoolThread *t = userdata;
        ArchivePool *p = t->pool;

        (void) pthread_mutex_lock(&p->lock);
        for (;;) {
                ArchiveSlot *s;

                while (!p->ending && p->begun == p->submitted)
                        (void) pthread_cond_wait(&p->some_submitted, &p->lock);
                if (p->ending)
                        break;

                s = slot_at(p, p->begun++);
                (void) pthread_mutex_unlock(&p->lock);
                p->work(t->codec, s);
                (void) pthread_mutex_lock(&p->lock);
                s->done = true;
                (void) pthread_cond_signal(&p->some_done);
        }
        (void) pthread_mutex_unlock(&p->lock);
        return NULL;
}

ArchivePool *archive_pool_free(ArchivePool *p) {
        if (!p)
                return NULL;

        (void) pthread_mutex_lock(&p->lock);
        p->ending = true;
        (void) pthread_cond_broadcast(&p->some_submitted);
        (void) pthread_mutex_unlock(&p->lock);
        FOREACH_ARRAY(t, p->threads, ELEMENTSOF(p->threads)) {
                if (t->started)
                        (void) pthread_join(t->id, NULL);
                archive_codec_free(t->codec);
        }

        FOREACH_ARRAY(s, p->slots, p->n_slots) {
                free(s->in);
                free(s->out);
        }
        free(p->slots);
        (void) pthread_mutex_destroy(&p->lock);
        (void) pthread_cond_destroy(&p->some_submitted);
        (void) pthread_cond_destroy(&p->some_done);
        return mfree(p);
}

static int make_slots(ArchivePool *p) {
        /* Without threads there is never more than one at work. */
        p->n_slots = p->n_threads > 0 ? 2 * (size_t) p->n_threads + SLOTS_SPARE : 1;
        p->slots = new0(ArchiveSlot, p->n_slots);
        if (!p->slots)
                return -ENOMEM;

        FOREACH_ARRAY(s, p->slots, p->n_slots) {
                s->in = malloc(ARCHIVE_FRAME_SIZE_MAX);
                s->out = malloc(ARCHIVE_FRAME_SIZE_MAX);
                if (!s->in || !s->out)
                        return -ENOMEM;
        }

        return 0;
}

int archive_pool_new(unsigned n_threads, const ArchiveSecrets *secrets, const uint8_t *header_mac, int level,
                archive_work_t work, ArchivePool **ret) {
        _cleanup_(archive_pool_freep) ArchivePool *p = new0(ArchivePool, 1);
        int r;

        if (!p)
                return -ENOMEM;

        *p = (ArchivePool) { .work = work, .n_threads = MIN(n_threads, THREADS_MAX) };
        (void) pthread_mutex_init(&p->lock, NULL);
        (void) pthread_cond_init(&p->some_submitted, NULL);
        (void) pthread_cond_init(&p->some_done, NULL);
        r = make_slots(p);
        if (r < 0)
                return r;

        for (unsigned i = 0; i < MAX(p->n_threads, 1U); i++) {
                PoolThread *t = p->threads + i;

                t->pool = p;
                if (secrets) {
                        t->codec = archive_codec_new(secrets, header_mac, level);
                        if (!t->codec)
                                return -ENOMEM;
                }
                if (p->n_threads == 0)
                        break;
                r = pthread_create(&t->id, NULL, run_thread, t);
                if (r != 0)
                        return -r;
                t->started = true;
        }

        *ret = TAKE_PTR(p);
        return 0;
}

ArchiveSlot *archive_pool_next(ArchivePool *p) {
        return p->submitted - p->oldest < p->n_slots ? slot_at(p, p->submitted) : NULL;
}

void archive_pool_submit(ArchivePool *p) {
        ArchiveSlot *s = slot_at(p, p->submitted);

        if (p->n_threads == 0) {
                p->submitted++;
                p->work(p->threads[0].codec, s);
                s->done = true;
                return;
        }

        (void) pthread_mutex_lock(&p->lock);
        s->done = false;
        p->submitted++;
        (void) pthread_cond_signal(&p->some_submitted);
        (void) pthread_mutex_unlock(&p->lock);
}

ArchiveSlot *archive_pool_wait(ArchivePool *p) {
        ArchiveSlot *s = slot_at(p, p->oldest);

        if (p->oldest == p->submitted)
                return NULL;
        if (p->n_threads == 0)
                return s;

        (void) pthread_mutex_lock(&p->lock);
        while (!s->done)
                (void) pthread_cond_wait(&p->some_done, &p->lock);
        (void) pthread_mutex_unlock(&p->lock);
        return s;
}

void archive_pool_release(ArchivePool *p) {
        p->oldest++;
}

unsigned archive_pool_threads(void) {
        cpu_set_t set;

        if (sched_getaffinity(0, sizeof(set), &set) < 0)
                return 1;
        return MIN((unsigned) CPU_COUNT(&set), THREADS_MAX);
}
