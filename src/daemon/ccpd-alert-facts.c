/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "ccpd-alert-facts.h"

#include <inttypes.h>

#include "alloc-util.h"
#include "ccpd-manager.h"
#include "ccpd-recovery.h"
#include "string-util.h"
#include "strv.h"

/* Of what is wrong with an instance, so many services are named. */
#define SERVICES_NAMED_MAX 5U
/* An instance that is unwell for this long is told; the list of its containers is complete by then. */
#define HEALTH_HOLD_MIN_USEC (5 * USEC_PER_SEC)

AlertThresholds alert_thresholds(const Manager *m) {
        const Settings *s = m->settings;

        return (AlertThresholds) {
                .health_hold = MAX(s->alert_health_minutes * USEC_PER_MINUTE, HEALTH_HOLD_MIN_USEC),
                .disk_percent = s->alert_disk_percent,
                .secret_age = s->alert_secret_age_days * USEC_PER_DAY,
                .backup_age = s->alert_backup_hours * USEC_PER_HOUR,
                .copy_age = s->alert_copy_hours * USEC_PER_HOUR,
                /* One round of scrubs may have been missed. */
                .scrub_age = s->scrub_days > 0 ? (2 * s->scrub_days + 1) * USEC_PER_DAY : 0,
        };
}

/* --- instances --- */

static bool restarts_count(const InstanceService *s, usec_t realtime) {
        const HealthObservation *o = &s->observation;

        return o->state != CONTAINER_RUNNING || realtime < o->since + HEALTH_RESTARTS_FORGOTTEN_USEC;
}

static unsigned count_restarts(const Instance *i) {
        usec_t realtime = now(CLOCK_REALTIME);
        unsigned n = 0;

        FOREACH_ARRAY(s, i->services, i->n_services)
                if (restarts_count(s, realtime))
                        n = MAX(n, s->observation.n_restarts);
        return n;
}

/* The last one that came to something; of backups, rules of their own tell. */
static const JobRecord *last_job(const Instance *i) {
        const JobRecord *last = NULL;

        for (const Job *j = i->manager->jobs; j; j = j->hh.next)
                if (IN_SET(j->record->state, JOB_SUCCEEDED, JOB_FAILED) &&
                                !job_kind_is_aside(j->record->kind) &&
                                streq(j->record->instance, i->record->id))
                        last = j->record;
        return last;
}

static usec_t backup_overdue(const Instance *i, usec_t realtime) {
        usec_t due = instance_backup_due(i);
        const InstanceRecord *r = i->record;

        return due > 0 && due < realtime &&
                                        MAX(r->backups.last_at, r->turns[SCHEDULE_BACKUP].scheduled_at) < due
                        ? realtime - due
                        : 0;
}

AlertFacts alert_instance_facts(const Instance *i, usec_t counting) {
        const JobRecord *job = last_job(i);
        usec_t realtime = now(CLOCK_REALTIME);
        bool awaited, undrilled = instance_drill_missed(i, &awaited) > 0;
        usec_t uncopied = instance_uncopied_since(i);

        return (AlertFacts) {
                .state = i->record->state,
                .health = i->health,
                .busy = instance_has_job(i) || recovery_awaits(i->manager->recovery, i) ||
                                recovery_is_closing(i->manager->recovery),
                .counts_are_new = counting < HEALTH_RESTARTS_FORGOTTEN_USEC,
                .n_restarts = count_restarts(i),
                .last_job = job ? job->state : _JOB_STATE_INVALID,
                .secrets_known = i->secrets_known,
                .secret_age = i->old_secret > 0 && realtime > i->old_secret ? realtime - i->old_secret : 0,
                .last_backup = i->record->backups.last_job.state,
                .backup_overdue = backup_overdue(i, realtime),
                .uncopied = uncopied > 0 && uncopied < realtime ? realtime - uncopied : 0,
                .n_damaged = i->record->backups.n_damaged,
                .has_backup = i->record->backups.last > 0,
                .last_drill = i->record->backups.last_drill.state,
                .undrilled = undrilled,
                .drill_awaited = awaited,
        };
}

