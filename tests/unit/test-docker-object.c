/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "docker-transfer.h"
#include "string-util.h"
#include "strv.h"
#include "test.h"

#define NOW (1700000000 * USEC_PER_SEC)
#define ANONYMOUS "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static void load(const char *text, json_t **ret) {
        *ret = json_loads(text, 0, NULL);
        ck_assert_ptr_nonnull(*ret);
}

START_TEST(durations_are_read_as_the_engine_writes_them) {
        static const struct {
                const char *text;
                usec_t usec;
        } table[] = {
                { "Less than a second", 0 },
                { "1 second ago", USEC_PER_SEC },
                { "59 seconds", 59 * USEC_PER_SEC },
                { "About a minute ago", USEC_PER_MINUTE },
                { "2 minutes (healthy)", 2 * USEC_PER_MINUTE },
                { "About an hour (unhealthy)", USEC_PER_HOUR },
                { "47 hours", 47 * USEC_PER_HOUR },
                { "13 days", 13 * USEC_PER_DAY },
                { "8 weeks", 56 * USEC_PER_DAY },
                { "23 months", 690 * USEC_PER_DAY },
                { "3 years", 1095 * USEC_PER_DAY },
                { "", 0 },
                { "5", 0 },
                { "soon", 0 },
                { "99999999 years", 0 },
        };

        FOREACH_ARRAY(i, table, ELEMENTSOF(table))
                ck_assert_msg(docker_duration_parse(i->text) == i->usec, "%s", i->text);
}
END_TEST

START_TEST(times_are_utc_with_fractions) {
        ck_assert_uint_eq(docker_time_parse("2023-11-14T22:13:20.123456789Z"), NOW + 123456);
        ck_assert_uint_eq(docker_time_parse("2023-11-14T22:13:20Z"), NOW);
        ck_assert_uint_eq(docker_time_parse("0001-01-01T00:00:00Z"), 0);
        ck_assert_uint_eq(docker_time_parse("2023-11-14T22:13:20+01:00"), 0);
        ck_assert_uint_eq(docker_time_parse("now"), 0);
        ck_assert_uint_eq(docker_time_parse(NULL), 0);
}
END_TEST

START_TEST(the_status_of_a_list_tells_health_exit_code_and_time) {
        static const struct {
                const char *state, *status;
                ContainerHealth health;
                int exit_code;
                usec_t since;
        } table[] = {
                { "running", "Up 2 minutes (healthy)", CONTAINER_HEALTH_HEALTHY, -1, 120 },
                { "running", "Up 5 seconds (health: starting)", CONTAINER_HEALTH_STARTING, -1, 5 },
                { "running", "Up About an hour (unhealthy)", CONTAINER_HEALTH_UNHEALTHY, -1, 3600 },
                { "running", "Up 3 seconds", CONTAINER_HEALTH_NONE, -1, 3 },
                { "paused", "Up 3 seconds (Paused)", CONTAINER_HEALTH_NONE, -1, 3 },
                { "exited", "Exited (137) 10 minutes ago", CONTAINER_HEALTH_NONE, 137, 600 },
                { "restarting", "Restarting (1) 4 seconds ago", CONTAINER_HEALTH_NONE, 1, 4 },
                { "created", "Created", CONTAINER_HEALTH_NONE, -1, 100000 },
                { "dead", "Dead", CONTAINER_HEALTH_NONE, -1, 100000 },
                /* Rounded to longer than it has been there. */
                { "running", "Up 2 weeks", CONTAINER_HEALTH_NONE, -1, 100000 },
        };

        FOREACH_ARRAY(i, table, ELEMENTSOF(table)) {
                _cleanup_docker_objects_ DockerObjects l = {};
                _cleanup_json_ json_t *json = json_pack("[{s:s, s:[s], s:s, s:s, s:I, s:{s:s}}]", "Id", "c1",
                                "Names", "/demo_ccp-web-1", "State", i->state, "Status", i->status,
                                "Created", (json_int_t) 1699900000, "Labels", "ccp.id", "u1");

                ASSERT_OK(docker_objects_from_json(DOCKER_CONTAINER, json, NOW, &l));
                ck_assert_uint_eq(l.n, 1);
                ck_assert_str_eq(l.items[0].name, "demo_ccp-web-1");
                ck_assert_str_eq(l.items[0].uuid, "u1");
                ck_assert_int_eq(l.items[0].health, i->health);
                ck_assert_int_eq(l.items[0].exit_code, i->exit_code);
                ck_assert_uint_eq(l.items[0].since, NOW - i->since * USEC_PER_SEC);
        }
}
END_TEST

