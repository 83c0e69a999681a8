/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "vault.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "alloc-util.h"
#include "fd-util.h"
#include "string-util.h"
#include "test.h"

#define INSTANCE "6f1b64a5-1f0e-4f0a-9a57-3d3a2f1c0b9e"
#define OTHER_INSTANCE "6f1b64a5-1f0e-4f0a-9a57-3d3a2f1c0b9f"
#define PLAIN "correct horse battery staple"

static const VaultLabel label = { INSTANCE, "POSTGRES_PASSWORD", 1 };

static Vault *new_vault(uint8_t seed) {
        uint8_t key[VAULT_KEY_SIZE];
        Vault *v = NULL;

        memset(key, seed, sizeof(key));
        ASSERT_OK(vault_new(key, &v, NULL));
        return v;
}

/* What unsealing says: 0 or a negative errno. */
static int try_unseal(const Vault *v, const VaultLabel *l, const char *key_id, const void *sealed, size_t n,
                Error *reterr) {
        _cleanup_vault_plain_ char *plain = NULL;
        size_t size = 4711;
        int r;

        r = vault_unseal(v, l, key_id, sealed, n, &plain, &size, reterr);
        if (r < 0) {
                ck_assert_ptr_null(plain);
                ck_assert_uint_eq(size, 4711);
        }
        return r;
}

START_TEST(what_was_sealed_opens) {
        _cleanup_(vault_freep) Vault *v = new_vault(1);
        size_t lengths[] = { 0, 1, 28, 4096, VAULT_SECRET_MAX };

        FOREACH_ARRAY(n, lengths, ELEMENTSOF(lengths)) {
                _cleanup_free_ uint8_t *sealed = NULL;
                _cleanup_free_ char *text = new0(char, *n + 1);
                _cleanup_vault_plain_ char *plain = NULL;
                size_t sealed_size, plain_size;

                memset(text, 'x', *n);
                ASSERT_OK(vault_seal(v, &label, text, *n, &sealed, &sealed_size, NULL));
                ck_assert_uint_eq(sealed_size, *n + VAULT_OVERHEAD);
                ASSERT_OK(vault_unseal(
                                v, &label, vault_key_id(v), sealed, sealed_size, &plain, &plain_size, NULL));
                ck_assert_uint_eq(plain_size, *n);
                ck_assert_mem_eq(plain, text, *n + 1);
        }
}
END_TEST

START_TEST(too_long_a_secret_is_refused) {
        _cleanup_(vault_freep) Vault *v = new_vault(1);
        _cleanup_free_ char *text = new0(char, VAULT_SECRET_MAX + 1);
        _cleanup_error_ Error error = {};
        uint8_t *sealed = NULL;
        size_t n;

        ASSERT_ERROR(vault_seal(v, &label, text, VAULT_SECRET_MAX + 1, &sealed, &n, &error), E2BIG);
        ck_assert_str_eq(error.name, CCP_ERROR_LIMIT_EXCEEDED);
        ck_assert_ptr_null(sealed);
}
END_TEST

START_TEST(sealing_twice_gives_different_bytes) {
        _cleanup_(vault_freep) Vault *v = new_vault(1);
        _cleanup_free_ uint8_t *a = NULL, *b = NULL;
        size_t n, m;

        ASSERT_OK(vault_seal(v, &label, PLAIN, STRLEN(PLAIN), &a, &n, NULL));
        ASSERT_OK(vault_seal(v, &label, PLAIN, STRLEN(PLAIN), &b, &m, NULL));
        ck_assert_uint_eq(n, m);
        ck_assert_mem_ne(a, b, n);
        ck_assert_ptr_null(memmem(a, n, PLAIN, STRLEN(PLAIN)));
}
END_TEST

START_TEST(every_changed_bit_is_noticed) {
        _cleanup_(vault_freep) Vault *v = new_vault(1);
        _cleanup_free_ uint8_t *sealed = NULL;
        size_t n;

        ASSERT_OK(vault_seal(v, &label, PLAIN, STRLEN(PLAIN), &sealed, &n, NULL));
        for (size_t i = 0; i < n * 8; i++) {
                _cleanup_error_ Error error = {};

                sealed[i / 8] ^= (uint8_t) (1U << i % 8);
                ASSERT_ERROR(try_unseal(v, &label, vault_key_id(v), sealed, n, &error), EIO);
                ck_assert_str_eq(error.name, CCP_ERROR_INTERNAL);
                ck_assert_ptr_nonnull(strstr(error.message, "POSTGRES_PASSWORD"));
                sealed[i / 8] ^= (uint8_t) (1U << i % 8);
        }
        ASSERT_OK(try_unseal(v, &label, vault_key_id(v), sealed, n, NULL));
}
END_TEST

