/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "ccpd-instance-bus.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "alloc-util.h"
#include "bus-append.h"
#include "bus-error.h"
#include "bus-options.h"
#include "ccpd-access.h"
#include "ccpd-backup-bus.h"
#include "ccpd-health-bus.h"
#include "ccpd-instance-settings.h"
#include "ccpd-logs-bus.h"
#include "ccpd-manager.h"
#include "ccpd-restore-bus.h"
#include "ccpd-secret-bus.h"
#include "ccpd-use-bus.h"
#include "json-util.h"
#include "log.h"
#include "slice.h"
#include "string-util.h"

#define GETTER(name)                                                                                     \
        static int name(_unused_ sd_bus *bus, _unused_ const char *path, _unused_ const char *interface, \
                        const char *property, sd_bus_message *reply, void *userdata,                     \
                        _unused_ sd_bus_error *reterr)

typedef struct InstanceString {
        const char *property;
        size_t offset;
} InstanceString;

/* Properties that are strings of the record as they are. */
static const InstanceString instance_strings[] = {
        { "Slug", offsetof(InstanceRecord, slug) },
        { "Name", offsetof(InstanceRecord, name) },
        { "Domain", offsetof(InstanceRecord, domain) },
        { "Blueprint", offsetof(InstanceRecord, blueprint) },
        { "BlueprintVersion", offsetof(InstanceRecord, blueprint_version) },
        { "Engine", offsetof(InstanceRecord, engine) },
        { "BindAddress", offsetof(InstanceRecord, bind_address) },
};

GETTER(get_string) {
        const Instance *i = userdata;

        FOREACH_ARRAY(s, instance_strings, ELEMENTSOF(instance_strings))
                if (streq(s->property, property))
                        return sd_bus_message_append(
                                        reply, "s", strempty(*(char **) ((char *) i->record + s->offset)));

        return -ENXIO;
}

GETTER(get_id) {
        (void) property;
        return sd_bus_message_append(reply, "s", ((Instance *) userdata)->record->id);
}

GETTER(get_state) {
        (void) property;
        return sd_bus_message_append(
                        reply, "s", instance_state_to_string(((Instance *) userdata)->record->state));
}

GETTER(get_health) {
        (void) property;
        return sd_bus_message_append(reply, "s", health_to_string(((Instance *) userdata)->health));
}

GETTER(get_health_reason) {
        (void) property;
        return sd_bus_message_append(reply, "s", strempty(((Instance *) userdata)->health_state.reason));
}

GETTER(get_health_since) {
        (void) property;
        return sd_bus_message_append(reply, "t", instance_health_since(userdata));
}

GETTER(get_time) {
        const InstanceRecord *i = ((const Instance *) userdata)->record;
        const struct {
                const char *name;
                usec_t t;
        } times[] = {
                { "CreatedAt", i->created_at },
                { "StateChangedAt", i->state_changed_at },
                { "LastBackupAt", i->backups.last_at },
                { "LastVerifiedAt", i->backups.verified_at },
                { "LastDrilledAt", i->backups.drilled_at },
                { "LastReplicatedAt", i->backups.replicated_at },
        };

        FOREACH_ARRAY(t, times, ELEMENTSOF(times))
                if (streq(t->name, property))
                        return sd_bus_message_append(reply, "t", t->t);
        return -ENXIO;
}

GETTER(get_restores) {
        const BackupSummary *b = &((const Instance *) userdata)->record->backups;
        int r;

        (void) property;
        r = sd_bus_message_open_container(reply, 'a', "(sstt)");
        FOREACH_ARRAY(k, b->restores, b->n_restores) {
                char id[DECIMAL_ID_MAX], backup[DECIMAL_ID_MAX] = "";

                (void) snprintf(id, sizeof(id), "%" PRIu64, k->id);
                if (k->backup > 0)
                        (void) snprintf(backup, sizeof(backup), "%" PRIu64, k->backup);
                if (r >= 0)
                        r = sd_bus_message_append(
                                        reply, "(sstt)", id, backup, k->switched_at, k->keep_until);
        }
        return r < 0 ? r : sd_bus_message_close_container(reply);
}

