/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "probe.h"

#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "alloc-util.h"
#include "fd-util.h"
#include "probe-internal.h"

#define ADDRESS_DEFAULT "127.0.0.1"
/* At once: each takes a descriptor, or a process of the Engine's. */
#define CONNECTIONS_MAX 256U
#define COMMANDS_MAX 8U
/* So many that began in this last time: more would be a part of each other's latency. Those that take longer wait
 * beside them. */
#define FRESH_MAX 16U
#define FRESH_USEC (50 * USEC_PER_MSEC)
#define POLL_INTERVAL_USEC (200 * USEC_PER_MSEC)
#define REASON_MAX 512U
/* On top of what the probes themselves may take. */
#define SLACK_USEC (2 * USEC_PER_SEC)
/* However many there are: what was not reached by then is not known. A sweep may take three minutes. */
#define PROBES_TIMEOUT_MAX_USEC (2 * USEC_PER_MINUTE)

/* The first TLS connection reads all certificates that the system trusts, and everybody waits: so it comes after
 * those that need none. */
typedef enum ProbeClass {
        PROBE_CLASS_PLAIN,
        PROBE_CLASS_TLS,
        PROBE_CLASS_COMMAND,
        _PROBE_CLASS_MAX,
} ProbeClass;

struct ProbeLoop {
        const ProbeOptions *options;
        CURLM *multi;
        ProbeRun *runs;
        size_t n;
        ProbeRun **active;
        size_t n_active, n_commands;
        usec_t next_begin;             /* then more of those that wait may begin */
        size_t next[_PROBE_CLASS_MAX]; /* those of a class that wait begin here */
        struct curl_waitfd fds[CONNECTIONS_MAX];
        ProbeRun *waiting[CONNECTIONS_MAX]; /* for each of these */
};

void probe_done(Probe *p) {
        free(p->reason);
        free(p->output);
        free(p->exec);
        p->reason = p->output = p->exec = NULL;
}

const char *probe_address(const Probe *p) {
        const char *address = p->address ?: ADDRESS_DEFAULT;

        if (streq(address, "0.0.0.0"))
                return ADDRESS_DEFAULT;
        return streq(address, "::") ? "::1" : address;
}

static ProbeClass probe_class(const Probe *p) {
        switch (p->health->type) {
        case HEALTH_TYPE_COMMAND:
                return PROBE_CLASS_COMMAND;
        case HEALTH_TYPE_HTTPS:
                return PROBE_CLASS_TLS;
        default:
                return PROBE_CLASS_PLAIN;
        }
}

static bool is_command(const Probe *p) {
        return probe_class(p) == PROBE_CLASS_COMMAND;
}

usec_t probes_timeout(size_t n, size_t n_commands) {
        size_t n_connections = n - n_commands;
        usec_t connections = (n_connections + CONNECTIONS_MAX - 1) / CONNECTIONS_MAX * PROBE_TIMEOUT_USEC,
               commands = (n_commands + COMMANDS_MAX - 1) / COMMANDS_MAX * PROBE_COMMAND_TIMEOUT_USEC;

        return MIN(MAX(connections, commands) + (n_connections / FRESH_MAX + 1) * FRESH_USEC + SLACK_USEC,
                        PROBES_TIMEOUT_MAX_USEC);
}

int probe_run_good(ProbeRun *run, usec_t latency) {
        run->probe->outcome = PROBE_GOOD;
        run->probe->latency = latency;
        return 1;
}

int probe_run_bad(ProbeRun *run, const char *format, ...) {
        char text[REASON_MAX];
        va_list ap;
        int r;

        va_start(ap, format);
        (void) vsnprintf(text, sizeof(text), format, ap);
        va_end(ap);

        /* A certificate, or the Engine, may have had a word in it. */
        r = text_make_printable(text, strlen(text), &run->probe->reason);
        if (r < 0)
                return r;

        run->probe->outcome = PROBE_BAD;
        return 1;
}

int probe_run_unknown(ProbeRun *run) {
        run->probe->outcome = PROBE_UNKNOWN;
        return 1;
}

Docker *probe_run_docker(const ProbeRun *run) {
        return run->loop->options->docker;
}

int probe_run_add_transfer(ProbeRun *run) {
        return curl_multi_add_handle(run->loop->multi, run->easy) == CURLM_OK ? 0 : -ENOMEM;
}

