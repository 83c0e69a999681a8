/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* How somebody shows that he has the secret half of a recovery key, without showing it: a challenge is sealed for the
 * public half, and its answer can only be made by who opens it.
 *
 *      challenge   72   a sealed box (crypto_box_seal) of label[8] nonce[16]
 *      answer      16   BLAKE2b-128 of label and public key, keyed by the nonce
 *
 * Whoever answers opens nothing but what bears the label: what a backup is sealed with cannot be handed to him as a
 * challenge. */

#include "archive-format.h"

#define RECOVERY_CHALLENGE_LABEL "CCPCHAL1"
#define RECOVERY_CHALLENGE_NONCE_SIZE 16U
#define RECOVERY_CHALLENGE_SIZE 72U
#define RECOVERY_ANSWER_SIZE 16U

/* Makes one, and what its answer is. -EINVAL if this is the public half of no key. */
int recovery_challenge_make(const uint8_t public_key[ARCHIVE_KEY_SIZE],
                uint8_t ret_challenge[RECOVERY_CHALLENGE_SIZE], uint8_t ret_answer[RECOVERY_ANSWER_SIZE]);

/* Answers one. -EKEYREJECTED if it was not made for this key, or is none. */
int recovery_challenge_answer(const uint8_t secret_key[ARCHIVE_KEY_SIZE],
                const uint8_t challenge[RECOVERY_CHALLENGE_SIZE], uint8_t ret[RECOVERY_ANSWER_SIZE]);
