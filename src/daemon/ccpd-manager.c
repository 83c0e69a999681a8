/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "ccpd-manager.h"

#include <inttypes.h>
#include <stdio.h>
#include <systemd/sd-daemon.h>

#include "alloc-util.h"
#include "bus-log-control.h"
#include "ccpd-access.h"
#include "ccpd-announce.h"
#include "ccpd-audit.h"
#include "ccpd-job-queue.h"
#include "ccpd-logs.h"
#include "ccpd-manager-bus.h"
#include "ccpd-notify.h"
#include "ccpd-use.h"
#include "event-util.h"
#include "fd-util.h"
#include "log.h"
#include "store-audit.h"
#include "string-util.h"

/* How soon a verdict that only time changes is looked at again. */
#define HEALTH_INTERVAL_USEC (1 * USEC_PER_SEC)

/* How soon what could not be read, of the records or of the units, is read again. */
#define RESYNC_DELAY_USEC (5 * USEC_PER_SEC)

/* How often PID 1 is asked, without a cause, which workers it has, as long as there are jobs. */
#define UNITS_INTERVAL_USEC (5 * USEC_PER_MINUTE)
#define UNITS_ACCURACY_USEC (10 * USEC_PER_SEC)

/* Answers of org.freedesktop.DBus.RequestName(). */
#define BUS_NAME_PRIMARY_OWNER 1U
#define BUS_NAME_ALREADY_OWNER 4U

static const char *const engine_state_table[_ENGINE_STATE_MAX] = {
        [ENGINE_UNKNOWN] = "unknown",
        [ENGINE_AVAILABLE] = "available",
        [ENGINE_UNAVAILABLE] = "unavailable",
};
DEFINE_STRING_TABLE(engine_state, EngineState);

struct ManagerReload {
        Manager *manager;
        uint64_t job; /* 0: an instance */
        char instance[STORE_ID_MAX];
        bool again;
        DbSlot *slot;
        ManagerReload *prev, *next;
};

int manager_new(sd_event *event, Manager **ret) {
        _cleanup_(manager_freep) Manager *m = NULL;
        int r;

        m = new0(Manager, 1);
        if (!m)
                return -ENOMEM;

        m->event = sd_event_ref(event);
        m->notify_fd = -EBADF;

        r = settings_new(&m->settings);
        if (r < 0)
                return r;

        m->blueprints = blueprint_cache_new();
        if (!m->blueprints)
                return -ENOMEM;

        m->sweeps = sweeps_new(m);
        if (!m->sweeps)
                return -ENOMEM;

        r = db_new(event, NULL, &m->db);
        if (r < 0)
                return r;
        r = recovery_new(m, &m->recovery);
        if (r < 0)
                return r;

        r = alerts_new(m, &m->alerts);
        if (r < 0)
                return r;

        *ret = TAKE_PTR(m);
        return 0;
}

static void manager_reload_free(ManagerReload *q) {
        if (q->prev)
                q->prev->next = q->next;
        else
                q->manager->reloads = q->next;
        if (q->next)
                q->next->prev = q->prev;

        db_slot_unref(q->slot);
        free(q);
}

Manager *manager_free(Manager *m) {
        if (!m)
                return NULL;

        while (m->reloads)
                manager_reload_free(m->reloads);
        sweeps_free(m->sweeps);
        while (m->log_readers)
                log_reader_free(m->log_readers);
        manager_forget_use(m);
        alerts_free(m->alerts);
        db_free(m->db);
        m->recovery = recovery_free(m->recovery);
        while (m->jobs)
                job_free(m->jobs);
        while (m->instances)
                instance_free(m->instances);
        while (m->operations)
                operation_free(m->operations);

        unit_client_free(m->units);
        sd_event_source_unref(m->notify_source);
        sd_event_source_unref(m->emit_source);
        sd_event_source_unref(m->health_source);
        sd_event_source_unref(m->retry_source);
        sd_event_source_unref(m->resync_source);
        sd_event_source_unref(m->prune_source);
        sd_event_source_unref(m->later_source);
        sd_event_source_unref(m->units_source);
        safe_close(m->notify_fd);
        access_free(m->access);
        sd_bus_flush_close_unref(m->bus);

        vault_free(m->vault);
        error_done(&m->vault_error);
        settings_free(m->settings);
        blueprint_cache_free(m->blueprints);
        sd_event_unref(m->event);
        return mfree(m);
}

