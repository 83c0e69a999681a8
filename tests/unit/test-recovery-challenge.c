/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "recovery-challenge.h"

#include <errno.h>
#include <sodium.h>

#include "test.h"

#include "recovery-key.h"

typedef struct Pair {
        uint8_t secret[ARCHIVE_KEY_SIZE], public[ARCHIVE_KEY_SIZE];
} Pair;

static Pair new_pair(void) {
        Pair p;

        ck_assert_int_ge(sodium_init(), 0);
        recovery_key_generate(p.secret, p.public);
        return p;
}

START_TEST(who_has_the_key_answers) {
        uint8_t challenge[RECOVERY_CHALLENGE_SIZE], answer[RECOVERY_ANSWER_SIZE],
                        given[RECOVERY_ANSWER_SIZE];
        uint8_t again[RECOVERY_CHALLENGE_SIZE], other[RECOVERY_ANSWER_SIZE];
        Pair p = new_pair();

        ASSERT_OK(recovery_challenge_make(p.public, challenge, answer));
        ASSERT_OK(recovery_challenge_answer(p.secret, challenge, given));
        ck_assert_mem_eq(given, answer, sizeof(given));

        /* Each is another one. */
        ASSERT_OK(recovery_challenge_make(p.public, again, other));
        ck_assert_mem_ne(again, challenge, sizeof(again));
        ck_assert_mem_ne(other, answer, sizeof(other));
}
END_TEST

START_TEST(who_has_another_does_not) {
        uint8_t challenge[RECOVERY_CHALLENGE_SIZE], answer[RECOVERY_ANSWER_SIZE],
                        given[RECOVERY_ANSWER_SIZE];
        Pair p = new_pair(), other = new_pair();

        ASSERT_OK(recovery_challenge_make(p.public, challenge, answer));
        ASSERT_ERROR(recovery_challenge_answer(other.secret, challenge, given), EKEYREJECTED);
}
END_TEST

START_TEST(no_byte_of_it_can_be_changed) {
        uint8_t challenge[RECOVERY_CHALLENGE_SIZE], answer[RECOVERY_ANSWER_SIZE],
                        given[RECOVERY_ANSWER_SIZE];
        Pair p = new_pair();

        ASSERT_OK(recovery_challenge_make(p.public, challenge, answer));
        for (size_t i = 0; i < sizeof(challenge); i++) {
                challenge[i] ^= 1;
                ASSERT_ERROR(recovery_challenge_answer(p.secret, challenge, given), EKEYREJECTED);
                challenge[i] ^= 1;
        }
}
END_TEST

/* Else who answers would open for anybody what backups are sealed with. */
START_TEST(what_is_no_challenge_is_not_answered) {
        uint8_t plain[24] = "CCPCHAL2", sealed[RECOVERY_CHALLENGE_SIZE], given[RECOVERY_ANSWER_SIZE];
        Pair p = new_pair();

        ck_assert_int_eq(crypto_box_seal(sealed, plain, sizeof(plain), p.public), 0);
        ASSERT_ERROR(recovery_challenge_answer(p.secret, sealed, given), EKEYREJECTED);
        /* But this is one, whoever made it. */
        memcpy(plain, RECOVERY_CHALLENGE_LABEL, 8);
        ck_assert_int_eq(crypto_box_seal(sealed, plain, sizeof(plain), p.public), 0);
        ASSERT_OK(recovery_challenge_answer(p.secret, sealed, given));
}
END_TEST

/* Those of small order: what is sealed for them everybody opens. */
START_TEST(what_is_no_public_half_is_refused) {
        static const uint8_t points[][ARCHIVE_KEY_SIZE] = {
                { 0 },
                { 1 },
                { 0xe0, 0xeb, 0x7a, 0x7c, 0x3b, 0x41, 0xb8, 0xae, 0x16, 0x56, 0xe3, 0xfa, 0xf1, 0x9f, 0xc4,
                                0x6a, 0xda, 0x09, 0x8d, 0xeb, 0x9c, 0x32, 0xb1, 0xfd, 0x86, 0x62, 0x05, 0x16,
                                0x5f, 0x49, 0xb8, 0x00 },
        };
        uint8_t challenge[RECOVERY_CHALLENGE_SIZE], answer[RECOVERY_ANSWER_SIZE];

        ck_assert_int_ge(sodium_init(), 0);
        FOREACH_ARRAY(p, points, ELEMENTSOF(points))
                ASSERT_ERROR(recovery_challenge_make(*p, challenge, answer), EINVAL);
}
END_TEST

/* What later versions must answer, too: of the key of 32 bytes 0x01, made by nothing of ours but the text. */
START_TEST(the_answer_stays_the_same) {
        static const char challenge_text[] = "CCPC1-7EA9-3945-8A4B-BA5D-6789-6D4B-7CAE-F9FC-DD9C-B70A-B6F9-"
                                             "FC58-DD19-656B-450F-9252-F578-E74C"
                                             "-A0E2-1153-4B29-F04A-BAD3-4DEB-01CE-5274-0245-312A-43E4-5AD3-"
                                             "2A75-51BE-A7AB-D086-0687-5A5D-357B",
                          answer_text[] = "CCPA1-FE56-4A9F-0A6D-461C-2F12-EC6A-2E85-6757-D129";
        uint8_t secret[ARCHIVE_KEY_SIZE], challenge[RECOVERY_CHALLENGE_SIZE], answer[RECOVERY_ANSWER_SIZE];
        char text[RECOVERY_TEXT_SIZE(RECOVERY_ANSWER_SIZE)];

        ck_assert_int_ge(sodium_init(), 0);
        memset(secret, 1, sizeof(secret));
        ASSERT_OK(recovery_text_parse(RECOVERY_TEXT_CHALLENGE, challenge_text, challenge));
        ASSERT_OK(recovery_challenge_answer(secret, challenge, answer));
        recovery_text_format(RECOVERY_TEXT_ANSWER, answer, text);
        ck_assert_str_eq(text, answer_text);
}
END_TEST

TESTS("recovery-challenge", who_has_the_key_answers, who_has_another_does_not, no_byte_of_it_can_be_changed,
                what_is_no_challenge_is_not_answered, what_is_no_public_half_is_refused,
                the_answer_stays_the_same)