static const ProbeOps *probe_ops(const Probe *p) {
        static const ProbeOps *const ops[_HEALTH_TYPE_MAX] = {
                [HEALTH_TYPE_HTTP] = &probe_http_ops,
                [HEALTH_TYPE_HTTPS] = &probe_http_ops,
                [HEALTH_TYPE_TCP] = &probe_tcp_ops,
                [HEALTH_TYPE_COMMAND] = &probe_command_ops,
        };

        return ops[p->health->type];
}

/* Frees what a probe used; it is no longer one of those that go on. */
static void run_end(ProbeRun *run) {
        ProbeLoop *l = run->loop;

        if (run->easy)
                (void) curl_multi_remove_handle(l->multi, run->easy);
        run->ops->end(run);
        if (run->easy)
                curl_easy_cleanup(run->easy);
        run->easy = NULL;

        if (is_command(run->probe))
                l->n_commands--;
        for (size_t i = 0; i < l->n_active; i++)
                if (l->active[i] == run) {
                        l->active[i] = l->active[--l->n_active];
                        break;
                }
}

static int run_step(ProbeRun *run, int r) {
        if (r != 0)
                run_end(run);
        return MIN(r, 0);
}

static int run_begin(ProbeLoop *l, ProbeRun *run) {
        Probe *p = run->probe;

        *run = (ProbeRun) {
                .loop = l,
                .probe = p,
                .ops = probe_ops(p),
                .begun = now(CLOCK_MONOTONIC),
                .deadline = USEC_INFINITY,
                .fd = -EBADF,
        };
        p->begun_at = now(CLOCK_REALTIME);
        l->active[l->n_active++] = run;
        l->n_commands += is_command(p);

        if (p->health->type != HEALTH_TYPE_TCP) {
                run->easy = curl_easy_init();
                if (!run->easy)
                        return run_step(run, -ENOMEM);
        }
        return run_step(run, run->ops->begin(run));
}

/* The next one of a class that has not begun. */
static ProbeRun *find_waiting(ProbeLoop *l, ProbeClass class) {
        for (size_t *next = l->next + class; *next < l->n; ++*next)
                if (probe_class(l->runs[*next].probe) == class)
                        return l->runs + (*next)++;

        return NULL;
}

/* How many connections began a moment ago, and when the oldest of these is none of them any more. */
static size_t count_fresh(const ProbeLoop *l, usec_t *ret_until) {
        usec_t n = now(CLOCK_MONOTONIC), until = USEC_INFINITY;
        size_t n_fresh = 0;

        for (size_t i = 0; i < l->n_active; i++) {
                usec_t end = l->active[i]->begun + FRESH_USEC;

                if (is_command(l->active[i]->probe) || end <= n)
                        continue;
                n_fresh++;
                until = MIN(until, end);
        }

        *ret_until = until;
        return n_fresh;
}

static int loop_begin_connections(ProbeLoop *l) {
        usec_t until;

        l->next_begin = USEC_INFINITY;
        for (;;) {
                ProbeRun *run;
                int r;

                if (l->n_active - l->n_commands >= CONNECTIONS_MAX - COMMANDS_MAX)
                        return 0;
                if (count_fresh(l, &until) >= FRESH_MAX) {
                        l->next_begin = until;
                        return 0;
                }
                run = find_waiting(l, PROBE_CLASS_PLAIN) ?: find_waiting(l, PROBE_CLASS_TLS);
                if (!run)
                        return 0;
                r = run_begin(l, run);
                if (r < 0)
                        return r;
        }
}

static int loop_begin_waiting(ProbeLoop *l) {
        ProbeRun *run;
        int r;

        r = loop_begin_connections(l);
        while (r >= 0 && l->n_commands < COMMANDS_MAX) {
                run = find_waiting(l, PROBE_CLASS_COMMAND);
                if (!run)
                        break;
                r = run_begin(l, run);
        }

        return MIN(r, 0);
}

static int loop_read_transfers(ProbeLoop *l) {
        const CURLMsg *message;
        int left, r;

        while ((message = curl_multi_info_read(l->multi, &left))) {
                CURLcode code = message->data.result;
                CURL *easy = message->easy_handle;
                ProbeRun *run = NULL;

                if (message->msg != CURLMSG_DONE)
                        continue;
                (void) curl_easy_getinfo(easy, CURLINFO_PRIVATE, (char **) &run);
                (void) curl_multi_remove_handle(l->multi, easy);
                r = run_step(run, run->ops->on_transfer(run, code));
                if (r < 0)
                        return r;
        }

        return 0;
}

