/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Regular expressions of Perl's kind, for text from anywhere: what a match may cost is limited. */

#include "error.h"

typedef struct LogPattern LogPattern;

/* One without capital letters matches both cases. Fails with InvalidArgument. */
int log_pattern_new(const char *s, LogPattern **ret, Error *reterr);
LogPattern *log_pattern_free(LogPattern *p);
DEFINE_CLEANUP_FUNC(LogPattern *, log_pattern_free);

/* The text is valid UTF-8. A text for which it would take too long to find out counts as one that matches: what
 * is shown too much can be seen, what is left out cannot. */
bool log_pattern_matches(LogPattern *p, const char *s);
