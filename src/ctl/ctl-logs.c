/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <errno.h>
#include <signal.h>
#include <unistd.h>

#include "ctl.h"
#include "log-print.h"
#include "log-stream.h"
#include "string-util.h"

#define LINES_DEFAULT 100U

/* Who follows ends it like this: that is no failure. What was printed is flushed already. */
static _noreturn_ void on_interrupt(_unused_ int signal) {
        _exit(EXIT_DONE);
}

static int query_from_arguments(const Ctl *c, char **args, LogQuery *ret, Error *reterr) {
        const Arguments *a = &c->arguments;
        LogQuery q = {
                .slug = args[0],
                .services = args + 1,
                .lines = LINES_DEFAULT,
                .until = USEC_INFINITY,
                .pattern = a->values[OPTION_GREP],
                .all = arguments_have(a, OPTION(ALL)),
                .follow = arguments_have(a, OPTION(FOLLOW)),
        };
        int r;

        r = ctl_read_time(c, OPTION_SINCE, &q.since, reterr);
        if (r >= 0)
                r = ctl_read_time(c, OPTION_UNTIL, &q.until, reterr);
        if (r < 0)
                return r;

        if (q.since > q.until)
                return error_setf(reterr, CCP_ERROR_INVALID_ARGUMENT,
                                "Nothing can be found: --since=%s is not before --until=%s.",
                                strempty(a->values[OPTION_SINCE]), strempty(a->values[OPTION_UNTIL]));
        if (q.follow && q.until != USEC_INFINITY)
                return error_setf(reterr, CCP_ERROR_INVALID_ARGUMENT,
                                "--follow shows what is to come, --until only what was.");

        if (arguments_have(a, OPTION(LINES)))
                q.lines = a->lines;
        else if (q.since > 0)
                q.lines = LINES_ALL;

        *ret = q;
        return 0;
}

int verb_logs(Ctl *c, char **args, Error *reterr) {
        LogQuery q = {};
        int r;

        r = query_from_arguments(c, args, &q, reterr);
        if (r < 0)
                return r;

        if (q.follow)
                (void) signal(SIGINT, on_interrupt);
        r = log_stream(c, &q, log_print, reterr);
        return r < 0 ? r : EXIT_DONE;
}