GETTER(get_ports) {
        const Instance *i = userdata;
        int r;

        (void) property;
        r = sd_bus_message_open_container(reply, 'a', "{sq}");
        if (r < 0)
                return r;
        FOREACH_ARRAY(p, i->record->ports, i->record->n_ports) {
                r = sd_bus_message_append(reply, "{sq}", p->name, p->number);
                if (r < 0)
                        return r;
        }
        return sd_bus_message_close_container(reply);
}

GETTER(get_subnet) {
        const Instance *i = userdata;

        (void) property;
        return sd_bus_message_append(
                        reply, "s", i->record->has_subnet ? SUBNET_FORMAT(&i->record->subnet) : "");
}

GETTER(get_features) {
        (void) property;
        return sd_bus_message_append_strv(reply, ((Instance *) userdata)->record->features);
}

GETTER(get_parameters) {
        const Instance *i = userdata;
        const char *key;
        json_t *value;
        int r;

        (void) property;
        r = sd_bus_message_open_container(reply, 'a', "{ss}");
        if (r < 0)
                return r;
        json_object_foreach(i->record->parameters, key, value) {
                _cleanup_free_ char *text = NULL;

                if (!json_is_string(value)) {
                        text = json_format(value, JSON_ENCODE_ANY | JSON_COMPACT);
                        if (!text)
                                return -ENOMEM;
                }
                r = sd_bus_message_append(reply, "{ss}", key, text ?: json_string_value(value));
                if (r < 0)
                        return r;
        }
        return sd_bus_message_close_container(reply);
}

GETTER(get_limits) {
        const ResourceLimits *limits = &((Instance *) userdata)->record->limits;
        int r;

        (void) property;
        r = sd_bus_message_open_container(reply, 'a', "{ss}");
        for (LimitKind k = 0; r >= 0 && k < _LIMIT_KIND_MAX; k++) {
                const char *text = LIMIT_FORMAT(limits, k);

                if (!isempty(text))
                        r = sd_bus_message_append(reply, "{ss}", limit_kind_to_string(k), text);
        }
        return r < 0 ? r : sd_bus_message_close_container(reply);
}

GETTER(get_revision) {
        (void) property;
        return sd_bus_message_append(reply, "t", (uint64_t) ((Instance *) userdata)->record->revision);
}

/* Directory, project and slice follow from the slug. */
GETTER(get_derived) {
        const Instance *i = userdata;
        _cleanup_free_ char *s = NULL;
        int r;

        if (streq(property, "Slice")) {
                r = slice_from_slug(i->record->slug, &s);
                if (r < 0)
                        return r;
        } else
                s = streq(property, "Project") ? strjoin(i->record->slug, CCP_PROJECT_SUFFIX)
                                               : strjoin(CCP_INSTANCES_DIR "/", i->record->slug);
        if (!s)
                return -ENOMEM;

        return sd_bus_message_append(reply, "s", s);
}

GETTER(get_job) {
        const Instance *i = userdata;
        _cleanup_free_ char *job = NULL;

        (void) property;
        if (i->job) {
                job = job_path(i->job);
                if (!job)
                        return -ENOMEM;
        }
        return sd_bus_message_append(reply, "o", job ?: "/");
}

GETTER(get_error) {
        const Instance *i = userdata;

        (void) property;
        return sd_bus_message_append(
                        reply, "(ss)", strempty(i->record->error_name), strempty(i->record->error_message));
}

#define SERVICE_TYPE "(sssssttuibss)"

GETTER(get_drift) {
        const Drifts *l = &((Instance *) userdata)->drifts;
        int r;

        (void) property;
        r = sd_bus_message_open_container(reply, 'a', "(sst)");
        if (r < 0)
                return r;
        FOREACH_ARRAY(d, l->items, l->n) {
                r = sd_bus_message_append(
                                reply, "(sst)", drift_kind_to_string(d->kind), d->subject, d->since);
                if (r < 0)
                        return r;
        }
        return sd_bus_message_close_container(reply);
}

GETTER(get_repair) {
        (void) property;
        return sd_bus_message_append(
                        reply, "s", repair_mode_to_string(((Instance *) userdata)->record->repair));
}

GETTER(get_backup_settings) {
        (void) property;
        return instance_append_backup_settings(reply, userdata);
}

GETTER(get_backup_schedule) {
        (void) property;
        return sd_bus_message_append(reply, "s", instance_schedule(userdata));
}

