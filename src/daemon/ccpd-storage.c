/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "ccpd-storage.h"

#include <errno.h>
#include <inttypes.h>

#include "alloc-util.h"
#include "ccpd-audit.h"
#include "ccpd-job-queue.h"
#include "ccpd-manager.h"
#include "ccpd-reload.h"
#include "event-util.h"
#include "json-util.h"
#include "log.h"
#include "string-util.h"
#include "worker-call.h"

/* Changes that come together are looked at together. */
#define LOOK_DELAY_USEC (200 * USEC_PER_MSEC)
/* What could not be begun is tried again after so long. */
#define RETRY_DELAY_USEC USEC_PER_MINUTE
#define COMPARE_RETRY_DELAY_USEC USEC_PER_HOUR
/* Of one round; what is left then is due at once. */
#define SWEEP_TIMEOUT_USEC (10 * USEC_PER_MINUTE)
#define SWEEP_ANSWER_MAX 4096U
/* The whole bucket is listed. */
#define COMPARE_TIMEOUT_USEC USEC_PER_HOUR
/* So much earlier than we give up ccp-storage ends, and can still say so. */
#define ASK_MARGIN_USEC (2 * USEC_PER_SEC)

struct Storage {
        Manager *manager;
        StorageRecord record;
        bool known; /* it was read */
        bool read_again, look_again;
        DbSlot *read_slot, *due_slot;
        unsigned n_beginning; /* jobs that are being made */
        WorkerCall *sweep, *compare;
        usec_t jobs_not_before, sweep_not_before, compare_not_before; /* monotonic */
        usec_t look_at;                                               /* monotonic */
        sd_event_source *timer;
};

static void look_at(Storage *s, usec_t monotonic);

/* --- jobs --- */

static void begin_end(Storage *s, int r, const Error *error) {
        s->n_beginning--;
        if (r < 0) {
                log_info("A backup cannot be copied to the storage now, it is tried again: %s",
                                strempty(error->message));
                s->jobs_not_before = now(CLOCK_MONOTONIC) + RETRY_DELAY_USEC;
        }
        storage_queue(s);
}

static void on_job_made(int r, InstanceRecord *instance, JobRecord *job, Error *error, void *userdata) {
        Storage *s = userdata;
        Manager *m = s->manager;
        _cleanup_error_ Error e = {};

        r = manager_take_made(m, r, instance, job, error, &e);
        begin_end(s, r, &e);
        if (r >= 0)
                job_queue_dispatch(m);
}

static void begin_job(Storage *s, uint64_t backup) {
        _cleanup_json_ json_t *spec = json_pack("{s:o}", "backup", json_sprintf("%" PRIu64, backup));
        _cleanup_error_ Error e = {};
        AuditActor self;
        int r;

        if (!spec) {
                log_oom();
                return;
        }
        s->n_beginning++;
        audit_actor_self(&self);
        r = store_create_job(s->manager->db,
                        &(StoreJobCreate) {
                                        .backup = backup,
                                        .kind = JOB_REPLICATE,
                                        .spec = spec,
                                        .details = spec,
                                        .actor = &self,
                        },
                        on_job_made, s, NULL, &e);
        if (r < 0)
                begin_end(s, r, &e);
}

static unsigned count_jobs(const Manager *m) {
        unsigned n = 0;

        for (const Job *j = m->jobs; j; j = j->hh.next)
                n += j->record->kind == JOB_REPLICATE && !job_state_is_final(j->record->state);
        return n;
}

/* --- copies whose backups are deleted --- */

/* What is told by an answer that has nothing but what failed, after 'what'. */
static bool check_answer(const char *what, int r, const char *answer, size_t size, const Error *error) {
        _cleanup_json_ json_t *json = NULL;
        const json_t *failure;

        /* Nothing is there to read where memory lacks: it is tried again then, too. */
        if (r >= 0)
                (void) json_parse(answer, size, 0, &json);
        failure = json_object_get(json, "error");
        if (r >= 0 && json_is_object(json) && !failure)
                return true;

        log_info("%s, it is tried again: %s", what,
                        r < 0 ? strempty(error->message)
                              : strempty(json_object_get_string(failure, "message")));
        return false;
}

