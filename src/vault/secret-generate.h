/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Random secrets of a given length over an alphabet, every letter equally likely. Alphanumeric ones have a
 * digit, a capital and a small letter at least. */

#include "secret-alphabet.h"

#define SECRET_LENGTH_MIN 8U
#define SECRET_LENGTH_MAX 256U
#define SECRET_LENGTH_DEFAULT 32U

/* The letters of an alphabet. Static. */
const char *secret_alphabet_letters(SecretAlphabet alphabet);

/* *ret is to be freed by erase_and_free(). -EINVAL for a length or an alphabet out of bounds. */
int secret_generate(SecretAlphabet alphabet, size_t length, char **ret);
