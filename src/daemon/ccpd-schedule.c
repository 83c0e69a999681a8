/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "ccpd-schedule.h"

#include <errno.h>
#include <utlist.h>

#include "alloc-util.h"
#include "ccpd-audit.h"
#include "ccpd-instance-settings.h"
#include "ccpd-job-queue.h"
#include "ccpd-manager.h"
#include "ccpd-reload.h"
#include "event-util.h"
#include "json-util.h"
#include "log.h"
#include "schedule.h"
#include "store-schedule.h"
#include "string-util.h"
#include "strv.h"

#define TIMER_PATTERN "ccp-schedule@*.timer"
/* Changes that come together are looked at together. */
#define RUN_DELAY_USEC (100 * USEC_PER_MSEC)
/* A job that could not be made is asked for again after so long. */
#define REFUSED_DELAY_USEC (30 * USEC_PER_SEC)

/* A job that is being made. */
typedef struct ScheduledBackup ScheduledBackup;
struct ScheduledBackup {
        Schedules *schedules;
        char instance[STORE_ID_MAX];
        ScheduledBackup *prev, *next;
};

/* An expression that PID 1 is asked about. */
typedef struct ScheduleCheck ScheduleCheck;
struct ScheduleCheck {
        Schedules *schedules;
        char *expression;
        schedule_check_t handler;
        void *userdata;
        void (*destroy)(void *userdata);
        UnitRequest *request;
        ScheduleCheck *prev, *next;
};

struct Schedules {
        Manager *manager;
        ScheduleRecords records;
        bool known;    /* they were read */
        char **wanted; /* the expressions that timers were started for; NULL: nothing is known of timers */
        bool listing;
        bool read_again;
        DbSlot *read_slot;
        ScheduledBackup *backups;
        ScheduleCheck *checks;
        usec_t due; /* when the timer fires, monotonic */
        sd_event_source *timer;
};

static void schedules_at(Schedules *s, usec_t monotonic);

/* --- which there are --- */

const char *instance_schedule(const Instance *i) {
        return json_object_get_string(i->record->backup_settings, "backup_schedule")
                        ?: i->manager->settings->backup_schedule;
}

static const ScheduleRecord *find_record(const Schedules *s, const char *expression) {
        FOREACH_ARRAY(r, s->records.items, s->records.n)
                if (streq(r->expression, expression))
                        return r;
        return NULL;
}

usec_t instance_backup_due(const Instance *i) {
        const ScheduleRecord *r = find_record(i->manager->schedules, instance_schedule(i));

        if (!r)
                return 0;
        return r->next_at > 0 && r->next_at <= now(CLOCK_REALTIME) ? MAX(r->knocked_at, r->next_at)
                                                                   : r->knocked_at;
}

static int compare_texts(const void *a, const void *b) {
        return strcmp(*(char *const *) a, *(char *const *) b);
}

/* The expressions that instances go by, in order, each once. */
static int list_wanted(const Manager *m, char ***ret) {
        _cleanup_strv_free_ char **l = new0(char *, 1);

        if (!l)
                return -ENOMEM;
        for (const Instance *i = m->instances; i; i = i->hh.next) {
                const char *expression = instance_schedule(i);

                if (!streq(expression, SCHEDULE_OFF) && !strv_contains(l, expression) &&
                                strv_extend(&l, expression) < 0)
                        return -ENOMEM;
        }
        qsort(l, strv_length(l), sizeof(*l), compare_texts);

        *ret = TAKE_PTR(l);
        return 0;
}

static bool strv_equal(char *const *a, char *const *b) {
        if (!a || !b)
                return a == b;
        while (*a && *b)
                if (!streq(*a++, *b++))
                        return false;
        return !*a && !*b;
}

/* --- timers --- */

static void on_timer_changed(const Error *error, void *userdata) {
        Schedules *s = userdata;

        if (!error) {
                schedules_look(s);
                return;
        }
        log_warning("Cannot change a timer of backups, trying again later: %s", error->message);
        s->wanted = strv_free(s->wanted);
        schedules_at(s, now(CLOCK_MONOTONIC) + REFUSED_DELAY_USEC);
}

static bool is_wanted(char *const *expressions, const char *unit) {
        char buf[SCHEDULE_UNIT_MAX];

        STRV_FOREACH(e, expressions)
                if (streq(schedule_to_timer(*e, buf), unit))
                        return true;
        return false;
}

