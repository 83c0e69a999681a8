/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* ccp-watch: tells ccpd, which may not talk to the Engine, what the containers of its instances do. */

#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <systemd/sd-daemon.h>

#include "log.h"
#include "watch-engine.h"

static const char *arg_docker_socket = NULL;
static const char *arg_notify_socket = NULL;
static usec_t arg_silence = WATCH_SILENCE_USEC;

static void help(void) {
        (void) printf("%s [OPTION…]\n\n"
                      "Tells ccpd what the containers of its instances do.\n\n"
                      "  -h --help                 Show this help\n"
                      "     --version              Show the version\n"
                      "     --docker-socket=PATH   The Docker Engine's socket (%s)\n"
                      "     --notify-socket=PATH   ccpd's socket (%s)\n"
                      "     --silence=SECONDS      After so long without an event the Engine is asked\n"
                      "                            whether it still answers (%u)\n\n"
                      "Signals: SIGHUP sends the whole list again, SIGTERM ends it.\n",
                        program_invocation_short_name, CCP_DOCKER_SOCKET, CCP_NOTIFY_SOCKET,
                        (unsigned) (WATCH_SILENCE_USEC / USEC_PER_SEC));
}

static int parse_silence(const char *s) {
        unsigned seconds;
        char end;

        if (sscanf(s, "%5u%c", &seconds, &end) != 1 || seconds == 0) {
                log_error("--silence= takes a number of seconds, not '%s'.", s);
                return -EINVAL;
        }

        arg_silence = seconds * USEC_PER_SEC;
        return 0;
}

/* Returns 1 to go on, 0 to end well. */
static int parse_argv(int argc, char *argv[]) {
        enum { ARG_VERSION = 0x100, ARG_DOCKER_SOCKET, ARG_NOTIFY_SOCKET, ARG_SILENCE };
        static const struct option options[] = {
                { "help", no_argument, NULL, 'h' },
                { "version", no_argument, NULL, ARG_VERSION },
                { "docker-socket", required_argument, NULL, ARG_DOCKER_SOCKET },
                { "notify-socket", required_argument, NULL, ARG_NOTIFY_SOCKET },
                { "silence", required_argument, NULL, ARG_SILENCE },
                {},
        };
        int c;

        while ((c = getopt_long(argc, argv, "h", options, NULL)) >= 0)
                switch (c) {
                case 'h':
                        help();
                        return 0;
                case ARG_VERSION:
                        (void) printf("ccp-watch %s\n", CCP_VERSION);
                        return 0;
                case ARG_DOCKER_SOCKET:
                        arg_docker_socket = optarg;
                        break;
                case ARG_NOTIFY_SOCKET:
                        arg_notify_socket = optarg;
                        break;
                case ARG_SILENCE:
                        if (parse_silence(optarg) < 0)
                                return -EINVAL;
                        break;
                default:
                        return -EINVAL;
                }

        if (optind < argc) {
                log_error("ccp-watch takes no arguments.");
                return -EINVAL;
        }

        return 1;
}

static int on_reload(_unused_ sd_event_source *source, _unused_ const struct signalfd_siginfo *si,
                void *userdata) {
        (void) sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%llu", (unsigned long long) now(CLOCK_MONOTONIC));
        watch_engine_start(userdata);
        (void) sd_notify(0, "READY=1");
        return 0;
}

static int prepare_event(sd_event **ret) {
        sigset_t mask;
        int r;

        sigemptyset(&mask);
        sigaddset(&mask, SIGTERM);
        sigaddset(&mask, SIGINT);
        sigaddset(&mask, SIGHUP);
        if (sigprocmask(SIG_BLOCK, &mask, NULL) < 0)
                return -errno;

        r = sd_event_new(ret);
        if (r < 0)
                return r;
        r = sd_event_set_watchdog(*ret, true);
        if (r < 0)
                return r;

        /* Without a handler they end the loop. */
        r = sd_event_add_signal(*ret, NULL, SIGTERM, NULL, NULL);
        if (r < 0)
                return r;
        return sd_event_add_signal(*ret, NULL, SIGINT, NULL, NULL);
}

static int run(sd_event *event) {
        _cleanup_(watch_table_done) WatchTable table = {};
        _cleanup_watch_notify_ WatchNotify *notify = NULL;
        _cleanup_watch_engine_ WatchEngine *engine = NULL;
        int r;

        r = watch_notify_new(event, arg_notify_socket, &table, &notify);
        if (r < 0)
                return log_error_errno(r, "Cannot set up the way to ccpd: %m");
        r = watch_engine_new(event, arg_docker_socket, arg_silence, &table, notify, &engine);
        if (r < 0)
                return log_error_errno(r, "Cannot set up the way to the Docker Engine: %m");
        r = sd_event_add_signal(event, NULL, SIGHUP, on_reload, engine);
        if (r < 0)
                return log_error_errno(r, "Cannot handle SIGHUP: %m");

        watch_engine_start(engine);
        (void) sd_notify(0, "READY=1");
        r = sd_event_loop(event);
        (void) sd_notify(0, "STOPPING=1");
        return r < 0 ? log_error_errno(r, "The event loop failed: %m") : 0;
}

int main(int argc, char *argv[]) {
        sd_event *event = NULL;
        int r;

        log_open();
        r = parse_argv(argc, argv);
        if (r <= 0)
                return r < 0 ? 2 : EXIT_SUCCESS;

        r = prepare_event(&event);
        if (r < 0)
                log_error_errno(r, "Cannot set up the event loop: %m");
        else
                r = run(event);

        sd_event_unref(event);
        return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
