/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "ccpd-reload.h"

#include <inttypes.h>
#include <stdio.h>

#include "alloc-util.h"
#include "ccpd-access.h"
#include "ccpd-announce.h"
#include "ccpd-audit.h"
#include "ccpd-notify.h"
#include "ccpd-restore-keep.h"
#include "ccpd-use.h"
#include "event-util.h"
#include "log.h"
#include "store-audit.h"
#include "store-schedule.h"
#include "string-util.h"

/* How soon what could not be read, of the records or of the units, is read again. */
#define RESYNC_DELAY_USEC (5 * USEC_PER_SEC)

struct ManagerReload {
        Manager *manager;
        uint64_t job; /* 0: an instance */
        char instance[STORE_ID_MAX];
        bool again;
        DbSlot *slot;
        ManagerReload *prev, *next;
};

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

void manager_forget_reloads(Manager *m) {
        while (m->reloads)
                manager_reload_free(m->reloads);
}

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

static void on_gone_backups_loaded(int r, const GoneBackups *gone, Error *error, void *userdata) {
        Manager *m = userdata;

        if (r < 0) {
                log_debug("Failed to read the backups of what is gone, all is read again later: %s",
                                error->message);
                manager_resync_later(m);
                return;
        }

        m->gone_backups = *gone;
        alerts_note_host(m);
}

static void manager_load_gone_backups(Manager *m) {
        _cleanup_error_ Error e = {};

        if (store_load_gone_backups(m->db, on_gone_backups_loaded, m, NULL, &e) < 0) {
                log_debug("Failed to read the backups of what is gone, all is read again later: %s",
                                e.message);
                manager_resync_later(m);
        }
}

/* 'record' is NULL: it is gone. */
static int take_instance(Manager *m, const char *id, InstanceRecord **record) {
        Instance *i;

        if (*record)
                return manager_take_instance(m, record, NULL);

        i = instance_find_by_id(m, id);
        if (i)
                manager_remove_instance(i);
        return 0;
}

int manager_take_loaded_job(Manager *m, JobRecord **job, InstanceRecord **instance) {
        int r = 0;

        if (job_state_is_final((*job)->state))
                r = take_instance(m, (*job)->instance, instance);
        return r < 0 ? r : manager_take_job(m, job, NULL);
}

static void on_job_reloaded(int r, JobRecord *job, InstanceRecord *instance, Error *error, void *userdata) {
        ManagerReload *q = userdata;
        Manager *m = q->manager;
        _cleanup_(job_record_freep) JobRecord *taken = job;
        _cleanup_(instance_record_freep) InstanceRecord *taken_instance = instance;
        uint64_t id = q->job;
        bool again = manager_reload_end(q);

        if (r < 0) {
                log_debug("Failed to read job %" PRIu64 ", all is read again later: %s", id, error->message);
                manager_resync_later(m);
        } else if (taken) {
                r = manager_take_loaded_job(m, &taken, &taken_instance);
                if (r < 0) {
                        log_oom();
                        manager_resync_later(m);
                }
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
        } else {
                bool gone = !taken;

                r = take_instance(m, id, &taken);
                if (r < 0)
                        log_oom();
                if (gone)
                        manager_load_gone_backups(m);
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
        else if (streq(channel, STORE_CHANNEL_SCHEDULE))
                schedules_read(m->schedules);
        else if (streq(channel, STORE_CHANNEL_STORAGE))
                storage_read(m->storage);
        else if (strlen(payload) == STORE_ID_MAX - 1) {
                manager_reload_instance(m, payload);
                /* Also of one that is gone: its backups are still there. */
                storage_queue(m->storage);
        }
}

static int manager_merge(Manager *m, StoreContents *contents) {
        Instance *i, *next_instance;
        int r;

        settings_free(m->settings);
        m->settings = TAKE_PTR(contents->settings);
        access_set_roles(m, TAKE_PTR(contents->roles));
        recovery_set_record(m->recovery, TAKE_PTR(contents->recovery));
        manager_set_recovery_keys(m, TAKE_PTR(contents->recovery_keys));
        manager_set_sealed_keys(m, contents->sealed_keys, contents->n_sealed_keys);
        m->gone_backups = *contents->gone_backups;

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
        schedules_read(m->schedules);
        storage_read(m->storage);
        alerts_note_loaded(m);
        audit_start_pruning(m);
        restore_keep_start(m);
        key_rotation_note_loaded(m->rotation);
        /* Else once the storage is read, too: who calls then is not told to try again. */
        if (storage_is_known(m->storage))
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

int manager_follow_records(Manager *m) {
        static const char *const channels[] = { STORE_CHANNEL_JOB, STORE_CHANNEL_INSTANCE,
                STORE_CHANNEL_ROLE, STORE_CHANNEL_AUDIT, STORE_CHANNEL_HEALTH, STORE_CHANNEL_USE,
                STORE_CHANNEL_SCHEDULE, STORE_CHANNEL_STORAGE, NULL };

        db_set_state_callback(m->db, on_store_state, m);
        db_set_notify_callback(m->db, channels, on_store_notification, m);
        return db_start(m->db);
}
