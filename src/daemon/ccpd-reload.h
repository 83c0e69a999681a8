/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Keeps the objects in step with the records: reads all of them once the store is there, and again what it, or a
 * failure, says may have changed. */

#include "ccpd-manager.h"

/* Connects to the store, reads the records when it is there, and from then on what it says has changed. */
int manager_follow_records(Manager *m);

/* Reads one record again, and updates or removes its object. Repeats itself if it is asked again meanwhile. */
void manager_reload_job(Manager *m, uint64_t id);
void manager_reload_instance(Manager *m, const char *id);
/* Takes what store_load_job() read: the end of a job is known no sooner than what became of its instance. 0 or -ENOMEM. */
int manager_take_loaded_job(Manager *m, JobRecord **job, InstanceRecord **instance);
/* Forgets those that are under way. */
void manager_forget_reloads(Manager *m);

/* Reads all records and units again in a while: after a failure to read or write some that no lost connection
 * explains, which would be followed by the same. */
void manager_resync_later(Manager *m);
