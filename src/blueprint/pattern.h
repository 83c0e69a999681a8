/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* POSIX extended regular expressions that must match a whole value. Those whose automaton would be huge, or
 * whose matching can take exponential time, are refused before they are compiled. */

#include "ccp/macro.h"

/* NULL if the pattern can be used, else why not, as a sentence without its full stop; static. */
const char *pattern_find_fault(const char *pattern);
/* 1 if all of s matches, 0 if not, -EINVAL for a pattern with a fault, -ENOMEM. */
int pattern_matches(const char *pattern, const char *s);
