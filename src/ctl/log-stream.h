/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Lines of the logs of an instance, as ccpd hands them out: through a descriptor, or in pages where none can come. */

#include "ctl.h"

/* Which lines are wanted. Strings are borrowed. */
typedef struct LogQuery {
        const char *slug;
        char **services;     /* NULL-terminated */
        uint64_t lines;      /* of the newest; LINES_ALL */
        usec_t since, until; /* 0 and USEC_INFINITY: any */
        const char *pattern; /* NULL: any */
        bool all, follow;
} LogQuery;

/* Has each line shown, in the order of their times; with 'follow' for ever, over restarts of ccpd. Ends early when
 * standard output cannot be written. 0 or a negative errno. */
int log_stream(Ctl *c, const LogQuery *q, int (*show)(Ctl *c, const json_t *entry), Error *reterr);
