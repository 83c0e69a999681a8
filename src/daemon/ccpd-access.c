/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "ccpd-access.h"

#include <errno.h>

#include "alloc-util.h"
#include "bus-error.h"
#include "ccpd-announce.h"
#include "ccpd-instance-bus.h"
#include "ccpd-job-bus.h"
#include "ccpd-logs.h"
#include "ccpd-manager.h"
#include "json-util.h"
#include "log.h"
#include "store-audit.h"
#include "string-util.h"
#include "uid-limit.h"
#include "user-lookup.h"
#include "validate.h"

/* Entries of calls that were denied, of one user: a second and at once. Those left out are counted in the
 * next. */
#define DENIAL_RATE 1U
#define DENIAL_BURST 20U

/* Calls of one user that are let in and not answered yet. */
#define WAITING_MAX 32U

/* Sessions whose first call is on record already. */
#define SESSIONS_MAX 1024U

/* An instance that nobody was granted anything for. */
#define NO_INSTANCE "-"

typedef struct SeenSession {
        char *key; /* "UID SESSION" */
        UT_hash_handle hh;
} SeenSession;

struct Access {
        Manager *manager;
        UserLookup *lookup;
        BusAuth *auth;
        UidLimit *denials;
        SeenSession *sessions; /* oldest first */
        RoleRecords *roles;    /* NULL: not read yet, nobody has one */
        uint64_t generation;
};

/* --- the table --- */

/* Where a call says what it is about. */
typedef enum About {
        ABOUT_FLEET,
        ABOUT_PATH,    /* the object's path */
        ABOUT_SLUG,    /* the first argument, a slug; empty, where that may be said: the fleet */
        ABOUT_NEW,     /* the same, of an instance that is not there yet: takes a role for the fleet */
        ABOUT_ID,      /* the first argument, the id of a job */
        ABOUT_SILENCE, /* the first argument, the id of a silence */
        ABOUT_BACKUP,  /* the first argument, the id of a backup */
} About;

typedef struct AccessRule {
        const char *interface, *member; /* member NULL: all */
        const char *verb, *phrase;      /* for polkit; for a person, who may not … this instance */
        const char *action;             /* NULL: that of the path, or of the job's kind */
        About about;
        AuditAction audit;
} AccessRule;

#define NO_AUDIT _AUDIT_ACTION_INVALID
#define DBUS(name) "org.freedesktop.DBus." name

