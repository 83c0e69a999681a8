/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>

#include "alloc-util.h"
#include "log.h"
#include "store-audit.h"
#include "string-util.h"

/* How an action reads behind a name: done, and tried; and what leads to the instance, if there is one. */
static const struct {
        const char *past, *infinitive, *to_instance;
} phrases[_AUDIT_ACTION_MAX] = {
        [AUDIT_INSTANCE_CREATE] = { "created", "create", " " },
        [AUDIT_INSTANCE_START] = { "started", "start", " " },
        [AUDIT_INSTANCE_STOP] = { "stopped", "stop", " " },
        [AUDIT_INSTANCE_RESTART] = { "restarted", "restart", " " },
        [AUDIT_INSTANCE_DELETE] = { "deleted", "delete", " " },
        [AUDIT_INSTANCE_UPDATE] = { "changed", "change", " " },
        [AUDIT_INSTANCE_RESTORE] = { "restored", "restore", " " },
        [AUDIT_RESTORE_UNDO] = { "undid the restore of", "undo the restore of", " " },
        [AUDIT_RESTORE_DISCARD] = { "discarded what was kept of", "discard what was kept of", " " },
        [AUDIT_BACKUP_CREATE] = { "backed up", "back up", " " },
        [AUDIT_BACKUP_IMPORT] = { "imported a backup of", "import a backup of", " " },
        [AUDIT_BACKUP_EXPORT] = { "exported a backup of", "export a backup of", " " },
        [AUDIT_BACKUP_DRILL] = { "drilled a backup of", "drill a backup of", " " },
        [AUDIT_BACKUP_VERIFY] = { "verified a backup", "verify a backup", " of " },
        [AUDIT_BACKUP_DELETE] = { "deleted a backup", "delete a backup", " of " },
        [AUDIT_BACKUP_REPLICATE] = { "replicated a backup", "replicate a backup", " of " },
        [AUDIT_BACKUP_FETCH] = { "fetched a backup", "fetch a backup", " of " },
        [AUDIT_JOB_CANCEL] = { "cancelled a job", "cancel a job", " of " },
        [AUDIT_SECRET_REVEAL] = { "revealed a secret", "reveal a secret", " of " },
        [AUDIT_FLEET_RECOVER] = { "brought the instances back", "bring the instances back", " of " },
        [AUDIT_SECRET_ROTATE] = { "replaced a secret", "replace a secret", " of " },
        [AUDIT_KEY_ENROLL] = { "enrolled a recovery key", "enroll a recovery key", " for " },
        [AUDIT_KEY_FORGET] = { "forgot a recovery key", "forget a recovery key", " for " },
        [AUDIT_KEY_ROTATE] = { "replaced the master key", "replace the master key", " for " },
        [AUDIT_ALERT_SILENCE] = { "silenced alerts", "silence alerts", " of " },
        [AUDIT_ALERT_UNSILENCE] = { "ended a silence", "end a silence", " of " },
        [AUDIT_SETTINGS_UPDATE] = { "changed the settings", "change the settings", " of " },
        [AUDIT_STORAGE_SET] = { "named the storage of backups", "name the storage of backups", " for " },
        [AUDIT_STORAGE_FORGET] = { "forgot the storage of backups", "forget the storage of backups",
                        " for " },
        [AUDIT_BLUEPRINTS_RELOAD] = { "reloaded the blueprints", "reload the blueprints", " of " },
        [AUDIT_USER_LOGIN] = { "logged in", "log in", " to " },
        [AUDIT_USER_CREATE] = { "granted a role", "grant a role", " for " },
        [AUDIT_USER_UPDATE] = { "changed a role", "change a role", " for " },
        [AUDIT_USER_DELETE] = { "revoked a role", "revoke a role", " for " },
        [AUDIT_AUDIT_PRUNE] = { "pruned the audit record", "prune the audit record", " of " },
};

static const char *const message_ids[_AUDIT_OUTCOME_MAX] = {
        [AUDIT_ACCEPTED] = CCP_MESSAGE_AUDIT_ACCEPTED,
        [AUDIT_SUCCEEDED] = CCP_MESSAGE_AUDIT_SUCCEEDED,
        [AUDIT_FAILED] = CCP_MESSAGE_AUDIT_FAILED,
        [AUDIT_CANCELLED] = CCP_MESSAGE_AUDIT_CANCELLED,
        [AUDIT_DENIED] = CCP_MESSAGE_AUDIT_DENIED,
};

/* "NAME=value" for each that has a value, and NULL at the end. */
typedef struct Fields {
        char *items[24];
        size_t n;
} Fields;

