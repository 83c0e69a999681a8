/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "secret-alphabet.h"

#include "string-util.h"

const char *const secret_alphabet_table[_SECRET_ALPHABET_MAX] = {
        [SECRET_ALPHANUMERIC] = "alphanumeric",
        [SECRET_HEX] = "hex",
        [SECRET_BASE64URL] = "base64url",
        [SECRET_DIGITS] = "digits",
};
DEFINE_STRING_TABLE(secret_alphabet, SecretAlphabet);
