/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What is put on record: the names of actions and outcomes, as they stand in the records, in the journal and
 * on the bus. */

#include <errno.h>
#include <jansson.h>

#include "job-kind.h"

typedef enum AuditAction {
        AUDIT_INSTANCE_CREATE,
        AUDIT_INSTANCE_START,
        AUDIT_INSTANCE_STOP,
        AUDIT_INSTANCE_RESTART,
        AUDIT_INSTANCE_DELETE,
        AUDIT_INSTANCE_UPDATE,
        AUDIT_INSTANCE_RESTORE,
        AUDIT_RESTORE_UNDO,
        AUDIT_RESTORE_DISCARD,
        AUDIT_BACKUP_CREATE,
        AUDIT_BACKUP_DRILL,
        AUDIT_BACKUP_IMPORT,
        AUDIT_BACKUP_EXPORT,
        AUDIT_BACKUP_VERIFY,
        AUDIT_BACKUP_DELETE,
        AUDIT_BACKUP_REPLICATE,
        AUDIT_BACKUP_FETCH,
        AUDIT_JOB_CANCEL,
        AUDIT_SECRET_REVEAL,
        AUDIT_FLEET_RECOVER, /* after a start of the Engine */
        AUDIT_SECRET_ROTATE,
        AUDIT_KEY_ENROLL, /* a recovery key */
        AUDIT_KEY_FORGET,
        AUDIT_KEY_ROTATE, /* the master key */
        AUDIT_ALERT_SILENCE,
        AUDIT_ALERT_UNSILENCE,
        AUDIT_SETTINGS_UPDATE,
        AUDIT_STORAGE_SET,
        AUDIT_STORAGE_FORGET,
        AUDIT_BLUEPRINTS_RELOAD,
        AUDIT_USER_LOGIN,  /* the first call of a session */
        AUDIT_USER_CREATE, /* a role granted to who had none there … */
        AUDIT_USER_UPDATE, /* … to who had another … */
        AUDIT_USER_DELETE, /* … and revoked */
        AUDIT_AUDIT_PRUNE,
        _AUDIT_ACTION_MAX,
        _AUDIT_ACTION_INVALID = -EINVAL,
} AuditAction;
DECLARE_STRING_TABLE(audit_action, AuditAction);

typedef enum AuditOutcome {
        AUDIT_ACCEPTED, /* on record before it is done; one of the next three follows */
        AUDIT_SUCCEEDED,
        AUDIT_FAILED,
        AUDIT_CANCELLED,
        AUDIT_DENIED,
        _AUDIT_OUTCOME_MAX,
        _AUDIT_OUTCOME_INVALID = -EINVAL,
} AuditOutcome;
DECLARE_STRING_TABLE(audit_outcome, AuditOutcome);

/* Who did it. What is not known is NULL, 0 or -1. */
typedef struct AuditActor {
        uint32_t uid;
        const char *user;        /* the name; the number where there is none */
        int64_t login_uid;       /* -1: none */
        uint32_t pid;            /* 0: not known */
        const char *process;     /* its name */
        const char *unit;        /* of PID 1 */
        const char *session;     /* of logind */
        const char *remote_host; /* where the session comes from */
} AuditActor;

/* What is to be appended. */
typedef struct AuditEntry {
        AuditAction action;
        AuditOutcome outcome;
        const AuditActor *actor;
        const char *instance;    /* slug; NULL: none */
        const char *instance_id; /* UUID; NULL: none, or there is none such */
        uint64_t job;            /* 0: none */
        const char *error_name;  /* NULL: none */
        const json_t *details;   /* an object without secrets; NULL: an empty one */
} AuditEntry;

AuditAction audit_action_of_job(JobKind kind);
AuditOutcome audit_outcome_of_job(JobState state);