static const AccessRule rules[] = {
        { CCP_INTERFACE_MANAGER, "CreateInstance", "create", "create", CCP_ACTION_CREATE, ABOUT_NEW,
                        AUDIT_INSTANCE_CREATE },
        { CCP_INTERFACE_MANAGER, "RestoreInstance", "restore-instance", "make an instance of a backup",
                        CCP_ACTION_RESTORE, ABOUT_NEW, AUDIT_INSTANCE_CREATE },
        { CCP_INTERFACE_MANAGER, "PlanInstance", "plan", "plan", CCP_ACTION_CREATE, ABOUT_NEW, NO_AUDIT },
        { CCP_INTERFACE_MANAGER, "GetInstance", "get", "look at", CCP_ACTION_VIEW, ABOUT_SLUG, NO_AUDIT },
        { CCP_INTERFACE_MANAGER, "GetJob", "get-job", "look at jobs", CCP_ACTION_VIEW, ABOUT_ID, NO_AUDIT },
        { CCP_INTERFACE_MANAGER, "GetBlueprint", "get-blueprint", "look at blueprints",
                        CCP_ACTION_VIEW_CONFIGURATION, ABOUT_FLEET, NO_AUDIT },
        { CCP_INTERFACE_MANAGER, "ListInstances", "list", "look at the fleet", CCP_ACTION_VIEW, ABOUT_FLEET,
                        NO_AUDIT },
        { CCP_INTERFACE_MANAGER, "ListJobs", "list-jobs", "look at jobs", CCP_ACTION_VIEW, ABOUT_FLEET,
                        NO_AUDIT },
        { CCP_INTERFACE_MANAGER, "GetUse", "get-use", "look at the fleet", CCP_ACTION_VIEW, ABOUT_FLEET,
                        NO_AUDIT },
        { CCP_INTERFACE_MANAGER, "GetMetrics", "get-metrics", "read the metrics", CCP_ACTION_VIEW_METRICS,
                        ABOUT_FLEET, NO_AUDIT },
        { CCP_INTERFACE_MANAGER, "ListBackups", "list-backups", "look at backups", CCP_ACTION_VIEW,
                        ABOUT_FLEET, NO_AUDIT },
        { CCP_INTERFACE_MANAGER, "VerifyBackup", "verify-backup", "verify this backup", CCP_ACTION_OPERATE,
                        ABOUT_BACKUP, AUDIT_BACKUP_VERIFY },
        { CCP_INTERFACE_MANAGER, "ExportBackup", "export-backup", "export this backup", CCP_ACTION_RESTORE,
                        ABOUT_BACKUP, AUDIT_BACKUP_EXPORT },
        { CCP_INTERFACE_MANAGER, "BeginImport", "begin-import", "import a backup", CCP_ACTION_RESTORE,
                        ABOUT_FLEET, NO_AUDIT },
        { CCP_INTERFACE_MANAGER, "ImportBackup", "import-backup", "import a backup", CCP_ACTION_RESTORE,
                        ABOUT_FLEET, AUDIT_BACKUP_IMPORT },
        { CCP_INTERFACE_MANAGER, "ReplicateBackup", "replicate-backup", "copy this backup to the storage",
                        CCP_ACTION_OPERATE, ABOUT_BACKUP, AUDIT_BACKUP_REPLICATE },
        { CCP_INTERFACE_MANAGER, "FetchBackup", "fetch-backup", "get this backup from the storage",
                        CCP_ACTION_OPERATE, ABOUT_BACKUP, AUDIT_BACKUP_FETCH },
        { CCP_INTERFACE_MANAGER, "SetStorage", "set-storage", "name the storage of backups",
                        CCP_ACTION_MANAGE_STORAGE, ABOUT_FLEET, AUDIT_STORAGE_SET },
        { CCP_INTERFACE_MANAGER, "ForgetStorage", "forget-storage", "forget the storage of backups",
                        CCP_ACTION_MANAGE_STORAGE, ABOUT_FLEET, AUDIT_STORAGE_FORGET },
        { CCP_INTERFACE_MANAGER, "GetStorage", "get-storage", "look at the storage of backups",
                        CCP_ACTION_VIEW_CONFIGURATION, ABOUT_FLEET, NO_AUDIT },
        { CCP_INTERFACE_MANAGER, "TestStorage", "test-storage", "try the storage of backups",
                        CCP_ACTION_MANAGE_STORAGE, ABOUT_FLEET, NO_AUDIT },
        { CCP_INTERFACE_MANAGER, "ListStorage", "list-storage", "list what is in the storage of backups",
                        CCP_ACTION_VIEW_CONFIGURATION, ABOUT_FLEET, NO_AUDIT },
        { CCP_INTERFACE_MANAGER, "OpenCopy", "open-copy", "take a backup out of the storage",
                        CCP_ACTION_RESTORE, ABOUT_FLEET, AUDIT_BACKUP_EXPORT },
        { CCP_INTERFACE_MANAGER, "DrillBackup", "drill-backup", "drill this backup", CCP_ACTION_OPERATE,
                        ABOUT_BACKUP, AUDIT_BACKUP_DRILL },
        { CCP_INTERFACE_MANAGER, "DeleteBackup", "delete-backup", "delete this backup",
                        CCP_ACTION_DELETE_BACKUP, ABOUT_BACKUP, AUDIT_BACKUP_DELETE },
        { CCP_INTERFACE_MANAGER, "BackupAll", "backup-all", "back up the fleet", CCP_ACTION_OPERATE,
                        ABOUT_FLEET, AUDIT_BACKUP_CREATE },
        { CCP_INTERFACE_MANAGER, "PlanRetention", "plan-retention", "look at the backups of",
                        CCP_ACTION_VIEW, ABOUT_SLUG, NO_AUDIT },
        { CCP_INTERFACE_MANAGER, "PruneBackups", "prune-backups", "delete backups of",
                        CCP_ACTION_DELETE_BACKUP, ABOUT_SLUG, AUDIT_BACKUP_DELETE },
        { CCP_INTERFACE_MANAGER, "ListPorts", "list-ports", "look at ports", CCP_ACTION_VIEW, ABOUT_FLEET,
                        NO_AUDIT },
        { CCP_INTERFACE_MANAGER, "QueryHealth", "query-health", "look at the history of health",
                        CCP_ACTION_VIEW, ABOUT_FLEET, NO_AUDIT },
        { CCP_INTERFACE_MANAGER, "Subscribe", "subscribe", "be told of changes", CCP_ACTION_VIEW,
                        ABOUT_FLEET, NO_AUDIT },
        { CCP_INTERFACE_MANAGER, "Unsubscribe", "unsubscribe", "be told of changes", CCP_ACTION_VIEW,
                        ABOUT_FLEET, NO_AUDIT },
        { CCP_INTERFACE_MANAGER, "ListBlueprints", "list-blueprints", "look at blueprints",
                        CCP_ACTION_VIEW_CONFIGURATION, ABOUT_FLEET, NO_AUDIT },
        { CCP_INTERFACE_MANAGER, "Doctor", "doctor", "have the host looked at",
                        CCP_ACTION_VIEW_CONFIGURATION, ABOUT_FLEET, NO_AUDIT },
        { CCP_INTERFACE_MANAGER, "GetSettings", "get-settings", "look at the settings",
                        CCP_ACTION_VIEW_CONFIGURATION, ABOUT_FLEET, NO_AUDIT },
        { CCP_INTERFACE_MANAGER, "EnrollRecoveryKey", "enroll-recovery-key", "enroll recovery keys",
                        CCP_ACTION_MANAGE_KEYS, ABOUT_FLEET, AUDIT_KEY_ENROLL },
        { CCP_INTERFACE_MANAGER, "ConfirmRecoveryKey", "confirm-recovery-key", "enroll recovery keys",
                        CCP_ACTION_MANAGE_KEYS, ABOUT_FLEET, AUDIT_KEY_ENROLL },
        { CCP_INTERFACE_MANAGER, "ForgetRecoveryKey", "forget-recovery-key", "forget recovery keys",
                        CCP_ACTION_MANAGE_KEYS, ABOUT_FLEET, AUDIT_KEY_FORGET },
        { CCP_INTERFACE_MANAGER, "RotateMasterKey", "rotate-master-key", "replace the master key",
                        CCP_ACTION_MANAGE_KEYS, ABOUT_FLEET, AUDIT_KEY_ROTATE },
        { CCP_INTERFACE_MANAGER, "ListRecoveryKeys", "list-recovery-keys", "look at recovery keys",
                        CCP_ACTION_VIEW_CONFIGURATION, ABOUT_FLEET, NO_AUDIT },
        { CCP_INTERFACE_MANAGER, "SetSettings", "set-settings", "change settings",
                        CCP_ACTION_MANAGE_SETTINGS, ABOUT_FLEET, AUDIT_SETTINGS_UPDATE },
        { CCP_INTERFACE_MANAGER, "Reload", "reload", "have the blueprints read again",
                        CCP_ACTION_MANAGE_SETTINGS, ABOUT_FLEET, AUDIT_BLUEPRINTS_RELOAD },
        { CCP_INTERFACE_MANAGER, "GrantRole", "grant-role", "grant roles", CCP_ACTION_MANAGE_ROLES,
                        ABOUT_FLEET, AUDIT_USER_CREATE },
        { CCP_INTERFACE_MANAGER, "RevokeRole", "revoke-role", "revoke roles", CCP_ACTION_MANAGE_ROLES,
                        ABOUT_FLEET, AUDIT_USER_DELETE },
        { CCP_INTERFACE_MANAGER, "ListRoles", "list-roles", "look at roles", CCP_ACTION_MANAGE_ROLES,
                        ABOUT_FLEET, NO_AUDIT },
        { CCP_INTERFACE_MANAGER, "ListAlerts", "list-alerts", "look at alerts", CCP_ACTION_VIEW, ABOUT_FLEET,
                        NO_AUDIT },
        { CCP_INTERFACE_MANAGER, "ListSilences", "list-silences", "look at alerts", CCP_ACTION_VIEW,
                        ABOUT_FLEET, NO_AUDIT },
        { CCP_INTERFACE_MANAGER, "SilenceAlerts", "silence", "silence alerts of", CCP_ACTION_MANAGE_ALERTS,
                        ABOUT_SLUG, AUDIT_ALERT_SILENCE },
        { CCP_INTERFACE_MANAGER, "UnsilenceAlerts", "unsilence", "end this silence",
                        CCP_ACTION_MANAGE_ALERTS, ABOUT_SILENCE, AUDIT_ALERT_UNSILENCE },
        { CCP_INTERFACE_MANAGER, "TestAlert", "test-alert", "send alerts", CCP_ACTION_MANAGE_ALERTS,
                        ABOUT_FLEET, NO_AUDIT },
        { CCP_INTERFACE_MANAGER, "RevealAlertSecret", "reveal-alert-secret",
                        "reveal the secret of the webhook", CCP_ACTION_REVEAL_SECRET, ABOUT_FLEET,
                        AUDIT_SECRET_REVEAL },
        { CCP_INTERFACE_MANAGER, "RotateAlertSecret", "rotate-alert-secret",
                        "change the secret of the webhook", CCP_ACTION_MANAGE_SETTINGS, ABOUT_FLEET,
                        AUDIT_SECRET_ROTATE },
        { CCP_INTERFACE_MANAGER, "QueryAudit", "query-audit", "look at the audit record",
                        CCP_ACTION_VIEW_AUDIT, ABOUT_FLEET, NO_AUDIT },
        { CCP_INTERFACE_MANAGER, "VerifyAudit", "verify-audit", "verify the audit record",
                        CCP_ACTION_VIEW_AUDIT, ABOUT_FLEET, NO_AUDIT },

        { CCP_INTERFACE_INSTANCE, "Start", "start", "start", CCP_ACTION_OPERATE, ABOUT_PATH,
                        AUDIT_INSTANCE_START },
        { CCP_INTERFACE_INSTANCE, "Stop", "stop", "stop", CCP_ACTION_OPERATE, ABOUT_PATH,
                        AUDIT_INSTANCE_STOP },
        { CCP_INTERFACE_INSTANCE, "Restart", "restart", "restart", CCP_ACTION_OPERATE, ABOUT_PATH,
                        AUDIT_INSTANCE_RESTART },
        { CCP_INTERFACE_INSTANCE, "Delete", "delete", "delete", CCP_ACTION_DELETE, ABOUT_PATH,
                        AUDIT_INSTANCE_DELETE },
        { CCP_INTERFACE_INSTANCE, "Backup", "backup", "back up", CCP_ACTION_OPERATE, ABOUT_PATH,
                        AUDIT_BACKUP_CREATE },
        { CCP_INTERFACE_INSTANCE, "Restore", "restore", "restore", CCP_ACTION_RESTORE, ABOUT_PATH,
                        AUDIT_INSTANCE_RESTORE },
        { CCP_INTERFACE_INSTANCE, "UndoRestore", "undo-restore", "undo the restore of", CCP_ACTION_RESTORE,
                        ABOUT_PATH, AUDIT_RESTORE_UNDO },
        { CCP_INTERFACE_INSTANCE, "DiscardRestore", "discard-restore",
                        "discard what was kept before the restore of", CCP_ACTION_RESTORE, ABOUT_PATH,
                        AUDIT_RESTORE_DISCARD },
        { CCP_INTERFACE_INSTANCE, "CheckHealth", "check-health", "check the health of", CCP_ACTION_OPERATE,
                        ABOUT_PATH, NO_AUDIT },
        { CCP_INTERFACE_INSTANCE, "QueryHealth", "query-health", "look at the history of", CCP_ACTION_VIEW,
                        ABOUT_PATH, NO_AUDIT },
        { CCP_INTERFACE_INSTANCE, "OpenLogs", "open-logs", "read the logs of", CCP_ACTION_VIEW_LOGS,
                        ABOUT_PATH, NO_AUDIT },
        { CCP_INTERFACE_INSTANCE, "ReadLogs", "read-logs", "read the logs of", CCP_ACTION_VIEW_LOGS,
                        ABOUT_PATH, NO_AUDIT },
        { CCP_INTERFACE_INSTANCE, "GetUse", "get-use", "look at", CCP_ACTION_VIEW, ABOUT_PATH, NO_AUDIT },
        { CCP_INTERFACE_INSTANCE, "ListServices", "list-services", "look at", CCP_ACTION_VIEW, ABOUT_PATH,
                        NO_AUDIT },
        { CCP_INTERFACE_INSTANCE, "SetSettings", "set", "change settings of", CCP_ACTION_OPERATE, ABOUT_PATH,
                        AUDIT_INSTANCE_UPDATE },
        { CCP_INTERFACE_INSTANCE, "SetRetention", "set-retention", "say which backups are kept of",
                        CCP_ACTION_DELETE_BACKUP, ABOUT_PATH, AUDIT_INSTANCE_UPDATE },
        { CCP_INTERFACE_INSTANCE, "ListSecrets", "list-secrets", "look at the secrets of",
                        CCP_ACTION_REVEAL_SECRET, ABOUT_PATH, NO_AUDIT },
        { CCP_INTERFACE_INSTANCE, "RevealSecret", "reveal-secret", "reveal a secret of",
                        CCP_ACTION_REVEAL_SECRET, ABOUT_PATH, AUDIT_SECRET_REVEAL },

        { CCP_INTERFACE_JOB, "Cancel", "cancel", "cancel this job", CCP_ACTION_OPERATE, ABOUT_PATH,
                        AUDIT_JOB_CANCEL },
        { CCP_INTERFACE_JOB, "Retry", "retry", "retry this job", NULL, ABOUT_PATH, NO_AUDIT },

        { DBUS("Properties"), NULL, "get-properties", "look at", NULL, ABOUT_PATH, NO_AUDIT },
        { DBUS("Introspectable"), NULL, "introspect", "look at", NULL, ABOUT_PATH, NO_AUDIT },
        { DBUS("ObjectManager"), NULL, "list", "look at", NULL, ABOUT_PATH, NO_AUDIT },
};

