/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "alloc-util.h"
#include "docker-event.h"
#include "docker-transfer.h"
#include "string-util.h"
#include "test.h"

#define EVENT(type, action, attributes)                           \
        "{\"Type\":\"" type "\",\"Action\":\"" action             \
        "\",\"Actor\":{\"ID\":\"c1\",\"Attributes\":{" attributes \
        "}},\"scope\":\"local\",\"time\":1700000000,\"timeNano\":1700000000123456789}"
#define LABELS                                                                                             \
        "\"ccp.instance\":\"demo\",\"ccp.id\":\"u1\",\"com.docker.compose.service\":\"web\",\"com.docker." \
        "compose."                                                                                         \
        "oneoff\":\"False\""

static int parse(const char *text, DockerEvent *ret) {
        return docker_event_parse(text, strlen(text), ret);
}

START_TEST(an_end_has_its_exit_code) {
        _cleanup_docker_event_ DockerEvent e = {};

        ASSERT_OK(parse(EVENT("container", "die", LABELS ",\"exitCode\":\"137\""), &e));
        ck_assert_int_eq(e.type, DOCKER_EVENT_DIE);
        ck_assert_int_eq(e.exit_code, 137);
        ck_assert_str_eq(e.container, "c1");
        ck_assert_str_eq(e.instance, "demo");
        ck_assert_str_eq(e.uuid, "u1");
        ck_assert_str_eq(e.service, "web");
        ck_assert(!e.oneoff);
        ck_assert_uint_eq(e.time_nsec, 1700000000123456789ULL);
}
END_TEST

/* Anybody can write such a label into an image. */
START_TEST(a_nul_in_a_label_does_not_hide_the_event) {
        static const char *const attributes[] = {
                LABELS ",\"evil\":\"a\\u0000b\"",
                LABELS ",\"\\u0000\":\"\"",
                LABELS ",\"evil\":\"\\\\\\u0000\\\\u0000\"",
        };

        FOREACH_ARRAY(a, attributes, ELEMENTSOF(attributes)) {
                _cleanup_free_ char *text = strjoin("{\"Type\":\"container\",\"Action\":\"die\",\"Actor\":{"
                                                    "\"ID\":\"c1\",\"Attributes\":{",
                                *a, "}}}");
                _cleanup_docker_event_ DockerEvent e = {};

                ASSERT_OK(parse(text, &e));
                ck_assert_int_eq(e.type, DOCKER_EVENT_DIE);
                ck_assert_str_eq(e.instance, "demo");
        }
}
END_TEST

/* What looks like one after an escaped backslash is not. */
START_TEST(nul_is_replaced_and_nothing_else) {
        static const char text[] = "{\"a\":\"\\\\u0000\\u0000\",\"b\":\"\\u0001\"}";
        _cleanup_json_ json_t *json = docker_json_load(text, strlen(text));

        ck_assert_str_eq(json_object_get_string(json, "a"), "\\u0000\xEF\xBF\xBD");
        ck_assert_str_eq(json_object_get_string(json, "b"), "\x01");
        ck_assert_ptr_null(docker_json_load("\\u0000", STRLEN("\\u0000")));
        ck_assert_ptr_null(docker_json_load("{\\u0000", STRLEN("{\\u000")));
}
END_TEST

START_TEST(health_is_in_the_action) {
        static const struct {
                const char *text;
                DockerEventType type;
                ContainerHealth health;
        } table[] = {
                { EVENT("container", "health_status: healthy", ""), DOCKER_EVENT_HEALTH,
                                CONTAINER_HEALTH_HEALTHY },
                { EVENT("container", "health_status: unhealthy", ""), DOCKER_EVENT_HEALTH,
                                CONTAINER_HEALTH_UNHEALTHY },
                { EVENT("container", "health_status: confused", ""), DOCKER_EVENT_OTHER,
                                _CONTAINER_HEALTH_INVALID },
                { EVENT("container", "health_status", ""), DOCKER_EVENT_OTHER, CONTAINER_HEALTH_NONE },
        };

        FOREACH_ARRAY(i, table, ELEMENTSOF(table)) {
                _cleanup_docker_event_ DockerEvent e = {};

                ASSERT_OK(parse(i->text, &e));
                ck_assert_int_eq(e.type, i->type);
                ck_assert_int_eq(e.health, i->health);
        }
}
END_TEST