START_TEST(an_inspect_tells_more) {
        _cleanup_docker_object_ DockerObject o = {};
        _cleanup_json_ json_t *json = NULL;

        load("{\"Id\":\"c1\",\"Name\":\"/x\",\"Created\":\"2023-11-14T22:13:20Z\",\"RestartCount\":4,"
             "\"State\":{\"Status\":\"exited\",\"ExitCode\":3,\"OOMKilled\":true,"
             "\"StartedAt\":\"2023-11-14T22:13:21Z\",\"FinishedAt\":\"2023-11-14T22:13:25Z\"},"
             "\"Config\":{\"Tty\":true,\"Image\":\"busybox\",\"Labels\":{\"ccp.instance\":\"demo\",\"ccp."
             "id\":\"u1\","
             "\"com.docker.compose.oneoff\":\"True\"}}}",
                        &json);
        ASSERT_OK(docker_object_from_inspect(DOCKER_CONTAINER, json, &o));
        ck_assert_int_eq(o.state, CONTAINER_EXITED);
        ck_assert_int_eq(o.exit_code, 3);
        ck_assert_uint_eq(o.n_restarts, 4);
        ck_assert_uint_eq(o.since, NOW + 5 * USEC_PER_SEC);
        ck_assert(o.oom_killed && o.tty && o.oneoff);
        ck_assert(docker_object_is_owned(&o, &(DockerOwner) { "demo", "u1" }));
        ck_assert(!docker_object_is_owned(&o, &(DockerOwner) { "demo", "u2" }));
        ck_assert(!docker_object_is_owned(&o, &(DockerOwner) { "other", "u1" }));
}
END_TEST

START_TEST(what_has_no_label_is_nobodys) {
        ck_assert(!docker_object_is_owned(&(DockerObject) {}, &(DockerOwner) {}));
        ck_assert(!docker_object_is_owned(
                        &(DockerObject) { .instance = (char *) "demo" }, &(DockerOwner) { "demo", NULL }));
}
END_TEST

START_TEST(an_anonymous_volume_has_a_random_name_and_no_label) {
        static const struct {
                const char *json;
                bool anonymous;
        } table[] = {
                { "{\"Name\":\"" ANONYMOUS "\",\"Labels\":null}", true },
                { "{\"Name\":\"" ANONYMOUS "\",\"Labels\":{\"com.docker.volume.anonymous\":\"\"}}", true },
                { "{\"Name\":\"" ANONYMOUS "\",\"Labels\":{\"keep\":\"me\"}}", false },
                { "{\"Name\":\"data\",\"Labels\":null}", false },
        };

        FOREACH_ARRAY(i, table, ELEMENTSOF(table)) {
                _cleanup_docker_object_ DockerObject o = {};
                _cleanup_json_ json_t *json = NULL;

                load(i->json, &json);
                ASSERT_OK(docker_object_from_inspect(DOCKER_VOLUME, json, &o));
                ck_assert_int_eq(o.is_anonymous, i->anonymous);
        }
}
END_TEST

START_TEST(mounts_show_anonymous_volumes) {
        _cleanup_docker_objects_ DockerObjects l = {};
        _cleanup_json_ json_t *json = NULL;

        load("[{\"Id\":\"c1\",\"Names\":[\"/"
             "x\"],\"State\":\"running\",\"Mounts\":[{\"Type\":\"bind\",\"Source\":\"/x\"},"
             "{\"Type\":\"volume\",\"Name\":\"data\"},{\"Type\":\"volume\",\"Name\":\"" ANONYMOUS "\"}]}]",
                        &json);
        ASSERT_OK(docker_objects_from_json(DOCKER_CONTAINER, json, NOW, &l));
        ck_assert_uint_eq(strv_length(l.items[0].anonymous), 1);
        ck_assert_str_eq(l.items[0].anonymous[0], ANONYMOUS);
}
END_TEST

