/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* How instances are and were: what sweeps have seen, and the history that is made of it. The first part is for
 * the daemon and blocks nobody (store.h); the second is for sweeps and workers, and blocks (db-sync.h). */

#include "db-sync.h"
#include "instance.h"
#include "latency.h"
#include "probe-state.h"
#include "store.h"

/* A notification on it carries the number of a sweep that was recorded, or the id of an instance whose probes
 * a job has recorded. */
#define STORE_CHANNEL_HEALTH "ccpd_health"

/* What the probes of a service have come to, in one run of its container. */
typedef struct HealthProbeRecord {
        char instance[STORE_ID_MAX];
        char *service;
        char *container; /* id */
        ProbeState state;
        char *exec; /* of a health command that had not ended; NULL: none */
} HealthProbeRecord;

typedef struct HealthProbeRecords {
        HealthProbeRecord *items; /* by instance and service */
        size_t n;
} HealthProbeRecords;

void health_probe_record_done(HealthProbeRecord *p);
void health_probe_records_done(HealthProbeRecords *l);

/* What the last sweep found of an instance. */
typedef struct HealthCurrentRecord {
        char instance[STORE_ID_MAX];
        Health health;
        usec_t since, checked_at;
} HealthCurrentRecord;

typedef struct HealthSweepRecord {
        uint64_t number; /* 0: there was none yet */
        usec_t began_at, began_monotonic;
        char *error_name, *error_message; /* why it could not look; NULL: it could */
} HealthSweepRecord;

struct HealthStates {
        HealthProbeRecords probes;
        HealthCurrentRecord *currents;
        size_t n_currents;
        HealthSweepRecord sweep;
};

void health_states_done(HealthStates *s);
HealthStates *health_states_free(HealthStates *s);

/* --- for the daemon --- */

typedef void (*StoreHealthCallback)(int r, HealthStates *states, Error *error, void *userdata);
/* Of one instance (its id), or of all (NULL). The states are freed after the callback. */
int store_load_health(Db *db, const char *instance, StoreHealthCallback callback, void *userdata,
                DbSlot **ret_slot, Error *reterr);

typedef struct StoreHealthQuery {
        char *const *instances; /* ids; copied */
        usec_t since, until;    /* since <= time < until */
        usec_t step;            /* length of a period, from 'since' on */
        bool hours;             /* whole hours do: since and step have no fractions of them */
        bool latencies;
} StoreHealthQuery;

/* A period with samples; one without is left out. */
typedef struct HealthPeriod {
        char instance[STORE_ID_MAX];
        uint64_t period; /* from 0 */
        uint64_t n[_HEALTH_MAX];
        LatencyHistogram latency;
} HealthPeriod;

typedef struct HealthPeriods {
        HealthPeriod *items; /* by instance and time */
        size_t n;
} HealthPeriods;

/* The query is the copy that was made of it. */
typedef void (*StoreHealthPeriodsCallback)(int r, const StoreHealthQuery *query,
                const HealthPeriods *periods, Error *error, void *userdata);
int store_query_health(Db *db, const StoreHealthQuery *query, StoreHealthPeriodsCallback callback,
                void *userdata, DbSlot **ret_slot, Error *reterr);

/* --- for sweeps and workers --- */

typedef struct HealthSweepInput {
        InstanceRecords instances;
        char **busy; /* ids of those that a job is at work on */
        HealthStates states;
        Settings *settings;
        usec_t rolled_up_until;
} HealthSweepInput;

void health_sweep_input_done(HealthSweepInput *i);
#define _cleanup_health_sweep_input_ _cleanup_(health_sweep_input_done)

/* Makes this the only sweep, until the connection is freed, and reads all that it needs. Busy if another one
 * goes on. */
int health_sweep_read(DbSync *db, HealthSweepInput *ret, Error *reterr);

typedef struct HealthSample {
        const char *instance;    /* id */
        usec_t state_changed_at; /* of its record, when it was looked at */
        Health health;
        usec_t latency; /* 0: none */
        char *reason;   /* NULL: none */
} HealthSample;

/* All of it is borrowed. */
typedef struct HealthSweepOutput {
        usec_t began_at, began_monotonic, duration;
        size_t n_instances;
        const Error *error; /* why it could not look; unset: it could */
        const HealthProbeRecord *probes;
        size_t n_probes;
        const HealthProbeRecord *const *gone; /* of services that are not probed any more */
        size_t n_gone;
        const HealthSample *samples;
        size_t n_samples;
        bool repeats; /* soon after another one: the samples say how it is, but are not counted */
} HealthSweepOutput;

/* Records a sweep and tells of it. What was deleted, stopped or worked on since it began is left out. */
int health_sweep_write(DbSync *db, const HealthSweepOutput *output, Error *reterr);

/* Makes rows of the hours that are over, also of several that were missed, and removes what is older than
 * these settings. Done again, it gives the same. A clock that was set back does no harm: hours that come
 * again are made again, of all their samples. */
int health_roll_up(DbSync *db, const Settings *settings, usec_t realtime, Error *reterr);

/* Records what a job has seen of an instance's services, and tells of it. */
int health_put_probes(
                DbSync *db, const char *instance, const HealthProbeRecord *probes, size_t n, Error *reterr);
