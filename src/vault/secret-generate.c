/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "secret-generate.h"

#include <sodium.h>
#include <stdlib.h>

#include "alloc-util.h"
#include "string-util.h"

#define DIGITS "0123456789"
#define LETTERS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

static const char *const letters[_SECRET_ALPHABET_MAX] = {
        [SECRET_ALPHANUMERIC] = LETTERS DIGITS,
        [SECRET_HEX] = DIGITS "abcdef",
        [SECRET_BASE64URL] = LETTERS DIGITS "-_",
        [SECRET_DIGITS] = DIGITS,
};

const char *secret_alphabet_letters(SecretAlphabet alphabet) {
        return alphabet >= 0 && alphabet < _SECRET_ALPHABET_MAX ? letters[alphabet] : NULL;
}

int secret_generate(SecretAlphabet alphabet, size_t length, char **ret) {
        const char *from = secret_alphabet_letters(alphabet);
        uint32_t n;
        char *s;

        if (!from || length < SECRET_LENGTH_MIN || length > SECRET_LENGTH_MAX)
                return -EINVAL;
        if (sodium_init() < 0)
                return -EIO;

        s = malloc(length + 1);
        if (!s)
                return -ENOMEM;

        /* randombytes_uniform() has no bias, whatever the size of the alphabet. */
        n = (uint32_t) strlen(from);
        for (size_t i = 0; i < length; i++)
                s[i] = from[randombytes_uniform(n)];
        s[length] = 0;

        *ret = s;
        return 0;
}
