/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The files with several names that a walk has met: by inode, until all their names were seen. */

#include "volume-entry.h"

typedef struct HardLink HardLink;

typedef struct HardLinks {
        HardLink *links;
} HardLinks;

void hard_links_done(HardLinks *l);

/* Remembers the first name. 0 or -ENOMEM. */
int hard_links_add(HardLinks *l, const struct stat *st, const char *name);
/* If the file has a name already, makes the entry, which is set from 'st', a link to that: 1. Otherwise 0.
 * -ESTALE: it was changed since, and may be another one with the same number; it is forgotten. -ENOMEM. */
int hard_links_find(HardLinks *l, const struct stat *st, VolumeEntry *e);
