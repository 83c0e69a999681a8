/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "backup-keys.h"

#include <errno.h>
#include <sodium.h>

#include "alloc-util.h"
#include "store-recovery-key.h"
#include "string-util.h"

#define NAME_SIGNING "signing"
/* What they are sealed as; no secret of an instance has such a name. */
#define LABEL_INSTANCE "backup key"
#define LABEL_SIGNING "backup signing key"
/* In place of an instance's id, for what belongs to the server. */
#define NOBODY "00000000-0000-0000-0000-000000000000"

static_assert(RECOVERY_KEY_SIZE == ARCHIVE_KEY_SIZE, "recovery key");
static_assert(STORE_RECOVERY_KEY_SIZE == ARCHIVE_KEY_SIZE, "recovery key");
static_assert(STORE_RECOVERY_KEYS_MAX <= ARCHIVE_RECIPIENTS_MAX, "recovery keys");

/* In guarded memory. */
typedef struct Secrets {
        uint8_t instance[ARCHIVE_KEY_SIZE];
        uint8_t signing[ARCHIVE_SIGNING_KEY_SIZE];
} Secrets;

struct BackupKeys {
        Secrets *secrets;
        uint8_t instance_id[ARCHIVE_KEY_ID_SIZE], signer[ARCHIVE_KEY_SIZE];
        uint8_t (*recipients)[ARCHIVE_KEY_SIZE];
        size_t n_recipients;
};

VaultLabel backup_key_label(const char *name) {
        bool signs = streq(name, NAME_SIGNING);

        return (VaultLabel) {
                .instance = signs ? NOBODY : startswith(name, BACKUP_KEY_ARCHIVE) ?: name,
                .name = signs ? LABEL_SIGNING : LABEL_INSTANCE,
                .version = 1,
        };
}

BackupKeys *backup_keys_free(BackupKeys *k) {
        if (!k)
                return NULL;

        sodium_free(k->secrets);
        free(k->recipients);
        return mfree(k);
}

/* A new key of that many random bytes, sealed. */
static int make_key(const Vault *vault, const VaultLabel *label, size_t size, BackupKeyRecord *ret,
                Error *reterr) {
        uint8_t id[ARCHIVE_KEY_ID_SIZE], key[ARCHIVE_KEY_SIZE];
        BackupKeyRecord k = {};
        int r;

        assert(size <= sizeof(key));
        randombytes_buf(id, sizeof(id));
        randombytes_buf(key, size);
        r = vault_seal(vault, label, key, size, &k.sealed, &k.size, reterr);
        explicit_bzero(key, sizeof(key));
        if (r < 0)
                return r;

        k.id = new0(char, 2 * sizeof(id) + 1);
        k.key_id = strdup(vault_key_id(vault));
        if (!k.id || !k.key_id) {
                backup_key_record_done(&k);
                return error_set_errnof(reterr, ENOMEM, "%m");
        }
        (void) sodium_bin2hex(k.id, 2 * sizeof(id) + 1, id, sizeof(id));
        *ret = k;
        return 0;
}

/* The key of that name, made if there is none. */
static int load_key(DbSync *db, const Vault *vault, const char *name, const VaultLabel *label, size_t size,
                uint8_t *ret, uint8_t ret_id[ARCHIVE_KEY_ID_SIZE], Error *reterr) {
        _cleanup_backup_key_record_ BackupKeyRecord found = {}, made = {};
        _cleanup_vault_plain_ char *plain = NULL;
        size_t n;
        int r;

        r = backup_key_ensure(db, name, NULL, &found, reterr);
        if (r >= 0 && !found.id) {
                r = make_key(vault, label, size, &made, reterr);
                if (r >= 0)
                        r = backup_key_ensure(db, name, &made, &found, reterr);
        }
        if (r >= 0)
                r = vault_unseal(vault, label, found.key_id, found.sealed, found.size, &plain, &n, reterr);
        if (r < 0)
                return r;
        if (n != size ||
                        sodium_hex2bin(ret_id, ARCHIVE_KEY_ID_SIZE, found.id, strlen(found.id), NULL, NULL,
                                        NULL) < 0)
                return error_setf(reterr, CCP_ERROR_INTERNAL, "The key '%s' of the backups is none.", name);

        memcpy(ret, plain, size);
        return 0;
}

int backup_keys_load(DbSync *db, const Vault *vault, const char *instance, BackupKeys **ret, Error *reterr) {
        const VaultLabel label = backup_key_label(instance), signing_label = backup_key_label(NAME_SIGNING);
        uint8_t seed[crypto_sign_SEEDBYTES], id[ARCHIVE_KEY_ID_SIZE], *recipients = NULL;
        _cleanup_(backup_keys_freep) BackupKeys *k = new0(BackupKeys, 1);
        int r;

        if (!k)
                return error_set_errnof(reterr, ENOMEM, "%m");
        k->secrets = sodium_malloc(sizeof(Secrets));
        if (!k->secrets)
                return error_set_errnof(reterr, errno, "Could not hold the keys of backups: %m");

        r = load_key(db, vault, instance, &label, sizeof(k->secrets->instance), k->secrets->instance,
                        k->instance_id, reterr);
        if (r >= 0)
                r = load_key(db, vault, NAME_SIGNING, &signing_label, sizeof(seed), seed, id, reterr);
        if (r < 0)
                return r;
        (void) crypto_sign_seed_keypair(k->signer, k->secrets->signing, seed);
        explicit_bzero(seed, sizeof(seed));

        r = recovery_key_list(db, &recipients, &k->n_recipients, reterr);
        if (r < 0)
                return r;
        k->recipients = (uint8_t(*)[ARCHIVE_KEY_SIZE]) recipients;

        *ret = TAKE_PTR(k);
        return 0;
}

int backup_signer_unseal(const Vault *vault, const char *key_id, const void *sealed, size_t size,
                uint8_t ret[ARCHIVE_KEY_SIZE], Error *reterr) {
        const VaultLabel label = backup_key_label(NAME_SIGNING);
        _cleanup_vault_plain_ char *seed = NULL;
        uint8_t secret[ARCHIVE_SIGNING_KEY_SIZE];
        size_t n;
        int r;

        r = vault_unseal(vault, &label, key_id, sealed, size, &seed, &n, reterr);
        if (r < 0)
                return r;
        if (n != crypto_sign_SEEDBYTES)
                return error_setf(reterr, CCP_ERROR_INTERNAL,
                                "The key '" NAME_SIGNING "' of the backups is none.");

        (void) crypto_sign_seed_keypair(ret, secret, (const uint8_t *) seed);
        explicit_bzero(secret, sizeof(secret));
        return 0;
}

ArchiveSealers backup_keys_sealers(const BackupKeys *k) {
        ArchiveSealers s = {
                .instance_key = k->secrets->instance,
                .recipients = (const uint8_t(*)[ARCHIVE_KEY_SIZE]) k->recipients,
                .n_recipients = k->n_recipients,
                .signing_key = k->secrets->signing,
        };

        memcpy(s.instance_key_id, k->instance_id, sizeof(s.instance_key_id));
        return s;
}

ArchiveOpener backup_keys_opener(const BackupKeys *k) {
        ArchiveOpener o = { .instance_key = k->secrets->instance };

        memcpy(o.instance_key_id, k->instance_id, sizeof(o.instance_key_id));
        return o;
}

const uint8_t *backup_keys_signer(const BackupKeys *k) {
        return k->signer;
}

size_t backup_keys_n_recipients(const BackupKeys *k) {
        return k->n_recipients;
}
