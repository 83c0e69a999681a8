/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "alloc-util.h"
#include "ccp/names.h"
#include "ctl-json.h"
#include "string-util.h"
#include "test.h"

/* A message to fill; it never goes out, but needs a connection to belong to. */
static sd_bus_message *make_message(void) {
        static sd_bus *bus;
        sd_bus_message *m;
        int fds[2];

        if (!bus) {
                ASSERT_OK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds));
                ASSERT_OK(sd_bus_new(&bus));
                ASSERT_OK(sd_bus_set_fd(bus, fds[0], fds[0]));
                ASSERT_OK(sd_bus_start(bus));
        }
        ASSERT_OK(sd_bus_message_new_signal(bus, &m, "/x", "x.y", "Z"));
        return m;
}

static void seal(sd_bus_message *m) {
        ASSERT_OK(sd_bus_message_seal(m, 1, 0));
        ASSERT_OK(sd_bus_message_rewind(m, true));
}

static void assert_json(const json_t *v, const char *expected) {
        _cleanup_free_ char *text = json_dumps(v, JSON_COMPACT | JSON_ENCODE_ANY);

        ck_assert_str_eq(text, expected);
}

START_TEST(names_become_snake_case) {
        static const char *const names[][2] = {
                { "State", "state" },
                { "StartedByUID", "started_by_uid" },
                { "NInstances", "n_instances" },
                { "BlueprintVersion", "blueprint_version" },
                { "CreatedAt", "created_at" },
                { "UIDName", "uid_name" },
                { "CPUUsec", "cpu_usec" },
                { "OOMKills", "oom_kills" },
                { "IORead", "io_read" },
                { "DiskMeasuredAt", "disk_measured_at" },
                { "ImageId", "image_id" },
                { "already_snake", "already_snake" },
                { "port_range_rocket-chat", "port_range_rocket-chat" },
                { "", "" },
        };

        for (size_t i = 0; i < ELEMENTSOF(names); i++) {
                _cleanup_free_ char *s = snake_case(names[i][0]);

                ck_assert_str_eq(s, names[i][1]);
        }
}
END_TEST

START_TEST(every_basic_type_is_read) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = make_message();
        _cleanup_json_ json_t *v = NULL;

        ASSERT_OK(sd_bus_message_append(m, "(sobynqiuxtd)", "text", "/path", true, 255, -2, 65535, -3,
                        UINT32_MAX, INT64_MIN, (uint64_t) INT64_MAX, 0.5));
        seal(m);
        ASSERT_OK(json_from_message(m, &v));
        assert_json(v,
                        "[\"text\",\"/path\",true,255,-2,65535,-3,4294967295,-9223372036854775808,"
                        "9223372036854775807,0.5]");
}
END_TEST

START_TEST(never_is_null) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = make_message();
        _cleanup_json_ json_t *v = NULL;

        ASSERT_OK(sd_bus_message_append(m, "t", UINT64_MAX));
        seal(m);
        ASSERT_OK(json_from_message(m, &v));
        ck_assert(json_is_null(v));
}
END_TEST

START_TEST(properties_are_an_object_with_known_shapes) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = make_message();
        _cleanup_json_ json_t *v = NULL;

        ASSERT_OK(sd_bus_message_append(m, "a{sv}", 4, "Ports", "a{sq}", 1, "rocket-Chat", 10000, "Error",
                        "(ss)", "x.Y", "Why", "Services", "a(sssssttuibss)", 1, "db", "service", "running",
                        "healthy", "abc", UINT64_C(7), UINT64_C(6), 2, 137, 1, "db:1", "sha256:ab",
                        "Features", "as", 0));
        seal(m);
        ASSERT_OK(json_from_properties(m, CCP_INTERFACE_INSTANCE, &v));
        assert_json(v,
                        "{\"ports\":{\"rocket-Chat\":10000},\"error\":{\"name\":\"x.Y\",\"message\":\"Why\"}"
                        ","
                        "\"services\":[{\"service\":\"db\",\"kind\":\"service\",\"state\":\"running\","
                        "\"health\":\"healthy\",\"container\":\"abc\",\"since\":7,\"started_at\":6,"
                        "\"restarts\":2,\"exit_code\":137,\"oom_killed\":true,\"image\":\"db:1\","
                        "\"image_id\":\"sha256:ab\"}],\"features\":[]}");
}
END_TEST