/* One that is just being judged is somebody else's business. */
static bool is_checked(const Schedules *s, const char *unit) {
        char buf[SCHEDULE_UNIT_MAX];

        for (const ScheduleCheck *c = s->checks; c; c = c->next)
                if (streq(schedule_to_timer(c->expression, buf), unit))
                        return true;
        return false;
}

static int change_timers(Schedules *s, char *const *units) {
        Manager *m = s->manager;
        char buf[SCHEDULE_UNIT_MAX];
        int r = 0;

        STRV_FOREACH(unit, units)
                if (r >= 0 && !is_wanted(s->wanted, *unit) && !is_checked(s, *unit))
                        r = unit_client_stop(m->units, *unit, on_timer_changed, s, NULL);
        STRV_FOREACH(e, s->wanted) {
                const char *unit = schedule_to_timer(*e, buf);

                if (r >= 0 && !strv_contains(units, unit))
                        r = unit_client_start(m->units, unit, on_timer_changed, s, NULL);
        }
        return r;
}

static void on_timers_listed(char *const *units, const Error *error, void *userdata) {
        Schedules *s = userdata;
        _cleanup_error_ Error e = {};
        int r;

        s->listing = false;
        s->wanted = strv_free(s->wanted);
        r = error ? -EIO : list_wanted(s->manager, &s->wanted);
        if (r >= 0)
                r = change_timers(s, units);
        if (r < 0) {
                log_debug("Cannot tell which timers of backups run, asking again later%s%s",
                                error ? ": " : ".", error ? error->message : "");
                s->wanted = strv_free(s->wanted);
                schedules_at(s, now(CLOCK_MONOTONIC) + REFUSED_DELAY_USEC);
                return;
        }

        if (store_keep_schedules(s->manager->db, s->wanted, NULL, &e) < 0)
                log_debug("Cannot record the schedules: %s", e.message);
        schedules_look(s);
        schedules_queue(s);
}

static void update_timers(Schedules *s) {
        _cleanup_strv_free_ char **wanted = NULL;
        int r;

        if (s->listing)
                return;
        r = list_wanted(s->manager, &wanted);
        if (r < 0) {
                log_oom();
                return;
        }
        if (strv_equal(wanted, s->wanted))
                return;

        r = unit_client_list(s->manager->units, TIMER_PATTERN, on_timers_listed, s);
        if (r < 0)
                log_warning_errno(r, "Failed to ask systemd for the timers of backups: %m");
        else
                s->listing = true;
}

/* --- when they are due the next time --- */

static void on_timer_read(const char *unit, usec_t next, void *userdata) {
        Schedules *s = userdata;
        char buf[SCHEDULE_UNIT_MAX];
        _cleanup_error_ Error e = {};

        STRV_FOREACH(expression, s->wanted) {
                const ScheduleRecord *known = find_record(s, *expression);

                if (!streq(schedule_to_timer(*expression, buf), unit) || next == 0 ||
                                next == USEC_INFINITY || (known && known->next_at == next))
                        continue;
                if (store_keep_schedules(s->manager->db, s->wanted,
                                    &(ScheduleRecord) { .expression = *expression, .next_at = next },
                                    &e) < 0)
                        log_debug("Cannot record when '%s' is due: %s", *expression, e.message);
        }
}

void schedules_look(Schedules *s) {
        char buf[SCHEDULE_UNIT_MAX];

        if (!db_is_available(s->manager->db) || !s->known)
                return;
        STRV_FOREACH(e, s->wanted)
                if (unit_client_read_timer(s->manager->units, schedule_to_timer(*e, buf), on_timer_read, s) <
                                0)
                        log_debug("Cannot ask systemd when '%s' is due.", *e);
}

/* --- an expression that somebody wants to set --- */

static void schedule_check_free(ScheduleCheck *c) {
        DL_DELETE(c->schedules->checks, c);
        unit_request_free(c->request);
        c->destroy(c->userdata);
        free(c->expression);
        free(c);
}

static void on_checked(const Error *error, void *userdata) {
        ScheduleCheck *c = userdata;
        Schedules *s = c->schedules;
        _cleanup_error_ Error e = {};

        c->request = NULL;
        if (error)
                (void) error_setf(&e, error->name,
                                streq(error->name, CCP_ERROR_INVALID_ARGUMENT)
                                                ? "'%s' is no calendar expression that systemd takes: %s "
                                                  "See: systemd.time(7)"
                                                : "'%s' cannot be tried now: %s",
                                c->expression, strempty(error->message));
        c->handler(error ? &e : NULL, c->userdata);
        schedule_check_free(c);
        /* What is not set in the end is stopped. */
        s->wanted = strv_free(s->wanted);
        schedules_queue(s);
}

