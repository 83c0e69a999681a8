/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "ccpd-manager-bus.h"

#include <errno.h>
#include <fnmatch.h>

#include "alloc-util.h"
#include "bus-error.h"
#include "bus-object.h"
#include "bus-options.h"
#include "ccpd-access.h"
#include "ccpd-alert-bus.h"
#include "ccpd-alert-secret.h"
#include "ccpd-audit.h"
#include "ccpd-backup-bus.h"
#include "ccpd-blueprint-bus.h"
#include "ccpd-create.h"
#include "ccpd-doctor.h"
#include "ccpd-health-bus.h"
#include "ccpd-instance-bus.h"
#include "ccpd-job-bus.h"
#include "ccpd-job-queue.h"
#include "ccpd-key-bus.h"
#include "ccpd-metrics-bus.h"
#include "ccpd-retention-bus.h"
#include "ccpd-role-bus.h"
#include "ccpd-storage-bus.h"
#include "ccpd-transfer-bus.h"
#include "ccpd-use-bus.h"
#include "log.h"
#include "store-audit.h"
#include "store-recovery-key.h"
#include "string-util.h"
#include "validate.h"

#define PATTERN_LENGTH_MAX 256U

/* --- properties --- */

static int get_version(_unused_ sd_bus *bus, _unused_ const char *path, _unused_ const char *interface,
                _unused_ const char *property, sd_bus_message *reply, _unused_ void *userdata,
                _unused_ sd_bus_error *reterr) {
        return sd_bus_message_append(reply, "s", CCP_VERSION);
}

static const char *store_state(const Manager *m) {
        return m->loaded && db_is_available(m->db) ? "available" : "unavailable";
}

static int get_store_state(_unused_ sd_bus *bus, _unused_ const char *path, _unused_ const char *interface,
                _unused_ const char *property, sd_bus_message *reply, void *userdata,
                _unused_ sd_bus_error *reterr) {
        return sd_bus_message_append(reply, "s", store_state(userdata));
}

static int get_engine_state(_unused_ sd_bus *bus, _unused_ const char *path, _unused_ const char *interface,
                _unused_ const char *property, sd_bus_message *reply, void *userdata,
                _unused_ sd_bus_error *reterr) {
        return sd_bus_message_append(
                        reply, "s", engine_state_to_string(((Manager *) userdata)->engine_state));
}

/* What each counter counts: instances in a state or of a health; neither: all. */
static const struct {
        const char *property;
        InstanceState state;
        Health health;
} counters[] = {
        { "NInstances", _INSTANCE_STATE_INVALID, _HEALTH_INVALID },
        { "NRunning", INSTANCE_RUNNING, _HEALTH_INVALID },
        { "NStopped", INSTANCE_STOPPED, _HEALTH_INVALID },
        { "NFailed", INSTANCE_FAILED, _HEALTH_INVALID },
        { "NHealthy", _INSTANCE_STATE_INVALID, HEALTH_HEALTHY },
        { "NDegraded", _INSTANCE_STATE_INVALID, HEALTH_DEGRADED },
        { "NUnhealthy", _INSTANCE_STATE_INVALID, HEALTH_UNHEALTHY },
};

/* How many of them the viewer sees. */
static uint32_t count_instances(const Manager *m, Caller *viewer, InstanceState state, Health health) {
        uint32_t n = 0;

        for (const Instance *i = m->instances; i; i = i->hh.next)
                n += (state < 0 || i->record->state == state) && (health < 0 || i->health == health) &&
                                access_sees_instance(m, viewer, i);
        return n;
}

static uint32_t count_jobs(const Manager *m, Caller *viewer) {
        uint32_t n = 0;

        for (const Job *j = m->jobs; j; j = j->hh.next)
                n += !job_state_is_final(j->record->state) && access_sees_job(m, viewer, j);
        return n;
}

static int get_counter(_unused_ sd_bus *bus, _unused_ const char *path, _unused_ const char *interface,
                const char *property, sd_bus_message *reply, void *userdata, _unused_ sd_bus_error *reterr) {
        const Manager *m = userdata;

        FOREACH_ARRAY(c, counters, ELEMENTSOF(counters))
                if (streq(c->property, property))
                        return sd_bus_message_append(reply, "u",
                                        count_instances(m, access_viewer(m), c->state, c->health));
        return -ENXIO;
}

static int get_n_alerts(_unused_ sd_bus *bus, _unused_ const char *path, _unused_ const char *interface,
                _unused_ const char *property, sd_bus_message *reply, void *userdata,
                _unused_ sd_bus_error *reterr) {
        const Manager *m = userdata;

        return sd_bus_message_append(reply, "u", alerts_count(m, access_viewer(m)));
}

