/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "secret-generate.h"

#include <sodium.h>
#include <stdlib.h>

#include "alloc-util.h"
#include "string-util.h"

#define DIGITS "0123456789"
#define UPPER "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define LOWER "abcdefghijklmnopqrstuvwxyz"
#define LETTERS UPPER LOWER

static const char *const letters[_SECRET_ALPHABET_MAX] = {
        [SECRET_ALPHANUMERIC] = LETTERS DIGITS,
        [SECRET_HEX] = DIGITS "abcdef",
        [SECRET_BASE64URL] = LETTERS DIGITS "-_",
        [SECRET_DIGITS] = DIGITS,
};

const char *secret_alphabet_letters(SecretAlphabet alphabet) {
        return alphabet >= 0 && alphabet < _SECRET_ALPHABET_MAX ? letters[alphabet] : NULL;
}

/* What passwords are often asked to have. */
static bool has_each_kind(const char *s) {
        return s[strcspn(s, UPPER)] && s[strcspn(s, LOWER)] && s[strcspn(s, DIGITS)];
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

        n = (uint32_t) strlen(from);
        s[length] = 0;
        /* Anew as a whole: so all that have each kind stay equally likely. */
        do
                /* randombytes_uniform() has no bias, whatever the size of the alphabet. */
                for (size_t i = 0; i < length; i++)
                        s[i] = from[randombytes_uniform(n)];
        while (alphabet == SECRET_ALPHANUMERIC && !has_each_kind(s));

        *ret = s;
        return 0;
}
