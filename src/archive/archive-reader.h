/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Reads a backup file. What it gives is what was written: every byte is authenticated before anybody sees it, and
 * nothing is given of a file that was not looked at as a whole. The errors are BackupDamaged, with the place;
 * BackupTooNew; KeyMissing; and Internal where the file cannot be read. */

#include <jansson.h>

#include "archive-header.h"

typedef struct ArchiveReader ArchiveReader;

typedef struct ArchiveReaderOptions {
        unsigned n_threads; /* 0: none but the caller's */
        /* Called after each frame with how far the file was read; non-zero ends it and is returned. */
        int (*progress)(uint64_t at, uint64_t size, void *userdata);
        void *userdata;
} ArchiveReaderOptions;

/* Looks at the beginning and the end of a file, which stays the caller's: what it says of itself, that it is whole, and
 * that it was signed by header.signer, once archive_reader_verify() has seen the rest. */
int archive_reader_new(int fd, const ArchiveReaderOptions *options, ArchiveReader **ret, Error *reterr);
/* Returns NULL. */
ArchiveReader *archive_reader_free(ArchiveReader *r);
DEFINE_CLEANUP_FUNC(ArchiveReader *, archive_reader_free);

/* From here on nobody is told how far it is: whoever reads on may do that in another thread. */
void archive_reader_be_quiet(ArchiveReader *r);

const ArchiveHeader *archive_reader_header(const ArchiveReader *r);
uint64_t archive_reader_size(const ArchiveReader *r);

/* Opens the key of the file. */
int archive_reader_unlock(ArchiveReader *r, const ArchiveOpener *opener, Error *reterr);

/* Reads the manifest alone. Needs the key. */
int archive_reader_load_manifest(ArchiveReader *r, Error *reterr);

/* Reads all of the file from the disk. With the key everything in it is opened and compared with the manifest; without,
 * what can be told without: that it is what its signer signed. */
int archive_reader_verify(ArchiveReader *r, Error *reterr);
/* The same for who extracts right afterwards: all of it is authenticated, and only what extraction opens anyway is not
 * unpacked. What was written by a faulty program, and by nothing else, is found by extraction then. */
int archive_reader_authenticate(ArchiveReader *r, Error *reterr);

/* The manifest, borrowed; NULL before it was read. */
json_t *archive_reader_manifest(const ArchiveReader *r);
/* What the manifest says of a stream, borrowed; NULL if there is none of that name. */
json_t *archive_reader_find(const ArchiveReader *r, const char *name);

/* Takes the bytes of a stream in order. A negative errno with the error set ends it. */
typedef int (*archive_sink_t)(const void *data, size_t size, void *userdata, Error *reterr);

/* True once a stream that was given to a sink was found to be another than what was written. */
bool archive_reader_found_damage(const ArchiveReader *r);

/* Gives a stream to a sink. Only after one of these, with the key. */
int archive_reader_extract(
                ArchiveReader *r, const char *name, archive_sink_t sink, void *userdata, Error *reterr);
