/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What people copy, type and print, as text: a prefix that says what it is, the bytes in hex in groups of four digits,
 * and a group that checks them. So a mistake is found where it is made, and nothing is taken for something else. */

#include "archive-format.h"

typedef enum RecoveryText {
        RECOVERY_TEXT_SECRET,    /* CCPR1: the secret half of a recovery key */
        RECOVERY_TEXT_PUBLIC,    /* CCPP1: its public half */
        RECOVERY_TEXT_CHALLENGE, /* CCPC1: what only the secret half opens */
        RECOVERY_TEXT_ANSWER,    /* CCPA1: what shows that it was opened */
        _RECOVERY_TEXT_KIND_MAX,
} RecoveryText;

/* How long the text of an even number of bytes is, with the NUL. */
#define RECOVERY_TEXT_SIZE(bytes) (STRLEN("CCPR1") + ((bytes) / 2U + 1U) * STRLEN("-0000") + 1U)
/* Of the longest. */
#define RECOVERY_TEXT_BYTES_MAX 72U
#define RECOVERY_TEXT_MAX RECOVERY_TEXT_SIZE(RECOVERY_TEXT_BYTES_MAX)

/* How many bytes there are. */
size_t recovery_text_bytes(RecoveryText kind);

/* 'ret' has room for RECOVERY_TEXT_SIZE() of them. */
void recovery_text_format(RecoveryText kind, const uint8_t *data, char *ret);

/* Reads what people typed: case, blanks, dashes and line breaks are of no account. -EINVAL if it is no such text;
 * -EBADMSG if its last group says that there is a mistake in it. 'ret' has room for the bytes, and stays on failure. */
int recovery_text_parse(RecoveryText kind, const char *text, uint8_t *ret);
