/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Probes, against listeners on loopback that do everything that services should not, and a scripted Engine. */

#include "probe.h"

#include <arpa/inet.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fake-engine.h"
#include "fd-util.h"
#include "string-util.h"
#include "test.h"

/* What a listener does with each connection. */
typedef enum Behaviour {
        ANSWERS,
        HANGS,
        DRIPS,     /* a byte of a header now and then */
        FLOODS,    /* an answer without end */
        REDIRECTS, /* to itself */
        HEADERS,   /* that never end */
        CLOSES,
} Behaviour;

typedef struct Listener {
        pid_t pid;
        uint16_t port;
} Listener;

static void listener_stop(Listener *l) {
        if (l->pid > 0) {
                (void) kill(l->pid, SIGKILL);
                (void) waitpid(l->pid, NULL, 0);
        }
}
#define _cleanup_listener_ _cleanup_(listener_stop)

static void say(int fd, const char *s) {
        (void) send(fd, s, strlen(s), MSG_NOSIGNAL);
}

static void say_for_ever(int fd, const char *begin, const char *s, usec_t pause) {
        say(fd, begin);
        while (send(fd, s, strlen(s), MSG_NOSIGNAL) > 0)
                if (pause > 0)
                        (void) usleep((useconds_t) pause);
}

static void serve(int fd, Behaviour b, uint16_t port) {
        char buffer[4096];

        if (b == CLOSES || read(fd, buffer, sizeof(buffer)) <= 0)
                return;

        switch (b) {
        case ANSWERS:
                say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
                break;
        case HANGS:
                (void) pause();
                break;
        case DRIPS:
                say_for_ever(fd, "HTTP/1.1 200 OK\r\nX: ", "x", 100 * USEC_PER_MSEC);
                break;
        case FLOODS:
                say_for_ever(fd, "HTTP/1.1 200 OK\r\n\r\n", "0123456789012345678901234567890123456789", 0);
                break;
        case REDIRECTS:
                (void) snprintf(buffer, sizeof(buffer),
                                "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:%u/\r\nContent-Length: "
                                "0\r\n\r\n",
                                port);
                say(fd, buffer);
                break;
        case HEADERS:
                say_for_ever(fd, "HTTP/1.1 200 OK\r\n", "X-Header: 0123456789012345678901234567890\r\n", 0);
                break;
        default:
                break;
        }
}