static void on_swept(int r, const char *answer, size_t size, Error *error, void *userdata) {
        Storage *s = userdata;

        s->sweep = NULL;
        if (!check_answer("Copies of deleted backups are still in the storage", r, answer, size, error))
                s->sweep_not_before = now(CLOCK_MONOTONIC) + RETRY_DELAY_USEC;
        storage_queue(s);
}

static void begin_sweep(Storage *s) {
        _cleanup_json_ json_t *request = json_pack("{s:s}", "do", "sweep");
        _cleanup_error_ Error e = {};
        int r;

        r = storage_ask(s->manager, request, SWEEP_ANSWER_MAX, SWEEP_TIMEOUT_USEC, on_swept, s, &s->sweep,
                        &e);
        if (r < 0)
                on_swept(r, NULL, 0, &e, s);
}

/* --- whether all copies are still there --- */

static void on_compared(int r, const char *answer, size_t size, Error *error, void *userdata) {
        Storage *s = userdata;

        s->compare = NULL;
        if (!check_answer("Nobody could look whether the storage has all copies", r, answer, size, error))
                s->compare_not_before = now(CLOCK_MONOTONIC) + COMPARE_RETRY_DELAY_USEC;
        storage_queue(s);
}

static void begin_compare(Storage *s) {
        _cleanup_json_ json_t *request = json_pack("{s:s}", "do", "compare");
        _cleanup_error_ Error e = {};
        int r;

        r = storage_ask(s->manager, request, SWEEP_ANSWER_MAX, COMPARE_TIMEOUT_USEC, on_compared, s,
                        &s->compare, &e);
        if (r < 0)
                on_compared(r, NULL, 0, &e, s);
}

/* --- what is due --- */

/* Begins what is due after so long and not before that time, unless it goes on already; else *next is set to when it is due. */
static void begin_when_due(Storage *s, usec_t in, usec_t not_before, const WorkerCall *going_on,
                void (*begin)(Storage *s), usec_t *next) {
        usec_t monotonic = now(CLOCK_MONOTONIC), at;

        if (in == USEC_INFINITY || going_on)
                return;
        at = MAX(monotonic + in, not_before);
        if (at > monotonic)
                *next = MIN(*next, at);
        else
                begin(s);
}

static void on_due(int r, const StoreCopiesDue *due, Error *error, void *userdata) {
        Storage *s = userdata;
        usec_t monotonic = now(CLOCK_MONOTONIC), next = USEC_INFINITY;
        unsigned n;

        s->due_slot = db_slot_unref(s->due_slot);
        if (r < 0) {
                log_debug("Failed to read what is to be copied, trying again later: %s", error->message);
                look_at(s, monotonic + RETRY_DELAY_USEC);
                return;
        }

        n = count_jobs(s->manager);
        for (size_t i = 0; i < due->n; i++) {
                usec_t at = MAX(monotonic + due->items[i].in, s->jobs_not_before);

                if (at > monotonic)
                        next = MIN(next, at);
                else if (n < s->manager->settings->backup_concurrency) {
                        n++;
                        begin_job(s, due->items[i].backup);
                }
        }
        begin_when_due(s, due->doomed_in, s->sweep_not_before, s->sweep, begin_sweep, &next);
        begin_when_due(s, due->compare_in, s->compare_not_before, s->compare, begin_compare, &next);
        if (s->look_again) {
                s->look_again = false;
                next = monotonic + LOOK_DELAY_USEC;
        }
        if (next != USEC_INFINITY)
                look_at(s, next);
}

static int on_timer(_unused_ sd_event_source *source, _unused_ uint64_t usec, void *userdata) {
        Storage *s = userdata;
        Manager *m = s->manager;
        _cleanup_error_ Error e = {};

        s->look_at = USEC_INFINITY;
        /* What is at work already must be known. What is being made ends with another look. */
        if (!m->loaded || !m->units_listed || !s->record.endpoint || s->n_beginning > 0 ||
                        !db_is_available(m->db))
                return 0;
        if (s->due_slot) {
                s->look_again = true;
                return 0;
        }
        if (store_copies_due(m->db, on_due, s, &s->due_slot, &e) < 0)
                look_at(s, now(CLOCK_MONOTONIC) + RETRY_DELAY_USEC);
        return 0;
}

