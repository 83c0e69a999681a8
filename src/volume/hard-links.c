/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "hard-links.h"

#include <errno.h>
#include <sys/stat.h>

#include "alloc-util.h"

/* What the table has no memory for is not in it, and no end of the program. */
#define HASH_NONFATAL_OOM 1
#include "hash.h"

/* Device and inode. */
#define KEY_SIZE (2U * sizeof(uint64_t))

struct HardLink {
        char key[KEY_SIZE];
        char *name;
        nlink_t left; /* names that were not seen yet */
        struct timespec ctime;
        UT_hash_handle hh;
};

static void make_key(const struct stat *st, char ret[static KEY_SIZE]) {
        const uint64_t device = st->st_dev, inode = st->st_ino;

        memcpy(ret, &device, sizeof(device));
        memcpy(ret + sizeof(device), &inode, sizeof(inode));
}

static HardLink *hard_link_free(HardLink *h) {
        if (h)
                free(h->name);
        return mfree(h);
}
DEFINE_CLEANUP_FUNC(HardLink *, hard_link_free);

static void forget(HardLinks *l, HardLink *h) {
        HASH_DEL(l->links, h);
        hard_link_free(h);
}

void hard_links_done(HardLinks *l) {
        HardLink *h, *next;

        HASH_ITER(hh, l->links, h, next)
                forget(l, h);
}

int hard_links_add(HardLinks *l, const struct stat *st, const char *name) {
        _cleanup_(hard_link_freep) HardLink *h = NULL;

        h = new0(HardLink, 1);
        if (!h)
                return -ENOMEM;

        make_key(st, h->key);
        h->left = st->st_nlink - 1;
        h->ctime = st->st_ctim;
        h->name = strdup(name);
        if (!h->name)
                return -ENOMEM;

        HASH_ADD(hh, l->links, key, sizeof(h->key), h);
        if (!h->hh.tbl)
                return -ENOMEM;
        TAKE_PTR(h);
        return 0;
}

int hard_links_find(HardLinks *l, const struct stat *st, VolumeEntry *e) {
        char key[KEY_SIZE];
        HardLink *h;

        make_key(st, key);
        HASH_FIND(hh, l->links, key, sizeof(key), h);
        if (!h)
                return 0;

        if (h->ctime.tv_sec != st->st_ctim.tv_sec || h->ctime.tv_nsec != st->st_ctim.tv_nsec) {
                forget(l, h);
                return -ESTALE;
        }

        e->link = strdup(h->name);
        if (!e->link)
                return -ENOMEM;
        e->type = VOLUME_HARD_LINK;
        e->size = 0;

        if (--h->left == 0)
                forget(l, h);
        return 1;
}
