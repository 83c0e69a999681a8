/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <errno.h>

#include "alloc-util.h"
#include "test.h"
#include "time-parse.h"

/* 2026-11-20 12:30:05 UTC, a Friday. */
#define NOW (UINT64_C(1795177805) * USEC_PER_SEC)

static void set_zone(const char *zone) {
        ck_assert_int_eq(setenv("TZ", zone, true), 0);
        tzset();
}

static void assert_time(const char *s, uint64_t seconds) {
        usec_t t;

        ck_assert_msg(time_parse(s, NOW, &t) == 0, "'%s' cannot be read", s);
        ck_assert_msg(t == seconds * USEC_PER_SEC, "'%s' is %llu", s,
                        (unsigned long long) (t / USEC_PER_SEC));
}

START_TEST(dates_and_times_are_local) {
        set_zone("UTC");
        assert_time("2026-11-20", 1795132800);
        assert_time("2026-11-20 12:30", 1795177800);
        assert_time("2026-11-20 12:30:05", 1795177805);
        assert_time("2026-11-20T12:30:05", 1795177805);
        assert_time("12:30:05", 1795177805);
        assert_time("00:00", 1795132800);
        assert_time("2024-02-29", 1709164800);
        assert_time("1970-01-01", 0);

        set_zone("CET-1CEST,M3.5.0,M10.5.0/3");
        assert_time("2026-11-20 13:30:05", 1795177805);
        assert_time("2026-07-01 02:00", 1782864000);
        assert_time("13:30:05", 1795177805);
        assert_time("2026-11-20 12:30:05 UTC", 1795177805);
        assert_time("2026-11-20T12:30:05Z", 1795177805);
}
END_TEST

START_TEST(what_we_print_can_be_pasted) {
        set_zone("CET-1CEST,M3.5.0,M10.5.0/3");
        assert_time("Fri 2026-11-20 13:30:05 CET", 1795177805);
        /* The hour that there is twice. */
        assert_time("Sun 2026-10-25 02:30:00 CEST", 1792888200);
        assert_time("Sun 2026-10-25 02:30:00 CET", 1792891800);
}
END_TEST

START_TEST(words_are_about_today) {
        set_zone("UTC");
        assert_time("now", 1795177805);
        assert_time("today", 1795132800);
        assert_time("yesterday", 1795046400);
        assert_time("tomorrow", 1795219200);

        /* Where it is the day after already. */
        set_zone("FAR-14");
        assert_time("today", 1795168800);
}
END_TEST

START_TEST(spans_count_from_now) {
        assert_time("-2h", 1795177805 - 7200);
        assert_time("-2 hours", 1795177805 - 7200);
        assert_time("-1h30min", 1795177805 - 5400);
        assert_time("-1h 30 min 5s", 1795177805 - 5405);
        assert_time("-90", 1795177805 - 90);
        assert_time("+10min", 1795177805 + 600);
        assert_time("3 days ago", 1795177805 - 3 * 86400);
        assert_time("2w ago", 1795177805 - 14 * 86400);
        assert_time("@1795177805", 1795177805);
}
END_TEST

START_TEST(nonsense_is_refused) {
        static const char *const bad[] = {
                "",
                " ",
                "-",
                "+",
                "ago",
                " ago",
                "soon",
                "2026",
                "2026-",
                "2026-11",
                "2026-13-01",
                "2026-00-01",
                "2026-02-29",
                "2026-04-31",
                "2026-11-20 ",
                "2026-11-20 24:00",
                "2026-11-20 12:60",
                "2026-11-20 12",
                "2026-11-20 12:30:60",
                "2026-11-20 12:30:05 MARS",
                "2026-11-20x",
                "26-11-20",
                "2026-1-2",
                "1:2",
                "12:3",
                "-2 fortnights",
                "-h",

                "-2h ago",
                "2h",
                "+-2h",
                "--2h",
                "@",
                "@-1",
                "@1.5",
                "@1 s",
                "today 12:00",
                "２026-11-20",
                "2026-11-20 12:30:05  UTC",
        };
        usec_t t;

        set_zone("UTC");
        FOREACH_ARRAY(s, bad, ELEMENTSOF(bad))
                ck_assert_msg(time_parse(*s, NOW, &t) == -EINVAL, "'%s' is taken", *s);
}
END_TEST

START_TEST(times_too_far_away_are_refused) {
        static const char *const far[] = { "-100 years", "1969-12-31", "@999999999999", "+2000y",
                "-999999999999y", "+999y 999y" };
        usec_t t;

        set_zone("UTC");
        FOREACH_ARRAY(s, far, ELEMENTSOF(far))
                ck_assert_msg(time_parse(*s, NOW, &t) == -ERANGE, "'%s' is taken", *s);
        ASSERT_ERROR(time_parse("-9999999999999h", NOW, &t), EINVAL);
}
END_TEST

TESTS("time-parse", dates_and_times_are_local, what_we_print_can_be_pasted, words_are_about_today,
                spans_count_from_now, nonsense_is_refused, times_too_far_away_are_refused)
