/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "ccpd-restore-bus.h"

#include <errno.h>
#include <inttypes.h>

#include "alloc-util.h"
#include "bus-error.h"
#include "bus-options.h"
#include "ccpd-access.h"
#include "ccpd-instance-bus.h"
#include "ccpd-manager.h"
#include "json-util.h"
#include "store-backup.h"
#include "string-util.h"
#include "validate.h"

int bus_parse_backup(const char *text, uint64_t *ret, Error *reterr) {
        return decimal_id_parse(text, ret) < 0
                        ? error_setf(reterr, CCP_ERROR_INVALID_ARGUMENT, "'%s' is no number of a backup.",
                                          TEXT_FOR_ERROR(text))
                        : 0;
}

int bus_parse_version(const char *text, bool *ret_any, Error *reterr) {
        if (text && !streq(text, "same") && !streq(text, "any"))
                return error_setf(reterr, CCP_ERROR_INVALID_ARGUMENT,
                                "The version of the blueprint must be the 'same', or 'any', not '%s'.",
                                TEXT_FOR_ERROR(text));
        *ret_any = text && streq(text, "any");
        return 0;
}

/* A call that waits for the record of the backup. */
typedef struct RestoreCall {
        Operation *operation;
        char instance[STORE_ID_MAX];
        uint64_t backup;
        bool any_version;
        bool sees_backup; /* also if it is of another instance */
} RestoreCall;

/* Whether a backup is there that is none of his is nothing that the caller is told. */
static int check_origin(
                const RestoreCall *call, const Instance *i, const BackupRecords *records, Error *reterr) {
        bool own = records->n > 0 && streq(records->items[0].instance, i->record->id);

        if (records->n == 0 || (!own && !call->sees_backup))
                return error_setf(reterr, CCP_ERROR_NO_SUCH_BACKUP,
                                "There is no backup %" PRIu64 ". See: ccpctl backup list --instance=%s",
                                call->backup, i->record->slug);
        return own ? 0
                   : error_setf(reterr, CCP_ERROR_WRONG_STATE,
                                     "Backup %" PRIu64
                                     " is of '%s', another instance than '%s' is now. To make a new one of "
                                     "it: ccpctl backup restore %" PRIu64 " --as=SLUG --domain=DOMAIN",
                                     call->backup, records->items[0].slug, i->record->slug, call->backup);
}

static int submit(RestoreCall *call, const BackupRecords *records, Error *reterr) {
        Manager *m = operation_manager(call->operation);
        Instance *i = instance_find_by_id(m, call->instance);
        _cleanup_json_ json_t *spec = NULL;
        int r;

        if (!i)
                return error_setf(reterr, CCP_ERROR_NO_SUCH_INSTANCE, "The instance is gone.");
        r = check_origin(call, i, records, reterr);
        if (r < 0)
                return r;
        r = backup_record_check_verified(records->items, reterr);
        if (r < 0)
                return r;

        spec = json_pack("{s:o, s:I}", "backup", json_sprintf("%" PRIu64, call->backup), "keep_hours",
                        (json_int_t) m->settings->restore_keep_hours);
        if (!spec || (call->any_version && json_object_set_new(spec, "any_version", json_true()) < 0))
                return error_set_errnof(reterr, ENOMEM, "%m");
        return instance_submit_job(i, JOB_RESTORE, spec, call->operation, reterr);
}

static void on_backup(int r, BackupRecords *records, Error *error, void *userdata) {
        RestoreCall *call = userdata;
        _cleanup_error_ Error e = {};

        if (r >= 0)
                r = submit(call, records, &e);
        if (r < 0)
                operation_fail(call->operation, error_is_set(&e) ? &e : error);
        free(call);
}

typedef struct RestoreOptions {
        const char *version;
} RestoreOptions;

static const BusOption restore_options[] = {
        { "version", "s", offsetof(RestoreOptions, version) },
};

static int read_call(sd_bus_message *message, RestoreCall *call, Error *reterr) {
        RestoreOptions options = {};
        const char *backup;
        int r;

        r = sd_bus_message_read(message, "s", &backup);
        if (r < 0)
                return r;
        r = bus_read_options(message, restore_options, ELEMENTSOF(restore_options), &options, reterr);
        if (r < 0)
                return r;
        r = bus_parse_backup(backup, &call->backup, reterr);
        return r < 0 ? r : bus_parse_version(options.version, &call->any_version, reterr);
}

