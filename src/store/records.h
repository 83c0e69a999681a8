/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Rows as structs. Strings are owned by their record; times are µs since the epoch, 0 for "not yet". */

#include <jansson.h>

#include "error.h"
#include "instance.h"
#include "job-kind.h"
#include "limits.h"
#include "recovery.h"
#include "resource-limits.h"
#include "schedule.h"
#include "strv.h"
#include "subnet.h"
#include "time-util.h"

#define STORE_ID_MAX (STRLEN("00000000-0000-0000-0000-000000000000") + 1)

typedef struct PortRecord {
        char *name;
        char *host;
        uint16_t number;
} PortRecord;

/* What became of the last job of a kind. */
typedef struct JobOutcome {
        JobState state; /* _JOB_STATE_INVALID: there was none */
        char *error;    /* its sentence; NULL: none */
} JobOutcome;

/* What the schedule of some work asked an instance for. */
typedef struct ScheduleTurn {
        uint64_t knock;      /* that it got its last turn for (store-schedule.h) */
        usec_t scheduled_at; /* since when it could have one: the schedule was set, or left it out */
} ScheduleTurn;

/* A restore whose former volumes are there. */
typedef struct KeptRestore {
        uint64_t id;
        uint64_t backup; /* 0: none, it undid another one */
        usec_t switched_at, keep_until;
} KeptRestore;

/* What there is of an instance's backups; times and numbers of those that were made here, not of what was imported. */
typedef struct BackupSummary {
        usec_t last_at;       /* when the newest one that is verified was made; 0: there is none */
        uint64_t last;        /* its number; 0: there is none */
        char **recovery_keys; /* the ids of those that open it; NULL: not known */
        usec_t verified_at;   /* when one was read back the last time */
        usec_t unread_since; /* of those that are verified, imported ones, too: when that was read that was read the
                                 longest ago; 0: there is none */
        usec_t drilled_at;    /* when one was drilled, with success; 0: never */
        usec_t replicated_at; /* when the last copy was made; 0: never */
        usec_t uncopied_since; /* the oldest one that is verified and has no copy should have one; 0: there is none */
        KeptRestore *restores; /* the latest first */
        size_t n_restores;
        uint64_t n_damaged, first_damaged; /* the number of one of them; 0: there is none */
        uint64_t *ids;                     /* of all of them, in order */
        size_t n_ids;
        JobOutcome last_job, last_drill, last_copy;
} BackupSummary;

typedef struct InstanceRecord {
        char id[STORE_ID_MAX];
        char *slug;
        char *name;
        char *domain; /* NULL: none */
        char *blueprint;
        char *blueprint_version;
        char *engine;
        InstanceState state;
        usec_t state_changed_at;
        json_t *parameters; /* an object; secret ones are among the secrets instead */
        char **features;
        char *source; /* NULL: that of the blueprint, or none */
        char *bind_address;
        ResourceLimits limits; /* chosen for it; the blueprint's hold where it has none */
        uint32_t revision;     /* 0: none yet */
        char *error_name;      /* the last failure; both NULL: none */
        char *error_message;
        usec_t created_at, updated_at;
        PortRecord *ports; /* by name */
        size_t n_ports;
        bool has_subnet;
        Subnet subnet;
        char **stopped_services; /* on purpose */
        RepairMode repair;
        char **changed_files; /* of the active revision, "changed PATH" and the like (revision-files.h) */
        usec_t changed_files_at;
        RecoveryAttempts recovery; /* by ccpd itself */
        json_t *images; /* of the active revision: service → {image, digest}; NULL: none is recorded */
        BackupSummary backups;
        json_t *backup_settings; /* its own, an object: {"backup_keep_last": 7} */
        ScheduleTurn turns[_SCHEDULE_WORK_MAX];
} InstanceRecord;

typedef struct StepRecord {
        unsigned number; /* from 1 */
        char *name;
        StepState state;
        json_t *undo; /* NULL: nothing to undo */
        char *detail; /* NULL: none */
        usec_t started_at, finished_at;
} StepRecord;

typedef struct JobRecord {
        uint64_t id;
        char instance[STORE_ID_MAX]; /* may be gone */
        char *slug;
        JobKind kind;
        JobState state;
        InstanceState state_before; /* of the instance */
        json_t *spec;               /* an object */
        unsigned attempt;
        bool cancel_requested;
        char *error_name; /* both NULL: none */
        char *error_message;
        char *started_by;
        uint32_t started_by_uid;
        usec_t queued_at;
        usec_t turn_at; /* since when it has its instance: the same of one that did not wait */
        usec_t started_at, finished_at;
        StepRecord *steps; /* by number */
        size_t n_steps;
} JobRecord;

typedef struct SecretRecord {
        char *name;
        unsigned version; /* from 1 */
        char *key_id;
        uint8_t *sealed;
        size_t sealed_size;
        usec_t created_at;
} SecretRecord;

typedef enum RevisionState {
        REVISION_RENDERED, /* the files are there */
        REVISION_ACTIVE,   /* what runs, or would */
        REVISION_SUPERSEDED,
        REVISION_FAILED,
        _REVISION_STATE_MAX,
        _REVISION_STATE_INVALID = -EINVAL,
} RevisionState;
DECLARE_STRING_TABLE(revision_state, RevisionState);

typedef struct RevisionRecord {
        uint32_t number; /* from 1 */
        RevisionState state;
        json_t *files;  /* path → {sha256, mode, …} */
        json_t *images; /* service → {image, digest} */
        json_t *volumes; /* key → name in the engine, of those that a restore made; others are called PROJECT_KEY */
        usec_t created_at;
} RevisionRecord;

/* What was done after a start of the Engine. */
typedef struct RecoveryRecord {
        uint64_t id;
        RecoveryReason reason; /* boot or engine */
        char *boot;            /* id of the boot */
        usec_t engine_started_at, begun_at, ended_at;
        unsigned total, healthy; /* of those that should run */
        char **failed;           /* slugs of those that did not come back */
} RecoveryRecord;

RecoveryRecord *recovery_record_free(RecoveryRecord *r);
DEFINE_CLEANUP_FUNC(RecoveryRecord *, recovery_record_free);
InstanceRecord *instance_record_free(InstanceRecord *i);
DEFINE_CLEANUP_FUNC(InstanceRecord *, instance_record_free);
JobRecord *job_record_free(JobRecord *j);
DEFINE_CLEANUP_FUNC(JobRecord *, job_record_free);
RevisionRecord *revision_record_free(RevisionRecord *r);
DEFINE_CLEANUP_FUNC(RevisionRecord *, revision_record_free);

/* Arrays, as the store hands them over. Initialize with {}; elements may be taken out (TAKE_PTR). */
typedef struct InstanceRecords {
        InstanceRecord **items;
        size_t n;
} InstanceRecords;
typedef struct JobRecords {
        JobRecord **items;
        size_t n;
} JobRecords;
typedef struct SecretRecords {
        SecretRecord *items;
        size_t n;
} SecretRecords;

void instance_records_done(InstanceRecords *l);
void job_records_done(JobRecords *l);
void secret_records_done(SecretRecords *l);

/* The port of a name, 0 if there is none. */
uint16_t instance_record_port(const InstanceRecord *i, const char *name);
