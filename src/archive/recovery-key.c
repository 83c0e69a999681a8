/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "recovery-key.h"

#include <ctype.h>
#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#define CHECK_SIZE 2U
#define BYTES_SIZE (ARCHIVE_KEY_SIZE + CHECK_SIZE)

static const char *const prefixes[] = {
        [RECOVERY_KEY_SECRET] = "CCPR1",
        [RECOVERY_KEY_PUBLIC] = "CCPP1",
};

/* Of a half with its prefix: one taken for the other is a mistake, too. */
static void make_check(RecoveryKeyHalf half, const uint8_t *key, uint8_t ret[CHECK_SIZE]) {
        uint8_t hash[crypto_generichash_BYTES];

        (void) crypto_generichash(hash, sizeof(hash), key, ARCHIVE_KEY_SIZE,
                        (const uint8_t *) prefixes[half], strlen(prefixes[half]));
        memcpy(ret, hash, CHECK_SIZE);
}

void recovery_key_format(
                RecoveryKeyHalf half, const uint8_t key[ARCHIVE_KEY_SIZE], char ret[RECOVERY_KEY_TEXT_MAX]) {
        uint8_t bytes[BYTES_SIZE];
        char *p = stpcpy(ret, prefixes[half]), *end = ret + RECOVERY_KEY_TEXT_MAX;

        memcpy(bytes, key, ARCHIVE_KEY_SIZE);
        make_check(half, key, bytes + ARCHIVE_KEY_SIZE);
        for (size_t i = 0; i < sizeof(bytes); i += 2)
                p += snprintf(p, (size_t) (end - p), "-%02X%02X", bytes[i], bytes[i + 1]);
        explicit_bzero(bytes, sizeof(bytes));
}

/* The letters of the text that count, in capitals. -EINVAL if there are too many. */
static int compact(const char *text, char *ret, size_t size) {
        size_t n = 0;

        for (; *text; text++) {
                if (*text == '-' || isspace((unsigned char) *text))
                        continue;
                if (n + 1 >= size)
                        return -EINVAL;
                ret[n++] = (char) toupper((unsigned char) *text);
        }
        ret[n] = 0;
        return 0;
}

int recovery_key_parse(RecoveryKeyHalf half, const char *text, uint8_t ret[ARCHIVE_KEY_SIZE]) {
        char letters[RECOVERY_KEY_TEXT_MAX];
        uint8_t bytes[BYTES_SIZE], check[CHECK_SIZE];
        size_t n_prefix = strlen(prefixes[half]), n;
        int r;

        r = compact(text, letters, sizeof(letters));
        if (r >= 0 &&
                        (strncmp(letters, prefixes[half], n_prefix) != 0 ||
                                        sodium_hex2bin(bytes, sizeof(bytes), letters + n_prefix,
                                                        strlen(letters + n_prefix), NULL, &n, NULL) < 0 ||
                                        n != sizeof(bytes)))
                r = -EINVAL;
        if (r >= 0) {
                make_check(half, bytes, check);
                if (memcmp(check, bytes + ARCHIVE_KEY_SIZE, sizeof(check)) != 0)
                        r = -EBADMSG;
                else
                        memcpy(ret, bytes, ARCHIVE_KEY_SIZE);
        }

        explicit_bzero(letters, sizeof(letters));
        explicit_bzero(bytes, sizeof(bytes));
        return r;
}

void recovery_key_generate(uint8_t ret_secret[ARCHIVE_KEY_SIZE], uint8_t ret_public[ARCHIVE_KEY_SIZE]) {
        (void) crypto_box_keypair(ret_public, ret_secret);
}

void recovery_key_public(const uint8_t secret[ARCHIVE_KEY_SIZE], uint8_t ret[ARCHIVE_KEY_SIZE]) {
        (void) crypto_scalarmult_base(ret, secret);
}