START_TEST(what_does_not_concern_containers_is_other) {
        static const char *const texts[] = {
                EVENT("network", "create", ""),
                EVENT("volume", "destroy", ""),
                EVENT("container", "exec_create: sh -c true", LABELS),
                EVENT("container", "other", ""),
        };

        for (size_t i = 0; i < ELEMENTSOF(texts); i++) {
                _cleanup_docker_event_ DockerEvent e = {};

                ASSERT_OK(parse(texts[i], &e));
                ck_assert_int_eq(e.type, DOCKER_EVENT_OTHER);
        }
}
END_TEST

START_TEST(what_is_no_event_is_refused) {
        static const char *const texts[] = {
                "",
                "{}",
                "[]",
                "{\"Action\":\"die\"}",
                "{\"Type\":\"container\",\"Action\":\"die\",\"Actor\":{\"ID\":\"\"}}",
                "{\"Action\":1,\"Actor\":{\"ID\":\"x\"}}",
                "{\"Action\":\"die\",\"Actor\":{\"ID\":\"x\"}",
        };

        for (size_t i = 0; i < ELEMENTSOF(texts); i++) {
                DockerEvent e = {};

                ASSERT_ERROR(parse(texts[i], &e), EBADMSG);
        }
}
END_TEST

static int collect(const char *data, size_t size, void *userdata) {
        StringBuilder *b = userdata;

        string_builder_append(b, "<");
        string_builder_append_n(b, data, size);
        string_builder_append(b, ">");
        return 0;
}

START_TEST(a_stream_is_cut_into_objects) {
        static const char text[] = "{\"a\":\"}{\\\"\"}\r\n\n{\"b\":[{}]} {}";

        for (size_t cut = 1; cut <= strlen(text); cut++) {
                _cleanup_string_builder_ StringBuilder b = {};
                JsonSplitter s = {};

                for (size_t i = 0; i < strlen(text); i += cut)
                        ASSERT_OK(json_splitter_feed(&s, text + i, MIN(cut, strlen(text) - i), collect, &b));
                ck_assert_str_eq(b.data, "<{\"a\":\"}{\\\"\"}><{\"b\":[{}]}><{}>");
                json_splitter_done(&s);
        }
}
END_TEST

START_TEST(nonsense_and_giants_end_the_stream) {
        _cleanup_string_builder_ StringBuilder b = {}, big = {};
        JsonSplitter s = {}, t = {};

        ASSERT_ERROR(json_splitter_feed(&s, "[1]", 3, collect, &b), EBADMSG);
        json_splitter_done(&s);

        string_builder_append(&big, "{\"a\":\"");
        for (size_t i = 0; i <= DOCKER_EVENT_MAX; i++)
                string_builder_append(&big, "x");
        ASSERT_ERROR(json_splitter_feed(&t, big.data, big.size, collect, &b), EFBIG);
        json_splitter_done(&t);
}
END_TEST

START_TEST(only_events_that_matter_are_asked_for) {
        _cleanup_free_ char *path = NULL;

        ASSERT_OK(docker_events_path("ccp.instance", &path));
        ck_assert_ptr_nonnull(startswith(path, "/events?filters=%7B%22type%22%3A%5B%22container%22%5D"));
        ck_assert_ptr_nonnull(strstr(path, "ccp.instance"));
        ck_assert_ptr_nonnull(strstr(path, "health_status"));
        ck_assert_ptr_null(strstr(path, "exec"));
        ck_assert_ptr_null(strstr(path, "other"));
}
END_TEST

TESTS("docker-event", an_end_has_its_exit_code, a_nul_in_a_label_does_not_hide_the_event,
                nul_is_replaced_and_nothing_else, health_is_in_the_action,
                what_does_not_concern_containers_is_other, what_is_no_event_is_refused,
                a_stream_is_cut_into_objects, nonsense_and_giants_end_the_stream,
                only_events_that_matter_are_asked_for)
