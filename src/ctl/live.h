/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A picture on the terminal that is drawn anew: whenever ccpd tells of a change (--watch), or every few seconds (top). */

#include "ctl-bus.h"
#include "time-util.h"

/* What the verb prints on standard output without --watch. Returns an exit code, or below 0 with the error. */
typedef int (*live_draw_t)(Ctl *c, void *userdata, Error *reterr);

/* Draws until Ctrl-C, which is no failure. While ccpd is away the last picture stays, and says so. With JSON each change is
 * printed below the one before. InvalidArgument where there is no terminal and no JSON. Returns the exit code. */
int live_show(Ctl *c, live_draw_t draw, void *userdata, Error *reterr);
/* The same every 'interval', whatever ccpd tells. */
int live_show_every(Ctl *c, live_draw_t draw, void *userdata, usec_t interval, Error *reterr);

/* The first lines of a text, as many as there are rows, each ended by a sequence that clears the rest of it: for tests. */
int live_clip(const char *text, size_t rows, char **ret);