/* Who may read the objects below a path; NULL: root alone. */
static const struct {
        const char *prefix, *action;
} paths[] = {
        { CCP_PATH_BLUEPRINT "/", CCP_ACTION_VIEW_CONFIGURATION },
        { CCP_BUS_PATH, CCP_ACTION_VIEW },
        { "/org/freedesktop", NULL },
        { "/", CCP_ACTION_VIEW },
};

/* --- what a call is about --- */

static const AccessRule *find_rule(const char *interface, const char *member) {
        FOREACH_ARRAY(r, rules, ELEMENTSOF(rules))
                if (streq(r->interface, interface) && (!r->member || streq(r->member, member)))
                        return r;
        return NULL;
}

static const char *action_of_path(const char *path) {
        FOREACH_ARRAY(p, paths, ELEMENTSOF(paths))
                if (startswith(path, p->prefix))
                        return p->action;
        return NULL;
}

/* A string as the first argument, borrowed from the message, which is rewound; NULL if there is none. */
static const char *first_argument(sd_bus_message *m) {
        const char *s;

        if (!startswith(strempty(sd_bus_message_get_signature(m, /* complete= */ true)), "s") ||
                        sd_bus_message_read(m, "s", &s) < 0)
                s = NULL;
        return sd_bus_message_rewind(m, /* complete= */ true) < 0 ? NULL : s;
}

