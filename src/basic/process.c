/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "process.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "alloc-util.h"
#include "fd-util.h"
#include "string-util.h"

#define OUTPUT_LIMIT_DEFAULT (64U * 1024U)
#define LINE_MAX_BYTES 4096U
#define KILL_AFTER_USEC (10 * USEC_PER_SEC)
#define POLL_INTERVAL_MSEC 1000
/* In one turn, so that a program that never stops writing does not keep us from looking at the clock; more than
 * a pipe holds (fs.pipe-max-size), so that at the end nothing is left in it. */
#define READS_PER_TURN 64U
#define READ_SIZE (32U * 1024U)
/* Of a pipe whose content is taken as it comes. */
#define STREAM_PIPE_SIZE (1024 * 1024)

/* What runs of a program between two polls. */
typedef struct Process {
        pid_t pid;
        int pidfd;
        int out_fd, err_fd;
        const ProcessOptions *options;
        ProcessResult *result;
        char line[LINE_MAX_BYTES];
        size_t line_size;
} Process;

static void process_output_done(ProcessOutput *o) {
        o->data = erase_and_free(o->data);
        o->size = 0;
}

void process_result_done(ProcessResult *r) {
        process_output_done(&r->out);
        process_output_done(&r->err);
}

/* Gives up what a program should not inherit, and has it die with its parent. */
static void child_begin(pid_t parent, int death_signal) {
        sigset_t none;

        sigemptyset(&none);
        (void) sigprocmask(SIG_SETMASK, &none, NULL);
        for (int s = 1; s < _NSIG; s++)
                (void) signal(s, SIG_DFL);

        /* The parent may have died before the request was in force. */
        if (prctl(PR_SET_PDEATHSIG, death_signal) < 0 || getppid() != parent)
                _exit(127);
}

_noreturn_ static void child(
                char *const *argv, const ProcessOptions *options, pid_t parent, int in, int out, int err) {
        static char *const default_environment[] = {
                (char *) "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                (char *) "HOME=/nonexistent",
                (char *) "LANG=C.UTF-8",
                NULL,
        };

        assert(in >= 0 && out >= 0 && err >= 0);

        (void) setpgid(0, 0);
        child_begin(parent, SIGKILL);

        if (dup2(in, STDIN_FILENO) < 0 || dup2(out, STDOUT_FILENO) < 0 || dup2(err, STDERR_FILENO) < 0 ||
                        syscall(SYS_close_range, 3U, ~0U, 0U) < 0 || chdir(options->directory ?: "/") < 0)
                goto fail;

        (void) execvpe(argv[0], argv, options->environment ?: default_environment);

fail:
        dprintf(STDERR_FILENO, "Cannot run %s: %s\n", argv[0], strerror(errno));
        _exit(127);
}

/* A descriptor that dup2() in the child can't overwrite before it was used. */
static int move_above_stdio(int fd) {
        int copy;

        if (fd > STDERR_FILENO)
                return fd;

        copy = fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
        safe_close(fd);
        return copy < 0 ? -errno : copy;
}

static int make_pipe(int *ret_read, int *ret_write) {
        int p[2];

        if (pipe2(p, O_CLOEXEC) < 0)
                return -errno;

        p[0] = move_above_stdio(p[0]);
        p[1] = move_above_stdio(p[1]);
        if (p[0] < 0 || p[1] < 0) {
                int r = p[0] < 0 ? p[0] : p[1];

                safe_close(p[0]);
                safe_close(p[1]);
                return r;
        }

        (void) fcntl(p[0], F_SETFL, O_NONBLOCK);
        *ret_read = p[0];
        *ret_write = p[1];
        return 0;
}

static int process_start(Process *p, char *const *argv) {
        _cleanup_close_ int in = -EBADF, out = -EBADF, err = -EBADF;
        pid_t parent = getpid();
        int r;

        r = make_pipe(&p->out_fd, &out);
        if (r < 0)
                return r;
        if (p->options->output)
                (void) fcntl(out, F_SETPIPE_SZ, STREAM_PIPE_SIZE);
        r = make_pipe(&p->err_fd, &err);
        if (r < 0)
                return r;

        in = p->options->stdin_fd >= 0 ? fcntl(p->options->stdin_fd, F_DUPFD_CLOEXEC, 3)
                                       : open("/dev/null", O_RDONLY | O_CLOEXEC);
        if (in < 0)
                return -errno;
        in = move_above_stdio(in);
        if (in < 0)
                return in;

        p->pid = fork();
        if (p->pid < 0)
                return -errno;
        if (p->pid == 0)
                child(argv, p->options, parent, in, out, err);

        (void) setpgid(p->pid, p->pid);
        p->pidfd = (int) syscall(SYS_pidfd_open, p->pid, 0U);
        if (p->pidfd < 0) {
                r = -errno;
                (void) kill(-p->pid, SIGKILL);
                (void) waitpid(p->pid, NULL, 0);
                return r;
        }

        return 0;
}