START_TEST(every_other_length_is_noticed) {
        _cleanup_(vault_freep) Vault *v = new_vault(1);
        _cleanup_free_ uint8_t *sealed = NULL, *longer = NULL;
        size_t n;

        ASSERT_OK(vault_seal(v, &label, PLAIN, STRLEN(PLAIN), &sealed, &n, NULL));
        for (size_t i = 0; i < n; i++)
                ASSERT_ERROR(try_unseal(v, &label, vault_key_id(v), sealed, i, NULL), EIO);

        longer = new0(uint8_t, n + 1);
        memcpy(longer, sealed, n);
        ASSERT_ERROR(try_unseal(v, &label, vault_key_id(v), longer, n + 1, NULL), EIO);
}
END_TEST

START_TEST(a_secret_opens_only_as_what_it_was_sealed) {
        _cleanup_(vault_freep) Vault *v = new_vault(1);
        _cleanup_free_ uint8_t *sealed = NULL;
        const VaultLabel others[] = {
                { OTHER_INSTANCE, "POSTGRES_PASSWORD", 1 },
                { INSTANCE, "POSTGRES_PASSWORE", 1 },
                { INSTANCE, "POSTGRES_PASSWOR", 1 },
                { INSTANCE "P", "OSTGRES_PASSWORD", 1 }, /* where the one ends and the other begins */
                { "6f1b64a5-1f0e-4f0a-9a57-3d3a2f1c0b9", "ePOSTGRES_PASSWORD", 1 },
                { INSTANCE, "POSTGRES_PASSWORD", 2 },
                { INSTANCE, "POSTGRES_PASSWORD", 0 },
        };
        size_t n;

        ASSERT_OK(vault_seal(v, &label, PLAIN, STRLEN(PLAIN), &sealed, &n, NULL));
        FOREACH_ARRAY(l, others, ELEMENTSOF(others))
                ASSERT_ERROR(try_unseal(v, l, vault_key_id(v), sealed, n, NULL), EIO);
}
END_TEST

START_TEST(another_master_key_is_said_by_name) {
        _cleanup_(vault_freep) Vault *v = new_vault(1), *w = new_vault(2);
        _cleanup_free_ uint8_t *sealed = NULL;
        _cleanup_error_ Error error = {};
        size_t n;

        ck_assert_str_ne(vault_key_id(v), vault_key_id(w));
        ASSERT_OK(vault_seal(v, &label, PLAIN, STRLEN(PLAIN), &sealed, &n, NULL));
        ASSERT_ERROR(try_unseal(w, &label, vault_key_id(v), sealed, n, &error), ENOKEY);
        ck_assert_str_eq(error.name, CCP_ERROR_KEY_MISSING);
        ck_assert_ptr_nonnull(strstr(error.message, vault_key_id(v)));
        ck_assert_ptr_nonnull(strstr(error.message, vault_key_id(w)));

        /* A record that claims the wrong key does not make it open. */
        ASSERT_ERROR(try_unseal(w, &label, vault_key_id(w), sealed, n, NULL), EIO);
}
END_TEST

START_TEST(the_key_id_is_a_keyed_hash) {
        _cleanup_(vault_freep) Vault *v = new_vault(7);
        /* Length-prefixed "ccp key id v1" and "" */
        static const uint8_t message[] = "\0\0\0\x0d"
                                         "ccp key id v1"
                                         "\0\0\0";
        uint8_t key[VAULT_KEY_SIZE], hash[crypto_generichash_BYTES];
        char hex[VAULT_KEY_ID_MAX];

        memset(key, 7, sizeof(key));
        ck_assert_uint_eq(sizeof(message), 4 + 13 + 4);
        ck_assert_int_eq(crypto_generichash(hash, sizeof(hash), message, sizeof(message), key, sizeof(key)),
                        0);
        sodium_bin2hex(hex, sizeof(hex), hash, 8);
        ck_assert_str_eq(vault_key_id(v), hex);
}
END_TEST