int schedules_check(Schedules *s, const char *expression, schedule_check_t handler, void *userdata,
                void (*destroy)(void *userdata)) {
        char buf[SCHEDULE_UNIT_MAX];
        ScheduleCheck *c;
        int r;

        if (streq(expression, SCHEDULE_OFF) || strv_contains(s->wanted, expression)) {
                handler(NULL, userdata);
                destroy(userdata);
                return 0;
        }

        c = new0(ScheduleCheck, 1);
        if (!c) {
                destroy(userdata);
                return -ENOMEM;
        }
        *c = (ScheduleCheck) {
                .destroy = destroy,
                .schedules = s,
                .expression = strdup(expression),
                .handler = handler,
                .userdata = userdata,
        };
        DL_APPEND(s->checks, c);
        r = c->expression ? unit_client_start(s->manager->units, schedule_to_timer(expression, buf),
                                            on_checked, c, &c->request)
                          : -ENOMEM;
        if (r < 0)
                schedule_check_free(c);
        return r;
}

/* --- what is due --- */

static void scheduled_backup_end(int r, const Error *error, ScheduledBackup *b) {
        Schedules *s = b->schedules;
        Instance *i = instance_find_by_id(s->manager, b->instance);

        DL_DELETE(s->backups, b);
        free(b);
        if (i)
                i->backup_begins = false;
        if (r >= 0 || !i)
                return;

        i->backup_not_before = now(CLOCK_MONOTONIC) + REFUSED_DELAY_USEC;
        log_info("'%s' cannot be backed up now, it is tried again: %s", i->record->slug,
                        strempty(error->message));
        schedules_at(s, i->backup_not_before);
}

static void on_job_made(int r, InstanceRecord *instance, JobRecord *job, Error *error, void *userdata) {
        _cleanup_(instance_record_freep) InstanceRecord *taken_instance = instance;
        _cleanup_(job_record_freep) JobRecord *taken_job = job;
        ScheduledBackup *b = userdata;
        Manager *m = b->schedules->manager;
        _cleanup_error_ Error e = {};

        if (r >= 0)
                r = manager_take_instance(m, &taken_instance, NULL);
        if (r >= 0)
                r = manager_take_job(m, &taken_job, NULL);
        if (r < 0 && !error_is_set(error))
                (void) error_set_errnof(&e, r, "Cannot follow the job: %m");

        scheduled_backup_end(r, error_is_set(error) ? error : &e, b);
        if (r >= 0)
                job_queue_dispatch(m);
}

static void begin_backup(Schedules *s, Instance *i, const ScheduleRecord *schedule) {
        const RetentionPolicy policy = instance_retention(i);
        _cleanup_json_ json_t *spec = NULL;
        _cleanup_error_ Error e = {};
        ScheduledBackup *b;
        AuditActor self;
        int r;

        spec = json_pack("{s:s, s:o}", "schedule", schedule->expression, "retention",
                        retention_policy_to_json(&policy));
        b = new0(ScheduledBackup, 1);
        if (!b || !spec) {
                free(b);
                log_oom();
                return;
        }

        b->schedules = s;
        DL_APPEND(s->backups, b);
        memcpy(b->instance, i->record->id, sizeof(b->instance));
        audit_actor_self(&self);
        i->backup_begins = true;
        r = store_create_job(s->manager->db,
                        &(StoreJobCreate) {
                                        .instance = i->record->id,
                                        .kind = JOB_BACKUP,
                                        .spec = spec,
                                        .details = spec,
                                        .actor = &self,
                                        .knock = schedule->knock,
                        },
                        on_job_made, b, NULL, &e);
        if (r < 0)
                scheduled_backup_end(r, &e, b);
}

static bool is_scheduled(const Job *j) {
        return j->record->kind == JOB_BACKUP && json_object_get(j->record->spec, "schedule") &&
                        !job_state_is_final(j->record->state);
}

static unsigned count_backups(const Manager *m) {
        unsigned n = 0;

        for (const Job *j = m->jobs; j; j = j->hh.next)
                n += is_scheduled(j);
        for (const Instance *i = m->instances; i; i = i->hh.next)
                n += i->backup_begins;
        return n;
}