static int output_append(ProcessOutput *o, const char *data, size_t size, size_t limit) {
        size_t keep;

        if (!o->data) {
                o->data = malloc(limit + 1);
                if (!o->data)
                        return -ENOMEM;
        }

        if (size > limit) {
                data += size - limit;
                size = limit;
                o->truncated = true;
        }
        if (o->size + size > limit) {
                keep = limit - size;
                memmove(o->data, o->data + o->size - keep, keep);
                o->size = keep;
                o->truncated = true;
        }

        memcpy(o->data + o->size, data, size);
        o->size += size;
        o->data[o->size] = 0;
        return 0;
}

static void process_flush_line(Process *p) {
        if (p->line_size > 0) {
                p->line[p->line_size] = 0;
                p->options->line(p->line, p->options->userdata);
                p->line_size = 0;
        }
}

static void process_split_lines(Process *p, const char *data, size_t size) {
        if (!p->options->line)
                return;

        for (size_t i = 0; i < size; i++)
                if (IN_SET(data[i], '\n', '\r'))
                        process_flush_line(p);
                else if (p->line_size < sizeof(p->line) - 1)
                        p->line[p->line_size++] = data[i];
}

/* Reads what is there, or some of it. Closes the descriptor at its end. */
static int process_read(Process *p, int *fd, ProcessOutput *o, size_t limit, bool is_stderr) {
        char buffer[READ_SIZE];

        for (unsigned k = 0; k < READS_PER_TURN; k++) {
                ssize_t n;
                int r;

                n = read(*fd, buffer, sizeof(buffer));
                if (n < 0) {
                        if (errno == EINTR)
                                continue;
                        if (errno == EAGAIN)
                                return 0;
                        return -errno;
                }
                if (n == 0) {
                        *fd = safe_close(*fd);
                        return 0;
                }

                r = !is_stderr && p->options->output
                                ? p->options->output(buffer, (size_t) n, p->options->userdata)
                                : output_append(o, buffer, (size_t) n, limit);
                explicit_bzero(buffer, (size_t) n);
                if (r != 0)
                        return r;
                if (is_stderr)
                        process_split_lines(p, o->data + o->size - MIN((size_t) n, o->size),
                                        MIN((size_t) n, o->size));
        }

        return 0;
}

/* Asks the process group to end, and after a while does not ask. */
static void process_end(Process *p, usec_t *kill_at, int signal) {
        (void) kill(-p->pid, signal);
        *kill_at = signal == SIGTERM ? now(CLOCK_MONOTONIC) + KILL_AFTER_USEC : USEC_INFINITY;
}

static int process_loop(Process *p) {
        const ProcessOptions *o = p->options;
        size_t out_limit = o->stdout_limit ?: OUTPUT_LIMIT_DEFAULT,
               err_limit = o->stderr_limit ?: OUTPUT_LIMIT_DEFAULT;
        usec_t deadline = o->timeout > 0 ? now(CLOCK_MONOTONIC) + o->timeout : USEC_INFINITY;
        usec_t kill_at = USEC_INFINITY;
        bool exited = false, ending = false;
        int ret = 0;

        while (!exited) {
                struct pollfd fds[] = {
                        { .fd = p->pidfd, .events = POLLIN },
                        { .fd = p->out_fd, .events = POLLIN },
                        { .fd = p->err_fd, .events = POLLIN },
                };
                int r = 0;

                if (poll(fds, ELEMENTSOF(fds), POLL_INTERVAL_MSEC) < 0 && errno != EINTR)
                        r = -errno;

                exited = fds[0].revents != 0;

                if (r >= 0 && p->out_fd >= 0)
                        r = process_read(p, &p->out_fd, &p->result->out, out_limit, false);
                if (r == 0 && p->err_fd >= 0)
                        r = process_read(p, &p->err_fd, &p->result->err, err_limit, true);
                if (r == 0 && o->stdout_all && p->result->out.truncated)
                        r = -EFBIG;
                if (r == 0 && o->poll && !exited)
                        r = o->poll(o->userdata);
                if (r == 0 && now(CLOCK_MONOTONIC) >= deadline)
                        r = -ETIMEDOUT;

                if (r != 0 && !ending) {
                        ending = true;
                        ret = r;
                        /* Whoever takes it wants no more of it. */
                        if (o->output)
                                p->out_fd = safe_close(p->out_fd);
                        process_end(p, &kill_at, SIGTERM);
                }
                if (now(CLOCK_MONOTONIC) >= kill_at)
                        process_end(p, &kill_at, SIGKILL);
        }

        return ret;
}

