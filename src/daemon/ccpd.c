/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* ccpd: the daemon behind org.changemaker.ccp1. It decides, records and tells; the work is done by the units
 * that it starts. Its loop never waits for anything. */

#include <errno.h>
#include <getopt.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <systemd/sd-daemon.h>

#include "ccpd-manager.h"
#include "log.h"

#define LARGE_ALLOCATION (1024 * 1024)

static int help(void) {
        printf("ccpd [OPTIONS…]\n\n"
               "Provisions and keeps Docker Compose instances; reached over the system bus.\n\n"
               "  -h --help     Show this help\n"
               "     --version  Show the version\n\n"
               "See the ccpd(8) man page for details.\n");
        return 0;
}

/* Returns 1 to go on, 0 if all is done, a negative errno for wrong usage. */
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
                        puts("ccpd " CCP_VERSION);
                        return 0;
                default:
                        return -EINVAL;
                }

        if (optind < argc)
                return log_error_errno(EINVAL, "ccpd takes no arguments.");

        return 1;
}

static int on_reload(
                _unused_ sd_event_source *s, _unused_ const struct signalfd_siginfo *si, void *userdata) {
        manager_reload(userdata);
        return 0;
}

static int add_signals(sd_event *event, Manager *m) {
        sigset_t mask;
        int r;

        sigemptyset(&mask);
        sigaddset(&mask, SIGTERM);
        sigaddset(&mask, SIGINT);
        sigaddset(&mask, SIGHUP);
        if (sigprocmask(SIG_BLOCK, &mask, NULL) < 0)
                return -errno;
        (void) signal(SIGPIPE, SIG_IGN);

        r = sd_event_add_signal(event, NULL, SIGTERM, NULL, NULL);
        if (r < 0)
                return r;
        r = sd_event_add_signal(event, NULL, SIGINT, NULL, NULL);
        if (r < 0)
                return r;
        return sd_event_add_signal(event, NULL, SIGHUP, on_reload, m);
}

static int run(int argc, char *argv[]) {
        _cleanup_(sd_event_unrefp) sd_event *event = NULL;
        _cleanup_(manager_freep) Manager *m = NULL;
        int r;

        log_open();

        r = parse_argv(argc, argv);
        if (r <= 0)
                return r;

        umask(0077);

        /* What a huge message took goes back at once: glibc would raise this limit by itself after the first,
         * and keep up to twice as much (mallopt(3)). */
        (void) mallopt(M_MMAP_THRESHOLD, LARGE_ALLOCATION);

        r = sd_event_default(&event);
        if (r < 0)
                return log_error_errno(r, "Failed to make an event loop: %m");

        r = sd_event_set_watchdog(event, true);
        if (r < 0)
                return log_error_errno(r, "Failed to set up the watchdog: %m");

        r = manager_new(event, &m);
        if (r < 0)
                return log_error_errno(r, "Failed to set up the manager: %m");

        r = add_signals(event, m);
        if (r < 0)
                return log_error_errno(r, "Failed to listen for signals: %m");

        r = manager_start(m);
        if (r < 0)
                return r;

        r = sd_event_loop(event);
        (void) sd_notify(/* unset_environment= */ false, "STOPPING=1");
        if (r < 0)
                return log_error_errno(r, "The event loop failed: %m");

        if (r == CCP_EXIT_RESTART)
                return r;
        /* What ended the loop for want of the bus or its name asked for EXIT_FAILURE. */
        return r > 0 ? -EIO : 0;
}

int main(int argc, char *argv[]) {
        int r = run(argc, argv);

        return r < 0 ? EXIT_FAILURE : r;
}
