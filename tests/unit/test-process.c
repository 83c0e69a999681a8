/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "fd-util.h"
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

static const SpawnOptions with_ours = {
        .stdin_fd = -EBADF, .stdout_fd = -EBADF, .stderr_fd = -EBADF, .keep_fd = -EBADF
};

START_TEST(what_runs_beside_us_stays_in_our_group_until_it_is_ended) {
        pid_t pid;

        ASSERT_OK(process_spawn(pause_argv, &with_ours, &pid));
        ck_assert_int_eq(getpgid(pid), getpgrp());
        ck_assert_int_eq(kill(pid, SIGSTOP), 0);
        process_wait(pid, SIGTERM);
        ck_assert_int_eq(kill(pid, 0), -1);
}
END_TEST

START_TEST(a_program_that_is_not_there_is_not_spawned) {
        pid_t pid = 0;

        ASSERT_ERROR(process_spawn((char *const[]) { (char *) "/nonexistent", NULL }, &with_ours, &pid),
                        ENOENT);
        ASSERT_ERROR(process_spawn((char *const[]) { (char *) "/etc/passwd", NULL }, &with_ours, &pid),
                        EACCES);
        ck_assert_int_eq(pid, 0);
}
END_TEST

START_TEST(only_the_descriptors_that_are_meant_are_inherited) {
        _cleanup_close_ int out = -EBADF, in = -EBADF, stays = -EBADF, leaks = -EBADF;
        SpawnOptions options = with_ours;
        char buffer[256], stays_path[32], leaks_path[32];
        int fds[2];
        ssize_t n;
        pid_t pid;

        ck_assert_int_eq(pipe2(fds, O_CLOEXEC), 0);
        out = fds[0];
        in = fds[1];
        stays = open("/etc/passwd", O_RDONLY | O_CLOEXEC);
        leaks = open("/etc/group", O_RDONLY);
        ck_assert_int_ge(stays, 0);
        ck_assert_int_ge(leaks, 0);

        options.stdout_fd = in;
        options.keep_fd = stays;
        (void) snprintf(stays_path, sizeof(stays_path), "/proc/self/fd/%d", stays);
        (void) snprintf(leaks_path, sizeof(leaks_path), "/proc/self/fd/%d", leaks);
        ASSERT_OK(process_spawn((char *const[]) { (char *) "readlink", (char *) "/proc/self/fd/1",
                                                stays_path, leaks_path, NULL },
                        &options, &pid));
        process_wait(pid, 0);
        in = safe_close(in);

        n = read(out, buffer, sizeof(buffer) - 1);
        ck_assert_int_gt(n, 0);
        buffer[n] = 0;
        ck_assert_ptr_nonnull(startswith(buffer, "pipe:"));
        ck_assert_ptr_nonnull(endswith(buffer, "\n/etc/passwd\n"));
        ck_assert_ptr_null(strstr(buffer, "/etc/group"));
}
END_TEST

static int count(const char *data, size_t size, void *userdata) {
        static const char zeros[65536];
        size_t *n = userdata;

        ck_assert_uint_le(size, sizeof(zeros));
        ck_assert_int_eq(memcmp(data, zeros, size), 0);
        *n += size;
        return *n > (64U << 20) ? -EDOM : 0;
}

START_TEST(output_is_taken_as_it_comes) {
        char *all[] = { (char *) "head", (char *) "-c", (char *) "5000001", (char *) "/dev/zero", NULL },
             *endless[] = { (char *) "cat", (char *) "/dev/zero", NULL };
        _cleanup_process_result_ ProcessResult result = {};
        size_t n = 0;

        ASSERT_OK(process_run(all, &(ProcessOptions) { .stdin_fd = -EBADF, .output = count, .userdata = &n },
                        &result));
        ck_assert_int_eq(result.status, 0);
        ck_assert_uint_eq(n, 5000001);
        ck_assert_ptr_null(result.out.data);

        /* Who takes it can end it. */
        ASSERT_ERROR(process_run(endless,
                                     &(ProcessOptions) {
                                                     .stdin_fd = -EBADF, .output = count, .userdata = &n },
                                     NULL),
                        EDOM);
}
END_TEST

TESTS("process", output_is_taken_as_it_comes, no_shell_expands_anything,
                exit_status_and_missing_program_are_told_apart, time_out_ends_it, poll_can_cancel,
                what_poll_says_is_returned, a_program_that_never_stops_writing_is_ended_too,
                the_last_output_is_kept, what_runs_beside_us_stays_in_our_group_until_it_is_ended,
                a_program_that_is_not_there_is_not_spawned,
                only_the_descriptors_that_are_meant_are_inherited)
