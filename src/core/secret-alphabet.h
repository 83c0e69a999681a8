/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What generated secrets are made of: named by blueprints, used by the vault. */

#include <errno.h>

#include "ccp/macro.h"

typedef enum SecretAlphabet {
        SECRET_ALPHANUMERIC, /* A-Z a-z 0-9 */
        SECRET_HEX,          /* 0-9 a-f */
        SECRET_BASE64URL,    /* A-Z a-z 0-9 - _ */
        SECRET_DIGITS,
        _SECRET_ALPHABET_MAX,
        _SECRET_ALPHABET_INVALID = -EINVAL,
} SecretAlphabet;
DECLARE_STRING_TABLE(secret_alphabet, SecretAlphabet);

/* Their names in blueprints. */
extern const char *const secret_alphabet_table[_SECRET_ALPHABET_MAX];
