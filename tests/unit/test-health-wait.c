/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The wait for health, with a scripted Engine, an engine of ours for commands, and a listener on loopback. */

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fake-engine.h"
#include "fd-util.h"
#include "health-probe.h"
#include "health-wait.h"
#include "string-util.h"
#include "test.h"

#define LABELS(service)                                                                                \
        "\"Labels\":{\"ccp.instance\":\"demo\",\"ccp.id\":\"u1\",\"ccp.revision\":\"1\",\"com.docker." \
        "compose."                                                                                     \
        "service\":\"" service "\"}"
#define SUMMARY(service, state, status)                                                          \
        "{\"Id\":\"c-" service "\",\"Names\":[\"/x\"],\"Created\":1700000000,\"State\":\"" state \
        "\",\"Status\":\"" status "\"," LABELS(service) "}"
#define INSPECT(service, restarts, state)                                                           \
        "{\"Id\":\"c-" service "\",\"Name\":\"/x\",\"RestartCount\":" restarts ",\"State\":{" state \
        "},\"Config\":{\"Tty\":true," LABELS(service) "}}"
#define LIST(items) { .request = "GET /containers/json", .answer = FAKE_OK("[" items "]") }
#define LIST_FROM(n, items) \
        { .request = "GET /containers/json", .answer = FAKE_OK("[" items "]"), .from = (n) }
#define EVENTS { .request = "GET /events", .answer = FAKE_OK(""), .hang = true }
#define CREATED (1700000000 * USEC_PER_SEC)

static char *const secrets[] = { (char *) "hunter22", NULL };

typedef struct Fixture {
        FakeEngine engine;
        Docker *docker;
        EngineContext context;
        StringBuilder messages;
} Fixture;

static void on_progress(double fraction, const char *message, void *userdata) {
        string_builder_appendf(userdata, "%.1f %s|", fraction, message);
}

static void fixture_start(Fixture *f, const FakeRoute *routes, size_t n) {
        fake_engine_start(&f->engine, routes, n);
        ASSERT_OK(docker_new(&(DockerOptions) { .socket = f->engine.socket, .timeout = 2 * USEC_PER_SEC },
                        &f->docker));
        f->context = (EngineContext) {
                .docker = f->docker,
                .owner = { "demo", "u1" },
                .project = "demo_ccp",
                .directory = "/",
                .revision = 1,
                .redact = secrets,
                .progress = on_progress,
                .userdata = &f->messages,
        };
}

static void fixture_done(Fixture *f) {
        docker_free(f->docker);
        fake_engine_stop(&f->engine);
        string_builder_done(&f->messages);
}
#define _cleanup_fixture_ _cleanup_(fixture_done)

static int wait_for(Fixture *f, const HealthTarget *targets, size_t n, usec_t created_since,
                unsigned *ret_n_unwell, Error *reterr) {
        HealthWait w = {
                .context = &f->context,
                .targets = targets,
                .n_targets = n,
                .created_since = created_since,
        };

        return health_wait(&w, ret_n_unwell, reterr);
}

static const BlueprintService db = { .name = (char *) "db", .timeout = USEC_PER_SEC };
static const BlueprintService migrate = {
        .name = (char *) "migrate", .kind = SERVICE_KIND_ONESHOT, .timeout = USEC_PER_SEC
};
/* They do not wait in vain, and look again before the two seconds are over after which that is done without a cause. */
#define GOOD_USEC (1800 * USEC_PER_MSEC)
static const BlueprintService good_db = { .name = (char *) "db", .timeout = GOOD_USEC };
static const BlueprintService good_migrate = {
        .name = (char *) "migrate", .kind = SERVICE_KIND_ONESHOT, .timeout = GOOD_USEC
};
static const BlueprintService mail = {
        .name = (char *) "mail", .kind = SERVICE_KIND_OPTIONAL, .timeout = USEC_PER_SEC
};

