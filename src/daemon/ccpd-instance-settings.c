/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "ccpd-instance-settings.h"

#include <errno.h>
#include <stdlib.h>

#include "alloc-util.h"
#include "bus-error.h"
#include "bus-options.h"
#include "ccpd-manager.h"
#include "json-util.h"
#include "string-util.h"

#define DEFAULT_TEXT "default"

static void on_recorded(int r, InstanceRecord *instance, Error *error, void *userdata) {
        _cleanup_(instance_record_freep) InstanceRecord *taken = instance;
        Operation *o = userdata;
        _cleanup_error_ Error e = {};

        if (r >= 0)
                r = manager_take_instance(operation_manager(o), &taken, NULL);
        if (r >= 0) {
                operation_reply(o, NULL);
                return;
        }

        if (!error_is_set(error))
                (void) error_set_errnof(&e, r, "Cannot take the setting over: %m");
        operation_fail(o, error_is_set(error) ? error : &e);
}

/* What is to be set, while PID 1 is asked whether it takes a schedule among it. */
typedef struct Pending {
        Operation *operation;
        char instance[STORE_ID_MAX];
        RepairMode repair;
        json_t *backup, *details;
} Pending;

static void pending_free(void *userdata) {
        Pending *p = userdata;

        operation_free(p->operation);
        json_decref(p->backup);
        json_decref(p->details);
        free(p);
}

static void on_checked(const Error *error, void *userdata) {
        Pending *p = userdata;
        Operation *o = TAKE_PTR(p->operation);
        const StoreInstanceSettings settings = {
                .repair = p->repair,
                .backup = p->backup,
                .actor = operation_actor(o),
                .details = p->details,
        };
        _cleanup_error_ Error e = {};

        if (!error &&
                        store_set_instance(operation_manager(o)->db, p->instance, &settings, on_recorded, o,
                                        NULL, &e) < 0)
                error = &e;
        if (error)
                operation_fail(o, error);
}

/* The rest of a method that sets something. 'backup' may be NULL. */
static int record(sd_bus_message *message, Instance *i, RepairMode repair, json_t *backup, json_t *details,
                sd_bus_error *reterr) {
        Manager *m = i->manager;
        _cleanup_error_ Error e = {};
        Pending *p;
        int r;

        r = manager_check_store(m, &e);
        if (r < 0)
                return bus_error_move(reterr, &e);
        p = new0(Pending, 1);
        if (!p)
                return -ENOMEM;
        *p = (Pending) {
                .operation = operation_new(m, message),
                .repair = repair,
                .backup = json_incref(backup),
                .details = json_incref(details),
        };
        memcpy(p->instance, i->record->id, sizeof(p->instance));
        if (!p->operation) {
                pending_free(p);
                return -ENOMEM;
        }

        r = schedules_check(m->schedules, backup, on_checked, p, pending_free);
        return r < 0 ? r : 1;
}

typedef struct InstanceSettings {
        const char *repair, *schedule, *consistency;
} InstanceSettings;

static const BusOption instance_settings[] = {
        { "repair", "s", offsetof(InstanceSettings, repair) },
        { "backup_schedule", "s", offsetof(InstanceSettings, schedule) },
        { "backup_consistency", "s", offsetof(InstanceSettings, consistency) },
};

/* As the same setting of the fleet. */
static int read_backup_setting(const char *key, const char *text, json_t *changes, Error *reterr) {
        json_t *value = streq(text, DEFAULT_TEXT) ? json_null() : json_string(text);

        if (json_object_set_new(changes, key, value) < 0)
                return error_set_errnof(reterr, ENOMEM, "%m");
        return settings_validate(key, value, reterr);
}

int method_set_instance_settings(sd_bus_message *message, void *userdata, sd_bus_error *reterr) {
        _cleanup_json_ json_t *backup = json_object(), *details = NULL;
        RepairMode repair = _REPAIR_MODE_INVALID;
        InstanceSettings settings = {};
        _cleanup_error_ Error e = {};
        int r;

        r = bus_read_options(message, instance_settings, ELEMENTSOF(instance_settings), &settings, &e);
        if (r >= 0 && !settings.repair && !settings.schedule && !settings.consistency)
                r = error_setf(&e, CCP_ERROR_INVALID_ARGUMENT,
                                "No setting was given. There are repair: off, on or default; "
                                "backup_schedule: a calendar expression, off or default; and "
                                "backup_consistency: auto, live, paused, cold or default.");
        if (r >= 0 && settings.repair) {
                repair = repair_mode_from_string(settings.repair);
                if (repair < 0)
                        r = error_setf(&e, CCP_ERROR_INVALID_ARGUMENT,
                                        "The setting 'repair' has to be off, on or default.");
        }
        if (r >= 0 && settings.schedule)
                r = read_backup_setting("backup_schedule", settings.schedule, backup, &e);
        if (r >= 0 && settings.consistency)
                r = read_backup_setting("backup_consistency", settings.consistency, backup, &e);
        if (r < 0)
                return bus_error_move(reterr, &e);

        details = json_deep_copy(backup);
        if (!details ||
                        (settings.repair &&
                                        json_object_set_new(details, "repair",
                                                        json_string(settings.repair)) < 0))
                return -ENOMEM;
        return record(message, userdata, repair, backup, details, reterr);
}