START_TEST(members_that_we_do_not_know_are_left_out) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = make_message();
        _cleanup_json_ json_t *v = NULL;

        ASSERT_OK(sd_bus_message_append(
                        m, "a{sv}", 2, "Error", "(sss)", "x.Y", "Why", "more", "New", "(su)", "a", 1));
        seal(m);
        ASSERT_OK(json_from_properties(m, CCP_INTERFACE_JOB, &v));
        assert_json(v, "{\"error\":{\"name\":\"x.Y\",\"message\":\"Why\"},\"new\":[\"a\",1]}");
}
END_TEST

START_TEST(rows_are_an_array_of_objects) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = make_message(), *jobs = make_message(),
                                                        *none = make_message();
        _cleanup_json_ json_t *v = NULL, *w = NULL, *x = NULL;

        ASSERT_OK(sd_bus_message_append(m, "a(sqss)", 1, "alpha", 10000, "web", "host"));
        seal(m);
        ASSERT_OK(json_from_rows(m, CCP_INTERFACE_MANAGER, "ListPorts", &v));
        assert_json(v, "[{\"instance\":\"alpha\",\"number\":10000,\"name\":\"web\",\"host\":\"host\"}]");

        ASSERT_OK(sd_bus_message_append(
                        jobs, "aa{sv}", 1, 2, "QueuedAt", "t", UINT64_C(5), "Error", "(ss)", "", ""));
        seal(jobs);
        ASSERT_OK(json_from_rows(jobs, CCP_INTERFACE_JOB, "ListJobs", &w));
        assert_json(w, "[{\"queued_at\":5,\"error\":{\"name\":\"\",\"message\":\"\"}}]");

        ASSERT_OK(sd_bus_message_append(none, "a(sqss)", 0));
        seal(none);
        ASSERT_OK(json_from_rows(none, CCP_INTERFACE_MANAGER, "ListPorts", &x));
        assert_json(x, "[]");
}
END_TEST

START_TEST(a_reply_of_another_type_is_refused) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = make_message(), *empty = make_message();
        json_t *v;

        ASSERT_OK(sd_bus_message_append(m, "s", "x"));
        seal(m);
        ASSERT_ERROR(json_from_rows(m, CCP_INTERFACE_MANAGER, "ListPorts", &v), EBADMSG);
        ASSERT_OK(sd_bus_message_rewind(m, true));
        ASSERT_ERROR(json_from_properties(m, CCP_INTERFACE_JOB, &v), EBADMSG);
        seal(empty);
        ck_assert_int_lt(json_from_message(empty, &v), 0);
}
END_TEST

START_TEST(values_become_one_line) {
        static const char *const cases[][2] = {
                { "\"a b\"", "a b" },
                { "true", "yes" },
                { "null", "" },
                { "0.25", "0.25" },
                { "42", "42" },
                { "[\"a\",1]", "a 1" },
                { "{\"web\":80,\"db\":90}", "web=80 db=90" },
                { "[{\"a\":1}]", "[{\"a\":1}]" },
                { "{\"a\":[1]}", "{\"a\":[1]}" },
                { "[]", "" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_json_ json_t *v = json_loads(cases[i][0], JSON_DECODE_ANY, NULL);
                _cleanup_free_ char *text = NULL;

                ck_assert_ptr_nonnull(v);
                text = json_to_text(v);
                ck_assert_str_eq(text, cases[i][1]);
        }
}
END_TEST

TESTS("ctl-json", names_become_snake_case, every_basic_type_is_read, never_is_null,
                properties_are_an_object_with_known_shapes, members_that_we_do_not_know_are_left_out,
                rows_are_an_array_of_objects, a_reply_of_another_type_is_refused, values_become_one_line)
