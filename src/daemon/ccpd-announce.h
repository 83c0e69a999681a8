/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Tells subscribers what changed: each gets signals of the objects that he may see, with the properties as he sees
 * them. Jobs that are history are forgotten once that is told. */

#include "ccpd-manager.h"

/* A burst of changes of one object is announced as its first one, and then this often. */
#define EMIT_INTERVAL_USEC (50 * USEC_PER_MSEC)

/* Announces what changed, once the loop has nothing else to do: at once, but then no more often than
 * EMIT_INTERVAL_USEC for each object. */
void manager_queue_emit(Manager *m);
/* Announces all of it now: before an answer or a signal that speaks of it. */
void manager_emit_changes(Manager *m);

/* From now on a subscriber is told what changes of the manager's own properties, as he sees them. */
void manager_begin_telling(Manager *m, Caller *c);

/* Tells one subscriber that an object appeared, or is gone, for him. */
void manager_tell_instance(Manager *m, Caller *c, Instance *i, bool appears);
void manager_tell_job(Manager *m, Caller *c, Job *j, bool appears);
