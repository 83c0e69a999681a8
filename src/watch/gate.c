/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* ccp-gate: sees to it that Docker, when it starts, starts no instance by itself: ccpd does, in stages and a few at a
 * time. Docker has no restart policy for that. But what somebody has stopped it leaves alone; so all instances are
 * stopped right before the Engine is, with the signal and the grace period of each container. That does not help when
 * the power fails: then no container can be started before the gate is open, since the slices of the instances assert
 * that its file is there (ccp-.slice.d). */

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <sys/stat.h>
#include <systemd/sd-bus.h>
#include <unistd.h>

#include "alloc-util.h"
#include "docker-transfer.h"
#include "fd-util.h"
#include "log.h"
#include "process.h"
#include "strv.h"

#define SYSTEMD "org.freedesktop.systemd1"
#define ENGINE_UNIT_PATH "/org/freedesktop/systemd1/unit/docker_2eservice"
/* The unit's own time-out is a little longer. */
#define STOP_TIMEOUT_USEC (4 * USEC_PER_MINUTE)
/* Containers that one command is about. */
#define BATCH_MAX 200U

static const char *arg_docker_socket = CCP_DOCKER_SOCKET;

static void help(void) {
        (void) printf("%s [OPTION…] open|close\n\n"
                      "Opens the gate that instances start through, or closes it and stops them.\n\n"
                      "  -h --help                 Show this help\n"
                      "     --version              Show the version\n"
                      "     --docker-socket=PATH   The Docker Engine's socket (%s)\n\n"
                      "close: stops nothing unless docker.service is being stopped or restarted.\n",
                        program_invocation_short_name, CCP_DOCKER_SOCKET);
}

static int parse_argv(int argc, char *argv[]) {
        enum { ARG_VERSION = 0x100, ARG_DOCKER_SOCKET };
        static const struct option options[] = {
                { "help", no_argument, NULL, 'h' },
                { "version", no_argument, NULL, ARG_VERSION },
                { "docker-socket", required_argument, NULL, ARG_DOCKER_SOCKET },
                {},
        };
        int c;

        while ((c = getopt_long(argc, argv, "h", options, NULL)) >= 0)
                switch (c) {
                case 'h':
                        help();
                        return 0;
                case ARG_VERSION:
                        (void) printf("ccp-gate %s\n", CCP_VERSION);
                        return 0;
                case ARG_DOCKER_SOCKET:
                        arg_docker_socket = optarg;
                        break;
                default:
                        return -EINVAL;
                }

        if (optind + 1 != argc)
                return log_full(LOG_ERR, -EINVAL, "ccp-gate takes one word: open or close.");
        return 1;
}

