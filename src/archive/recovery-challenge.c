/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "recovery-challenge.h"

#include <errno.h>
#include <sodium.h>
#include <string.h>

#include "recovery-key.h"

#define LABEL_SIZE STRLEN(RECOVERY_CHALLENGE_LABEL)
#define PLAIN_SIZE (LABEL_SIZE + RECOVERY_CHALLENGE_NONCE_SIZE)

static_assert(RECOVERY_CHALLENGE_SIZE == PLAIN_SIZE + crypto_box_SEALBYTES, "challenge");
static_assert(RECOVERY_CHALLENGE_NONCE_SIZE >= crypto_generichash_KEYBYTES_MIN, "nonce");
static_assert(RECOVERY_ANSWER_SIZE >= crypto_generichash_BYTES_MIN, "answer");

static void make_answer(const uint8_t plain[PLAIN_SIZE], const uint8_t public_key[ARCHIVE_KEY_SIZE],
                uint8_t ret[RECOVERY_ANSWER_SIZE]) {
        uint8_t text[LABEL_SIZE + ARCHIVE_KEY_SIZE];

        memcpy(text, plain, LABEL_SIZE);
        memcpy(text + LABEL_SIZE, public_key, ARCHIVE_KEY_SIZE);
        (void) crypto_generichash(ret, RECOVERY_ANSWER_SIZE, text, sizeof(text), plain + LABEL_SIZE,
                        RECOVERY_CHALLENGE_NONCE_SIZE);
}

int recovery_challenge_make(const uint8_t public_key[ARCHIVE_KEY_SIZE],
                uint8_t ret_challenge[RECOVERY_CHALLENGE_SIZE], uint8_t ret_answer[RECOVERY_ANSWER_SIZE]) {
        uint8_t plain[PLAIN_SIZE];
        int r = 0;

        memcpy(plain, RECOVERY_CHALLENGE_LABEL, LABEL_SIZE);
        randombytes_buf(plain + LABEL_SIZE, RECOVERY_CHALLENGE_NONCE_SIZE);
        /* Fails for a point of small order, which everybody can open. */
        if (crypto_box_seal(ret_challenge, plain, sizeof(plain), public_key) < 0)
                r = -EINVAL;
        else
                make_answer(plain, public_key, ret_answer);

        explicit_bzero(plain, sizeof(plain));
        return r;
}

int recovery_challenge_answer(const uint8_t secret_key[ARCHIVE_KEY_SIZE],
                const uint8_t challenge[RECOVERY_CHALLENGE_SIZE], uint8_t ret[RECOVERY_ANSWER_SIZE]) {
        uint8_t plain[PLAIN_SIZE], public_key[ARCHIVE_KEY_SIZE];
        int r = 0;

        recovery_key_public(secret_key, public_key);
        if (crypto_box_seal_open(plain, challenge, RECOVERY_CHALLENGE_SIZE, public_key, secret_key) < 0 ||
                        memcmp(plain, RECOVERY_CHALLENGE_LABEL, LABEL_SIZE) != 0)
                r = -EKEYREJECTED;
        else
                make_answer(plain, public_key, ret);

        explicit_bzero(plain, sizeof(plain));
        return r;
}
