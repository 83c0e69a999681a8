/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "uid-limit.h"

#include "alloc-util.h"
#include "hash.h"

/* Users that are kept in mind; above, those are forgotten who have been quiet long enough to start anew. */
#define BUCKETS_MAX 4096U

typedef struct Bucket {
        uid_t uid;
        double tokens;
        usec_t filled_at;
        unsigned refused;
        UT_hash_handle hh;
} Bucket;

struct UidLimit {
        unsigned rate, burst;
        Bucket *buckets;
};

UidLimit *uid_limit_new(unsigned rate, unsigned burst) {
        UidLimit *l;

        l = new0(UidLimit, 1);
        if (!l)
                return NULL;

        *l = (UidLimit) { .rate = rate, .burst = burst };
        return l;
}

static void bucket_free(UidLimit *l, Bucket *b) {
        HASH_DEL(l->buckets, b);
        free(b);
}

UidLimit *uid_limit_free(UidLimit *l) {
        if (!l)
                return NULL;

        while (l->buckets)
                bucket_free(l, l->buckets);
        return mfree(l);
}

static void bucket_fill(const UidLimit *l, Bucket *b, usec_t when) {
        if (when > b->filled_at)
                b->tokens += (double) (when - b->filled_at) * l->rate / (double) USEC_PER_SEC;
        b->tokens = MIN(b->tokens, (double) l->burst);
        b->filled_at = when;
}

static void forget_quiet(UidLimit *l, usec_t when) {
        Bucket *b, *next;

        for (b = l->buckets; b; b = next) {
                next = b->hh.next;
                bucket_fill(l, b, when);
                if (b->tokens + 0.5 >= (double) l->burst)
                        bucket_free(l, b);
        }
}

static Bucket *bucket_get(UidLimit *l, uid_t uid, usec_t when) {
        Bucket *b;

        HASH_FIND(hh, l->buckets, &uid, sizeof(uid), b);
        if (b)
                return b;

        if (HASH_COUNT(l->buckets) >= BUCKETS_MAX)
                forget_quiet(l, when);
        if (HASH_COUNT(l->buckets) >= BUCKETS_MAX)
                return NULL;

        b = new0(Bucket, 1);
        if (!b)
                return NULL;
        *b = (Bucket) { .uid = uid, .tokens = l->burst, .filled_at = when };
        HASH_ADD(hh, l->buckets, uid, sizeof(b->uid), b);
        return b;
}

bool uid_limit_take(UidLimit *l, uid_t uid, usec_t when, unsigned *ret_refused) {
        Bucket *b = bucket_get(l, uid, when);
        bool granted;

        if (b)
                bucket_fill(l, b, when);
        granted = b && b->tokens >= 1;
        if (granted)
                b->tokens -= 1;
        else if (b)
                b->refused++;
        if (ret_refused)
                *ret_refused = b ? b->refused : 1;
        return granted;
}

unsigned uid_limit_reset_refused(UidLimit *l, uid_t uid) {
        unsigned n;
        Bucket *b;

        HASH_FIND(hh, l->buckets, &uid, sizeof(uid), b);
        if (!b)
                return 0;

        n = b->refused;
        b->refused = 0;
        return n;
}