static int process_reap(Process *p) {
        siginfo_t si = {};

        while (waitid(P_PID, (id_t) p->pid, &si, WEXITED) < 0)
                if (errno != EINTR)
                        return -errno;

        p->result->status = si.si_code == CLD_EXITED ? si.si_status : 128 + si.si_status;
        return 0;
}

int process_run(char *const *argv, const ProcessOptions *options, ProcessResult *ret) {
        static const ProcessOptions default_options = { .stdin_fd = -EBADF };
        _cleanup_process_result_ ProcessResult result = {};
        Process p = {
                .pidfd = -EBADF,
                .out_fd = -EBADF,
                .err_fd = -EBADF,
                .options = options ?: &default_options,
                .result = &result,
        };
        int r, k;

        r = process_start(&p, argv);
        if (r >= 0) {
                r = process_loop(&p);
                /* Whatever it left behind in its group ends with it. */
                if (!p.options->leave_children)
                        (void) kill(-p.pid, SIGKILL);
                k = process_reap(&p);
                if (r == 0)
                        r = k;
                if (p.options->line)
                        process_flush_line(&p);
        }

        safe_close(p.out_fd);
        safe_close(p.err_fd);
        safe_close(p.pidfd);
        explicit_bzero(p.line, sizeof(p.line));
        if (r < 0)
                return r;

        if (ret)
                *ret = TAKE_GENERIC(result, (ProcessResult) {});
        return r;
}

_noreturn_ static void spawned_child(char *const *argv, const SpawnOptions *o, pid_t parent, int error_fd) {
        const int fds[] = { o->stdin_fd, o->stdout_fd, o->stderr_fd };
        int error;

        child_begin(parent, SIGTERM);

        for (int i = 0; i < (int) ELEMENTSOF(fds); i++)
                if (fds[i] >= 0 && dup2(fds[i], i) < 0)
                        goto fail;
        if (syscall(SYS_close_range, 3U, ~0U, CLOSE_RANGE_CLOEXEC) < 0 ||
                        (o->keep_fd >= 0 && fcntl(o->keep_fd, F_SETFD, 0) < 0))
                goto fail;

        (void) execvp(argv[0], argv);

fail:
        error = errno;
        (void) loop_write(error_fd, &error, sizeof(error));
        _exit(127);
}

int process_spawn(char *const *argv, const SpawnOptions *options, pid_t *ret) {
        _cleanup_close_ int error_fd = -EBADF, child_fd = -EBADF;
        pid_t parent = getpid(), pid;
        int error = 0, r;
        ssize_t n;

        r = make_pipe(&error_fd, &child_fd);
        if (r < 0)
                return r;
        if (fcntl(error_fd, F_SETFL, 0) < 0)
                return -errno;

        pid = fork();
        if (pid < 0)
                return -errno;
        if (pid == 0)
                spawned_child(argv, options, parent, child_fd);

        /* The other end closes when the program begins; before that it can only say why it does not. */
        child_fd = safe_close(child_fd);
        do
                n = read(error_fd, &error, sizeof(error));
        while (n < 0 && errno == EINTR);
        if (n == sizeof(error)) {
                process_wait(pid, 0);
                return -error;
        }

        *ret = pid;
        return 0;
}

void process_wait(pid_t pid, int signal) {
        if (signal != 0) {
                (void) kill(pid, signal);
                /* One that was stopped, for want of the terminal, would not hear it. */
                (void) kill(pid, SIGCONT);
        }
        while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
                ;
}
