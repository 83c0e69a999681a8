/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "recovery-text.h"

#include <ctype.h>
#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "recovery-challenge.h"

#define CHECK_SIZE 2U

static const struct {
        const char *prefix;
        size_t bytes;
} kinds[_RECOVERY_TEXT_KIND_MAX] = {
        [RECOVERY_TEXT_SECRET] = { "CCPR1", ARCHIVE_KEY_SIZE },
        [RECOVERY_TEXT_PUBLIC] = { "CCPP1", ARCHIVE_KEY_SIZE },
        [RECOVERY_TEXT_CHALLENGE] = { "CCPC1", RECOVERY_CHALLENGE_SIZE },
        [RECOVERY_TEXT_ANSWER] = { "CCPA1", RECOVERY_ANSWER_SIZE },
};

static_assert(RECOVERY_CHALLENGE_SIZE == RECOVERY_TEXT_BYTES_MAX, "the longest text");

size_t recovery_text_bytes(RecoveryText kind) {
        return kinds[kind].bytes;
}

/* With the prefix: one kind taken for the other is a mistake, too. */
static void make_check(RecoveryText kind, const uint8_t *data, uint8_t ret[CHECK_SIZE]) {
        uint8_t hash[crypto_generichash_BYTES];

        (void) crypto_generichash(hash, sizeof(hash), data, kinds[kind].bytes,
                        (const uint8_t *) kinds[kind].prefix, strlen(kinds[kind].prefix));
        memcpy(ret, hash, CHECK_SIZE);
}

void recovery_text_format(RecoveryText kind, const uint8_t *data, char *ret) {
        size_t n = kinds[kind].bytes;
        uint8_t bytes[RECOVERY_TEXT_BYTES_MAX + CHECK_SIZE];
        char *p = stpcpy(ret, kinds[kind].prefix), *end = ret + RECOVERY_TEXT_SIZE(n);

        memcpy(bytes, data, n);
        make_check(kind, data, bytes + n);
        for (size_t i = 0; i < n + CHECK_SIZE; i += 2)
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

/* Takes bytes and check out of the letters. */
static int read_letters(RecoveryText kind, const char *letters, uint8_t *ret, size_t size) {
        size_t n_prefix = strlen(kinds[kind].prefix), n = 0;

        if (strncmp(letters, kinds[kind].prefix, n_prefix) != 0 ||
                        sodium_hex2bin(ret, size, letters + n_prefix, strlen(letters + n_prefix), NULL, &n,
                                        NULL) < 0 ||
                        n != kinds[kind].bytes + CHECK_SIZE)
                return -EINVAL;
        return 0;
}

int recovery_text_parse(RecoveryText kind, const char *text, uint8_t *ret) {
        uint8_t bytes[RECOVERY_TEXT_BYTES_MAX + CHECK_SIZE], check[CHECK_SIZE];
        char letters[RECOVERY_TEXT_MAX];
        size_t n = kinds[kind].bytes;
        int r;

        r = compact(text, letters, sizeof(letters));
        if (r >= 0)
                r = read_letters(kind, letters, bytes, sizeof(bytes));
        if (r >= 0) {
                make_check(kind, bytes, check);
                if (memcmp(check, bytes + n, sizeof(check)) != 0)
                        r = -EBADMSG;
                else
                        memcpy(ret, bytes, n);
        }

        explicit_bzero(letters, sizeof(letters));
        explicit_bzero(bytes, sizeof(bytes));
        return r;
}
