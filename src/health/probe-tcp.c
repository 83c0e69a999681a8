/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <sys/socket.h>

#include "fd-util.h"
#include "probe-internal.h"

/* To an address of this host, a connection is there at once or not at all. */
#define CONNECT_TIMEOUT_USEC USEC_PER_SEC
/* The Engine's proxy accepts before it knows whether the container listens; if it does not, it closes. */
#define SETTLE_USEC (300 * USEC_PER_MSEC)

static int tcp_address(const Probe *p, struct sockaddr_storage *ret, socklen_t *ret_size) {
        struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons(p->port) };
        struct sockaddr_in6 in6 = { .sin6_family = AF_INET6, .sin6_port = htons(p->port) };

        if (inet_pton(AF_INET, probe_address(p), &in.sin_addr) == 1) {
                memcpy(ret, &in, sizeof(in));
                *ret_size = sizeof(in);
                return 0;
        }
        if (inet_pton(AF_INET6, probe_address(p), &in6.sin6_addr) == 1) {
                memcpy(ret, &in6, sizeof(in6));
                *ret_size = sizeof(in6);
                return 0;
        }

        return -EINVAL;
}

static int tcp_bad(ProbeRun *run, int error) {
        run->probe->latency = 0;
        return probe_run_bad(run, "does not listen on port %u (%s)", run->probe->port, strerror(error));
}

static int tcp_begin(ProbeRun *run) {
        struct sockaddr_storage address = {};
        socklen_t size;
        int r;

        r = tcp_address(run->probe, &address, &size);
        if (r < 0)
                return tcp_bad(run, -r);

        run->fd = socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (run->fd < 0)
                return probe_run_unknown(run);
        if (connect(run->fd, (struct sockaddr *) &address, size) < 0 && errno != EINPROGRESS)
                return tcp_bad(run, errno);

        run->deadline = run->begun + CONNECT_TIMEOUT_USEC;
        return 0;
}

static int tcp_on_ready(ProbeRun *run) {
        socklen_t size = sizeof(int);
        int error = 0;
        ssize_t n;
        char byte;

        if (!run->connected) {
                if (getsockopt(run->fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0)
                        error = errno;
                if (error != 0)
                        return tcp_bad(run, error);

                run->connected = true;
                run->probe->latency = MAX(now(CLOCK_MONOTONIC) - run->begun, (usec_t) 1);
                run->deadline = now(CLOCK_MONOTONIC) + SETTLE_USEC;
                return 0;
        }

        n = recv(run->fd, &byte, 1, MSG_DONTWAIT);
        if (n > 0)
                return probe_run_good(run, run->probe->latency);
        if (n < 0 && IN_SET(errno, EAGAIN, EINTR))
                return 0;
        return tcp_bad(run, n < 0 ? errno : ECONNREFUSED);
}

static int tcp_on_time(ProbeRun *run) {
        return run->connected ? probe_run_good(run, run->probe->latency) : tcp_bad(run, ETIMEDOUT);
}

static void tcp_end(ProbeRun *run) {
        run->fd = safe_close(run->fd);
}

const ProbeOps probe_tcp_ops = {
        .begin = tcp_begin,
        .on_ready = tcp_on_ready,
        .on_time = tcp_on_time,
        .end = tcp_end,
};
