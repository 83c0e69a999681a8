/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "ccpd-schedule.h"

#include <errno.h>
#include <inttypes.h>
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

/* A job that is being made, or a turn without one that is put on record. */
typedef struct ScheduledTurn ScheduledTurn;
struct ScheduledTurn {
        Schedules *schedules;
        ScheduleWork work;
        uint64_t knock;
        const char *skipped; /* why there is no job; NULL: there is one */
        char instance[STORE_ID_MAX];
        ScheduledTurn *prev, *next;
};

/* Expressions that PID 1 is asked about, one after the other. */
typedef struct ScheduleCheck ScheduleCheck;
struct ScheduleCheck {
        Schedules *schedules;
        char **expressions;
        size_t n_checked;
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
        ScheduledTurn *turns;
        usec_t drill_not_before; /* of any instance, monotonic */
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

const char *instance_backup_consistency(const Instance *i) {
        return json_object_get_string(i->record->backup_settings, "backup_consistency")
                        ?: i->manager->settings->backup_consistency;
}

static const ScheduleRecord *find_record(const Schedules *s, const char *expression) {
        FOREACH_ARRAY(r, s->records.items, s->records.n)
                if (streq(r->expression, expression))
                        return r;
        return NULL;
}

static const ScheduleRecord *find_drills(const Schedules *s) {
        return find_record(s, s->manager->settings->drill_schedule);
}

usec_t instance_backup_due(const Instance *i) {
        const ScheduleRecord *r = find_record(i->manager->schedules, instance_schedule(i));

        return r ? schedule_last_due(&r->times, now(CLOCK_REALTIME)) : 0;
}

usec_t instance_drill_missed(const Instance *i, bool *ret_awaited) {
        const ScheduleRecord *r = find_drills(i->manager->schedules);
        const ScheduleTurn *turn = &i->record->turns[SCHEDULE_DRILL];
        bool awaited = false;
        usec_t since;

        since = r ? schedule_two_rounds_ago(&r->times, now(CLOCK_REALTIME), &awaited) : 0;
        *ret_awaited = awaited && (turn->knock < r->knock || (i->job && i->job->record->kind == JOB_DRILL));
        return MAX(i->record->backups.drilled_at, turn->scheduled_at) < since ? since : 0;
}

static int compare_texts(const void *a, const void *b) {
        return strcmp(*(char *const *) a, *(char *const *) b);
}

static int add_wanted(char ***l, const char *expression) {
        return streq(expression, SCHEDULE_OFF) || strv_contains(*l, expression) ? 0
                                                                                : strv_extend(l, expression);
}

/* The expressions that instances go by, in order, each once. */
static int list_wanted(const Manager *m, char ***ret) {
        _cleanup_strv_free_ char **l = new0(char *, 1);

        if (!l || (m->instances && add_wanted(&l, m->settings->drill_schedule) < 0))
                return -ENOMEM;
        for (const Instance *i = m->instances; i; i = i->hh.next)
                if (add_wanted(&l, instance_schedule(i)) < 0)
                        return -ENOMEM;
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
        (void) log_full(unit_error_level(error), 0,
                        "Cannot change the timer of a schedule, trying again later: %s", error->message);
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
                STRV_FOREACH(e, c->expressions)
                        if (streq(schedule_to_timer(*e, buf), unit))
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
                log_debug("Cannot tell which timers of schedules run, asking again later%s%s",
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
                log_warning_errno(r, "Failed to ask systemd for the timers of schedules: %m");
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
                                next == USEC_INFINITY || (known && known->times.next == next))
                        continue;
                if (store_keep_schedules(s->manager->db, s->wanted,
                                    &(ScheduleRecord) { .expression = *expression, .times.next = next },
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

/* --- expressions that somebody wants to set --- */

static void schedule_check_free(ScheduleCheck *c) {
        DL_DELETE(c->schedules->checks, c);
        unit_request_free(c->request);
        c->destroy(c->userdata);
        strv_free(c->expressions);
        free(c);
}

static int check_next(ScheduleCheck *c);

static void on_checked(const Error *error, void *userdata) {
        ScheduleCheck *c = userdata;
        Schedules *s = c->schedules;
        _cleanup_error_ Error e = {};
        int r;

        c->request = NULL;
        if (error)
                (void) error_setf(&e, error->name,
                                streq(error->name, CCP_ERROR_INVALID_ARGUMENT)
                                                ? "'%s' is no calendar expression that systemd takes: %s "
                                                  "See: systemd.time(7)"
                                                : "'%s' cannot be tried now: %s",
                                c->expressions[c->n_checked], strempty(error->message));
        else if (c->expressions[++c->n_checked]) {
                r = check_next(c);
                if (r >= 0)
                        return;
                (void) error_set_errnof(&e, r, "'%s' cannot be tried now: %m", c->expressions[c->n_checked]);
        }
        c->handler(error_is_set(&e) ? &e : NULL, c->userdata);
        schedule_check_free(c);
        /* What is not set in the end is stopped. */
        s->wanted = strv_free(s->wanted);
        schedules_queue(s);
}

static int check_next(ScheduleCheck *c) {
        char buf[SCHEDULE_UNIT_MAX];

        return unit_client_start(c->schedules->manager->units,
                        schedule_to_timer(c->expressions[c->n_checked], buf), on_checked, c, &c->request);
}

/* Those that PID 1 does not know yet. */
static int list_new(const Schedules *s, const json_t *changes, char ***ret) {
        _cleanup_strv_free_ char **l = new0(char *, 1);

        if (!l)
                return -ENOMEM;
        for (ScheduleWork w = 0; w < _SCHEDULE_WORK_MAX; w++) {
                const char *expression = json_object_get_string(changes, schedule_work_to_setting(w));

                if (expression && !strv_contains(s->wanted, expression) && add_wanted(&l, expression) < 0)
                        return -ENOMEM;
        }
        *ret = TAKE_PTR(l);
        return 0;
}

int schedules_check(Schedules *s, const json_t *changes, schedule_check_t handler, void *userdata,
                void (*destroy)(void *userdata)) {
        _cleanup_strv_free_ char **expressions = NULL;
        ScheduleCheck *c;
        int r;

        r = list_new(s, changes, &expressions);
        if (r < 0) {
                destroy(userdata);
                return r;
        }
        if (strv_length(expressions) == 0) {
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
                .expressions = TAKE_PTR(expressions),
                .handler = handler,
                .userdata = userdata,
        };
        DL_APPEND(s->checks, c);
        r = check_next(c);
        if (r < 0)
                schedule_check_free(c);
        return r;
}

/* --- what is due --- */

static void turn_end(int r, const Error *error, ScheduledTurn *t) {
        Schedules *s = t->schedules;
        Instance *i = instance_find_by_id(s->manager, t->instance);
        const char *what = t->work == SCHEDULE_DRILL ? "drilled" : "backed up";
        usec_t later = now(CLOCK_MONOTONIC) + REFUSED_DELAY_USEC;

        /* It may be there all the same: then it is known by the next time. */
        if (r < 0 && t->work == SCHEDULE_DRILL)
                s->drill_not_before = later;
        DL_DELETE(s->turns, t);
        free(t);
        if (i)
                i->schedule_begins = false;
        schedules_queue(s);
        job_queue_dispatch(s->manager);
        if (r >= 0 || !i)
                return;

        i->schedule_not_before = later;
        log_info("'%s' cannot be %s now, it is tried again: %s", i->record->slug, what,
                        strempty(error->message));
        schedules_at(s, later);
}

static ScheduledTurn *turn_begin(Schedules *s, Instance *i, ScheduleWork work, uint64_t knock) {
        ScheduledTurn *t = new0(ScheduledTurn, 1);

        if (!t) {
                log_oom();
                return NULL;
        }
        *t = (ScheduledTurn) { .schedules = s, .work = work, .knock = knock };
        memcpy(t->instance, i->record->id, sizeof(t->instance));
        DL_APPEND(s->turns, t);
        i->schedule_begins = true;
        return t;
}

static void on_job_made(int r, InstanceRecord *instance, JobRecord *job, Error *error, void *userdata) {
        ScheduledTurn *t = userdata;
        _cleanup_error_ Error e = {};

        r = manager_take_made(t->schedules->manager, r, instance, job, error, &e);
        turn_end(r, &e, t);
}

static json_t *backup_spec(const Instance *i, const ScheduleRecord *schedule) {
        const RetentionPolicy policy = instance_retention(i);

        return json_pack("{s:s, s:o, s:s}", "schedule", schedule->expression, "retention",
                        retention_policy_to_json(&policy), "consistency", instance_backup_consistency(i));
}

static json_t *drill_spec(const Instance *i, const ScheduleRecord *schedule) {
        return json_pack("{s:s, s:o}", "schedule", schedule->expression, "backup",
                        json_sprintf("%" PRIu64, i->record->backups.last));
}

static void begin_job(Schedules *s, Instance *i, ScheduleWork work, const ScheduleRecord *schedule) {
        const bool drills = work == SCHEDULE_DRILL;
        _cleanup_json_ json_t *spec = drills ? drill_spec(i, schedule) : backup_spec(i, schedule);
        _cleanup_error_ Error e = {};
        ScheduledTurn *t;
        AuditActor self;
        int r;

        if (!spec) {
                log_oom();
                return;
        }
        t = turn_begin(s, i, work, schedule->knock);
        if (!t)
                return;

        audit_actor_self(&self);
        r = store_create_job(s->manager->db,
                        &(StoreJobCreate) {
                                        .instance = drills ? NULL : i->record->id,
                                        .backup = drills ? i->record->backups.last : 0,
                                        .kind = schedule_work_to_job(work),
                                        .spec = spec,
                                        .details = spec,
                                        .actor = &self,
                                        .knock = t->knock,
                        },
                        on_job_made, t, NULL, &e);
        if (r < 0)
                turn_end(r, &e, t);
}

/* Of drills, those that somebody asks for count, too. */
static bool is_at_work(const Job *j, ScheduleWork work) {
        return j->record->kind == schedule_work_to_job(work) && !job_state_is_final(j->record->state) &&
                        (work == SCHEDULE_DRILL || json_object_get(j->record->spec, "schedule"));
}

static unsigned count_jobs(const Schedules *s, ScheduleWork work) {
        unsigned n = 0;

        for (const Job *j = s->manager->jobs; j; j = j->hh.next)
                n += is_at_work(j, work);
        for (const ScheduledTurn *t = s->turns; t; t = t->next)
                n += t->work == work && !t->skipped;
        return n;
}

static bool is_due(const Instance *i, ScheduleWork work, const ScheduleRecord *schedule) {
        /* However often it knocked: one of them is new enough for all of them. */
        return schedule && schedule->knock > i->record->turns[work].knock;
}

/* --- backups --- */

/* Told once for each time that it was due: it is backed up when it runs again. */
static void note_stopped(Instance *i, const ScheduleRecord *schedule) {
        if (i->backup_skipped == schedule->knock)
                return;
        i->backup_skipped = schedule->knock;
        log_notice("'%s' is stopped: its backup (%s) is left out, and made when it runs again.",
                        i->record->slug, schedule->expression);
}

static bool may_back_up(Instance *i, const ScheduleRecord *schedule) {
        if (i->record->state == INSTANCE_STOPPED) {
                note_stopped(i, schedule);
                return false;
        }
        return instance_state_allows(i->record->state, JOB_BACKUP) && !instance_is_busy(i);
}

/* Returns when the next one is to be tried, monotonic. */
static usec_t begin_backups(Schedules *s) {
        usec_t monotonic = now(CLOCK_MONOTONIC), next = USEC_INFINITY;
        unsigned n = count_jobs(s, SCHEDULE_BACKUP);

        /* Why not was said when that was found. */
        if (manager_check_sealing(s->manager, NULL) < 0)
                return USEC_INFINITY;

        for (Instance *i = s->manager->instances; i; i = i->hh.next) {
                const ScheduleRecord *schedule = find_record(s, instance_schedule(i));

                if (!is_due(i, SCHEDULE_BACKUP, schedule) || !may_back_up(i, schedule))
                        continue;
                if (i->schedule_not_before > monotonic) {
                        next = MIN(next, i->schedule_not_before);
                        continue;
                }
                if (n >= s->manager->settings->backup_concurrency)
                        continue;
                n++;
                begin_job(s, i, SCHEDULE_BACKUP, schedule);
        }
        return next;
}

/* --- drills --- */

static void on_skipped(int r, Error *error, void *userdata) {
        ScheduledTurn *t = userdata;
        Instance *i = instance_find_by_id(t->schedules->manager, t->instance);

        if (r >= 0 && i) {
                i->record->turns[t->work] = (ScheduleTurn) { t->knock, now(CLOCK_REALTIME) };
                log_info("'%s' %s: this round of drills leaves it out.", i->record->slug, t->skipped);
        }
        turn_end(r, error, t);
}

/* On record, so that it is told once, and not drilled later in that round. */
static void skip_drill(Schedules *s, Instance *i, const ScheduleRecord *schedule) {
        _cleanup_error_ Error e = {};
        ScheduledTurn *t;
        int r;

        t = turn_begin(s, i, SCHEDULE_DRILL, schedule->knock);
        if (!t)
                return;
        t->skipped = i->record->state == INSTANCE_RUNNING ? "has no verified backup" : "does not run";
        r = store_skip_drill(s->manager->db, t->instance, t->knock, on_skipped, t, &e);
        if (r < 0)
                turn_end(r, &e, t);
}

static bool comes_first(const Instance *a, const Instance *b) {
        return !b ||
                        drill_turn_compare(&(DrillTurn) { a->record->backups.drilled_at, a->record->slug },
                                        &(DrillTurn) { b->record->backups.drilled_at, b->record->slug }) < 0;
}

/* As begin_backups(). What is busy has its turn later in the round. */
static usec_t begin_drills(Schedules *s) {
        usec_t monotonic = now(CLOCK_MONOTONIC), next = USEC_INFINITY;
        const ScheduleRecord *schedule = find_drills(s);
        Instance *first = NULL;

        for (Instance *i = s->manager->instances; i; i = i->hh.next) {
                if (!is_due(i, SCHEDULE_DRILL, schedule) || instance_is_busy(i))
                        continue;
                if (i->schedule_not_before > monotonic)
                        next = MIN(next, i->schedule_not_before);
                else if (i->record->state != INSTANCE_RUNNING || i->record->backups.last == 0)
                        skip_drill(s, i, schedule);
                else if (comes_first(i, first))
                        first = i;
        }
        if (!first || count_jobs(s, SCHEDULE_DRILL) > 0)
                return next;
        if (s->drill_not_before > monotonic)
                return MIN(next, s->drill_not_before);
        begin_job(s, first, SCHEDULE_DRILL, schedule);
        return next;
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
        usec_t backups, drills;

        s->due = USEC_INFINITY;
        /* What is at work already must be known. */
        if (!m->loaded || !m->units_listed || !s->known || !db_is_available(m->db))
                return 0;

        update_timers(s);
        backups = begin_backups(s);
        drills = begin_drills(s);
        schedules_at(s, MIN(backups, drills));
        return 0;
}

static void schedules_at(Schedules *s, usec_t monotonic) {
        int r;

        if (monotonic >= s->due)
                return;

        s->due = monotonic;
        r = event_reset_time(s->manager->event, &s->timer, monotonic, RUN_DELAY_USEC / 2, on_timer, s);
        if (r < 0)
                log_warning_errno(r, "Failed to set a timer for schedules: %m");
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
        while (s->turns) {
                ScheduledTurn *t = s->turns;

                DL_DELETE(s->turns, t);
                free(t);
        }
        schedule_records_done(&s->records);
        strv_free(s->wanted);
        sd_event_source_unref(s->timer);
        return mfree(s);
}
