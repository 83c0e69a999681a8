/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "ccpd-job-batch.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <utlist.h>

#include "alloc-util.h"
#include "bus-error.h"
#include "ccpd-announce.h"
#include "ccpd-job-queue.h"
#include "ccpd-manager.h"
#include "log.h"
#include "string-util.h"
#include "strv.h"

/* A job that is being made. */
typedef struct BatchItem BatchItem;
struct BatchItem {
        JobBatch *batch;
        JobKind kind;
        char instance[STORE_ID_MAX];
        BatchItem *prev, *next;
};

struct JobBatch {
        Manager *manager;
        Operation *operation;
        Error error; /* the first one */
        char **paths;
        unsigned n_waiting;
        BatchItem *items;
        JobBatch *prev, *next;
};

static void batch_item_free(BatchItem *item) {
        DL_DELETE(item->batch->items, item);
        free(item);
}

static void job_batch_free(JobBatch *b) {
        while (b->items)
                batch_item_free(b->items);
        DL_DELETE(b->manager->batches, b);
        operation_free(b->operation);
        error_done(&b->error);
        strv_free(b->paths);
        free(b);
}

void job_batches_forget(Manager *m) {
        while (m->batches)
                job_batch_free(m->batches);
}

JobBatch *job_batch_new(Manager *m, Operation *o) {
        JobBatch *b = new0(JobBatch, 1);

        if (!b)
                return NULL;
        /* The one more is the caller himself, up to job_batch_end(). */
        *b = (JobBatch) { .manager = m, .operation = o, .n_waiting = 1 };
        DL_APPEND(m->batches, b);
        return b;
}

static int append_path(sd_bus_message *m, _unused_ Operation *o, const void *items, size_t k) {
        return sd_bus_message_append(m, "o", ((char *const *) items)[k]);
}

static void job_batch_done(JobBatch *b) {
        Operation *o;

        if (--b->n_waiting > 0)
                return;

        /* Whoever gets the paths must have seen the objects. */
        manager_emit_changes(b->manager);
        job_queue_dispatch(b->manager);
        o = TAKE_PTR(b->operation);
        if (!b->paths && error_is_set(&b->error))
                operation_fail(o, &b->error);
        else
                operation_reply_array(o, "o", b->paths, strv_length(b->paths), append_path, "make the jobs");
        job_batch_free(b);
}

static int take_job(JobBatch *b, InstanceRecord **instance, JobRecord **job) {
        _cleanup_free_ char *path = NULL;
        Job *j;
        int r;

        r = *instance ? manager_take_instance(b->manager, instance, NULL) : 0;
        if (r >= 0)
                r = manager_take_job(b->manager, job, &j);
        if (r < 0)
                return r;

        path = job_path(j);
        return path ? strv_extend(&b->paths, path) : -ENOMEM;
}

static const Job *find_backup(const Instance *i) {
        if (i->job && i->job->record->kind == JOB_BACKUP)
                return i->job;
        for (const Job *j = i->manager->jobs; j; j = j->hh.next)
                if (j->record->state == JOB_WAITING && j->record->kind == JOB_BACKUP &&
                                !j->record->cancel_requested && streq(j->record->instance, i->record->id))
                        return j;

        return NULL;
}

/* One that is under way, or waits, is as good. */
static bool take_other(JobBatch *b, const Instance *i, JobKind kind) {
        const Job *other = i && kind == JOB_BACKUP ? find_backup(i) : NULL;
        _cleanup_free_ char *path = other ? job_path(other) : NULL;

        if (other && (!path || strv_extend(&b->paths, path) < 0))
                log_oom();
        return other;
}

static void on_created(int r, InstanceRecord *instance, JobRecord *job, Error *error, void *userdata) {
        _cleanup_(instance_record_freep) InstanceRecord *taken_instance = instance;
        _cleanup_(job_record_freep) JobRecord *taken_job = job;
        BatchItem *item = userdata;
        JobBatch *b = item->batch;

        if (r >= 0 && take_job(b, &taken_instance, &taken_job) < 0)
                log_oom();
        /* Another call may have made it meanwhile. */
        if (r < 0 && !take_other(b, instance_find_by_id(b->manager, item->instance), item->kind)) {
                log_info("A job of many was not made: %s", strempty(error->message));
                if (!error_is_set(&b->error))
                        error_move(&b->error, error);
        }
        batch_item_free(item);
        job_batch_done(b);
}

void job_batch_add(JobBatch *b, Instance *i, JobKind kind, const json_t *spec) {
        _cleanup_error_ Error e = {};
        BatchItem *item;
        int r;

        if (take_other(b, i, kind))
                return;
        item = new0(BatchItem, 1);
        if (!item) {
                log_oom();
                return;
        }

        *item = (BatchItem) { .batch = b, .kind = kind };
        memcpy(item->instance, i->record->id, sizeof(item->instance));
        DL_APPEND(b->items, item);
        b->n_waiting++;
        r = store_create_job(b->manager->db,
                        &(StoreJobCreate) {
                                        .instance = i->record->id,
                                        .kind = kind,
                                        /* They are many, and who uses an instance does not know of the others. */
                                        .waits = kind == JOB_BACKUP,
                                        .spec = spec,
                                        .details = spec,
                                        .actor = operation_actor(b->operation),
                        },
                        on_created, item, NULL, &e);
        if (r < 0)
                on_created(r, NULL, NULL, &e, item);
}

void job_batch_end(JobBatch *b) {
        job_batch_done(b);
}
