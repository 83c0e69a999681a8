/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "schedule.h"

#include <stdio.h>
#include <string.h>

#include "string-util.h"

#define LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define DIGITS "0123456789"
/* Of dates and times, of lists, ranges and repetitions; and of the names of time zones. */
#define EXPRESSION_CHARACTERS LETTERS DIGITS " *,-.:/~+_"
/* What stands for itself in the name of a unit. */
#define UNIT_CHARACTERS LETTERS DIGITS ":_."

static size_t escaped_length(const char *s) {
        size_t n = 0;

        for (const char *p = s; *p; p++)
                n += *p == '/' || (strchr(UNIT_CHARACTERS, *p) && !(*p == '.' && p == s)) ? 1
                                                                                          : STRLEN("\\x00");
        return n;
}

bool schedule_is_valid(const char *s) {
        return !isempty(s) && s[strspn(s, EXPRESSION_CHARACTERS)] == 0 && s[0] != ' ' &&
                        s[strlen(s) - 1] != ' ' &&
                        STRLEN(SCHEDULE_TIMER_PREFIX) + escaped_length(s) + STRLEN(SCHEDULE_TIMER_SUFFIX) <
                        SCHEDULE_UNIT_MAX;
}

const char *schedule_to_timer(const char *expression, char buf[static SCHEDULE_UNIT_MAX]) {
        char *p = stpcpy(buf, SCHEDULE_TIMER_PREFIX);

        assert(schedule_is_valid(expression));

        for (const char *c = expression; *c; c++)
                if (*c == '/')
                        *p++ = '-';
                else if (strchr(UNIT_CHARACTERS, *c) && !(*c == '.' && c == expression))
                        *p++ = *c;
                else
                        p += snprintf(p, STRLEN("\\x00") + 1, "\\x%02x", (unsigned char) *c);
        (void) stpcpy(p, SCHEDULE_TIMER_SUFFIX);
        return buf;
}