GETTER(get_recovery) {
        const Instance *i = userdata;
        const RecoveryAttempts *a = &i->record->recovery;

        (void) property;
        return sd_bus_message_append(reply, "(sut)", a->n > 0 ? recovery_reason_to_string(a->reason) : "",
                        a->n, recovery_next_of(i->manager->recovery, i));
}

GETTER(get_stopped_services) {
        (void) property;
        return sd_bus_message_append_strv(reply, ((Instance *) userdata)->record->stopped_services);
}

GETTER(get_services) {
        const Instance *i = userdata;
        int r;

        (void) property;
        r = sd_bus_message_open_container(reply, 'a', SERVICE_TYPE);
        if (r < 0)
                return r;
        FOREACH_ARRAY(s, i->services, i->n_services) {
                r = sd_bus_message_append(reply, SERVICE_TYPE, s->name, service_kind_to_string(s->kind),
                                container_state_to_string(s->observation.state),
                                container_health_to_string(s->observation.health), strempty(s->container),
                                s->observation.since, s->started, s->n_restarts, s->observation.exit_code,
                                (int) s->observation.oom_killed, strempty(s->image), strempty(s->image_id));
                if (r < 0)
                        return r;
        }
        return sd_bus_message_close_container(reply);
}

void operation_answer_created(
                Operation *o, int r, InstanceRecord *instance, JobRecord *job, const Error *error) {
        _cleanup_(instance_record_freep) InstanceRecord *taken_instance = instance;
        _cleanup_(job_record_freep) JobRecord *taken_job = job;
        Manager *m = operation_manager(o);
        Job *j;

        if (r >= 0 && taken_instance)
                r = manager_take_instance(m, &taken_instance, NULL);
        if (r >= 0)
                r = manager_take_job(m, &taken_job, &j);
        if (r < 0) {
                _cleanup_error_ Error e = {};

                if (!error_is_set(error))
                        (void) error_set_errnof(&e, r, "Cannot follow the job: %m");
                operation_fail(o, error_is_set(error) ? error : &e);
                return;
        }

        job_answer_when_accepted(j, o);
}

static void on_job_created(int r, InstanceRecord *instance, JobRecord *job, Error *error, void *userdata) {
        operation_answer_created(userdata, r, instance, job, error);
}

static int check_job_allowed(const Instance *i, JobKind kind, Error *reterr) {
        int r;

        r = manager_check_store(i->manager, reterr);
        if (r < 0)
                return r;
        r = manager_check_engine(i->manager, reterr);
        if (r >= 0 && kind == JOB_BACKUP)
                r = manager_check_sealing(i->manager, reterr);
        if (r < 0)
                return r;

        if (i->job)
                return error_setf(reterr, CCP_ERROR_BUSY,
                                "Job %" PRIu64
                                " (%s) is at work on '%s'. Wait for it (ccpctl job follow %" PRIu64
                                ") or cancel it (ccpctl job cancel %" PRIu64 ").",
                                i->job->record->id, job_kind_to_string(i->job->record->kind),
                                i->record->slug, i->job->record->id, i->job->record->id);
        if (!instance_state_allows(i->record->state, kind))
                return error_setf(reterr, CCP_ERROR_WRONG_STATE, "'%s' is %s: %s is not possible now.",
                                i->record->slug, instance_state_to_string(i->record->state),
                                job_kind_to_string(kind));
        return 0;
}

int instance_submit_job(Instance *i, JobKind kind, const json_t *spec, Operation *o, Error *reterr) {
        int r;

        r = check_job_allowed(i, kind, reterr);
        if (r < 0)
                return r;

        return store_create_job(i->manager->db,
                        &(StoreJobCreate) {
                                        .instance = i->record->id,
                                        .kind = kind,
                                        .spec = spec,
                                        .details = spec,
                                        .actor = operation_actor(o),
                        },
                        on_job_created, o, NULL, reterr);
}

int manager_submit_backup_job(
                Manager *m, JobKind kind, uint64_t backup, bool last, Operation *o, Error *reterr) {
        _cleanup_json_ json_t *spec = json_pack("{s:o}", "backup", json_sprintf("%" PRIu64, backup));
        int r;

        if (!spec || (last && json_object_set_new(spec, "last", json_true()) < 0))
                return error_set_errnof(reterr, ENOMEM, "%m");
        r = manager_check_store(m, reterr);
        if (r < 0)
                return r;

        return store_create_job(m->db,
                        &(StoreJobCreate) {
                                        .backup = backup,
                                        .last = last,
                                        .kind = kind,
                                        .spec = spec,
                                        .details = spec,
                                        .actor = operation_actor(o),
                        },
                        on_job_created, o, NULL, reterr);
}

