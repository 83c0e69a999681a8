/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "alloc-util.h"
#include "string-util.h"
#include "test.h"
#include "top.h"

static json_t *load(const char *text) {
        json_t *json = json_loads(text, 0, NULL);

        ck_assert_msg(json != NULL, "%s", text);
        return json;
}

static double number(const json_t *rows, size_t i, const char *key) {
        const json_t *v = json_object_get(json_array_get(rows, i), key);

        ck_assert_msg(json_is_number(v), "%s", key);
        return json_number_value(v);
}

static bool has(const json_t *rows, size_t i, const char *key) {
        return json_object_get(json_array_get(rows, i), key) != NULL;
}

START_TEST(rates_are_of_the_time_between_two_readings) {
        _cleanup_json_ json_t *before = load("[{\"slug\": \"a\", \"time\": 1000000, \"cpu_usec\": 0, "
                                             "\"io_read\": 100, \"network_sent\": 7}]");
        _cleanup_json_ json_t *rows =
                        load("[{\"slug\": \"a\", \"time\": 3000000, \"cpu_usec\": 3000000, \"io_read\": "
                             "2100, \"network_sent\": 7,"
                             "  \"memory\": 1000, \"memory_cache\": 250, \"memory_max\": 3000}]");

        ASSERT_OK(top_add_rates(rows, before));
        ck_assert_double_eq_tol(number(rows, 0, "cpu_percent"), 150, 0.001);
        ck_assert_double_eq_tol(number(rows, 0, "io_read_rate"), 1000, 0.001);
        ck_assert_double_eq_tol(number(rows, 0, "network_sent_rate"), 0, 0.001);
        ck_assert_double_eq_tol(number(rows, 0, "memory_used"), 750, 0.001);
        ck_assert_double_eq_tol(number(rows, 0, "memory_percent"), 25, 0.001);
        ck_assert(!has(rows, 0, "io_written_rate"));
}
END_TEST

START_TEST(what_is_not_known_stays_unknown) {
        _cleanup_json_ json_t *before =
                        load("[{\"name\": \"web\", \"container\": \"1\", \"time\": 1, \"cpu_usec\": 0},"
                             " {\"name\": \"db\", \"container\": \"2\", \"time\": 1, \"cpu_usec\": 50},"
                             " {\"name\": \"same\", \"container\": \"3\", \"time\": 2, \"cpu_usec\": 50}]");
        _cleanup_json_ json_t *rows =
                        load("[{\"name\": \"web\", \"container\": \"9\", \"time\": 2, \"cpu_usec\": 10},"
                             " {\"name\": \"db\", \"container\": \"2\", \"time\": 2, \"cpu_usec\": 10, "
                             "\"memory_max\": 9},"
                             " {\"name\": \"same\", \"container\": \"3\", \"time\": 2, \"cpu_usec\": 60},"
                             " {\"name\": \"new\", \"container\": \"4\", \"time\": 2, \"cpu_usec\": 60}]");

        /* Another container, a counter that began anew, no time between, none before. */
        ASSERT_OK(top_add_rates(rows, before));
        for (size_t i = 0; i < 4; i++)
                ck_assert(!has(rows, i, "cpu_percent") && !has(rows, i, "memory_percent"));
        ASSERT_OK(top_add_rates(rows, NULL));
}
END_TEST

START_TEST(the_largest_come_first_and_the_unknown_last) {
        _cleanup_json_ json_t *rows = load(
                        "[{\"slug\": \"none\"}, {\"slug\": \"b\", \"io_read_rate\": 1, \"io_written_rate\": "
                        "5},"
                        " {\"slug\": \"c\", \"io_read_rate\": 7}, {\"slug\": \"a\", \"io_read_rate\": 6}]");
        static const char *const by_io[] = { "c", "a", "b", "none" },
                                 *const by_name[] = { "a", "b", "c", "none" };

        ASSERT_OK(top_sort(rows, TOP_SORT_IO));
        for (size_t i = 0; i < 4; i++)
                ck_assert_str_eq(json_object_get_string(json_array_get(rows, i), "slug"), by_io[i]);
        ASSERT_OK(top_sort(rows, TOP_SORT_NAME));
        for (size_t i = 0; i < 4; i++)
                ck_assert_str_eq(json_object_get_string(json_array_get(rows, i), "slug"), by_name[i]);
        for (TopSort s = 0; s < _TOP_SORT_MAX; s++)
                ck_assert_int_eq(top_sort_from_string(top_sort_to_string(s)), s);
}
END_TEST

START_TEST(sizes_are_short) {
        static const struct {
                double bytes;
                const char *text;
        } table[] = {
                { 0, "0" },
                { 1023, "1023" },
                { 1024, "1.0K" },
                { 1536, "1.5K" },
                { 10 * 1024, "10K" },
                { 1023.9 * 1024, "1.0M" },
                { 1.2 * 1024 * 1024 * 1024, "1.2G" },
                { 9e18, "7.8E" },
                { 9e22, "78063E" },
        };
        char buf[TOP_SIZE_MAX];

        FOREACH_ARRAY(i, table, ELEMENTSOF(table))
                ck_assert_str_eq(top_format_size(buf, sizeof(buf), i->bytes), i->text);
}
END_TEST

START_TEST(the_summary_adds_up) {
        _cleanup_json_ json_t *rows =
                        load("[{\"slug\": \"a\", \"cpu_percent\": 1.5, \"memory_used\": 1024},"
                             " {\"slug\": \"b\", \"cpu_percent\": 2.0, \"memory_used\": 1024}]");
        _cleanup_free_ char *text = NULL;

        ASSERT_OK(top_summarize(rows, "instance", &text));
        ck_assert_str_eq(text, "2 instances, CPU 3.5%, memory 2.0K");
}
END_TEST

TESTS("top", rates_are_of_the_time_between_two_readings, what_is_not_known_stays_unknown,
                the_largest_come_first_and_the_unknown_last, sizes_are_short, the_summary_adds_up)