static bool caller_sees_backup(const Manager *m, uint64_t backup) {
        const Instance *i = instance_find_by_backup(m, backup);

        return access_sees_fleet(m, access_viewer(m)) || (i && access_sees_instance(m, access_viewer(m), i));
}

int method_restore(sd_bus_message *message, void *userdata, sd_bus_error *reterr) {
        _cleanup_free_ RestoreCall *call = new0(RestoreCall, 1);
        _cleanup_error_ Error e = {};
        StoreBackupFilter filter = { .limit = 1 };
        Instance *i = userdata;
        int r;

        if (!call)
                return -ENOMEM;
        r = read_call(message, call, &e);
        if (r >= 0)
                r = manager_check_store(i->manager, &e);
        if (r < 0)
                return error_is_set(&e) ? bus_error_move(reterr, &e) : r;

        memcpy(call->instance, i->record->id, sizeof(call->instance));
        call->sees_backup = caller_sees_backup(i->manager, call->backup);
        filter.id = call->backup;
        call->operation = operation_new(i->manager, message);
        if (!call->operation)
                return -ENOMEM;
        r = store_list_backups(i->manager->db, &filter, on_backup, call, NULL, &e);
        if (r < 0) {
                operation_fail(call->operation, &e);
                return 1;
        }
        TAKE_PTR(call);
        return 1;
}

/* --- what is kept --- */

typedef struct KeptOptions {
        const char *restore;
} KeptOptions;

static const BusOption kept_options[] = {
        { "restore", "s", offsetof(KeptOptions, restore) },
};

static int refuse_unkept(const Instance *i, uint64_t id, Error *reterr) {
        return id > 0 ? error_setf(reterr, CCP_ERROR_WRONG_STATE,
                                        "Nothing is kept of what '%s' had before a restore %" PRIu64
                                        ". See: ccpctl restore list %s",
                                        i->record->slug, id, i->record->slug)
                      : error_setf(reterr, CCP_ERROR_WRONG_STATE,
                                        "Nothing is kept of what '%s' had before a restore.",
                                        i->record->slug);
}

/* The one that the call names, of those whose former volumes are there; 0: it names none. */
static int read_kept(sd_bus_message *message, const Instance *i, uint64_t *ret, Error *reterr) {
        const BackupSummary *b = &i->record->backups;
        KeptOptions options = {};
        uint64_t id = 0;
        int r;

        r = bus_read_options(message, kept_options, ELEMENTSOF(kept_options), &options, reterr);
        if (r < 0)
                return r;
        if (options.restore && (decimal_id_parse(options.restore, &id) < 0 || id == 0))
                return error_setf(reterr, CCP_ERROR_INVALID_ARGUMENT, "'%s' is no number of a restore.",
                                TEXT_FOR_ERROR(options.restore));

        *ret = id;
        /* That a job is at work comes first: it may be the restore that is meant. */
        if (id == 0 || i->job)
                return 0;
        FOREACH_ARRAY(k, b->restores, b->n_restores)
                if (k->id == id)
                        return 0;
        return refuse_unkept(i, id, reterr);
}

int method_undo_restore(sd_bus_message *message, void *userdata, sd_bus_error *reterr) {
        _cleanup_json_ json_t *spec = NULL;
        _cleanup_error_ Error e = {};
        Instance *i = userdata;
        const BackupSummary *b = &i->record->backups;
        uint64_t restore = 0;
        int r;

        r = read_kept(message, i, &restore, &e);
        if (r >= 0 && restore == 0 && !i->job) {
                if (b->n_restores == 0)
                        r = refuse_unkept(i, 0, &e);
                else
                        restore = b->restores[0].id;
        }
        if (r < 0)
                return bus_error_move(reterr, &e);

        spec = json_pack("{s:I, s:I}", "restore", (json_int_t) restore, "keep_hours",
                        (json_int_t) i->manager->settings->restore_keep_hours);
        return spec ? instance_submit_for(message, i, JOB_UNDO_RESTORE, spec) : -ENOMEM;
}

int method_discard_restore(sd_bus_message *message, void *userdata, sd_bus_error *reterr) {
        _cleanup_json_ json_t *spec = NULL;
        _cleanup_error_ Error e = {};
        Instance *i = userdata;
        uint64_t restore = 0;
        int r;

        r = read_kept(message, i, &restore, &e);
        if (r < 0)
                return bus_error_move(reterr, &e);

        spec = restore > 0 ? json_pack("{s:I}", "restore", (json_int_t) restore) : json_object();
        return spec ? instance_submit_for(message, i, JOB_DISCARD_RESTORE, spec) : -ENOMEM;
}
