/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What instances use: read from the kernel's control groups and interfaces when somebody asks, never by itself;
 * and what they take of the disk, as ccp-measure recorded it. */

#include "ccpd-manager.h"

/* Forgets what it takes of the disk. */
void instance_disk_done(InstanceUse *u);

/* The bytes on disk of one kind, or of all (_DISK_KIND_INVALID), of a name or of all (NULL). USE_UNKNOWN if nothing of
 * it was measured. */
uint64_t instance_disk_sum(const Instance *i, DiskKind kind, const char *name);

typedef void (*UseCallback)(char *const *ids, void *userdata);
/* Reads what these instances (ids, which are copied) use, and if wanted each of their containers; a few at a time,
 * while others are served. What was read a moment ago is not read again. Then calls back, once, with the ids, of which some
 * may be gone. 0, then userdata is freed by free() after the callback, or instead of it; or a negative errno. */
int manager_read_use(Manager *m, char *const *ids, bool services, UseCallback callback, void *userdata);
/* Forgets those that are under way. */
void manager_forget_use(Manager *m);

/* Reads the records of the disk again. */
void manager_load_disk(Manager *m);
