/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The storage as the records have it, opened: its credentials are unsealed here, for the client alone. */

#include "s3-client.h"
#include "store-storage.h"
#include "vault.h"

/* What the credentials are sealed as; 'version' is that of the record. */
VaultLabel storage_label(uint32_t version);

/* Both in memory that is wiped. */
typedef struct StorageCredentials {
        char *access_key, *secret_key;
} StorageCredentials;

void storage_credentials_done(StorageCredentials *c);
#define _cleanup_storage_credentials_ _cleanup_(storage_credentials_done)

/* For the record of this version. *ret is freed by free(). */
int storage_seal(const Vault *vault, uint32_t version, const char *access_key, const char *secret_key,
                uint8_t **ret, size_t *ret_size, Error *reterr);
int storage_unseal(const Vault *vault, const StorageRecord *record, StorageCredentials *ret, Error *reterr);

/* Reads record and master key, and makes a client of them. WrongState if there is no storage. */
int storage_open(DbSync *db, StorageRecord *ret_record, S3Client **ret, Error *reterr);

/* Removes what uploads left behind that never came to their end. That it cannot be done is only a word for debugging. */
void storage_sweep_uploads(S3Client *client, const S3Progress *progress);
