/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "recovery-text.h"

#include <errno.h>

#include "test.h"

START_TEST(each_kind_is_read_as_it_was_written) {
        for (RecoveryText kind = 0; kind < _RECOVERY_TEXT_KIND_MAX; kind++) {
                uint8_t data[RECOVERY_TEXT_BYTES_MAX], read[RECOVERY_TEXT_BYTES_MAX];
                size_t n = recovery_text_bytes(kind);
                char text[RECOVERY_TEXT_MAX];

                for (size_t i = 0; i < n; i++)
                        data[i] = (uint8_t) (7 * i + 1);
                recovery_text_format(kind, data, text);
                ck_assert_uint_eq(strlen(text) + 1, RECOVERY_TEXT_SIZE(n));
                ASSERT_OK(recovery_text_parse(kind, text, read));
                ck_assert_mem_eq(read, data, n);

                /* And as no other. */
                for (RecoveryText other = 0; other < _RECOVERY_TEXT_KIND_MAX; other++)
                        if (other != kind)
                                ASSERT_ERROR(recovery_text_parse(other, text, read), EINVAL);

                /* Nor with another prefix, where it is as long. */
                text[3] = text[3] == 'R' ? 'P' : 'R';
                ASSERT_ERROR(recovery_text_parse(kind, text, read), EINVAL);
        }
}
END_TEST

START_TEST(a_mistake_leaves_the_result_alone) {
        uint8_t data[RECOVERY_TEXT_BYTES_MAX] = { 1, 2, 3 }, read[RECOVERY_TEXT_BYTES_MAX] = { 9 };
        char text[RECOVERY_TEXT_MAX];

        recovery_text_format(RECOVERY_TEXT_ANSWER, data, text);
        text[strlen(text) - 1] ^= 1;
        ASSERT_ERROR(recovery_text_parse(RECOVERY_TEXT_ANSWER, text, read), EBADMSG);
        text[strlen(text) - 1] = 0;
        ASSERT_ERROR(recovery_text_parse(RECOVERY_TEXT_ANSWER, text, read), EINVAL);
        ck_assert_uint_eq(read[0], 9);
}
END_TEST

TESTS("recovery-text", each_kind_is_read_as_it_was_written, a_mistake_leaves_the_result_alone)