START_TEST(it_ends_when_all_are_healthy) {
        static const FakeRoute routes[] = {
                FAKE_PING,
                EVENTS,
                LIST(SUMMARY("db", "running", "Up 1 second (health: starting)") "," SUMMARY(
                                "migrate", "running", "Up 1 second")),
                LIST_FROM(1,
                                SUMMARY("db", "running", "Up 1 second (healthy)") "," SUMMARY(
                                                "migrate", "exited", "Exited (0) 1 second ago")),
                { .request = "GET /containers/c-migrate/json",
                                .answer = FAKE_OK(INSPECT("migrate", "0", "\"Status\":\"running\"")) },
        };
        static const HealthTarget targets[] = { { .service = &good_db }, { .service = &good_migrate } };
        _cleanup_fixture_ Fixture f = {};
        unsigned n = 7;

        fixture_start(&f, routes, ELEMENTSOF(routes));
        ASSERT_OK(wait_for(&f, targets, 2, 0, &n, NULL));
        ck_assert_uint_eq(n, 0);
        ck_assert_str_eq(f.messages.data,
                        "0.0 0 of 2 services are healthy; db is not healthy yet|1.0 2 of 2 services are "
                        "healthy|");
}
END_TEST

START_TEST(a_failure_names_service_state_code_and_last_lines) {
        static const FakeRoute routes[] = {
                FAKE_PING,
                EVENTS,
                LIST(SUMMARY("migrate", "exited", "Exited (9) 1 second ago")),
                { .request = "GET /containers/c-migrate/json",
                                .answer = FAKE_OK(INSPECT(
                                                "migrate", "0", "\"Status\":\"exited\",\"ExitCode\":9")) },
                { .request = "GET /containers/c-migrate/logs?stdout=1&stderr=1&tail=20",
                                .answer = FAKE_OK("connecting\npassword hunter22 refused\n") },
        };
        static const HealthTarget targets[] = { { .service = &migrate } };
        _cleanup_error_ Error error = {};
        _cleanup_fixture_ Fixture f = {};

        fixture_start(&f, routes, ELEMENTSOF(routes));
        ASSERT_ERROR(wait_for(&f, targets, 1, 0, NULL, &error), ETIME);
        ck_assert_str_eq(error.name, CCP_ERROR_UNHEALTHY);
        ck_assert_ptr_nonnull(startswith(error.message,
                        "The service 'migrate' has ended with an error. Its container is exited, exit code "
                        "9, after "));
        ck_assert_ptr_nonnull(
                        endswith(error.message, " Its last lines:\nconnecting\npassword ******** refused"));
}
END_TEST

START_TEST(a_restart_loop_is_noticed) {
        static const FakeRoute routes[] = {
                FAKE_PING,
                EVENTS,
                LIST(SUMMARY("db", "restarting", "Restarting (1) 1 second ago")),
                { .request = "GET /containers/c-db/json",
                                .answer = FAKE_OK(INSPECT(
                                                "db", "6", "\"Status\":\"restarting\",\"ExitCode\":1")) },
        };
        static const HealthTarget targets[] = { { .service = &db } };
        _cleanup_error_ Error error = {};
        _cleanup_fixture_ Fixture f = {};

        fixture_start(&f, routes, ELEMENTSOF(routes));
        ASSERT_ERROR(wait_for(&f, targets, 1, 0, NULL, &error), ETIME);
        ck_assert_ptr_nonnull(strstr(error.message, "restarts again and again"));
}
END_TEST

START_TEST(a_time_out_says_what_was_waited_for) {
        static const FakeRoute routes[] = {
                FAKE_PING,
                EVENTS,
                LIST(SUMMARY("db", "running", "Up 1 second (health: starting)")),
        };
        static const HealthTarget targets[] = { { .service = &db } };
        _cleanup_error_ Error error = {};
        _cleanup_fixture_ Fixture f = {};

        fixture_start(&f, routes, ELEMENTSOF(routes));
        ASSERT_ERROR(wait_for(&f, targets, 1, 0, NULL, &error), ETIME);
        ck_assert_ptr_nonnull(startswith(error.message,
                        "The service 'db' is not healthy yet. Its container is running, after 1"));
}
END_TEST

