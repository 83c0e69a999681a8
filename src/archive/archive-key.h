/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The keys of backup files. Each file has a key of its own, which is sealed in its header for the instance and for the
 * recovery keys, and from which the keys for its header and its frames are derived. The keys of a file live in memory
 * that is locked, guarded, and wiped. */

#include "archive-format.h"

/* For whom a new file is sealed, and who signs it. Borrowed from the caller. */
typedef struct ArchiveSealers {
        const uint8_t *instance_key; /* ARCHIVE_KEY_SIZE */
        uint8_t instance_key_id[ARCHIVE_KEY_ID_SIZE];
        const uint8_t (*recipients)[ARCHIVE_KEY_SIZE]; /* X25519 public keys */
        size_t n_recipients;
        const uint8_t *signing_key; /* Ed25519 as libsodium has it, ARCHIVE_SIGNING_KEY_SIZE */
} ArchiveSealers;

/* What opens a file: each of them may be missing. Borrowed from the caller. */
typedef struct ArchiveOpener {
        const uint8_t *instance_key;
        uint8_t instance_key_id[ARCHIVE_KEY_ID_SIZE];
        const uint8_t *recovery_key; /* X25519 secret key */
        const uint8_t *archive_key;  /* of the file itself: then no other is looked at */
} ArchiveOpener;

/* Of one file. */
typedef struct ArchiveSecrets {
        uint8_t archive[ARCHIVE_KEY_SIZE];
        uint8_t header[ARCHIVE_KEY_SIZE];
        uint8_t payload[ARCHIVE_KEY_SIZE];
} ArchiveSecrets;

/* In guarded memory. NULL when out of it. */
ArchiveSecrets *archive_secrets_new(void);
/* Wipes. Returns NULL. */
ArchiveSecrets *archive_secrets_free(ArchiveSecrets *s);
DEFINE_CLEANUP_FUNC(ArchiveSecrets *, archive_secrets_free);

/* Derives the other keys from 'archive'. */
void archive_secrets_derive(ArchiveSecrets *s);

/* Tells which recovery key it is: of its public half. */
void archive_recipient_id(const uint8_t public_key[ARCHIVE_KEY_SIZE], uint8_t ret[ARCHIVE_KEY_ID_SIZE]);