START_TEST(nonsense_is_refused) {
        static const struct {
                DockerKind kind;
                const char *json;
        } table[] = {
                { DOCKER_CONTAINER, "{}" },
                { DOCKER_CONTAINER, "[1]" },
                { DOCKER_CONTAINER, "[{\"Id\":\"\",\"State\":\"running\"}]" },
                { DOCKER_CONTAINER, "[{\"Id\":\"a\",\"State\":\"dancing\"}]" },
                { DOCKER_NETWORK, "{\"Networks\":[]}" },
                { DOCKER_VOLUME, "[]" },
                { DOCKER_VOLUME, "{\"Volumes\":{}}" },
                { DOCKER_VOLUME, "{\"Volumes\":[{\"Name\":7}]}" },
        };

        FOREACH_ARRAY(i, table, ELEMENTSOF(table)) {
                DockerObjects l = {};
                _cleanup_json_ json_t *json = NULL;

                load(i->json, &json);
                ASSERT_ERROR(docker_objects_from_json(i->kind, json, NOW, &l), EBADMSG);
        }
}
END_TEST

START_TEST(no_volumes_may_be_null) {
        DockerObjects l = {};
        _cleanup_json_ json_t *json = NULL;

        load("{\"Volumes\":null,\"Warnings\":null}", &json);
        ASSERT_OK(docker_objects_from_json(DOCKER_VOLUME, json, NOW, &l));
        ck_assert_uint_eq(l.n, 0);
}
END_TEST

START_TEST(versions_meet_at_the_lower_one) {
        static const struct {
                const char *theirs, *result;
        } table[] = {
                { "1.54", DOCKER_API_OURS },
                { "1.45", "1.45" },
                { "1.41", "1.41" },
                { "2.0", DOCKER_API_OURS },
                { "1.40", NULL },
                { "0.99", NULL },
                { "", NULL },
                { "1", NULL },
                { "1.41x", NULL },
                { "one.two", NULL },
        };

        FOREACH_ARRAY(i, table, ELEMENTSOF(table)) {
                _cleanup_error_ Error error = {};
                char version[DOCKER_VERSION_TEXT_MAX];
                int r = docker_negotiate(i->theirs, version, &error);

                if (i->result) {
                        ASSERT_OK(r);
                        ck_assert_str_eq(version, i->result);
                } else
                        ck_assert_str_eq(error.name, CCP_ERROR_ENGINE_FAILED);
        }
}
END_TEST

START_TEST(text_becomes_printable) {
        static const struct {
                const char *in, *out;
        } table[] = {
                { "plain", "plain" },
                { "a\tb\nc\r\n", "a b c" },
                { "\033[1;31mred\033[0m", "red" },
                { "\033]0;title\007", "?]0;title?" },
                { "Z\xc3\xbcrich \xff", "Z\xc3\xbcrich ?" },
                { "\xc2\x9b"
                  "31m",
                                "?31m" },
                { "\xe2\x82", "??" },
                { "", "" },
        };

        FOREACH_ARRAY(i, table, ELEMENTSOF(table)) {
                _cleanup_free_ char *s = NULL;

                ASSERT_OK(text_make_printable(i->in, strlen(i->in), &s));
                ck_assert_str_eq(s, i->out);
                ck_assert(string_is_safe(s));
        }
}
END_TEST

TESTS("docker-object", durations_are_read_as_the_engine_writes_them, times_are_utc_with_fractions,
                the_status_of_a_list_tells_health_exit_code_and_time, an_inspect_tells_more,
                what_has_no_label_is_nobodys, an_anonymous_volume_has_a_random_name_and_no_label,
                mounts_show_anonymous_volumes, nonsense_is_refused, no_volumes_may_be_null,
                versions_meet_at_the_lower_one, text_becomes_printable)