static int get_n_jobs(_unused_ sd_bus *bus, _unused_ const char *path, _unused_ const char *interface,
                _unused_ const char *property, sd_bus_message *reply, void *userdata,
                _unused_ sd_bus_error *reterr) {
        const Manager *m = userdata;

        return sd_bus_message_append(reply, "u", count_jobs(m, access_viewer(m)));
}

/* It names instances of the whole fleet. */
static int get_recovery(_unused_ sd_bus *bus, _unused_ const char *path, _unused_ const char *interface,
                _unused_ const char *property, sd_bus_message *reply, void *userdata,
                _unused_ sd_bus_error *reterr) {
        const Manager *m = userdata;

        return recovery_append(reply, m->recovery, access_sees_fleet(m, access_viewer(m)));
}

/* A backup that was made now could be opened without this server. */
static int get_disaster_ready(_unused_ sd_bus *bus, _unused_ const char *path,
                _unused_ const char *interface, _unused_ const char *property, sd_bus_message *reply,
                void *userdata, _unused_ sd_bus_error *reterr) {
        const Manager *m = userdata;

        return sd_bus_message_append(reply, "b", m->recovery_keys && m->recovery_keys->n > 0);
}

/* --- looking up --- */

static int check_loaded(const Manager *m, sd_bus_error *reterr) {
        _cleanup_error_ Error e = {};
        int r;

        r = manager_check_loaded(m, &e);
        return r < 0 ? bus_error_move(reterr, &e) : 0;
}

static int method_get_instance(sd_bus_message *message, void *userdata, sd_bus_error *reterr) {
        _cleanup_free_ char *path = NULL;
        const char *slug;
        Instance *i;
        int r;

        r = sd_bus_message_read(message, "s", &slug);
        if (r < 0)
                return r;
        r = check_loaded(userdata, reterr);
        if (r < 0)
                return r;

        i = instance_find(userdata, slug);
        if (!i)
                return sd_bus_error_setf(reterr, CCP_ERROR_NO_SUCH_INSTANCE,
                                "There is no instance '%s'. See: ccpctl list", TEXT_FOR_ERROR(slug));

        path = instance_path(i);
        if (!path)
                return -ENOMEM;
        return sd_bus_reply_method_return(message, "o", path);
}

static int method_get_job(sd_bus_message *message, void *userdata, sd_bus_error *reterr) {
        _cleanup_free_ char *path = NULL;
        const char *id;
        Job *j;
        int r;

        r = sd_bus_message_read(message, "s", &id);
        if (r < 0)
                return r;
        r = check_loaded(userdata, reterr);
        if (r < 0)
                return r;

        j = job_find_by_text(userdata, id);
        if (!j)
                return sd_bus_error_setf(reterr, CCP_ERROR_NO_SUCH_JOB,
                                "There is no job '%s' among the running and the last %u. See: ccpctl job "
                                "list",
                                TEXT_FOR_ERROR(id), JOB_OBJECTS_MAX);

        path = job_path(j);
        if (!path)
                return -ENOMEM;
        return sd_bus_reply_method_return(message, "o", path);
}

static int method_get_blueprint(sd_bus_message *message, void *userdata, sd_bus_error *reterr) {
        _cleanup_free_ char *path = NULL;
        Manager *m = userdata;
        const char *name;
        int r;

        r = sd_bus_message_read(message, "s", &name);
        if (r < 0)
                return r;

        r = blueprint_cache_refresh(m->blueprints);
        if (r < 0)
                return sd_bus_error_set_errnof(reterr, r, "Cannot read the blueprints.");

        FOREACH_ARRAY(e, m->blueprints->entries, m->blueprints->n_entries)
                if (streq(e->name, name) && !e->blueprint)
                        return sd_bus_error_setf(reterr, CCP_ERROR_BLUEPRINT_INVALID, "%s",
                                        strempty(e->error.message));
        if (!blueprint_cache_find(m->blueprints, name))
                return sd_bus_error_setf(reterr, CCP_ERROR_NO_SUCH_BLUEPRINT,
                                "There is no blueprint '%s'. See: ccpctl blueprint list",
                                TEXT_FOR_ERROR(name));

        r = sd_bus_path_encode(CCP_PATH_BLUEPRINT, name, &path);
        if (r < 0)
                return r;
        return sd_bus_reply_method_return(message, "o", path);
}

/* --- lists --- */

static int check_page(uint64_t limit, sd_bus_error *reterr) {
        _cleanup_error_ Error e = {};

        return bus_check_page(limit, &e) < 0 ? bus_error_move(reterr, &e) : 0;
}

typedef struct InstanceFilter {
        const char *state, *health, *blueprint, *pattern;
} InstanceFilter;

