/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Timers of an event loop that are made when they are first needed, and set anew from then on. */

#include <systemd/sd-event.h>

#include "time-util.h"

/* Lets a timer elapse once, at a time (monotonic; USEC_INFINITY: not at all), whatever it was set to before. It is made
 * if *source is NULL; 'accuracy' (0: that of sd-event), 'callback' and 'userdata' are those that it was made with. */
int event_reset_time(sd_event *event, sd_event_source **source, usec_t at, usec_t accuracy,
                sd_event_time_handler_t callback, void *userdata);
/* The same, counted from now. */
int event_reset_time_relative(sd_event *event, sd_event_source **source, usec_t span, usec_t accuracy,
                sd_event_time_handler_t callback, void *userdata);

/* Whether a source (NULL: none) is on: of a timer, whether it is still to elapse. */
bool event_source_is_on(sd_event_source *source);