static void about_instance(AuthRequest *q, const char *slug, const char *id) {
        if (slug && slug_is_valid(slug))
                (void) snprintf(q->instance, sizeof(q->instance), "%s", slug);
        if (id)
                (void) snprintf(q->instance_id, sizeof(q->instance_id), "%s", id);
}

static void about_slug(AuthRequest *q, const Manager *m, const char *slug) {
        const Instance *i = slug ? instance_find(m, slug) : NULL;

        about_instance(q, slug, i ? i->record->id : NULL);
        q->named = true;
}

static void about_job(AuthRequest *q, const AccessRule *rule, const Job *j) {
        bool retry = streq(rule->verb, "retry");

        if (j)
                about_instance(q, j->record->slug, j->record->instance);
        if (!retry)
                return;

        /* What is tried again takes what it took at first. */
        q->action = j ? job_kind_to_action(j->record->kind) : CCP_ACTION_OPERATE;
        q->audit = j ? audit_action_of_job(j->record->kind) : AUDIT_INSTANCE_START;
}

/* One that is for all instances, or is not there, takes a role for the fleet. */
static void about_silence(AuthRequest *q, const Manager *m, const char *id) {
        const SilenceRecord *s = id ? alerts_find_silence(m, strtoull(id, NULL, 10)) : NULL;

        if (s && s->slug)
                about_instance(q, s->slug, s->instance);
}

