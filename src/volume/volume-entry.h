/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* One entry of a volume: what its header in the stream says. */

#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#include "ccp/macro.h"

struct stat;

/* The values are those of the stream. */
typedef enum VolumeType {
        VOLUME_FILE = '0',
        VOLUME_HARD_LINK = '1',
        VOLUME_SYMLINK = '2',
        VOLUME_FOLDER = '5',
        VOLUME_FIFO = '6',
} VolumeType;

typedef struct VolumeXattr {
        char *name, *value; /* the value is any bytes */
        size_t size;
} VolumeXattr;

typedef struct VolumeSegment {
        uint64_t offset, size;
} VolumeSegment;

typedef struct VolumeEntry {
        char *name; /* as in the stream */
        char *link; /* of links, else NULL */
        VolumeType type;
        mode_t mode; /* without the type */
        uid_t uid;
        gid_t gid;
        uint64_t size; /* of a file, with its holes */
        struct timespec mtime;
        VolumeXattr *xattrs; /* sorted by name */
        size_t n_xattrs, xattrs_allocated;
        VolumeSegment *segments; /* where the data are, if it has holes */
        size_t n_segments, segments_allocated;
        bool sparse;
} VolumeEntry;

void volume_entry_done(VolumeEntry *e);
#define _cleanup_volume_entry_ _cleanup_(volume_entry_done)

/* Sets all but names, attributes and segments; the type is that of the inode. */
void volume_entry_set_stat(VolumeEntry *e, const struct stat *st);

/* Takes copies. 0 or -ENOMEM. */
int volume_entry_add_xattr(
                VolumeEntry *e, const char *name, size_t name_size, const void *value, size_t size);
void volume_entry_sort_xattrs(VolumeEntry *e);
int volume_entry_add_segment(VolumeEntry *e, uint64_t offset, uint64_t size);

/* Bytes of all attributes, with their names. */
size_t volume_entry_xattrs_size(const VolumeEntry *e);

/* Bytes of content in the stream, without a map. */
uint64_t volume_entry_data_size(const VolumeEntry *e);

/* Those that make up a volume. Others belong to the machine (labels, measurements), or need more rights. */
bool volume_xattr_is_kept(const char *name);

/* As volume-format.h has it, for that type. */
bool volume_name_is_valid(const char *name, VolumeType type);
