/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "audit.h"

#include "string-util.h"

static const char *const audit_action_table[_AUDIT_ACTION_MAX] = {
        [AUDIT_INSTANCE_CREATE] = "INSTANCE_CREATE",
        [AUDIT_INSTANCE_START] = "INSTANCE_START",
        [AUDIT_INSTANCE_STOP] = "INSTANCE_STOP",
        [AUDIT_INSTANCE_RESTART] = "INSTANCE_RESTART",
        [AUDIT_INSTANCE_DELETE] = "INSTANCE_DELETE",
        [AUDIT_INSTANCE_UPDATE] = "INSTANCE_UPDATE",
        [AUDIT_INSTANCE_RESTORE] = "INSTANCE_RESTORE",
        [AUDIT_RESTORE_UNDO] = "RESTORE_UNDO",
        [AUDIT_RESTORE_DISCARD] = "RESTORE_DISCARD",
        [AUDIT_BACKUP_CREATE] = "BACKUP_CREATE",
        [AUDIT_BACKUP_DRILL] = "BACKUP_DRILL",
        [AUDIT_BACKUP_IMPORT] = "BACKUP_IMPORT",
        [AUDIT_BACKUP_EXPORT] = "BACKUP_EXPORT",
        [AUDIT_BACKUP_VERIFY] = "BACKUP_VERIFY",
        [AUDIT_BACKUP_DELETE] = "BACKUP_DELETE",
        [AUDIT_BACKUP_REPLICATE] = "BACKUP_REPLICATE",
        [AUDIT_BACKUP_FETCH] = "BACKUP_FETCH",
        [AUDIT_JOB_CANCEL] = "JOB_CANCEL",
        [AUDIT_SECRET_REVEAL] = "SECRET_REVEAL",
        [AUDIT_FLEET_RECOVER] = "FLEET_RECOVER",
        [AUDIT_SECRET_ROTATE] = "SECRET_ROTATE",
        [AUDIT_KEY_ENROLL] = "KEY_ENROLL",
        [AUDIT_KEY_FORGET] = "KEY_FORGET",
        [AUDIT_KEY_ROTATE] = "KEY_ROTATE",
        [AUDIT_ALERT_SILENCE] = "ALERT_SILENCE",
        [AUDIT_ALERT_UNSILENCE] = "ALERT_UNSILENCE",
        [AUDIT_SETTINGS_UPDATE] = "SETTINGS_UPDATE",
        [AUDIT_STORAGE_SET] = "STORAGE_SET",
        [AUDIT_STORAGE_FORGET] = "STORAGE_FORGET",
        [AUDIT_BLUEPRINTS_RELOAD] = "BLUEPRINTS_RELOAD",
        [AUDIT_USER_LOGIN] = "USER_LOGIN",
        [AUDIT_USER_CREATE] = "USER_CREATE",
        [AUDIT_USER_UPDATE] = "USER_UPDATE",
        [AUDIT_USER_DELETE] = "USER_DELETE",
        [AUDIT_AUDIT_PRUNE] = "AUDIT_PRUNE",
};
DEFINE_STRING_TABLE(audit_action, AuditAction);

static const char *const audit_outcome_table[_AUDIT_OUTCOME_MAX] = {
        [AUDIT_ACCEPTED] = "accepted",
        [AUDIT_SUCCEEDED] = "succeeded",
        [AUDIT_FAILED] = "failed",
        [AUDIT_CANCELLED] = "cancelled",
        [AUDIT_DENIED] = "denied",
};
DEFINE_STRING_TABLE(audit_outcome, AuditOutcome);

AuditAction audit_action_of_job(JobKind kind) {
        static const AuditAction actions[_JOB_KIND_MAX] = {
                [JOB_CREATE] = AUDIT_INSTANCE_CREATE,
                [JOB_START] = AUDIT_INSTANCE_START,
                [JOB_STOP] = AUDIT_INSTANCE_STOP,
                [JOB_RESTART] = AUDIT_INSTANCE_RESTART,
                [JOB_DELETE] = AUDIT_INSTANCE_DELETE,
                [JOB_BACKUP] = AUDIT_BACKUP_CREATE,
                [JOB_RESTORE] = AUDIT_INSTANCE_RESTORE,
                [JOB_UNDO_RESTORE] = AUDIT_RESTORE_UNDO,
                [JOB_DISCARD_RESTORE] = AUDIT_RESTORE_DISCARD,
                [JOB_CLONE] = AUDIT_INSTANCE_CREATE,
                [JOB_DRILL] = AUDIT_BACKUP_DRILL,
                [JOB_IMPORT] = AUDIT_BACKUP_IMPORT,
                [JOB_VERIFY] = AUDIT_BACKUP_VERIFY,
                [JOB_DELETE_BACKUP] = AUDIT_BACKUP_DELETE,
                [JOB_REPLICATE] = AUDIT_BACKUP_REPLICATE,
                [JOB_FETCH] = AUDIT_BACKUP_FETCH,
        };

        assert(kind >= 0 && kind < _JOB_KIND_MAX);
        return actions[kind];
}

AuditOutcome audit_outcome_of_job(JobState state) {
        assert(job_state_is_final(state));
        return state == JOB_SUCCEEDED            ? AUDIT_SUCCEEDED
                        : state == JOB_CANCELLED ? AUDIT_CANCELLED
                                                 : AUDIT_FAILED;
}
