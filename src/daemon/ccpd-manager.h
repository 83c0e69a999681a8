/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The daemon's centre: its connections, and the objects by name. What keeps them in step with the records is in
 * ccpd-reload.h, what tells of their changes in ccpd-announce.h. */

#include <systemd/sd-bus.h>
#include <systemd/sd-event.h>

#include "blueprint-cache.h"
#include "ccpd-alert.h"
#include "ccpd-instance.h"
#include "ccpd-job.h"
#include "ccpd-operation.h"
#include "ccpd-recovery.h"
#include "ccpd-rotation.h"
#include "ccpd-schedule.h"
#include "ccpd-storage.h"
#include "ccpd-transfer-bus.h"
#include "key-challenges.h"
#include "store-scrub.h"
#include "store.h"
#include "unit-client.h"
#include "vault.h"

/* Objects on the bus are refused above this: one GetManagedObjects must stay far below the 32 MiB that
 * dbus-daemon allows a message. */
#define INSTANCES_MAX 2000U

#define MANAGER_KEY_ADVICE                                                                             \
        "Put that one back as /etc/credstore.encrypted/ccpd.master-key, see ccpd(8), then: systemctl " \
        "restart "                                                                                     \
        "ccpd"

/* What ccpd ends with for PID 1 to start it again: there is something that it gets at a start only. */
#define CCP_EXIT_RESTART 75

typedef enum EngineState {
        ENGINE_UNKNOWN, /* ccp-watch has not told yet */
        ENGINE_AVAILABLE,
        ENGINE_UNAVAILABLE,
        _ENGINE_STATE_MAX,
        _ENGINE_STATE_INVALID = -EINVAL,
} EngineState;
DECLARE_STRING_TABLE(engine_state, EngineState);

typedef struct Access Access;
typedef struct Caller Caller;

/* A record that is being read again. */
typedef struct ManagerReload ManagerReload;

typedef struct LogReader LogReader;
typedef struct JobBatch JobBatch;
/* The kernel's counters, being read (ccpd-use.h). */
typedef struct UseReading UseReading;

struct Manager {
        sd_event *event;
        sd_bus *bus;
        Db *db;
        Access *access;
        UnitClient *units;
        Vault *vault; /* NULL: vault_error says why */
        Error vault_error;
        Error foreign_key; /* set: something is sealed with a master key that the vault has not */
        Settings *settings;
        BlueprintCache *blueprints;
        Sweeps *sweeps;
        Alerts *alerts;
        RecoveryKeyRecords *recovery_keys; /* NULL: not read yet */
        GoneBackups gone_backups;
        KeyChallenges *key_challenges;
        KeyRotation *rotation;

        Instance *instances;       /* by slug */
        Instance *instances_by_id; /* by UUID */
        Job *jobs;                 /* by id, oldest first */
        Operation *operations;
        unsigned n_doctors;
        Recovery *recovery;
        Transfers *transfers;
        Schedules *schedules;
        Storage *storage;
        unsigned n_storage_calls;
        unsigned n_open_copies; /* that go out of the storage */
        ManagerReload *reloads;
        JobBatch *batches;
        LogReader *log_readers;
        UseReading *use_readings;

        Caller *receiver; /* of the signal that is being made; NULL: none is */

        bool loaded;       /* the records were read at least once */
        bool name_wanted;  /* the bus name was asked for */
        bool units_listed; /* which jobs have a unit is known */
        bool changed;      /* properties of the manager itself */
        bool verifying;    /* the audit record is being walked through */
        EngineState engine_state;
        usec_t engine_started; /* realtime; 0: not known, or it is away */
        usec_t told_at;        /* when changes of the manager itself were announced; monotonic */
        uint64_t jobs_ended[_JOB_KIND_MAX][_JOB_STATE_MAX]; /* since the start */

        int notify_fd;
        sd_event_source *notify_source, *emit_source, *health_source, *retry_source, *resync_source,
                        *prune_source, *restore_keep_source, *later_source, *units_source;
};

int manager_new(sd_event *event, Manager **ret);
Manager *manager_free(Manager *m);
DEFINE_CLEANUP_FUNC(Manager *, manager_free);

/* Connects to bus, store and units, and takes the name once the records are there, or are known not to be.
 * Logs what fails. */
int manager_start(Manager *m);

/* Asks for the name on the bus, if that was not done before. Only who has the records, or can say that they are away,
 * answers calls: callers wait at the bus until then. */
void manager_want_name(Manager *m);

/* Reads the blueprints again. */
void manager_reload(Manager *m);

/* Asks PID 1 which jobs have a unit; what has none any more is examined, what should have one gets it. No job
 * is started before the answer. */
void manager_list_units(Manager *m);
/* The same in some minutes, for as long as a worker runs: a message of PID 1 that was lost, such as on a bus that was
 * full, would else leave its job without an end. */
void manager_list_units_later(Manager *m);

/* Sets the error if the store can't take a change now, or was never read. */
int manager_check_store(const Manager *m, Error *reterr);
/* Sets the error if the records were never read: nobody can say what is there. */
int manager_check_loaded(const Manager *m, Error *reterr);
/* Sets the error (KeyMissing) if nothing may be sealed: there is no key, or it is not the one that the rest is sealed with. */
int manager_check_sealing(const Manager *m, Error *reterr);
int manager_check_engine(const Manager *m, Error *reterr);

/* Takes the objects of a created instance or job into the manager and announces them; the records are taken
 * (TAKE_PTR) from the caller. ret may be NULL. */
int manager_take_instance(Manager *m, InstanceRecord **record, Instance **ret);
int manager_take_job(Manager *m, JobRecord **record, Job **ret);
/* Follows a job that ccpd had made for itself, with its instance, if there is one: takes both, and what store_create_job() says
 * became of it. Negative with the error set. */
int manager_take_made(
                Manager *m, int r, InstanceRecord *instance, JobRecord *job, Error *error, Error *reterr);

/* Forgets an instance whose record is gone, and says so on the bus. */
void manager_remove_instance(Instance *i);

/* Compares what is sealed with the keys that there are. */
void manager_set_sealed_keys(Manager *m, const StoreSealedKey *keys, size_t n);

/* Replaces what is known of the recovery keys; takes them. */
void manager_set_recovery_keys(Manager *m, RecoveryKeyRecords *keys);

/* Judges all instances anew, and again a little later where only time is missing. */
void manager_update_health(Manager *m);
/* The same of one. */
void manager_update_instance_health(Instance *i);

/* 'started' is when the Engine did (realtime), 0 if it is away or nobody knows. */
void manager_set_engine_state(Manager *m, EngineState state, usec_t started);
