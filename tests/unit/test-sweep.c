/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A sweep, with a real PostgreSQL, a scripted Engine, and a listener on loopback. */

#include "sweep.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fake-engine.h"
#include "fd-util.h"
#include "fs-util.h"
#include "store-health.h"
#include "store-test.h"
#include "string-util.h"
#include "test.h"

#define BLUEPRINT                                                                                      \
        "name: changemaker-lite\ntitle: X\nversion: \"%s\"\nfiles:\n  - { template: a.hbs, target: "   \
        "docker-compose.yml, format: yaml }\nports: { web: nginx }\nservices:\n  web: { timeout: 1s, " \
        "health: "                                                                                     \
        "{ type: http, port: web, path: %s } }\n  migrate: { kind: oneshot }\n  mail: { kind: optional }\n"

/* A listener that answers whatever its file says: the whole answer. */
typedef struct Answerer {
        pid_t pid;
        uint16_t port;
        char file[64];
} Answerer;

static void answerer_set(const Answerer *a, const char *status) {
        _cleanup_close_ int fd = open(a->file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        char text[128];

        (void) snprintf(text, sizeof(text), "HTTP/1.1 %s\r\nContent-Length: 0\r\n\r\n", status);
        ASSERT_OK(loop_write(fd, text, strlen(text)));
}

static void answerer_start(Answerer *a, const char *folder) {
        struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
        socklen_t size = sizeof(address);
        char buffer[2048];
        int fd;

        (void) snprintf(a->file, sizeof(a->file), "%s/answer", folder);
        answerer_set(a, "200 OK");
        fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        ck_assert_int_ge(bind(fd, (struct sockaddr *) &address, size), 0);
        ck_assert_int_ge(listen(fd, 16), 0);
        ck_assert_int_ge(getsockname(fd, (struct sockaddr *) &address, &size), 0);
        a->port = ntohs(address.sin_port);
        a->pid = fork();
        if (a->pid == 0) {
                (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
                for (;;) {
                        int c = accept(fd, NULL, NULL), file = open(a->file, O_RDONLY | O_CLOEXEC);
                        ssize_t n;

                        if (read(c, buffer, sizeof(buffer)) > 0) {
                                n = read(file, buffer, sizeof(buffer));
                                if (n > 0)
                                        (void) loop_write(c, buffer, (size_t) n);
                        }
                        (void) close(c);
                        (void) close(file);
                }
        }
        (void) close(fd);
}

/* One instance, oslo, that runs. */
typedef struct Scene {
        TestDb t;
        DbSync *db;
        char *oslo;
        char folder[32];
        char *templates[2];
        Answerer answerer;
        FakeEngine engine;
        Docker *docker;
} Scene;

static void write_file(const Scene *s, const char *path, const char *text) {
        _cleanup_close_ int fd = open(s->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        _cleanup_free_ char *copy = strdup(path);
        char *slash = strrchr(copy, '/');

        if (slash) {
                *slash = 0;
                ASSERT_OK(mkdir_parents_beneath(fd, path, 0700));
                (void) mkdirat(fd, copy, 0700);
        }
        ASSERT_OK(write_file_beneath(fd, path, text, strlen(text), 0600));
}

static void write_blueprint(const Scene *s, const char *path, const char *version, const char *probe_path) {
        char text[1024];

        (void) snprintf(text, sizeof(text), BLUEPRINT, version, probe_path);
        write_file(s, path, text);
}

static void scene_open(Scene *s) {
        _cleanup_free_ char *sql = NULL;
        uint64_t job;

        *s = (Scene) {};
        (void) snprintf(s->folder, sizeof(s->folder), "/tmp/ccpd-sweep-XXXXXX");
        ck_assert_ptr_nonnull(mkdtemp(s->folder));
        write_blueprint(s, "templates/changemaker-lite/blueprint.yaml", "1.0", "/");
        write_file(s, "templates/changemaker-lite/a.hbs", "services: {}\n");
        s->templates[0] = strjoin(s->folder, "/templates");
        answerer_start(&s->answerer, s->folder);

        test_db_open(&s->t, NULL);
        s->oslo = test_create_instance(&s->t, "oslo", &job);
        test_finish(&s->t, job, JOB_SUCCEEDED, INSTANCE_RUNNING);
        ck_assert_int_ge(asprintf(&sql, "UPDATE ports SET number = %u WHERE name = 'web'", s->answerer.port),
                        0);
        test_postgres_tamper(s->t.conninfo, sql);
        /* The time of a job's end is that of the clock, too. */
        test_postgres_tamper(s->t.conninfo, "UPDATE jobs SET finished_at = now() - interval '1 minute'");
        /* Without an interval each sweep is in the history, however soon. */
        test_postgres_tamper(
                        s->t.conninfo, "INSERT INTO settings (key, value) VALUES ('health_interval', '0')");
        ASSERT_OK(db_sync_open(&(DbSyncOptions) { .conninfo = s->t.conninfo }, &s->db, NULL));
}

static void engine_stop(Scene *s) {
        s->docker = docker_free(s->docker);
        if (s->engine.pid > 0)
                fake_engine_stop(&s->engine);
        s->engine = (FakeEngine) {};
}

static void scene_close(Scene *s) {
        _cleanup_free_ char *command = strjoin("rm -rf ", s->folder);

        engine_stop(s);
        (void) kill(s->answerer.pid, SIGKILL);
        (void) waitpid(s->answerer.pid, NULL, 0);
        db_sync_free(s->db);
        free(s->oslo);
        free(s->templates[0]);
        test_db_close(&s->t);
        (void) !system(command);
}
#define _cleanup_scene_ _cleanup_(scene_close)

/* A container, as the Engine lists it. */
static void append_container(StringBuilder *b, const Scene *s, const char *service, const char *id,
                const char *state, const char *status) {
        string_builder_appendf(b,
                        "%s{\"Id\":\"%s\",\"Names\":[\"/"
                        "x\"],\"Created\":1700000000,\"State\":\"%s\",\"Status\":\"%s\","
                        "\"Labels\":{\"ccp.instance\":\"oslo\",\"ccp.id\":\"%s\",\"com.docker.compose."
                        "service\":\"%s\"}"
                        "}",
                        b->size > 0 ? "," : "", id, state, status, s->oslo, service);
}

/* Lets an Engine tell of these containers, and looks once. */
static void sweep(Scene *s, const char *containers, SweepResult *ret) {
        _cleanup_free_ char *list =
                        strjoin("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n[", containers, "]");
        const FakeRoute routes[] = { FAKE_PING,
                { .request = "GET /containers/json?all=1", .answer = list } };
        const SweepOptions options = { .templates = s->templates, .instances_dir = s->folder };
        _cleanup_error_ Error error = {};

        engine_stop(s);
        fake_engine_start(&s->engine, routes, ELEMENTSOF(routes));
        ASSERT_OK(docker_new(&(DockerOptions) { .socket = s->engine.socket }, &s->docker));
        *ret = (SweepResult) {};
        ck_assert_msg(sweep_run(s->db, s->docker, &options, ret, &error) >= 0, "%s", error.message);
}

static void sweep_with(Scene *s, const char *id, const char *state, const char *status) {
        _cleanup_sweep_result_ SweepResult result = {};
        _cleanup_string_builder_ StringBuilder b = {};

        append_container(&b, s, "web", id, state, status);
        sweep(s, b.data, &result);
        ck_assert(!error_is_set(&result.error));
}

#define VERDICT "SELECT verdict || ' ' || n_failures || ' ' || coalesce(reason, '') FROM health_probes"
#define HEALTH "SELECT health FROM health_samples ORDER BY time DESC LIMIT 1"
#define REASON "SELECT coalesce(reason, '') FROM health_current"

START_TEST(one_lost_probe_does_not_flap) {
        _cleanup_scene_ Scene s;

        scene_open(&s);
        sweep_with(&s, "c1", "running", "Up 2 hours");
        ASSERT_QUERY(s.t.conninfo, VERDICT, "healthy 0 ");
        ASSERT_QUERY(s.t.conninfo, HEALTH, "healthy");
        ASSERT_QUERY(s.t.conninfo, "SELECT latency > 0 FROM health_samples", "t");

        for (unsigned n = 1; n <= 2; n++) {
                answerer_set(&s.answerer, "502 Bad Gateway");
                sweep_with(&s, "c1", "running", "Up 2 hours");
                ASSERT_QUERY(s.t.conninfo, HEALTH, "healthy");
                ASSERT_QUERY(s.t.conninfo, REASON, "");
                answerer_set(&s.answerer, "200 OK");
                sweep_with(&s, "c1", "running", "Up 2 hours");
                ASSERT_QUERY(s.t.conninfo, VERDICT, "healthy 0 ");
        }

        answerer_set(&s.answerer, "502 Bad Gateway");
        sweep_with(&s, "c1", "running", "Up 2 hours");
        sweep_with(&s, "c1", "running", "Up 2 hours");
        ASSERT_QUERY(s.t.conninfo, HEALTH, "healthy");
        sweep_with(&s, "c1", "running", "Up 2 hours");
        ASSERT_QUERY(s.t.conninfo, HEALTH, "unhealthy");
        {
                char expected[128];

                (void) snprintf(expected, sizeof(expected),
                                "web: answers 502 instead of 200 to GET / on port %u", s.answerer.port);
                ASSERT_QUERY(s.t.conninfo, REASON, expected);
        }
        answerer_set(&s.answerer, "200 OK");
        sweep_with(&s, "c1", "running", "Up 2 hours");
        ASSERT_QUERY(s.t.conninfo, HEALTH, "healthy");
}
END_TEST

START_TEST(sweeps_on_demand_do_not_outweigh_the_timers) {
        _cleanup_scene_ Scene s;

        scene_open(&s);
        test_postgres_tamper(
                        s.t.conninfo, "UPDATE settings SET value = '3600' WHERE key = 'health_interval'");
        for (unsigned n = 0; n < 5; n++)
                sweep_with(&s, "c1", "running", "Up 2 hours");
        /* A quarter of a minute may begin in between. */
        ASSERT_QUERY(s.t.conninfo, "SELECT count(*) BETWEEN 1 AND 2 FROM health_samples", "t");
        ASSERT_QUERY(s.t.conninfo, "SELECT count(*) FROM health_sweeps", "5");
        /* What they saw holds all the same. */
        answerer_set(&s.answerer, "502 Bad Gateway");
        for (unsigned n = 0; n < 3; n++)
                sweep_with(&s, "c1", "running", "Up 2 hours");
        ASSERT_QUERY(s.t.conninfo, "SELECT health FROM health_current", "unhealthy");
}
END_TEST

START_TEST(a_new_run_of_a_container_begins_anew) {
        _cleanup_scene_ Scene s;

        scene_open(&s);
        sweep_with(&s, "c1", "running", "Up 2 hours");
        answerer_set(&s.answerer, "502 Bad Gateway");
        for (unsigned n = 0; n < 3; n++)
                sweep_with(&s, "c1", "running", "Up 2 hours");
        ASSERT_QUERY(s.t.conninfo, HEALTH, "unhealthy");

        /* Another container, which has just been started: what never answered is starting. */
        sweep_with(&s, "c2", "running", "Up Less than a second");
        ASSERT_QUERY(s.t.conninfo,
                        "SELECT container || ' ' || verdict || ' ' || n_failures FROM health_probes",
                        "c2 waiting 1");
        ASSERT_QUERY(s.t.conninfo, HEALTH, "starting");

        /* The same container, started again since it was looked at. */
        answerer_set(&s.answerer, "200 OK");
        sweep_with(&s, "c2", "running", "Up 3 hours");
        ASSERT_QUERY(s.t.conninfo, HEALTH, "healthy");
        test_postgres_tamper(s.t.conninfo, "UPDATE health_probes SET checked_at = checked_at - 60000000");
        answerer_set(&s.answerer, "502 Bad Gateway");
        sweep_with(&s, "c2", "running", "Up 1 second");
        ASSERT_QUERY(s.t.conninfo, "SELECT verdict || ' ' || n_failures FROM health_probes", "waiting 1");
}
END_TEST

START_TEST(containers_that_are_not_well_need_no_probe) {
        _cleanup_sweep_result_ SweepResult result = {};
        _cleanup_string_builder_ StringBuilder b = {};
        _cleanup_scene_ Scene s;

        scene_open(&s);
        append_container(&b, &s, "web", "c1", "exited", "Exited (0) 1 second ago");
        append_container(&b, &s, "migrate", "c2", "exited", "Exited (0) 1 hour ago");
        append_container(&b, &s, "mail", "c3", "running", "Up 1 hour (unhealthy)");
        sweep(&s, b.data, &result);
        ck_assert_uint_eq(result.n_instances, 1);
        ck_assert_uint_eq(result.n_services, 3);
        ck_assert_uint_eq(result.n_probes, 0);
        ASSERT_QUERY(s.t.conninfo, HEALTH, "unhealthy");
        ASSERT_QUERY(s.t.conninfo, REASON, "web: has ended");
        ASSERT_QUERY(s.t.conninfo, "SELECT count(*) FROM health_probes", "0");
}
END_TEST

START_TEST(an_optional_service_degrades) {
        _cleanup_sweep_result_ SweepResult result = {};
        _cleanup_string_builder_ StringBuilder b = {};
        _cleanup_scene_ Scene s;

        scene_open(&s);
        append_container(&b, &s, "web", "c1", "running", "Up 1 hour");
        append_container(&b, &s, "migrate", "c2", "exited", "Exited (0) 1 hour ago");
        append_container(&b, &s, "mail", "c3", "running", "Up 1 hour (unhealthy)");
        append_container(&b, &s, "unheard-of", "c4", "running", "Up 1 hour");
        sweep(&s, b.data, &result);
        ck_assert_uint_eq(result.n_probes, 1);
        ASSERT_QUERY(s.t.conninfo, HEALTH, "degraded");
        ASSERT_QUERY(s.t.conninfo, REASON, "mail: is unhealthy");
}
END_TEST

START_TEST(only_what_is_the_instances_own_counts) {
        _cleanup_sweep_result_ SweepResult result = {};
        _cleanup_scene_ Scene s;

        scene_open(&s);
        sweep(&s,
                        "{\"Id\":\"c9\",\"Names\":[\"/"
                        "x\"],\"Created\":1700000000,\"State\":\"running\",\"Status\":\"Up 1 "
                        "hour\",\"Labels\":{\"ccp.instance\":\"oslo\",\"ccp.id\":\"00000000-0000-0000-0000-"
                        "000000000001\","
                        "\"com.docker.compose.service\":\"web\"}}",
                        &result);
        ck_assert_uint_eq(result.n_services, 0);
        ASSERT_QUERY(s.t.conninfo, HEALTH, "unhealthy");
        ASSERT_QUERY(s.t.conninfo, REASON, "no container is there");
}
END_TEST

START_TEST(an_engine_that_is_away_makes_nobody_ill) {
        const SweepOptions options = {};
        _cleanup_sweep_result_ SweepResult away = {}, still = {}, back = {};
        _cleanup_string_builder_ StringBuilder b = {};
        _cleanup_scene_ Scene s;

        scene_open(&s);
        sweep_with(&s, "c1", "running", "Up 2 hours");

        engine_stop(&s);
        ASSERT_OK(docker_new(&(DockerOptions) { .socket = "/nonexistent/docker.sock" }, &s.docker));
        ASSERT_OK(sweep_run(s.db, s.docker, &options, &away, NULL));
        ck_assert_str_eq(away.error.name, CCP_ERROR_ENGINE_UNAVAILABLE);
        ck_assert(away.error_is_new);
        ASSERT_QUERY(s.t.conninfo, HEALTH, "unknown");
        ASSERT_QUERY(s.t.conninfo, "SELECT health FROM health_current", "healthy");
        ASSERT_QUERY(s.t.conninfo, VERDICT, "healthy 0 ");
        ASSERT_QUERY(s.t.conninfo, "SELECT error_name FROM health_sweeps ORDER BY number DESC LIMIT 1",
                        CCP_ERROR_ENGINE_UNAVAILABLE);

        /* The same again is no news. */
        ASSERT_OK(sweep_run(s.db, s.docker, &options, &still, NULL));
        ck_assert(error_is_set(&still.error) && !still.error_is_new && !still.recovered);

        append_container(&b, &s, "web", "c1", "running", "Up 2 hours");
        sweep(&s, b.data, &back);
        ck_assert(back.recovered);
        ASSERT_QUERY(s.t.conninfo, HEALTH, "healthy");
}
END_TEST

START_TEST(what_a_job_works_on_is_left_alone) {
        _cleanup_sweep_result_ SweepResult result = {};
        _cleanup_scene_ Scene s;

        scene_open(&s);
        test_postgres_tamper(s.t.conninfo, "UPDATE jobs SET state = 'running', finished_at = NULL");
        sweep(&s, "", &result);
        ck_assert_uint_eq(result.n_instances, 0);
        test_postgres_tamper(s.t.conninfo, "UPDATE jobs SET state = 'succeeded', finished_at = now()");
        test_postgres_tamper(s.t.conninfo, "UPDATE instances SET state = 'stopped'");
        sweep_result_done(&result);
        sweep(&s, "", &result);
        ck_assert_uint_eq(result.n_instances, 0);
        ASSERT_QUERY(s.t.conninfo, "SELECT count(*) FROM health_samples", "0");
}
END_TEST

START_TEST(a_blueprint_of_another_version_is_not_the_instances) {
        _cleanup_scene_ Scene s;

        scene_open(&s);
        test_postgres_tamper(s.t.conninfo, "UPDATE instances SET revision = 2");
        write_blueprint(&s, "oslo/revisions/2/.ccp-blueprint.yaml", "1.0", "/up");
        write_blueprint(&s, "templates/changemaker-lite/blueprint.yaml", "2.0", "/");
        answerer_set(&s.answerer, "500 No");
        sweep_with(&s, "c1", "running", "Up 2 hours");
        ASSERT_QUERY(s.t.conninfo, "SELECT reason LIKE '% GET /up %' FROM health_probes", "t");
}
END_TEST

START_TEST(a_port_that_is_not_there_is_said) {
        _cleanup_scene_ Scene s;

        scene_open(&s);
        test_postgres_tamper(s.t.conninfo, "DELETE FROM ports");
        for (unsigned n = 0; n < 3; n++)
                sweep_with(&s, "c1", "running", "Up 2 hours");
        ASSERT_QUERY(s.t.conninfo, REASON,
                        "web: is to be asked on the port 'web', which the instance does not have");
}
END_TEST

TESTS("sweep", one_lost_probe_does_not_flap, sweeps_on_demand_do_not_outweigh_the_timers,
                a_new_run_of_a_container_begins_anew, containers_that_are_not_well_need_no_probe,
                an_optional_service_degrades, only_what_is_the_instances_own_counts,
                an_engine_that_is_away_makes_nobody_ill, what_a_job_works_on_is_left_alone,
                a_blueprint_of_another_version_is_not_the_instances, a_port_that_is_not_there_is_said)