/* Of an instance that is gone it takes a role for the fleet. */
static void about_backup(AuthRequest *q, const Manager *m, const char *text) {
        const Instance *i;
        uint64_t id;

        if (!text || decimal_id_parse(text, &id) < 0)
                return;
        i = instance_find_by_backup(m, id);
        if (i)
                about_instance(q, i->record->slug, i->record->id);
}

static void describe_path(AuthRequest *q, const Manager *m, const AccessRule *rule, const char *path) {
        _cleanup_free_ char *slug = NULL;
        const char *id;

        if (sd_bus_path_decode(path, CCP_PATH_INSTANCE, &slug) > 0)
                about_slug(q, m, slug);
        else if ((id = startswith(path, CCP_PATH_JOB "/")))
                about_job(q, rule, job_find_by_text(m, id));
        if (!q->action) {
                q->action = action_of_path(path);
                if (!q->named)
                        q->phrase = "look at this";
        }
}

/* True if a role for the fleet is what counts; else one for the instance, whether there is one or not. */
static bool is_about_fleet(const AccessRule *rule, const char *path) {
        if (rule->about == ABOUT_FLEET)
                return true;
        return rule->about == ABOUT_PATH && !startswith(path, CCP_PATH_INSTANCE "/") &&
                        !startswith(path, CCP_PATH_JOB "/");
}

