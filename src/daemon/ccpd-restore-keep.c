/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "ccpd-restore-keep.h"

#include <systemd/sd-id128.h>

#include "alloc-util.h"
#include "ccpd-audit.h"
#include "ccpd-job-queue.h"
#include "ccpd-manager.h"
#include "json-util.h"
#include "log.h"
#include "store-restore.h"
#include "string-util.h"

/* Nobody waits for room to the minute. */
#define INTERVAL USEC_PER_HOUR
#define ACCURACY (10 * USEC_PER_MINUTE)

static void on_job_made(int r, InstanceRecord *instance, JobRecord *job, Error *error, void *userdata) {
        _cleanup_(instance_record_freep) InstanceRecord *taken_instance = instance;
        _cleanup_(job_record_freep) JobRecord *taken_job = job;
        Manager *m = userdata;

        if (r >= 0 && taken_instance)
                r = manager_take_instance(m, &taken_instance, NULL);
        if (r >= 0)
                r = manager_take_job(m, &taken_job, NULL);
        if (r >= 0)
                job_queue_dispatch(m);
        else
                log_debug("What is kept from before a restore is removed later: %s",
                                strempty(error->message));
}

static void discard(Manager *m, const char *id) {
        _cleanup_json_ json_t *spec = json_pack("{s:b}", "due", 1);
        _cleanup_error_ Error e = {};
        AuditActor self;

        if (!spec) {
                log_oom();
                return;
        }
        audit_actor_self(&self);
        if (store_create_job(m->db,
                            &(StoreJobCreate) {
                                            .instance = id,
                                            .kind = JOB_DISCARD_RESTORE,
                                            .spec = spec,
                                            .details = spec,
                                            .actor = &self,
                            },
                            on_job_made, m, NULL, &e) < 0)
                log_debug("What is kept from before a restore is removed later: %s", e.message);
}

/* One that a job is at work on has its turn the next time. */
static void on_due(int r, char *const *instances, Error *error, void *userdata) {
        Manager *m = userdata;

        if (r < 0) {
                log_debug("Cannot tell what is kept from before restores: %s", strempty(error->message));
                return;
        }
        STRV_FOREACH(id, instances) {
                const Instance *i = instance_find_by_id(m, *id);

                if (i && !i->job)
                        discard(m, *id);
        }
}

/* By the time that the kernel counts, which nobody can set. */
static void count(Manager *m) {
        char boot[SD_ID128_STRING_MAX];
        _cleanup_error_ Error e = {};
        sd_id128_t id;
        int r;

        r = sd_id128_get_boot(&id);
        r = r < 0 ? error_set_errnof(&e, r, "The id of this boot cannot be read: %m")
                  : store_list_due_restores(m->db, sd_id128_to_string(id, boot), now(CLOCK_BOOTTIME), on_due,
                                    m, NULL, &e);
        if (r < 0)
                log_debug("Cannot tell what is kept from before restores: %s", e.message);
}

static int on_time(sd_event_source *s, _unused_ uint64_t usec, void *userdata) {
        Manager *m = userdata;
        int r;

        count(m);
        r = sd_event_source_set_time_relative(s, INTERVAL);
        if (r >= 0)
                r = sd_event_source_set_enabled(s, SD_EVENT_ONESHOT);
        return r;
}

void restore_keep_start(Manager *m) {
        int r;

        if (m->restore_keep_source)
                return;

        r = sd_event_add_time_relative(
                        m->event, &m->restore_keep_source, CLOCK_MONOTONIC, 0, ACCURACY, on_time, m);
        if (r < 0)
                log_warning_errno(
                                r, "Failed to set a timer to remove what is kept from before restores: %m");
}
