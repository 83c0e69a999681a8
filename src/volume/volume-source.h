/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What pack reads of the disk beside contents. */

#include "volume-entry.h"
#include "volume-report.h"

/* The names in a folder, each once, sorted by their bytes. */
typedef struct VolumeNames {
        char *data;
        const char **names;
        size_t n;
} VolumeNames;

void volume_names_done(VolumeNames *n);
#define _cleanup_volume_names_ _cleanup_(volume_names_done)

/* The descriptor stays the caller's. */
int volume_names_read(int fd, VolumeNames *ret);

/* Adds the extended attributes that are kept; of what is not, the report hears. 'fd' may be O_PATH, for
 * which /proc must be mounted. -E2BIG: more than the kernel lists at once. */
int volume_xattrs_read(int fd, VolumeEntry *e, VolumeReport *report);

/* Fills the segments if the file has holes. Beyond 'max' segments the smallest holes count as data. */
int volume_segments_read(int fd, VolumeEntry *e, size_t max);