/* "db has ended, web is unhealthy" */
static void append_unwell(StringBuilder *b, const Instance *i) {
        usec_t realtime = now(CLOCK_REALTIME);
        unsigned n = 0;

        FOREACH_ARRAY(s, i->services, i->n_services) {
                HealthJudgement j;

                if (strv_contains(i->record->stopped_services, s->name))
                        continue;
                (void) instance_judge_service(i, s, realtime, &j);
                if (j.verdict != VERDICT_FAILED)
                        continue;
                if (n++ < SERVICES_NAMED_MAX)
                        string_builder_appendf(b, "%s%s %s", n > 1 ? ", " : "", s->name, j.reason);
        }
        if (n > SERVICES_NAMED_MAX)
                string_builder_appendf(b, ", and %u more", n - SERVICES_NAMED_MAX);
        if (i->n_services == 0)
                string_builder_append(b, "no container is there");
}

static void append_restarting(StringBuilder *b, const Instance *i) {
        usec_t realtime = now(CLOCK_REALTIME);
        unsigned n = 0;

        FOREACH_ARRAY(s, i->services, i->n_services)
                if (restarts_count(s, realtime) && s->observation.n_restarts > 0 && n++ < SERVICES_NAMED_MAX)
                        string_builder_appendf(b, "%s%s (%u times)", n > 1 ? ", " : "", s->name,
                                        s->observation.n_restarts);
}

/* "1 of 7, backup 12" */
static void append_damaged(StringBuilder *b, uint64_t n, uint64_t of, uint64_t first) {
        string_builder_appendf(b, "%" PRIu64 " of %" PRIu64 ", %sbackup %" PRIu64, n, of,
                        n > 1 ? "the first is " : "", first);
}

static void append_undrilled(StringBuilder *b, const Instance *i) {
        bool awaited;
        usec_t since = instance_drill_missed(i, &awaited), at = i->record->backups.drilled_at;

        if (since > 0)
                string_builder_appendf(b, "one was due on %s (%s) and once more since then%s%s",
                                FORMAT_TIMESTAMP(since), i->manager->settings->drill_schedule,
                                at > 0 ? ", and the last one that succeeded is of "
                                       : ", and none ever succeeded",
                                at > 0 ? FORMAT_TIMESTAMP(at) : "");
}

static void append_uncopied(StringBuilder *b, const Instance *i) {
        usec_t since = instance_uncopied_since(i);
        const JobOutcome *last = &i->record->backups.last_copy;

        if (since > 0)
                string_builder_appendf(b, "it should have one since %s%s%s", FORMAT_TIMESTAMP(since),
                                last->state == JOB_FAILED ? ": " : "",
                                last->state == JOB_FAILED ? strempty(last->error) : "");
}

static void append_instance_cause(StringBuilder *b, AlertRule rule, const Instance *i) {
        const JobRecord *job = NULL;

        switch (rule) {
        case ALERT_INSTANCE_FAILED:
                string_builder_append(b, strempty(i->record->error_message));
                break;
        case ALERT_INSTANCE_UNHEALTHY:
        case ALERT_INSTANCE_DEGRADED:
                append_unwell(b, i);
                break;
        case ALERT_SERVICES_RESTARTING:
                append_restarting(b, i);
                break;
        case ALERT_JOB_FAILED:
                job = last_job(i);
                if (job)
                        string_builder_appendf(b, "%s, job %" PRIu64 ": %s", job_kind_to_string(job->kind),
                                        job->id, strempty(job->error_message));
                break;
        case ALERT_BACKUP_FAILED:
                string_builder_append(b, strempty(i->record->backups.last_job.error));
                break;
        case ALERT_BACKUP_MISSING:
                string_builder_appendf(b, "one was due on %s (%s)%s%s",
                                FORMAT_TIMESTAMP(instance_backup_due(i)), instance_schedule(i),
                                i->record->backups.last_at > 0 ? ", and the newest is of "
                                                               : ", and there is none",
                                i->record->backups.last_at > 0 ? FORMAT_TIMESTAMP(i->record->backups.last_at)
                                                               : "");
                break;
        case ALERT_BACKUP_DAMAGED:
                append_damaged(b, i->record->backups.n_damaged, i->record->backups.n_ids,
                                i->record->backups.first_damaged);
                break;
        case ALERT_DRILL_FAILED:
                string_builder_append(b, strempty(i->record->backups.last_drill.error));
                break;
        case ALERT_BACKUP_UNDRILLED:
                append_undrilled(b, i);
                break;
        case ALERT_BACKUP_UNREPLICATED:
                append_uncopied(b, i);
                break;
        case ALERT_SECRET_AGE:
                if (i->old_secret > 0)
                        string_builder_appendf(
                                        b, "the oldest was made on %s", FORMAT_TIMESTAMP(i->old_secret));
                break;
        default:
                break;
        }
}