START_TEST(an_optional_one_does_not_fail_the_wait) {
        static const FakeRoute routes[] = {
                FAKE_PING,
                EVENTS,
                LIST(SUMMARY("db", "running", "Up 1 second (healthy)")),
        };
        static const HealthTarget targets[] = { { .service = &db }, { .service = &mail } };
        _cleanup_fixture_ Fixture f = {};
        unsigned n = 0;

        fixture_start(&f, routes, ELEMENTSOF(routes));
        ASSERT_OK(wait_for(&f, targets, 2, 0, &n, NULL));
        ck_assert_uint_eq(n, 1);
}
END_TEST

START_TEST(only_containers_of_this_job_count) {
        static const FakeRoute routes[] = {
                FAKE_PING,
                EVENTS,
                LIST(SUMMARY("db", "running", "Up 1 second (healthy)") "," SUMMARY(
                                "migrate", "exited", "Exited (0) 1 second ago")),
        };
        static const HealthTarget old[] = { { .service = &db } }, once[] = { { .service = &migrate } };
        _cleanup_error_ Error error = {};
        _cleanup_fixture_ Fixture f = {};

        fixture_start(&f, routes, ELEMENTSOF(routes));
        ASSERT_OK(wait_for(&f, old, 1, CREATED, NULL, NULL));
        ASSERT_ERROR(wait_for(&f, old, 1, CREATED + USEC_PER_SEC, NULL, &error), ETIME);
        ck_assert_ptr_nonnull(strstr(error.message, "has no container"));

        /* A one-shot of this revision was done once and for all. */
        ASSERT_OK(wait_for(&f, once, 1, CREATED + USEC_PER_SEC, NULL, NULL));
        f.context.revision = 2;
        ck_assert_int_lt(wait_for(&f, once, 1, CREATED + USEC_PER_SEC, NULL, NULL), 0);
}
END_TEST

START_TEST(without_events_it_asks_more_often) {
        static const FakeRoute routes[] = {
                FAKE_PING,
                LIST(""),
                LIST_FROM(1, SUMMARY("db", "running", "Up 1 second (healthy)")),
        };
        static const HealthTarget targets[] = { { .service = &good_db } };
        _cleanup_fixture_ Fixture f = {};

        fixture_start(&f, routes, ELEMENTSOF(routes));
        ASSERT_OK(wait_for(&f, targets, 1, 0, NULL, NULL));
}
END_TEST

static int cancel(_unused_ void *userdata) {
        return -ECANCELED;
}

START_TEST(the_wait_can_be_cancelled) {
        static const FakeRoute routes[] = { FAKE_PING, EVENTS, LIST("") };
        static const HealthTarget targets[] = { { .service = &db } };
        _cleanup_error_ Error error = {};
        _cleanup_fixture_ Fixture f = {};

        fixture_start(&f, routes, ELEMENTSOF(routes));
        f.context.poll = cancel;
        ASSERT_ERROR(wait_for(&f, targets, 1, 0, NULL, &error), ECANCELED);
        ck_assert_str_eq(error.name, CCP_ERROR_CANCELLED);
}
END_TEST

/* What the Engine sends of "not ready hunter22" on standard error. */
#define EXEC_OUTPUT "\2\0\0\0\0\0\0\22not ready hunter22"
#define EXEC_HEAD "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"
#define EXEC(id, exit_code)                                                         \
        { .request = "POST /exec/" id "/start",                                     \
                .answer = EXEC_HEAD EXEC_OUTPUT,                                    \
                .size = sizeof(EXEC_HEAD EXEC_OUTPUT) - 1 },                        \
        {                                                                           \
                .request = "GET /exec/" id "/json",                                 \
                .answer = FAKE_OK("{\"Running\":false,\"ExitCode\":" exit_code "}") \
        }

