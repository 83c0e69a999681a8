/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <errno.h>

#include "alloc-util.h"
#include "docker-event.h"
#include "docker-events.h"
#include "docker.h"
#include "fake-engine.h"
#include "string-util.h"
#include "strv.h"
#include "test.h"

#define SHORT_USEC (400 * USEC_PER_MSEC)
#define OWNED "\"Labels\":{\"ccp.instance\":\"demo\",\"ccp.id\":\"u1\"}"
#define FOREIGN "\"Labels\":{\"ccp.instance\":\"demo\",\"ccp.id\":\"u2\"}"
#define CONTAINER(id, labels)                                                            \
        "{\"Id\":\"" id "\",\"Name\":\"/" id "\",\"Config\":{" labels ",\"Tty\":false}," \
        "\"State\":{\"Status\":\"running\"}}"
#define SUMMARY(id, labels) "{\"Id\":\"" id "\",\"Names\":[\"/" id "\"],\"State\":\"running\"," labels "}"

static const DockerOwner owner = { "demo", "u1" };

typedef struct Fixture {
        FakeEngine engine;
        Docker *docker;
} Fixture;

static void fixture_done(Fixture *f) {
        docker_free(f->docker);
        fake_engine_stop(&f->engine);
}
#define _cleanup_fixture_ _cleanup_(fixture_done)

static void fixture_start(Fixture *f, const FakeRoute *routes, size_t n, const DockerOptions *options) {
        DockerOptions o = options ? *options : (DockerOptions) { .timeout = 5 * USEC_PER_SEC };

        fake_engine_start(&f->engine, routes, n);
        o.socket = f->engine.socket;
        ASSERT_OK(docker_new(&o, &f->docker));
}

START_TEST(the_version_is_settled_once_and_used) {
        static const FakeRoute routes[] = {
                { .request = "GET /_ping",
                                .answer = "HTTP/1.1 200 OK\r\nAPI-VERSION: 1.43\r\nConnection: "
                                          "close\r\n\r\nOK" },
                { .request = "GET /containers/json", .answer = FAKE_OK("[]") },
        };
        _cleanup_fixture_ Fixture f = {};
        _cleanup_free_ char *requests = NULL;
        _cleanup_docker_objects_ DockerObjects k = {}, l = {};

        fixture_start(&f, routes, ELEMENTSOF(routes), NULL);
        ck_assert_ptr_null(docker_api_version(f.docker));
        ASSERT_OK(docker_list_owned(f.docker, DOCKER_CONTAINER, &owner, &k, NULL));
        ASSERT_OK(docker_list_owned(f.docker, DOCKER_CONTAINER, &owner, &l, NULL));
        ck_assert_str_eq(docker_api_version(f.docker), "1.43");

        requests = fake_engine_requests(&f.engine);
        ck_assert_ptr_nonnull(startswith(requests,
                        "GET /_ping HTTP/1.1\nGET "
                        "/v1.43/containers/"
                        "json?all=1&filters=%7B%22label%22%3A%5B%22ccp.instance%3Ddemo%22%2C%22ccp.id%3Du1%"
                        "22%5D%7D"));
        ck_assert_ptr_null(strstr(strchr(requests, '\n'), "_ping"));
}
END_TEST

