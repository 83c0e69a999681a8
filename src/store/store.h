/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the daemon does with the records, without blocking. Each function queues a request and returns 0, or
 * fails at once (negative, with an error) and then never calls back. The callback gets r = 0 and the result,
 * which it then owns, or r negative and the error, which it may move. ret_slot: see db_request(). */

#include "audit.h"
#include "db.h"
#include "port-range.h"
#include "records.h"
#include "settings.h"

/* Channels of notifications: a job's id, an instance's id. */
#define STORE_CHANNEL_JOB "ccpd_job"
#define STORE_CHANNEL_INSTANCE "ccpd_instance"

/* The host that ports are counted by, as long as there is only this one. */
#define STORE_HOST_LOCAL "local"

/* At most this many jobs are listed at once. */
#define STORE_LIST_MAX 1000U

/* --- reading --- */

typedef struct RoleRecords RoleRecords;               /* store-role.h */
typedef struct HealthStates HealthStates;             /* store-health.h */
typedef struct RecoveryKeyRecords RecoveryKeyRecords; /* store-recovery-key.h */
typedef struct GoneBackups GoneBackups;               /* store-scrub.h */

/* Something is sealed with this master key. */
typedef struct StoreSealedKey {
        char *key_id;
        uint64_t n; /* how much */
} StoreSealedKey;

typedef struct StoreContents {
        InstanceRecords instances; /* by slug */
        JobRecords jobs;           /* all that are not at their end, and the last JOB_OBJECTS_MAX; by id */
        Settings *settings;
        RoleRecords *roles;
        HealthStates *health;
        RecoveryRecord *recovery; /* the last one; NULL: none */
        RecoveryKeyRecords *recovery_keys;
        StoreSealedKey *sealed_keys;
        size_t n_sealed_keys;
        GoneBackups *gone_backups;
} StoreContents;

StoreContents *store_contents_free(StoreContents *c);
DEFINE_CLEANUP_FUNC(StoreContents *, store_contents_free);

typedef void (*StoreContentsCallback)(int r, StoreContents *contents, Error *error, void *userdata);
/* Everything that a start needs, as of one moment. */
int store_load(Db *db, StoreContentsCallback callback, void *userdata, DbSlot **ret_slot, Error *reterr);

typedef void (*StoreInstanceCallback)(int r, InstanceRecord *instance, Error *error, void *userdata);
/* NULL if there is no such instance (any more). */
int store_load_instance(Db *db, const char *id, StoreInstanceCallback callback, void *userdata,
                DbSlot **ret_slot, Error *reterr);

typedef void (*StoreLoadedJobCallback)(
                int r, JobRecord *job, InstanceRecord *instance, Error *error, void *userdata);
/* NULL if there is no such job. Of one that has ended the instance comes with it, as of the same moment, or NULL if it is
 * gone; of others it is not read. */
int store_load_job(Db *db, uint64_t id, StoreLoadedJobCallback callback, void *userdata, DbSlot **ret_slot,
                Error *reterr);

typedef struct StoreJobFilter {
        const char *instance; /* slug; NULL: any */
        char *const *among;   /* ids of the only instances that count; NULL: all */
        JobState state;       /* _JOB_STATE_INVALID: any */
        JobKind kind;         /* _JOB_KIND_INVALID: any */
        uint64_t offset, limit;
} StoreJobFilter;

typedef void (*StoreJobsCallback)(int r, JobRecords *jobs, Error *error, void *userdata);
/* Newest first. The array is freed by job_records_done() after the callback, but for what was taken out. */
int store_list_jobs(Db *db, const StoreJobFilter *filter, StoreJobsCallback callback, void *userdata,
                DbSlot **ret_slot, Error *reterr);

/* --- instances --- */

typedef struct StorePortRequest {
        const char *name;
        const char *range_name; /* for the message: "nginx", or the range itself */
        PortRange range;
} StorePortRequest;

typedef struct StoreSecret {
        const char *name;
        const char *key_id;
        const void *sealed;
        size_t size;
} StoreSecret;

/* All of it is copied: nothing has to stay. */
typedef struct StoreCreate {
        const char *id; /* a new random UUID: the secrets are sealed for it */
        const char *slug, *name, *domain, *blueprint, *blueprint_version, *engine, *source, *bind_address;
        const json_t *parameters; /* an object; NULL: an empty one */
        char *const *features;
        ResourceLimits limits;

        const char *host; /* NULL: STORE_HOST_LOCAL */
        const StorePortRequest *ports;
        size_t n_ports;
        const PortSet *ports_in_use; /* not to be allocated; NULL: none */
        Subnet subnet_pool;
        const Subnet *subnets_in_use; /* host routes, not to be overlapped */
        size_t n_subnets_in_use;

        const StoreSecret *secrets;
        size_t n_secrets;

        JobKind kind;       /* create, or clone */
        const json_t *spec; /* of the job, an object; NULL: an empty one */
        const AuditActor *actor;
        const json_t *details; /* of the audit entry; NULL: none */
} StoreCreate;

typedef void (*StoreCreatedCallback)(
                int r, InstanceRecord *instance, JobRecord *job, Error *error, void *userdata);
/* Steps 1 to 4 of a create in one transaction: the instance, its ports, subnet and secrets, and the job with
 * these steps done and the others pending. SlugTaken, DomainTaken, PortsExhausted, SubnetsExhausted; after
 * DB_OUTCOME_UNKNOWN store_load_instance() of the id tells. */
int store_create_instance(Db *db, const StoreCreate *create, StoreCreatedCallback callback, void *userdata,
                DbSlot **ret_slot, Error *reterr);
