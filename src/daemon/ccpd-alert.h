/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Alerts: the rules (src/core/alert.h) are judged where something changes, and by one timer where only time does. What
 * fires is in the journal at once, and on record, with what is to be told of it, as soon as the records take it. To tell
 * is up to workers, which are started when there is something due. */

#include "alert.h"
#include "hash.h"
#include "store-alert.h"

typedef struct Manager Manager;
typedef struct Instance Instance;
typedef struct Caller Caller;
typedef struct Alerts Alerts;

typedef struct Alert {
        Alerts *alerts;
        char *key; /* rule, instance and subject */
        UT_hash_handle hh;
        AlertRule rule;
        AlertMachine machine;
        AlertRecord *record;

        bool dirty, writing;               /* not on record yet; on its way there */
        bool tells_firing, tells_resolved; /* with it, these notices */
        bool told_firing, told_resolved;   /* on their way there */
        struct Alert *next;                /* of those that ended and are not on record */
} Alert;

int alerts_new(Manager *m, Alerts **ret);
Alerts *alerts_free(Alerts *a);
DEFINE_CLEANUP_FUNC(Alerts *, alerts_free);

/* What may raise or end an alert: something of an instance, its end, the state of store or engine, the settings. Judged once
 * the loop has nothing else to do. */
void alerts_note_instance(Instance *i);
void alerts_note_removal(const Instance *i);
void alerts_note_host(Manager *m);
void alerts_note_settings(Manager *m);
/* The records were read; the first time, alerts are taken up as they were left. */
void alerts_note_loaded(Manager *m);
/* A unit ended; NULL: which ones is not known. */
void alerts_note_unit(Manager *m, const char *unit);

/* The alerts that fire, in the order in which they began. */
Alert *alerts_first(const Manager *m);
/* The silence that an alert is under, the one that lasts the longest; NULL: none. */
const SilenceRecord *alerts_silence_of(const Manager *m, const AlertRecord *r);
const SilenceRecord *alerts_find_silence(const Manager *m, uint64_t id);
/* Also those that ended not long ago. */
const SilenceRecords *alerts_silences(const Manager *m);
/* Replaces the silences, takes them. */
void alerts_set_silences(Manager *m, SilenceRecords *silences);

bool alert_is_visible(const Manager *m, Caller *viewer, const AlertRecord *a);
/* Those that fire, are not silenced, and that he sees. */
uint32_t alerts_count(const Manager *m, Caller *viewer);

bool alert_channel_is_on(const Manager *m, AlertChannel channel);
/* There is something new in the queue. */
void alerts_dispatch_queue(Manager *m);
