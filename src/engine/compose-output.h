/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What docker compose writes: how far it is, and why it failed. Pure. It has no other interface for either:
 * --progress json came with 2.29. */

#include "error.h"
#include "strv.h"

/* Lines and bytes of a failure that go into an error. */
#define COMPOSE_FAILURE_LINES_MAX 5U
#define COMPOSE_FAILURE_TEXT_MAX 1024U

/* Initialize with { .n_expected = number of services that will be worked on }. */
typedef struct ComposeProgress {
        size_t n_expected;
        char **done;     /* containers or services that reached their last state */
        double fraction; /* never falls; negative as long as nothing is known */
        char **failed;   /* pull: "SERVICE" and its reason, in turn */
} ComposeProgress;

void compose_progress_done(ComposeProgress *p);
#define _cleanup_compose_progress_ _cleanup_(compose_progress_done)

/* Takes one line of stderr, without newline. Returns 1 if it tells progress, 0 if it is something else, or
 * -ENOMEM. */
int compose_progress_line(ComposeProgress *p, const char *line);
/* Why a service's image could not be pulled; NULL if that was not said. Borrowed. */
const char *compose_progress_failure(const ComposeProgress *p, const char *service);

typedef struct ComposeFailure {
        const char *name; /* of names.h */
        int error;        /* negative errno */
        unsigned port;    /* that something else listens on, or 0 */
        char *service;    /* that did not start because of its own fault, or NULL … */
        char *container;  /* … or its container's name */
        char *text;       /* the last meaningful lines, in one; empty if there are none */
} ComposeFailure;

void compose_failure_done(ComposeFailure *f);
#define _cleanup_compose_failure_ _cleanup_(compose_failure_done)

/* Reads the reason out of the end of stderr (NUL-terminated). */
int compose_failure_read(const char *text, ComposeFailure *ret);