static const BusOption instance_filter_options[] = {
        { "state", "s", offsetof(InstanceFilter, state) },
        { "health", "s", offsetof(InstanceFilter, health) },
        { "blueprint", "s", offsetof(InstanceFilter, blueprint) },
        { "pattern", "s", offsetof(InstanceFilter, pattern) },
};

static bool instance_matches(const Instance *i, const InstanceFilter *f) {
        return (!f->state || streq(instance_state_to_string(i->record->state), f->state)) &&
                        (!f->health || streq(health_to_string(i->health), f->health)) &&
                        (!f->blueprint || streq(i->record->blueprint, f->blueprint)) &&
                        (!f->pattern || fnmatch(f->pattern, i->record->slug, 0) == 0);
}

static int check_filter_value(const char *key, const char *value, int known, sd_bus_error *reterr) {
        if (value && known < 0)
                return sd_bus_error_setf(reterr, CCP_ERROR_INVALID_ARGUMENT,
                                "There is no %s '%s'. See org.changemaker.ccp1(5) for all.", key,
                                TEXT_FOR_ERROR(value));
        return 0;
}

static int instance_compare(const Instance *a, const Instance *b) {
        return strcmp(a->record->slug, b->record->slug);
}

static int reply_instances(sd_bus_message *message, Manager *m, const InstanceFilter *f, uint64_t offset,
                uint64_t limit) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        Caller *viewer = access_viewer(m);
        uint64_t n = 0;
        int r;

        r = sd_bus_message_new_method_return(message, &reply);
        if (r < 0)
                return r;
        r = sd_bus_message_open_container(reply, 'a', "a{sv}");
        if (r < 0)
                return r;

        HASH_SORT(m->instances, instance_compare);
        for (Instance *i = m->instances; i; i = i->hh.next) {
                /* In this order: how long a filter takes must not tell of what is not shown. */
                if (!access_sees_instance(m, viewer, i) || !instance_matches(i, f) || n++ < offset)
                        continue;
                if (n > offset + limit)
                        break;

                r = instance_append_row(reply, i);
                if (r < 0)
                        return r;
        }

        r = sd_bus_message_close_container(reply);
        if (r < 0)
                return r;
        return sd_bus_message_send(reply);
}

static int method_list_instances(sd_bus_message *message, void *userdata, sd_bus_error *reterr) {
        _cleanup_error_ Error e = {};
        InstanceFilter f = {};
        uint64_t offset, limit;
        int r;

        r = bus_read_options(message, instance_filter_options, ELEMENTSOF(instance_filter_options), &f, &e);
        if (r < 0)
                return bus_error_move(reterr, &e);
        r = sd_bus_message_read(message, "tt", &offset, &limit);
        if (r < 0)
                return r;
        r = check_page(limit, reterr);
        if (r < 0)
                return r;
        r = check_filter_value(
                        "state", f.state, f.state ? (int) instance_state_from_string(f.state) : 0, reterr);
        if (r < 0)
                return r;
        r = check_filter_value(
                        "health", f.health, f.health ? (int) health_from_string(f.health) : 0, reterr);
        if (r < 0)
                return r;
        /* Matched with every slug, while nobody else is served. */
        if (f.pattern && strlen(f.pattern) > PATTERN_LENGTH_MAX)
                return sd_bus_error_setf(reterr, CCP_ERROR_INVALID_ARGUMENT,
                                "A pattern has at most %u characters.", PATTERN_LENGTH_MAX);
        r = check_loaded(userdata, reterr);
        if (r < 0)
                return r;

        return reply_instances(message, userdata, &f, offset, limit);
}

typedef struct JobFilter {
        const char *instance, *state, *kind;
} JobFilter;

static const BusOption job_filter_options[] = {
        { "instance", "s", offsetof(JobFilter, instance) },
        { "state", "s", offsetof(JobFilter, state) },
        { "kind", "s", offsetof(JobFilter, kind) },
};

static int append_job(sd_bus_message *reply, Operation *o, const void *items, size_t k) {
        const JobRecord *record = ((JobRecord *const *) items)[k];

        return job_record_append(reply, record, job_find(operation_manager(o), record->id));
}

static void on_jobs_listed(int r, JobRecords *jobs, Error *error, void *userdata) {
        if (r < 0)
                operation_fail(userdata, error);
        else
                operation_reply_array(userdata, "a{sv}", jobs->items, jobs->n, append_job, "list the jobs");
}

