/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The one way to run another program: execve with argv, a chosen environment and chosen descriptors; never
 * a shell. process_run() does work and waits for it; process_spawn() is for programs that have a person in
 * front of them. */

#include <sys/types.h>

#include "time-util.h"

typedef struct ProcessOutput {
        char *data; /* NUL-terminated; the last 'limit' bytes of what the program wrote */
        size_t size;
        bool truncated;
} ProcessOutput;

typedef struct ProcessOptions {
        const char *directory;             /* working directory, NULL: "/" */
        char *const *environment;          /* NULL: PATH, HOME and LANG=C.UTF-8 only */
        int stdin_fd;                      /* -EBADF: /dev/null */
        usec_t timeout;                    /* 0: none. Then SIGTERM, after 10 s SIGKILL, and -ETIMEDOUT */
        size_t stdout_limit, stderr_limit; /* bytes kept; 0: 64 KiB */
        bool stdout_all;                   /* more than the limit on stdout is -EFBIG instead of a cut */
        bool leave_children; /* what it started and left behind goes on, instead of ending with it */

        /* Called with what comes on stdout, of which nothing is kept then; non-zero ends the program and is
         * returned. */
        int (*output)(const char *data, size_t size, void *userdata);
        /* Called with each complete line of stderr, without its newline. */
        void (*line)(const char *line, void *userdata);
        /* Called at least once a second; non-zero ends the program (SIGTERM, then SIGKILL) and is returned. */
        int (*poll)(void *userdata);
        void *userdata;
} ProcessOptions;

typedef struct ProcessResult {
        int status; /* as from waitid: exit code, or 128 + signal */
        ProcessOutput out, err;
} ProcessResult;

void process_result_done(ProcessResult *r);
#define _cleanup_process_result_ _cleanup_(process_result_done)

/* Runs argv[0] (an absolute path, or a name looked up in PATH) to its end. The program leads its own
 * process group, dies with us (PR_SET_PDEATHSIG) and inherits no descriptor but 0 to 2. Returns 0 when it
 * could be run, whatever its exit status; a negative errno otherwise. 'options' may be NULL. */
int process_run(char *const *argv, const ProcessOptions *options, ProcessResult *ret);

/* What a program that runs beside us does not have from us. -EBADF: it has ours. */
typedef struct SpawnOptions {
        int stdin_fd, stdout_fd, stderr_fd;
        int keep_fd; /* stays open there, with the same number; -EBADF: none */
} SpawnOptions;

/* Starts argv[0] (looked up in PATH) beside us, with our environment and folder. It stays in our process group
 * and so may use our terminal, and gets SIGTERM when we are gone. Fails if it cannot be run: -ENOENT where it
 * is not installed. The caller waits for it. */
int process_spawn(char *const *argv, const SpawnOptions *options, pid_t *ret);
/* Waits until it has ended. 'signal' is sent before, unless it is 0. */
void process_wait(pid_t pid, int signal);
