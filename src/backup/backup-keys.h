/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The keys of backups, out of the records and the vault: one for each instance, one that signs all files of this server,
 * and the public halves of the recovery keys. Those that are not there yet are made. They are sealed by the master key,
 * and stay the same when that changes: no file has to be written anew. */

#include "archive-key.h"
#include "store-backup.h"
#include "vault.h"

typedef struct BackupKeys BackupKeys;

/* 'instance' is its id. KeyMissing if the vault has not the key that they are sealed with. */
int backup_keys_load(DbSync *db, const Vault *vault, const char *instance, BackupKeys **ret, Error *reterr);
/* Wipes. Returns NULL. */
BackupKeys *backup_keys_free(BackupKeys *k);
DEFINE_CLEANUP_FUNC(BackupKeys *, backup_keys_free);

/* Before the id of an archive that was imported: its key is none of an instance's, whatever that id is. */
#define BACKUP_KEY_ARCHIVE "archive/"
/* What the key of this name in the records is sealed as; borrows the name. */
VaultLabel backup_key_label(const char *name);

/* The public half of the key that signs, out of its record "signing" as it is sealed. KeyMissing, and Internal if it is
 * none. */
int backup_signer_unseal(const Vault *vault, const char *key_id, const void *sealed, size_t size,
                uint8_t ret[ARCHIVE_KEY_SIZE], Error *reterr);

/* For whom a new file is sealed; and what opens one. Both borrow from the keys. */
ArchiveSealers backup_keys_sealers(const BackupKeys *k);
ArchiveOpener backup_keys_opener(const BackupKeys *k);
/* The public half of the key that signs: ARCHIVE_KEY_SIZE bytes. */
const uint8_t *backup_keys_signer(const BackupKeys *k);
/* How many recovery keys can open what is sealed now; with none, it can be opened on this server only. */
size_t backup_keys_n_recipients(const BackupKeys *k);
