/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The inventory: one hash over all that is kept of a volume, as volume-format.h defines it. Lives on the
 * stack or in static memory, as VolumeContent. */

#include <sodium.h>

#include "volume-entry.h"
#include "volume-format.h"

typedef struct VolumeInventory {
        crypto_generichash_state state;
} VolumeInventory;

void volume_inventory_init(VolumeInventory *i);
/* In the stream's order. 'content' is the content hash of a file, else NULL. */
void volume_inventory_add(VolumeInventory *i, const VolumeEntry *e, const uint8_t *content);
void volume_inventory_final(VolumeInventory *i, uint8_t ret[static VOLUME_HASH]);
