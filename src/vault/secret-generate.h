/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Random secrets of a given length over an alphabet, every letter equally likely. */

#include <errno.h>

#include "ccp/macro.h"

#define SECRET_LENGTH_MIN 8U
#define SECRET_LENGTH_MAX 256U
#define SECRET_LENGTH_DEFAULT 32U

typedef enum SecretAlphabet {
        SECRET_ALPHANUMERIC, /* A-Z a-z 0-9 */
        SECRET_HEX,          /* 0-9 a-f */
        SECRET_BASE64URL,    /* A-Z a-z 0-9 - _ */
        SECRET_DIGITS,
        _SECRET_ALPHABET_MAX,
        _SECRET_ALPHABET_INVALID = -EINVAL,
} SecretAlphabet;
DECLARE_STRING_TABLE(secret_alphabet, SecretAlphabet);

/* The letters of an alphabet. Static. */
const char *secret_alphabet_letters(SecretAlphabet alphabet);

/* *ret is to be freed by erase_and_free(). -EINVAL for a length or an alphabet out of bounds. */
int secret_generate(SecretAlphabet alphabet, size_t length, char **ret);
