/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "vault.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sodium.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "alloc-util.h"
#include "fd-util.h"
#include "string-util.h"

/* The first byte of what was sealed; another one may mean another cipher one day. */
#define FORMAT_VERSION 1U
#define KEY_ID_BYTES 8U
#define SETUP_PROGRAM "/usr/lib/ccpd/ccp-setup"

/* What a key derived from the master key is for; part of the derivation. */
#define PURPOSE_KEY_ID "ccp key id v1"
#define PURPOSE_INSTANCE "ccp instance key v1"

#define NONCE_SIZE crypto_aead_xchacha20poly1305_ietf_NPUBBYTES
#define TAG_SIZE crypto_aead_xchacha20poly1305_ietf_ABYTES

static_assert(VAULT_KEY_SIZE == crypto_aead_xchacha20poly1305_ietf_KEYBYTES, "key size");
static_assert(VAULT_OVERHEAD == 1 + NONCE_SIZE + TAG_SIZE, "overhead");
static_assert(VAULT_KEY_ID_MAX == 2 * KEY_ID_BYTES + 1, "key id");

typedef struct Key {
        uint8_t *master; /* of sodium_malloc(); NULL: there is none */
        char id[VAULT_KEY_ID_MAX];
} Key;

struct Vault {
        Key active, former;
        bool locked;
};

/* --- bytes that are hashed or authenticated: each field with its length before it, so that no two sets of
 * fields give the same bytes --- */

static void append_field(StringBuilder *b, const char *s) {
        uint32_t n = (uint32_t) strlen(s);

        string_builder_append_n(
                        b, (char[]) { (char) (n >> 24), (char) (n >> 16), (char) (n >> 8), (char) n }, 4);
        string_builder_append_n(b, s, n);
}

/* A key of the given size for one purpose, from the master key. */
static int derive(const Key *k, const char *purpose, const char *subject, uint8_t *ret, size_t size) {
        _cleanup_string_builder_ StringBuilder b = {};

        append_field(&b, purpose);
        append_field(&b, subject);
        if (b.failed)
                return -ENOMEM;

        return crypto_generichash(ret, size, (const uint8_t *) b.data, b.size, k->master, VAULT_KEY_SIZE) < 0
                        ? -EIO
                        : 0;
}

static int build_associated_data(const Key *k, const VaultLabel *label, uint8_t format, StringBuilder *b) {
        string_builder_append_n(b, (char[]) { (char) format }, 1);
        append_field(b, label->instance);
        append_field(b, label->name);
        string_builder_append_n(b,
                        (char[]) { (char) (label->version >> 24), (char) (label->version >> 16),
                                        (char) (label->version >> 8), (char) label->version },
                        4);
        append_field(b, k->id);
        return b->failed ? -ENOMEM : 0;
}

/* --- new and free --- */

static void key_done(Key *k) {
        sodium_free(k->master);
        *k = (Key) {};
}

Vault *vault_free(Vault *v) {
        if (!v)
                return NULL;

        key_done(&v->active);
        key_done(&v->former);
        return mfree(v);
}

/* sodium_malloc() locks, but keeps quiet when it could not. The page is locked already, if it could be: to
 * lock it once more tells, and changes nothing. */
static bool memory_is_locked(const void *p, size_t size) {
        return mlock(p, size) == 0;
}

static int key_set(Key *k, const uint8_t key[VAULT_KEY_SIZE], Error *reterr) {
        uint8_t id[crypto_generichash_BYTES];
        int r;

        k->master = sodium_malloc(VAULT_KEY_SIZE);
        if (!k->master)
                return error_set_errnof(reterr, errno, "Could not hold the master key: %m");

        memcpy(k->master, key, VAULT_KEY_SIZE);
        r = derive(k, PURPOSE_KEY_ID, "", id, sizeof(id));
        if (r < 0)
                return error_set_errnof(reterr, r, "Could not derive the id of the master key: %m");

        sodium_bin2hex(k->id, sizeof(k->id), id, KEY_ID_BYTES);
        (void) sodium_mprotect_readonly(k->master);
        return 0;
}

int vault_new(const uint8_t key[VAULT_KEY_SIZE], Vault **ret, Error *reterr) {
        _cleanup_(vault_freep) Vault *v = NULL;
        int r;

        if (sodium_init() < 0)
                return error_setf(reterr, CCP_ERROR_INTERNAL, "The cryptographic library does not start.");

        v = new0(Vault, 1);
        if (!v)
                return error_set_errnof(reterr, ENOMEM, "Could not hold the master key: %m");
        r = key_set(&v->active, key, reterr);
        if (r < 0)
                return r;
        v->locked = memory_is_locked(v->active.master, VAULT_KEY_SIZE);

        *ret = TAKE_PTR(v);
        return 0;
}