/* What is written must open for ever: the format, spelled out with the library's own functions. */
START_TEST(the_format_is_the_documented_one) {
        _cleanup_(vault_freep) Vault *v = new_vault(3);
        _cleanup_string_builder_ StringBuilder derivation = {}, data = {};
        uint8_t master[VAULT_KEY_SIZE], key[VAULT_KEY_SIZE], sealed[VAULT_OVERHEAD + STRLEN(PLAIN)];
        _cleanup_vault_plain_ char *plain = NULL;
        size_t n;

        memset(master, 3, sizeof(master));
        string_builder_append_n(&derivation,
                        "\0\0\0\x13"
                        "ccp instance key v1"
                        "\0\0\0\x24" INSTANCE,
                        4 + 19 + 4 + 36);
        ck_assert_int_eq(crypto_generichash(key, sizeof(key), (uint8_t *) derivation.data, derivation.size,
                                         master, sizeof(master)),
                        0);

        string_builder_append_n(&data,
                        "\x01\0\0\0\x24" INSTANCE "\0\0\0\x11"
                        "POSTGRES_PASSWORD"
                        "\0\0\0\x01\0\0\0\x10",
                        1 + 4 + 36 + 4 + 17 + 4 + 4);
        string_builder_append(&data, vault_key_id(v));

        sealed[0] = 1;
        memset(sealed + 1, 9, 24);
        ck_assert_int_eq(crypto_aead_xchacha20poly1305_ietf_encrypt(sealed + 25, NULL,
                                         (const uint8_t *) PLAIN, STRLEN(PLAIN), (uint8_t *) data.data,
                                         data.size, NULL, sealed + 1, key),
                        0);
        ASSERT_OK(vault_unseal(v, &label, vault_key_id(v), sealed, sizeof(sealed), &plain, &n, NULL));
        ck_assert_str_eq(plain, PLAIN);
}
END_TEST

/* draft-irtf-cfrg-xchacha-03, A.3.1: the cipher underneath is the one it should be. */
START_TEST(the_cipher_gives_the_published_vector) {
        static const char *const plain =
                        "Ladies and Gentlemen of the class of '99: If I could offer you only "
                        "one tip for the future, sunscreen would be it.";
        uint8_t key[32], nonce[24], out[256], aad[12], expected[16];
        unsigned long long n;
        size_t m;

        ck_assert_int_ge(sodium_init(), 0);
        for (uint8_t i = 0; i < 32; i++)
                key[i] = (uint8_t) (0x80 + i);
        for (uint8_t i = 0; i < 24; i++)
                nonce[i] = (uint8_t) (0x40 + i);
        ck_assert_int_eq(
                        sodium_hex2bin(aad, sizeof(aad), "50515253c0c1c2c3c4c5c6c7", 24, NULL, &m, NULL), 0);
        ck_assert_int_eq(crypto_aead_xchacha20poly1305_ietf_encrypt(out, &n, (const uint8_t *) plain,
                                         strlen(plain), aad, sizeof(aad), NULL, nonce, key),
                        0);
        ck_assert_int_eq(sodium_hex2bin(expected, sizeof(expected), "c0875924c1c7987947deafd8780acf49", 32,
                                         NULL, &m, NULL),
                        0);
        ck_assert_uint_eq(n, strlen(plain) + 16);
        ck_assert_mem_eq(out + strlen(plain), expected, 16);
}
END_TEST

/* --- the key's file --- */

static void add_credential(const char *directory, const char *name, const void *key, size_t size) {
        _cleanup_free_ char *path = strjoin(directory, "/", name);
        _cleanup_close_ int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0400);

        ck_assert_int_ge(fd, 0);
        ASSERT_OK(loop_write(fd, key, size));
}

static char *make_directory(const void *key, size_t size) {
        char template[] = "/tmp/ccp-test-XXXXXX";

        ck_assert_ptr_nonnull(mkdtemp(template));
        if (key)
                add_credential(template, CCP_MASTER_KEY_CREDENTIAL, key, size);
        ck_assert_int_eq(setenv("CREDENTIALS_DIRECTORY", template, 1), 0);
        return strdup(template);
}