static void describe_by_rule(
                AuthRequest *q, const Manager *m, const AccessRule *rule, sd_bus_message *message) {
        const char *path = sd_bus_message_get_path(message), *s = NULL;

        q->verb = rule->verb;
        q->phrase = rule->phrase;
        q->action = rule->action;
        q->audit = rule->audit;

        switch (rule->about) {
        case ABOUT_FLEET:
                break;
        case ABOUT_PATH:
                describe_path(q, m, rule, path);
                break;
        case ABOUT_SLUG:
                s = first_argument(message);
                if (!s || *s)
                        about_slug(q, m, s);
                else
                        q->phrase = "do this for the whole fleet";
                break;
        case ABOUT_NEW:
                about_instance(q, first_argument(message), NULL);
                q->named = true;
                break;
        case ABOUT_ID:
                s = first_argument(message);
                about_job(q, rule, s ? job_find_by_text(m, s) : NULL);
                break;
        case ABOUT_SILENCE:
                about_silence(q, m, first_argument(message));
                break;
        case ABOUT_BACKUP:
                about_backup(q, m, first_argument(message));
                break;
        }
}

/* --- who has which role --- */

/* The grants that are the caller's, picked out of all once. */
static int caller_update_grants(const Access *a, Caller *c) {
        const RoleGrant **grants;
        size_t n = 0;

        if (c->grants && c->grants_generation == a->generation)
                return 0;

        grants = new0(const RoleGrant *, a->roles ? a->roles->n : 0);
        if (!grants)
                return -ENOMEM;
        for (size_t k = 0; a->roles && k < a->roles->n; k++)
                if (role_grant_applies(a->roles->grants[k], &c->subject))
                        grants[n++] = a->roles->grants[k];

        free(c->grants);
        c->grants = grants;
        c->n_grants = n;
        c->grants_generation = a->generation;
        return 0;
}

static Role caller_role(const Access *a, Caller *c, const char *instance) {
        if (c->subject.uid == 0)
                return ROLE_ADMIN;
        if (caller_update_grants(a, c) < 0)
                return _ROLE_INVALID;

        return role_evaluate(c->grants, c->n_grants, &c->subject, instance);
}

static int describe(sd_bus_message *message, Caller *c, AuthRequest *q, AuthScope *ret_scope, void *userdata,
                sd_bus_error *reterr) {
        const char *interface = sd_bus_message_get_interface(message),
                   *member = sd_bus_message_get_member(message);
        Access *a = userdata;
        const AccessRule *rule;

        if (!interface)
                return sd_bus_error_setf(reterr, SD_BUS_ERROR_UNKNOWN_INTERFACE,
                                "A call must name the interface of its method.");
        if (streq(interface, DBUS("Peer"))) {
                *ret_scope = AUTH_OPEN;
                return 0;
        }

        /* What is not in the table cannot be called, by nobody. */
        rule = find_rule(interface, member);
        if (!rule)
                return sd_bus_error_setf(reterr, SD_BUS_ERROR_UNKNOWN_METHOD,
                                "There is no method %s of the interface %s.", member, interface);

        describe_by_rule(q, a->manager, rule, message);
        q->role = caller_role(a, c,
                        is_about_fleet(rule, sd_bus_message_get_path(message)) ? NULL
                                        : isempty(q->instance_id)              ? NO_INSTANCE
                                                                               : q->instance_id);
        return 0;
}

/* --- who sees what --- */

Caller *access_viewer(const Manager *m) {
        if (m->receiver)
                return m->receiver;

        return bus_auth_caller(m->access->auth, sd_bus_get_current_message(m->bus));
}

bool access_knows(const Manager *m, const char *name) {
        return callers_find(bus_auth_callers(m->access->auth), name);
}

bool access_sees_instance(const Manager *m, Caller *viewer, const Instance *i) {
        return viewer && caller_role(m->access, viewer, i->record->id) >= ROLE_CLIENT;
}

bool access_sees_job(const Manager *m, Caller *viewer, const Job *j) {
        return viewer && caller_role(m->access, viewer, j->record->instance) >= ROLE_CLIENT;
}

bool access_sees_fleet(const Manager *m, Caller *viewer) {
        return viewer && caller_role(m->access, viewer, NULL) >= ROLE_VIEWER;
}

int access_visible_instances(const Manager *m, Caller *viewer, char ***ret) {
        char **ids;
        size_t n = 0;

        ids = new0(char *, HASH_COUNT(m->instances) + 1);
        if (!ids)
                return -ENOMEM;
        for (Instance *i = m->instances; i; i = i->hh.next)
                if (access_sees_instance(m, viewer, i))
                        ids[n++] = i->record->id;

        *ret = ids;
        return 0;
}

/* --- those who are told of changes --- */

