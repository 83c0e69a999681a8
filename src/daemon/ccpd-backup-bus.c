/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "ccpd-backup-bus.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "alloc-util.h"
#include "bus-append.h"
#include "bus-error.h"
#include "bus-options.h"
#include "ccpd-access.h"
#include "ccpd-instance-bus.h"
#include "ccpd-job-batch.h"
#include "ccpd-manager.h"
#include "ccpd-schedule.h"
#include "json-util.h"
#include "store-backup.h"
#include "string-util.h"
#include "validate.h"

/* --- listing --- */

static int append_texts(sd_bus_message *m, const BackupRecord *b) {
        const struct {
                const char *key, *value;
        } strings[] = {
                { "Instance", b->slug },
                { "InstanceId", b->instance },
                { "State", backup_state_to_string(b->state) },
                { "Consistency", backup_consistency_to_string(b->consistency) },
                { "Blueprint", b->blueprint },
                { "BlueprintVersion", b->blueprint_version },
                { "File", b->file },
                { "Archive", b->archive },
                { "Error", strempty(b->error) },
                { "Signer", strempty(b->signer) },
        };
        int r = 0;

        FOREACH_ARRAY(s, strings, ELEMENTSOF(strings))
                if (r >= 0)
                        r = sd_bus_message_append(m, "{sv}", s->key, "s", s->value);
        return r;
}

static int append_id(sd_bus_message *m, const char *key, uint64_t id) {
        char text[DECIMAL_ID_MAX];

        (void) snprintf(text, sizeof(text), "%" PRIu64, id);
        return sd_bus_message_append(m, "{sv}", key, "s", text);
}

/* What its manifest says of a stream beyond its name and size; what that does not say is left out. */
static int append_entry(sd_bus_message *m, const json_t *entry) {
        static const char *const strings[][2] = {
                { "Service", "service" },
                { "Engine", "engine" },
                { "Version", "version" },
        };
        static const char *const counts[][2] = {
                { "NChanged", "n_changed" },
                { "NSkipped", "n_skipped" },
        };
        const json_t *report = json_object_get(entry, "report");
        int r;

        r = sd_bus_message_open_container(m, 'a', "{sv}");
        if (r >= 0)
                r = sd_bus_message_append(m, "{sv}{sv}{sv}", "Name", "s",
                                strempty(json_object_get_string(entry, "name")), "Kind", "s",
                                strempty(json_object_get_string(entry, "kind")), "Size", "t",
                                (uint64_t) json_integer_value(json_object_get(entry, "size")));
        FOREACH_ARRAY(s, strings, ELEMENTSOF(strings))
                if (r >= 0 && json_object_get_string(entry, (*s)[1]))
                        r = sd_bus_message_append(
                                        m, "{sv}", (*s)[0], "s", json_object_get_string(entry, (*s)[1]));
        FOREACH_ARRAY(c, counts, ELEMENTSOF(counts))
                if (r >= 0 && report)
                        r = sd_bus_message_append(m, "{sv}", (*c)[0], "t",
                                        (uint64_t) json_integer_value(json_object_get(report, (*c)[1])));
        return r < 0 ? r : sd_bus_message_close_container(m);
}

static int append_contents(sd_bus_message *m, const json_t *contents) {
        const json_t *entry;
        size_t i;
        int r;

        r = bus_open_entry_array(m, "Contents", "a{sv}");
        json_array_foreach(contents, i, entry)
                if (r >= 0)
                        r = append_entry(m, entry);
        return r < 0 ? r : bus_close_entry_array(m);
}

static int append_recovery_keys(sd_bus_message *m, const json_t *keys) {
        const json_t *key;
        size_t i;
        int r;

        if (!keys)
                return 0;
        r = bus_open_entry_array(m, "RecoveryKeys", "s");
        json_array_foreach(keys, i, key)
                if (r >= 0)
                        r = sd_bus_message_append(m, "s", strempty(json_string_value(key)));
        return r < 0 ? r : bus_close_entry_array(m);
}

