/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "schedule.h"

#include "string-util.h"
#include "test.h"

START_TEST(what_can_be_an_expression) {
        static const char *const good[] = { "off", "daily", "hourly", "*-*-* 02:30",
                "Mon..Fri *-*-* 02:30:00", "Sat,Sun 00:00/15", "*-*~07/1", "*-*-* 02:30 Europe/Berlin",
                "2026-01-01 00:00 Etc/GMT+1", "*:0/1:30.5" },
                                 *const bad[] = { "", " daily", "daily ", "daily\n", "a;b", "$HOME", "%i",
                                         "a\\b", "\"x\"", "{}", "ä" };
        char text[SCHEDULE_UNIT_MAX + 1];

        FOREACH_ARRAY(s, good, ELEMENTSOF(good))
                ck_assert_msg(schedule_is_valid(*s), "%s", *s);
        FOREACH_ARRAY(s, bad, ELEMENTSOF(bad))
                ck_assert_msg(!schedule_is_valid(*s), "%s", *s);

        /* As long as a unit's name can be, and no longer. */
        memset(text, 'a', sizeof(text));
        text[255 - STRLEN("ccp-schedule@.timer")] = 0;
        ck_assert(schedule_is_valid(text));
        ck_assert_uint_eq(strlen(schedule_to_timer(text, (char[SCHEDULE_UNIT_MAX]) {})), 255);
        strcat(text, "a");
        ck_assert(!schedule_is_valid(text));
        memset(text, '*', 59);
        text[59] = 0;
        ck_assert(schedule_is_valid(text));
        ck_assert_uint_eq(strlen(schedule_to_timer(text, (char[SCHEDULE_UNIT_MAX]) {})), 255);
        strcat(text, "*");
        ck_assert(!schedule_is_valid(text));
}
END_TEST

/* What systemd-escape(1) gives. */
START_TEST(names_of_units) {
        static const struct {
                const char *expression, *unit;
        } table[] = {
                { "daily", "ccp-schedule@daily.timer" },
                { "*-*-* 02:30", "ccp-schedule@\\x2a\\x2d\\x2a\\x2d\\x2a\\x2002:30.timer" },
                { "Mon..Fri 00/2:00", "ccp-schedule@Mon..Fri\\x2000-2:00.timer" },
                { "*-*~01 12:00 Etc/GMT+1_x",
                                "ccp-schedule@\\x2a\\x2d\\x2a\\x7e01\\x2012:00\\x20Etc-GMT\\x2b1_x.timer" },
                { ".5", "ccp-schedule@\\x2e5.timer" },
        };

        FOREACH_ARRAY(t, table, ELEMENTSOF(table))
                ck_assert_str_eq(schedule_to_timer(t->expression, (char[SCHEDULE_UNIT_MAX]) {}), t->unit);
}
END_TEST

START_TEST(when_it_was_due) {
        static const struct {
                ScheduleTimes times;
                usec_t now, last, two_ago;
                bool awaited;
        } table[] = {
                { {}, 1000, 0, 0, false },
                { { .next = 1100 }, 1000, 0, 0, false },
                { { .knocked = 900, .next = 1100 }, 1000, 900, 0, true },
                { { .before = 800, .knocked = 900, .next = 1000 }, 999, 900, 800, true },
                /* Yet another one would have been due. */
                { { .before = 800, .knocked = 900, .next = 1200 }, 1001, 900, 800, false },
                /* The timer of 1000 did not come, nor that of 1100. */
                { { .before = 800, .knocked = 900, .next = 1000 }, 1001, 1000, 900, false },
                { { .before = 800, .knocked = 900, .next = 1000 }, 1099, 1000, 900, false },
                { { .before = 800, .knocked = 900, .next = 1000 }, 1100, 1000, 1000, false },
                /* It never did: nobody knows how far apart they are. */
                { { .next = 1000 }, 9999, 1000, 0, false },
                /* What PID 1 said is from before the knock; a clock was set back. */
                { { .before = 800, .knocked = 901, .next = 900 }, 950, 901, 800, true },
                { { .before = 800, .knocked = 900 }, 850, 900, 800, true },
                { { .before = 900, .knocked = 800 }, 950, 800, 900, false },
        };

        FOREACH_ARRAY(t, table, ELEMENTSOF(table)) {
                bool awaited;

                ck_assert_uint_eq(schedule_last_due(&t->times, t->now), t->last);
                ck_assert_uint_eq(schedule_two_rounds_ago(&t->times, t->now, &awaited), t->two_ago);
                ck_assert_msg(awaited == t->awaited, "%zu", (size_t) (t - table));
        }
}
END_TEST

static int compare_turns(const void *a, const void *b) {
        return drill_turn_compare(a, b);
}

START_TEST(longest_undrilled_first) {
        static const char *const order[] = { "never-1", "never-2", "oldest", "alpha", "beta", "newest" };
        DrillTurn l[] = { { 300, "newest" }, { 200, "beta" }, { 0, "never-2" }, { 100, "oldest" },
                { 200, "alpha" }, { 0, "never-1" } };

        qsort(l, ELEMENTSOF(l), sizeof(*l), compare_turns);
        for (size_t i = 0; i < ELEMENTSOF(l); i++)
                ck_assert_str_eq(l[i].slug, order[i]);
        ck_assert_int_eq(drill_turn_compare(l, l), 0);
}
END_TEST

TESTS("schedule", what_can_be_an_expression, names_of_units, when_it_was_due, longest_undrilled_first)