/* A process for each connection. */
static void listener_start(Listener *l, Behaviour b) {
        struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
        socklen_t size = sizeof(address);
        int fd;

        fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        ck_assert_int_ge(bind(fd, (struct sockaddr *) &address, size), 0);
        ck_assert_int_ge(listen(fd, 1024), 0);
        ck_assert_int_ge(getsockname(fd, (struct sockaddr *) &address, &size), 0);
        l->port = ntohs(address.sin_port);

        l->pid = fork();
        if (l->pid == 0) {
                (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
                (void) signal(SIGCHLD, SIG_IGN);
                for (;;) {
                        int c = accept(fd, NULL, NULL);

                        if (c < 0)
                                _exit(1);
                        if (fork() == 0) {
                                (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
                                serve(c, b, l->port);
                                _exit(0);
                        }
                        (void) close(c);
                }
        }
        (void) close(fd);
}

static const BlueprintHealth http = { .type = HEALTH_TYPE_HTTP, .path = (char *) "/", .status = 200 };
static const BlueprintHealth tcp = { .type = HEALTH_TYPE_TCP };

static void run_one(const BlueprintHealth *health, const Listener *l, Probe *ret) {
        *ret = (Probe) { .health = health, .port = l->port };
        ASSERT_OK(probes_run(&(ProbeOptions) {}, ret, 1));
}

START_TEST(whatever_an_endpoint_does_the_probe_ends_and_says_it) {
        static const struct {
                Behaviour behaviour;
                ProbeOutcome outcome;
                const char *reason;
        } table[] = {
                { ANSWERS, PROBE_GOOD, NULL },
                { FLOODS, PROBE_GOOD, NULL }, /* what it begins with is right, no more is read */
                { HANGS, PROBE_BAD, "does not answer HTTP on port" },
                { DRIPS, PROBE_BAD, "does not answer HTTP on port" },
                { REDIRECTS, PROBE_BAD, "answers 302 instead of 200 to GET / on port" },
                { HEADERS, PROBE_BAD, "does not answer HTTP on port" },
                { CLOSES, PROBE_BAD, "does not answer HTTP on port" },
        };
        Listener listeners[ELEMENTSOF(table)] = {};
        Probe probes[ELEMENTSOF(table)] = {};
        usec_t begin = now(CLOCK_MONOTONIC);

        for (size_t i = 0; i < ELEMENTSOF(table); i++) {
                listener_start(listeners + i, table[i].behaviour);
                probes[i] = (Probe) { .health = &http, .port = listeners[i].port };
        }
        ASSERT_OK(probes_run(&(ProbeOptions) {}, probes, ELEMENTSOF(table)));

        /* All at once: as long as the slowest. */
        ck_assert_uint_lt(now(CLOCK_MONOTONIC) - begin, PROBE_TIMEOUT_USEC + 2 * USEC_PER_SEC);
        for (size_t i = 0; i < ELEMENTSOF(table); i++) {
                bool answered;

                ck_assert_msg(probes[i].outcome == table[i].outcome, "%zu: %s", i, probes[i].reason);
                if (table[i].reason)
                        ck_assert_msg(startswith(probes[i].reason, table[i].reason), "%s", probes[i].reason);
                answered = table[i].outcome == PROBE_GOOD || table[i].behaviour == REDIRECTS;
                ck_assert((probes[i].latency > 0) == answered);
                ck_assert_uint_gt(probes[i].begun_at, 0);
                probe_done(probes + i);
                listener_stop(listeners + i);
        }
}
END_TEST

START_TEST(more_than_may_be_at_once_wait_their_turn) {
        _cleanup_listener_ Listener l = {};
        Probe probes[700] = {};
        size_t n_good = 0;

        listener_start(&l, ANSWERS);
        FOREACH_ARRAY(p, probes, ELEMENTSOF(probes))
                *p = (Probe) { .health = (p - probes) % 3 == 0 ? &tcp : &http, .port = l.port };
        ASSERT_OK(probes_run(&(ProbeOptions) {}, probes, ELEMENTSOF(probes)));
        FOREACH_ARRAY(p, probes, ELEMENTSOF(probes)) {
                n_good += p->outcome == PROBE_GOOD;
                probe_done(p);
        }
        ck_assert_uint_eq(n_good, ELEMENTSOF(probes));
}
END_TEST

START_TEST(what_there_is_no_time_for_is_unknown) {
        _cleanup_listener_ Listener l = {};
        Probe probes[2] = {};
        usec_t begin = now(CLOCK_MONOTONIC);

        listener_start(&l, HANGS);
        FOREACH_ARRAY(p, probes, ELEMENTSOF(probes))
                *p = (Probe) { .health = &http, .port = l.port };
        ASSERT_OK(probes_run(&(ProbeOptions) { .deadline = begin + 300 * USEC_PER_MSEC }, probes,
                        ELEMENTSOF(probes)));
        ck_assert_uint_lt(now(CLOCK_MONOTONIC) - begin, 2 * USEC_PER_SEC);
        FOREACH_ARRAY(p, probes, ELEMENTSOF(probes)) {
                ck_assert_int_eq(p->outcome, PROBE_UNKNOWN);
                ck_assert_ptr_null(p->reason);
                probe_done(p);
        }
}
END_TEST

static int cancel(void *userdata) {
        return ++*(unsigned *) userdata > 2 ? -ECANCELED : 0;
}

START_TEST(whoever_waits_can_end_it) {
        _cleanup_listener_ Listener l = {};
        Probe p = { .health = &http };
        unsigned n = 0;

        listener_start(&l, HANGS);
        p.port = l.port;
        ASSERT_ERROR(probes_run(&(ProbeOptions) { .poll = cancel, .userdata = &n }, &p, 1), ECANCELED);
        probe_done(&p);
}
END_TEST

START_TEST(descriptors_that_ran_out_are_nobodys_illness) {
        _cleanup_listener_ Listener l = {};
        struct rlimit before, limit;
        Probe probes[60] = {};

        listener_start(&l, HANGS);
        FOREACH_ARRAY(p, probes, ELEMENTSOF(probes))
                *p = (Probe) { .health = &tcp, .port = l.port };
        ASSERT_OK(getrlimit(RLIMIT_NOFILE, &before));
        limit = (struct rlimit) { .rlim_cur = 24, .rlim_max = before.rlim_max };
        ASSERT_OK(setrlimit(RLIMIT_NOFILE, &limit));
        ASSERT_OK(probes_run(&(ProbeOptions) {}, probes, ELEMENTSOF(probes)));
        ASSERT_OK(setrlimit(RLIMIT_NOFILE, &before));
        FOREACH_ARRAY(p, probes, ELEMENTSOF(probes)) {
                ck_assert_int_ne(p->outcome, PROBE_BAD);
                probe_done(p);
        }
}
END_TEST

START_TEST(tcp_tells_a_port_that_nobody_listens_on) {
        _cleanup_listener_ Listener closes = {};
        Probe p;

        listener_start(&closes, CLOSES);
        run_one(&tcp, &closes, &p);
        ck_assert_int_eq(p.outcome, PROBE_BAD);
        ck_assert_msg(startswith(p.reason, "does not listen on port"), "%s", p.reason);
        ck_assert_uint_eq(p.latency, 0);
        probe_done(&p);

        listener_stop(&closes);
        closes.pid = 0;
        run_one(&tcp, &closes, &p);
        ck_assert_int_eq(p.outcome, PROBE_BAD);
        ck_assert_ptr_nonnull(strstr(p.reason, "Connection refused"));
        probe_done(&p);
}
END_TEST

START_TEST(a_host_can_not_be_more_than_a_host) {
        static const char *const hosts[] = { "a\r\nX: y", "a b", "user@host", "a/b", "a?b", "a#b", "ä" };
        _cleanup_listener_ Listener l = {};

        listener_start(&l, ANSWERS);
        for (size_t i = 0; i < ELEMENTSOF(hosts); i++) {
                Probe p = { .health = &http, .port = l.port, .host = hosts[i] };

                ASSERT_OK(probes_run(&(ProbeOptions) {}, &p, 1));
                ck_assert_int_eq(p.outcome, PROBE_BAD);
                ck_assert_str_eq(p.reason, "is to be asked for a host that is none");
                probe_done(&p);
        }
}
END_TEST

/* --- TLS, with a server of openssl's --- */

typedef struct TlsServer {
        char folder[32];
        Listener listener;
} TlsServer;

static void tls_stop(TlsServer *s) {
        _cleanup_free_ char *command = NULL;

        listener_stop(&s->listener);
        if (asprintf(&command, "rm -rf %s", s->folder) >= 0)
                (void) !system(command);
}

static void tls_start(TlsServer *s) {
        char command[1024], port[16], cert[64], key[64];

        (void) snprintf(s->folder, sizeof(s->folder), "/tmp/ccpd-tls-XXXXXX");
        ck_assert_ptr_nonnull(mkdtemp(s->folder));
        (void) snprintf(command, sizeof(command),
                        "cd %s && openssl req -x509 -newkey rsa:2048 -nodes -keyout key.pem -out cert.pem "
                        "-days 1 -subj /CN=tenant.example.org >/dev/null 2>&1",
                        s->folder);
        ck_assert_int_eq(system(command), 0);

        /* A port that was free a moment ago. */
        listener_start(&s->listener, CLOSES);
        listener_stop(&s->listener);
        (void) snprintf(port, sizeof(port), "%u", s->listener.port);
        (void) snprintf(cert, sizeof(cert), "%s/cert.pem", s->folder);
        (void) snprintf(key, sizeof(key), "%s/key.pem", s->folder);
        s->listener.pid = fork();
        if (s->listener.pid == 0) {
                (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
                execlp("openssl", "openssl", "s_server", "-quiet", "-www", "-accept", port, "-cert", cert,
                                "-key", key, NULL);
                _exit(1);
        }
        for (unsigned n = 0;; n++) {
                Probe p;

                run_one(&tcp, &s->listener, &p);
                probe_done(&p);
                if (p.outcome == PROBE_GOOD)
                        break;
                ck_assert_uint_lt(n, 100);
                (void) usleep(50000);
        }
}

START_TEST(a_bad_certificate_is_told_apart) {
        const BlueprintHealth https = { .type = HEALTH_TYPE_HTTPS, .path = (char *) "/", .status = 200 };
        _cleanup_(tls_stop) TlsServer s = {};
        _cleanup_listener_ Listener plain = {};
        Probe p;

        tls_start(&s);
        run_one(&https, &s.listener, &p);
        ck_assert_int_eq(p.outcome, PROBE_BAD);
        ck_assert_msg(startswith(p.reason, "has a bad certificate on port"), "%s", p.reason);
        probe_done(&p);

        p = (Probe) { .health = &https, .port = s.listener.port, .host = "tenant.example.org" };
        ASSERT_OK(probes_run(&(ProbeOptions) {}, &p, 1));
        ck_assert_int_eq(p.outcome, PROBE_BAD);
        ck_assert_msg(startswith(p.reason, "has a bad certificate on port"), "%s", p.reason);
        probe_done(&p);

        listener_start(&plain, ANSWERS);
        run_one(&https, &plain, &p);
        ck_assert_int_eq(p.outcome, PROBE_BAD);
        ck_assert_msg(startswith(p.reason, "does not answer HTTPS on port"), "%s", p.reason);
        probe_done(&p);
}
END_TEST

/* --- commands --- */

static char *const argv[] = { (char *) "ready", (char *) "-q", NULL };
static const BlueprintHealth command = { .type = HEALTH_TYPE_COMMAND, .command = (char **) argv };

#define EXEC_CREATE { .request = "POST /containers/c1/exec", .answer = FAKE_OK("{\"Id\":\"e1\"}") }
#define EXEC_START { .request = "POST /exec/e1/start", .answer = FAKE_OK("") }
#define EXEC_INSPECT(state) { .request = "GET /exec/e1/json", .answer = FAKE_OK(state) }

static void run_command(const FakeRoute *routes, size_t n, const char *running_exec, usec_t deadline,
                Probe *ret, char **ret_requests) {
        _cleanup_fake_engine_ FakeEngine engine = {};
        _cleanup_docker_ Docker *docker = NULL;

        fake_engine_start(&engine, routes, n);
        ASSERT_OK(docker_new(
                        &(DockerOptions) { .socket = engine.socket, .timeout = USEC_PER_SEC }, &docker));
        *ret = (Probe) {
                .health = &command,
                .container = "c1",
                .running_exec = running_exec,
                .wants_output = true,
        };
        ASSERT_OK(probes_run(
                        &(ProbeOptions) {
                                        .docker = docker,
                                        .deadline = deadline > 0 ? now(CLOCK_MONOTONIC) + deadline : 0,
                        },
                        ret, 1));
        if (ret_requests)
                *ret_requests = fake_engine_requests(&engine);
}

START_TEST(a_command_is_judged_by_its_exit_code) {
        static const FakeRoute good[] = { FAKE_PING, EXEC_CREATE, EXEC_START,
                EXEC_INSPECT("{\"Running\":false,\"ExitCode\":0}") };
        static const FakeRoute bad[] = { FAKE_PING, EXEC_CREATE,
                { .request = "POST /exec/e1/start",
                                .answer = FAKE_OK("OCI runtime exec failed: \"ready\": not found") },
                EXEC_INSPECT("{\"Running\":false,\"ExitCode\":127}") };
        Probe p;

        run_command(good, ELEMENTSOF(good), NULL, 0, &p, NULL);
        ck_assert_int_eq(p.outcome, PROBE_GOOD);
        ck_assert_int_eq(p.status, 0);
        ck_assert_uint_gt(p.latency, 0);
        probe_done(&p);

        run_command(bad, ELEMENTSOF(bad), NULL, 0, &p, NULL);
        ck_assert_int_eq(p.outcome, PROBE_BAD);
        ck_assert_str_eq(p.reason, "fails its health command (exit code 127)");
        ck_assert_str_eq(p.output, "OCI runtime exec failed: \"ready\": not found");
        probe_done(&p);
}
END_TEST

START_TEST(a_command_that_goes_on_is_not_started_twice) {
        static const FakeRoute running[] = { FAKE_PING, EXEC_INSPECT("{\"Running\":true}") };
        static const FakeRoute ended[] = { FAKE_PING, EXEC_CREATE, EXEC_START,
                { .request = "GET /exec/e0/json", .answer = FAKE_OK("{\"Running\":false,\"ExitCode\":0}") },
                EXEC_INSPECT("{\"Running\":false,\"ExitCode\":0}") };
        static const FakeRoute forgotten[] = { FAKE_PING, EXEC_CREATE, EXEC_START,
                EXEC_INSPECT("{\"Running\":false,\"ExitCode\":0}") };
        _cleanup_free_ char *requests = NULL;
        Probe p;

        run_command(running, ELEMENTSOF(running), "e1", 0, &p, &requests);
        ck_assert_int_eq(p.outcome, PROBE_BAD);
        ck_assert_str_eq(p.reason, "has a health command that does not end");
        ck_assert_str_eq(p.exec, "e1");
        ck_assert_ptr_null(strstr(requests, "POST"));
        probe_done(&p);

        run_command(ended, ELEMENTSOF(ended), "e0", 0, &p, NULL);
        ck_assert_int_eq(p.outcome, PROBE_GOOD);
        probe_done(&p);
        run_command(forgotten, ELEMENTSOF(forgotten), "e0", 0, &p, NULL);
        ck_assert_int_eq(p.outcome, PROBE_GOOD);
        ck_assert_ptr_null(p.exec);
        probe_done(&p);
}
END_TEST

START_TEST(an_engine_that_is_away_or_hangs_tells_nothing) {
        static const FakeRoute hangs[] = { FAKE_PING,
                { .request = "POST /containers/c1/exec", .answer = NULL, .hang = true } };
        static const FakeRoute refuses[] = { FAKE_PING,
                { .request = "POST /containers/c1/exec",
                                .answer = FAKE_STATUS("409 Conflict",
                                                "{\"message\":\"container c1 is paused\"}") } };
        Probe p;

        run_command(hangs, ELEMENTSOF(hangs), NULL, USEC_PER_SEC, &p, NULL);
        ck_assert_int_eq(p.outcome, PROBE_UNKNOWN);
        probe_done(&p);

        run_command(refuses, ELEMENTSOF(refuses), NULL, 0, &p, NULL);
        ck_assert_int_eq(p.outcome, PROBE_BAD);
        ck_assert_ptr_nonnull(strstr(p.reason, "can't be asked by its health command: "));
        ck_assert_ptr_nonnull(strstr(p.reason, "is paused"));
        probe_done(&p);
}
END_TEST

TESTS("probe", whatever_an_endpoint_does_the_probe_ends_and_says_it,
                more_than_may_be_at_once_wait_their_turn, what_there_is_no_time_for_is_unknown,
                whoever_waits_can_end_it, descriptors_that_ran_out_are_nobodys_illness,
                tcp_tells_a_port_that_nobody_listens_on, a_host_can_not_be_more_than_a_host,
                a_bad_certificate_is_told_apart, a_command_is_judged_by_its_exit_code,
                a_command_that_goes_on_is_not_started_twice, an_engine_that_is_away_or_hangs_tells_nothing)
