/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Looks at services from outside: HTTP requests, TCP connections, commands in containers. Any number of them
 * goes on at once, in one loop of curl's; each is bounded in time, and so are all together. */

#include "blueprint.h"
#include "docker.h"

#define PROBE_TIMEOUT_USEC (5 * USEC_PER_SEC)
#define PROBE_COMMAND_TIMEOUT_USEC (10 * USEC_PER_SEC)

typedef enum ProbeOutcome {
        PROBE_UNKNOWN, /* could not be asked: the Engine is away, or there was no time left */
        PROBE_GOOD,
        PROBE_BAD,
} ProbeOutcome;

/* One probe. What it is about is borrowed. */
typedef struct Probe {
        const BlueprintHealth *health; /* of any type but 'container' */
        const char *address;           /* http, https, tcp: where; NULL: "127.0.0.1" */
        uint16_t port;                 /* the number behind health->port */
        const char *host;              /* http, https: health->host, rendered; NULL: address and port */
        const char *container;         /* command: the id */
        const char *running_exec;      /* command: that of an earlier probe that had not ended; NULL: none */
        bool wants_output;             /* command: 'output' is wanted */

        ProbeOutcome outcome;
        char *reason; /* of PROBE_BAD: goes after the service's name, "answers 502 instead of 200 to GET /" */
        usec_t begun_at; /* realtime */
        usec_t latency;  /* until the answer was there; 0: there was none */
        int status;      /* command: its exit code; -1: it has none */
        char *output;    /* command: the last of both its outputs, printable. What it says is the tenant's */
        char *exec;      /* command: the one that had not ended when its time was over; NULL: none */
} Probe;

void probe_done(Probe *p);

typedef struct ProbeOptions {
        Docker *docker;  /* for commands; its time-out is left alone */
        usec_t deadline; /* monotonic: what has not ended by then is PROBE_UNKNOWN; 0: none */
        /* Called at least once a second; a negative return ends all and is returned. May be NULL. */
        int (*poll)(void *userdata);
        void *userdata;
} ProbeOptions;

/* Runs all of them. 0, or a negative errno if nothing more can be found out: then none of them has a
 * meaning. */
int probes_run(const ProbeOptions *options, Probe *probes, size_t n);

/* So long may so many probes take, of which n_commands are commands. */
usec_t probes_timeout(size_t n, size_t n_commands);
