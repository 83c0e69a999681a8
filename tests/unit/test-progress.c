/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "progress.h"

#include "alloc-util.h"
#include "string-util.h"
#include "terminal.h"
#include "test.h"

#define START UINT64_C(1000000000)

/* A job of 'n' steps, of which those before 'current' (1-based) are done and that one runs for 5 s. */
static json_t *make_job(int n, int current) {
        json_t *steps = json_array();

        for (int i = 1; i <= n; i++)
                ck_assert_int_eq(
                                json_array_append_new(steps,
                                                json_pack("{s:i, s:s, s:s, s:I, s:I, s:s, s:s}", "number", i,
                                                                "name", "step", "state",
                                                                i < current                    ? "done"
                                                                                : i == current ? "running"
                                                                                               : "pending",
                                                                "started_at",
                                                                (json_int_t) (i <= current ? START : 0),
                                                                "finished_at",
                                                                (json_int_t) (i < current ? START + 2000000
                                                                                          : 0),
                                                                "title",
                                                                i == current ? "The running one" : "Another",
                                                                "detail", "")),
                                0);

        return json_pack("{s:s, s:s, s:o, s:i, s:f, s:s, s:I}", "id", "7", "state", "running", "steps",
                        steps, "step", current, "progress", 0.5, "message", "pulling\x1b[2J", "queued_at",
                        (json_int_t) START);
}

static size_t count_lines(const char *s) {
        size_t n = 0;

        for (; *s; s++)
                n += *s == '\n';
        return n;
}

START_TEST(the_picture_has_steps_times_and_a_bar) {
        _cleanup_json_ json_t *job = make_job(3, 2);
        _cleanup_free_ char *s = NULL;
        size_t n;

        ASSERT_OK(progress_format_live(job, NULL, START + 5 * USEC_PER_SEC, 80, 24, &s, &n));
        ck_assert_uint_eq(n, 4);
        ck_assert_uint_eq(count_lines(s), n);
        ck_assert_ptr_nonnull(strstr(s, "The running one"));
        ck_assert_ptr_nonnull(strstr(s, "5.0s"));
        ck_assert_ptr_nonnull(strstr(s, "2.0s"));
        ck_assert_ptr_nonnull(strstr(s, " 50%"));
}
END_TEST

START_TEST(what_waits_says_for_what) {
        _cleanup_json_ json_t *job = make_job(3, 0);
        _cleanup_free_ char *s = NULL;
        size_t n;

        ck_assert_int_eq(json_object_set_new(job, "state", json_string("waiting")), 0);
        ASSERT_OK(progress_format_live(job, NULL, START + 5 * USEC_PER_SEC, 80, 24, &s, &n));
        ck_assert_uint_eq(n, 4);
        ck_assert_ptr_nonnull(strstr(s, "5.0s  waiting for its turn\n"));
}
END_TEST

START_TEST(bytes_are_told_with_rate_and_time_left) {
        _cleanup_json_ json_t *job = make_job(1, 1);
        _cleanup_free_ char *s = NULL, *without = NULL;

        ck_assert_int_eq(json_object_set_new(job, "message", json_string("folder.tar")), 0);
        without = progress_format_message(job, START);
        ck_assert_str_eq(without, "folder.tar");
        ck_assert_int_eq(json_object_set_new(job, "bytes_done", json_integer(12 << 20)), 0);
        ck_assert_int_eq(json_object_set_new(job, "bytes_total", json_integer(1 << 30)), 0);
        ck_assert_int_eq(json_object_set_new(job, "byte_rate", json_integer(45 << 20)), 0);
        ck_assert_int_eq(json_object_set_new(
                                         job, "expected_end_at", json_integer(START + 200 * USEC_PER_SEC)),
                        0);
        s = progress_format_message(job, START);
        ck_assert_str_eq(s, "folder.tar: 12M of 1.0G, 45M/s, 3min 20s left");
}
END_TEST

START_TEST(messages_cannot_steer_the_terminal) {
        _cleanup_json_ json_t *job = make_job(1, 1);
        _cleanup_free_ char *s = NULL;
        size_t n;

        ASSERT_OK(progress_format_live(job, NULL, START, 80, 24, &s, &n));
        ck_assert_ptr_nonnull(strstr(s, "pulling\\x1b[2J"));
}
END_TEST

START_TEST(a_low_terminal_shows_the_steps_round_the_running_one) {
        for (int current = 1; current <= 13; current++)
                for (size_t rows = 1; rows < 20; rows++) {
                        _cleanup_json_ json_t *job = make_job(13, current);
                        _cleanup_free_ char *s = NULL;
                        size_t n;

                        ASSERT_OK(progress_format_live(job, "A note", START, 80, rows, &s, &n));
                        ck_assert_uint_eq(count_lines(s), n);
                        ck_assert_uint_lt(n, MAX(rows, (size_t) 4));
                        ck_assert_ptr_nonnull(strstr(s, "The running one"));
                }
}
END_TEST

START_TEST(no_line_is_wider_than_the_terminal) {
        for (size_t columns = 10; columns < 120; columns += 7) {
                _cleanup_json_ json_t *job = make_job(3, 2);
                _cleanup_free_ char *s = NULL;
                char *state;
                size_t n;

                ASSERT_OK(progress_format_live(job, "A rather long note about what is going on", START,
                                columns, 24, &s, &n));
                for (char *line = strtok_r(s, "\n", &state); line; line = strtok_r(NULL, "\n", &state))
                        ck_assert_uint_le(text_columns(line), columns);
        }
}
END_TEST

START_TEST(clocks_that_differ_do_no_harm) {
        _cleanup_json_ json_t *job = make_job(3, 2);
        _cleanup_free_ char *s = NULL;
        size_t n;

        ASSERT_OK(progress_format_live(job, NULL, START - 60 * USEC_PER_SEC, 80, 24, &s, &n));
        ck_assert_ptr_nonnull(strstr(s, "50%  0ms"));
}
END_TEST

TESTS("progress", the_picture_has_steps_times_and_a_bar, what_waits_says_for_what,
                bytes_are_told_with_rate_and_time_left, messages_cannot_steer_the_terminal,
                a_low_terminal_shows_the_steps_round_the_running_one, no_line_is_wider_than_the_terminal,
                clocks_that_differ_do_no_harm)
