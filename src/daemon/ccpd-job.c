/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "ccpd-job.h"

#include <inttypes.h>
#include <stdio.h>
#include <systemd/sd-bus.h>

#include "alloc-util.h"
#include "ccpd-announce.h"
#include "ccpd-job-queue.h"
#include "ccpd-manager.h"
#include "string-util.h"

static int job_compare(const Job *a, const Job *b) {
        return a->record->id < b->record->id ? -1 : a->record->id > b->record->id;
}

/* One that waits for its turn leaves its instance to others. */
static void job_take_instance(Job *j) {
        Instance *i = instance_find_by_id(j->manager, j->record->instance);

        if (!i || !job_state_is_active(j->record->state) || job_kind_is_beside(j->record->kind))
                return;
        i->job = j;
        instance_set_changed(i);
}

int job_new(Manager *m, JobRecord **record, Job **ret) {
        Job *j;

        j = new0(Job, 1);
        if (!j)
                return -ENOMEM;

        j->manager = m;
        j->record = TAKE_PTR(*record);
        HASH_ADD_INORDER(hh, m->jobs, record->id, sizeof(j->record->id), j, job_compare);

        job_take_instance(j);
        /* What ended before we looked was announced to those who looked then. */
        j->removed_sent = job_state_is_final(j->record->state);
        m->changed = true;

        *ret = j;
        return 0;
}

void job_end_admission(Job *j) {
        Instance *i = instance_find_by_id(j->manager, j->record->instance);

        j->admission = db_slot_unref(j->admission);
        if (i && i->admits == j)
                i->admits = NULL;
}

Job *job_free(Job *j) {
        Instance *i;

        if (!j)
                return NULL;

        job_end_admission(j);
        HASH_DEL(j->manager->jobs, j);
        i = instance_find_by_id(j->manager, j->record->instance);
        if (i && i->job == j)
                i->job = NULL;

        unit_request_free(j->start_request);
        unit_request_free(j->stop_request);
        operation_free(j->operation);
        error_done(&j->start_error);
        bus_told_done(&j->told);
        job_record_free(j->record);
        free(j->message);
        return mfree(j);
}

const char *const *job_log_fields(const Job *j, JobLogFields *buf) {
        (void) snprintf(buf->job, sizeof(buf->job), "CCP_JOB=%" PRIu64, j->record->id);
        (void) snprintf(buf->instance, sizeof(buf->instance), "CCP_INSTANCE=%s", j->record->slug);
        (void) snprintf(buf->id, sizeof(buf->id), "CCP_ID=%s", j->record->instance);
        memcpy(buf->fields, ((const char *[]) { buf->job, buf->instance, buf->id, NULL }),
                        sizeof(buf->fields));
        return buf->fields;
}

Job *job_find(const Manager *m, uint64_t id) {
        Job *j;

        HASH_FIND(hh, m->jobs, &id, sizeof(id), j);
        return j;
}

Job *job_find_by_text(const Manager *m, const char *id) {
        char *end;
        Job *j;

        if (id[0] < '1' || id[0] > '9')
                return NULL;

        j = job_find(m, strtoull(id, &end, 10));
        return *end ? NULL : j;
}

void job_set_changed(Job *j) {
        j->changed = true;
        manager_queue_emit(j->manager);
}

static void job_ended(Job *j) {
        Instance *i;

        i = instance_find_by_id(j->manager, j->record->instance);
        if (i && i->job == j) {
                i->job = NULL;
                instance_set_changed(i);
        }
        j->manager->jobs_ended[j->record->kind][j->record->state]++;
        j->manager->changed = true;
        job_set_changed(j);
        storage_queue(j->manager->storage);
        recovery_job_ended(j->manager->recovery, j);
        job_queue_ended(j);
}

void job_update(Job *j, JobRecord **record) {
        JobState before = j->record->state;

        HASH_DEL(j->manager->jobs, j);
        job_record_free(j->record);
        j->record = TAKE_PTR(*record);
        HASH_ADD_INORDER(hh, j->manager->jobs, record->id, sizeof(j->record->id), j, job_compare);

        if (before == JOB_WAITING)
                job_take_instance(j);
        if (!job_state_is_final(before) && job_state_is_final(j->record->state))
                job_ended(j);
        job_set_changed(j);
}

void job_update_progress(Job *j, int percent, const char *message, const ByteCount *bytes) {
        usec_t left = byte_count_time_left(bytes);

        if (job_state_is_final(j->record->state))
                return;

        if (percent >= 0)
                j->percent = MIN(percent, 100);
        if (message)
                (void) free_and_strdup(&j->message, message);
        j->bytes = *bytes;
        j->expected_end_at = left == USEC_INFINITY ? 0 : now(CLOCK_REALTIME) + left;
        job_set_changed(j);
}

double job_progress(const JobRecord *record, const Job *j) {
        if (record->state == JOB_SUCCEEDED)
                return 1.0;

        /* Steps that are done count even if the datagram that said so was lost. */
        for (size_t k = 0; k < record->n_steps; k++)
                if (!IN_SET(record->steps[k].state, STEP_DONE, STEP_SKIPPED))
                        return MAX(j ? (double) j->percent / 100.0 : 0.0,
                                        job_kind_progress(record->kind, k, 0.0));

        return job_kind_progress(record->kind, record->n_steps, 0.0);
}

unsigned job_current_step(const JobRecord *record) {
        for (size_t k = 0; k < record->n_steps; k++)
                if (IN_SET(record->steps[k].state, STEP_RUNNING, STEP_UNDOING))
                        return record->steps[k].number;

        return 0;
}

const char *job_record_unit(const JobRecord *record, char buf[static JOB_UNIT_MAX]) {
        (void) snprintf(buf, JOB_UNIT_MAX, "%s@%" PRIu64 ".service", job_kind_unit(record->kind),
                        record->id);
        return buf;
}

const char *job_unit(const Job *j, char buf[static JOB_UNIT_MAX]) {
        return job_record_unit(j->record, buf);
}

uint64_t job_id_from_unit(const char *unit) {
        const char *s = startswith(unit, CCP_JOB_UNIT "@") ?: startswith(unit, CCP_TRANSFER_UNIT "@");
        char *end;
        uint64_t id;

        /* strtoull() takes signs and blanks too. */
        if (!s || s[0] < '1' || s[0] > '9')
                return 0;

        errno = 0;
        id = strtoull(s, &end, 10);
        return errno == 0 && streq(end, ".service") ? id : 0;
}

char *job_path(const Job *j) {
        char *path;

        return asprintf(&path, CCP_PATH_JOB "/%" PRIu64, j->record->id) < 0 ? NULL : path;
}

void job_answer_when_accepted(Job *j, Operation *o) {
        operation_free(j->operation);
        j->operation = o;
        job_queue_dispatch(j->manager);
}
