/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "alloc-util.h"
#include "fd-util.h"
#include "polkit-agent.h"
#include "process.h"
#include "string-util.h"
#include "test.h"

/* Takes its time, says what it was called with, then closes the descriptor that it was told of. */
static const char script[] = "#!/bin/sh\n"
                             "sleep 0.2\n"
                             "echo $1 $3\n"
                             "eval \"exec $2>&-\"\n"
                             "exec sleep 60\n";

static void write_script(const char *path) {
        _cleanup_close_ int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0700);

        ck_assert_int_ge(fd, 0);
        ASSERT_OK(loop_write(fd, script, sizeof(script) - 1));
}

START_TEST(an_agent_that_is_not_installed_is_told) {
        pid_t pid = 0;

        ASSERT_ERROR(polkit_agent_start("/nonexistent/pkttyagent", STDERR_FILENO, &pid), ENOENT);
        ck_assert_int_eq(pid, 0);
}
END_TEST

START_TEST(an_agent_is_waited_for_until_it_is_ready) {
        char folder[] = "/tmp/test-polkit-agent-XXXXXX", said[64];
        _cleanup_close_ int out = -EBADF, in = -EBADF;
        _cleanup_free_ char *path = NULL;
        int fds[2];
        ssize_t n;
        pid_t pid;

        ck_assert_ptr_nonnull(mkdtemp(folder));
        path = strjoin(folder, "/agent");
        ck_assert_ptr_nonnull(path);
        write_script(path);
        ck_assert_int_eq(pipe2(fds, O_CLOEXEC | O_NONBLOCK), 0);
        out = fds[0];
        in = fds[1];

        ASSERT_OK(polkit_agent_start(path, in, &pid));
        n = read(out, said, sizeof(said) - 1);
        ck_assert_int_gt(n, 0);
        said[n] = 0;
        ck_assert_str_eq(said, "--notify-fd --fallback\n");
        ck_assert_int_eq(kill(pid, 0), 0);
        process_wait(pid, SIGTERM);

        ck_assert_int_eq(unlink(path), 0);
        ck_assert_int_eq(rmdir(folder), 0);
}
END_TEST

START_TEST(an_agent_that_dies_at_once_does_not_hold_us_up) {
        usec_t begin = now(CLOCK_MONOTONIC);
        pid_t pid;

        ASSERT_OK(polkit_agent_start("/bin/false", STDERR_FILENO, &pid));
        process_wait(pid, SIGTERM);
        ck_assert_uint_lt(now(CLOCK_MONOTONIC) - begin, 10 * USEC_PER_SEC);
}
END_TEST

TESTS("polkit-agent", an_agent_that_is_not_installed_is_told, an_agent_is_waited_for_until_it_is_ready,
                an_agent_that_dies_at_once_does_not_hold_us_up)