/* --- objects and records --- */

int manager_take_instance(Manager *m, InstanceRecord **record, Instance **ret) {
        Instance *i;
        int r;

        i = instance_find(m, (*record)->slug);
        if (i && !streq(i->record->id, (*record)->id)) {
                /* The slug was freed and taken again before we heard of it. */
                manager_remove_instance(i);
                i = NULL;
        }

        if (i)
                instance_update(i, record);
        else {
                r = instance_new(m, record, &i);
                if (r < 0)
                        return r;
                instance_set_changed(i);
        }

        if (ret)
                *ret = i;
        return 0;
}

int manager_take_job(Manager *m, JobRecord **record, Job **ret) {
        Job *j;
        int r;

        j = job_find(m, (*record)->id);
        if (j)
                job_update(j, record);
        else {
                r = job_new(m, record, &j);
                if (r < 0)
                        return r;
                job_set_changed(j);
        }

        if (ret)
                *ret = j;
        return 0;
}

void manager_remove_instance(Instance *i) {
        Manager *m = i->manager;

        /* Its last changes first: signals must not come for what is gone. */
        manager_emit_changes(m);
        for (Caller *c = access_next_subscriber(m, NULL); c; c = access_next_subscriber(m, c))
                if (i->announced && access_sees_instance(m, c, i))
                        manager_tell_instance(m, c, i, /* appears= */ false);
        logs_revoke(m, i->record->id);
        alerts_note_removal(i);
        instance_free(i);
        manager_queue_emit(m);
}

static int on_health_timer(_unused_ sd_event_source *s, _unused_ uint64_t usec, void *userdata) {
        manager_update_health(userdata);
        return 0;
}

/* Not postponed by whoever asks again meanwhile. */
static void manager_watch_health(Manager *m) {
        int r;

        if (event_source_is_on(m->health_source))
                return;

        r = event_reset_time_relative(
                        m->event, &m->health_source, HEALTH_INTERVAL_USEC, 0, on_health_timer, m);
        if (r < 0)
                log_warning_errno(r, "Failed to set a timer for starting services: %m");
}

void manager_update_health(Manager *m) {
        bool again = false;

        for (Instance *i = m->instances; i; i = i->hh.next)
                again = instance_update_health(i) || again;
        if (again)
                manager_watch_health(m);
}

void manager_update_instance_health(Instance *i) {
        if (instance_update_health(i))
                manager_watch_health(i->manager);
}

void manager_set_engine_state(Manager *m, EngineState state, usec_t started) {
        if (m->engine_started != started || m->engine_state != state)
                recovery_engine_changed(m->recovery);
        m->engine_started = started;
        if (m->engine_state == state)
                return;

        if (state == ENGINE_UNAVAILABLE)
                log_notice("Docker does not answer.");
        else if (m->engine_state == ENGINE_UNAVAILABLE)
                log_notice("Docker answers again.");

        m->engine_state = state;
        m->changed = true;
        alerts_note_host(m);
        manager_update_health(m);
        manager_queue_emit(m);
}

int manager_check_store(const Manager *m, Error *reterr) {
        const char *why = db_why_unavailable(m->db);

        if (why || !m->loaded)
                return error_setf(reterr, CCP_ERROR_STORE_UNAVAILABLE,
                                "PostgreSQL is not available, nothing was changed: %s See: systemctl status "
                                "postgresql",
                                why ?: "its records were not read yet.");

        return 0;
}

