/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The stream on its way in. Anybody may have written it: only what pack writes is taken, byte for byte, and
 * nothing is allocated for more than a limit of volume-format.h. */

#include "string-util.h"
#include "volume-entry.h"
#include "volume-error.h"

typedef struct VolumeReader {
        int fd; /* borrowed */
        char *buffer;
        size_t begin, end;        /* what of it was not taken yet */
        uint64_t left;            /* of the content of the entry, with what fills its last block */
        size_t padding;           /* of these, what fills it */
        StringBuilder raw, again; /* the headers of the entry: as they came, and as they must be */
        char *last;               /* the name before, for messages; NULL before the first */
} VolumeReader;

/* 0 or -ENOMEM. */
int volume_reader_init(VolumeReader *r, int fd);
void volume_reader_done(VolumeReader *r);

/* Reads the next entry: 1, or 0 at the end, which is the end of the input too. All content of the entry
 * before must have been taken. 'ret' is freed by the caller, also on failure. */
int volume_reader_next(VolumeReader *r, VolumeEntry *ret, VolumeError *reterr);

/* The next bytes of the entry's content as it is stored, at most 'max' (which is not 0), at least one.
 * There must be some left: the caller counts. They stay until the next call. */
int volume_reader_take(
                VolumeReader *r, uint64_t max, const char **ret, size_t *ret_size, VolumeError *reterr);
