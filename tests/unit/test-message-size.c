/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <errno.h>

#include "alloc-util.h"
#include "message-size.h"
#include "test.h"

/* A message that looks as if it had come in: sealed. No bus is needed for that, but a connection object is. */
static sd_bus_message *new_message(sd_bus *bus) {
        sd_bus_message *m = NULL;

        ck_assert_int_ge(sd_bus_message_new_method_call(bus, &m, "a.b", "/", "a.b", "C"), 0);
        return m;
}

static sd_bus *new_bus(void) {
        sd_bus *bus = NULL;

        ck_assert_int_ge(sd_bus_new(&bus), 0);
        ck_assert_int_ge(sd_bus_set_address(bus, "unix:path=/nonexistent"), 0);
        /* Messages are made for a bus that was started at least. */
        (void) sd_bus_start(bus);
        return bus;
}

START_TEST(the_text_in_containers_counts) {
        _cleanup_(sd_bus_unrefp) sd_bus *bus = new_bus();
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = new_message(bus);
        _cleanup_free_ char *text = malloc(1001);
        const char *s;
        size_t size;

        memset(text, 'x', 1000);
        text[1000] = 0;
        ck_assert_int_ge(sd_bus_message_append(m, "sa{sv}", "short", 2, "a", "s", text, "b", "as", 1, text),
                        0);
        ck_assert_int_ge(sd_bus_message_seal(m, 1, 0), 0);

        ck_assert_int_eq(message_measure(m, 100, &size), -EFBIG);
        ck_assert_int_eq(message_measure(m, 2000, &size), -EFBIG);
        ck_assert_int_eq(message_measure(m, 2200, &size), 0);
        ck_assert_uint_gt(size, 2000);
        /* It is at its start again. */
        ck_assert_int_ge(sd_bus_message_read(m, "s", &s), 0);
        ck_assert_str_eq(s, "short");
}
END_TEST

START_TEST(many_small_values_count_too) {
        _cleanup_(sd_bus_unrefp) sd_bus *bus = new_bus();
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = new_message(bus);
        size_t size;

        ck_assert_int_ge(sd_bus_message_open_container(m, 'a', "y"), 0);
        for (unsigned i = 0; i < 1000; i++)
                ck_assert_int_ge(sd_bus_message_append(m, "y", 1), 0);
        ck_assert_int_ge(sd_bus_message_close_container(m), 0);
        ck_assert_int_ge(sd_bus_message_seal(m, 1, 0), 0);
        ck_assert_int_eq(message_measure(m, 1000, &size), -EFBIG);
        ck_assert_int_eq(message_measure(m, 10000, &size), 0);
}
END_TEST

START_TEST(the_path_counts) {
        _cleanup_(sd_bus_unrefp) sd_bus *bus = new_bus();
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        char path[5001];
        size_t size;

        memset(path, 'x', sizeof(path));
        path[0] = '/';
        path[sizeof(path) - 1] = 0;
        ck_assert_int_ge(sd_bus_message_new_method_call(bus, &m, "a.b", path, "a.b", "C"), 0);
        ck_assert_int_ge(sd_bus_message_seal(m, 1, 0), 0);
        ck_assert_int_eq(message_measure(m, 4096, &size), -EFBIG);
        ck_assert_int_eq(message_measure(m, 6000, &size), 0);
        ck_assert_uint_ge(size, 5000);
}
END_TEST

START_TEST(nothing_fits_always) {
        _cleanup_(sd_bus_unrefp) sd_bus *bus = new_bus();
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = new_message(bus);
        size_t size;

        ck_assert_int_ge(sd_bus_message_seal(m, 1, 0), 0);
        ck_assert_int_eq(message_measure(m, 1, &size), 0);
        ck_assert_uint_eq(size, 1); /* the path "/" */
}
END_TEST

TESTS("message-size", the_text_in_containers_counts, many_small_values_count_too, the_path_counts,
                nothing_fits_always)
