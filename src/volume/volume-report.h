/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What a run of ccp-vol that went well has to tell. */

#include <stdint.h>

#include "ccp/macro.h"
#include "volume-format.h"

#define VOLUME_REPORT_MAX 100U

typedef struct VolumeSkipped {
        char *path, *why;
} VolumeSkipped;

typedef struct VolumeReport {
        uint64_t entries;
        uint64_t bytes; /* of all files, with their holes; a hard link has none. At most INT64_MAX */
        uint64_t stream; /* bytes that were written, for who reads them to compare; 0: none were, and it is not told */
        uint8_t inventory[VOLUME_HASH];
        uint64_t n_changed, n_skipped;
        char *changed[VOLUME_REPORT_MAX];         /* the first of them, escaped */
        VolumeSkipped skipped[VOLUME_REPORT_MAX]; /* the same */
} VolumeReport;

void volume_report_done(VolumeReport *r);
#define _cleanup_volume_report_ _cleanup_(volume_report_done)

/* Counts an entry; the size is at most INT64_MAX. */
void volume_report_count(VolumeReport *r, uint64_t size);

/* Paths as in the stream, any bytes. When out of memory it still counts. */
void volume_report_add_changed(VolumeReport *r, const char *path);
void volume_report_add_skipped(VolumeReport *r, const char *path, const char *format, ...) _printf_(3, 4);

/* One line without its end, ASCII. NULL when out of memory. */
char *volume_report_to_json(const VolumeReport *r);
