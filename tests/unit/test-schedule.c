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

TESTS("schedule", what_can_be_an_expression, names_of_units)
