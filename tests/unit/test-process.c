/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <errno.h>

#include "process.h"
#include "string-util.h"
#include "test.h"

static char *const echo[] = { (char *) "echo", (char *) "$HOME;", NULL };
static char *const pause_argv[] = { (char *) "sleep", (char *) "60", NULL };

START_TEST(no_shell_expands_anything) {
        _cleanup_process_result_ ProcessResult result = {};

        ck_assert_int_eq(process_run(echo, NULL, &result), 0);
        ck_assert_int_eq(result.status, 0);
        ck_assert_str_eq(result.out.data, "$HOME;\n");
}
END_TEST

START_TEST(exit_status_and_missing_program_are_told_apart) {
        _cleanup_process_result_ ProcessResult a = {}, b = {};

        ck_assert_int_eq(process_run((char *const[]) { (char *) "false", NULL }, NULL, &a), 0);
        ck_assert_int_eq(a.status, 1);
        ck_assert_int_eq(process_run((char *const[]) { (char *) "/nonexistent", NULL }, NULL, &b), 0);
        ck_assert_int_eq(b.status, 127);
        ck_assert_ptr_nonnull(strstr(b.err.data, "No such file"));
}
END_TEST

START_TEST(time_out_ends_it) {
        ProcessOptions options = { .stdin_fd = -EBADF, .timeout = 100 * USEC_PER_MSEC };
        usec_t begin = now(CLOCK_MONOTONIC);

        ASSERT_ERROR(process_run(pause_argv, &options, NULL), ETIMEDOUT);
        ck_assert_uint_lt(now(CLOCK_MONOTONIC) - begin, 5 * USEC_PER_SEC);
}
END_TEST

static int cancel(void *userdata) {
        (*(int *) userdata)++;
        return -ECANCELED;
}

START_TEST(poll_can_cancel) {
        int calls = 0;
        ProcessOptions options = { .stdin_fd = -EBADF, .poll = cancel, .userdata = &calls };

        ASSERT_ERROR(process_run(pause_argv, &options, NULL), ECANCELED);
        ck_assert_int_ge(calls, 1);
}
END_TEST

static int stop(_unused_ void *userdata) {
        return 1;
}

START_TEST(what_poll_says_is_returned) {
        ProcessOptions options = { .stdin_fd = -EBADF, .poll = stop };

        ck_assert_int_eq(process_run(pause_argv, &options, NULL), 1);
}
END_TEST

START_TEST(a_program_that_never_stops_writing_is_ended_too) {
        ProcessOptions options = { .stdin_fd = -EBADF, .timeout = 100 * USEC_PER_MSEC, .stdout_limit = 16 };
        usec_t begin = now(CLOCK_MONOTONIC);

        ASSERT_ERROR(process_run((char *const[]) { (char *) "cat", (char *) "/dev/zero", NULL }, &options,
                                     NULL),
                        ETIMEDOUT);
        ck_assert_uint_lt(now(CLOCK_MONOTONIC) - begin, 5 * USEC_PER_SEC);
}
END_TEST

START_TEST(the_last_output_is_kept) {
        _cleanup_process_result_ ProcessResult result = {};
        ProcessOptions options = { .stdin_fd = -EBADF, .stdout_limit = 10 };

        ck_assert_int_eq(process_run((char *const[]) { (char *) "seq", (char *) "1000", NULL }, &options,
                                         &result),
                        0);
        ck_assert(result.out.truncated);
        ck_assert_str_eq(result.out.data, "\n999\n1000\n");
}
END_TEST

TESTS("process", no_shell_expands_anything, exit_status_and_missing_program_are_told_apart, time_out_ends_it,
                poll_can_cancel, what_poll_says_is_returned, a_program_that_never_stops_writing_is_ended_too,
                the_last_output_is_kept)
