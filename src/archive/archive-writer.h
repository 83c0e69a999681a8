/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Writes a backup file: one stream after the other, then the manifest. Nothing of it may be taken for a backup before
 * archive_writer_finish(), a sync, and a look at what is on the disk then (archive-reader.h). */

#include <jansson.h>

#include "archive-header.h"

typedef struct ArchiveWriter ArchiveWriter;

typedef struct ArchiveWriterOptions {
        unsigned n_threads; /* 0: none but the caller's */
        int level;          /* zstd's; 0: its default, 3 */
} ArchiveWriterOptions;

/* Writes the beginning to fd, which stays the caller's, at its offset 0. 'header' gets the id and the signer; it and the
 * signing key are borrowed until the writer is freed. */
int archive_writer_new(int fd, ArchiveHeader *header, const ArchiveSealers *sealers,
                const ArchiveWriterOptions *options, ArchiveWriter **ret, Error *reterr);
/* Returns NULL. */
ArchiveWriter *archive_writer_free(ArchiveWriter *w);
DEFINE_CLEANUP_FUNC(ArchiveWriter *, archive_writer_free);

/* Begins a stream. *ret_entry, borrowed, is what the manifest says of it: the caller may add keys to it until the end;
 * "name", "size" and "number" are ours. LimitExceeded beyond ARCHIVE_STREAMS_MAX. */
int archive_writer_begin(ArchiveWriter *w, const char *name, json_t **ret_entry, Error *reterr);

/* Where the next bytes of the stream go, and how many; then how many were put there. */
int archive_writer_room(ArchiveWriter *w, uint8_t **ret, size_t *ret_size, Error *reterr);
void archive_writer_advance(ArchiveWriter *w, size_t size);
/* Both, with a copy. */
int archive_writer_write(ArchiveWriter *w, const void *data, size_t size, Error *reterr);

int archive_writer_end(ArchiveWriter *w, Error *reterr);

/* Adds "streams" to the manifest, and writes it and the end of the file. */
int archive_writer_finish(ArchiveWriter *w, json_t *manifest, Error *reterr);

/* How long the file is by now. */
uint64_t archive_writer_size(const ArchiveWriter *w);