static void remove_directory(char *directory) {
        _cleanup_free_ char *path = strjoin(directory, "/", CCP_MASTER_KEY_CREDENTIAL),
                            *next = strjoin(directory, "/", CCP_NEXT_MASTER_KEY_CREDENTIAL);

        (void) unlink(path);
        (void) unlink(next);
        ck_assert_int_eq(rmdir(directory), 0);
        free(directory);
        ck_assert_int_eq(unsetenv("CREDENTIALS_DIRECTORY"), 0);
}

START_TEST(the_key_comes_from_the_credential) {
        _cleanup_(vault_freep) Vault *v = NULL, *w = new_vault(5);
        uint8_t key[VAULT_KEY_SIZE];
        char *directory;

        memset(key, 5, sizeof(key));
        directory = make_directory(key, sizeof(key));
        ASSERT_OK(vault_open(&v, NULL));
        ck_assert_str_eq(vault_key_id(v), vault_key_id(w));
        remove_directory(directory);
}
END_TEST

START_TEST(the_next_key_seals_and_the_former_opens) {
        _cleanup_(vault_freep) Vault *v = NULL, *former = new_vault(5), *next = new_vault(6);
        uint8_t key[VAULT_KEY_SIZE], *old = NULL, *new = NULL;
        size_t old_size, new_size, n;
        _cleanup_error_ Error error = {};
        char *directory, *plain;

        ASSERT_OK(vault_seal(former, &label, "old", 3, &old, &old_size, NULL));
        memset(key, 5, sizeof(key));
        directory = make_directory(key, sizeof(key));
        memset(key, 6, sizeof(key));
        add_credential(directory, CCP_NEXT_MASTER_KEY_CREDENTIAL, key, sizeof(key));
        ASSERT_OK(vault_open(&v, NULL));
        ck_assert_str_eq(vault_key_id(v), vault_key_id(next));
        ck_assert_str_eq(vault_former_key_id(v), vault_key_id(former));

        ASSERT_OK(vault_unseal(v, &label, vault_key_id(former), old, old_size, &plain, &n, NULL));
        ck_assert_str_eq(plain, "old");
        plain = vault_plain_free(plain);
        ASSERT_OK(vault_seal(v, &label, "new", 3, &new, &new_size, NULL));
        ASSERT_OK(vault_unseal(next, &label, vault_key_id(next), new, new_size, &plain, &n, NULL));
        ck_assert_str_eq(plain, "new");
        plain = vault_plain_free(plain);
        /* One key's text is not taken for the other's. */
        ck_assert_int_lt(vault_unseal(v, &label, vault_key_id(next), old, old_size, &plain, &n, NULL), 0);

        vault_forget_former(v);
        ck_assert_ptr_null(vault_former_key_id(v));
        ASSERT_ERROR(vault_unseal(v, &label, vault_key_id(former), old, old_size, &plain, &n, &error),
                        ENOKEY);
        ck_assert_str_eq(error.name, CCP_ERROR_KEY_MISSING);
        remove_directory(directory);
        free(old);
        free(new);
}
END_TEST

START_TEST(a_next_key_that_is_the_same_is_none) {
        _cleanup_(vault_freep) Vault *v = NULL;
        uint8_t key[VAULT_KEY_SIZE];
        char *directory;

        memset(key, 5, sizeof(key));
        directory = make_directory(key, sizeof(key));
        add_credential(directory, CCP_NEXT_MASTER_KEY_CREDENTIAL, key, sizeof(key));
        ASSERT_OK(vault_open(&v, NULL));
        ck_assert_ptr_null(vault_former_key_id(v));
        remove_directory(directory);
}
END_TEST

/* To go on with the former one alone would seal with it what is to be opened when it is gone. */
START_TEST(a_next_key_of_another_size_is_refused) {
        _cleanup_error_ Error error = {};
        uint8_t key[VAULT_KEY_SIZE] = {};
        Vault *v = NULL;
        char *directory;

        directory = make_directory(key, sizeof(key));
        add_credential(directory, CCP_NEXT_MASTER_KEY_CREDENTIAL, key, sizeof(key) - 1);
        ASSERT_ERROR(vault_open(&v, &error), ENOKEY);
        ck_assert_ptr_nonnull(strstr(error.message, CCP_NEXT_MASTER_KEY_CREDENTIAL));
        remove_directory(directory);
}
END_TEST

