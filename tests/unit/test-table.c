/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "alloc-util.h"
#include "string-util.h"
#include "table.h"
#include "test.h"

static const TableColumn columns[] = {
        { "SLUG" },
        { "PORT", .right = true },
        { "NAME", .weight = 2 },
        { "HELP", .weight = 1 },
};

static Table *make_table(const char *const *cells, size_t n) {
        Table *t = table_new(columns, ELEMENTSOF(columns));

        ck_assert_ptr_nonnull(t);
        for (size_t i = 0; i < n; i++)
                ASSERT_OK(table_add(t, cells[i], COLOR_NONE));
        return t;
}

static size_t longest_line(const char *s) {
        _cleanup_free_ char *copy = strdup(s);
        char *state, *line;
        size_t n = 0;

        ck_assert_ptr_nonnull(copy);
        for (line = strtok_r(copy, "\n", &state); line; line = strtok_r(NULL, "\n", &state))
                n = MAX(n, text_columns(line));
        return n;
}

START_TEST(without_a_limit_every_cell_is_whole) {
        static const char *const cells[] = {
                "alpha",
                "80",
                "The first one",
                "x",
                "b",
                "10000",
                "Two",
                "a longer text",
        };
        _cleanup_table_ Table *t = make_table(cells, ELEMENTSOF(cells));
        _cleanup_free_ char *s = NULL;

        ASSERT_OK(table_format(t, 0, true, false, &s));
        ck_assert_str_eq(s,
                        "SLUG    PORT  NAME           HELP\n"
                        "alpha     80  The first one  x\n"
                        "b      10000  Two            a longer text\n");
        ck_assert_uint_eq(table_rows(t), 2);
}
END_TEST

START_TEST(without_a_legend_titles_take_no_room) {
        static const char *const cells[] = { "a", "1", "b", "c" };
        _cleanup_table_ Table *t = make_table(cells, ELEMENTSOF(cells));
        _cleanup_free_ char *s = NULL;

        ASSERT_OK(table_format(t, 0, false, false, &s));
        ck_assert_str_eq(s, "a  1  b  c\n");
}
END_TEST

START_TEST(columns_with_weight_are_cut_to_fit) {
        static const char *const cells[] = {
                "a-slug-that-is-never-cut",
                "12345",
                "A name that is much too long for this",
                "Some longer help text",
        };
        _cleanup_table_ Table *t = make_table(cells, ELEMENTSOF(cells));

        for (size_t width = 52; width <= 100; width++) {
                _cleanup_free_ char *s = NULL;

                ASSERT_OK(table_format(t, width, true, false, &s));
                ck_assert_uint_le(longest_line(s), width);
                ck_assert_ptr_nonnull(strstr(s, "a-slug-that-is-never-cut  12345"));
        }
}
END_TEST

START_TEST(a_terminal_that_is_too_narrow_gets_the_least) {
        static const char *const cells[] = { "a-slug-that-is-never-cut", "1", "A long name",
                "And long help" };
        _cleanup_table_ Table *t = make_table(cells, ELEMENTSOF(cells));
        _cleanup_free_ char *s = NULL;

        ASSERT_OK(table_format(t, 10, false, false, &s));
        ck_assert_ptr_nonnull(strstr(s, "a-slug-that-is-never-cut"));
        ck_assert_ptr_nonnull(strstr(s, "A l"));
}
END_TEST

START_TEST(wide_characters_take_two_columns) {
        static const char *const cells[] = { "東京", "1", "é", "x", "abcd", "2", "y", "z" };
        _cleanup_table_ Table *t = make_table(cells, ELEMENTSOF(cells));
        _cleanup_free_ char *s = NULL;

        terminal_open();
        ASSERT_OK(table_format(t, 0, false, false, &s));
        ck_assert_str_eq(s,
                        "東京  1  é  x\n"
                        "abcd  2  y  z\n");
}
END_TEST

START_TEST(empty_cells_are_dashes_and_control_characters_are_escaped) {
        static const char *const cells[] = { "", "1", "a\x1b[31m\nb", "\xc2\x9b" };
        _cleanup_table_ Table *t = make_table(cells, ELEMENTSOF(cells));
        _cleanup_free_ char *s = NULL;

        ASSERT_OK(table_format(t, 0, false, false, &s));
        ck_assert_str_eq(s, "-  1  a\\x1b[31m\\nb  \\x9b\n");
}
END_TEST

START_TEST(colours_do_not_count_as_columns) {
        _cleanup_table_ Table *t = table_new(columns, 2);
        _cleanup_free_ char *s = NULL;

        ck_assert_ptr_nonnull(t);
        ASSERT_OK(table_add(t, "ab", COLOR_RED));
        ASSERT_OK(table_add(t, "1", COLOR_NONE));
        ASSERT_OK(table_add(t, "abcd", COLOR_NONE));
        ASSERT_OK(table_add(t, "2", COLOR_NONE));
        ASSERT_OK(table_format(t, 0, false, true, &s));
        ck_assert_str_eq(s, "\x1b[0;1;31mab\x1b[0m    1\nabcd  2\n");
}
END_TEST

START_TEST(columns_have_room_for_what_may_come) {
        static const TableColumn wide[] = { { "A", .min = 4 }, { "B", 1, .min = 20 }, { "C" } };
        _cleanup_free_ char *s = NULL, *narrow = NULL;
        _cleanup_table_ Table *t = table_new(wide, ELEMENTSOF(wide));

        ck_assert_ptr_nonnull(t);
        ASSERT_OK(table_add(t, "longer", COLOR_NONE));
        ASSERT_OK(table_add(t, "b", COLOR_NONE));
        ASSERT_OK(table_add(t, "c", COLOR_NONE));
        ASSERT_OK(table_format(t, 0, false, false, &s));
        ck_assert_str_eq(s, "longer  b                     c\n");
        ASSERT_OK(table_format(t, 20, false, false, &narrow));
        ck_assert_str_eq(narrow, "longer  b          c\n");
}
END_TEST

TESTS("table", without_a_limit_every_cell_is_whole, without_a_legend_titles_take_no_room,
                columns_with_weight_are_cut_to_fit, a_terminal_that_is_too_narrow_gets_the_least,
                wide_characters_take_two_columns, empty_cells_are_dashes_and_control_characters_are_escaped,
                colours_do_not_count_as_columns, columns_have_room_for_what_may_come)
