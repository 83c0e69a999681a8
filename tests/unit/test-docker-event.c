/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <errno.h>

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
        _cleanup_json_ json_t *json = NULL, *none = NULL;

        ASSERT_OK(docker_json_load(text, strlen(text), &json));
        ck_assert_str_eq(json_object_get_string(json, "a"), "\\u0000\xEF\xBF\xBD");
        ck_assert_str_eq(json_object_get_string(json, "b"), "\x01");
        ASSERT_ERROR(docker_json_load("\\u0000", STRLEN("\\u0000"), &none), EBADMSG);
        ASSERT_ERROR(docker_json_load("{\\u0000", STRLEN("{\\u000"), &none), EBADMSG);
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
        string_builder_append_n(b, strempty(data), size);
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

START_TEST(nonsense_ends_the_stream) {
        _cleanup_string_builder_ StringBuilder b = {};
        JsonSplitter s = {};

        ASSERT_ERROR(json_splitter_feed(&s, "[1]", 3, collect, &b), EBADMSG);
        json_splitter_done(&s);
}
END_TEST

static void append_many(StringBuilder *b, const char *s, size_t n) {
        for (size_t i = 0; i < n; i++)
                string_builder_append(b, s);
}

/* Anybody can write them into an image. */
START_TEST(long_texts_are_emptied_and_giants_left_out) {
        static const char *const pieces[] = { "x", "\\\\", "\\\"", "\\u0000", "{[", "\xC3\xA9" };

        FOREACH_ARRAY(piece, pieces, ELEMENTSOF(pieces)) {
                _cleanup_string_builder_ StringBuilder b = {}, text = {};
                JsonSplitter s = {};

                string_builder_append(&text, "{\"a\":\"1\",\"");
                append_many(&text, *piece, DOCKER_TEXT_MAX);
                string_builder_append(&text, "y\":\"");
                append_many(&text, *piece, DOCKER_ITEM_MAX);
                string_builder_append(&text, "z\",\"b\":\"2\"}\n{\"c\":\"3\"}");
                ASSERT_OK(json_splitter_feed(&s, text.data, text.size, collect, &b));
                ck_assert_str_eq(b.data, "<{\"a\":\"1\",\"\":\"\",\"b\":\"2\"}><{\"c\":\"3\"}>");
                json_splitter_done(&s);
        }

        for (unsigned list = 0; list < 2; list++) {
                _cleanup_string_builder_ StringBuilder b = {}, text = {};
                JsonSplitter s = { .list = list };

                string_builder_append(&text, list ? "[{\"a\":\"1\"}" : "{\"a\":\"1\"}");
                string_builder_append(&text, list ? ",{" : "{");
                append_many(&text, "\"label\":\"{\",", DOCKER_ITEM_MAX / 8);
                string_builder_append(&text, list ? "},{\"b\":\"2\"}]" : "}{\"b\":\"2\"}");
                ASSERT_OK(json_splitter_feed(&s, text.data, text.size, collect, &b));
                ck_assert_str_eq(b.data, "<{\"a\":\"1\"}><><{\"b\":\"2\"}>");
                json_splitter_done(&s);
        }
}
END_TEST

START_TEST(a_list_is_cut_into_its_items) {
        static const struct {
                const char *text;
                int r;
                bool ended;
                const char *items;
        } table[] = {
                { "[]", 0, true, "" },
                { " [ {\"a\":[1]} ,\n{} ] ", 0, true, "<{\"a\":[1]}><{}>" },
                { "[{},", 0, false, "<{}>" },
                { "", 0, false, "" },
                { "{}", -EBADMSG, false, "" },
                { "[7]", -EBADMSG, false, "" },
                { "[[{}]]", -EBADMSG, false, "" },
                { "[{}]{}", -EBADMSG, true, "<{}>" },
                { "null", -EBADMSG, false, "" },
        };

        FOREACH_ARRAY(i, table, ELEMENTSOF(table)) {
                _cleanup_string_builder_ StringBuilder b = {};
                JsonSplitter s = { .list = true };

                ck_assert_int_eq(json_splitter_feed(&s, i->text, strlen(i->text), collect, &b), i->r);
                ck_assert_msg(s.ended == i->ended, "%s", i->text);
                ck_assert_str_eq(strempty(b.data), i->items);
                json_splitter_done(&s);
        }
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
                a_stream_is_cut_into_objects, nonsense_ends_the_stream,
                long_texts_are_emptied_and_giants_left_out, a_list_is_cut_into_its_items,
                only_events_that_matter_are_asked_for)
