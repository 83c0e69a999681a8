/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "storage-open.h"

#include <errno.h>
#include <sodium.h>

#include "alloc-util.h"
#include "string-util.h"

VaultLabel storage_label(uint32_t version) {
        return (VaultLabel) {
                .instance = STORE_STORAGE_INSTANCE,
                .name = STORE_STORAGE_NAME,
                .version = version,
        };
}

void storage_credentials_done(StorageCredentials *c) {
        erase_and_free(c->access_key);
        erase_and_free(c->secret_key);
        *c = (StorageCredentials) {};
}

/* Both, one after the other, each with its NUL: neither has one in it. */
int storage_seal(const Vault *vault, uint32_t version, const char *access_key, const char *secret_key,
                uint8_t **ret, size_t *ret_size, Error *reterr) {
        const VaultLabel label = storage_label(version);
        size_t n = strlen(access_key) + 1, k = strlen(secret_key) + 1;
        char *plain = malloc(n + k);
        int r;

        if (!plain)
                return error_set_errnof(reterr, ENOMEM, "Cannot seal the credentials of the storage: %m");
        memcpy(plain, access_key, n);
        memcpy(plain + n, secret_key, k);
        r = vault_seal(vault, &label, plain, n + k, ret, ret_size, reterr);
        sodium_memzero(plain, n + k);
        free(plain);
        return r;
}

int storage_unseal(const Vault *vault, const StorageRecord *record, StorageCredentials *ret, Error *reterr) {
        const VaultLabel label = storage_label(record->version);
        _cleanup_storage_credentials_ StorageCredentials c = {};
        _cleanup_vault_plain_ char *plain = NULL;
        size_t size, n;
        int r;

        r = vault_unseal(vault, &label, record->key_id, record->sealed, record->size, &plain, &size, reterr);
        if (r < 0)
                return r;
        /* Beyond its end there is a NUL. */
        n = strlen(plain) + 1;
        if (n >= size)
                return error_setf(reterr, CCP_ERROR_INTERNAL, "The credentials of the storage are none.");
        c.access_key = strdup(plain);
        c.secret_key = strdup(plain + n);
        if (!c.access_key || !c.secret_key)
                return error_set_errnof(reterr, ENOMEM, "Cannot open the credentials of the storage: %m");

        *ret = TAKE_GENERIC(c, (StorageCredentials) {});
        return 0;
}

/* What the client takes; borrows from both. */
static S3Config storage_config(const StorageRecord *record, const StorageCredentials *credentials) {
        return (S3Config) {
                .endpoint = record->endpoint,
                .region = record->region,
                .bucket = record->bucket,
                .prefix = record->prefix,
                .access_key = credentials->access_key,
                .secret_key = credentials->secret_key,
                .path_style = record->path_style,
                .ca_file = isempty(record->ca_file) ? NULL : record->ca_file,
        };
}

int storage_open(DbSync *db, StorageRecord *ret_record, S3Client **ret, Error *reterr) {
        _cleanup_storage_credentials_ StorageCredentials credentials = {};
        _cleanup_storage_record_ StorageRecord record = {};
        _cleanup_(vault_freep) Vault *vault = NULL;
        S3Config config;
        int r;

        r = storage_get(db, &record, reterr);
        if (r >= 0)
                r = vault_open(&vault, reterr);
        if (r >= 0)
                r = storage_unseal(vault, &record, &credentials, reterr);
        if (r < 0)
                return r;
        config = storage_config(&record, &credentials);
        r = s3_client_new(&config, ret, reterr);
        if (r < 0)
                return r;

        *ret_record = TAKE_GENERIC(record, (StorageRecord) {});
        return 0;
}
