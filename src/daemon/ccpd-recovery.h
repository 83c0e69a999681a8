/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Brings instances back: after a start of the Engine all that should run, and with the setting 'repair' those whose
 * containers somebody stopped or removed. All it does is to make jobs, as an administrator would; the records say how
 * far it is, so a ccpd that dies in the middle goes on. */

#include <systemd/sd-bus.h>

#include "records.h"

typedef struct Manager Manager;
typedef struct Instance Instance;
typedef struct Job Job;
typedef struct Recovery Recovery;

int recovery_new(Manager *m, Recovery **ret);
Recovery *recovery_free(Recovery *q);

/* Takes what the records have of the last one; NULL: there was none. */
void recovery_set_record(Recovery *q, RecoveryRecord *record);
/* The Engine came, went, or is another one. */
void recovery_engine_changed(Recovery *q);
/* All of its containers were told. */
void recovery_list_taken(Recovery *q);
/* Something changed: looks anew, soon. */
void recovery_queue(Recovery *q);
/* A job is at its end. */
void recovery_job_ended(Recovery *q, const Job *j);

/* Whether ccpd itself made the job. */
bool job_is_own(const Job *j);
/* True while Docker is about to be stopped: its instances are stopped before it, and that is nobody's fault. */
bool recovery_is_closing(const Recovery *q);
/* Whether it is still to be brought back after a start of the Engine: others are before it. */
bool recovery_awaits(const Recovery *q, const Instance *i);
/* Whether the Engine is there, and what its start has left to be brought back is known, by recovery_awaits(). */
bool recovery_is_ready(const Recovery *q);
/* Whether somebody is at work on it, or will be before others that can wait; also while Docker is away. */
bool instance_is_busy(const Instance *i);
/* When the next attempt to bring it back begins (realtime), 0: none will. */
usec_t recovery_next_of(const Recovery *q, const Instance *i);
/* What is done about drift of an instance, by its own setting or the fleet's. */
bool instance_is_repaired(const Instance *i);

/* Appends a{sv}: the last recovery, or the one that goes on, for who may see the whole fleet. */
int recovery_append(sd_bus_message *reply, const Recovery *q, bool visible);
