/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* How full the file systems are that nothing here can do without: those of ccpd, Docker, PostgreSQL and the journal. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct statvfs;

#define DISK_USE_MAX 4U

typedef struct DiskUse {
        char *path;          /* the first of those that are on it */
        unsigned percent;    /* of blocks or inodes, whichever is worse; rounded up */
        bool inodes;         /* the latter */
        uint64_t size, left; /* bytes, or inodes */
} DiskUse;

/* Asks the kernel; each file system once. 'docker_root' is where the Engine says that it keeps its data; NULL: as it is
 * configured. Returns how many there are, freed by disk_use_done(). */
size_t disk_use_read(const char *docker_root, DiskUse ret[static DISK_USE_MAX]);
void disk_use_done(DiskUse *l, size_t n);

/* As df(1) has it: what is kept for root is not there for others. Leaves the path alone. */
void disk_use_count(const struct statvfs *s, DiskUse *ret);
/* "91 % of its 20.0 GiB are used, 1.8 GiB are left"; NULL: out of memory. */
char *disk_use_describe(const DiskUse *u);
