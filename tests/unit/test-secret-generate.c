/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "secret-generate.h"

#include "alloc-util.h"
#include "string-util.h"
#include "test.h"

START_TEST(secrets_have_their_length_and_letters) {
        for (SecretAlphabet a = 0; a < _SECRET_ALPHABET_MAX; a++)
                for (size_t n = SECRET_LENGTH_MIN; n <= SECRET_LENGTH_MAX; n += 31) {
                        _cleanup_erase_ char *s = NULL;

                        ASSERT_OK(secret_generate(a, n, &s));
                        ck_assert_uint_eq(strlen(s), n);
                        ck_assert_uint_eq(strspn(s, secret_alphabet_letters(a)), n);
                }
}
END_TEST

START_TEST(lengths_and_alphabets_out_of_bounds_are_refused) {
        char *s = NULL;

        ASSERT_ERROR(secret_generate(SECRET_HEX, SECRET_LENGTH_MIN - 1, &s), EINVAL);
        ASSERT_ERROR(secret_generate(SECRET_HEX, SECRET_LENGTH_MAX + 1, &s), EINVAL);
        ASSERT_ERROR(secret_generate(_SECRET_ALPHABET_MAX, 32, &s), EINVAL);
        ASSERT_ERROR(secret_generate(_SECRET_ALPHABET_INVALID, 32, &s), EINVAL);
        ck_assert_ptr_null(s);
}
END_TEST

START_TEST(alphabets_have_the_names_of_blueprints) {
        ck_assert_int_eq(secret_alphabet_from_string("alphanumeric"), SECRET_ALPHANUMERIC);
        ck_assert_int_eq(secret_alphabet_from_string("hex"), SECRET_HEX);
        ck_assert_int_eq(secret_alphabet_from_string("base64url"), SECRET_BASE64URL);
        ck_assert_int_eq(secret_alphabet_from_string("digits"), SECRET_DIGITS);
        ck_assert_int_eq(secret_alphabet_from_string("base64"), -EINVAL);
        ck_assert_uint_eq(strlen(secret_alphabet_letters(SECRET_ALPHANUMERIC)), 62);
        ck_assert_uint_eq(strlen(secret_alphabet_letters(SECRET_HEX)), 16);
        ck_assert_uint_eq(strlen(secret_alphabet_letters(SECRET_BASE64URL)), 64);
        ck_assert_uint_eq(strlen(secret_alphabet_letters(SECRET_DIGITS)), 10);
}
END_TEST

START_TEST(every_letter_is_about_equally_frequent) {
        enum { ROUNDS = 2000 };

        for (SecretAlphabet a = 0; a < _SECRET_ALPHABET_MAX; a++) {
                const char *letters = secret_alphabet_letters(a);
                size_t n = strlen(letters), counts[256] = {};
                double expected = (double) ROUNDS * SECRET_LENGTH_MAX / (double) n, chi2 = 0;

                for (unsigned i = 0; i < ROUNDS; i++) {
                        _cleanup_erase_ char *s = NULL;

                        ASSERT_OK(secret_generate(a, SECRET_LENGTH_MAX, &s));
                        for (const char *p = s; *p; p++)
                                counts[(unsigned char) *p]++;
                }

                for (const char *p = letters; *p; p++) {
                        double d = (double) counts[(unsigned char) *p] - expected;

                        chi2 += d * d / expected;
                }

                /* Six standard deviations above the mean: a biased modulus of 256 by 62 gives thousands. */
                ck_assert_double_lt(chi2, (double) (n - 1) + 6 * 1.42 * (double) n / 2 + 30);
        }
}
END_TEST

START_TEST(alphanumeric_secrets_have_each_kind) {
        for (unsigned i = 0; i < 1000; i++) {
                _cleanup_erase_ char *s = NULL;
                unsigned kinds = 0;

                ASSERT_OK(secret_generate(SECRET_ALPHANUMERIC, SECRET_LENGTH_MIN, &s));
                for (const char *p = s; *p; p++)
                        kinds |= *p <= '9' ? 1U : *p <= 'Z' ? 2U : 4U;
                ck_assert_msg(kinds == 7, "%s", s);
        }
}
END_TEST

START_TEST(no_two_secrets_are_alike) {
        _cleanup_erase_ char *a = NULL, *b = NULL;

        ASSERT_OK(secret_generate(SECRET_ALPHANUMERIC, SECRET_LENGTH_DEFAULT, &a));
        ASSERT_OK(secret_generate(SECRET_ALPHANUMERIC, SECRET_LENGTH_DEFAULT, &b));
        ck_assert_str_ne(a, b);
}
END_TEST

TESTS("secret-generate", secrets_have_their_length_and_letters,
                lengths_and_alphabets_out_of_bounds_are_refused, alphabets_have_the_names_of_blueprints,
                every_letter_is_about_equally_frequent, alphanumeric_secrets_have_each_kind,
                no_two_secrets_are_alike)