static int method_list_jobs(sd_bus_message *message, void *userdata, sd_bus_error *reterr) {
        _cleanup_free_ char **visible = NULL;
        _cleanup_error_ Error e = {};
        Manager *m = userdata;
        StoreJobFilter filter;
        JobFilter f = {};
        uint64_t offset, limit;
        Operation *o;
        int r;

        r = bus_read_options(message, job_filter_options, ELEMENTSOF(job_filter_options), &f, &e);
        if (r < 0)
                return bus_error_move(reterr, &e);
        r = sd_bus_message_read(message, "tt", &offset, &limit);
        if (r < 0)
                return r;
        r = check_page(limit, reterr);
        if (r < 0)
                return r;

        filter = (StoreJobFilter) {
                .instance = f.instance,
                .state = f.state ? job_state_from_string(f.state) : _JOB_STATE_INVALID,
                .kind = f.kind ? job_kind_from_string(f.kind) : _JOB_KIND_INVALID,
                .offset = offset,
                .limit = limit,
        };
        r = check_filter_value("state", f.state, (int) filter.state, reterr);
        if (r < 0)
                return r;
        r = check_filter_value("kind", f.kind, (int) filter.kind, reterr);
        if (r < 0)
                return r;

        if (!access_sees_fleet(m, access_viewer(m))) {
                r = access_visible_instances(m, access_viewer(m), &visible);
                if (r < 0)
                        return r;
                filter.among = visible;
        }

        o = operation_new(m, message);
        if (!o)
                return -ENOMEM;
        r = store_list_jobs(m->db, &filter, on_jobs_listed, o, NULL, &e);
        if (r < 0)
                operation_fail(o, &e);
        return 1;
}

static int method_list_blueprints(sd_bus_message *message, void *userdata, sd_bus_error *reterr) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        Manager *m = userdata;
        int r;

        r = blueprint_cache_refresh(m->blueprints);
        if (r < 0)
                return sd_bus_error_set_errnof(reterr, r, "Cannot read the blueprints.");

        r = sd_bus_message_new_method_return(message, &reply);
        if (r < 0)
                return r;
        r = sd_bus_message_open_container(reply, 'a', "(sssso)");
        if (r < 0)
                return r;
        FOREACH_ARRAY(e, m->blueprints->entries, m->blueprints->n_entries) {
                _cleanup_free_ char *path = NULL;

                r = sd_bus_path_encode(CCP_PATH_BLUEPRINT, e->name, &path);
                if (r < 0)
                        return r;
                /* A broken one is shown too: its title says what is wrong. */
                r = sd_bus_message_append(reply, "(sssso)", e->name,
                                e->blueprint ? e->blueprint->title : strempty(e->error.message),
                                e->blueprint ? e->blueprint->version : "", e->folder,
                                e->blueprint ? path : "/");
                if (r < 0)
                        return r;
        }
        r = sd_bus_message_close_container(reply);
        if (r < 0)
                return r;
        return sd_bus_message_send(reply);
}

typedef struct ListedPort {
        const char *slug;
        const PortRecord *port;
} ListedPort;

static int listed_port_compare(const void *a, const void *b) {
        const PortRecord *x = ((const ListedPort *) a)->port, *y = ((const ListedPort *) b)->port;
        int c = strcmp(x->host, y->host);

        return c != 0 ? c : (int) x->number - (int) y->number;
}

/* By host and number. */
static int collect_ports(const Manager *m, ListedPort **ret, size_t *ret_n) {
        Caller *viewer = access_viewer(m);
        size_t n = 0, k = 0;
        ListedPort *ports;

        for (const Instance *i = m->instances; i; i = i->hh.next)
                n += access_sees_instance(m, viewer, i) ? i->record->n_ports : 0;
        ports = new0(ListedPort, n);
        if (!ports)
                return -ENOMEM;

        for (const Instance *i = m->instances; i; i = i->hh.next) {
                if (!access_sees_instance(m, viewer, i))
                        continue;
                FOREACH_ARRAY(p, i->record->ports, i->record->n_ports)
                        ports[k++] = (ListedPort) { i->record->slug, p };
        }
        if (n > 0)
                qsort(ports, n, sizeof(*ports), listed_port_compare);

        *ret = ports;
        *ret_n = n;
        return 0;
}

static int method_list_ports(sd_bus_message *message, void *userdata, sd_bus_error *reterr) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        _cleanup_free_ ListedPort *ports = NULL;
        Manager *m = userdata;
        size_t n;
        int r;

        r = check_loaded(m, reterr);
        if (r < 0)
                return r;
        r = collect_ports(m, &ports, &n);
        if (r < 0)
                return r;

        r = sd_bus_message_new_method_return(message, &reply);
        if (r < 0)
                return r;
        r = sd_bus_message_open_container(reply, 'a', "(sqss)");
        if (r < 0)
                return r;
        FOREACH_ARRAY(p, ports, n) {
                r = sd_bus_message_append(
                                reply, "(sqss)", p->slug, p->port->number, p->port->name, p->port->host);
                if (r < 0)
                        return r;
        }
        r = sd_bus_message_close_container(reply);
        if (r < 0)
                return r;
        return sd_bus_message_send(reply);
}