static int gate_open(void) {
        _cleanup_close_ int fd = -EBADF;

        fd = open(CCP_GATE, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
        if (fd < 0)
                return log_error_errno(errno, "Cannot make " CCP_GATE ": %m");

        return 0;
}

/* Copies a property of the manager, or of the Engine's unit or its job; NULL if it can't be had. */
static char *get_property(sd_bus *bus, const char *path, const char *interface, const char *property) {
        char *value = NULL;

        if (sd_bus_get_property_string(bus, SYSTEMD, path, interface, property, NULL, &value) < 0)
                return NULL;
        return value;
}

typedef enum Why {
        WHY_NONE, /* the Engine stays */
        WHY_STOP,
        WHY_SHUTDOWN,
} Why;

/* What is about to happen to the Engine: it stops after us, so it has a job that waits. Where nobody can be asked, the
 * machine goes down. */
static Why why_close(void) {
        _cleanup_(sd_bus_flush_close_unrefp) sd_bus *bus = NULL;
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        _cleanup_free_ char *system = NULL, *type = NULL;
        const char *job;
        uint32_t id;

        if (sd_bus_open_system(&bus) < 0)
                return WHY_SHUTDOWN;
        system = get_property(bus, "/org/freedesktop/systemd1", SYSTEMD ".Manager", "SystemState");
        if (!system || streq(system, "stopping"))
                return WHY_SHUTDOWN;

        if (sd_bus_get_property(bus, SYSTEMD, ENGINE_UNIT_PATH, SYSTEMD ".Unit", "Job", NULL, &m, "(uo)") <
                                        0 ||
                        sd_bus_message_read(m, "(uo)", &id, &job) < 0 || id == 0)
                return WHY_NONE;
        type = get_property(bus, job, SYSTEMD ".Job", "JobType");
        return type && (streq(type, "stop") || streq(type, "restart")) ? WHY_STOP : WHY_NONE;
}

/* An Engine that keeps containers over its own restart needs no help. */
static bool keeps_containers(Docker *d) {
        _cleanup_json_ json_t *info = NULL;

        return docker_call(d, "GET", "/info", &info, NULL) >= 0 &&
                        json_is_true(json_object_get(info, "LiveRestoreEnabled"));
}

static bool runs(const DockerObject *o) {
        return IN_SET(o->state, CONTAINER_RUNNING, CONTAINER_PAUSED, CONTAINER_RESTARTING);
}

static int stop_batch(const DockerObject *containers, size_t n) {
        _cleanup_process_result_ ProcessResult result = {};
        _cleanup_strv_free_ char **argv = NULL;
        int r;

        r = strv_extend(&argv, "docker");
        if (r >= 0)
                r = strv_extendf(&argv, "--host=unix://%s", arg_docker_socket);
        if (r >= 0)
                r = strv_extend(&argv, "stop");
        FOREACH_ARRAY(o, containers, n)
                if (r >= 0)
                        r = strv_extend(&argv, o->id);
        if (r < 0)
                return r;

        r = process_run(argv, &(ProcessOptions) { .stdin_fd = -EBADF, .timeout = STOP_TIMEOUT_USEC },
                        &result);
        return r < 0 ? r : result.status != 0 ? -EIO : 0;
}

/* One that ended by itself, and is gone, is none that could not be stopped. */
static bool any_runs(Docker *d, char *const *labels, const DockerObject *containers, size_t n) {
        _cleanup_docker_objects_ DockerObjects list = {};

        if (docker_list(d, DOCKER_CONTAINER, labels, &list, NULL) < 0)
                return true;
        FOREACH_ARRAY(o, list.items, list.n)
                FOREACH_ARRAY(c, containers, n)
                        if (runs(o) && streq(o->id, c->id))
                                return true;
        return false;
}

/* The program stops those that it is told of all at once. What it does not stop, Docker does. */
static void stop_instances(Docker *d) {
        char *const labels[] = { (char *) CCP_LABEL_ID, NULL };
        _cleanup_docker_objects_ DockerObjects list = {};
        _cleanup_error_ Error error = {};
        size_t n = 0;
        int r;

        r = docker_list(d, DOCKER_CONTAINER, labels, &list, &error);
        if (r < 0) {
                log_warning("Cannot stop the instances before Docker stops, it will do so itself: %s",
                                strempty(error.message));
                return;
        }

        /* Those that run come first. */
        FOREACH_ARRAY(o, list.items, list.n)
                if (runs(o)) {
                        DockerObject other = list.items[n];

                        list.items[n++] = *o;
                        *o = other;
                }

        log_info("Docker is being stopped: stopping %zu containers before it.", n);
        for (size_t i = 0; i < n; i += BATCH_MAX) {
                const size_t k = MIN(n - i, (size_t) BATCH_MAX);

                r = stop_batch(list.items + i, k);
                if (r < 0 && any_runs(d, labels, list.items + i, k))
                        log_warning_errno(r,
                                        "Cannot stop all instances before Docker stops, it will do so "
                                        "itself: %m");
        }
}

static int gate_close(void) {
        const DockerOptions options = { .socket = arg_docker_socket };
        _cleanup_docker_ Docker *d = NULL;
        Why why;
        int r;

        if (unlink(CCP_GATE) < 0 && errno != ENOENT)
                log_warning_errno(errno, "Cannot remove " CCP_GATE ": %m");

        why = why_close();
        if (why == WHY_NONE)
                return 0;

        r = docker_new(&options, &d);
        if (r < 0)
                return log_oom();
        if (why == WHY_STOP && keeps_containers(d)) {
                log_info("Docker keeps containers while it is restarted: nothing is stopped.");
                return 0;
        }

        stop_instances(d);
        return 0;
}

int main(int argc, char *argv[]) {
        int r;

        log_open();
        r = parse_argv(argc, argv);
        if (r <= 0)
                return r < 0 ? 2 : EXIT_SUCCESS;

        if (streq(argv[optind], "open"))
                r = gate_open();
        else if (streq(argv[optind], "close"))
                r = gate_close();
        else {
                log_error("ccp-gate takes one word: open or close.");
                return 2;
        }

        return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