START_TEST(a_missing_key_is_said_with_its_path) {
        _cleanup_error_ Error error = {};
        char *directory = make_directory(NULL, 0);
        Vault *v = NULL;

        ASSERT_ERROR(vault_open(&v, &error), ENOKEY);
        ck_assert_ptr_null(v);
        ck_assert_str_eq(error.name, CCP_ERROR_KEY_MISSING);
        ck_assert_ptr_nonnull(strstr(error.message, directory));
        ck_assert_ptr_nonnull(strstr(error.message, CCP_MASTER_KEY_CREDENTIAL));
        ck_assert_ptr_nonnull(strstr(error.message, "/usr/lib/ccpd/ccp-setup"));
        remove_directory(directory);
}
END_TEST

START_TEST(a_key_of_another_size_is_refused) {
        const uint8_t key[VAULT_KEY_SIZE + 1] = {};
        size_t sizes[] = { 0, 1, VAULT_KEY_SIZE - 1, VAULT_KEY_SIZE + 1 };

        FOREACH_ARRAY(n, sizes, ELEMENTSOF(sizes)) {
                _cleanup_error_ Error error = {};
                char *directory = make_directory(key, *n);
                Vault *v = NULL;

                ASSERT_ERROR(vault_open(&v, &error), ENOKEY);
                ck_assert_str_eq(error.name, CCP_ERROR_KEY_MISSING);
                ck_assert_ptr_nonnull(strstr(error.message, directory));
                remove_directory(directory);
        }
}
END_TEST

START_TEST(without_credentials_the_key_is_missing) {
        _cleanup_error_ Error error = {};
        Vault *v = NULL;

        ck_assert_int_eq(unsetenv("CREDENTIALS_DIRECTORY"), 0);
        ASSERT_ERROR(vault_open(&v, &error), ENOKEY);
        ck_assert_str_eq(error.name, CCP_ERROR_KEY_MISSING);
}
END_TEST

/* AddressSanitizer makes mlock() do nothing. */
#if defined(__SANITIZE_ADDRESS__)
# define MLOCK_WORKS 0
#elif defined(__has_feature)
# if __has_feature(address_sanitizer)
#  define MLOCK_WORKS 0
# endif
#endif
#ifndef MLOCK_WORKS
# define MLOCK_WORKS 1
#endif

/* As a user whom the limit binds. Returns 0 if all is as it should be. */
static int try_without_locked_memory(void) {
        const uint8_t key[VAULT_KEY_SIZE] = {};
        Vault *v = NULL;
        int locked;

        if ((geteuid() == 0 && setuid(65534) < 0) || setrlimit(RLIMIT_MEMLOCK, &(struct rlimit) {}) < 0)
                return 1;
        if (vault_new(key, &v, NULL) < 0)
                return 2;

        locked = vault_is_locked(v);
        vault_free(v);
        return MLOCK_WORKS && locked ? 3 : 0;
}

START_TEST(a_small_memlock_limit_is_told_and_not_fatal) {
        int status;
        pid_t pid;

        pid = fork();
        ck_assert_int_ge(pid, 0);
        if (pid == 0)
                _exit(try_without_locked_memory());
        ck_assert_int_eq(waitpid(pid, &status, 0), pid);
        ck_assert_int_eq(status, 0);
}
END_TEST

TESTS("vault", what_was_sealed_opens, too_long_a_secret_is_refused, sealing_twice_gives_different_bytes,
                every_changed_bit_is_noticed, every_other_length_is_noticed,
                a_secret_opens_only_as_what_it_was_sealed, another_master_key_is_said_by_name,
                the_key_id_is_a_keyed_hash, the_format_is_the_documented_one,
                the_cipher_gives_the_published_vector, the_key_comes_from_the_credential,
                the_next_key_seals_and_the_former_opens, a_next_key_that_is_the_same_is_none,
                a_next_key_of_another_size_is_refused, a_missing_key_is_said_with_its_path,
                a_key_of_another_size_is_refused, without_credentials_the_key_is_missing,
                a_small_memlock_limit_is_told_and_not_fatal)