/* What an Engine can do wrong, and what that is called. */
START_TEST(every_misbehaviour_is_a_typed_error) {
        static const struct {
                FakeRoute list;
                const char *name;
                const char *text;
        } table[] = {
                { { .request = "GET /containers", .hang = true }, CCP_ERROR_ENGINE_UNAVAILABLE, "in time" },
                { { .request = "GET /containers",
                                  .answer = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n[",
                                  .hang = true },
                                CCP_ERROR_ENGINE_UNAVAILABLE, "in time" },
                { { .request = "GET /containers",
                                  .answer = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n[" },
                                CCP_ERROR_ENGINE_UNAVAILABLE, "broke off" },
                { { .request = "GET /containers" }, CCP_ERROR_ENGINE_UNAVAILABLE, "broke off" },
                { { .request = "GET /containers",
                                  .answer = FAKE_STATUS("500 Internal Server Error",
                                                  "{\"message\":\"oh\\nno\\u001b[31m\"}") },
                                CCP_ERROR_ENGINE_FAILED, "(500): oh no" },
                { { .request = "GET /containers",
                                  .answer = FAKE_STATUS("500 Internal Server Error", "<html>") },
                                CCP_ERROR_ENGINE_FAILED, "did not say why" },
                { { .request = "GET /containers", .answer = FAKE_OK("{not json") }, CCP_ERROR_ENGINE_FAILED,
                                "understood" },
                { { .request = "GET /containers", .answer = FAKE_OK("") }, CCP_ERROR_ENGINE_FAILED,
                                "no list" },
                { { .request = "GET /containers", .answer = FAKE_OK("{}") }, CCP_ERROR_ENGINE_FAILED,
                                "understood" },
                { { .request = "GET /containers",
                                  .answer = "HTTP/1.1 200 OK\r\nTransfer-Encoding: "
                                            "chunked\r\n\r\nZZZ\r\nnonsense" },
                                CCP_ERROR_ENGINE_UNAVAILABLE, "broke off" },
                { { .request = "GET /containers", .answer = "SSH-2.0-OpenSSH_9.2\r\n" },
                                CCP_ERROR_ENGINE_FAILED, "protocol" },
        };

        FOREACH_ARRAY(i, table, ELEMENTSOF(table)) {
                const DockerOptions options = { .timeout = i->list.hang ? SHORT_USEC : 30 * USEC_PER_SEC };
                const FakeRoute routes[] = { FAKE_PING, i->list };
                _cleanup_fixture_ Fixture f = {};
                _cleanup_error_ Error error = {};
                DockerObjects l = {};

                fixture_start(&f, routes, ELEMENTSOF(routes), &options);
                ck_assert_int_lt(docker_list_owned(f.docker, DOCKER_CONTAINER, &owner, &l, &error), 0);
                ck_assert_str_eq(error.name, i->name);
                ck_assert_msg(strstr(error.message, i->text), "%s", error.message);
        }
}
END_TEST

START_TEST(an_answer_above_the_bound_is_refused) {
        static const FakeRoute routes[] = {
                FAKE_PING,
                { .request = "GET /networks",
                                .answer = FAKE_OK("[ 0123456789 0123456789 0123456789 0123456789 ]") },
        };
        static const DockerOptions options = { .body_max = 40 };
        _cleanup_fixture_ Fixture f = {};
        _cleanup_error_ Error error = {};
        DockerObjects l = {};

        fixture_start(&f, routes, ELEMENTSOF(routes), &options);
        ASSERT_ERROR(docker_list_owned(f.docker, DOCKER_NETWORK, &owner, &l, &error), EPROTO);
        ck_assert_ptr_nonnull(strstr(error.message, "larger than"));
}
END_TEST

START_TEST(an_entry_above_the_bound_is_left_out_of_the_list) {
        _cleanup_free_ char *answer = NULL, *label = NULL;
        FakeRoute routes[] = { FAKE_PING, { .request = "GET /containers" } };
        _cleanup_fixture_ Fixture f = {};
        _cleanup_docker_objects_ DockerObjects l = {};

        /* Numbers, since texts are cut earlier. */
        label = malloc(DOCKER_ITEM_MAX + 2);
        memset(label, '1', DOCKER_ITEM_MAX + 1);
        label[DOCKER_ITEM_MAX + 1] = 0;
        ck_assert_int_ge(asprintf(&answer,
                                         "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"
                                         "[{\"Id\":\"a\",\"State\":\"running\",\"X\":%s},"
                                         "{\"Id\":\"b\",\"State\":\"running\"}]",
                                         label),
                        0);
        routes[1].answer = answer;
        fixture_start(&f, routes, ELEMENTSOF(routes), NULL);
        ASSERT_OK(docker_list(f.docker, DOCKER_CONTAINER, (char *const[]) { (char *) "x", NULL }, &l, NULL));
        ck_assert_uint_eq(l.n, 1);
        ck_assert_str_eq(l.items[0].id, "b");
}
END_TEST

START_TEST(no_socket_is_unavailable) {
        DockerOptions options = { .socket = "/nonexistent/docker.sock" };
        _cleanup_docker_ Docker *d = NULL;
        _cleanup_error_ Error error = {};

        ASSERT_OK(docker_new(&options, &d));
        ASSERT_ERROR(docker_ping(d, &error), EHOSTDOWN);
        ck_assert_str_eq(error.name, CCP_ERROR_ENGINE_UNAVAILABLE);
        ck_assert_ptr_nonnull(strstr(error.message, "docker.service"));
}
END_TEST

static int cancel(_unused_ void *userdata) {
        return -ECANCELED;
}

START_TEST(poll_ends_a_call_that_hangs) {
        static const FakeRoute routes[] = { { .request = "GET /_ping", .hang = true } };
        static const DockerOptions options = { .timeout = 30 * USEC_PER_SEC, .poll = cancel };
        _cleanup_fixture_ Fixture f = {};
        _cleanup_error_ Error error = {};
        usec_t begin = now(CLOCK_MONOTONIC);

        fixture_start(&f, routes, ELEMENTSOF(routes), &options);
        ASSERT_ERROR(docker_ping(f.docker, &error), ECANCELED);
        ck_assert_str_eq(error.name, CCP_ERROR_CANCELLED);
        ck_assert_uint_lt(now(CLOCK_MONOTONIC) - begin, 5 * USEC_PER_SEC);
}
END_TEST

START_TEST(what_is_not_there_is_told_apart) {
        static const FakeRoute routes[] = { FAKE_PING };
        _cleanup_fixture_ Fixture f = {};
        _cleanup_error_ Error a = {}, b = {};
        DockerObject o = {};

        fixture_start(&f, routes, ELEMENTSOF(routes), NULL);
        ASSERT_ERROR(docker_inspect(f.docker, DOCKER_CONTAINER, "c1", &o, &a), ENOENT);
        ck_assert_str_eq(a.name, CCP_ERROR_ENGINE_FAILED);
        ASSERT_ERROR(docker_find_image(f.docker, "registry.example:5000/a/b:1@sha256:00", NULL, &b), ENOENT);
}
END_TEST

START_TEST(only_objects_of_the_owner_are_listed) {
        static const FakeRoute routes[] = {
                FAKE_PING,
                { .request = "GET /containers",
                                .answer = FAKE_OK("[" SUMMARY("a", OWNED) "," SUMMARY(
                                                "b", FOREIGN) "," SUMMARY("c", "\"x\":1") "]") },
        };
        _cleanup_docker_objects_ DockerObjects l = {};
        _cleanup_fixture_ Fixture f = {};

        /* An Engine that does not filter. */
        fixture_start(&f, routes, ELEMENTSOF(routes), NULL);
        ASSERT_OK(docker_list_owned(f.docker, DOCKER_CONTAINER, &owner, &l, NULL));
        ck_assert_uint_eq(l.n, 1);
        ck_assert_str_eq(l.items[0].id, "a");
}
END_TEST

START_TEST(nothing_is_removed_without_a_look_at_its_labels) {
        static const FakeRoute routes[] = {
                FAKE_PING,
                { .request = "GET /containers/mine/json", .answer = FAKE_OK(CONTAINER("mine", OWNED)) },
                { .request = "GET /containers/theirs/json",
                                .answer = FAKE_OK(CONTAINER("theirs", FOREIGN)) },
                { .request = "GET /containers/nobodys/json",
                                .answer = FAKE_OK(CONTAINER("nobodys", "\"Labels\":{}")) },
                { .request = "GET /networks/net",
                                .answer = FAKE_OK("{\"Id\":\"net\",\"Name\":\"net\"," FOREIGN "}") },
                { .request = "DELETE /", .answer = FAKE_STATUS("204 No Content", "") },
        };
        _cleanup_error_ Error a = {}, b = {}, c = {};
        _cleanup_free_ char *requests = NULL;
        _cleanup_fixture_ Fixture f = {};

        fixture_start(&f, routes, ELEMENTSOF(routes), NULL);
        ASSERT_OK(docker_remove(f.docker, DOCKER_CONTAINER, "mine", &owner, NULL));
        ASSERT_OK(docker_remove(f.docker, DOCKER_CONTAINER, "gone", &owner, NULL));
        ASSERT_ERROR(docker_remove(f.docker, DOCKER_CONTAINER, "theirs", &owner, &a), EPERM);
        ASSERT_ERROR(docker_remove(f.docker, DOCKER_CONTAINER, "nobodys", &owner, &b), EPERM);
        ASSERT_ERROR(docker_remove(f.docker, DOCKER_NETWORK, "net", &owner, &c), EPERM);
        ASSERT_ERROR(docker_stop(f.docker, "theirs", &owner, NULL), EPERM);
        ck_assert_str_eq(a.name, CCP_ERROR_POLICY_VIOLATION);

        requests = fake_engine_requests(&f.engine);
        ck_assert_ptr_nonnull(strstr(requests, "DELETE /v1.45/containers/mine?force=1&v=1 "));
        ck_assert_ptr_null(strstr(requests, "DELETE /v1.45/containers/theirs"));
        ck_assert_ptr_null(strstr(requests, "DELETE /v1.45/containers/nobodys"));
        ck_assert_ptr_null(strstr(requests, "DELETE /v1.45/networks"));
        ck_assert_ptr_null(strstr(requests, "POST"));
}
END_TEST

START_TEST(names_that_are_none_reach_no_engine) {
        static const char *const names[] = { "", "../x", "a/b", "a?b", "a b", "-a", "a\nb", "%2e" };
        _cleanup_free_ char *requests = NULL;
        _cleanup_fixture_ Fixture f = {};
        DockerObjects l = {};

        fixture_start(&f, NULL, 0, NULL);
        for (size_t i = 0; i < ELEMENTSOF(names); i++) {
                ck_assert_int_lt(docker_remove(f.docker, DOCKER_VOLUME, names[i], &owner, NULL), 0);
                ck_assert_int_lt(docker_list_named(f.docker, DOCKER_VOLUME, names[i], &l, NULL), 0);
        }
        ck_assert_int_lt(docker_find_image(f.docker, "a/../../containers", NULL, NULL), 0);
        ck_assert_int_lt(docker_find_image(f.docker, "a?b", NULL, NULL), 0);
        ck_assert_int_lt(docker_list(f.docker, DOCKER_VOLUME, NULL, &l, NULL), 0);
        ck_assert_int_lt(docker_list_owned(f.docker, DOCKER_VOLUME, &(DockerOwner) { "demo", "" }, &l, NULL),
                        0);

        requests = fake_engine_requests(&f.engine);
        ck_assert_str_eq(requests, "");
}
END_TEST

#define LOG_HEAD "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"

START_TEST(the_last_lines_of_a_log_are_printable) {
        static const char log[] = LOG_HEAD "\1\0\0\0\0\0\0\10one\ntwo\n"
                                           "\2\0\0\0\0\0\0\6thr\033ee"
                                           "\1\0\0\0\0\0\0\5four\n"
                                           "\2\0\0\0\0\0\0\2!\n";
        static const FakeRoute routes[] = {
                FAKE_PING,
                { .request = "GET /containers/c1/json", .answer = FAKE_OK(CONTAINER("c1", OWNED)) },
                { .request = "GET /containers/c1/logs?stdout=1&stderr=1&tail=3",
                                .answer = log,
                                .size = sizeof(log) - 1 },
        };
        _cleanup_strv_free_ char **lines = NULL;
        _cleanup_fixture_ Fixture f = {};
        _cleanup_free_ char *text = NULL;

        fixture_start(&f, routes, ELEMENTSOF(routes), NULL);
        ASSERT_OK(docker_tail_logs(f.docker, "c1", 3, &lines, NULL));
        text = strv_join(lines, "|");
        ck_assert_str_eq(text, "two|four|thr?ee!");
}
END_TEST

START_TEST(a_log_with_frames_that_lie_is_an_error) {
        static const char log[] = LOG_HEAD "\7\0\0\0\377\377\377\377boo";
        static const FakeRoute routes[] = {
                FAKE_PING,
                { .request = "GET /containers/c1/json", .answer = FAKE_OK(CONTAINER("c1", OWNED)) },
                { .request = "GET /containers/c1/logs", .answer = log, .size = sizeof(log) - 1 },
        };
        _cleanup_error_ Error error = {};
        _cleanup_fixture_ Fixture f = {};
        char **lines = NULL;

        fixture_start(&f, routes, ELEMENTSOF(routes), NULL);
        ck_assert_int_lt(docker_tail_logs(f.docker, "c1", 3, &lines, &error), 0);
        ck_assert_str_eq(error.name, CCP_ERROR_ENGINE_FAILED);
}
END_TEST

START_TEST(events_wake_and_their_end_is_told) {
        static const FakeRoute routes[] = {
                FAKE_PING,
                { .request = "GET /events",
                                .answer = FAKE_OK("{\"Type\":\"container\",\"Action\":\"start\",\"Actor\":{"
                                                  "\"ID\":\"c1\"}}\n"),
                                .hang = true },
        };
        _cleanup_docker_events_ DockerEvents *e = NULL;
        _cleanup_fixture_ Fixture f = {};
        int r = 0;

        fixture_start(&f, routes, ELEMENTSOF(routes), NULL);
        ASSERT_OK(docker_events_new(f.docker, "ccp.id=u1", &e, NULL));
        ck_assert_int_eq(docker_events_wait(e, 5 * USEC_PER_SEC), 1);
        ck_assert_int_eq(docker_events_wait(e, 50 * USEC_PER_MSEC), 0);

        fake_engine_stop(&f.engine);
        for (unsigned i = 0; i < 20 && r >= 0; i++)
                r = docker_events_wait(e, 100 * USEC_PER_MSEC);
        ck_assert_int_lt(r, 0);
}
END_TEST

TESTS("docker", the_version_is_settled_once_and_used, every_misbehaviour_is_a_typed_error,
                an_answer_above_the_bound_is_refused, an_entry_above_the_bound_is_left_out_of_the_list,
                no_socket_is_unavailable, poll_ends_a_call_that_hangs, what_is_not_there_is_told_apart,
                only_objects_of_the_owner_are_listed, nothing_is_removed_without_a_look_at_its_labels,
                names_that_are_none_reach_no_engine, the_last_lines_of_a_log_are_printable,
                a_log_with_frames_that_lie_is_an_error, events_wake_and_their_end_is_told)