static void on_answered(
                const HealthTarget *target, const char *container, const ProbeResult *seen, void *userdata) {
        ck_assert_str_eq(target->service->name, "db");
        ck_assert_str_eq(container, "c-db");
        ck_assert(seen->good);
        ck_assert_uint_gt(seen->latency, 0);
        ++*(unsigned *) userdata;
}

START_TEST(a_command_decides_where_it_is_the_health) {
        static char *const command[] = { (char *) "ready", (char *) "-q", NULL };
        static const FakeRoute routes[] = {
                FAKE_PING,
                EVENTS,
                LIST(SUMMARY("db", "running", "Up 1 second")),
                { .request = "GET /containers/c-db/json",
                                .answer = FAKE_OK(INSPECT("db", "0",
                                                "\"Status\":\"running\",\"StartedAt\":\"2099-01-01T00:00:"
                                                "00Z\"")) },
                { .request = "POST /containers/c-db/exec", .answer = FAKE_OK("{\"Id\":\"e1\"}") },
                { .request = "POST /containers/c-db/exec", .answer = FAKE_OK("{\"Id\":\"e2\"}"), .from = 1 },
                EXEC("e1", "0"),
                EXEC("e2", "3"),
        };
        BlueprintService service = db;
        HealthTarget target = { .service = &service };
        _cleanup_error_ Error error = {};
        _cleanup_fixture_ Fixture f = {};
        unsigned n_answered = 0;
        HealthWait w = {
                .context = &f.context,
                .targets = &target,
                .n_targets = 1,
                .answered = on_answered,
                .answered_userdata = &n_answered,
        };

        fixture_start(&f, routes, ELEMENTSOF(routes));
        service.health.type = HEALTH_TYPE_COMMAND;
        service.health.command = (char **) command;
        ASSERT_OK(health_wait(&w, NULL, NULL));
        ck_assert_uint_eq(n_answered, 1);

        ASSERT_ERROR(health_wait(&w, NULL, &error), ETIME);
        ck_assert_ptr_nonnull(
                        strstr(error.message, "fails its health command (exit code 3): not ready ********"));
        ck_assert_uint_eq(n_answered, 1);
}
END_TEST

typedef struct Listener {
        pid_t pid;
        uint16_t port;
        char path[32];
} Listener;

static void listener_stop(Listener *l) {
        if (l->pid > 0) {
                (void) kill(l->pid, SIGKILL);
                (void) waitpid(l->pid, NULL, 0);
        }
        if (l->path[0])
                (void) unlink(l->path);
}
#define _cleanup_listener_ _cleanup_(listener_stop)

/* Answers each connection with these bytes, after a request; NULL closes at once, "" keeps it open. The last
 * request lies in a file afterwards. */
