/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "volume-content.h"

#include <endian.h>
#include <string.h>

enum {
        RECORD_ZEROS,
        RECORD_DATA,
};

static const unsigned char zeros[4096];

static void add_record(VolumeContent *c, unsigned char kind, const void *data, size_t size) {
        (void) crypto_generichash_update(&c->all, &kind, 1);
        (void) crypto_generichash_update(&c->all, data, size);
}

static bool is_zero(const unsigned char *p, size_t n) {
        return n == 0 || (p[0] == 0 && memcmp(p, p + 1, n - 1) == 0);
}

void volume_content_init(VolumeContent *c, uint64_t size) {
        uint64_t le = htole64(size);

        c->zero_blocks = 0;
        c->filled = 0;
        c->started = false;
        (void) crypto_generichash_init(&c->all, NULL, 0, VOLUME_HASH);
        (void) crypto_generichash_update(&c->all, (const unsigned char *) &le, sizeof(le));
}

static void block_add_zeros(VolumeContent *c, size_t n) {
        for (size_t k; n > 0; n -= k) {
                k = MIN(n, sizeof(zeros));
                (void) crypto_generichash_update(&c->block, zeros, k);
        }
}

static void flush_zero_blocks(VolumeContent *c) {
        uint64_t le = htole64(c->zero_blocks);

        if (c->zero_blocks > 0)
                add_record(c, RECORD_ZEROS, &le, sizeof(le));
        c->zero_blocks = 0;
}

static void finish_block(VolumeContent *c) {
        uint8_t leaf[VOLUME_HASH];

        if (c->started) {
                flush_zero_blocks(c);
                (void) crypto_generichash_final(&c->block, leaf, sizeof(leaf));
                add_record(c, RECORD_DATA, leaf, sizeof(leaf));
        } else
                c->zero_blocks++;

        c->filled = 0;
        c->started = false;
}

static void block_add(VolumeContent *c, const unsigned char *p, size_t n) {
        if (!c->started && !is_zero(p, n)) {
                (void) crypto_generichash_init(&c->block, NULL, 0, VOLUME_HASH);
                block_add_zeros(c, c->filled);
                c->started = true;
        }
        if (c->started)
                (void) crypto_generichash_update(&c->block, p, n);

        c->filled += n;
        if (c->filled == VOLUME_BLOCK)
                finish_block(c);
}

void volume_content_add(VolumeContent *c, const void *data, size_t size) {
        const unsigned char *p = data;

        for (size_t k; size > 0; p += k, size -= k) {
                k = MIN(size, VOLUME_BLOCK - c->filled);
                block_add(c, p, k);
        }
}

void volume_content_add_zeros(VolumeContent *c, uint64_t size) {
        while (size > 0) {
                size_t k;

                if (c->filled == 0 && size >= VOLUME_BLOCK) {
                        c->zero_blocks += size / VOLUME_BLOCK;
                        size %= VOLUME_BLOCK;
                        continue;
                }

                k = (size_t) MIN(size, (uint64_t) (VOLUME_BLOCK - c->filled));
                if (c->started)
                        block_add_zeros(c, k);
                c->filled += k;
                size -= k;
                if (c->filled == VOLUME_BLOCK)
                        finish_block(c);
        }
}

void volume_content_final(VolumeContent *c, uint8_t ret[static VOLUME_HASH]) {
        if (c->filled > 0)
                finish_block(c);
        flush_zero_blocks(c);
        (void) crypto_generichash_final(&c->all, ret, VOLUME_HASH);
}
