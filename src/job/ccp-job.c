/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The worker of one job: what ccp-job@ID.service and ccp-transfer@ID.service run. */

#include <errno.h>
#include <getopt.h>
#include <malloc.h>
#include <sodium.h>
#include <stdio.h>
#include <sys/stat.h>

#include "alloc-util.h"
#include "job.h"
#include "log.h"
#include "string-util.h"

static const char *arg_pause_at;

static int show_help(void) {
        printf("ccp-job [OPTIONS…] VERB ID\n\n"
               "Does one job of ccpd. Started by ccpd as ccp-job@ID.service or ccp-transfer@ID.service, not "
               "by hand.\n\n"
               "Verbs:\n"
               "  run ID               Do the job with this number, or go on with it, or undo it\n"
               "  finish ID            Record how the worker of the job died (for ExecStopPost=)\n\n"
               "Options:\n"
               "  -h --help            Show this help\n"
               "     --version         Show the version\n"
               "     --pause-at=STEP   On the job's first attempt, stop (SIGSTOP) after STEP was recorded "
               "as\n"
               "                       running and before it acts; undo-STEP for its undoing. For tests\n\n"
               "Exit status: 0 the end of the job is recorded, or another worker has the job; 75 the worker "
               "was\n"
               "asked to end, and left the job to be resumed; 1 else.\n"
               "See ccpd(8).\n");
        return 0;
}

static int parse_argv(int argc, char *argv[]) {
        enum {
                ARG_VERSION = 0x100,
                ARG_PAUSE_AT,
        };
        static const struct option options[] = {
                { "help", no_argument, NULL, 'h' },
                { "version", no_argument, NULL, ARG_VERSION },
                { "pause-at", required_argument, NULL, ARG_PAUSE_AT },
                {},
        };
        int c;

        while ((c = getopt_long(argc, argv, "h", options, NULL)) >= 0)
                switch (c) {
                case 'h':
                        return show_help();
                case ARG_VERSION:
                        printf("ccp-job %s\n", CCP_VERSION);
                        return 0;
                case ARG_PAUSE_AT:
                        arg_pause_at = optarg;
                        break;
                default:
                        return -EINVAL;
                }

        return 1;
}

static int parse_id(const char *s, uint64_t *ret) {
        char *end;
        unsigned long long id;

        if (!s || s[0] < '1' || s[0] > '9')
                return -EINVAL;

        errno = 0;
        id = strtoull(s, &end, 10);
        if (errno != 0 || *end || id > INT64_MAX)
                return -EINVAL;

        *ret = id;
        return 0;
}

/* Values of secrets pass through JSON; no piece of memory that held some is given back as it is. */
static void free_wiped(void *p) {
        if (p)
                explicit_bzero(p, malloc_usable_size(p));
        free(p);
}

static int run(uint64_t id) {
        _cleanup_job_ Job job;
        int r;

        job_init(&job, id);
        job.pause_at = arg_pause_at;

        r = job_install_signals();
        if (r < 0)
                return log_error_errno(r, "Cannot handle signals: %m");
        if (sodium_init() < 0)
                return log_full(LOG_ERR, EIO, "Cannot initialize libsodium.");
        json_set_alloc_funcs(malloc, free_wiped);
        (void) umask(0077);

        r = job_run(&job);
        return r == JOB_LEFT && job.stopped ? JOB_EXIT_STOPPED : r;
}

static int finish(uint64_t id) {
        _cleanup_job_ Job job;

        job_init(&job, id);
        /* Never a reason for the unit to fail once more. */
        (void) job_record_crash(&job, getenv("SERVICE_RESULT"), getenv("EXIT_CODE"), getenv("EXIT_STATUS"));
        return 0;
}

int main(int argc, char *argv[]) {
        uint64_t id;
        int r;

        log_open();

        r = parse_argv(argc, argv);
        if (r <= 0)
                return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;

        if (argc - optind != 2 || parse_id(argv[optind + 1], &id) < 0) {
                log_error("ccp-job wants a verb and the number of a job. See ccp-job --help.");
                return EXIT_FAILURE;
        }

        if (streq(argv[optind], "run"))
                r = run(id);
        else if (streq(argv[optind], "finish"))
                r = finish(id);
        else {
                log_error("ccp-job has no verb '%s'. See ccp-job --help.", argv[optind]);
                r = -EINVAL;
        }

        return r < 0 && r != JOB_LEFT ? EXIT_FAILURE : MAX(r, EXIT_SUCCESS);
}