static void listener_start(Listener *l, const char *answer) {
        struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
        socklen_t size = sizeof(address);
        char buffer[2048];
        int fd, file;

        (void) snprintf(l->path, sizeof(l->path), "/tmp/ccpd-probe-XXXXXX");
        file = mkostemp(l->path, O_CLOEXEC);
        fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        ck_assert_int_ge(bind(fd, (struct sockaddr *) &address, size), 0);
        ck_assert_int_ge(listen(fd, 16), 0);
        ck_assert_int_ge(getsockname(fd, (struct sockaddr *) &address, &size), 0);
        l->port = ntohs(address.sin_port);

        l->pid = fork();
        if (l->pid == 0) {
                (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
                for (;;) {
                        int c = accept(fd, NULL, NULL);
                        ssize_t n;

                        if (c < 0)
                                _exit(1);
                        if (answer) {
                                n = read(c, buffer, sizeof(buffer));
                                if (n > 0 && pwrite(file, buffer, (size_t) n, 0) < 0)
                                        _exit(1);
                                (void) loop_write(c, answer, strlen(answer));
                        }
                        (void) close(c);
                }
        }
        (void) close(fd);
        (void) close(file);
}

static int probe(const BlueprintHealth *health, const Listener *l, const char *host, char **ret_reason) {
        BlueprintService service = { .name = (char *) "web", .health = *health };
        HealthTarget target = { .service = &service, .port = l->port, .address = "0.0.0.0", .host = host };
        EngineContext context = {};

        return health_probe(&context, &target, "c", NULL, ret_reason, NULL);
}

START_TEST(http_wants_the_right_answer) {
        static const struct {
                const char *answer;
                uint64_t status;
                int r;
                const char *reason;
        } table[] = {
                { "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 200, 1, NULL },
                { "HTTP/1.1 204 No Content\r\n\r\n", 204, 1, NULL },
                { "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n", 200, 0,
                                "answers 302 instead of 200 to GET /up" },
                { "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n", 200, 0,
                                "answers 502 instead of 200 to GET /up" },
                { "SSH-2.0-OpenSSH_9.2\r\n", 200, 0, "does not answer HTTP" },
                { NULL, 200, 0, "does not answer HTTP" },
        };

        FOREACH_ARRAY(i, table, ELEMENTSOF(table)) {
                BlueprintHealth health = {
                        .type = HEALTH_TYPE_HTTP, .path = (char *) "/up", .status = i->status
                };
                _cleanup_listener_ Listener l = {};
                _cleanup_free_ char *reason = NULL;

                listener_start(&l, i->answer);
                ck_assert_int_eq(probe(&health, &l, NULL, &reason), i->r);
                if (i->reason)
                        ck_assert_msg(startswith(reason, i->reason), "%s", reason);
        }
}
END_TEST

START_TEST(http_sends_the_host_that_it_was_given) {
        BlueprintHealth health = { .type = HEALTH_TYPE_HTTP };
        _cleanup_listener_ Listener l = {};
        _cleanup_free_ char *reason = NULL, *request = NULL;
        _cleanup_close_ int fd = -EBADF;

        listener_start(&l, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        ck_assert_int_eq(probe(&health, &l, "api.example.org", &reason), 1);
        fd = open(l.path, O_RDONLY | O_CLOEXEC);
        ASSERT_OK(read_full_fd(fd, 4096, &request, NULL));
        ck_assert_ptr_nonnull(startswith(request, "GET / HTTP/1.1\r\n"));
        ck_assert_ptr_nonnull(strstr(request, "Host: api.example.org\r\n"));
        ck_assert_ptr_null(strstr(request, "127.0.0.1"));
}
END_TEST

START_TEST(tcp_wants_a_connection_that_stays) {
        BlueprintHealth health = { .type = HEALTH_TYPE_TCP };
        _cleanup_listener_ Listener stays = {}, closes = {};
        _cleanup_free_ char *reason = NULL, *refused = NULL;

        listener_start(&stays, "");
        ck_assert_int_eq(probe(&health, &stays, NULL, &reason), 1);

        /* As the Engine's proxy does when nothing listens in the container. */
        listener_start(&closes, NULL);
        ck_assert_int_eq(probe(&health, &closes, NULL, &reason), 0);
        ck_assert_ptr_nonnull(startswith(reason, "does not listen on port "));

        ck_assert_int_eq(probe(&health, &(Listener) { .port = 1 }, NULL, &refused), 0);
        ck_assert_ptr_nonnull(strstr(refused, "port 1 "));
}
END_TEST

TESTS("health-wait", it_ends_when_all_are_healthy, a_failure_names_service_state_code_and_last_lines,
                a_restart_loop_is_noticed, a_time_out_says_what_was_waited_for,
                an_optional_one_does_not_fail_the_wait, only_containers_of_this_job_count,
                without_events_it_asks_more_often, the_wait_can_be_cancelled,
                a_command_decides_where_it_is_the_health, http_wants_the_right_answer,
                http_sends_the_host_that_it_was_given, tcp_wants_a_connection_that_stays)
