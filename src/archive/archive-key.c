/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "archive-key.h"

#include <sodium.h>
#include <string.h>

/* The context and the numbers of crypto_kdf_derive_from_key(3). */
#define CONTEXT "ccpbkup1"
enum {
        SUBKEY_HEADER = 1,
        SUBKEY_PAYLOAD = 2,
};

static_assert(STRLEN(CONTEXT) == crypto_kdf_CONTEXTBYTES, "context");
static_assert(ARCHIVE_KEY_SIZE == crypto_kdf_KEYBYTES, "key");
static_assert(ARCHIVE_KEY_SIZE == crypto_box_PUBLICKEYBYTES, "public key");
static_assert(ARCHIVE_KEY_SIZE == crypto_aead_xchacha20poly1305_ietf_KEYBYTES, "payload key");
static_assert(ARCHIVE_TAG_SIZE == crypto_aead_xchacha20poly1305_ietf_ABYTES, "tag");
static_assert(ARCHIVE_SIGNING_KEY_SIZE == crypto_sign_SECRETKEYBYTES, "signing key");
static_assert(ARCHIVE_SIGNATURE_SIZE == crypto_sign_BYTES, "signature");

ArchiveSecrets *archive_secrets_new(void) {
        if (sodium_init() < 0)
                return NULL;

        return sodium_malloc(sizeof(ArchiveSecrets));
}

ArchiveSecrets *archive_secrets_free(ArchiveSecrets *s) {
        sodium_free(s);
        return NULL;
}

void archive_secrets_derive(ArchiveSecrets *s) {
        (void) crypto_kdf_derive_from_key(s->header, sizeof(s->header), SUBKEY_HEADER, CONTEXT, s->archive);
        (void) crypto_kdf_derive_from_key(
                        s->payload, sizeof(s->payload), SUBKEY_PAYLOAD, CONTEXT, s->archive);
}

void archive_recipient_id(const uint8_t public_key[ARCHIVE_KEY_SIZE], uint8_t ret[ARCHIVE_KEY_ID_SIZE]) {
        uint8_t hash[ARCHIVE_HASH_SIZE];

        (void) crypto_generichash(hash, sizeof(hash), public_key, ARCHIVE_KEY_SIZE, NULL, 0);
        memcpy(ret, hash, ARCHIVE_KEY_ID_SIZE);
}
