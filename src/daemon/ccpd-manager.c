/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "ccpd-manager.h"

#include <inttypes.h>
#include <systemd/sd-daemon.h>

#include "alloc-util.h"
#include "bus-log-control.h"
#include "ccpd-access.h"
#include "ccpd-announce.h"
#include "ccpd-job-batch.h"
#include "ccpd-job-queue.h"
#include "ccpd-logs.h"
#include "ccpd-manager-bus.h"
#include "ccpd-notify.h"
#include "ccpd-reload.h"
#include "ccpd-use.h"
#include "event-util.h"
#include "fd-util.h"
#include "log.h"
#include "store-recovery-key.h"
#include "string-util.h"

/* How soon a verdict that only time changes is looked at again. */
#define HEALTH_INTERVAL_USEC (1 * USEC_PER_SEC)

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
        m->key_challenges = key_challenges_new();
        m->rotation = key_rotation_new(m);
        m->transfers = transfers_new();
        if (!m->sweeps || !m->key_challenges || !m->rotation || !m->transfers)
                return -ENOMEM;

        r = db_new(event, NULL, &m->db);
        if (r < 0)
                return r;
        r = recovery_new(m, &m->recovery);
        if (r < 0)
                return r;
        r = schedules_new(m, &m->schedules);
        if (r < 0)
                return r;
        r = storage_new(m, &m->storage);
        if (r < 0)
                return r;

        r = alerts_new(m, &m->alerts);
        if (r < 0)
                return r;

        *ret = TAKE_PTR(m);
        return 0;
}

Manager *manager_free(Manager *m) {
        if (!m)
                return NULL;

        manager_forget_reloads(m);
        sweeps_free(m->sweeps);
        while (m->log_readers)
                log_reader_free(m->log_readers);
        manager_forget_use(m);
        alerts_free(m->alerts);
        m->schedules = schedules_free(m->schedules);
        m->storage = storage_free(m->storage);
        m->transfers = transfers_free(m->transfers);
        db_free(m->db);
        job_batches_forget(m);
        key_rotation_free(m->rotation);
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
        sd_event_source_unref(m->restore_keep_source);
        sd_event_source_unref(m->later_source);
        sd_event_source_unref(m->units_source);
        safe_close(m->notify_fd);
        access_free(m->access);
        sd_bus_flush_close_unref(m->bus);

        vault_free(m->vault);
        error_done(&m->vault_error);
        error_done(&m->foreign_key);
        key_challenges_free(m->key_challenges);
        recovery_key_records_free(m->recovery_keys);
        settings_free(m->settings);
        blueprint_cache_free(m->blueprints);
        sd_event_unref(m->event);
        return mfree(m);
}

/* --- objects --- */

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

static bool is_key_here(const Manager *m, const char *key_id) {
        return streq(key_id, vault_key_id(m->vault)) || streq_ptr(key_id, vault_former_key_id(m->vault));
}

/* Sealing on with a key that took another's place, whoever put it there, would leave two halves, each of which is lost
 * without a key of its own. */
void manager_set_sealed_keys(Manager *m, const StoreSealedKey *keys, size_t n) {
        bool was_set = error_is_set(&m->foreign_key);

        error_done(&m->foreign_key);
        if (!m->vault)
                return;

        for (const StoreSealedKey *k = keys; k < keys + n && !error_is_set(&m->foreign_key); k++)
                if (!is_key_here(m, k->key_id))
                        (void) error_setf(&m->foreign_key, CCP_ERROR_KEY_MISSING,
                                        "What is in the database (secrets and keys: %" PRIu64
                                        ") is sealed with "
                                        "the master key %s, but ccpd was given another one, %s.",
                                        k->n, k->key_id, vault_key_id(m->vault));
        if (error_is_set(&m->foreign_key) && !was_set)
                log_error("%s " MANAGER_KEY_ADVICE, m->foreign_key.message);
}

void manager_set_recovery_keys(Manager *m, RecoveryKeyRecords *keys) {
        recovery_key_records_free(m->recovery_keys);
        m->recovery_keys = keys;
        m->changed = true;
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

int manager_take_made(
                Manager *m, int r, InstanceRecord *instance, JobRecord *job, Error *error, Error *reterr) {
        _cleanup_(instance_record_freep) InstanceRecord *taken_instance = instance;
        _cleanup_(job_record_freep) JobRecord *taken_job = job;

        if (r < 0 && error_is_set(error)) {
                error_move(reterr, error);
                return r;
        }
        /* Of a backup whose instance went at that moment there is none. */
        if (r >= 0 && taken_instance)
                r = manager_take_instance(m, &taken_instance, NULL);
        if (r >= 0)
                r = manager_take_job(m, &taken_job, NULL);
        return r < 0 ? error_set_errnof(reterr, r, "Cannot follow the job: %m") : 0;
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

int manager_check_sealing(const Manager *m, Error *reterr) {
        if (!m->vault)
                return error_setf(reterr, CCP_ERROR_KEY_MISSING, "%s", m->vault_error.message);
        if (error_is_set(&m->foreign_key))
                return error_setf(reterr, CCP_ERROR_KEY_MISSING,
                                "%s Nothing more is sealed until that one is back. " MANAGER_KEY_ADVICE,
                                m->foreign_key.message);
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

/* --- the units of jobs --- */

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
                if (found && j->record->cancel_requested && !j->unit_active &&
                                j->record->state != JOB_WAITING) {
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
        schedules_queue(m->schedules);
        storage_queue(m->storage);
        key_rotation_note_units(m->rotation, units);
}

void manager_list_units(Manager *m) {
        int r;

        m->units_listed = false;
        r = unit_client_list(m->units, JOB_UNIT_PATTERN, on_units_listed, m);
        if (r < 0) {
                log_error_errno(r, "Failed to ask systemd for the units of jobs: %m");
                manager_resync_later(m);
        }
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

/* --- start --- */

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

void manager_want_name(Manager *m) {
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

        r = manager_follow_records(m);
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