int vault_add_former(Vault *v, const uint8_t key[VAULT_KEY_SIZE], Error *reterr) {
        int r;

        key_done(&v->former);
        r = key_set(&v->former, key, reterr);
        if (r < 0)
                return r;
        if (streq(v->former.id, v->active.id))
                key_done(&v->former);
        else
                v->locked = v->locked && memory_is_locked(v->former.master, VAULT_KEY_SIZE);
        return 0;
}

void vault_forget_former(Vault *v) {
        key_done(&v->former);
}

/* Reads exactly one key. -EBADMSG if the file has another size. */
static int read_key(const char *path, uint8_t key[VAULT_KEY_SIZE]) {
        _cleanup_close_ int fd = -EBADF;
        struct stat st;
        ssize_t n;

        fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
        if (fd < 0)
                return -errno;
        if (fstat(fd, &st) < 0)
                return -errno;
        if (!S_ISREG(st.st_mode) || st.st_size != VAULT_KEY_SIZE)
                return -EBADMSG;

        n = read(fd, key, VAULT_KEY_SIZE);
        if (n < 0)
                return -errno;
        return n == VAULT_KEY_SIZE ? 0 : -EBADMSG;
}

/* The key in a credential of this name. -ENOENT, without an error, if there is none and that is no fault. */
static int read_credential(
                const char *directory, const char *name, bool optional, uint8_t *key, Error *reterr) {
        _cleanup_free_ char *path = strjoin(directory, "/", name);
        char text[128];
        int r;

        if (!path)
                return error_set_errnof(reterr, ENOMEM, "Could not read the master key: %m");

        r = read_key(path, key);
        if (r >= 0 || (r == -ENOENT && optional))
                return r;
        if (r == -ENOENT)
                return error_setf(reterr, CCP_ERROR_KEY_MISSING,
                                "The master key %s is missing. Make it with %s, or bring it back from where "
                                "you keep it: what was sealed with it can't be opened with another one.",
                                path, SETUP_PROGRAM);
        if (r == -EBADMSG)
                return error_setf(reterr, CCP_ERROR_KEY_MISSING,
                                "The master key %s is not a file of %u bytes. Bring it back from where you "
                                "keep it; only where nothing was sealed yet, make a new one with %s.",
                                path, VAULT_KEY_SIZE, SETUP_PROGRAM);

        return error_setf(reterr, CCP_ERROR_KEY_MISSING,
                        "The master key %s can't be read: %s. See to it that the unit loads it; %s makes "
                        "it.",
                        path, strerror_r(-r, text, sizeof(text)), SETUP_PROGRAM);
}

/* 'keys' has room for two. */
static int open_keys(const char *directory, uint8_t *keys, Vault **ret, Error *reterr) {
        uint8_t *key = keys, *next = keys + VAULT_KEY_SIZE;
        _cleanup_(vault_freep) Vault *v = NULL;
        int r, n;

        r = read_credential(directory, CCP_MASTER_KEY_CREDENTIAL, /* optional= */ false, key, reterr);
        if (r < 0)
                return r;
        n = read_credential(directory, CCP_NEXT_MASTER_KEY_CREDENTIAL, /* optional= */ true, next, reterr);
        if (n < 0 && n != -ENOENT)
                return n;

        r = vault_new(n < 0 ? key : next, &v, reterr);
        if (r < 0)
                return r;
        assert(v);
        r = n < 0 ? 0 : vault_add_former(v, key, reterr);
        if (r < 0)
                return r;

        *ret = TAKE_PTR(v);
        return 0;
}

int vault_open(Vault **ret, Error *reterr) {
        const char *directory = secure_getenv("CREDENTIALS_DIRECTORY");
        uint8_t *keys;
        int r;

        if (!directory)
                return error_setf(reterr, CCP_ERROR_KEY_MISSING,
                                "The master key is missing: $CREDENTIALS_DIRECTORY is not set, so systemd "
                                "gave "
                                "no credential %s to this service. Make the key with %s, and start the "
                                "service by its unit.",
                                CCP_MASTER_KEY_CREDENTIAL, SETUP_PROGRAM);
        if (sodium_init() < 0)
                return error_setf(reterr, CCP_ERROR_INTERNAL, "The cryptographic library does not start.");

        keys = sodium_malloc(2 * (size_t) VAULT_KEY_SIZE);
        if (!keys)
                return error_set_errnof(reterr, errno, "Could not hold the master key: %m");

        r = open_keys(directory, keys, ret, reterr);
        sodium_free(keys);
        return r;
}