/* Told once for each time that it was due: it is backed up when it runs again. */
static void note_stopped(Instance *i, const ScheduleRecord *schedule) {
        if (i->backup_skipped == schedule->knock)
                return;
        i->backup_skipped = schedule->knock;
        log_notice("'%s' is stopped: its backup (%s) is left out, and made when it runs again.",
                        i->record->slug, schedule->expression);
}

static bool may_begin(const Schedules *s, Instance *i, const ScheduleRecord *schedule) {
        if (i->record->state == INSTANCE_STOPPED) {
                note_stopped(i, schedule);
                return false;
        }
        return instance_state_allows(i->record->state, JOB_BACKUP) && !i->job && !i->reviving &&
                        !i->backup_begins && !recovery_awaits(s->manager->recovery, i) &&
                        s->manager->engine_state != ENGINE_UNAVAILABLE;
}

static void begin_due(Schedules *s) {
        unsigned n = count_backups(s->manager);
        usec_t monotonic = now(CLOCK_MONOTONIC), next = USEC_INFINITY;

        for (Instance *i = s->manager->instances; i; i = i->hh.next) {
                const ScheduleRecord *schedule = find_record(s, instance_schedule(i));

                /* However often it knocked: one backup is new enough for all of them. */
                if (!schedule || schedule->knock <= i->record->backup_knock || !may_begin(s, i, schedule))
                        continue;
                if (i->backup_not_before > monotonic) {
                        next = MIN(next, i->backup_not_before);
                        continue;
                }
                if (n >= s->manager->settings->backup_concurrency)
                        continue;
                n++;
                begin_backup(s, i, schedule);
        }
        schedules_at(s, next);
}

/* --- rows --- */

static void on_read(int r, ScheduleRecords *records, Error *error, void *userdata) {
        Schedules *s = userdata;

        s->read_slot = db_slot_unref(s->read_slot);
        if (r < 0) {
                log_debug("Failed to read the schedules, all is read again later: %s", error->message);
                manager_resync_later(s->manager);
                return;
        }

        schedule_records_done(&s->records);
        s->records = *records;
        *records = (ScheduleRecords) {};
        s->known = true;
        if (s->read_again) {
                s->read_again = false;
                schedules_read(s);
        }
        for (Instance *i = s->manager->instances; i; i = i->hh.next)
                alerts_note_instance(i);
        schedules_queue(s);
}

void schedules_read(Schedules *s) {
        _cleanup_error_ Error e = {};

        /* What is being read may be older. */
        if (s->read_slot) {
                s->read_again = true;
                return;
        }
        if (store_load_schedules(s->manager->db, on_read, s, &s->read_slot, &e) < 0) {
                log_debug("Failed to read the schedules, all is read again later: %s", e.message);
                manager_resync_later(s->manager);
        }
}

/* --- */

static int on_timer(_unused_ sd_event_source *source, _unused_ uint64_t usec, void *userdata) {
        Schedules *s = userdata;
        Manager *m = s->manager;

        s->due = USEC_INFINITY;
        /* What is at work already must be known. */
        if (!m->loaded || !m->units_listed || !s->known || !db_is_available(m->db))
                return 0;

        update_timers(s);
        begin_due(s);
        return 0;
}

static void schedules_at(Schedules *s, usec_t monotonic) {
        int r;

        if (monotonic >= s->due)
                return;

        s->due = monotonic;
        r = event_reset_time(s->manager->event, &s->timer, monotonic, RUN_DELAY_USEC / 2, on_timer, s);
        if (r < 0)
                log_warning_errno(r, "Failed to set a timer for backups: %m");
}

void schedules_queue(Schedules *s) {
        schedules_at(s, now(CLOCK_MONOTONIC) + RUN_DELAY_USEC);
}

int schedules_new(Manager *m, Schedules **ret) {
        Schedules *s;

        s = new0(Schedules, 1);
        if (!s)
                return -ENOMEM;
        *s = (Schedules) { .manager = m, .due = USEC_INFINITY };
        *ret = s;
        return 0;
}

Schedules *schedules_free(Schedules *s) {
        if (!s)
                return NULL;

        db_slot_unref(s->read_slot);
        while (s->checks)
                schedule_check_free(s->checks);
        while (s->backups) {
                ScheduledBackup *b = s->backups;

                DL_DELETE(s->backups, b);
                free(b);
        }
        schedule_records_done(&s->records);
        strv_free(s->wanted);
        sd_event_source_unref(s->timer);
        return mfree(s);
}