static void look_at(Storage *s, usec_t monotonic) {
        int r;

        if (monotonic >= s->look_at)
                return;

        s->look_at = monotonic;
        r = event_reset_time(s->manager->event, &s->timer, monotonic, LOOK_DELAY_USEC / 2, on_timer, s);
        if (r < 0)
                log_warning_errno(r, "Failed to set a timer for copies of backups: %m");
}

void storage_queue(Storage *s) {
        if (s->record.endpoint)
                look_at(s, now(CLOCK_MONOTONIC) + LOOK_DELAY_USEC);
}

/* --- rows --- */

void storage_take(Storage *s, StorageRecord *record) {
        bool changed = record->version != s->record.version;

        storage_record_done(&s->record);
        s->record = *record;
        *record = (StorageRecord) {};
        s->known = true;
        if (changed) {
                /* What comes of the former one says nothing of this one. */
                s->sweep = worker_call_free(s->sweep);
                s->compare = worker_call_free(s->compare);
                s->jobs_not_before = s->sweep_not_before = s->compare_not_before = 0;
        }
        for (Instance *i = s->manager->instances; changed && i; i = i->hh.next)
                alerts_note_instance(i);
        storage_queue(s);
}

static void on_read(int r, StorageRecord *record, Error *error, void *userdata) {
        Storage *s = userdata;

        s->read_slot = db_slot_unref(s->read_slot);
        if (r < 0) {
                log_debug("Failed to read the storage, all is read again later: %s", error->message);
                manager_resync_later(s->manager);
                manager_want_name(s->manager);
                return;
        }

        storage_take(s, record);
        manager_want_name(s->manager);
        if (s->read_again) {
                s->read_again = false;
                storage_read(s);
        }
}

void storage_read(Storage *s) {
        _cleanup_error_ Error e = {};

        /* What is being read may be older. */
        if (s->read_slot) {
                s->read_again = true;
                return;
        }
        if (store_load_storage(s->manager->db, on_read, s, &s->read_slot, &e) < 0) {
                log_debug("Failed to read the storage, all is read again later: %s", e.message);
                manager_resync_later(s->manager);
                manager_want_name(s->manager);
        }
}

const char *storage_socket(void) {
        return secure_getenv("CCP_STORAGE_SOCKET") ?: CCP_STORAGE_SOCKET;
}

int storage_ask(Manager *m, json_t *request, size_t max, usec_t timeout, worker_call_done_t done,
                void *userdata, WorkerCall **ret, Error *reterr) {
        static const char what[] = "The storage could not be asked";
        const json_int_t seconds = (json_int_t) ((timeout - ASK_MARGIN_USEC) / USEC_PER_SEC);
        _cleanup_free_ char *text = NULL;

        if (request && json_object_set_new(request, "seconds", json_integer(seconds)) >= 0)
                text = json_format(request, JSON_COMPACT);
        if (!text)
                return error_set_errnof(reterr, ENOMEM, "%s: %m", what);
        return worker_call_new(
                        m->event, storage_socket(), what, text, max, timeout, done, userdata, ret, reterr);
}

bool storage_is_known(const Storage *s) {
        return s->known;
}

const StorageRecord *storage_record(const Storage *s) {
        return s->record.endpoint ? &s->record : NULL;
}

uint32_t storage_version(const Storage *s) {
        return s->record.version;
}

usec_t instance_uncopied_since(const Instance *i) {
        return storage_record(i->manager->storage) ? i->record->backups.uncopied_since : 0;
}

int storage_new(Manager *m, Storage **ret) {
        Storage *s;

        s = new0(Storage, 1);
        if (!s)
                return -ENOMEM;
        *s = (Storage) { .manager = m, .look_at = USEC_INFINITY };
        *ret = s;
        return 0;
}

Storage *storage_free(Storage *s) {
        if (!s)
                return NULL;

        db_slot_unref(s->read_slot);
        db_slot_unref(s->due_slot);
        worker_call_free(s->sweep);
        worker_call_free(s->compare);
        sd_event_source_unref(s->timer);
        storage_record_done(&s->record);
        return mfree(s);
}