Caller *access_next_subscriber(const Manager *m, Caller *after) {
        Caller *c;

        if (!m->access)
                return NULL;

        c = after ? after->hh.next : callers_first(bus_auth_callers(m->access->auth));
        while (c && !c->subscribed)
                c = c->hh.next;
        return c;
}

int method_subscribe(sd_bus_message *message, void *userdata, _unused_ sd_bus_error *reterr) {
        Caller *c = access_viewer(userdata);

        if (!c)
                return -ENXIO;
        c->subscribed = true;
        manager_begin_telling(userdata, c);
        return sd_bus_reply_method_return(message, NULL);
}

int method_unsubscribe(sd_bus_message *message, void *userdata, _unused_ sd_bus_error *reterr) {
        Caller *c = access_viewer(userdata);

        if (!c)
                return -ENXIO;
        c->subscribed = false;
        return sd_bus_reply_method_return(message, NULL);
}

static void on_subscriber_checked(Caller *c, bool allowed, _unused_ void *userdata) {
        if (!allowed)
                c->subscribed = false;
}

/* Rules changed: who is being told must still be allowed to look. */
static void on_rules_changed(void *userdata) {
        Access *a = userdata;

        logs_revoke(a->manager, NULL);

        for (Caller *c = access_next_subscriber(a->manager, NULL); c;
                        c = access_next_subscriber(a->manager, c)) {
                int r;

                r = bus_auth_recheck(a->auth, c,
                                &(AuthRequest) {
                                                .action = CCP_ACTION_VIEW,
                                                .verb = "subscribe",
                                                .role = caller_role(a, c, NULL),
                                                .audit = NO_AUDIT,
                                },
                                on_subscriber_checked);
                if (r < 0)
                        c->subscribed = false;
        }
}

/* Which of all objects each subscriber sees, in the order of subscribers and objects. */
static size_t count_views(const Manager *m) {
        size_t n = 0;

        for (Caller *c = access_next_subscriber(m, NULL); c; c = access_next_subscriber(m, c))
                n += HASH_COUNT(m->instances) + HASH_COUNT(m->jobs);
        return n;
}

static void note_views(const Manager *m, bool *views) {
        for (Caller *c = access_next_subscriber(m, NULL); c; c = access_next_subscriber(m, c)) {
                for (const Instance *i = m->instances; i; i = i->hh.next)
                        *views++ = access_sees_instance(m, c, i);
                for (const Job *j = m->jobs; j; j = j->hh.next)
                        *views++ = access_sees_job(m, c, j);
        }
}

static void tell_views(Manager *m, const bool *before) {
        for (Caller *c = access_next_subscriber(m, NULL); c; c = access_next_subscriber(m, c)) {
                for (Instance *i = m->instances; i; i = i->hh.next, before++)
                        if (i->announced && access_sees_instance(m, c, i) != *before)
                                manager_tell_instance(m, c, i, /* appears= */ !*before);
                for (Job *j = m->jobs; j; j = j->hh.next, before++)
                        if (j->announced && access_sees_job(m, c, j) != *before)
                                manager_tell_job(m, c, j, /* appears= */ !*before);
        }
}

void access_set_roles(Manager *m, RoleRecords *roles) {
        Access *a = m->access;
        _cleanup_free_ bool *before = NULL;

        before = new0(bool, count_views(m));
        if (before)
                note_views(m, before);
        else
                log_oom();

        role_records_free(a->roles);
        a->roles = roles;
        a->generation++;
        logs_revoke(m, NULL);
        if (before)
                tell_views(m, before);

        /* Who may see nothing any more is not to be told that something happened. */
        for (Caller *c = access_next_subscriber(m, NULL); c; c = access_next_subscriber(m, c))
                if (caller_role(a, c, NULL) < ROLE_CLIENT)
                        c->subscribed = false;
}

const RoleRecords *access_roles(const Access *a) {
        return a->roles;
}

UserLookup *access_user_lookup(const Access *a) {
        return a->lookup;
}

/* --- on record --- */

