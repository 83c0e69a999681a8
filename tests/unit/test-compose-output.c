/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <errno.h>

#include "compose-output.h"
#include "string-util.h"
#include "test.h"

/* As docker compose 2.26.1 writes it with --progress plain. */

START_TEST(progress_counts_the_containers_that_are_there) {
        static const struct {
                const char *line;
                int r;
                double fraction;
        } table[] = {
                { " Network x_ccp_default  Creating", 1, -1 },
                { " Network x_ccp_default  Created", 1, -1 },
                { " Volume \"x_ccp_data\"  Created", 1, -1 },
                { " Container x_ccp-db-1  Creating", 1, -1 },
                { " Container x_ccp-db-1  Started", 1, 0.25 },
                { " Container x_ccp-db-1  Healthy", 1, 0.25 },
                { " Container x_ccp-web-1  Started", 1, 0.5 },
                { " Container x_ccp-a-1  Running", 1, 0.75 },
                { " Container x_ccp-b-1  Stopped", 1, 1 },
                { " Container x_ccp-more-1  Started", 1, 1 },
                { "Error response from daemon: no", 0, 1 },
                { "", 0, 1 },
                { " x", 0, 1 },
                { " Container x", 0, 1 },
        };
        _cleanup_compose_progress_ ComposeProgress p = { .n_expected = 4, .fraction = -1 };

        FOREACH_ARRAY(i, table, ELEMENTSOF(table)) {
                ck_assert_int_eq(compose_progress_line(&p, i->line), i->r);
                ck_assert_double_eq_tol(p.fraction, i->fraction, 0.001);
        }
}
END_TEST

START_TEST(a_pull_says_why_it_failed) {
        static const char *const lines[] = {
                " db Pulling ",
                " 4f4fb700ef54 Pull complete ",
                " db Pulled ",
                " web Skipped - Image is already present locally ",
                " extra Pulling ",
                " extra Error Get \"https://nowhere.invalid/v2/\": lookup failed",
        };
        _cleanup_compose_progress_ ComposeProgress p = { .n_expected = 4, .fraction = -1 };

        for (size_t i = 0; i < ELEMENTSOF(lines); i++)
                ASSERT_OK(compose_progress_line(&p, lines[i]));
        ck_assert_double_eq_tol(p.fraction, 0.5, 0.001);
        ck_assert_str_eq(compose_progress_failure(&p, "extra"),
                        "Get \"https://nowhere.invalid/v2/\": lookup failed");
        ck_assert_ptr_null(compose_progress_failure(&p, "db"));
}
END_TEST

START_TEST(build_steps_are_progress) {
        ComposeProgress p = { .fraction = -1 };

        ck_assert_int_eq(compose_progress_line(&p, "#5 [built 2/2] RUN echo hi"), 1);
        ck_assert_int_eq(compose_progress_line(&p, "# comment"), 0);
}
END_TEST

START_TEST(failures_have_a_meaning) {
        static const struct {
                const char *text, *name;
                int error;
                unsigned port;
        } table[] = {
                { "Error response from daemon: driver failed programming external connectivity on endpoint "
                  "t1_ccp-web-1 "
                  "(d8c1): Bind for 127.0.0.1:10000 failed: port is already allocated\n",
                                CCP_ERROR_ENGINE_FAILED, EADDRINUSE, 10000 },
                { "noise 1:2\nError response from daemon: driver failed programming external connectivity "
                  "on endpoint x: "
                  "Error starting userland proxy: listen tcp4 127.0.0.1:10001: bind: address already in "
                  "use\n",
                                CCP_ERROR_ENGINE_FAILED, EADDRINUSE, 10001 },
                { "failed to bind host port for [::1]:8080:172.18.0.2:80/tcp: address already in use",
                                CCP_ERROR_ENGINE_FAILED, EADDRINUSE, 80 },
                { "failed to register layer: write /x: no space left on device", CCP_ERROR_NO_SPACE, ENOSPC,
                                0 },
                { "Cannot connect to the Docker daemon at unix:///run/docker.sock. Is the docker daemon "
                  "running?",
                                CCP_ERROR_ENGINE_UNAVAILABLE, EHOSTDOWN, 0 },
                { "service \"migrate\" didn't complete successfully: exit 9", CCP_ERROR_UNHEALTHY, ETIME,
                                0 },
                { "something else", CCP_ERROR_ENGINE_FAILED, EPROTO, 0 },
                { "", CCP_ERROR_ENGINE_FAILED, EPROTO, 0 },
        };

        FOREACH_ARRAY(i, table, ELEMENTSOF(table)) {
                _cleanup_compose_failure_ ComposeFailure f = {};

                ASSERT_OK(compose_failure_read(i->text, &f));
                ck_assert_str_eq(f.name, i->name);
                ck_assert_int_eq(f.error, -i->error);
                ck_assert_uint_eq(f.port, i->port);
        }
}
END_TEST

START_TEST(a_dependency_that_failed_is_named) {
        _cleanup_compose_failure_ ComposeFailure a = {}, b = {};

        ASSERT_OK(compose_failure_read(
                        " Container x  Error\nservice \"migrate\" didn't complete successfully: exit 9\n",
                        &a));
        ck_assert_str_eq(a.service, "migrate");
        ASSERT_OK(compose_failure_read(
                        "dependency failed to start: container x_ccp-db-1 is unhealthy\n", &b));
        ck_assert_str_eq(b.container, "x_ccp-db-1");
        ck_assert_ptr_null(b.service);
}
END_TEST

START_TEST(only_lines_that_say_something_are_kept) {
        _cleanup_compose_failure_ ComposeFailure f = {};

        ASSERT_OK(compose_failure_read(
                        "time=\"2026-01-01T00:00:00Z\" level=warning msg=\"version is obsolete\"\n"
                        " Container x_ccp-db-1  Creating\n"
                        "#5 [built 2/2] RUN false\n"
                        "------\n"
                        " > [built 2/2] RUN false:\n"
                        "\n"
                        "time=\"2026-01-01T00:00:00Z\" level=fatal msg=\"no such thing\"\n"
                        "target built: failed to solve: exit code: 1",
                        &f));
        ck_assert_str_eq(f.text, "no such thing; target built: failed to solve: exit code: 1");
}
END_TEST

START_TEST(a_flood_of_lines_is_cut) {
        _cleanup_string_builder_ StringBuilder b = {};
        _cleanup_compose_failure_ ComposeFailure f = {};

        for (unsigned i = 0; i < 1000; i++)
                string_builder_appendf(&b, "line %u\n", i);
        ASSERT_OK(compose_failure_read(b.data, &f));
        ck_assert_str_eq(f.text, "line 995; line 996; line 997; line 998; line 999");
}
END_TEST

TESTS("compose-output", progress_counts_the_containers_that_are_there, a_pull_says_why_it_failed,
                build_steps_are_progress, failures_have_a_meaning, a_dependency_that_failed_is_named,
                only_lines_that_say_something_are_kept, a_flood_of_lines_is_cut)