static void fields_done(Fields *f) {
        FOREACH_ARRAY(i, f->items, f->n)
                free(*i);
}
#define _cleanup_fields_ _cleanup_(fields_done)

/* Out of memory leaves the field out: the line itself counts more. */
static void add_string(Fields *f, const char *name, const char *value) {
        assert(f->n + 1 < ELEMENTSOF(f->items));

        if (!value)
                return;
        f->items[f->n] = strjoin(name, "=", value);
        if (f->items[f->n])
                f->n++;
}

static void add_number(Fields *f, const char *name, uint64_t value) {
        char text[24];

        (void) snprintf(text, sizeof(text), "%" PRIu64, value);
        add_string(f, name, text);
}

/* Writes the line of an entry; of one that is lost 'lost' says why. */
static void log_entry(const AuditRecord *a, const char *message_id, const Error *lost) {
        AuditAction action = audit_action_from_string(a->action);
        AuditOutcome outcome = audit_outcome_from_string(a->outcome);
        bool tried = lost || outcome == AUDIT_DENIED;
        const char *phrase = action < 0 ? a->action
                        : tried         ? phrases[action].infinitive
                                        : phrases[action].past;
        const char *error = a->error_name ? startswith(a->error_name, CCP_ERROR("")) ?: a->error_name : NULL;
        char job[32] = "";
        _cleanup_fields_ Fields f = {};

        add_string(&f, "MESSAGE_ID", message_id);
        add_string(&f, "CCP_ACTION", a->action);
        add_string(&f, "CCP_OUTCOME", a->outcome);
        add_string(&f, "CCP_INSTANCE", a->instance);
        add_string(&f, "CCP_ID", a->instance_id);
        add_string(&f, "CCP_USER", a->user);
        add_number(&f, "CCP_UID", a->uid);
        if (a->login_uid >= 0)
                add_number(&f, "CCP_LOGIN_UID", (uint64_t) a->login_uid);
        add_string(&f, "CCP_PROCESS", a->process);
        add_string(&f, "CCP_UNIT", a->unit);
        add_string(&f, "CCP_SESSION", a->session);
        add_string(&f, "CCP_REMOTE_HOST", a->remote_host);
        if (a->job > 0) {
                add_number(&f, "CCP_JOB", a->job);
                (void) snprintf(job, sizeof(job), "%sjob %" PRIu64, error ? ", " : "", a->job);
        }
        add_string(&f, "CCP_ERROR", a->error_name);
        if (!lost) {
                char hash[2 * AUDIT_HASH_SIZE + 1];

                add_number(&f, "CCP_AUDIT_SEQ", a->seq);
                add_string(&f, "CCP_AUDIT_HASH",
                                sodium_bin2hex(hash, sizeof(hash), a->hash, sizeof(a->hash)));
        }

        (void) log_struct(tried ? LOG_WARNING : LOG_NOTICE, 0, (const char *const *) f.items,
                        "%s %s%s%s%s: %s%s%s%s%s%s%s", a->user, tried && action >= 0 ? "tried to " : "",
                        phrase,
                        !a->instance                 ? ""
                                        : action < 0 ? " "
                                                     : phrases[action].to_instance,
                        strempty(a->instance), lost ? "lost from the audit record" : a->outcome,
                        error || *job ? " (" : "", strempty(error), job, error || *job ? ")" : "",
                        lost ? ": " : ".", lost ? strempty(lost->message) : "");
}

void audit_record_log(const AuditRecord *a) {
        AuditOutcome outcome = audit_outcome_from_string(a->outcome);

        log_entry(a, outcome < 0 ? NULL : message_ids[outcome], NULL);
}

void audit_entry_log_lost(const AuditEntry *entry, const Error *error) {
        const AuditActor *actor = entry->actor;
        const AuditRecord a = {
                .action = (char *) audit_action_to_string(entry->action),
                .outcome = (char *) audit_outcome_to_string(entry->outcome),
                .instance = (char *) entry->instance,
                .instance_id = (char *) entry->instance_id,
                .uid = actor->uid,
                .user = (char *) actor->user,
                .login_uid = actor->login_uid,
                .pid = actor->pid,
                .process = (char *) actor->process,
                .unit = (char *) actor->unit,
                .session = (char *) actor->session,
                .remote_host = (char *) actor->remote_host,
                .job = entry->job,
                .error_name = (char *) entry->error_name,
        };

        log_entry(&a, CCP_MESSAGE_AUDIT_LOST, error);
}
