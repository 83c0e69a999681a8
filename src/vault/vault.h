/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Sealing of secrets: XChaCha20-Poly1305 under a key of each instance's own, derived from the master key.
 * A sealed secret can be opened only as what it was sealed: for this instance, under this name, in this
 * version. Keys live in memory that is locked, guarded, and wiped. */

#include <sys/types.h>

#include "error.h"

#define VAULT_KEY_SIZE 32U
/* The key's id in text: 16 hex digits. */
#define VAULT_KEY_ID_MAX (STRLEN("0123456789abcdef") + 1)
/* Bytes that sealing adds. */
#define VAULT_OVERHEAD 41U
#define VAULT_SECRET_MAX (64U * 1024U)

typedef struct Vault Vault;

/* Reads the master key from $CREDENTIALS_DIRECTORY; and where it is being replaced, the one that takes its place, which
 * seals from then on. KeyMissing, naming the file and what to do. */
int vault_open(Vault **ret, Error *reterr);
/* The same from a key in memory, which is the caller's to wipe. */
int vault_new(const uint8_t key[VAULT_KEY_SIZE], Vault **ret, Error *reterr);
/* A further key, which opens what was sealed with it, but seals nothing. The same key is no further one. */
int vault_add_former(Vault *v, const uint8_t key[VAULT_KEY_SIZE], Error *reterr);
/* Wipes that one. */
void vault_forget_former(Vault *v);
/* Wipes. Returns NULL. */
Vault *vault_free(Vault *v);
DEFINE_CLEANUP_FUNC(Vault *, vault_free);

/* Tells which master key it is that seals, without telling anything of it. */
const char *vault_key_id(const Vault *v);
/* The same of the further one; NULL if there is none. */
const char *vault_former_key_id(const Vault *v);
/* False if the system refused to lock the keys into memory (RLIMIT_MEMLOCK): they could be swapped out. */
bool vault_is_locked(const Vault *v);

/* What a secret is sealed for. */
typedef struct VaultLabel {
        const char *instance; /* its id, a UUID in lower case */
        const char *name;
        unsigned version; /* from 1 */
} VaultLabel;

/* *ret is freed with free(). LimitExceeded above VAULT_SECRET_MAX. */
int vault_seal(const Vault *v, const VaultLabel *label, const void *plain, size_t size, uint8_t **ret,
                size_t *ret_size, Error *reterr);

/* key_id is the one that was recorded with it: KeyMissing if this vault has no such key. Internal,
 * naming the secret, if it is damaged or was sealed for something else. The result has a NUL beyond
 * ret_size, and is freed with vault_plain_free(). */
int vault_unseal(const Vault *v, const VaultLabel *label, const char *key_id, const void *sealed,
                size_t size, char **ret, size_t *ret_size, Error *reterr);

/* Wipes and frees what vault_unseal() gave. Returns NULL. */
char *vault_plain_free(char *plain);
DEFINE_CLEANUP_FUNC(char *, vault_plain_free);
#define _cleanup_vault_plain_ _cleanup_(vault_plain_freep)
