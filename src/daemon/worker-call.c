/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "worker-call.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "alloc-util.h"
#include "fd-util.h"
#include "string-util.h"

#define READ_SIZE 4096U

struct WorkerCall {
        const char *what;
        int fd;
        sd_event_source *io, *timer;
        char *answer;
        size_t size, max;
        worker_call_done_t done;
        void *userdata;
};

WorkerCall *worker_call_free(WorkerCall *c) {
        if (!c)
                return NULL;

        sd_event_source_disable_unref(c->io);
        sd_event_source_disable_unref(c->timer);
        safe_close(c->fd);
        free(c->answer);
        return mfree(c);
}

static void call_end(WorkerCall *c, int r, Error *error) {
        c->done(r, c->answer, c->size, error, c->userdata);
        (void) worker_call_free(c);
}

static void call_fail(WorkerCall *c, int error) {
        _cleanup_error_ Error e = {};

        call_end(c, error_set_errnof(&e, error, "%s: %m", c->what), &e);
}

/* 1 as long as there is more to come. */
static int call_read(WorkerCall *c) {
        ssize_t n;

        /* One more than is allowed, so that too much is seen; and the NUL. */
        n = recv(c->fd, c->answer + c->size, MIN(c->max + 1 - c->size, (size_t) READ_SIZE), MSG_DONTWAIT);
        if (n < 0)
                return IN_SET(errno, EAGAIN, EINTR) ? 1 : -errno;

        c->size += (size_t) n;
        c->answer[MIN(c->size, c->max)] = 0;
        return c->size > c->max ? -EFBIG : n > 0;
}

static int on_io(_unused_ sd_event_source *s, _unused_ int fd, _unused_ uint32_t revents, void *userdata) {
        WorkerCall *c = userdata;
        int r;

        r = call_read(c);
        if (r < 0)
                call_fail(c, r);
        else if (r == 0)
                call_end(c, 0, NULL);
        return 0;
}

static int on_timer(_unused_ sd_event_source *s, _unused_ uint64_t usec, void *userdata) {
        call_fail(userdata, ETIMEDOUT);
        return 0;
}

/* PID 1 accepts; its queue is long enough for a local socket to connect at once, or not at all. */
int worker_connect(const char *path) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        _cleanup_close_ int fd = -EBADF;

        if (strlen(path) >= sizeof(address.sun_path))
                return -ENAMETOOLONG;
        memcpy(address.sun_path, path, strlen(path));

        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0)
                return -errno;
        if (connect(fd, (struct sockaddr *) &address, sizeof(address)) < 0)
                return -errno;

        return TAKE_FD(fd);
}

static int call_connect(WorkerCall *c, const char *path, const char *request) {
        size_t n = strlen(request);
        ssize_t k;

        c->fd = worker_connect(path);
        if (c->fd < 0)
                return c->fd;

        k = send(c->fd, request, n, MSG_NOSIGNAL);
        if (k < 0)
                return -errno;
        if ((size_t) k != n)
                return -EMSGSIZE;
        return shutdown(c->fd, SHUT_WR) < 0 ? -errno : 0;
}

static int call_begin(
                WorkerCall *c, sd_event *event, const char *socket, const char *request, usec_t timeout) {
        int r;

        c->answer = malloc(c->max + 2);
        if (!c->answer)
                return -ENOMEM;
        c->answer[0] = 0;

        r = call_connect(c, socket, request);
        if (r < 0)
                return r;
        r = sd_event_add_io(event, &c->io, c->fd, EPOLLIN, on_io, c);
        if (r < 0)
                return r;
        return sd_event_add_time_relative(event, &c->timer, CLOCK_MONOTONIC, timeout, 0, on_timer, c);
}

int worker_call_new(sd_event *event, const char *socket, const char *what, const char *request, size_t max,
                usec_t timeout, worker_call_done_t done, void *userdata, WorkerCall **ret, Error *reterr) {
        _cleanup_(worker_call_freep) WorkerCall *c = NULL;
        int r;

        c = new0(WorkerCall, 1);
        if (!c)
                return error_set_errnof(reterr, ENOMEM, "%s: %m", what);

        *c = (WorkerCall) {
                .what = what,
                .fd = -EBADF,
                .max = max,
                .done = done,
                .userdata = userdata,
        };
        r = call_begin(c, event, socket, request, timeout);
        if (r < 0)
                return error_set_errnof(reterr, r, "%s: %m", what);

        if (ret)
                *ret = c;
        TAKE_PTR(c);
        return 0;
}
