/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* How far a job is, told to those who watch: to ccpd by datagrams, to PID 1 as STATUS= and as watchdog pings.
 * All of it may be lost without harm, since the truth is in the records: nothing here fails or blocks. */

#include "byte-meter.h"
#include "job-kind.h"
#include "time-util.h"

typedef struct Progress {
        int fd;
        const char *socket_path;
        uint64_t job;
        JobKind kind;
        size_t step;
        unsigned percent;
        char message[JOB_MESSAGE_MAX];
        ByteMeter meter; /* of what is at work, if that is counted in bytes */
        bool pending;
        usec_t sent_at, pinged_at;
} Progress;

/* socket_path NULL: CCP_NOTIFY_SOCKET; it must stay. A socket that can't be made leaves only PID 1 to be
 * told. */
void progress_init(Progress *p, const char *socket_path, uint64_t job, JobKind kind);
void progress_done(Progress *p);
#define _cleanup_progress_ _cleanup_(progress_done)

/* A step (0-based, of job-kind.h) begins; told at once. */
void progress_begin_step(Progress *p, size_t step, const char *title);

/* The current step is 'fraction' (0 to 1) through; negative keeps the percentage, which never falls within a
 * step. NULL keeps the message, of which only the first line counts. Told at most ten times a second; the
 * last one is never lost, it goes with a later progress_tick(). */
void progress_set(Progress *p, double fraction, const char *message);
/* The same of what is counted in bytes; total 0: not known. */
void progress_set_bytes(Progress *p, double fraction, const char *message, uint64_t done, uint64_t total);

/* Tells what is still to be told, if it is time, and pings the watchdog. Cheap; for every loop. */
void progress_tick(Progress *p);

/* Tells it at once. */
void progress_flush(Progress *p);
