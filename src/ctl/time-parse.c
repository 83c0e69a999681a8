/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "time-parse.h"

#include <ctype.h>
#include <errno.h>

#include "string-util.h"

#define DIGITS_MAX 12U
/* A thousand years: sums of times stay far below what usec_t holds. */
#define TIME_MAX (365250 * USEC_PER_DAY)

static const struct {
        const char *name;
        usec_t usec;
} units[] = {
        { "", USEC_PER_SEC },
        { "s", USEC_PER_SEC },
        { "sec", USEC_PER_SEC },
        { "second", USEC_PER_SEC },
        { "seconds", USEC_PER_SEC },
        { "m", USEC_PER_MINUTE },
        { "min", USEC_PER_MINUTE },
        { "minute", USEC_PER_MINUTE },
        { "minutes", USEC_PER_MINUTE },
        { "h", USEC_PER_HOUR },
        { "hr", USEC_PER_HOUR },
        { "hour", USEC_PER_HOUR },
        { "hours", USEC_PER_HOUR },
        { "d", USEC_PER_DAY },
        { "day", USEC_PER_DAY },
        { "days", USEC_PER_DAY },
        { "w", 7 * USEC_PER_DAY },
        { "week", 7 * USEC_PER_DAY },
        { "weeks", 7 * USEC_PER_DAY },
        { "M", 2629800 * USEC_PER_SEC },
        { "month", 2629800 * USEC_PER_SEC },
        { "months", 2629800 * USEC_PER_SEC },
        { "y", 31557600 * USEC_PER_SEC },
        { "year", 31557600 * USEC_PER_SEC },
        { "years", 31557600 * USEC_PER_SEC },
};

static const char *skip_blanks(const char *s) {
        return s + strspn(s, " ");
}

/* Between 'min' and 'max' digits at *s. */
static int take_number(const char **s, size_t min, size_t max, uint64_t *ret) {
        uint64_t number = 0;
        size_t n = 0;

        for (; n < max && isdigit((unsigned char) (*s)[n]); n++)
                number = number * 10 + (uint64_t) ((*s)[n] - '0');
        if (n < min || isdigit((unsigned char) (*s)[n]))
                return -EINVAL;

        *s += n;
        *ret = number;
        return 0;
}

static int unit_find(const char *s, size_t n, usec_t *ret) {
        FOREACH_ARRAY(u, units, ELEMENTSOF(units))
                if (strlen(u->name) == n && strncmp(u->name, s, n) == 0) {
                        *ret = u->usec;
                        return 0;
                }

        return -EINVAL;
}

/* "2h", "1h 30min", "90"; up to 'end'. */
static int span_parse(const char *s, const char *end, usec_t *ret) {
        usec_t sum = 0;
        int r;

        s = skip_blanks(s);
        if (s >= end)
                return -EINVAL;

        while (s < end) {
                uint64_t number;
                size_t n = 0;
                usec_t unit;

                r = take_number(&s, 1, DIGITS_MAX, &number);
                if (r < 0)
                        return r;
                s = skip_blanks(s);
                while (s + n < end && isalpha((unsigned char) s[n]))
                        n++;
                r = unit_find(s, n, &unit);
                if (r < 0)
                        return r;
                if (number > TIME_MAX / unit)
                        return -ERANGE;
                sum += number * unit;
                if (sum > TIME_MAX)
                        return -ERANGE;
                s = skip_blanks(s + n);
        }

        *ret = sum;
        return 0;
}

static int time_before(usec_t n, usec_t span, usec_t *ret) {
        if (span > n)
                return -ERANGE;

        *ret = n - span;
        return 0;
}

static int parse_relative(const char *s, usec_t n, usec_t *ret) {
        const char *end = endswith(s, " ago");
        bool later = *s == '+';
        usec_t span;
        int r;

        if (end && IN_SET(*s, '+', '-'))
                return -EINVAL;

        r = span_parse(IN_SET(*s, '+', '-') ? s + 1 : s, end ?: s + strlen(s), &span);
        if (r < 0)
                return r;
        if (!later)
                return time_before(n, span, ret);

        *ret = n + span;
        return 0;
}

static int days_of_month(int year, int month) {
        static const int days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
        bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

        return days[month - 1] + (month == 2 && leap ? 1 : 0);
}

static int take_date(const char **s, struct tm *tm) {
        uint64_t year, month, day;

        if (take_number(s, 4, 4, &year) < 0 || *(*s)++ != '-' || take_number(s, 2, 2, &month) < 0 ||
                        *(*s)++ != '-' || take_number(s, 2, 2, &day) < 0)
                return -EINVAL;
        if (month < 1 || month > 12 || day < 1 || (int) day > days_of_month((int) year, (int) month))
                return -EINVAL;

        tm->tm_year = (int) year - 1900;
        tm->tm_mon = (int) month - 1;
        tm->tm_mday = (int) day;
        return 0;
}