int manager_check_loaded(const Manager *m, Error *reterr) {
        return m->loaded ? 0 : manager_check_store(m, reterr);
}

int manager_check_engine(const Manager *m, Error *reterr) {
        if (m->engine_state == ENGINE_UNAVAILABLE)
                return error_setf(reterr, CCP_ERROR_ENGINE_UNAVAILABLE,
                                "Docker does not answer, nothing was changed. See: systemctl status docker");

        return 0;
}

/* --- reading records again --- */

static ManagerReload *manager_find_reload(Manager *m, uint64_t job, const char *instance) {
        for (ManagerReload *q = m->reloads; q; q = q->next)
                if (q->job == job && (job > 0 || streq(q->instance, instance)))
                        return q;

        return NULL;
}

/* Frees the request; tells whether it is to be made again. */
static bool manager_reload_end(ManagerReload *q) {
        bool again = q->again;

        manager_reload_free(q);
        return again;
}

static void on_job_reloaded(int r, JobRecord *record, Error *error, void *userdata) {
        ManagerReload *q = userdata;
        Manager *m = q->manager;
        _cleanup_(job_record_freep) JobRecord *taken = record;
        uint64_t id = q->job;
        bool again = manager_reload_end(q);

        if (r < 0) {
                log_debug("Failed to read job %" PRIu64 ", all is read again later: %s", id, error->message);
                manager_resync_later(m);
        } else if (taken) {
                r = manager_take_job(m, &taken, NULL);
                if (r < 0)
                        log_oom();
        }

        if (again)
                manager_reload_job(m, id);
}

static void on_instance_reloaded(int r, InstanceRecord *record, Error *error, void *userdata) {
        ManagerReload *q = userdata;
        Manager *m = q->manager;
        _cleanup_(instance_record_freep) InstanceRecord *taken = record;
        char id[STORE_ID_MAX];
        bool again;

        memcpy(id, q->instance, sizeof(id));
        again = manager_reload_end(q);

        if (r < 0) {
                log_debug("Failed to read instance %s, all is read again later: %s", id, error->message);
                manager_resync_later(m);
        } else if (taken) {
                r = manager_take_instance(m, &taken, NULL);
                if (r < 0)
                        log_oom();
        } else {
                Instance *i = instance_find_by_id(m, id);

                if (i)
                        manager_remove_instance(i);
        }

        if (again)
                manager_reload_instance(m, id);
}

static void manager_reload_record(Manager *m, uint64_t job, const char *instance) {
        _cleanup_error_ Error e = {};
        ManagerReload *q;
        int r;

        q = manager_find_reload(m, job, instance);
        if (q) {
                q->again = true;
                return;
        }

        q = new0(ManagerReload, 1);
        if (!q) {
                log_oom();
                return;
        }
        *q = (ManagerReload) {
                .manager = m,
                .job = job,
                .next = m->reloads,
        };
        (void) snprintf(q->instance, sizeof(q->instance), "%s", strempty(instance));
        if (m->reloads)
                m->reloads->prev = q;
        m->reloads = q;

        r = job > 0 ? store_load_job(m->db, job, on_job_reloaded, q, &q->slot, &e)
                    : store_load_instance(m->db, instance, on_instance_reloaded, q, &q->slot, &e);
        if (r < 0) {
                log_debug("Failed to read a record, all is read again later: %s", e.message);
                manager_reload_free(q);
                manager_resync_later(m);
        }
}

void manager_reload_job(Manager *m, uint64_t id) {
        manager_reload_record(m, id, NULL);
}

void manager_reload_instance(Manager *m, const char *id) {
        manager_reload_record(m, 0, id);
}

static void on_roles_loaded(int r, RoleRecords *roles, Error *error, void *userdata) {
        Manager *m = userdata;

        if (r < 0) {
                log_debug("Failed to read the roles, all is read again later: %s", error->message);
                manager_resync_later(m);
                return;
        }

        access_set_roles(m, roles);
}

