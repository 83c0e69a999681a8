/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The engine "compose" with a scripted Engine, and a scripted docker in PATH that notes how it was called. */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine.h"
#include "fake-engine.h"
#include "fd-util.h"
#include "fs-util.h"
#include "string-util.h"
#include "strv.h"
#include "test.h"

#define OURS                                                                                           \
        "\"Labels\":{\"ccp.instance\":\"demo\",\"ccp.id\":\"u1\",\"ccp.revision\":\"1\",\"com.docker." \
        "compose."                                                                                     \
        "project\":\"ccp-demo\",\"com.docker.compose.service\":"
#define CONTAINER(service, state, status)                                                      \
        "{\"Id\":\"c-" service "\",\"Names\":[\"/demo_ccp-" service "-1\"],\"State\":\"" state \
        "\",\"Status\":\"" status "\"," OURS "\"" service "\"}}"
#define FOREIGN_CONTAINER               \
        "{\"Id\":\"f1\",\"Names\":[\"/" \
        "old-db\"],\"State\":\"running\",\"Labels\":{\"com.docker.compose.project\":\"ccp-demo\"}}"
#define CONFIG                                                                                            \
        "{\"name\":\"ccp-demo\",\"services\":{\"web\":{\"image\":\"busybox:1.37\"},\"extra\":{\"image\":" \
        "\"nowhere.invalid/x:1\"},\"own\":{\"build\":{\"context\":\".\"}}}}"
#define NONE                                                                        \
        { .request = "GET /containers/json", .answer = FAKE_OK("[]") },             \
                        { .request = "GET /networks?", .answer = FAKE_OK("[]") }, { \
                .request = "GET /volumes?", .answer = FAKE_OK("{\"Volumes\":[]}")   \
        }

typedef struct Fixture {
        FakeEngine engine;
        Docker *docker;
        char directory[64];
        int dirfd;
        EngineContext context;
        StringBuilder messages;
} Fixture;

static char *const secrets[] = { (char *) "hunter22", NULL };

static void on_progress(_unused_ double fraction, const char *message, void *userdata) {
        string_builder_appendf(userdata, "%s|", message);
}

static void fixture_write(Fixture *f, const char *name, const char *text, mode_t mode) {
        ASSERT_OK(write_file_beneath(f->dirfd, name, text, strlen(text), mode));
}