const char *job_kind_to_action(JobKind kind) {
        static const char *const actions[_JOB_KIND_MAX] = {
                [JOB_CREATE] = CCP_ACTION_CREATE,
                [JOB_CLONE] = CCP_ACTION_RESTORE,
                [JOB_START] = CCP_ACTION_OPERATE,
                [JOB_STOP] = CCP_ACTION_OPERATE,
                [JOB_RESTART] = CCP_ACTION_OPERATE,
                [JOB_DELETE] = CCP_ACTION_DELETE,
                [JOB_BACKUP] = CCP_ACTION_OPERATE,
                [JOB_RESTORE] = CCP_ACTION_RESTORE,
                [JOB_UNDO_RESTORE] = CCP_ACTION_RESTORE,
                [JOB_DISCARD_RESTORE] = CCP_ACTION_RESTORE,
                [JOB_VERIFY] = CCP_ACTION_OPERATE,
                [JOB_DRILL] = CCP_ACTION_OPERATE,
                [JOB_IMPORT] = CCP_ACTION_RESTORE,
                [JOB_DELETE_BACKUP] = CCP_ACTION_DELETE_BACKUP,
                [JOB_REPLICATE] = CCP_ACTION_OPERATE,
                [JOB_FETCH] = CCP_ACTION_OPERATE,
        };

        assert(kind >= 0 && kind < _JOB_KIND_MAX);
        return actions[kind];
}

int instance_submit_for(sd_bus_message *message, Instance *i, JobKind kind, const json_t *spec) {
        _cleanup_error_ Error e = {};
        Operation *o;
        int r;

        o = operation_new(i->manager, message);
        if (!o)
                return -ENOMEM;

        r = instance_submit_job(i, kind, spec, o, &e);
        if (r < 0)
                operation_fail(o, &e);
        return 1;
}

static int submit_without_options(sd_bus_message *message, Instance *i, JobKind kind, const json_t *spec,
                sd_bus_error *reterr) {
        _cleanup_error_ Error e = {};
        int r;

        r = bus_read_options(message, NULL, 0, NULL, &e);
        return r < 0 ? bus_error_move(reterr, &e) : instance_submit_for(message, i, kind, spec);
}

static int method_delete(sd_bus_message *message, void *userdata, sd_bus_error *reterr) {
        return submit_without_options(message, userdata, JOB_DELETE, NULL, reterr);
}

bool instance_knows_service(const Instance *i, const char *name) {
        const Blueprint *b = blueprint_cache_find(i->manager->blueprints, i->record->blueprint);

        if (b && blueprint_find_service(b, name))
                return true;
        FOREACH_ARRAY(s, i->services, i->n_services)
                if (streq(s->name, name))
                        return true;
        return false;
}

/* The services that a call names, as a job's spec; *ret stays NULL where it names none, which means all. */
static int read_services(sd_bus_message *message, const Instance *i, json_t **ret, sd_bus_error *reterr) {
        _cleanup_json_ json_t *services = NULL;
        const char *name;
        int r;

        services = json_array();
        if (!services)
                return -ENOMEM;

        r = sd_bus_message_enter_container(message, 'a', "s");
        if (r < 0)
                return r;
        while ((r = sd_bus_message_read(message, "s", &name)) > 0) {
                if (json_array_size(services) >= BUS_OPTION_ITEMS_MAX || !instance_knows_service(i, name))
                        return sd_bus_error_setf(reterr, CCP_ERROR_INVALID_ARGUMENT,
                                        "'%s' has no service '%.64s'. See: ccpctl status %s",
                                        i->record->slug, string_is_safe(name) ? name : "?", i->record->slug);
                if (json_array_append_new(services, json_string(name)) < 0)
                        return -ENOMEM;
        }
        if (r < 0)
                return r;
        r = sd_bus_message_exit_container(message);
        if (r < 0 || json_array_size(services) == 0)
                return r;

        *ret = json_pack("{s:O}", "services", services);
        return *ret ? 0 : -ENOMEM;
}

