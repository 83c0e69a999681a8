/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <errno.h>

#include "error.h"
#include "test.h"

START_TEST(name_decides_errno) {
        _cleanup_error_ Error e = {};

        ASSERT_ERROR(error_setf(&e, CCP_ERROR_SLUG_TAKEN, "Slug '%s' is taken.", "a"), EEXIST);
        ck_assert_str_eq(e.name, CCP_ERROR_SLUG_TAKEN);
        ck_assert_str_eq(e.message, "Slug 'a' is taken.");
        error_prefixf(&e, -1, "step %d", 4);
        ck_assert_str_eq(e.message, "step 4: Slug 'a' is taken.");
}
END_TEST

START_TEST(full_disk_has_a_name_of_its_own) {
        _cleanup_error_ Error e = {};

        ASSERT_ERROR(error_set_errnof(&e, -ENOSPC, "Cannot write '%s': %m", "/x"), ENOSPC);
        ck_assert_str_eq(e.name, CCP_ERROR_NO_SPACE);
        ck_assert_str_eq(e.message, "Cannot write '/x': No space left on device");
}
END_TEST

START_TEST(unknown_name_is_internal) {
        ck_assert_str_eq(error_name_intern("com.example.Nonsense"), CCP_ERROR_INTERNAL);
        ck_assert_str_eq(error_name_intern(CCP_ERROR_BUSY), CCP_ERROR_BUSY);
}
END_TEST

START_TEST(nobody_listening_is_fine) {
        ASSERT_ERROR(error_setf(NULL, CCP_ERROR_BUSY, "x"), EBUSY);
}
END_TEST

/* "é" is two bytes. */
START_TEST(a_sentence_is_utf8_whatever_is_put_into_it) {
        _cleanup_error_ Error e = {};

        (void) error_setf(&e, CCP_ERROR_UNHEALTHY, "%.*s, %s", 3, "\xC3\xA9\xC3\xA9", "\xFF\xE2\x82");
        ck_assert_str_eq(e.message, "\xC3\xA9?, ???");
        (void) error_prefixf(&e, -EIO, "%.*s", 1, "\xC3\xA9");
        ck_assert_str_eq(e.message, "?: \xC3\xA9?, ???");
}
END_TEST

TESTS("error", a_sentence_is_utf8_whatever_is_put_into_it, name_decides_errno,
                full_disk_has_a_name_of_its_own, unknown_name_is_internal, nobody_listening_is_fine)
