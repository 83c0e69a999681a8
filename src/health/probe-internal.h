/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the kinds of probes have in common: each is begun, is told when something happened to it, and says
 * when it has ended. */

#include <arpa/inet.h>
#include <curl/curl.h>

#include "docker-frame.h"
#include "docker-transfer.h"
#include "probe.h"

typedef struct ProbeRun ProbeRun;
typedef struct ProbeLoop ProbeLoop;

/* Returns 1 when the probe has ended, 0 when it goes on, or a negative errno. */
typedef struct ProbeOps {
        int (*begin)(ProbeRun *run);
        int (*on_transfer)(ProbeRun *run, CURLcode code); /* its transfer has ended */
        int (*on_ready)(ProbeRun *run);                   /* its socket has something for it */
        int (*on_time)(ProbeRun *run);                    /* its time is over */
        void (*end)(ProbeRun *run);                       /* frees what it has of its own; always called */
} ProbeOps;

extern const ProbeOps probe_http_ops, probe_tcp_ops, probe_command_ops;

typedef enum CommandPhase {
        COMMAND_CHECK, /* whether an earlier one goes on */
        COMMAND_CREATE,
        COMMAND_START,
        COMMAND_INSPECT,
} CommandPhase;

/* More of it than anybody reads. */
#define PROBE_OUTPUT_MAX 4096U

struct ProbeRun {
        ProbeLoop *loop;
        Probe *probe;
        const ProbeOps *ops;
        usec_t begun;    /* monotonic */
        usec_t deadline; /* monotonic; then on_time() is called. HTTP has curl's own */

        CURL *easy; /* of the loop, while a transfer goes on */
        struct curl_slist *headers, *connect_to;
        char message[CURL_ERROR_SIZE];
        size_t n_body;

        int fd; /* of TCP */
        bool connected;

        CommandPhase phase;
        DockerTransfer transfer;
        char *exec_id;
        FrameParser frames;
        bool raw; /* what it wrote is no frames: a message of the Engine's */
        char *output;
        size_t n_output;
};

/* The handle becomes part of the loop until its transfer ends. */
int probe_run_add_transfer(ProbeRun *run);
Docker *probe_run_docker(const ProbeRun *run);

/* Ends a probe: each returns 1, or -ENOMEM. */
int probe_run_good(ProbeRun *run, usec_t latency);
int probe_run_bad(ProbeRun *run, const char *format, ...) _printf_(2, 3);
int probe_run_unknown(ProbeRun *run);

/* Where a service listens that is bound to all addresses. */
const char *probe_address(const Probe *p);