/* The worker sees to that too: the state may be another one when it is its turn. */
static int check_partial(const Instance *i, sd_bus_error *reterr) {
        if (IN_SET(i->record->state, INSTANCE_RUNNING, INSTANCE_FAILED) || i->job)
                return 0;

        return sd_bus_error_setf(reterr, CCP_ERROR_WRONG_STATE,
                        "'%s' is %s, and so are all its services. Start it: ccpctl start %s",
                        i->record->slug, instance_state_to_string(i->record->state), i->record->slug);
}

static int submit_for_services(sd_bus_message *message, Instance *i, JobKind kind, sd_bus_error *reterr) {
        _cleanup_json_ json_t *spec = NULL;
        int r;

        r = read_services(message, i, &spec, reterr);
        if (r < 0)
                return r;
        if (spec) {
                r = check_partial(i, reterr);
                if (r < 0)
                        return r;
        }

        return submit_without_options(message, i, kind, spec, reterr);
}

static int method_start(sd_bus_message *message, void *userdata, sd_bus_error *reterr) {
        return submit_for_services(message, userdata, JOB_START, reterr);
}

static int method_stop(sd_bus_message *message, void *userdata, sd_bus_error *reterr) {
        return submit_for_services(message, userdata, JOB_STOP, reterr);
}

static int method_restart(sd_bus_message *message, void *userdata, sd_bus_error *reterr) {
        return submit_for_services(message, userdata, JOB_RESTART, reterr);
}