/* The same, but nothing is kept: what it would be given now. The job's id is of no meaning. */
int store_plan_instance(Db *db, const StoreCreate *create, StoreCreatedCallback callback, void *userdata,
                DbSlot **ret_slot, Error *reterr);

/* --- jobs --- */

typedef struct StoreJobCreate {
        const char *instance; /* id; NULL: that of the backup, which may be gone */
        uint64_t backup;      /* what a job is about that is about a backup; 0: none */
        bool last;            /* delete-backup: also if it is the last one that is verified */
        bool waits;   /* for its turn, which store_admit_job() gives it; of those an instance has one, too */
        JobKind kind; /* any but create */
        const json_t *spec; /* an object; NULL: an empty one */
        const AuditActor *actor;
        const json_t *details; /* of the audit entry; NULL: none */
        /* Why ccpd itself makes it, and the how manyeth attempt this is; what it tried before counts no more once
         * somebody else does something. */
        RecoveryReason reason;
        unsigned attempt;
        uint64_t run;   /* the recovery that it belongs to; 0: none */
        uint64_t knock; /* of the schedule that it is for; 0: none */
} StoreJobCreate;

/* A job on an instance, which takes the state that goes with it. Busy, naming the job that is on it;
 * WrongState, NoSuchInstance, NoSuchBackup. After DB_OUTCOME_UNKNOWN store_list_jobs() of the instance tells. */
int store_create_job(Db *db, const StoreJobCreate *create, StoreCreatedCallback callback, void *userdata,
                DbSlot **ret_slot, Error *reterr);

/* The turn of a job that waits has come: it is queued if no other job is on its instance, which runs; else it waits on.
 * Gives the job as it then is, with its instance, if that is there. WrongState, NoSuchInstance: what it waited for is no more, and it is to be
 * ended with that. */
int store_admit_job(Db *db, uint64_t id, StoreCreatedCallback callback, void *userdata, DbSlot **ret_slot,
                Error *reterr);

typedef void (*StoreJobCallback)(int r, JobRecord *job, Error *error, void *userdata);
/* Notes that the job shall be cancelled; its worker looks. Gives the job. NoSuchJob; WrongState if it is at
 * its end. */
int store_cancel_job(Db *db, uint64_t id, const AuditActor *actor, StoreJobCallback callback, void *userdata,
                DbSlot **ret_slot, Error *reterr);

/* What becomes of the instance at the end of a job. */
typedef enum StoreEnd {
        STORE_END_KEEP,    /* stays as it is */
        STORE_END_STATE,   /* takes the given state */
        STORE_END_BEFORE,  /* takes the state from before the job */
        STORE_END_ASIDE,   /* is not touched at all, nor what is known of its last failure */
        STORE_END_RELEASE, /* is removed, with ports, subnet, secrets and revisions */
} StoreEnd;

typedef struct StoreFinish {
        uint64_t job;
        JobState state;         /* a final one */
        const char *error_name; /* of job and instance; NULL, and the instance's is cleared: none */
        const char *error_message;
        StoreEnd end;
        InstanceState instance_state;
} StoreFinish;

/* Ends a job that no worker will end: its unit could not be started, or is lost. Steps that run fail. Does
 * nothing to a job that is at its end already. Gives the job as it then is; NoSuchJob; Busy as long as a worker
 * holds its lock. */
int store_finish_job(Db *db, const StoreFinish *finish, StoreJobCallback callback, void *userdata,
                DbSlot **ret_slot, Error *reterr);

/* --- bringing back, and keeping --- */

typedef struct StoreRecoveryBegin {
        RecoveryReason reason;
        const char *boot;
        usec_t engine_started_at;
        unsigned total; /* 0: it is over with that */
} StoreRecoveryBegin;

typedef void (*StoreRecoveryCallback)(int r, RecoveryRecord *recovery, Error *error, void *userdata);
/* One that had not ended is over with it. */
int store_begin_recovery(Db *db, const StoreRecoveryBegin *begin, StoreRecoveryCallback callback,
                void *userdata, DbSlot **ret_slot, Error *reterr);

typedef struct StoreRecoveryEnd {
        uint64_t id;
        unsigned total, healthy;
        char *const *failed;
        const AuditActor *actor;
        const json_t *details; /* of the audit entry */
} StoreRecoveryEnd;

int store_end_recovery(Db *db, const StoreRecoveryEnd *end, StoreRecoveryCallback callback, void *userdata,
                DbSlot **ret_slot, Error *reterr);

/* What is set of an instance. */
typedef struct StoreInstanceSettings {
        RepairMode repair; /* what is done about drift; _REPAIR_MODE_INVALID: stays */
        const json_t *backup; /* as InstanceRecord.backup_settings, null for what is the fleet's again; NULL: stays */
        const AuditActor *actor;
        const json_t *details; /* of the audit entry */
} StoreInstanceSettings;

/* Sets it, and puts that on record. Gives the instance as it then is; NoSuchInstance. */
int store_set_instance(Db *db, const char *instance, const StoreInstanceSettings *settings,
                StoreInstanceCallback callback, void *userdata, DbSlot **ret_slot, Error *reterr);

/* --- settings --- */

typedef void (*StoreSettingsCallback)(int r, Settings *settings, Error *error, void *userdata);
/* 'changes' is an object from key to value, null for the default; all or none are set. Gives all settings. */
int store_set_settings(Db *db, const json_t *changes, const AuditActor *actor,
                StoreSettingsCallback callback, void *userdata, DbSlot **ret_slot, Error *reterr);