static void manager_load_roles(Manager *m) {
        _cleanup_error_ Error e = {};

        if (store_load_roles(m->db, on_roles_loaded, m, NULL, &e) < 0) {
                log_debug("Failed to read the roles, all is read again later: %s", e.message);
                manager_resync_later(m);
        }
}

static void on_store_notification(
                _unused_ Db *db, const char *channel, const char *payload, void *userdata) {
        Manager *m = userdata;
        uint64_t id;

        if (!m->loaded)
                return;

        if (streq(channel, STORE_CHANNEL_JOB)) {
                if (sscanf(payload, "%20" SCNu64, &id) == 1 && id > 0)
                        manager_reload_job(m, id);
        } else if (streq(channel, STORE_CHANNEL_AUDIT)) {
                if (sscanf(payload, "%" SCNu64, &id) == 1)
                        audit_announce(m, id);
        } else if (streq(channel, STORE_CHANNEL_ROLE))
                manager_load_roles(m);
        else if (streq(channel, STORE_CHANNEL_HEALTH))
                sweeps_read(m->sweeps);
        else if (streq(channel, STORE_CHANNEL_USE))
                manager_load_disk(m);
        else if (strlen(payload) == STORE_ID_MAX - 1)
                manager_reload_instance(m, payload);
}

/* --- start --- */

static void manager_want_name(Manager *m);

static int manager_merge(Manager *m, StoreContents *contents) {
        Instance *i, *next_instance;
        int r;

        settings_free(m->settings);
        m->settings = TAKE_PTR(contents->settings);
        access_set_roles(m, TAKE_PTR(contents->roles));
        recovery_set_record(m->recovery, TAKE_PTR(contents->recovery));

        /* What is known and not among the records is gone. */
        for (i = m->instances; i; i = next_instance) {
                bool found = false;

                next_instance = i->hh.next;
                for (size_t k = 0; k < contents->instances.n && !found; k++)
                        found = streq(contents->instances.items[k]->id, i->record->id);
                if (!found)
                        manager_remove_instance(i);
        }

        for (size_t k = 0; k < contents->instances.n; k++) {
                r = manager_take_instance(m, contents->instances.items + k, NULL);
                if (r < 0)
                        return r;
        }
        for (size_t k = 0; k < contents->jobs.n; k++) {
                r = manager_take_job(m, contents->jobs.items + k, NULL);
                if (r < 0)
                        return r;
        }

        return 0;
}

static int on_units_timer(_unused_ sd_event_source *s, _unused_ uint64_t usec, void *userdata) {
        manager_list_units(userdata);
        return 0;
}

void manager_list_units_later(Manager *m) {
        int r;

        if (event_source_is_on(m->units_source))
                return;

        r = event_reset_time_relative(m->event, &m->units_source, UNITS_INTERVAL_USEC, UNITS_ACCURACY_USEC,
                        on_units_timer, m);
        if (r < 0)
                log_warning_errno(r, "Failed to set a timer to look after the workers, ignoring: %m");
}

static void on_units_listed(char *const *units, const Error *error, void *userdata) {
        Manager *m = userdata;

        if (error) {
                log_error("Cannot tell which jobs run, no job is started until it is known: %s",
                                error->message);
                manager_resync_later(m);
                return;
        }

        m->units_listed = true;
        for (Job *j = m->jobs; j; j = j->hh.next) {
                char unit[JOB_UNIT_MAX];
                bool found;

                if (j->start_request)
                        continue;

                found = strv_contains(units, job_unit(j, unit));
                if (found && j->record->cancel_requested && !j->unit_active) {
                        j->unit_active = true;
                        job_queue_cancel(j);
                } else if (!found && j->unit_active)
                        job_queue_unit_ended(j);
                else
                        j->unit_active = found;
                if (j->unit_active)
                        manager_list_units_later(m);
        }

        job_queue_dispatch(m);
        recovery_queue(m->recovery);
}