const sd_bus_vtable instance_vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_PROPERTY("Id", "s", get_id, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("Slug", "s", get_string, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("Name", "s", get_string, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("Domain", "s", get_string, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("Blueprint", "s", get_string, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("BlueprintVersion", "s", get_string, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("Engine", "s", get_string, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("State", "s", get_state, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("StateChangedAt", "t", get_time, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("Health", "s", get_health, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("HealthReason", "s", get_health_reason, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("HealthSince", "t", get_health_since, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("Ports", "a{sq}", get_ports, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("Subnet", "s", get_subnet, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("BindAddress", "s", get_string, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("Features", "as", get_features, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("Parameters", "a{ss}", get_parameters, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("Limits", "a{ss}", get_limits, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("Revision", "t", get_revision, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("Directory", "s", get_derived, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("Project", "s", get_derived, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("Slice", "s", get_derived, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("Job", "o", get_job, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("Error", "(ss)", get_error, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("CreatedAt", "t", get_time, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("Services", "a" SERVICE_TYPE, get_services, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("Drift", "a(sst)", get_drift, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("Repair", "s", get_repair, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("BackupSettings", "a{ss}", get_backup_settings, 0,
                        SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("BackupSchedule", "s", get_backup_schedule, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("LastBackupAt", "t", get_time, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("LastVerifiedAt", "t", get_time, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("LastDrilledAt", "t", get_time, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("LastReplicatedAt", "t", get_time, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("Restores", "a(sstt)", get_restores, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("Recovery", "(sut)", get_recovery, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("StoppedServices", "as", get_stopped_services, 0,
                        SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),

        SD_BUS_METHOD_WITH_ARGS("Start", SD_BUS_ARGS("as", services, "a{sv}", options),
                        SD_BUS_RESULT("o", job), method_start, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Stop", SD_BUS_ARGS("as", services, "a{sv}", options),
                        SD_BUS_RESULT("o", job), method_stop, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Restart", SD_BUS_ARGS("as", services, "a{sv}", options),
                        SD_BUS_RESULT("o", job), method_restart, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Delete", SD_BUS_ARGS("a{sv}", options), SD_BUS_RESULT("o", job),
                        method_delete, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Backup", SD_BUS_ARGS("a{sv}", options), SD_BUS_RESULT("o", job),
                        method_backup, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Restore", SD_BUS_ARGS("s", backup, "a{sv}", options),
                        SD_BUS_RESULT("o", job), method_restore, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("UndoRestore", SD_BUS_ARGS("a{sv}", options), SD_BUS_RESULT("o", job),
                        method_undo_restore, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("DiscardRestore", SD_BUS_ARGS("a{sv}", options), SD_BUS_RESULT("o", job),
                        method_discard_restore, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("CheckHealth", SD_BUS_ARGS("a{sv}", options), SD_BUS_RESULT("a{sv}", health),
                        method_check_health, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("QueryHealth", SD_BUS_ARGS("a{sv}", options),
                        SD_BUS_RESULT("aa{sv}", periods), method_query_health, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("OpenLogs", SD_BUS_ARGS("as", services, "a{sv}", options),
                        SD_BUS_RESULT("h", stream), method_open_logs, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("ReadLogs", SD_BUS_ARGS("as", services, "a{sv}", options),
                        SD_BUS_RESULT("aa{sv}", entries, "s", cursor), method_read_logs,
                        SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("GetUse", SD_BUS_ARGS("a{sv}", options), SD_BUS_RESULT("a{sv}", use),
                        method_get_instance_use, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("ListServices", SD_BUS_NO_ARGS, SD_BUS_RESULT("aa{sv}", services),
                        method_list_services, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("SetSettings", SD_BUS_ARGS("a{sv}", settings), SD_BUS_NO_RESULT,
                        method_set_instance_settings, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("SetRetention", SD_BUS_ARGS("a{sv}", settings), SD_BUS_NO_RESULT,
                        method_set_retention, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("ListSecrets", SD_BUS_NO_ARGS, SD_BUS_RESULT("a(sut)", secrets),
                        method_list_secrets, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("RevealSecret", SD_BUS_ARGS("s", name, "a{sv}", options),
                        SD_BUS_RESULT("h", secret), method_reveal_secret, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_VTABLE_END,
};

static int append_path(_unused_ sd_bus *bus, _unused_ const char *path, _unused_ const char *interface,
                _unused_ const char *property, sd_bus_message *reply, void *userdata,
                _unused_ sd_bus_error *reterr) {
        _cleanup_free_ char *own = instance_path(userdata);

        return own ? sd_bus_message_append(reply, "o", own) : -ENOMEM;
}

int instance_append_row(sd_bus_message *reply, Instance *i) {
        static const struct {
                const char *name, *signature;
                sd_bus_property_get_t get;
        } columns[] = {
                { "Path", "o", append_path },
                { "Slug", "s", get_string },
                { "Name", "s", get_string },
                { "Domain", "s", get_string },
                { "Blueprint", "s", get_string },
                { "State", "s", get_state },
                { "StateChangedAt", "t", get_time },
                { "Health", "s", get_health },
                { "HealthReason", "s", get_health_reason },
                { "HealthSince", "t", get_health_since },
                { "Error", "(ss)", get_error },
                { "Subnet", "s", get_subnet },
                { "LastBackupAt", "t", get_time },
        };
        int r;

        r = sd_bus_message_open_container(reply, 'a', "{sv}");
        FOREACH_ARRAY(c, columns, ELEMENTSOF(columns)) {
                if (r >= 0)
                        r = bus_open_entry(reply, c->name, c->signature);
                if (r >= 0)
                        r = c->get(NULL, NULL, NULL, c->name, reply, i, NULL);
                if (r >= 0)
                        r = bus_close_entry(reply);
        }
        return r < 0 ? r : sd_bus_message_close_container(reply);
}

int instance_object_find(_unused_ sd_bus *bus, const char *path, _unused_ const char *interface,
                void *userdata, void **ret_found, _unused_ sd_bus_error *reterr) {
        _cleanup_free_ char *slug = NULL;
        Instance *i;

        if (sd_bus_path_decode(path, CCP_PATH_INSTANCE, &slug) <= 0)
                return 0;

        i = instance_find(userdata, slug);
        if (!i)
                return 0;

        *ret_found = i;
        return 1;
}

int instance_object_enumerate(_unused_ sd_bus *bus, _unused_ const char *prefix, void *userdata,
                char ***ret_nodes, _unused_ sd_bus_error *reterr) {
        Manager *m = userdata;
        Caller *viewer = access_viewer(m);
        char **nodes;
        size_t n = 0;

        nodes = new0(char *, HASH_COUNT(m->instances) + 1);
        if (!nodes)
                return -ENOMEM;

        for (Instance *i = m->instances; i; i = i->hh.next) {
                if (!access_sees_instance(m, viewer, i))
                        continue;
                nodes[n] = instance_path(i);
                if (!nodes[n]) {
                        strv_free(nodes);
                        return -ENOMEM;
                }
                n++;
        }

        *ret_nodes = nodes;
        return 0;
}
