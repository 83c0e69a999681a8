/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "recovery-key.h"

#include <sodium.h>

static_assert(RECOVERY_KEY_TEXT_MAX == STRLEN("CCPR1") + 17U * STRLEN("-0000") + 1U, "text");

void recovery_key_format(
                RecoveryKeyHalf half, const uint8_t key[ARCHIVE_KEY_SIZE], char ret[RECOVERY_KEY_TEXT_MAX]) {
        recovery_text_format((RecoveryText) half, key, ret);
}

int recovery_key_parse(RecoveryKeyHalf half, const char *text, uint8_t ret[ARCHIVE_KEY_SIZE]) {
        return recovery_text_parse((RecoveryText) half, text, ret);
}

void recovery_key_generate(uint8_t ret_secret[ARCHIVE_KEY_SIZE], uint8_t ret_public[ARCHIVE_KEY_SIZE]) {
        (void) crypto_box_keypair(ret_public, ret_secret);
}

void recovery_key_public(const uint8_t secret[ARCHIVE_KEY_SIZE], uint8_t ret[ARCHIVE_KEY_SIZE]) {
        (void) crypto_scalarmult_base(ret, secret);
}