/* 'script' is what docker does after it has noted its arguments and environment. */
static void fixture_start(Fixture *f, const FakeRoute *routes, size_t n, const char *script) {
        _cleanup_free_ char *text = NULL, *path = NULL;

        fake_engine_start(&f->engine, routes, n);
        (void) snprintf(f->directory, sizeof(f->directory), "/tmp/ccpd-compose-XXXXXX");
        ck_assert_ptr_nonnull(mkdtemp(f->directory));
        f->dirfd = open(f->directory, O_DIRECTORY | O_CLOEXEC);
        fixture_write(f, "docker-compose.yml", "", 0600);
        fixture_write(f, "ccp.override.yml", "", 0600);

        text = strjoin("#!/bin/sh\necho \"$*\" >>", f->directory, "/calls\nenv >", f->directory,
                        "/environment\n", script);
        fixture_write(f, "docker", text, 0700);
        path = strjoin(f->directory, ":/usr/bin:/bin");
        ck_assert_int_ge(setenv("PATH", path, 1), 0);

        ASSERT_OK(docker_new(&(DockerOptions) { .socket = f->engine.socket, .timeout = 5 * USEC_PER_SEC },
                        &f->docker));
        f->context = (EngineContext) {
                .docker = f->docker,
                .owner = { "demo", "u1" },
                .project = "demo_ccp",
                .directory = f->directory,
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
        safe_close(f->dirfd);
        (void) rm_rf_at(AT_FDCWD, f->directory);
}
#define _cleanup_fixture_ _cleanup_(fixture_done)

static char *fixture_read(const Fixture *f, const char *name) {
        char *text = NULL;

        return read_file_beneath(f->dirfd, name, 65536, &text, NULL) < 0 ? strdup("") : text;
}

static const EngineVTable *engine(void) {
        return engine_find("compose");
}

static char *const web[] = { (char *) "web", NULL };

START_TEST(engines_are_found_by_name) {
        ck_assert_ptr_nonnull(engine_find("compose"));
        ck_assert_ptr_null(engine_find("podman"));
        ck_assert_ptr_null(engine_find(NULL));
}
END_TEST

START_TEST(compose_gets_exact_arguments_and_a_clean_environment) {
        static const FakeRoute routes[] = { FAKE_PING, NONE };
        _cleanup_free_ char *calls = NULL, *environment = NULL, *expected = NULL, *host = NULL;
        _cleanup_fixture_ Fixture f = {};
        char *const profiles[] = { (char *) "a", (char *) "b", NULL };

        ck_assert_int_ge(setenv("COMPOSE_FILE", "/etc/passwd", 1), 0);
        ck_assert_int_ge(setenv("SECRET_OF_OURS", "x", 1), 0);
        fixture_start(&f, routes, ELEMENTSOF(routes), "");
        fixture_write(&f, ".env", "A=1\n", 0600);
        f.context.profiles = profiles;
        f.context.home = "/nonexistent";
        ASSERT_OK(engine()->up(&f.context, web, NULL, NULL));

        calls = fixture_read(&f, "calls");
        ck_assert_int_gt(asprintf(&expected,
                                         "compose --progress plain --ansi never -p demo_ccp "
                                         "--project-directory %s --env-file %s/.env "
                                         "-f %s/docker-compose.yml -f %s/ccp.override.yml "
                                         "--profile a --profile b "
                                         "up --detach --no-build --pull never --quiet-pull --no-deps web\n",
                                         f.directory, f.directory, f.directory, f.directory),
                        0);
        ck_assert_str_eq(calls, expected);

        environment = fixture_read(&f, "environment");
        host = strjoin("DOCKER_HOST=unix://", f.engine.socket, "\n");
        ck_assert_ptr_nonnull(strstr(environment, host));
        ck_assert_ptr_nonnull(strstr(environment, "\nCOMPOSE_PROFILES=\n"));
        ck_assert_ptr_nonnull(strstr(environment, "HOME=/nonexistent\n"));
        ck_assert_ptr_nonnull(strstr(environment, "COMPOSE_REMOVE_ORPHANS=false\n"));
        ck_assert_ptr_null(strstr(environment, "COMPOSE_FILE"));
        ck_assert_ptr_null(strstr(environment, "SECRET_OF_OURS"));

        /* An .env file sets what is not set. */
        ck_assert_ptr_nonnull(strstr(environment, "\nBUILDX_CONFIG=\n"));
        ck_assert_ptr_nonnull(strstr(environment, "\nBUILDX_BUILDER=\n"));
        ck_assert_ptr_nonnull(strstr(environment, "\nLD_PRELOAD=\n"));

        /* No git finds a repository in a tree that is built. */
        ck_assert_ptr_nonnull(strstr(environment, "\nGIT_DIR=/dev/null\n"));
}
END_TEST

/* A compose file can interpolate every variable: were one of them not the same when the policy looks at the
 * file and when it runs, the policy would judge another file. */
START_TEST(the_environment_does_not_tell_the_profiles) {
        static const FakeRoute routes[] = { FAKE_PING };
        _cleanup_free_ char *before = NULL, *after = NULL;
        char *const all[] = { (char *) "*", NULL };
        _cleanup_fixture_ Fixture f = {};
        json_t *config;

        fixture_start(&f, routes, ELEMENTSOF(routes), "echo '{}'");
        f.context.profiles = all;
        ASSERT_OK(engine()->config(&f.context, ENGINE_CONFIG_BARE, &config, NULL));
        json_decref(config);
        before = fixture_read(&f, "environment");

        f.context.profiles = NULL;
        ASSERT_OK(engine()->config(&f.context, 0, &config, NULL));
        json_decref(config);
        after = fixture_read(&f, "environment");
        ck_assert_str_ne(before, "");
        ck_assert_str_eq(before, after);
}
END_TEST

START_TEST(a_foreign_project_is_refused_by_name) {
        static const FakeRoute routes[] = {
                FAKE_PING,
                { .request = "GET /containers/json",
                                .answer = FAKE_OK("[" CONTAINER("web", "running",
                                                "Up 2 seconds") "," FOREIGN_CONTAINER "]") },
                { .request = "GET /networks?",
                                .answer = FAKE_OK("[{\"Id\":\"n1\",\"Name\":\"xdemo_ccp_default\"}]") },
                { .request = "GET /volumes?",
                                .answer = FAKE_OK("{\"Volumes\":[{\"Name\":\"demo_ccp_data\"}]}") },
        };
        _cleanup_error_ Error error = {};
        _cleanup_free_ char *calls = NULL;
        _cleanup_fixture_ Fixture f = {};

        fixture_start(&f, routes, ELEMENTSOF(routes), "");
        ASSERT_ERROR(engine()->up(&f.context, web, NULL, &error), EEXIST);
        ck_assert_str_eq(error.name, CCP_ERROR_SLUG_TAKEN);
        ck_assert_ptr_nonnull(strstr(error.message, "container old-db, volume demo_ccp_data."));
        calls = fixture_read(&f, "calls");
        ck_assert_str_eq(calls, "");
}
END_TEST

START_TEST(a_finished_one_shot_is_not_run_again) {
        static const FakeRoute routes[] = {
                FAKE_PING,
                NONE,
                { .request = "GET /containers/json",
                                .answer = FAKE_OK("[" CONTAINER("migrate", "exited",
                                                "Exited (0) 2 seconds ago") "," CONTAINER("seed", "exited",
                                                "Exited (1) 2 seconds ago") "]") },
        };
        char *const services[] = { (char *) "migrate", (char *) "seed", (char *) "web", NULL };
        char *const once[] = { (char *) "migrate", (char *) "seed", NULL };
        _cleanup_free_ char *calls = NULL;
        _cleanup_fixture_ Fixture f = {};

        fixture_start(&f, routes, ELEMENTSOF(routes), "");
        ASSERT_OK(engine()->up(&f.context, services, once, NULL));
        calls = fixture_read(&f, "calls");
        ck_assert_ptr_nonnull(endswith(calls, " --no-deps --no-recreate seed web\n"));

        /* Of another revision it is. */
        f.context.revision = 2;
        ASSERT_OK(engine()->up(&f.context, services, once, NULL));
        free(calls);
        calls = fixture_read(&f, "calls");
        ck_assert_ptr_nonnull(endswith(calls, " --no-deps migrate seed web\n"));
}
END_TEST

START_TEST(up_without_services_is_refused) {
        _cleanup_free_ char *calls = NULL;
        _cleanup_fixture_ Fixture f = {};

        fixture_start(&f, NULL, 0, "");
        ASSERT_ERROR(engine()->up(&f.context, NULL, NULL, NULL), EINVAL);
        calls = fixture_read(&f, "calls");
        ck_assert_str_eq(calls, "");
}
END_TEST

START_TEST(a_failure_shows_no_secret) {
        static const FakeRoute routes[] = { FAKE_PING, NONE };
        _cleanup_error_ Error error = {};
        _cleanup_fixture_ Fixture f = {};

        fixture_start(&f, routes, ELEMENTSOF(routes),
                        "echo ' Container demo_ccp-web-1  hunter22' >&2; echo 'bad value hunter22' >&2; "
                        "exit 1\n");
        ASSERT_ERROR(engine()->up(&f.context, web, NULL, &error), EPROTO);
        ck_assert_str_eq(error.message, "docker compose up failed (1): bad value ********");
        ck_assert_str_eq(f.messages.data, "Container demo_ccp-web-1  ********|");
}
END_TEST

/* The text of a failure is cut, here in the middle of one. */
START_TEST(a_failure_shows_no_part_of_a_secret) {
        static const FakeRoute routes[] = { FAKE_PING, NONE };
        _cleanup_error_ Error error = {};
        _cleanup_fixture_ Fixture f = {};

        fixture_start(&f, routes, ELEMENTSOF(routes), "printf '%01020dhunter22\\n' 0 >&2\nexit 1\n");
        ASSERT_ERROR(engine()->up(&f.context, web, NULL, &error), EPROTO);
        ck_assert_ptr_nonnull(strstr(error.message, "0000"));
        ck_assert_ptr_null(strstr(error.message, "hunt"));
}
END_TEST

START_TEST(a_port_in_use_is_told_apart) {
        static const FakeRoute routes[] = { FAKE_PING, NONE };
        _cleanup_error_ Error error = {};
        _cleanup_fixture_ Fixture f = {};

        fixture_start(&f, routes, ELEMENTSOF(routes),
                        "echo 'Bind for 127.0.0.1:10000 failed: port is already allocated' >&2; exit 1\n");
        ASSERT_ERROR(engine()->up(&f.context, web, NULL, &error), EADDRINUSE);
        ck_assert_ptr_nonnull(strstr(error.message, "Port 10000 "));
}
END_TEST

START_TEST(an_engine_that_went_away_is_asked_for) {
        _cleanup_error_ Error error = {};
        _cleanup_fixture_ Fixture f = {};

        fixture_start(&f, NULL, 0, "echo 'unexpected EOF' >&2; exit 1\n");
        fake_engine_stop(&f.engine);
        ASSERT_ERROR(engine()->stop(&f.context, NULL, &error), EHOSTDOWN);
        ck_assert_str_eq(error.name, CCP_ERROR_ENGINE_UNAVAILABLE);
}
END_TEST

static int cancel(_unused_ void *userdata) {
        return -ECANCELED;
}

START_TEST(a_run_can_be_cancelled) {
        _cleanup_error_ Error error = {};
        _cleanup_fixture_ Fixture f = {};
        usec_t begin = now(CLOCK_MONOTONIC);

        fixture_start(&f, NULL, 0, "exec sleep 60\n");
        f.context.poll = cancel;
        ASSERT_ERROR(engine()->stop(&f.context, NULL, &error), ECANCELED);
        ck_assert_str_eq(error.name, CCP_ERROR_CANCELLED);
        ck_assert_uint_lt(now(CLOCK_MONOTONIC) - begin, 10 * USEC_PER_SEC);
}
END_TEST

START_TEST(missing_files_are_said_before_compose_runs) {
        _cleanup_error_ Error error = {};
        _cleanup_free_ char *calls = NULL;
        _cleanup_fixture_ Fixture f = {};

        fixture_start(&f, NULL, 0, "");
        ASSERT_OK(rm_rf_at(f.dirfd, "ccp.override.yml"));
        ck_assert_int_lt(engine()->restart(&f.context, web, &error), 0);
        ck_assert_ptr_nonnull(strstr(error.message, "ccp.override.yml"));
        calls = fixture_read(&f, "calls");
        ck_assert_str_eq(calls, "");
}
END_TEST

START_TEST(the_configuration_is_read_with_and_without_the_override) {
        _cleanup_json_ json_t *a = NULL, *b = NULL;
        _cleanup_free_ char *calls = NULL;
        _cleanup_fixture_ Fixture f = {};

        fixture_start(&f, NULL, 0, "echo '" CONFIG "'\n");
        ASSERT_OK(engine()->config(&f.context, ENGINE_CONFIG_BARE, &a, NULL));
        ck_assert_ptr_nonnull(json_object_get(json_object_get(a, "services"), "web"));
        calls = fixture_read(&f, "calls");
        ck_assert_ptr_null(strstr(calls, "override"));

        ASSERT_OK(engine()->config(&f.context, 0, &b, NULL));
        free(calls);
        calls = fixture_read(&f, "calls");
        ck_assert_ptr_nonnull(strstr(calls, "ccp.override.yml config --format json\n"));
}
END_TEST

START_TEST(a_configuration_that_is_no_json_is_an_error) {
        _cleanup_error_ Error error = {};
        _cleanup_fixture_ Fixture f = {};
        json_t *json = NULL;

        fixture_start(&f, NULL, 0, "echo '{'\n");
        ck_assert_int_lt(engine()->config(&f.context, 0, &json, &error), 0);
        ck_assert_ptr_nonnull(strstr(error.message, "no JSON"));
}
END_TEST

#define PULL_SCRIPT                                                                                         \
        "case \"$*\" in *config*) echo '" CONFIG "' ;;"                                                     \
        " *pull*) echo ' web Skipped - Image is already present locally ' >&2;"                             \
        " echo ' extra Error no route to registry for hunter22' >&2; echo 'Error response from daemon: x' " \
        ">&2; "                                                                                             \
        "exit 18 ;; esac\n"

START_TEST(a_pull_that_fails_is_good_enough_where_the_images_are_here) {
        static const FakeRoute routes[] = {
                FAKE_PING,
                { .request = "GET /images/busybox:1.37/json", .answer = FAKE_OK("{\"Id\":\"sha256:1\"}") },
                { .request = "GET /images/nowhere.invalid/x:1/json",
                                .answer = FAKE_OK("{\"Id\":\"sha256:2\"}") },
        };
        _cleanup_fixture_ Fixture f = {};

        fixture_start(&f, routes, ELEMENTSOF(routes), PULL_SCRIPT);
        ASSERT_OK(engine()->pull(&f.context, NULL));
}
END_TEST

START_TEST(a_missing_image_is_named_with_its_reason) {
        static const FakeRoute routes[] = {
                FAKE_PING,
                { .request = "GET /images/busybox:1.37/json", .answer = FAKE_OK("{\"Id\":\"sha256:1\"}") },
        };
        _cleanup_error_ Error error = {};
        _cleanup_fixture_ Fixture f = {};

        fixture_start(&f, routes, ELEMENTSOF(routes), PULL_SCRIPT);
        ASSERT_ERROR(engine()->pull(&f.context, &error), EPROTO);
        ck_assert_str_eq(error.message,
                        "An image is not on this host and could not be fetched: nowhere.invalid/x:1 of "
                        "service extra: "
                        "no route to registry for ********");
}
END_TEST

START_TEST(a_build_must_leave_its_image) {
        static const FakeRoute routes[] = { FAKE_PING };
        static const FakeRoute built[] = {
                FAKE_PING,
                { .request = "GET /images/demo_ccp-own/json", .answer = FAKE_OK("{\"Id\":\"sha256:1\"}") },
        };
        _cleanup_fixture_ Fixture f = {}, g = {};
        _cleanup_error_ Error error = {};
        unsigned n = 0;

        fixture_start(&f, routes, ELEMENTSOF(routes), PULL_SCRIPT);
        ck_assert_int_lt(engine()->build(&f.context, &n, &error), 0);
        ck_assert_ptr_nonnull(strstr(error.message, "demo_ccp-own of service own"));

        fixture_start(&g, built, ELEMENTSOF(built), PULL_SCRIPT);
        ASSERT_OK(engine()->build(&g.context, &n, NULL));
        ck_assert_uint_eq(n, 1);
}
END_TEST

START_TEST(removal_needs_no_files_and_proves_that_nothing_is_left) {
        static const FakeRoute routes[] = {
                FAKE_PING,
                NONE,
                { .request = "GET /containers/json",
                                .answer = FAKE_OK("[" CONTAINER("web", "running", "Up 1 second") "]") },
                { .request = "GET /containers/json", .answer = FAKE_OK("[]"), .from = 1 },
                { .request = "GET /networks?",
                                .answer = FAKE_OK("[{\"Id\":\"n1\",\"Name\":\"demo_ccp_default\"," OURS
                                                  "\"\"}}]") },
                { .request = "GET /networks?", .answer = FAKE_OK("[]"), .from = 1 },
                { .request = "GET /volumes?",
                                .answer = FAKE_OK("{\"Volumes\":[{\"Name\":\"demo_ccp_data\"," OURS
                                                  "\"\"}}]}") },
                { .request = "GET /volumes?", .answer = FAKE_OK("{\"Volumes\":null}"), .from = 1 },
                { .request = "GET /containers/c-web/json",
                                .answer = FAKE_OK("{\"Id\":\"c-web\",\"Name\":\"/"
                                                  "x\",\"State\":{\"Status\":\"running\"},\"Config\":{" OURS
                                                  "\"web\"}}}") },
                { .request = "GET /networks/n1",
                                .answer = FAKE_OK("{\"Id\":\"n1\",\"Name\":\"demo_ccp_default\"," OURS
                                                  "\"\"}}") },
                { .request = "GET /volumes/demo_ccp_data",
                                .answer = FAKE_OK("{\"Name\":\"demo_ccp_data\"," OURS "\"\"}}") },
                { .request = "DELETE /", .answer = FAKE_STATUS("204 No Content", "") },
        };
        _cleanup_free_ char *calls = NULL, *requests = NULL;
        _cleanup_fixture_ Fixture f = {};

        fixture_start(&f, routes, ELEMENTSOF(routes), "exit 1\n");
        ASSERT_OK(rm_rf_at(f.dirfd, "docker-compose.yml"));
        ASSERT_OK(engine()->down(&f.context, true, NULL));

        calls = fixture_read(&f, "calls");
        ck_assert_str_eq(calls, "");
        requests = fake_engine_requests(&f.engine);
        ck_assert_ptr_nonnull(strstr(requests, "DELETE /v1.45/containers/c-web?force=1&v=1 "));
        ck_assert_ptr_nonnull(strstr(requests, "DELETE /v1.45/networks/n1 "));
        ck_assert_ptr_nonnull(strstr(requests, "DELETE /v1.45/volumes/demo_ccp_data "));
}
END_TEST

START_TEST(what_does_not_go_is_named) {
        static const FakeRoute routes[] = {
                FAKE_PING,
                NONE,
                { .request = "GET /volumes?",
                                .answer = FAKE_OK("{\"Volumes\":[{\"Name\":\"demo_ccp_data\"," OURS
                                                  "\"\"}}]}") },
                { .request = "GET /volumes/demo_ccp_data",
                                .answer = FAKE_OK("{\"Name\":\"demo_ccp_data\"," OURS "\"\"}}") },
                { .request = "DELETE /",
                                .answer = FAKE_STATUS(
                                                "409 Conflict", "{\"message\":\"volume is in use\"}") },
        };
        _cleanup_error_ Error error = {};
        _cleanup_fixture_ Fixture f = {};

        fixture_start(&f, routes, ELEMENTSOF(routes), "");
        ck_assert_int_lt(engine()->down(&f.context, true, &error), 0);
        ck_assert_ptr_nonnull(strstr(error.message, "volume demo_ccp_data. "));
        ck_assert_ptr_nonnull(strstr(error.message, "volume is in use"));
}
END_TEST

TESTS("compose", engines_are_found_by_name, compose_gets_exact_arguments_and_a_clean_environment,
                the_environment_does_not_tell_the_profiles, a_foreign_project_is_refused_by_name,
                a_finished_one_shot_is_not_run_again, up_without_services_is_refused,
                a_failure_shows_no_secret, a_failure_shows_no_part_of_a_secret, a_port_in_use_is_told_apart,
                an_engine_that_went_away_is_asked_for, a_run_can_be_cancelled,
                missing_files_are_said_before_compose_runs,
                the_configuration_is_read_with_and_without_the_override,
                a_configuration_that_is_no_json_is_an_error,
                a_pull_that_fails_is_good_enough_where_the_images_are_here,
                a_missing_image_is_named_with_its_reason, a_build_must_leave_its_image,
                removal_needs_no_files_and_proves_that_nothing_is_left, what_does_not_go_is_named)
