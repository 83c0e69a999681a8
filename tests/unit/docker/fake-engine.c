/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "fake-engine.h"

#include <check.h>
#include <ctype.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fd-util.h"
#include "fs-util.h"
#include "string-util.h"

#define REQUEST_MAX 16384U
#define REQUESTS_MAX (1024U * 1024U)

/* "GET /v1.45/containers/json?… HTTP/1.1" as "GET /containers/json?…". */
static void strip_version(char *line) {
        char *path = strchr(line, ' '), *end = path ? strchr(path + 1, ' ') : NULL, *rest;

        if (!end)
                return;
        *end = 0;
        if (startswith(path + 1, "/v1.") && (rest = strchr(path + 2, '/')))
                memmove(path + 1, rest, strlen(rest) + 1);
}

static size_t find_route(const FakeRoute *routes, size_t n, unsigned *counts, const char *line) {
        size_t found = n;

        for (size_t i = 0; i < n; i++) {
                unsigned count;

                if (routes[i].request && !startswith(line, routes[i].request))
                        continue;
                count = __atomic_fetch_add(counts + i, 1, __ATOMIC_SEQ_CST);
                if (count >= routes[i].from)
                        found = i;
        }

        return found;
}

static void serve(const FakeEngine *e, int fd, const FakeRoute *routes, size_t n, unsigned *counts) {
        static const char missing[] = FAKE_STATUS("404 Not Found", "{\"message\":\"no such thing\"}");
        char request[REQUEST_MAX + 1] = "";
        size_t size = 0, i;
        ssize_t k;
        int log;

        while (size < REQUEST_MAX && !strstr(request, "\r\n\r\n")) {
                k = read(fd, request + size, REQUEST_MAX - size);
                if (k <= 0)
                        return;
                size += (size_t) k;
                request[size] = 0;
        }

        *strstr(request, "\r\n") = 0;
        log = open(e->log, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
        (void) dprintf(log, "%s\n", request);
        (void) close(log);

        strip_version(request);
        i = find_route(routes, n, counts, request);
        if (i == n) {
                (void) loop_write(fd, missing, strlen(missing));
                return;
        }

        if (routes[i].answer)
                (void) loop_write(fd, routes[i].answer, routes[i].size ?: strlen(routes[i].answer));
        if (routes[i].hang)
                (void) pause();
}

_noreturn_ static void run(
                const FakeEngine *e, int listener, const FakeRoute *routes, size_t n, unsigned *counts) {
        (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
        (void) setpgid(0, 0);
        (void) signal(SIGCHLD, SIG_IGN);
        (void) signal(SIGPIPE, SIG_IGN);

        for (;;) {
                int fd = accept(listener, NULL, NULL);

                if (fd < 0)
                        _exit(1);
                if (fork() == 0) {
                        (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
                        serve(e, fd, routes, n, counts);
                        (void) shutdown(fd, SHUT_RDWR);
                        _exit(0);
                }
                (void) close(fd);
        }
}

void fake_engine_start(FakeEngine *e, const FakeRoute *routes, size_t n) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        unsigned *counts;
        int listener;

        (void) snprintf(e->directory, sizeof(e->directory), "/tmp/ccpd-fake-engine-XXXXXX");
        ck_assert_ptr_nonnull(mkdtemp(e->directory));
        (void) snprintf(e->socket, sizeof(e->socket), "%s/docker.sock", e->directory);
        (void) snprintf(e->log, sizeof(e->log), "%s/requests", e->directory);

        counts = mmap(NULL, (n ?: 1) * sizeof(unsigned), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
                        -1, 0);
        ck_assert_ptr_ne(counts, MAP_FAILED);

        listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        ck_assert_int_ge(listener, 0);
        (void) snprintf(address.sun_path, sizeof(address.sun_path), "%s", e->socket);
        ck_assert_int_ge(bind(listener, (struct sockaddr *) &address, sizeof(address)), 0);
        ck_assert_int_ge(listen(listener, 64), 0);

        e->pid = fork();
        ck_assert_int_ge(e->pid, 0);
        if (e->pid == 0)
                run(e, listener, routes, n, counts);

        (void) setpgid(e->pid, e->pid);
        (void) close(listener);
        (void) munmap(counts, (n ?: 1) * sizeof(unsigned));
}

void fake_engine_stop(FakeEngine *e) {
        if (e->pid > 0) {
                (void) kill(-e->pid, SIGKILL);
                (void) waitpid(e->pid, NULL, 0);
                e->pid = 0;
        }
        if (e->directory[0])
                (void) rm_rf_at(AT_FDCWD, e->directory);
}

char *fake_engine_requests(const FakeEngine *e) {
        _cleanup_close_ int fd = -EBADF;
        char *text = NULL;

        fd = open(e->log, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
                return strdup("");

        ck_assert_int_ge(read_full_fd(fd, REQUESTS_MAX, &text, NULL), 0);
        return text;
}
