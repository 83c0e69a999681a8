/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* How a job that is waited for is shown on standard error: on a terminal its steps, drawn anew in place;
 * elsewhere a line when a step begins and one when it ends. */

#include "json-util.h"
#include "time-util.h"

typedef struct Progress Progress;

/* NULL: out of memory. */
Progress *progress_new(bool live);
/* Leaves the last picture on the screen and gives the cursor back. */
Progress *progress_free(Progress *p);
DEFINE_CLEANUP_FUNC(Progress *, progress_free);
#define _cleanup_progress_ _cleanup_(progress_freep)

/* Shows the job (an object of its properties) as it is at 'realtime'. */
void progress_update(Progress *p, const json_t *job, usec_t realtime);
/* Shows a sentence: live until it is replaced by NULL, else as a line of its own. Static text. */
void progress_note(Progress *p, const char *note);

/* Since when the job is at work, or else waits (realtime). */
usec_t progress_since(const json_t *job);
/* The state of the job, as it is told to people. */
const char *progress_state(const json_t *job);
/* What the job does right now, and how far that is: "folder.tar: 12M of 1.2G, 45M/s, 3min 20s left". "" if that is not told; NULL:
 * out of memory. */
char *progress_format_message(const json_t *job, usec_t realtime);

/* The picture, or the new lines, as text: for tests. 0 or -ENOMEM. */
int progress_format_live(const json_t *job, const char *note, usec_t realtime, size_t columns, size_t rows,
                char **ret, size_t *ret_lines);