static int append_backup(sd_bus_message *m, _unused_ Operation *o, const void *items, size_t k) {
        const BackupRecord *b = (const BackupRecord *) items + k;
        int r;

        r = sd_bus_message_open_container(m, 'a', "{sv}");
        if (r >= 0)
                r = append_id(m, "Id", b->id);
        if (r >= 0)
                r = append_texts(m, b);
        if (r >= 0)
                r = append_id(m, "Job", b->job);
        if (r >= 0)
                r = sd_bus_message_append(m, "{sv}{sv}{sv}{sv}{sv}{sv}{sv}{sv}{sv}", "Sequence", "t",
                                b->sequence, "Size", "t", b->size, "CreatedAt", "t", b->created_at,
                                "VerifiedAt", "t", b->verified_at, "ReadAt", "t", b->read_at, "DrilledAt",
                                "t", b->drilled_at, "DrillTook", "t", b->drill_took, "ReplicatedAt", "t",
                                b->replicated_at, "Copy", "s",
                                b->replicated_at > 0 ? strempty(b->copy_key) : "");
        if (r >= 0)
                r = append_recovery_keys(m, b->recovery_keys);
        if (r >= 0)
                r = append_contents(m, b->contents);
        return r < 0 ? r : sd_bus_message_close_container(m);
}

static void on_listed(int r, BackupRecords *records, Error *error, void *userdata) {
        Operation *o = userdata;

        if (r < 0)
                operation_fail(o, error);
        else
                operation_reply_array(
                                o, "a{sv}", records->items, records->n, append_backup, "list the backups");
}

static int parse_backup_id(const char *text, uint64_t *ret, Error *reterr) {
        return decimal_id_parse(text, ret) >= 0
                        ? 0
                        : error_setf(reterr, CCP_ERROR_INVALID_ARGUMENT, "'%s' is no number of a backup.",
                                          TEXT_FOR_ERROR(text));
}

typedef struct BackupFilter {
        const char *id, *instance;
} BackupFilter;

static const BusOption filter_options[] = {
        { "id", "s", offsetof(BackupFilter, id) },
        { "instance", "s", offsetof(BackupFilter, instance) },
};

static int read_filter(sd_bus_message *message, StoreBackupFilter *ret, Error *reterr) {
        BackupFilter f = {};
        int r;

        r = bus_read_options(message, filter_options, ELEMENTSOF(filter_options), &f, reterr);
        if (r < 0)
                return r;
        *ret = (StoreBackupFilter) { .slug = f.instance };
        r = sd_bus_message_read(message, "tt", &ret->offset, &ret->limit);
        if (r < 0)
                return r;
        r = bus_check_page(ret->limit, reterr);
        if (r < 0)
                return r;
        return f.id ? parse_backup_id(f.id, &ret->id, reterr) : 0;
}

int method_list_backups(sd_bus_message *message, void *userdata, sd_bus_error *reterr) {
        _cleanup_free_ char **visible = NULL;
        _cleanup_error_ Error e = {};
        StoreBackupFilter filter = {};
        Manager *m = userdata;
        Operation *o;
        int r;

        r = read_filter(message, &filter, &e);
        if (r >= 0)
                r = manager_check_store(m, &e);
        if (r < 0)
                return error_is_set(&e) ? bus_error_move(reterr, &e) : r;

        if (!access_sees_fleet(m, access_viewer(m))) {
                r = access_visible_instances(m, access_viewer(m), &visible);
                if (r < 0)
                        return r;
                filter.among = visible;
        }

        o = operation_new(m, message);
        if (!o)
                return -ENOMEM;
        r = store_list_backups(m->db, &filter, on_listed, o, NULL, &e);
        if (r < 0)
                operation_fail(o, &e);
        return 1;
}

/* --- verifying and deleting --- */

typedef struct DeleteOptions {
        bool last;
} DeleteOptions;

static const BusOption delete_options[] = {
        { "last", "b", offsetof(DeleteOptions, last) },
};

/* A method that takes the number of a backup and makes a job. */
static int submit_about_backup(sd_bus_message *message, Manager *m, JobKind kind, const BusOption *table,
                size_t n, sd_bus_error *reterr) {
        DeleteOptions options = {};
        _cleanup_error_ Error e = {};
        const char *text;
        Operation *o;
        uint64_t id;
        int r;

        r = sd_bus_message_read(message, "s", &text);
        if (r < 0)
                return r;
        r = bus_read_options(message, table, n, &options, &e);
        if (r >= 0)
                r = parse_backup_id(text, &id, &e);
        if (r < 0)
                return bus_error_move(reterr, &e);

        o = operation_new(m, message);
        if (!o)
                return -ENOMEM;
        r = manager_submit_backup_job(m, kind, id, options.last, o, &e);
        if (r < 0)
                operation_fail(o, &e);
        return 1;
}

