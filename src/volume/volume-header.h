/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The blocks before the data of an entry: headers, and the map of a file with holes. */

#include "string-util.h"
#include "tar-header.h"
#include "volume-entry.h"

/* Appends them. -E2BIG: the extended header would be longer than is read; -ENOMEM. */
int volume_header_format(const VolumeEntry *e, StringBuilder *b);

/* Reads what a header and its extended header (of any size, also 0) say: all but the map of a file with
 * holes, which is left without segments. On -EBADMSG (not as it is written here) and -EOPNOTSUPP (of a kind
 * that is not written here) ret_why is a text that is static, and 'ret' is what is known of the entry so
 * far. The caller formats the whole again to be sure that it is as it was written. */
int volume_header_parse(
                const TarHeader *h, const char *pax, size_t size, VolumeEntry *ret, const char **ret_why);

/* Reads a map as it comes, byte by byte, into the segments of an entry. Starts with {}. */
typedef struct VolumeMap {
        uint64_t number, offset;
        unsigned n_digits;
        uint64_t n_numbers, n_expected;
} VolumeMap;

/* 1 when this was the last byte of the map, 0 before; -EBADMSG, -ENOMEM. */
int volume_map_feed(VolumeMap *m, VolumeEntry *e, char c);