void manager_list_units(Manager *m) {
        int r;

        m->units_listed = false;
        r = unit_client_list(m->units, "ccp-job@*.service", on_units_listed, m);
        if (r < 0) {
                log_error_errno(r, "Failed to ask systemd for the units of jobs: %m");
                manager_resync_later(m);
        }
}

static void on_loaded(int r, StoreContents *contents, Error *error, void *userdata) {
        Manager *m = userdata;
        _cleanup_(store_contents_freep) StoreContents *taken = contents;

        if (r < 0) {
                log_warning("Failed to read the records, trying again later: %s", error->message);
                manager_resync_later(m);
                manager_want_name(m);
                return;
        }

        r = manager_merge(m, taken);
        if (r < 0) {
                log_oom();
                manager_resync_later(m);
                return;
        }

        m->loaded = true;
        m->changed = true;
        r = manager_hear_notify(m);
        if (r < 0)
                log_error_errno(r, "Failed to listen on " CCP_NOTIFY_SOCKET ": %m");
        sweeps_take_states(m->sweeps, taken->health);
        sweeps_update_timer(m->sweeps);
        manager_queue_emit(m);
        manager_list_units(m);
        manager_load_disk(m);
        alerts_note_loaded(m);
        audit_start_pruning(m);
        manager_want_name(m);
}

static void manager_load(Manager *m) {
        _cleanup_error_ Error e = {};

        if (store_load(m->db, on_loaded, m, NULL, &e) >= 0)
                return;

        log_warning("Failed to read the records, trying again later: %s", e.message);
        manager_resync_later(m);
}

static int on_resync(_unused_ sd_event_source *s, _unused_ uint64_t usec, void *userdata) {
        Manager *m = userdata;

        /* When the store comes back all is read anyway. */
        if (db_is_available(m->db))
                manager_load(m);
        return 0;
}

void manager_resync_later(Manager *m) {
        int r;

        r = event_reset_time_relative(m->event, &m->resync_source, RESYNC_DELAY_USEC, 0, on_resync, m);
        if (r < 0)
                log_warning_errno(r, "Failed to set a timer to read the records again: %m");
}

static void on_store_state(_unused_ Db *db, bool available, const char *why, void *userdata) {
        Manager *m = userdata;

        m->changed = true;
        alerts_note_host(m);
        manager_queue_emit(m);

        if (!available) {
                if (m->loaded)
                        log_notice("PostgreSQL is not available, changes are refused until it is back: %s",
                                        why);
                else
                        log_notice("PostgreSQL is not available, ccpd waits for it: %s", why);
                manager_want_name(m);
                return;
        }

        log_info("PostgreSQL is available.");
        manager_load(m);
}

/* PID 1 says that of every unit, too, when it reads its configuration again: only its list tells. */
static void on_unit_removed(const char *unit, void *userdata) {
        Manager *m = userdata;
        Job *j = job_find(m, job_id_from_unit(unit));

        if (j && j->unit_active && !j->start_request)
                manager_list_units(m);
        alerts_note_unit(m, unit);
}

static void on_units_reset(void *userdata) {
        Manager *m = userdata;

        if (m->loaded)
                manager_list_units(m);
        alerts_note_unit(m, NULL);
}

static int on_name(sd_bus_message *reply, void *userdata, _unused_ sd_bus_error *reterr) {
        Manager *m = userdata;
        uint32_t result;
        int r;

        if (sd_bus_message_is_method_error(reply, NULL) > 0) {
                log_error("Cannot take the name " CCP_BUS_NAME ": %s",
                                sd_bus_message_get_error(reply)->message);
                return sd_event_exit(m->event, EXIT_FAILURE);
        }

        /* That somebody else has it is an ordinary answer, no error. */
        r = sd_bus_message_read(reply, "u", &result);
        if (r < 0 || !IN_SET(result, BUS_NAME_PRIMARY_OWNER, BUS_NAME_ALREADY_OWNER)) {
                log_error("Cannot take the name " CCP_BUS_NAME ": another process has it.");
                return sd_event_exit(m->event, EXIT_FAILURE);
        }

        (void) sd_notify(/* unset_environment= */ false, "READY=1\nSTATUS=Ready.");
        return 0;
}

