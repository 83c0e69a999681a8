/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* An instance as the daemon knows it: its record, and what its containers do. */

#include "bus-signal.h"
#include "ccpd-drift.h"
#include "ccpd-health.h"
#include "container-state.h"
#include "hash.h"
#include "health.h"
#include "records.h"
#include "store-use.h"
#include "use.h"

typedef struct Manager Manager;
typedef struct Job Job;
typedef struct Instance Instance;

typedef struct InstanceService {
        char *name;
        ServiceKind kind;
        char *container; /* id; NULL as long as there is none */
        char *image;     /* its name; NULL if not told, as below */
        char *image_id;  /* "sha256:…" */
        usec_t started;  /* the last time; realtime, 0 if unknown */
        HealthObservation observation;
        Use use;
        unsigned n_restarts;  /* that nobody asked for, since the container is known */
        unsigned n_told;      /* of these, what the watcher that is there has counted */
        unsigned n_forgotten; /* of these, what was before a long quiet run */
        bool stopped;         /* it ended, and nobody but a person starts it again */
        bool listed;          /* seen in the list that ccp-watch is sending */
} InstanceService;

/* What was read of its use when somebody asked last (ccpd-use.h). */
typedef struct InstanceUse {
        Use total;                        /* of its slice, and of its bridges */
        usec_t read_at, services_read_at; /* monotonic; 0: never */
        DiskRecord *disk;
        size_t n_disk;
} InstanceUse;

struct Instance {
        Manager *manager;
        InstanceRecord *record;
        UT_hash_handle hh, hh_id;

        InstanceService *services;
        size_t n_services, n_services_allocated;
        Health health;
        InstanceHealth health_state; /* ccpd-health.h */
        bool listed;                 /* all its containers were told once since we know it */
        Job *job;    /* the one that is on it, NULL if none; not one that waits for its turn */
        Job *admits; /* the one that is being given its turn, NULL if none */
        InstanceUse use;

        Drifts drifts;         /* what is not as it was made */
        usec_t not_before;     /* of the next job to bring it back, monotonic */
        uint64_t recovered_in; /* the recovery that brought it back; 0: none */

        uint64_t backup_skipped;    /* the knock that was told of when it was stopped */
        usec_t schedule_not_before; /* of the next job by a schedule, monotonic */

        usec_t old_secret; /* when its oldest secret was made, if that is too long ago; else 0 */

        BusTold told;
        usec_t told_at; /* when changes were announced; monotonic */

        bool left_as_it_is;   /* that was told */
        bool reviving;        /* a job to bring it back is being made */
        bool schedule_begins; /* a job by a schedule is being made, or that there is none put on record */
        bool alerts_dirty;    /* its alerts are to be judged */
        bool secrets_known;
        bool announced; /* InterfacesAdded was sent */
        bool changed;
};

/* A job is on it, or is about to be. */
static inline bool instance_has_job(const Instance *i) {
        return i->job || i->admits || i->reviving;
}

/* Takes the record. The manager owns the instance. */
int instance_new(Manager *m, InstanceRecord **record, Instance **ret);
Instance *instance_free(Instance *i);

Instance *instance_find(const Manager *m, const char *slug);
Instance *instance_find_by_id(const Manager *m, const char *id);
/* That which a backup is of, if it is there. */
Instance *instance_find_by_backup(const Manager *m, uint64_t backup);

/* Replaces the record. */
void instance_update(Instance *i, InstanceRecord **record);

/* Notes what a container of it does: 'm' is of the type NOTIFY_CONTAINER. */
typedef struct NotifyMessage NotifyMessage;
int instance_update_service(Instance *i, const NotifyMessage *message);
/* Around a full list of containers: what was not in it is gone. */
void instance_begin_list(Instance *i);
void instance_end_list(Instance *i);

/* Judges anew. Returns true if time alone may change the verdict: to be called again later. */
bool instance_update_health(Instance *i);

/* To be announced. */
void instance_set_changed(Instance *i);

/* Path of its object; NULL when out of memory. */
char *instance_path(const Instance *i);