const char *vault_key_id(const Vault *v) {
        return v->active.id;
}

const char *vault_former_key_id(const Vault *v) {
        return v->former.master ? v->former.id : NULL;
}

bool vault_is_locked(const Vault *v) {
        return v->locked;
}

/* --- seal and unseal --- */

/* The instance's own key, to be freed by sodium_free(). NULL when out of memory. */
static uint8_t *instance_key(const Key *k, const char *instance) {
        uint8_t *key;

        key = sodium_malloc(VAULT_KEY_SIZE);
        if (key && derive(k, PURPOSE_INSTANCE, instance, key, VAULT_KEY_SIZE) < 0) {
                sodium_free(key);
                return NULL;
        }
        return key;
}

int vault_seal(const Vault *v, const VaultLabel *label, const void *plain, size_t size, uint8_t **ret,
                size_t *ret_size, Error *reterr) {
        _cleanup_string_builder_ StringBuilder data = {};
        _cleanup_free_ uint8_t *sealed = NULL;
        uint8_t *key;

        if (size > VAULT_SECRET_MAX)
                return error_setf(reterr, CCP_ERROR_LIMIT_EXCEEDED,
                                "The secret '%s' is longer than %u bytes.", label->name, VAULT_SECRET_MAX);

        sealed = malloc(VAULT_OVERHEAD + size);
        key = instance_key(&v->active, label->instance);
        if (!sealed || !key || build_associated_data(&v->active, label, FORMAT_VERSION, &data) < 0) {
                sodium_free(key);
                return error_set_errnof(reterr, ENOMEM, "Could not seal the secret '%s': %m", label->name);
        }

        sealed[0] = FORMAT_VERSION;
        randombytes_buf(sealed + 1, NONCE_SIZE);
        (void) crypto_aead_xchacha20poly1305_ietf_encrypt(sealed + 1 + NONCE_SIZE, NULL, plain, size,
                        (const uint8_t *) data.data, data.size, NULL, sealed + 1, key);
        sodium_free(key);

        *ret = TAKE_PTR(sealed);
        *ret_size = VAULT_OVERHEAD + size;
        return 0;
}

static int damaged(const VaultLabel *label, Error *reterr) {
        return error_setf(reterr, CCP_ERROR_INTERNAL,
                        "The secret '%s' (version %u) of the instance %s is damaged: the master key is the "
                        "right one, but what is recorded is not what was sealed. Restore it from a backup.",
                        label->name, label->version, label->instance);
}

char *vault_plain_free(char *plain) {
        sodium_free(plain);
        return NULL;
}

static const Key *find_key(const Vault *v, const char *id) {
        if (streq(id, v->active.id))
                return &v->active;
        return v->former.master && streq(id, v->former.id) ? &v->former : NULL;
}

int vault_unseal(const Vault *v, const VaultLabel *label, const char *key_id, const void *sealed,
                size_t size, char **ret, size_t *ret_size, Error *reterr) {
        _cleanup_string_builder_ StringBuilder data = {};
        _cleanup_vault_plain_ char *plain = NULL;
        const uint8_t *bytes = sealed;
        const Key *k;
        size_t plain_size;
        uint8_t *key;
        int r;

        k = find_key(v, key_id);
        if (!k)
                return error_setf(reterr, CCP_ERROR_KEY_MISSING,
                                "The secret '%s' is sealed with the master key %s, but this service has the "
                                "master key %s. Bring the right key back; nothing is lost.",
                                label->name, key_id, v->active.id);

        if (size < VAULT_OVERHEAD || size > VAULT_OVERHEAD + VAULT_SECRET_MAX || bytes[0] != FORMAT_VERSION)
                return damaged(label, reterr);

        plain_size = size - VAULT_OVERHEAD;
        plain = sodium_malloc(plain_size + 1);
        key = instance_key(k, label->instance);
        if (!plain || !key || build_associated_data(k, label, bytes[0], &data) < 0) {
                sodium_free(key);
                return error_set_errnof(reterr, ENOMEM, "Could not open the secret '%s': %m", label->name);
        }

        r = crypto_aead_xchacha20poly1305_ietf_decrypt((uint8_t *) plain, NULL, NULL, bytes + 1 + NONCE_SIZE,
                        size - 1 - NONCE_SIZE, (const uint8_t *) data.data, data.size, bytes + 1, key);
        sodium_free(key);
        if (r < 0)
                return damaged(label, reterr);

        plain[plain_size] = 0;
        *ret = TAKE_PTR(plain);
        *ret_size = plain_size;
        return 0;
}