int method_verify_backup(sd_bus_message *message, void *userdata, sd_bus_error *reterr) {
        return submit_about_backup(message, userdata, JOB_VERIFY, NULL, 0, reterr);
}

int method_drill_backup(sd_bus_message *message, void *userdata, sd_bus_error *reterr) {
        return submit_about_backup(message, userdata, JOB_DRILL, NULL, 0, reterr);
}

int method_replicate_backup(sd_bus_message *message, void *userdata, sd_bus_error *reterr) {
        return submit_about_backup(message, userdata, JOB_REPLICATE, NULL, 0, reterr);
}

int method_fetch_backup(sd_bus_message *message, void *userdata, sd_bus_error *reterr) {
        return submit_about_backup(message, userdata, JOB_FETCH, NULL, 0, reterr);
}

int method_delete_backup(sd_bus_message *message, void *userdata, sd_bus_error *reterr) {
        return submit_about_backup(message, userdata, JOB_DELETE_BACKUP, delete_options,
                        ELEMENTSOF(delete_options), reterr);
}

/* --- making --- */

typedef struct BackupOptions {
        const char *consistency;
} BackupOptions;

static const BusOption backup_options[] = {
        { "consistency", "s", offsetof(BackupOptions, consistency) },
};

/* *ret is NULL if nothing was asked for; it lives as long as the message. */
static int read_consistency(sd_bus_message *message, const char **ret, Error *reterr) {
        BackupOptions options = {};
        int r;

        r = bus_read_options(message, backup_options, ELEMENTSOF(backup_options), &options, reterr);
        if (r < 0)
                return r;
        if (options.consistency && !backup_consistency_may_be_asked(options.consistency))
                return error_setf(reterr, CCP_ERROR_INVALID_ARGUMENT,
                                "A backup is made auto, live, paused or cold, not '%s'.",
                                TEXT_FOR_ERROR(options.consistency));

        *ret = options.consistency;
        return 0;
}

static json_t *backup_spec(const Instance *i, const char *consistency) {
        return json_pack("{s:s}", "consistency", consistency ?: instance_backup_consistency(i));
}

int method_backup(sd_bus_message *message, void *userdata, sd_bus_error *reterr) {
        _cleanup_json_ json_t *spec = NULL;
        _cleanup_error_ Error e = {};
        const char *consistency = NULL;
        Instance *i = userdata;
        int r;

        r = read_consistency(message, &consistency, &e);
        if (r < 0)
                return bus_error_move(reterr, &e);

        spec = backup_spec(i, consistency);
        return spec ? instance_submit_for(message, i, JOB_BACKUP, spec) : -ENOMEM;
}

int method_backup_all(sd_bus_message *message, void *userdata, sd_bus_error *reterr) {
        _cleanup_error_ Error e = {};
        const char *consistency = NULL;
        Manager *m = userdata;
        JobBatch *b;
        Operation *o;
        int r;

        r = read_consistency(message, &consistency, &e);
        if (r >= 0)
                r = manager_check_store(m, &e);
        if (r >= 0)
                r = manager_check_engine(m, &e);
        if (r >= 0)
                r = manager_check_sealing(m, &e);
        if (r < 0)
                return bus_error_move(reterr, &e);
        o = operation_new(m, message);
        if (!o)
                return -ENOMEM;
        b = job_batch_new(m, o);
        if (!b) {
                operation_free(o);
                return 1;
        }

        for (Instance *i = m->instances; i; i = i->hh.next) {
                _cleanup_json_ json_t *spec = NULL;

                if (i->record->state != INSTANCE_RUNNING)
                        continue;
                spec = backup_spec(i, consistency);
                if (spec)
                        job_batch_add(b, i, JOB_BACKUP, spec);
                else
                        log_oom();
        }
        job_batch_end(b);
        return 1;
}
