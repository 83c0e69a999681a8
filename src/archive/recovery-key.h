/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Recovery keys: pairs of X25519 keys, whose secret half is on paper. Both halves are text for people:
 *
 *      CCPR1-3F2A-90C1-…       the secret half: 32 bytes in hex, in groups of four, and a group that checks them
 *      CCPP1-77B0-…            the public half, the same
 */

#include "recovery-text.h"

/* With the NUL: the prefix, and 17 groups with their dashes. */
#define RECOVERY_KEY_TEXT_MAX RECOVERY_TEXT_SIZE(ARCHIVE_KEY_SIZE)

typedef enum RecoveryKeyHalf {
        RECOVERY_KEY_SECRET = RECOVERY_TEXT_SECRET,
        RECOVERY_KEY_PUBLIC = RECOVERY_TEXT_PUBLIC,
} RecoveryKeyHalf;

void recovery_key_format(
                RecoveryKeyHalf half, const uint8_t key[ARCHIVE_KEY_SIZE], char ret[RECOVERY_KEY_TEXT_MAX]);

/* As recovery_text_parse(). */
int recovery_key_parse(RecoveryKeyHalf half, const char *text, uint8_t ret[ARCHIVE_KEY_SIZE]);

/* Makes a pair. */
void recovery_key_generate(uint8_t ret_secret[ARCHIVE_KEY_SIZE], uint8_t ret_public[ARCHIVE_KEY_SIZE]);
/* The public half that belongs to a secret one. */
void recovery_key_public(const uint8_t secret[ARCHIVE_KEY_SIZE], uint8_t ret[ARCHIVE_KEY_SIZE]);
