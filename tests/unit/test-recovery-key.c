/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "recovery-key.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>

#include "test.h"

#include "string-util.h"

START_TEST(a_half_that_was_written_is_read) {
        uint8_t secret[ARCHIVE_KEY_SIZE], public[ARCHIVE_KEY_SIZE], read[ARCHIVE_KEY_SIZE];
        char text[RECOVERY_KEY_TEXT_MAX];

        ASSERT_OK(sodium_init());
        recovery_key_generate(secret, public);
        recovery_key_format(RECOVERY_KEY_SECRET, secret, text);
        ck_assert_uint_eq(strlen(text), RECOVERY_KEY_TEXT_MAX - 1);
        ASSERT_OK(recovery_key_parse(RECOVERY_KEY_SECRET, text, read));
        ck_assert_int_eq(memcmp(read, secret, sizeof(read)), 0);
        recovery_key_public(secret, read);
        ck_assert_int_eq(memcmp(read, public, sizeof(read)), 0);
        /* One half is not taken for the other. */
        ASSERT_ERROR(recovery_key_parse(RECOVERY_KEY_PUBLIC, text, read), EINVAL);
}
END_TEST

/* What was printed must be read by all later versions. */
START_TEST(the_text_stays_the_same) {
        static const char text[] = "CCPR1-0000-0000-0000-0000-0000-0000-0000-0000-0000-0000-0000-0000-0000-"
                                   "0000-0000-0000-C8C2";
        uint8_t zero[ARCHIVE_KEY_SIZE] = {}, read[ARCHIVE_KEY_SIZE];
        char is[RECOVERY_KEY_TEXT_MAX];

        recovery_key_format(RECOVERY_KEY_SECRET, zero, is);
        ck_assert_str_eq(is, text);
        ASSERT_OK(recovery_key_parse(RECOVERY_KEY_SECRET, text, read));
}
END_TEST

START_TEST(people_type_as_they_like) {
        uint8_t key[ARCHIVE_KEY_SIZE], read[ARCHIVE_KEY_SIZE];
        char text[RECOVERY_KEY_TEXT_MAX], typed[2 * RECOVERY_KEY_TEXT_MAX], *p = typed;

        memset(key, 0xab, sizeof(key));
        recovery_key_format(RECOVERY_KEY_SECRET, key, text);
        for (const char *s = text; *s; s++)
                p += sprintf(p, "%s%c", s == text ? "  " : "", *s == '-' ? '\n' : *s | 0x20);
        ASSERT_OK(recovery_key_parse(RECOVERY_KEY_SECRET, typed, read));
        ck_assert_int_eq(memcmp(read, key, sizeof(key)), 0);
}
END_TEST

START_TEST(each_wrong_digit_is_a_mistake) {
        uint8_t key[ARCHIVE_KEY_SIZE], read[ARCHIVE_KEY_SIZE];
        char text[RECOVERY_KEY_TEXT_MAX];

        memset(key, 0x5a, sizeof(key));
        recovery_key_format(RECOVERY_KEY_SECRET, key, text);
        for (size_t i = STRLEN("CCPR1"); text[i]; i++) {
                char c = text[i];

                if (c == '-')
                        continue;
                text[i] = c == '0' ? '1' : '0';
                ASSERT_ERROR(recovery_key_parse(RECOVERY_KEY_SECRET, text, read), EBADMSG);
                text[i] = c;
        }
}
END_TEST

START_TEST(what_is_no_key_is_refused) {
        static const char *const wrong[] = { "", "CCPR1", "CCPR2-0000", "hello", "CCPR1-00", "CCPR1-zzzz" };
        char lots[10000];
        uint8_t read[ARCHIVE_KEY_SIZE];

        FOREACH_ARRAY(s, wrong, ELEMENTSOF(wrong))
                ASSERT_ERROR(recovery_key_parse(RECOVERY_KEY_SECRET, *s, read), EINVAL);
        memset(lots, '0', sizeof(lots));
        lots[sizeof(lots) - 1] = 0;
        ASSERT_ERROR(recovery_key_parse(RECOVERY_KEY_SECRET, lots, read), EINVAL);
}
END_TEST

TESTS("recovery-key", a_half_that_was_written_is_read, the_text_stays_the_same, people_type_as_they_like,
                each_wrong_digit_is_a_mistake, what_is_no_key_is_refused)
