/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Starts the workers that deliver alerts, one for each channel, when their queues have something that is due, and again
 * when they have ended and there is more. */

#include "alert.h"

typedef struct Manager Manager;
typedef struct AlertQueue AlertQueue;

int alert_queue_new(Manager *m, AlertQueue **ret);
AlertQueue *alert_queue_free(AlertQueue *q);
DEFINE_CLEANUP_FUNC(AlertQueue *, alert_queue_free);

/* Asks the records what is due when; with 'hurry', what waits for another attempt is due now. Nothing is done while the
 * records are away: that they are back is an event. */
void alert_queue_look(AlertQueue *q, bool hurry);
/* The same, without belief in what is known of the workers. */
void alert_queue_look_anew(AlertQueue *q);
/* A unit ended; NULL: which ones is not known. */
void alert_queue_note_unit(AlertQueue *q, const char *unit);
