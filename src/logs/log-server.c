/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "log-server.h"

#include <errno.h>
#include <signal.h>
#include <sys/socket.h>
#include <systemd/sd-event.h>

#include "fd-util.h"
#include "log-request.h"
#include "log.h"
#include "process.h"
#include "time-util.h"

#define IDLE_USEC (60 * USEC_PER_SEC)

typedef struct LogServer {
        sd_event *event;
        sd_event_source *connections, *idle;
        const char *program;
        unsigned n_readers;
} LogServer;

static void log_server_done(LogServer *s) {
        sd_event_source_disable_unref(s->connections);
        sd_event_source_disable_unref(s->idle);
        sd_event_unref(s->event);
}

static int on_idle(sd_event_source *source, _unused_ uint64_t usec, _unused_ void *userdata) {
        return sd_event_exit(sd_event_source_get_event(source), 0);
}

static int wait_for_work(LogServer *s) {
        int r;

        r = sd_event_source_set_time_relative(s->idle, IDLE_USEC);
        return r < 0 ? r : sd_event_source_set_enabled(s->idle, SD_EVENT_ONESHOT);
}

static int on_reader_ended(sd_event_source *source, const siginfo_t *si, void *userdata) {
        LogServer *s = userdata;
        int r;

        (void) sd_event_source_unref(source);
        if (si->si_code != CLD_EXITED)
                log_warning("A reader died by signal %i.", si->si_status);

        s->n_readers--;
        r = sd_event_source_set_enabled(s->connections, SD_EVENT_ON);
        return r < 0 || s->n_readers > 0 ? r : wait_for_work(s);
}

static int start_reader(LogServer *s, int fd) {
        char *const argv[] = { (char *) s->program, NULL };
        sd_event_source *source; /* until it has ended */
        pid_t pid;
        int r;

        r = process_spawn(argv,
                        &(SpawnOptions) {
                                        .stdin_fd = fd,
                                        .stdout_fd = fd,
                                        .stderr_fd = -EBADF,
                                        .keep_fd = -EBADF,
                        },
                        &pid);
        if (r < 0)
                return r;

        r = sd_event_add_child(s->event, &source, pid, WEXITED, on_reader_ended, s);
        if (r < 0) {
                process_wait(pid, SIGTERM);
                return r;
        }

        s->n_readers++;
        return sd_event_source_set_enabled(s->idle, SD_EVENT_OFF);
}

static int on_connection(
                _unused_ sd_event_source *source, int fd, _unused_ uint32_t revents, void *userdata) {
        _cleanup_close_ int connection = -EBADF;
        LogServer *s = userdata;
        int r;

        connection = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
        if (connection < 0)
                return IN_SET(errno, EAGAIN, EINTR, ECONNABORTED) ? 0 : -errno;

        r = start_reader(s, connection);
        if (r < 0)
                log_error_errno(r, "Failed to start a reader: %m");

        /* ccpd may know before we do that one has ended: what it asks for then waits until we know, too. */
        return s->n_readers < LOG_READERS_MAX ? 0
                                              : sd_event_source_set_enabled(s->connections, SD_EVENT_OFF);
}

int log_server_run(int fd, const char *program) {
        _cleanup_(log_server_done) LogServer s = { .program = program };
        sigset_t mask;
        int r;

        sigemptyset(&mask);
        sigaddset(&mask, SIGCHLD);
        if (sigprocmask(SIG_BLOCK, &mask, NULL) < 0)
                return -errno;

        r = sd_event_new(&s.event);
        if (r >= 0)
                r = sd_event_add_io(s.event, &s.connections, fd, EPOLLIN, on_connection, &s);
        if (r >= 0)
                r = sd_event_add_time_relative(
                                s.event, &s.idle, CLOCK_MONOTONIC, IDLE_USEC, USEC_PER_SEC, on_idle, &s);
        if (r < 0)
                return r;

        return sd_event_loop(s.event);
}