static int loop_read_sockets(ProbeLoop *l, unsigned n_fds) {
        int r;

        for (unsigned i = 0; i < n_fds; i++) {
                if (l->fds[i].revents == 0)
                        continue;
                r = run_step(l->waiting[i], l->waiting[i]->ops->on_ready(l->waiting[i]));
                if (r < 0)
                        return r;
        }

        return 0;
}

static int loop_end_late(ProbeLoop *l) {
        usec_t n = now(CLOCK_MONOTONIC);
        int r;

        for (size_t i = l->n_active; i > 0; i--) {
                ProbeRun *run = l->active[i - 1];

                if (run->deadline > n)
                        continue;
                r = run_step(run, run->ops->on_time(run));
                if (r < 0)
                        return r;
        }

        return 0;
}

/* The sockets that are not curl's. */
static unsigned loop_collect_sockets(ProbeLoop *l) {
        unsigned n = 0;

        for (size_t i = 0; i < l->n_active; i++) {
                ProbeRun *run = l->active[i];

                if (run->fd < 0)
                        continue;
                l->waiting[n] = run;
                l->fds[n++] = (struct curl_waitfd) {
                        .fd = run->fd,
                        .events = run->connected ? CURL_WAIT_POLLIN : CURL_WAIT_POLLOUT,
                };
        }

        return n;
}

static usec_t loop_next_time(const ProbeLoop *l) {
        usec_t n = now(CLOCK_MONOTONIC), next = MIN(n + POLL_INTERVAL_USEC, l->next_begin);

        for (size_t i = 0; i < l->n_active; i++)
                next = MIN(next, l->active[i]->deadline);

        return next > n ? next - n : 0;
}

/* 1: the time of all is over. */
static int loop_check(const ProbeLoop *l) {
        const ProbeOptions *o = l->options;
        int r;

        r = o->poll ? o->poll(o->userdata) : 0;
        if (r < 0)
                return r;

        return o->deadline > 0 && now(CLOCK_MONOTONIC) >= o->deadline;
}

static int loop_run(ProbeLoop *l) {
        int r, running;

        for (;;) {
                unsigned n_fds;

                r = loop_begin_waiting(l);
                if (r < 0)
                        return r;
                if (l->n_active == 0)
                        return 0;

                if (curl_multi_perform(l->multi, &running) != CURLM_OK)
                        return -EIO;
                r = loop_read_transfers(l);
                if (r >= 0)
                        r = loop_end_late(l);
                if (r >= 0)
                        r = loop_check(l);
                if (r != 0)
                        return MIN(r, 0);

                n_fds = loop_collect_sockets(l);
                /* Rounded up, lest the last millisecond be spent spinning. */
                if (l->n_active > 0 &&
                                curl_multi_poll(l->multi, l->fds, n_fds,
                                                (int) (loop_next_time(l) / USEC_PER_MSEC) + 1,
                                                NULL) != CURLM_OK)
                        return -EIO;
                r = loop_read_sockets(l, n_fds);
                if (r < 0)
                        return r;
        }
}

static void loop_done(ProbeLoop *l) {
        while (l->n_active > 0)
                run_end(l->active[0]);
        if (l->multi)
                (void) curl_multi_cleanup(l->multi);
        free(l->runs);
        free(l->active);
        free(l);
}

int probes_run(const ProbeOptions *options, Probe *probes, size_t n) {
        ProbeLoop *l;
        int r;

        r = docker_curl_init();
        if (r < 0)
                return r;
        l = new0(ProbeLoop, 1);
        if (!l)
                return -ENOMEM;

        *l = (ProbeLoop) {
                .options = options,
                .multi = curl_multi_init(),
                .runs = new0(ProbeRun, n),
                .active = new0(ProbeRun *, CONNECTIONS_MAX),
                .n = n,
        };
        for (size_t i = 0; l->runs && i < n; i++) {
                l->runs[i].probe = probes + i;
                probes[i].outcome = PROBE_UNKNOWN;
                probes[i].status = -1;
        }

        r = l->multi && l->runs && l->active ? loop_run(l) : -ENOMEM;
        loop_done(l);
        return r;
}