static int take_clock(const char **s, struct tm *tm) {
        uint64_t hour, minute, second = 0;

        if (take_number(s, 2, 2, &hour) < 0 || *(*s)++ != ':' || take_number(s, 2, 2, &minute) < 0)
                return -EINVAL;
        if (**s == ':') {
                (*s)++;
                if (take_number(s, 2, 2, &second) < 0)
                        return -EINVAL;
        }
        if (hour > 23 || minute > 59 || second > 59)
                return -EINVAL;

        tm->tm_hour = (int) hour;
        tm->tm_min = (int) minute;
        tm->tm_sec = (int) second;
        return 0;
}

/* What is left must be a time zone, or nothing. */
static int take_zone(const char *s, struct tm *tm, bool *ret_utc) {
        *ret_utc = streq(s, "Z") || streq(s, " UTC");
        if (*ret_utc || *s == 0)
                return 0;

        tzset();
        for (int i = 0; i < 2; i++)
                if (*s == ' ' && streq(s + 1, tzname[i])) {
                        tm->tm_isdst = i;
                        return 0;
                }

        return -EINVAL;
}

static const char *skip_weekday(const char *s) {
        static const char *const days[] = { "Mon ", "Tue ", "Wed ", "Thu ", "Fri ", "Sat ", "Sun " };

        FOREACH_ARRAY(d, days, ELEMENTSOF(days))
                if (startswith(s, *d))
                        return s + strlen(*d);

        return s;
}

static int time_from_tm(struct tm *tm, bool utc, usec_t *ret) {
        time_t t = utc ? timegm(tm) : mktime(tm);

        if (t < 0 || (usec_t) t > TIME_MAX / USEC_PER_SEC)
                return -ERANGE;

        *ret = (usec_t) t * USEC_PER_SEC;
        return 0;
}

/* Midnight of today in local time, or of some days later. */
static int midnight(usec_t n, int days, struct tm *ret) {
        time_t t = (time_t) (n / USEC_PER_SEC);
        struct tm tm;

        if (!localtime_r(&t, &tm))
                return -ERANGE;

        *ret = (struct tm) {
                .tm_year = tm.tm_year, .tm_mon = tm.tm_mon, .tm_mday = tm.tm_mday + days, .tm_isdst = -1
        };
        return 0;
}

static int parse_absolute(const char *s, usec_t n, usec_t *ret) {
        bool has_date, utc;
        struct tm tm;
        int r;

        s = skip_weekday(s);
        r = midnight(n, 0, &tm);
        if (r < 0)
                return r;

        has_date = strlen(s) > 4 && s[4] == '-';
        if (has_date) {
                r = take_date(&s, &tm);
                if (r < 0)
                        return r;
        }
        if (!has_date || (IN_SET(*s, ' ', 'T') && isdigit((unsigned char) s[1]))) {
                s += has_date ? 1 : 0;
                r = take_clock(&s, &tm);
                if (r < 0)
                        return r;
        }
        r = take_zone(s, &tm, &utc);
        if (r < 0)
                return r;

        return time_from_tm(&tm, utc, ret);
}

static int parse_epoch(const char *s, usec_t *ret) {
        uint64_t number;
        int r;

        r = take_number(&s, 1, DIGITS_MAX, &number);
        if (r < 0)
                return r;
        if (*s != 0)
                return -EINVAL;
        if (number > TIME_MAX / USEC_PER_SEC)
                return -ERANGE;

        *ret = number * USEC_PER_SEC;
        return 0;
}

int time_parse(const char *s, usec_t n, usec_t *ret) {
        static const struct {
                const char *word;
                int days;
        } days[] = {
                { "today", 0 },
                { "yesterday", -1 },
                { "tomorrow", 1 },
        };

        FOREACH_ARRAY(d, days, ELEMENTSOF(days)) {
                struct tm tm;
                int r;

                if (!streq(s, d->word))
                        continue;
                r = midnight(n, d->days, &tm);
                return r < 0 ? r : time_from_tm(&tm, /* utc= */ false, ret);
        }

        if (streq(s, "now")) {
                *ret = n;
                return 0;
        }
        if (*s == '@')
                return parse_epoch(s + 1, ret);
        if (IN_SET(*s, '-', '+') || endswith(s, " ago"))
                return parse_relative(s, n, ret);

        return parse_absolute(s, n, ret);
}
