/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "ccpd-retention-bus.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "alloc-util.h"
#include "bus-error.h"
#include "bus-options.h"
#include "ccpd-instance-settings.h"
#include "ccpd-job-batch.h"
#include "ccpd-manager.h"
#include "json-util.h"
#include "store-backup.h"
#include "string-util.h"

/* More than a thousand of each kind are never kept. */
#define BACKUPS_MAX 100000U

/* What is to become of the backups of some instances. */
typedef struct Plan {
        BackupRecord *items; /* by instance and number; borrowed */
        size_t n;
        unsigned *reasons;
        char **texts; /* why */
} Plan;

static void plan_done(Plan *p) {
        for (size_t k = 0; p->texts && k < p->n; k++)
                free(p->texts[k]);
        free(p->texts);
        free(p->reasons);
}
#define _cleanup_plan_ _cleanup_(plan_done)

static int compare_backups(const void *a, const void *b) {
        const BackupRecord *x = a, *y = b;
        int d = strcmp(x->instance, y->instance);

        return d != 0 ? d : x->sequence < y->sequence ? 1 : x->sequence > y->sequence ? -1 : 0;
}

/* Where the backups of the next instance begin. */
static size_t end_of_instance(const Plan *p, size_t begin) {
        size_t end = begin + 1;

        while (end < p->n && streq(p->items[end].instance, p->items[begin].instance))
                end++;
        return end;
}

static int plan_instance(Plan *p, size_t begin, size_t end, const RetentionPolicy *policy) {
        _cleanup_free_ RetentionItem *items = new0(RetentionItem, end - begin);
        int r;

        if (!items)
                return -ENOMEM;
        for (size_t k = begin; k < end; k++)
                items[k - begin] = backup_record_retention(p->items + k);
        r = retention_plan(items, end - begin, policy, p->reasons + begin);
        for (size_t k = begin; r >= 0 && k < end; k++) {
                p->texts[k] = retention_describe(p->reasons[k], policy);
                if (!p->texts[k])
                        r = -ENOMEM;
        }
        return r;
}

static int plan_make(Manager *m, BackupRecords *l, Plan *p) {
        int r = 0;

        qsort(l->items, l->n, sizeof(*l->items), compare_backups);
        *p = (Plan) {
                .items = l->items,
                .n = l->n,
                .reasons = new0(unsigned, l->n),
                .texts = new0(char *, l->n),
        };
        if (!p->reasons || !p->texts)
                return -ENOMEM;

        for (size_t k = 0, end; r >= 0 && k < p->n; k = end) {
                const Instance *i = instance_find_by_id(m, p->items[k].instance);
                RetentionPolicy policy = i ? instance_retention(i) : (RetentionPolicy) {};

                /* What is left of one that is gone is nobody's but a person's to delete: everything is kept. */
                end = end_of_instance(p, k);
                r = plan_instance(p, k, end, &policy);
        }
        return r;
}

/* --- showing --- */

static int append_planned(sd_bus_message *m, _unused_ Operation *o, const void *items, size_t k) {
        const Plan *p = items;
        const BackupRecord *b = p->items + k;
        char id[DECIMAL_ID_MAX];

        (void) snprintf(id, sizeof(id), "%" PRIu64, b->id);
        return sd_bus_message_append(m, "a{sv}", 8, "Id", "s", id, "Instance", "s", b->slug, "InstanceId",
                        "s", b->instance, "State", "s", backup_state_to_string(b->state), "CreatedAt", "t",
                        b->created_at, "Size", "t", b->size, "Kept", "b",
                        (p->reasons[k] & RETENTION_KEEPS) != 0 ? 1 : 0, "Reason", "s", p->texts[k]);
}

static void on_listed(int r, BackupRecords *records, Error *error, void *userdata) {
        Operation *o = userdata;
        _cleanup_plan_ Plan p = {};

        if (r >= 0 && plan_make(operation_manager(o), records, &p) < 0)
                r = error_set_errnof(error, ENOMEM, "%m");
        if (r < 0)
                operation_fail(o, error);
        else
                operation_reply_array(o, "a{sv}", &p, p.n, append_planned, "list the backups");
}

/* --- doing --- */

static bool has_something_to_delete(const Plan *p, size_t begin, size_t end) {
        for (size_t k = begin; k < end; k++)
                if (!(p->reasons[k] & RETENTION_KEEPS))
                        return true;
        return false;
}

static void add_job(JobBatch *b, Instance *i) {
        RetentionPolicy policy = instance_retention(i);
        _cleanup_json_ json_t *spec = json_pack("{s:o}", "retention", retention_policy_to_json(&policy));

        if (spec)
                job_batch_add(b, i, JOB_DELETE_BACKUP, spec);
}

/* The worker looks once more: what it sees nobody else changes. */
static void on_listed_to_prune(int r, BackupRecords *records, Error *error, void *userdata) {
        Operation *o = userdata;
        Manager *m = operation_manager(o);
        _cleanup_plan_ Plan p = {};
        JobBatch *b;

        if (r >= 0 && plan_make(m, records, &p) < 0)
                r = error_set_errnof(error, ENOMEM, "%m");
        if (r < 0) {
                operation_fail(o, error);
                return;
        }

        b = job_batch_new(m, o);
        if (!b) {
                operation_free(o);
                return;
        }
        for (size_t k = 0, end; k < p.n; k = end) {
                Instance *i = instance_find_by_id(m, p.items[k].instance);

                end = end_of_instance(&p, k);
                if (i && has_something_to_delete(&p, k, end))
                        add_job(b, i);
        }
        job_batch_end(b);
}

/* --- methods --- */

static int list_for(
                sd_bus_message *message, Manager *m, StoreBackupsCallback callback, sd_bus_error *reterr) {
        char *among[2] = {};
        StoreBackupFilter filter = { .limit = BACKUPS_MAX };
        _cleanup_error_ Error e = {};
        const char *slug;
        Operation *o;
        int r;

        r = sd_bus_message_read(message, "s", &slug);
        if (r < 0)
                return r;
        r = bus_read_options(message, NULL, 0, NULL, &e);
        if (r >= 0)
                r = manager_check_store(m, &e);
        if (r >= 0 && *slug) {
                Instance *i = instance_find(m, slug);

                if (i) {
                        among[0] = i->record->id;
                        filter.among = among;
                } else
                        r = error_setf(&e, CCP_ERROR_NO_SUCH_INSTANCE,
                                        "There is no instance '%s'. See: ccpctl list", TEXT_FOR_ERROR(slug));
        }
        if (r < 0)
                return bus_error_move(reterr, &e);

        o = operation_new(m, message);
        if (!o)
                return -ENOMEM;
        r = store_list_backups(m->db, &filter, callback, o, NULL, &e);
        if (r < 0)
                operation_fail(o, &e);
        return 1;
}

int method_plan_retention(sd_bus_message *message, void *userdata, sd_bus_error *reterr) {
        return list_for(message, userdata, on_listed, reterr);
}

int method_prune_backups(sd_bus_message *message, void *userdata, sd_bus_error *reterr) {
        return list_for(message, userdata, on_listed_to_prune, reterr);
}