/* --- the host --- */

static usec_t unread_since(const Manager *m) {
        usec_t since = m->gone_backups.unread_since ?: USEC_INFINITY;

        for (const Instance *i = m->instances; i; i = i->hh.next)
                if (i->record->backups.unread_since > 0)
                        since = MIN(since, i->record->backups.unread_since);
        return since;
}

static AlertFacts backup_facts(const Manager *m) {
        usec_t since = unread_since(m), realtime = now(CLOCK_REALTIME);
        const StorageRecord *storage = storage_record(m->storage);

        return (AlertFacts) {
                .known = m->loaded && storage_is_known(m->storage) && db_is_available(m->db),
                .unread = since < realtime ? realtime - since : 0,
                .n_damaged = m->gone_backups.n_damaged,
                .uncompared = storage && storage->compared_at < realtime ? realtime - storage->compared_at
                                                                         : 0,
        };
}

static void append_backup_cause(StringBuilder *b, AlertRule rule, const Manager *m) {
        const StorageRecord *storage = storage_record(m->storage);
        usec_t since = unread_since(m);

        if (rule == ALERT_GONE_BACKUP_DAMAGED)
                append_damaged(b, m->gone_backups.n_damaged, m->gone_backups.n,
                                m->gone_backups.first_damaged);
        else if (rule == ALERT_COPIES_UNCOMPARED && storage)
                string_builder_appendf(b, "it was looked there for all of them on %s the last time",
                                FORMAT_TIMESTAMP(storage->compared_at));
        else if (rule == ALERT_BACKUP_UNSCRUBBED && since != USEC_INFINITY)
                string_builder_appendf(b, "one was read on %s the last time, and should be every %u days",
                                FORMAT_TIMESTAMP(since), m->settings->scrub_days);
}

AlertFacts alert_host_facts(const Manager *m, AlertAbout about) {
        if (about == ALERT_ABOUT_STORE)
                return (AlertFacts) { .known = true, .available = db_is_available(m->db) };
        if (about == ALERT_ABOUT_BACKUPS)
                return backup_facts(m);
        if (about == ALERT_ABOUT_SWEEPS)
                return (AlertFacts) {
                        .known = db_is_available(m->db) && m->engine_state == ENGINE_AVAILABLE,
                        .available = sweeps_check_silence(m->sweeps, NULL) == 0,
                };

        return (AlertFacts) {
                .known = m->engine_state != ENGINE_UNKNOWN,
                .available = m->engine_state == ENGINE_AVAILABLE,
        };
}

char *alert_cause(const Manager *m, AlertRule rule, const Instance *i, const DiskUse *disk) {
        _cleanup_string_builder_ StringBuilder b = {};
        _cleanup_free_ char *silence = NULL;
        char *s;

        string_builder_append(&b, "");
        switch (alert_rule_about(rule)) {
        case ALERT_ABOUT_INSTANCE:
                if (i)
                        append_instance_cause(&b, rule, i);
                break;
        case ALERT_ABOUT_FILE_SYSTEM:
                return disk ? disk_use_describe(disk) : strdup("");
        case ALERT_ABOUT_STORE:
                string_builder_append(&b, strempty(db_why_unavailable(m->db)));
                break;
        case ALERT_ABOUT_BACKUPS:
                append_backup_cause(&b, rule, m);
                break;
        case ALERT_ABOUT_SWEEPS:
                if (sweeps_check_silence(m->sweeps, &silence) > 0)
                        string_builder_append(&b, silence);
                break;
        case ALERT_ABOUT_ENGINE:
                break;
        }

        return string_builder_finish(&b, &s, NULL) < 0 ? NULL : s;
}
