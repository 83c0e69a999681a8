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

struct JobBatch {
        Manager *manager;
        Operation *operation;
        Error error; /* the first one */
        char **paths;
        unsigned n_waiting;
        JobBatch *prev, *next;
};

static void job_batch_free(JobBatch *b) {
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

static void on_created(int r, InstanceRecord *instance, JobRecord *job, Error *error, void *userdata) {
        _cleanup_(instance_record_freep) InstanceRecord *taken_instance = instance;
        _cleanup_(job_record_freep) JobRecord *taken_job = job;
        JobBatch *b = userdata;

        if (r >= 0 && take_job(b, &taken_instance, &taken_job) < 0)
                log_oom();
        if (r < 0) {
                log_info("A job of many was not made: %s", strempty(error->message));
                if (!error_is_set(&b->error))
                        error_move(&b->error, error);
        }
        job_batch_done(b);
}

static const Job *find_backup(const Instance *i) {
        if (i->job && i->job->record->kind == JOB_BACKUP)
                return i->job;
        for (const Job *j = i->manager->jobs; j; j = j->hh.next)
                if (j->record->state == JOB_WAITING && streq(j->record->instance, i->record->id))
                        return j;

        return NULL;
}

void job_batch_add(JobBatch *b, Instance *i, JobKind kind, const json_t *spec) {
        const Job *other = kind == JOB_BACKUP ? find_backup(i) : NULL;
        _cleanup_error_ Error e = {};
        int r;

        /* One that is under way, or waits, is as good. */
        if (other) {
                _cleanup_free_ char *path = job_path(other);

                if (!path || strv_extend(&b->paths, path) < 0)
                        log_oom();
                return;
        }

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
                        on_created, b, NULL, &e);
        if (r < 0)
                on_created(r, NULL, NULL, &e, b);
}

void job_batch_end(JobBatch *b) {
        job_batch_done(b);
}