static void on_denied(const Caller *c, const AuthRequest *q, const char *error_name, void *userdata) {
        Access *a = userdata;
        _cleanup_error_ Error e = {};
        json_auto_t *details = NULL;
        unsigned left_out;

        if (!uid_limit_take(a->denials, c->subject.uid, now(CLOCK_MONOTONIC), NULL))
                return;

        left_out = uid_limit_reset_refused(a->denials, c->subject.uid);
        details = json_pack("{s:s, s:s}", "verb", q->verb, "role", strempty(role_to_string(q->role)));
        if (!details ||
                        (left_out > 0 &&
                                        json_object_set_new(details, "left_out", json_integer(left_out)) <
                                                        0)) {
                log_oom();
                return;
        }

        (void) store_append_audit(a->manager->db,
                        &(AuditEntry) {
                                        .action = q->audit,
                                        .outcome = AUDIT_DENIED,
                                        .actor = &c->actor,
                                        .instance = isempty(q->instance) ? NULL : q->instance,
                                        .instance_id = isempty(q->instance_id) ? NULL : q->instance_id,
                                        .error_name = error_name,
                                        .details = details,
                        },
                        NULL, NULL, NULL, &e);
}

/* What waits for an answer takes room in the one queue to PostgreSQL, which all share. */
static int check_waiting(const Access *a, const Caller *c, sd_bus_error *reterr) {
        if (c->subject.uid == 0 || operations_count(a->manager, c->subject.uid) < WAITING_MAX)
                return 0;

        return sd_bus_error_setf(reterr, CCP_ERROR_LIMIT_EXCEEDED,
                        "%u calls of yours wait for their answers already. Wait for one of them.",
                        WAITING_MAX);
}

/* Before anything of a change is looked at: where it cannot be put on record it does not happen. */
static int on_admit(const Caller *c, const AuthRequest *q, void *userdata, sd_bus_error *reterr) {
        const Access *a = userdata;
        _cleanup_error_ Error e = {};
        int r;

        r = check_waiting(a, c, reterr);
        if (r < 0 || q->audit < 0 || manager_check_store(a->manager, &e) >= 0)
                return r;

        audit_entry_log_lost(
                        &(AuditEntry) {
                                        .action = q->audit,
                                        .outcome = AUDIT_ACCEPTED,
                                        .actor = &c->actor,
                                        .instance = isempty(q->instance) ? NULL : q->instance,
                                        .instance_id = isempty(q->instance_id) ? NULL : q->instance_id,
                        },
                        &e);
        return bus_error_move(reterr, &e);
}

static void seen_session_free(Access *a, SeenSession *s) {
        HASH_DEL(a->sessions, s);
        free(s->key);
        free(s);
}

/* Returns true the first time. */
static bool note_session(Access *a, const Caller *c) {
        _cleanup_free_ char *key = NULL;
        SeenSession *s;

        if (asprintf(&key, "%u %s", (unsigned) c->subject.uid, c->actor.session) < 0) {
                key = NULL;
                return true;
        }
        HASH_FIND_STR(a->sessions, key, s);
        if (s)
                return false;

        if (HASH_COUNT(a->sessions) >= SESSIONS_MAX)
                seen_session_free(a, a->sessions);
        s = new0(SeenSession, 1);
        if (!s)
                return true;
        s->key = TAKE_PTR(key);
        HASH_ADD_KEYPTR(hh, a->sessions, s->key, strlen(s->key), s);
        return true;
}

/* The first call of a session of somebody who has a role. */
static void on_arrived(Caller *c, void *userdata) {
        Access *a = userdata;
        _cleanup_error_ Error e = {};

        if (!c->actor.session || caller_role(a, c, NULL) < ROLE_CLIENT || !note_session(a, c))
                return;

        (void) store_append_audit(a->manager->db,
                        &(AuditEntry) {
                                        .action = AUDIT_USER_LOGIN,
                                        .outcome = AUDIT_SUCCEEDED,
                                        .actor = &c->actor,
                        },
                        NULL, NULL, NULL, &e);
}

int access_new(Manager *m, Access **ret) {
        static const BusAuthHandlers handlers = {
                .describe = describe,
                .denied = on_denied,
                .admit = on_admit,
                .arrived = on_arrived,
                .changed = on_rules_changed,
        };
        _cleanup_(access_freep) Access *a = NULL;
        int r;

        a = new0(Access, 1);
        if (!a)
                return -ENOMEM;
        a->manager = m;

        a->denials = uid_limit_new(DENIAL_RATE, DENIAL_BURST);
        if (!a->denials)
                return -ENOMEM;
        r = user_lookup_new(m->event, &a->lookup);
        if (r < 0)
                return r;
        r = bus_auth_new(m->bus, a->lookup, &handlers, a, &a->auth);
        if (r < 0)
                return r;

        *ret = TAKE_PTR(a);
        return 0;
}

Access *access_free(Access *a) {
        if (!a)
                return NULL;

        bus_auth_free(a->auth);
        user_lookup_free(a->lookup);
        uid_limit_free(a->denials);
        while (a->sessions)
                seen_session_free(a, a->sessions);
        role_records_free(a->roles);
        return mfree(a);
}