/* --- how many backups are kept --- */

typedef struct Keep {
        const char *last, *daily, *weekly, *monthly;
} Keep;

static const BusOption keep_options[] = {
        { "backup_keep_last", "s", offsetof(Keep, last) },
        { "backup_keep_daily", "s", offsetof(Keep, daily) },
        { "backup_keep_weekly", "s", offsetof(Keep, weekly) },
        { "backup_keep_monthly", "s", offsetof(Keep, monthly) },
};

/* As the same setting of the fleet, or null for "default". */
static int parse_count(const char *key, const char *text, json_t **ret, Error *reterr) {
        _cleanup_json_ json_t *value = NULL;
        char *end = NULL;
        long long n = 0;
        int r;

        if (streq(text, DEFAULT_TEXT)) {
                *ret = json_null();
                return 0;
        }

        errno = 0;
        if (text[0] >= '0' && text[0] <= '9')
                n = strtoll(text, &end, 10);
        value = end && !*end && errno == 0 ? json_integer(n) : json_string("");
        if (!value)
                return error_set_errnof(reterr, ENOMEM, "%m");
        r = settings_validate(key, value, reterr);
        if (r >= 0)
                *ret = TAKE_PTR(value);
        return r;
}

int method_set_retention(sd_bus_message *message, void *userdata, sd_bus_error *reterr) {
        _cleanup_json_ json_t *changes = json_object();
        _cleanup_error_ Error e = {};
        Keep keep = {};
        int r;

        if (!changes)
                return -ENOMEM;
        r = bus_read_options(message, keep_options, ELEMENTSOF(keep_options), &keep, &e);
        FOREACH_ARRAY(o, keep_options, ELEMENTSOF(keep_options)) {
                const char *text = *(const char *const *) ((const char *) &keep + o->offset);
                json_t *value = NULL;

                if (r < 0 || !text)
                        continue;
                r = parse_count(o->key, text, &value, &e);
                if (r >= 0 && json_object_set_new(changes, o->key, value) < 0)
                        return -ENOMEM;
        }
        if (r >= 0 && json_object_size(changes) == 0)
                r = error_setf(&e, CCP_ERROR_INVALID_ARGUMENT,
                                "No setting was given. There are backup_keep_last, backup_keep_daily, "
                                "backup_keep_weekly and backup_keep_monthly: a number, or default.");
        if (r < 0)
                return bus_error_move(reterr, &e);

        return record(message, userdata, _REPAIR_MODE_INVALID, changes, changes, reterr);
}

/* --- what holds --- */

static unsigned count_of(const Instance *i, const char *key, unsigned otherwise) {
        const json_t *value = json_object_get(i->record->backup_settings, key);

        return json_is_integer(value) ? (unsigned) json_integer_value(value) : otherwise;
}

RetentionPolicy instance_retention(const Instance *i) {
        const RetentionPolicy *fleet = &i->manager->settings->backup_keep;

        return (RetentionPolicy) {
                .last = count_of(i, "backup_keep_last", fleet->last),
                .daily = count_of(i, "backup_keep_daily", fleet->daily),
                .weekly = count_of(i, "backup_keep_weekly", fleet->weekly),
                .monthly = count_of(i, "backup_keep_monthly", fleet->monthly),
        };
}

int instance_append_backup_settings(sd_bus_message *m, const Instance *i) {
        const char *key;
        json_t *value;
        int r;

        r = sd_bus_message_open_container(m, 'a', "{ss}");
        json_object_foreach(i->record->backup_settings, key, value) {
                _cleanup_free_ char *text = json_is_string(value) ? strdup(json_string_value(value))
                                                                  : json_format(value, JSON_ENCODE_ANY);

                if (!text)
                        return -ENOMEM;
                if (r >= 0)
                        r = sd_bus_message_append(m, "{ss}", key, text);
        }
        return r < 0 ? r : sd_bus_message_close_container(m);
}
