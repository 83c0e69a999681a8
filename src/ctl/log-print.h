/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Lines of logs on standard output: for people, or as JSON, one object each. */

#include "ctl.h"

/* Prints an entry as ccpd gives it. 0 or a negative errno. */
int log_print(Ctl *c, const json_t *entry);

/* A copy of text that somebody else wrote, for a terminal: colours are left out, other control characters are
 * \xNN; a tab stays. NULL: out of memory. */
char *log_text_for_people(const char *s);