/* --- settings --- */

static int append_settings(sd_bus_message *reply, const Settings *settings) {
        json_auto_t *json = NULL;
        const char *key;
        json_t *value;
        int r;

        r = settings_to_json(settings, &json);
        if (r < 0)
                return r;

        r = sd_bus_message_open_container(reply, 'a', "{sv}");
        if (r < 0)
                return r;
        json_object_foreach(json, key, value) {
                r = json_is_integer(value) ? sd_bus_message_append(reply, "{sv}", key, "t",
                                                             (uint64_t) json_integer_value(value))
                                           : sd_bus_message_append(reply, "{sv}", key, "s",
                                                             strempty(json_string_value(value)));
                if (r < 0)
                        return r;
        }
        return sd_bus_message_close_container(reply);
}

static int method_get_settings(sd_bus_message *message, void *userdata, sd_bus_error *reterr) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        Manager *m = userdata;
        int r;

        r = check_loaded(m, reterr);
        if (r < 0)
                return r;

        r = sd_bus_message_new_method_return(message, &reply);
        if (r < 0)
                return r;
        r = append_settings(reply, m->settings);
        if (r < 0)
                return r;
        return sd_bus_message_send(reply);
}

/* Reads a{sv} into JSON: strings, and numbers for "t"; an empty string stands for the default. */
static int read_settings(sd_bus_message *message, json_t *changes, sd_bus_error *reterr) {
        const char *key;
        int r;

        r = sd_bus_message_enter_container(message, 'a', "{sv}");
        if (r < 0)
                return r;
        while ((r = sd_bus_message_enter_container(message, 'e', "sv")) > 0) {
                const char *contents, *s;
                json_t *value;
                uint64_t t;

                r = sd_bus_message_read(message, "s", &key);
                if (r < 0)
                        return r;
                if (json_object_get(changes, key))
                        return sd_bus_error_setf(reterr, CCP_ERROR_INVALID_ARGUMENT,
                                        "Setting '%s' is given twice.", TEXT_FOR_ERROR(key));
                if (json_object_size(changes) >= BUS_OPTION_ITEMS_MAX)
                        return sd_bus_error_setf(reterr, CCP_ERROR_LIMIT_EXCEEDED,
                                        "At most %u settings can be set at once.", BUS_OPTION_ITEMS_MAX);
                r = sd_bus_message_peek_type(message, NULL, &contents);
                if (r < 0)
                        return r;
                if (streq(contents, "s")) {
                        r = sd_bus_message_read(message, "v", "s", &s);
                        if (r < 0)
                                return r;
                        value = isempty(s) ? json_null() : json_string(s);
                } else if (streq(contents, "t")) {
                        r = sd_bus_message_read(message, "v", "t", &t);
                        if (r < 0)
                                return r;
                        value = json_integer((json_int_t) MIN(t, (uint64_t) INT64_MAX));
                } else
                        return sd_bus_error_setf(reterr, CCP_ERROR_INVALID_ARGUMENT,
                                        "Setting '%s' must have the type 's' or 't'.", TEXT_FOR_ERROR(key));
                if (json_object_set_new(changes, key, value) < 0)
                        return -ENOMEM;
                r = sd_bus_message_exit_container(message);
                if (r < 0)
                        return r;
        }
        if (r < 0)
                return r;
        return sd_bus_message_exit_container(message);
}

static void on_settings_set(int r, Settings *settings, Error *error, void *userdata) {
        Operation *o = userdata;
        Manager *m = operation_manager(o);

        if (r < 0) {
                operation_fail(o, error);
                return;
        }

        settings_free(m->settings);
        m->settings = settings;
        operation_reply(o, NULL);
        alerts_note_settings(m);
        job_queue_dispatch(m);
        sweeps_update_timer(m->sweeps);
        manager_update_health(m);
        recovery_queue(m->recovery);
        schedules_queue(m->schedules);
        storage_queue(m->storage);
        for (Instance *i = m->instances; i; i = i->hh.next)
                instance_set_changed(i);
}

/* Settings that wait for PID 1's word on a schedule among them. */
typedef struct PendingSettings {
        Operation *operation;
        json_t *changes;
} PendingSettings;

static void pending_settings_free(void *userdata) {
        PendingSettings *p = userdata;

        operation_free(p->operation);
        json_decref(p->changes);
        free(p);
}

