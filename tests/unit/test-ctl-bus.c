/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <errno.h>

#include "alloc-util.h"
#include "ctl-bus.h"
#include "string-util.h"
#include "test.h"

START_TEST(errors_have_the_exit_codes_that_scripts_rely_on) {
        static const struct {
                const char *name;
                int code;
        } cases[] = {
                { CCP_ERROR_INVALID_ARGUMENT, 2 },
                { CCP_ERROR_NO_SUCH_INSTANCE, 3 },
                { CCP_ERROR_NO_SUCH_JOB, 3 },
                { CCP_ERROR_NO_SUCH_BLUEPRINT, 3 },
                { CCP_ERROR_NO_SUCH_ROLE, 3 },
                { CCP_ERROR_NO_SUCH_SECRET, 3 },
                { CCP_ERROR_NOT_AUTHORIZED, 4 },
                { SD_BUS_ERROR_ACCESS_DENIED, 4 },
                { SD_BUS_ERROR_INTERACTIVE_AUTHORIZATION_REQUIRED, 4 },
                { CCP_ERROR_STORE_UNAVAILABLE, 5 },
                { CCP_ERROR_ENGINE_UNAVAILABLE, 5 },
                { SD_BUS_ERROR_SERVICE_UNKNOWN, 5 },
                { SD_BUS_ERROR_NAME_HAS_NO_OWNER, 5 },
                { SD_BUS_ERROR_NO_REPLY, 5 },
                { CCP_ERROR_BUSY, 1 },
                { CCP_ERROR_SLUG_TAKEN, 1 },
                { CCP_ERROR_INTERNAL, 1 },
                { "org.example.Whatever", 1 },
                { NULL, 1 },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++)
                ck_assert_int_eq((int) exit_code_from_error(cases[i].name), cases[i].code);
}
END_TEST

START_TEST(our_errors_keep_their_sentence) {
        _cleanup_error_ Error e = {};

        ASSERT_ERROR(error_from_bus(&e, &SD_BUS_ERROR_MAKE_CONST(CCP_ERROR_BUSY, "Job 7 runs."), -EBUSY),
                        EBUSY);
        ck_assert_str_eq(e.name, CCP_ERROR_BUSY);
        ck_assert_str_eq(e.message, "Job 7 runs.");
}
END_TEST

START_TEST(refusals_say_how_to_come_to_a_role) {
        static const char *const names[] = {
                CCP_ERROR_NOT_AUTHORIZED,
                SD_BUS_ERROR_ACCESS_DENIED,
                SD_BUS_ERROR_INTERACTIVE_AUTHORIZATION_REQUIRED,
        };
        _cleanup_error_ Error told = {};
        const sd_bus_error complete = SD_BUS_ERROR_MAKE_CONST(CCP_ERROR_NOT_AUTHORIZED,
                        "No. Have somebody say: ccpctl role grant admin --user=ann.");

        for (size_t i = 0; i < ELEMENTSOF(names); i++) {
                _cleanup_error_ Error e = {};

                ck_assert_int_lt(error_from_bus(&e, &SD_BUS_ERROR_MAKE_CONST(names[i], "Not you."), -EACCES),
                                0);
                ck_assert_ptr_nonnull(strstr(e.message, "ccpctl role grant ROLE"));
                ck_assert(i > 0 || startswith(e.message, "Not you. "));
        }

        /* Once is enough. */
        ck_assert_int_lt(error_from_bus(&told, &complete, -EACCES), 0);
        ck_assert_str_eq(told.message, complete.message);
}
END_TEST

START_TEST(errors_of_the_bus_say_what_to_do) {
        static const char *const names[] = {
                SD_BUS_ERROR_SERVICE_UNKNOWN,
                SD_BUS_ERROR_NO_REPLY,
                "org.freedesktop.DBus.Error.Spawn.ChildExited",
                "org.freedesktop.systemd1.UnitMasked",
        };

        for (size_t i = 0; i < ELEMENTSOF(names); i++) {
                _cleanup_error_ Error e = {};

                ck_assert_int_lt(error_from_bus(&e, &SD_BUS_ERROR_MAKE_CONST(names[i], "raw"), -EIO), 0);
                ck_assert_ptr_nonnull(strstr(e.message, "systemctl status ccpd"));
                ck_assert(error_is_away(e.name));
        }
}
END_TEST

START_TEST(lost_connections_are_told_from_other_failures) {
        _cleanup_error_ Error a = {}, b = {};

        ck_assert_int_lt(error_from_bus(&a, NULL, -ECONNRESET), 0);
        ck_assert(error_is_away(a.name));
        ck_assert_int_lt(error_from_bus(&b, NULL, -EMSGSIZE), 0);
        ck_assert(!error_is_away(b.name));
        ck_assert(!error_is_away(CCP_ERROR_STORE_UNAVAILABLE));
}
END_TEST

START_TEST(unknown_errors_keep_name_and_text) {
        _cleanup_error_ Error e = {};

        ck_assert_int_lt(error_from_bus(&e, &SD_BUS_ERROR_MAKE_CONST("org.example.Odd", "Strange."), -EIO),
                        0);
        ck_assert_str_eq(e.message, "Strange. (org.example.Odd)");
}
END_TEST

START_TEST(job_ids_are_read_from_paths) {
        _cleanup_free_ char *plain = NULL, *escaped = NULL, *none = NULL;

        ASSERT_OK(job_id_from_path(CCP_PATH_JOB "/42", &plain));
        ck_assert_str_eq(plain, "42");
        ASSERT_OK(job_id_from_path(CCP_PATH_JOB "/_342", &escaped));
        ck_assert_str_eq(escaped, "42");
        ASSERT_ERROR(job_id_from_path("/somewhere/else", &none), EINVAL);
}
END_TEST

TESTS("ctl-bus", errors_have_the_exit_codes_that_scripts_rely_on, our_errors_keep_their_sentence,
                refusals_say_how_to_come_to_a_role, errors_of_the_bus_say_what_to_do,
                lost_connections_are_told_from_other_failures, unknown_errors_keep_name_and_text,
                job_ids_are_read_from_paths)
