/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Regular expressions of Perl's kind, of anybody's making and for text from anywhere: the time that a match may take is
 * limited. */

#include "error.h"

typedef struct LogPattern LogPattern;

/* One without capital letters matches both cases. Fails with InvalidArgument. */
int log_pattern_new(const char *s, LogPattern **ret, Error *reterr);
LogPattern *log_pattern_free(LogPattern *p);
DEFINE_CLEANUP_FUNC(LogPattern *, log_pattern_free);

/* Called every few milliseconds while a match is looked for. A negative errno ends it. */
typedef int (*log_pattern_check_t)(void *userdata);

/* The text is valid UTF-8. Returns 1 if it matches, 0 if not, or what 'check' (NULL: none) returned. A text for which
 * it would take too long to find out counts as one that matches: what is shown too much can be seen, what is left out
 * cannot. */
int log_pattern_matches(LogPattern *p, const char *s, log_pattern_check_t check, void *userdata);
