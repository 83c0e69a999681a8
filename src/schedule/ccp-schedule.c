/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* ccp-schedule: notes that a schedule is due. Run by its timer; what is to be done then is up to ccpd, which hears of it now,
 * or when it is there again. */

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

#include "log.h"
#include "schedule.h"
#include "store-schedule.h"
#include "string-util.h"

/* Longer, and PID 1 starts it once more. */
#define STORE_PATIENCE_USEC USEC_PER_MINUTE

static void help(void) {
        (void) printf("%s [OPTION…] EXPRESSION\n\n"
                      "Notes that it is time for what ccpd does by this schedule.\n\n"
                      "  -h --help      Show this help\n"
                      "     --version   Show the version\n",
                        program_invocation_short_name);
}

/* Returns 1 to go on, 0 to end well. */
static int parse_argv(int argc, char *argv[]) {
        enum { ARG_VERSION = 0x100 };
        static const struct option options[] = {
                { "help", no_argument, NULL, 'h' },
                { "version", no_argument, NULL, ARG_VERSION },
                {},
        };
        int c;

        while ((c = getopt_long(argc, argv, "h", options, NULL)) >= 0)
                switch (c) {
                case 'h':
                        help();
                        return 0;
                case ARG_VERSION:
                        (void) printf("ccp-schedule %s\n", CCP_VERSION);
                        return 0;
                default:
                        return -EINVAL;
                }

        if (argc - optind != 1 || !schedule_is_valid(argv[optind]))
                return log_error_errno(EINVAL, "ccp-schedule takes one calendar expression.");
        return 1;
}

static int run(const char *expression) {
        _cleanup_(db_sync_freep) DbSync *db = NULL;
        _cleanup_error_ Error e = {};
        int r;

        r = db_sync_open(&(DbSyncOptions) { .patience = STORE_PATIENCE_USEC }, &db, &e);
        if (r >= 0)
                r = db_sync_check_schema(db, &e);
        if (r >= 0)
                r = schedule_knock(db, expression, &e);
        if (r < 0)
                return log_full(streq_ptr(e.name, CCP_ERROR_STORE_UNAVAILABLE) ? LOG_NOTICE : LOG_ERR, r,
                                "Not noted that '%s' is due: %s", expression, strempty(e.message));
        return 0;
}

int main(int argc, char *argv[]) {
        int r;

        log_open();
        r = parse_argv(argc, argv);
        if (r <= 0)
                return r < 0 ? 2 : EXIT_SUCCESS;

        return run(argv[optind]) < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
