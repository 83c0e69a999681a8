/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "pattern.h"

#include <errno.h>
#include <regex.h>
#include <stdlib.h>

#include "string-util.h"

/* How many states the automaton may have, roughly: bounded repetitions are copied out when it is made. */
#define PATTERN_COST_MAX 20000U
#define PATTERN_GROUPS_MAX 16U

/* Skips a bracket expression; s points to '['. Returns NULL if it has no end. */
static const char *skip_bracket(const char *s) {
        s++;
        s += *s == '^';
        s += *s == ']';
        for (; *s && *s != ']'; s++)
                if (s[0] == '[' && s[1] && strchr(".:=", s[1])) {
                        char kind = s[1];

                        for (s += 2; *s && !(s[0] == kind && s[1] == ']'); s++)
                                ;
                        if (!*s)
                                return NULL;
                        s++;
                }

        return *s ? s + 1 : NULL;
}

/* Reads "{m}", "{m,}" or "{m,n}"; s points to '{'. Returns what follows, NULL if it is nothing of these. */
static const char *read_bound(const char *s, unsigned *ret) {
        unsigned long low, high;
        char *end;

        s++;
        if (*s < '0' || *s > '9')
                return NULL;
        low = high = strtoul(s, &end, 10);
        if (*end == ',') {
                s = end + 1;
                if (*s >= '0' && *s <= '9')
                        high = strtoul(s, &end, 10);
                else
                        end++;
        }
        if (*end != '}' || high < low || high > PATTERN_COST_MAX)
                return NULL;

        *ret = (unsigned) MAX(high, 1UL);
        return end + 1;
}

const char *pattern_find_fault(const char *pattern) {
        uint64_t sums[PATTERN_GROUPS_MAX + 1] = {}, last = 0;
        unsigned depth = 0;
        regex_t regex;

        /* sums[depth]: the cost of the group so far; last: that of the piece which a bound would repeat */
        for (const char *s = pattern; *s;) {
                unsigned n = 1;

                if (*s == '\\') {
                        if (!s[1] || (s[1] >= '0' && s[1] <= '9'))
                                return "back references are not supported";
                        s += 2;
                } else if (*s == '[') {
                        s = skip_bracket(s);
                        if (!s)
                                return "a bracket expression has no end";
                } else if (*s == '(') {
                        if (++depth > PATTERN_GROUPS_MAX)
                                return "its groups are nested too deeply";
                        sums[depth] = last = 0;
                        s++;
                        continue;
                } else if (*s == ')' && depth > 0) {
                        last = sums[depth--] + 1;
                        sums[depth] += last;
                        s++;
                        continue;
                } else if (*s == '{') {
                        s = read_bound(s, &n);
                        if (!s)
                                return "a repetition in braces is malformed";
                        sums[depth] += last * (n - 1);
                        last *= n;
                        if (last > PATTERN_COST_MAX || sums[depth] > PATTERN_COST_MAX)
                                return "its repetitions are too large";
                        continue;
                } else if (strchr("*+?", *s)) {
                        s++; /* repeats without copying; a bound behind it repeats the same piece */
                        continue;
                } else
                        s++;

                last = 1;
                sums[depth]++;
        }

        if (regcomp(&regex, pattern, REG_EXTENDED | REG_NOSUB) != 0)
                return "it is no POSIX extended regular expression";

        regfree(&regex);
        return NULL;
}

int pattern_matches(const char *pattern, const char *s) {
        regmatch_t match;
        regex_t regex;
        int r;

        if (pattern_find_fault(pattern))
                return -EINVAL;

        r = regcomp(&regex, pattern, REG_EXTENDED);
        if (r != 0)
                return r == REG_ESPACE ? -ENOMEM : -EINVAL;

        /* The match that counts is the leftmost and of those the longest: if all of s matches, it is all. */
        r = regexec(&regex, s, 1, &match, 0);
        regfree(&regex);
        if (r == REG_ESPACE)
                return -ENOMEM;

        return r == 0 && match.rm_so == 0 && (size_t) match.rm_eo == strlen(s);
}
