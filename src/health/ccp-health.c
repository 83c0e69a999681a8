/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* ccp-health: one sweep over the fleet, what ccp-health.service runs. */

#include <errno.h>
#include <getopt.h>
#include <stdio.h>

#include "alloc-util.h"
#include "log.h"
#include "sweep.h"

/* A PostgreSQL that is restarted is waited for so long; one that is away is there for a later sweep. */
#define STORE_PATIENCE_USEC (5 * USEC_PER_SEC)

static int help(void) {
        printf("ccp-health [OPTIONS…]\n\n"
               "Looks once at all instances of ccpd, and records how they are. Started by\n"
               "ccp-health@INTERVAL.timer and by ccpd as ccp-health.service.\n\n"
               "  -h --help            Show this help\n"
               "     --version         Show the version\n\n"
               "Exit status: 0 it is recorded, or PostgreSQL is away, or another sweep goes on; 1 else.\n"
               "See ccpd(8).\n");
        return 0;
}

/* Returns 1 to go on, 0 to end well. */
static int parse_argv(int argc, char *argv[]) {
        enum {
                ARG_VERSION = 0x100,
        };
        static const struct option options[] = {
                { "help", no_argument, NULL, 'h' },
                { "version", no_argument, NULL, ARG_VERSION },
                {},
        };
        int c;

        while ((c = getopt_long(argc, argv, "h", options, NULL)) >= 0)
                switch (c) {
                case 'h':
                        return help();
                case ARG_VERSION:
                        printf("ccp-health %s\n", CCP_VERSION);
                        return 0;
                default:
                        return -EINVAL;
                }

        if (optind < argc) {
                log_error("ccp-health takes no arguments.");
                return -EINVAL;
        }

        return 1;
}

static int run(Error *reterr) {
        _cleanup_(db_sync_freep) DbSync *db = NULL;
        _cleanup_sweep_result_ SweepResult result = {};
        _cleanup_docker_ Docker *docker = NULL;
        usec_t begin = now(CLOCK_MONOTONIC);
        int r;

        r = docker_new(NULL, &docker);
        if (r < 0)
                return error_set_errnof(reterr, r, "Cannot make a client of the Docker Engine: %m");
        r = db_sync_open(&(DbSyncOptions) { .patience = STORE_PATIENCE_USEC }, &db, reterr);
        if (r >= 0)
                r = db_sync_check_schema(db, reterr);
        if (r >= 0)
                r = sweep_run(db, docker, &(SweepOptions) {}, &result, reterr);
        if (r < 0)
                return r;

        /* Every half minute the same would be no news. */
        if (error_is_set(&result.error))
                (void) log_full(result.error_is_new ? LOG_WARNING : LOG_DEBUG, 0,
                                "The instances could not be looked at: %s", result.error.message);
        else if (result.recovered)
                log_notice("The instances can be looked at again.");
        log_debug("Looked at %zu instances, %zu services, %zu probes in %s.", result.n_instances,
                        result.n_services, result.n_probes, FORMAT_TIMESPAN(now(CLOCK_MONOTONIC) - begin));
        return 0;
}

int main(int argc, char *argv[]) {
        _cleanup_error_ Error error = {};
        int r;

        log_open();
        r = parse_argv(argc, argv);
        if (r <= 0)
                return r < 0 ? 2 : EXIT_SUCCESS;

        r = run(&error);
        if (r >= 0)
                return EXIT_SUCCESS;

        /* ccpd has said so, and the next sweep is near. */
        if (IN_SET(r, -EHOSTDOWN, -EBUSY)) {
                log_info("Nothing was looked at: %s", error.message);
                return EXIT_SUCCESS;
        }

        log_error("The sweep failed: %s", error.message ?: "out of memory");
        return EXIT_FAILURE;
}
