/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "volume-inventory.h"

#include <endian.h>

#include "string-util.h"

static void add_field(VolumeInventory *i, const void *data, size_t size) {
        uint64_t le = htole64(size);

        (void) crypto_generichash_update(&i->state, (const unsigned char *) &le, sizeof(le));
        (void) crypto_generichash_update(&i->state, data, size);
}

static void add_text(VolumeInventory *i, const char *s) {
        add_field(i, s, strlen(s));
}

static void add_number(VolumeInventory *i, uint64_t n) {
        uint64_t le = htole64(n);

        add_field(i, &le, sizeof(le));
}

void volume_inventory_init(VolumeInventory *i) {
        (void) crypto_generichash_init(&i->state, NULL, 0, VOLUME_HASH);
        add_text(i, "ccp-vol inventory 1");
}

void volume_inventory_add(VolumeInventory *i, const VolumeEntry *e, const uint8_t *content) {
        const char type = (char) e->type;

        add_text(i, e->name);
        add_field(i, &type, 1);
        add_number(i, e->mode);
        add_number(i, e->uid);
        add_number(i, e->gid);
        add_number(i, e->size);
        add_number(i, (uint64_t) e->mtime.tv_sec);
        add_number(i, (uint64_t) e->mtime.tv_nsec);
        add_text(i, strempty(e->link));
        add_number(i, e->n_xattrs);
        FOREACH_ARRAY(x, e->xattrs, e->n_xattrs) {
                add_text(i, x->name);
                add_field(i, x->value, x->size);
        }
        add_field(i, content, content ? VOLUME_HASH : 0);
}

void volume_inventory_final(VolumeInventory *i, uint8_t ret[static VOLUME_HASH]) {
        (void) crypto_generichash_final(&i->state, ret, VOLUME_HASH);
}