/* Only who has the records, or can say that they are away, answers calls: callers wait at the bus until
 * then. */
static void manager_want_name(Manager *m) {
        int r;

        if (m->name_wanted)
                return;

        m->name_wanted = true;
        r = sd_bus_request_name_async(m->bus, NULL, CCP_BUS_NAME, 0, on_name, m);
        if (r < 0) {
                log_error_errno(r, "Failed to ask for the name " CCP_BUS_NAME ": %m");
                (void) sd_event_exit(m->event, EXIT_FAILURE);
        }
}

static int manager_connect_bus(Manager *m) {
        int r;

        r = sd_bus_open_system(&m->bus);
        if (r < 0)
                return log_error_errno(r, "Failed to connect to the system bus: %m");

        r = access_new(m, &m->access);
        if (r < 0)
                return log_error_errno(r, "Failed to guard the bus: %m");

        r = manager_register(m);
        if (r < 0)
                return log_error_errno(r, "Failed to register the objects: %m");

        r = bus_log_control_register(m->bus, "ccpd");
        if (r < 0)
                return log_error_errno(r, "Failed to register the log control: %m");

        r = sd_bus_attach_event(m->bus, m->event, SD_EVENT_PRIORITY_NORMAL);
        if (r < 0)
                return log_error_errno(r, "Failed to attach the bus to the event loop: %m");

        /* Without a bus there is nothing to do; PID 1 starts us again. */
        r = sd_bus_set_exit_on_disconnect(m->bus, true);
        if (r < 0)
                return log_error_errno(r, "Failed to follow the bus: %m");

        r = unit_client_new(m->bus, on_unit_removed, on_units_reset, m, &m->units);
        if (r < 0)
                return log_error_errno(r, "Failed to watch the units of jobs: %m");

        return 0;
}

int manager_start(Manager *m) {
        static const char *const channels[] = { STORE_CHANNEL_JOB, STORE_CHANNEL_INSTANCE,
                STORE_CHANNEL_ROLE, STORE_CHANNEL_AUDIT, STORE_CHANNEL_HEALTH, STORE_CHANNEL_USE, NULL };
        int r;

        r = vault_open(&m->vault, &m->vault_error);
        if (r < 0)
                log_error("%s", m->vault_error.message);
        else if (!vault_is_locked(m->vault))
                log_warning("The keys could not be locked into memory. Raise LimitMEMLOCK= of "
                            "ccpd.service.");

        r = blueprint_cache_refresh(m->blueprints);
        if (r < 0)
                return log_error_errno(r, "Failed to read the blueprints: %m");

        r = manager_connect_bus(m);
        if (r < 0)
                return r;

        r = manager_listen_notify(m);
        if (r < 0)
                return log_error_errno(r, "Failed to listen on " CCP_NOTIFY_SOCKET ": %m");

        db_set_state_callback(m->db, on_store_state, m);
        db_set_notify_callback(m->db, channels, on_store_notification, m);
        r = db_start(m->db);
        if (r < 0)
                return log_error_errno(r, "Failed to connect to PostgreSQL: %m");

        return 0;
}

void manager_reload(Manager *m) {
        int r;

        (void) sd_notifyf(/* unset_environment= */ false, "RELOADING=1\nMONOTONIC_USEC=%" PRIu64,
                        now(CLOCK_MONOTONIC));
        r = blueprint_cache_refresh(m->blueprints);
        if (r < 0)
                log_warning_errno(r, "Failed to read the blueprints, keeping the old ones: %m");
        (void) sd_notify(/* unset_environment= */ false, "READY=1");
}
