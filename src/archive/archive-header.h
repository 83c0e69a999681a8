/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The beginning of a backup file: what it is of, and its key, sealed. Anybody can read what is not sealed; only who has
 * the key can tell that it is what was written. */

#include "archive-key.h"
#include "error.h"
#include "time-util.h"

typedef struct ArchiveHeader {
        uint8_t id[ARCHIVE_ID_SIZE];       /* random */
        uint8_t instance[ARCHIVE_ID_SIZE]; /* its UUID */
        uint64_t sequence;
        usec_t created_at;
        char *slug, *software;
        uint8_t signer[ARCHIVE_KEY_SIZE];
        uint8_t recipients[ARCHIVE_RECIPIENTS_MAX]
                          [ARCHIVE_KEY_ID_SIZE]; /* of one that was read: the recovery keys that open it */
        size_t n_recipients;
} ArchiveHeader;

void archive_header_done(ArchiveHeader *h);
#define _cleanup_archive_header_ _cleanup_(archive_header_done)

/* Makes the bytes from the prelude to the MAC, for a new random key, which is given as *ret_secrets. 'id' and 'signer'
 * of the header are set. *ret is freed by free(); its last ARCHIVE_MAC_SIZE bytes are the MAC. */
int archive_header_write(ArchiveHeader *h, const ArchiveSealers *sealers, uint8_t **ret, size_t *ret_size,
                ArchiveSecrets **ret_secrets, Error *reterr);

/* How long the header is: of a prelude of ARCHIVE_PRELUDE_SIZE bytes. BackupDamaged if it is none, BackupTooNew if a
 * later version wrote it. */
int archive_prelude_read(const uint8_t *prelude, size_t *ret_header_size, Error *reterr);

/* Reads the bytes from the prelude to the MAC from the beginning of an open file; *ret is freed by free(). BackupDamaged
 * if it is too short. */
int archive_header_load(int fd, uint8_t **ret, size_t *ret_size, Error *reterr);

/* Reads prelude, header and MAC: 'size' bytes, as long as the prelude says. */
int archive_header_read(const uint8_t *data, size_t size, ArchiveHeader *ret, Error *reterr);

/* Opens the key in them. KeyMissing, naming the keys that would, if 'opener' has none of them; BackupDamaged if it has
 * one, and what is sealed or the header itself is not what was written. */
int archive_header_open(const uint8_t *data, size_t size, const ArchiveOpener *opener,
                ArchiveSecrets **ret_secrets, Error *reterr);
