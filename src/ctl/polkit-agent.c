/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "polkit-agent.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>

#include "fd-util.h"
#include "process.h"
#include "terminal.h"

#define AGENT_PATH "/usr/bin/pkttyagent"
/* It has to ask polkit, which may have to be started; without an agent we are no worse off than before. */
#define READY_MAX_MSEC 30000

static pid_t agent_pid;

static void wait_until_closed(int fd) {
        struct pollfd pfd = { .fd = fd };

        while (poll(&pfd, 1, READY_MAX_MSEC) < 0 && errno == EINTR)
                ;
}

int polkit_agent_start(const char *program, int fd, pid_t *ret) {
        _cleanup_close_ int ready = -EBADF, notify = -EBADF;
        char number[16];
        int fds[2], r;

        if (pipe2(fds, O_CLOEXEC) < 0)
                return -errno;
        ready = fds[0];
        notify = fds[1];

        /* What we print may go into a pipe, whose reader waits for its end: that is not the agent's to keep
         * open. */
        (void) snprintf(number, sizeof(number), "%d", notify);
        r = process_spawn((char *const[]) { (char *) program, (char *) "--notify-fd", number,
                                          (char *) "--fallback", NULL },
                        &(SpawnOptions) {
                                        .stdin_fd = -EBADF,
                                        .stdout_fd = fd,
                                        .stderr_fd = fd,
                                        .keep_fd = notify,
                        },
                        ret);
        if (r < 0)
                return r;

        (void) safe_close(TAKE_FD(notify));
        wait_until_closed(ready);
        return 0;
}

void polkit_agent_open(const Ctl *c) {
        _cleanup_close_ int fd = -EBADF;

        if (agent_pid > 0 || geteuid() == 0 || !terminal_is_input() || !ctl_may_ask(c))
                return;

        /* The agent talks to the terminal that controls us, whatever our streams are. */
        fd = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);
        if (fd >= 0)
                (void) polkit_agent_start(AGENT_PATH, fd, &agent_pid);
}

void polkit_agent_close(void) {
        if (agent_pid > 0)
                process_wait(TAKE_GENERIC(agent_pid, 0), SIGTERM);
}
