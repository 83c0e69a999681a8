/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* ccp-measure: records what instances take of the disk. Run by a timer; ccpd itself neither walks over folders nor
 * talks to the Engine. */

#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

#include "docker-df.h"
#include "fd-util.h"
#include "log.h"
#include "store-use.h"
#include "string-util.h"
#include "strv.h"
#include "use-folder.h"

/* The Engine walks over all volumes and containers before it answers. */
#define DF_TIMEOUT_USEC (20 * USEC_PER_MINUTE)
#define STORE_PATIENCE_USEC (1 * USEC_PER_MINUTE)

/* A return value: it could not be done now. */
#define MEASURE_LATER 1

static const char *arg_docker_socket = NULL;
static const char *arg_instances = CCP_INSTANCES_DIR;

static void help(void) {
        (void) printf("%s [OPTION…]\n\n"
                      "Records what instances take of the disk.\n\n"
                      "  -h --help                 Show this help\n"
                      "     --version              Show the version\n"
                      "     --docker-socket=PATH   The Docker Engine's socket (%s)\n"
                      "     --instances=PATH       The folder with the instances' folders (%s)\n",
                        program_invocation_short_name, CCP_DOCKER_SOCKET, CCP_INSTANCES_DIR);
}

/* Returns 1 to go on, 0 to end well. */
static int parse_argv(int argc, char *argv[]) {
        enum { ARG_VERSION = 0x100, ARG_DOCKER_SOCKET, ARG_INSTANCES };
        static const struct option options[] = {
                { "help", no_argument, NULL, 'h' },
                { "version", no_argument, NULL, ARG_VERSION },
                { "docker-socket", required_argument, NULL, ARG_DOCKER_SOCKET },
                { "instances", required_argument, NULL, ARG_INSTANCES },
                {},
        };
        int c;

        while ((c = getopt_long(argc, argv, "h", options, NULL)) >= 0)
                switch (c) {
                case 'h':
                        help();
                        return 0;
                case ARG_VERSION:
                        (void) printf("ccp-measure %s\n", CCP_VERSION);
                        return 0;
                case ARG_DOCKER_SOCKET:
                        arg_docker_socket = optarg;
                        break;
                case ARG_INSTANCES:
                        arg_instances = optarg;
                        break;
                default:
                        return -EINVAL;
                }

        if (optind < argc)
                return log_error_errno(EINVAL, "ccp-measure takes no arguments.");

        return 1;
}

/* What is away is told by others, and the timer comes again; all else is a failure. */
static int fail(int r, const Error *e) {
        if (streq_ptr(e->name, CCP_ERROR_ENGINE_UNAVAILABLE) ||
                        streq_ptr(e->name, CCP_ERROR_STORE_UNAVAILABLE)) {
                log_notice("Not measured: %s", e->message);
                return MEASURE_LATER;
        }
        log_error("%s", e->message);
        return r;
}

/* An instance whose folder is not there yet, or gone, takes none. */
static int measure_folders(char *const *instances, DiskRecords *records) {
        _cleanup_close_ int fd = -EBADF;
        int r;

        fd = open(arg_instances, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
                return log_error_errno(errno, "Cannot open '%s': %m", arg_instances);

        for (char *const *i = instances; i && *i; i += 2) {
                FolderSize size;

                r = folder_measure(fd, i[1], &size);
                if (r < 0) {
                        if (r != -ENOENT)
                                log_warning_errno(
                                                r, "Cannot measure the folder of '%s', ignoring: %m", i[1]);
                        continue;
                }
                r = disk_records_add(records, i[0], DISK_FOLDER, "", size.bytes, !size.incomplete);
                if (r < 0)
                        return log_oom();
        }
        return 0;
}

static int measure_engine(DiskRecords *records) {
        const DockerOptions options = {
                .socket = arg_docker_socket,
                .timeout = DF_TIMEOUT_USEC,
                .body_max = DOCKER_DF_BODY_MAX,
        };
        _cleanup_docker_ Docker *d = NULL;
        _cleanup_docker_df_ DockerDf df = {};
        _cleanup_error_ Error e = {};
        int r;

        r = docker_new(&options, &d);
        if (r < 0)
                return log_error_errno(r, "Cannot set up the way to the Docker Engine: %m");
        r = docker_read_df(d, &df, &e);
        if (r < 0)
                return fail(r, &e);

        FOREACH_ARRAY(i, df.items, df.n) {
                r = disk_records_add(records, i->instance,
                                i->kind == DOCKER_VOLUME ? DISK_VOLUME : DISK_CONTAINER, i->name, i->bytes,
                                /* complete= */ true);
                if (r < 0)
                        return log_oom();
        }
        return 0;
}

static int record(DbSync *db, const DiskRecords *records, const char *const *kinds) {
        _cleanup_error_ Error e = {};
        int r;

        r = disk_replace(db, records, kinds, &e);
        return r < 0 ? fail(r, &e) : 0;
}

/* What could not be measured keeps its earlier records, and the rest is new. */
static int measure(DbSync *db, char *const *instances) {
        static const char *const folder_kinds[] = { "folder", NULL },
                                 *const engine_kinds[] = { "container", "volume", NULL };
        _cleanup_disk_records_ DiskRecords folders = {}, others = {};
        int r, k;

        r = measure_folders(instances, &folders);
        if (r >= 0)
                r = record(db, &folders, folder_kinds);

        k = measure_engine(&others);
        if (k == 0)
                k = record(db, &others, engine_kinds);
        return MIN(r, k);
}

static int run(void) {
        _cleanup_(db_sync_freep) DbSync *db = NULL;
        _cleanup_strv_free_ char **instances = NULL;
        _cleanup_error_ Error e = {};
        int r;

        r = db_sync_open(&(DbSyncOptions) { .patience = STORE_PATIENCE_USEC }, &db, &e);
        if (r >= 0)
                r = db_sync_check_schema(db, &e);
        if (r >= 0)
                r = disk_list_instances(db, &instances, &e);
        return r < 0 ? fail(r, &e) : measure(db, instances);
}

int main(int argc, char *argv[]) {
        int r;

        log_open();
        r = parse_argv(argc, argv);
        if (r <= 0)
                return r < 0 ? 2 : EXIT_SUCCESS;

        return run() < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