static void on_schedule_checked(const Error *error, void *userdata) {
        PendingSettings *p = userdata;
        Operation *o = TAKE_PTR(p->operation);
        _cleanup_error_ Error e = {};

        if (!error &&
                        store_set_settings(operation_manager(o)->db, p->changes, operation_actor(o),
                                        on_settings_set, o, NULL, &e) < 0)
                error = &e;
        if (error)
                operation_fail(o, error);
}

/* All of them must be as they have to be before PID 1 is asked. */
static int check_settings(const json_t *changes, Error *reterr) {
        const char *key;
        json_t *value;
        int r;

        json_object_foreach((json_t *) changes, key, value) {
                r = settings_validate(key, value, reterr);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int method_set_settings(sd_bus_message *message, void *userdata, sd_bus_error *reterr) {
        json_auto_t *changes = NULL;
        _cleanup_error_ Error e = {};
        Manager *m = userdata;
        PendingSettings *p;
        int r;

        changes = json_object();
        if (!changes)
                return -ENOMEM;
        r = read_settings(message, changes, reterr);
        if (r < 0)
                return r;
        r = check_settings(changes, &e);
        if (r < 0)
                return bus_error_move(reterr, &e);

        p = new0(PendingSettings, 1);
        if (!p)
                return -ENOMEM;
        *p = (PendingSettings) { operation_new(m, message), TAKE_PTR(changes) };
        if (!p->operation) {
                pending_settings_free(p);
                return -ENOMEM;
        }

        r = schedules_check(m->schedules, p->changes, on_schedule_checked, p, pending_settings_free);
        return r < 0 ? r : 1;
}

static void on_reload_recorded(int r, _unused_ AuditRecord *record, Error *error, void *userdata) {
        _cleanup_(audit_record_freep) AuditRecord *taken = record;
        Operation *o = userdata;

        if (r < 0) {
                operation_fail(o, error);
                return;
        }

        manager_reload(operation_manager(o));
        operation_reply(o, NULL);
}

static int method_reload(sd_bus_message *message, void *userdata, _unused_ sd_bus_error *reterr) {
        _cleanup_error_ Error e = {};
        Manager *m = userdata;
        Operation *o;
        int r;

        o = operation_new(m, message);
        if (!o)
                return -ENOMEM;
        r = store_append_audit(m->db,
                        &(AuditEntry) {
                                        .action = AUDIT_BLUEPRINTS_RELOAD,
                                        .outcome = AUDIT_SUCCEEDED,
                                        .actor = operation_actor(o),
                        },
                        on_reload_recorded, o, NULL, &e);
        if (r < 0)
                operation_fail(o, &e);
        return 1;
}

const sd_bus_vtable manager_vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_PROPERTY("Version", "s", get_version, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("StoreState", "s", get_store_state, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("EngineState", "s", get_engine_state, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("NInstances", "u", get_counter, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("NRunning", "u", get_counter, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("NHealthy", "u", get_counter, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("NDegraded", "u", get_counter, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("NUnhealthy", "u", get_counter, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("NStopped", "u", get_counter, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("NFailed", "u", get_counter, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("NJobs", "u", get_n_jobs, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("Recovery", "a{sv}", get_recovery, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("DisasterReady", "b", get_disaster_ready, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("MasterKey", "a{sv}", property_get_master_key, 0,
                        SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("NAlerts", "u", get_n_alerts, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),

        SD_BUS_METHOD_WITH_ARGS("CreateInstance", SD_BUS_ARGS("s", slug, "s", blueprint, "a{sv}", options),
                        SD_BUS_RESULT("o", instance, "o", job), method_create_instance,
                        SD_BUS_VTABLE_UNPRIVILEGED | SD_BUS_VTABLE_SENSITIVE),
        SD_BUS_METHOD_WITH_ARGS("RestoreInstance", SD_BUS_ARGS("s", slug, "s", backup, "a{sv}", options),
                        SD_BUS_RESULT("o", instance, "o", job), method_restore_instance,
                        SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("PlanInstance", SD_BUS_ARGS("s", slug, "s", blueprint, "a{sv}", options),
                        SD_BUS_RESULT("a{sv}", plan), method_plan_instance,
                        SD_BUS_VTABLE_UNPRIVILEGED | SD_BUS_VTABLE_SENSITIVE),
        SD_BUS_METHOD_WITH_ARGS("GetInstance", SD_BUS_ARGS("s", slug), SD_BUS_RESULT("o", instance),
                        method_get_instance, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("GetJob", SD_BUS_ARGS("s", id), SD_BUS_RESULT("o", job), method_get_job,
                        SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("GetBlueprint", SD_BUS_ARGS("s", name), SD_BUS_RESULT("o", blueprint),
                        method_get_blueprint, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("ListInstances", SD_BUS_ARGS("a{sv}", filter, "t", offset, "t", limit),
                        SD_BUS_RESULT("aa{sv}", instances), method_list_instances,
                        SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("ListJobs", SD_BUS_ARGS("a{sv}", filter, "t", offset, "t", limit),
                        SD_BUS_RESULT("aa{sv}", jobs), method_list_jobs, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("ListBlueprints", SD_BUS_NO_ARGS, SD_BUS_RESULT("a(sssso)", blueprints),
                        method_list_blueprints, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("ListPorts", SD_BUS_NO_ARGS, SD_BUS_RESULT("a(sqss)", ports),
                        method_list_ports, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Doctor", SD_BUS_NO_ARGS, SD_BUS_RESULT("a(ssss)", findings), method_doctor,
                        SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("QueryHealth", SD_BUS_ARGS("a{sv}", options),
                        SD_BUS_RESULT("aa{sv}", instances), method_query_fleet_health,
                        SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("GetUse", SD_BUS_ARGS("a{sv}", options), SD_BUS_RESULT("aa{sv}", use),
                        method_get_use, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("GetMetrics", SD_BUS_ARGS("a{sv}", options), SD_BUS_RESULT("h", metrics),
                        method_get_metrics, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("GetSettings", SD_BUS_NO_ARGS, SD_BUS_RESULT("a{sv}", settings),
                        method_get_settings, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("SetSettings", SD_BUS_ARGS("a{sv}", settings), SD_BUS_NO_RESULT,
                        method_set_settings, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Reload", SD_BUS_NO_ARGS, SD_BUS_NO_RESULT, method_reload,
                        SD_BUS_VTABLE_UNPRIVILEGED),

        SD_BUS_METHOD_WITH_ARGS("Subscribe", SD_BUS_NO_ARGS, SD_BUS_NO_RESULT, method_subscribe,
                        SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Unsubscribe", SD_BUS_NO_ARGS, SD_BUS_NO_RESULT, method_unsubscribe,
                        SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("GrantRole",
                        SD_BUS_ARGS("s", role, "s", kind, "s", name, "s", instance, "a{sv}", options),
                        SD_BUS_NO_RESULT, method_grant_role, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("RevokeRole",
                        SD_BUS_ARGS("s", kind, "s", name, "s", instance, "a{sv}", options), SD_BUS_NO_RESULT,
                        method_revoke_role, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("ListRoles", SD_BUS_NO_ARGS, SD_BUS_RESULT("a(sssssts)", roles),
                        method_list_roles, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("EnrollRecoveryKey", SD_BUS_ARGS("s", public, "a{sv}", options),
                        SD_BUS_RESULT("s", id, "s", challenge), method_enroll_recovery_key,
                        SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("ConfirmRecoveryKey", SD_BUS_ARGS("s", id, "s", answer, "a{sv}", options),
                        SD_BUS_RESULT("s", key), method_confirm_recovery_key, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("ListRecoveryKeys", SD_BUS_NO_ARGS, SD_BUS_RESULT("aa{sv}", keys),
                        method_list_recovery_keys, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("ForgetRecoveryKey", SD_BUS_ARGS("s", key, "a{sv}", options),
                        SD_BUS_NO_RESULT, method_forget_recovery_key, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("RotateMasterKey", SD_BUS_ARGS("a{sv}", options), SD_BUS_NO_RESULT,
                        method_rotate_master_key, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("ListAlerts", SD_BUS_ARGS("a{sv}", filter, "t", offset, "t", limit),
                        SD_BUS_RESULT("aa{sv}", alerts), method_list_alerts, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("ListBackups", SD_BUS_ARGS("a{sv}", filter, "t", offset, "t", limit),
                        SD_BUS_RESULT("aa{sv}", backups), method_list_backups, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("VerifyBackup", SD_BUS_ARGS("s", backup, "a{sv}", options),
                        SD_BUS_RESULT("o", job), method_verify_backup, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("ExportBackup", SD_BUS_ARGS("s", backup, "a{sv}", options),
                        SD_BUS_RESULT("h", file, "s", name), method_export_backup,
                        SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("BeginImport", SD_BUS_ARGS("a{sv}", options),
                        SD_BUS_RESULT("s", token, "h", file, "h", key), method_begin_import,
                        SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("ImportBackup", SD_BUS_ARGS("s", token, "a{sv}", options),
                        SD_BUS_RESULT("o", job), method_import_backup, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("ReplicateBackup", SD_BUS_ARGS("s", backup, "a{sv}", options),
                        SD_BUS_RESULT("o", job), method_replicate_backup, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("FetchBackup", SD_BUS_ARGS("s", backup, "a{sv}", options),
                        SD_BUS_RESULT("o", job), method_fetch_backup, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("SetStorage", SD_BUS_ARGS("a{sv}", options), SD_BUS_NO_RESULT,
                        method_set_storage, SD_BUS_VTABLE_UNPRIVILEGED | SD_BUS_VTABLE_SENSITIVE),
        SD_BUS_METHOD_WITH_ARGS("ForgetStorage", SD_BUS_ARGS("a{sv}", options), SD_BUS_NO_RESULT,
                        method_forget_storage, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("GetStorage", SD_BUS_ARGS("a{sv}", options), SD_BUS_RESULT("a{sv}", storage),
                        method_get_storage, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("TestStorage", SD_BUS_ARGS("a{sv}", options),
                        SD_BUS_RESULT("a(ssss)", findings), method_test_storage, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("ListStorage", SD_BUS_ARGS("a{sv}", options, "t", offset, "t", limit),
                        SD_BUS_RESULT("aa{sv}", copies), method_list_storage, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("OpenCopy", SD_BUS_ARGS("s", key, "a{sv}", options),
                        SD_BUS_RESULT("h", connection), method_open_copy, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("DrillBackup", SD_BUS_ARGS("s", backup, "a{sv}", options),
                        SD_BUS_RESULT("o", job), method_drill_backup, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("DeleteBackup", SD_BUS_ARGS("s", backup, "a{sv}", options),
                        SD_BUS_RESULT("o", job), method_delete_backup, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("BackupAll", SD_BUS_ARGS("a{sv}", options), SD_BUS_RESULT("ao", jobs),
                        method_backup_all, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("PlanRetention", SD_BUS_ARGS("s", instance, "a{sv}", options),
                        SD_BUS_RESULT("aa{sv}", backups), method_plan_retention, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("PruneBackups", SD_BUS_ARGS("s", instance, "a{sv}", options),
                        SD_BUS_RESULT("ao", jobs), method_prune_backups, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("ListSilences", SD_BUS_NO_ARGS, SD_BUS_RESULT("aa{sv}", silences),
                        method_list_silences, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("SilenceAlerts", SD_BUS_ARGS("s", instance, "a{sv}", options),
                        SD_BUS_RESULT("s", silence), method_silence_alerts, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("UnsilenceAlerts", SD_BUS_ARGS("s", silence), SD_BUS_NO_RESULT,
                        method_unsilence_alerts, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("TestAlert", SD_BUS_ARGS("s", channel), SD_BUS_RESULT("s", id),
                        method_test_alert, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("RevealAlertSecret", SD_BUS_ARGS("a{sv}", options),
                        SD_BUS_RESULT("h", secret), method_reveal_alert_secret, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("RotateAlertSecret", SD_BUS_ARGS("a{sv}", options), SD_BUS_NO_RESULT,
                        method_rotate_alert_secret, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("QueryAudit", SD_BUS_ARGS("a{sv}", filter, "t", limit),
                        SD_BUS_RESULT("aa{sv}", entries), method_query_audit, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("VerifyAudit", SD_BUS_NO_ARGS, SD_BUS_RESULT("a{sv}", verdict),
                        method_verify_audit, SD_BUS_VTABLE_UNPRIVILEGED),

        SD_BUS_SIGNAL_WITH_ARGS("AuditAppended", SD_BUS_ARGS("t", seq), 0),
        SD_BUS_SIGNAL_WITH_ARGS("JobNew", SD_BUS_ARGS("s", id, "o", job), 0),
        SD_BUS_SIGNAL_WITH_ARGS("JobRemoved", SD_BUS_ARGS("s", id, "o", job, "s", result), 0),
        SD_BUS_VTABLE_END,
};

int manager_register(Manager *m) {
        static const BusObject objects[] = {
                { CCP_BUS_PATH, CCP_INTERFACE_MANAGER, manager_vtable, NULL, NULL },
                { CCP_PATH_INSTANCE, CCP_INTERFACE_INSTANCE, instance_vtable, instance_object_find,
                                instance_object_enumerate },
                { CCP_PATH_JOB, CCP_INTERFACE_JOB, job_vtable, job_object_find, job_object_enumerate },
                { CCP_PATH_BLUEPRINT, CCP_INTERFACE_BLUEPRINT, blueprint_vtable, blueprint_object_find,
                                blueprint_object_enumerate },
        };
        int r;

        r = bus_register_objects(m->bus, objects, ELEMENTSOF(objects), m);
        if (r < 0)
                return r;

        return sd_bus_add_object_manager(m->bus, NULL, CCP_BUS_PATH);
}
