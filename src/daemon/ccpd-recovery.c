/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "ccpd-recovery.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <systemd/sd-id128.h>
#include <unistd.h>
#include <utlist.h>

#include "alloc-util.h"
#include "bus-append.h"
#include "ccpd-announce.h"
#include "ccpd-audit.h"
#include "ccpd-drift.h"
#include "ccpd-job-queue.h"
#include "ccpd-manager.h"
#include "fd-util.h"
#include "json-util.h"
#include "log.h"
#include "string-util.h"

/* Changes that come together are looked at together. */
#define STEP_DELAY_USEC (100 * USEC_PER_MSEC)
/* How often is looked whether the gate is open. */
#define GATE_DELAY_USEC USEC_PER_SEC
/* Who opens it is told to by PID 1, right after Docker's start. */
#define GATE_PATIENCE_USEC (30 * USEC_PER_SEC)
/* How long all is waited for to settle before it is counted what is healthy. */
#define SETTLE_MAX_USEC USEC_PER_MINUTE
/* What a worker saw ccp-watch tells: how long that is waited for. */
#define NEWS_MAX_USEC (10 * USEC_PER_SEC)
/* An administrator may be at it. */
#define REPAIR_GRACE_USEC (10 * USEC_PER_SEC)
/* A job that could not be made is asked for again after so long. */
#define REFUSED_DELAY_USEC (30 * USEC_PER_SEC)
/* An id of the kernel, and a number. */
#define BOOT_TEXT_MAX 64U
/* Of /proc/PID/stat, see proc_pid_stat(5). */
#define INIT_START_FIELD 22U

/* A job that is being made. */
typedef struct Revival Revival;
struct Revival {
        Recovery *recovery;
        char instance[STORE_ID_MAX];
        Revival *prev, *next;
};

struct Recovery {
        Manager *manager;
        RecoveryRecord *record; /* the last one; NULL: none */
        const char *gate;
        char boot[BOOT_TEXT_MAX];
        bool listed;         /* all containers of the Engine that is there are known */
        bool storing;        /* the begin or the end is being recorded */
        usec_t closed_since; /* the gate is, with an Engine that is there; monotonic, 0: it is open */
        bool closed_told;
        usec_t settle_since; /* all was tried; monotonic, 0: it was not */
        usec_t due;          /* when the timer fires, monotonic; USEC_INFINITY: never */
        sd_event_source *timer;
        Revival *revivals;
};

static void recovery_at(Recovery *q, usec_t monotonic);

bool job_is_own(const Job *j) {
        return json_object_get(j->record->spec, "reason") != NULL;
}

bool instance_is_repaired(const Instance *i) {
        RepairMode mode = i->record->repair;

        return (mode == REPAIR_DEFAULT ? i->manager->settings->repair : mode) == REPAIR_ON;
}

/* One that failed when ccpd tried to bring it back is to come back all the same. */
static bool should_run(const Instance *i) {
        return i->record->state == INSTANCE_RUNNING ||
                        (i->record->state == INSTANCE_FAILED && i->record->recovery.n > 0);
}

static bool recovery_is_active(const Recovery *q) {
        return q->record && q->record->ended_at == 0;
}

/* The Engine that is there was started since. Where nobody knows when that was, it was at the boot. */
static bool recovery_is_wanted(const Recovery *q) {
        usec_t started = q->manager->engine_started;

        if (!q->record || !streq(q->record->boot, q->boot))
                return true;
        return started > 0 && q->record->engine_started_at != started;
}

/* --- jobs --- */

static void revival_end(int r, const Error *error, Revival *v) {
        Instance *i = instance_find_by_id(v->recovery->manager, v->instance);
        Recovery *q = v->recovery;

        DL_DELETE(q->revivals, v);
        free(v);
        if (!i)
                return;

        i->reviving = false;
        if (r >= 0)
                return;

        i->not_before = now(CLOCK_MONOTONIC) + REFUSED_DELAY_USEC;
        log_info("'%s' cannot be started now, it is tried again: %s", i->record->slug,
                        strempty(error->message));
        recovery_at(q, i->not_before);
}

static void on_job_made(int r, InstanceRecord *instance, JobRecord *job, Error *error, void *userdata) {
        _cleanup_(instance_record_freep) InstanceRecord *taken_instance = instance;
        _cleanup_(job_record_freep) JobRecord *taken_job = job;
        Revival *v = userdata;
        Manager *m = v->recovery->manager;
        _cleanup_error_ Error e = {};

        if (r >= 0)
                r = manager_take_instance(m, &taken_instance, NULL);
        if (r >= 0)
                r = manager_take_job(m, &taken_job, NULL);
        if (r < 0 && !error_is_set(error))
                (void) error_set_errnof(&e, r, "Cannot follow the job: %m");

        revival_end(r, error_is_set(error) ? error : &e, v);
        if (r >= 0)
                job_queue_dispatch(m);
}

static void revive(Recovery *q, Instance *i, RecoveryReason reason, unsigned attempt, uint64_t run) {
        _cleanup_json_ json_t *spec = json_pack("{s:s}", "reason", recovery_reason_to_string(reason));
        _cleanup_error_ Error e = {};
        AuditActor self;
        Revival *v;
        int r;

        v = new0(Revival, 1);
        if (!v || !spec) {
                free(v);
                log_oom();
                return;
        }

        v->recovery = q;
        DL_APPEND(q->revivals, v);
        memcpy(v->instance, i->record->id, sizeof(v->instance));
        audit_actor_self(&self);
        i->reviving = true;
        log_info("Starting '%s' (%s, attempt %u).", i->record->slug, recovery_reason_to_string(reason),
                        attempt);
        r = store_create_job(q->manager->db,
                        &(StoreJobCreate) {
                                        .instance = i->record->id,
                                        .kind = JOB_START,
                                        .spec = spec,
                                        .details = spec,
                                        .actor = &self,
                                        .reason = reason,
                                        .attempt = attempt,
                                        .run = run,
                        },
                        on_job_made, v, NULL, &e);
        if (r < 0)
                revival_end(r, &e, v);
}

static unsigned count_own_jobs(const Manager *m) {
        unsigned n = 0;

        for (const Job *j = m->jobs; j; j = j->hh.next)
                n += !job_state_is_final(j->record->state) && job_is_own(j);
        for (const Instance *i = m->instances; i; i = i->hh.next)
                n += i->reviving;

        return n;
}

/* Whether it can have a job now; else *next is when to ask again, if time is all that is missing (monotonic). */
static bool is_free(const Instance *i, usec_t *next) {
        if (instance_has_job(i))
                return false;
        if (i->not_before <= now(CLOCK_MONOTONIC))
                return true;

        *next = MIN(*next, i->not_before);
        return false;
}

/* From a time of the wall clock to one of the timer's. */
static usec_t to_monotonic(usec_t realtime) {
        usec_t t = now(CLOCK_REALTIME);

        return realtime == USEC_INFINITY ? USEC_INFINITY
                                         : now(CLOCK_MONOTONIC) + (realtime > t ? realtime - t : 0);
}

/* --- after a start of the Engine --- */

static void on_recorded(int r, RecoveryRecord *record, Error *error, void *userdata) {
        Recovery *q = userdata;

        q->storing = false;
        if (r < 0) {
                log_warning("It is tried again to record what is brought back: %s", error->message);
                recovery_at(q, now(CLOCK_MONOTONIC) + REFUSED_DELAY_USEC);
                return;
        }

        recovery_set_record(q, record);
}

static void recovery_begin(Recovery *q) {
        Manager *m = q->manager;
        bool same_boot = q->record && streq(q->record->boot, q->boot);
        StoreRecoveryBegin begin = {
                .reason = same_boot ? RECOVERY_ENGINE : RECOVERY_BOOT,
                .boot = q->boot,
                .engine_started_at = m->engine_started,
        };
        _cleanup_error_ Error e = {};

        for (Instance *i = m->instances; i; i = i->hh.next)
                begin.total += should_run(i);

        q->storing = true;
        q->settle_since = 0;
        if (store_begin_recovery(m->db, &begin, on_recorded, q, NULL, &e) < 0)
                on_recorded(-EIO, NULL, &e, q);
}

typedef enum Turn {
        TURN_OVER, /* it is back, or it was tried */
        TURN_BUSY,
        TURN_WAITS,
} Turn;

static Turn turn_of(const Recovery *q, const Instance *i, usec_t *next) {
        if (instance_has_job(i))
                return TURN_BUSY;
        if (i->recovered_in == q->record->id || instance_is_up(i) ||
                        recovery_attempts_counted(
                                        &i->record->recovery, q->record->reason, q->record->id, 0) > 0)
                return TURN_OVER;

        (void) is_free(i, next);
        return TURN_WAITS;
}

bool recovery_awaits(const Recovery *q, const Instance *i) {
        usec_t next = USEC_INFINITY;

        return recovery_is_active(q) && should_run(i) && turn_of(q, i, &next) == TURN_WAITS;
}

bool instance_is_busy(const Instance *i) {
        return instance_has_job(i) || i->schedule_begins || recovery_awaits(i->manager->recovery, i) ||
                        i->manager->engine_state == ENGINE_UNAVAILABLE;
}

static void log_summary(const RecoveryRecord *record) {
        static const char id[] = "MESSAGE_ID=" CCP_MESSAGE_FLEET_RECOVERED;
        const char *fields[] = { id, NULL, NULL, NULL, NULL };
        _cleanup_free_ char *failed = strv_join(record->failed, ", "), *total = NULL, *healthy = NULL,
                            *why = strjoin("CCP_REASON=", recovery_reason_to_string(record->reason));

        if (asprintf(&total, "CCP_TOTAL=%u", record->total) < 0)
                total = NULL;
        if (asprintf(&healthy, "CCP_HEALTHY=%u", record->healthy) < 0)
                healthy = NULL;
        if (!why || !total || !healthy)
                log_oom();
        else {
                fields[1] = why;
                fields[2] = total;
                fields[3] = healthy;
        }

        (void) log_struct(isempty(failed) ? LOG_NOTICE : LOG_WARNING, 0, fields,
                        "After the start of %s %u of %u instances are healthy%s%s.",
                        record->reason == RECOVERY_BOOT ? "the server" : "Docker", record->healthy,
                        record->total, isempty(failed) ? "" : "; not: ", strempty(failed));
}

static void on_end_recorded(int r, RecoveryRecord *record, Error *error, void *userdata) {
        if (r >= 0)
                log_summary(record);
        on_recorded(r, record, error, userdata);
}

static void recovery_end(Recovery *q) {
        Manager *m = q->manager;
        StoreRecoveryEnd end = { .id = q->record->id };
        _cleanup_strv_free_ char **failed = NULL;
        _cleanup_json_ json_t *names = json_array(), *details = NULL;
        _cleanup_error_ Error e = {};
        AuditActor self;

        for (Instance *i = m->instances; i; i = i->hh.next) {
                if (!should_run(i))
                        continue;
                end.total++;
                if (i->health == HEALTH_HEALTHY)
                        end.healthy++;
                else if (strv_extend(&failed, i->record->slug) < 0 ||
                                json_array_append_new(names, json_string(i->record->slug)) < 0) {
                        log_oom();
                        return;
                }
        }

        details = json_pack("{s:s, s:i, s:i, s:O}", "reason", recovery_reason_to_string(q->record->reason),
                        "total", (int) end.total, "healthy", (int) end.healthy, "failed", names);
        if (!details) {
                log_oom();
                return;
        }
        audit_actor_self(&self);
        end.failed = failed;
        end.actor = &self;
        end.details = details;

        q->storing = true;
        if (store_end_recovery(m->db, &end, on_end_recorded, q, NULL, &e) < 0)
                on_end_recorded(-EIO, NULL, &e, q);
}

/* How long all is waited for, since all was tried. */
static usec_t settle_patience(const Recovery *q) {
        usec_t patience = 0;

        for (const Instance *i = q->manager->instances; i; i = i->hh.next) {
                if (i->record->state != INSTANCE_RUNNING)
                        continue;
                if (IN_SET(i->health, HEALTH_STARTING, HEALTH_UNKNOWN))
                        return SETTLE_MAX_USEC;
                /* Its worker saw it well, if it was not for something optional. */
                if (i->recovered_in == q->record->id && i->health != HEALTH_HEALTHY)
                        patience = NEWS_MAX_USEC;
        }

        return patience;
}

/* One look at all that should come back. */
static void recovery_round(Recovery *q, usec_t *next) {
        unsigned n_own = count_own_jobs(q->manager), n_left = 0;
        usec_t settled_at;

        for (Instance *i = q->manager->instances; i; i = i->hh.next) {
                usec_t monotonic = now(CLOCK_MONOTONIC);
                Turn turn = should_run(i) ? turn_of(q, i, next) : TURN_OVER;

                n_left += turn != TURN_OVER;
                if (turn != TURN_WAITS || i->not_before > monotonic ||
                                n_own >= q->manager->settings->recovery_concurrency)
                        continue;
                n_own++;
                revive(q, i, q->record->reason, 1, q->record->id);
        }
        if (n_left > 0) {
                q->settle_since = 0;
                return;
        }

        if (q->settle_since == 0)
                q->settle_since = now(CLOCK_MONOTONIC);
        settled_at = q->settle_since + settle_patience(q);
        if (now(CLOCK_MONOTONIC) >= settled_at)
                recovery_end(q);
        else
                *next = MIN(*next, settled_at);
}

/* --- further attempts, and repairs --- */

/* Which attempts count for one that did not come back. */
static unsigned count_attempts(const Recovery *q, const RecoveryAttempts *a) {
        uint64_t run = a->reason != RECOVERY_DRIFT && q->record ? q->record->id : 0;

        return recovery_attempts_counted(a, a->reason, run, 0);
}

usec_t recovery_next_of(const Recovery *q, const Instance *i) {
        const RecoveryAttempts *a = &i->record->recovery;
        unsigned n = a->n > 0 ? count_attempts(q, a) : 0;
        usec_t at;

        if (i->record->state != INSTANCE_FAILED || n == 0)
                return 0;

        at = recovery_next_attempt(a, a->reason, n, now(CLOCK_REALTIME));
        return at == USEC_INFINITY ? 0 : at;
}

static void try_again(Recovery *q, Instance *i, unsigned *n_own, usec_t *next) {
        const RecoveryAttempts *a = &i->record->recovery;
        usec_t at = recovery_next_of(q, i), monotonic;

        if (at == 0 || !is_free(i, next))
                return;
        monotonic = to_monotonic(at);
        if (monotonic > now(CLOCK_MONOTONIC)) {
                *next = MIN(*next, monotonic);
                return;
        }
        if (*n_own >= q->manager->settings->recovery_concurrency)
                return;

        (*n_own)++;
        revive(q, i, a->reason, a->n + 1, a->run);
}

/* The oldest drift that can be repaired; 0: there is none. */
static usec_t repairable_since(const Instance *i) {
        usec_t since = USEC_INFINITY;

        FOREACH_ARRAY(d, i->drifts.items, i->drifts.n)
                if (drift_is_repairable(d->kind))
                        since = MIN(since, d->since);

        return since == USEC_INFINITY ? 0 : since;
}

static void repair(Recovery *q, Instance *i, unsigned *n_own, usec_t *next) {
        const RecoveryAttempts *a = &i->record->recovery;
        usec_t since = repairable_since(i), realtime = now(CLOCK_REALTIME), at;
        unsigned n;

        if (since == 0) {
                i->left_as_it_is = false;
                return;
        }
        if (!instance_is_repaired(i) || !is_free(i, next))
                return;

        n = recovery_attempts_counted(a, RECOVERY_DRIFT, 0,
                        since > RECOVERY_DRIFT_WINDOW_USEC ? since - RECOVERY_DRIFT_WINDOW_USEC : 0);
        at = recovery_next_attempt(a, RECOVERY_DRIFT, n, realtime);
        if (at == USEC_INFINITY) {
                if (!i->left_as_it_is)
                        log_warning("'%s' was repaired %u times within an hour and is not as it was made "
                                    "again. "
                                    "It is left so until somebody looks into it: ccpctl status %s",
                                        i->record->slug, n, i->record->slug);
                i->left_as_it_is = true;
                return;
        }

        at = MAX(at, since + REPAIR_GRACE_USEC);
        if (at > realtime) {
                *next = MIN(*next, to_monotonic(at));
                return;
        }
        if (*n_own >= q->manager->settings->recovery_concurrency)
                return;

        (*n_own)++;
        revive(q, i, RECOVERY_DRIFT, n + 1, 0);
}

void recovery_job_ended(Recovery *q, const Job *j) {
        Instance *i = instance_find_by_id(q->manager, j->record->instance);
        const RecoveryAttempts *a = i ? &i->record->recovery : NULL;

        recovery_queue(q);
        if (!i || !job_is_own(j))
                return;
        if (j->record->state == JOB_SUCCEEDED && q->record)
                i->recovered_in = q->record->id;
        if (j->record->state == JOB_FAILED && a->n > 0 && a->n >= recovery_attempts_max(a->reason))
                log_warning("'%s' did not come back after %u attempts, and is left as it is: %s See: ccpctl "
                            "status "
                            "%s. To try again: ccpctl start %s",
                                i->record->slug, a->n, strempty(j->record->error_message), i->record->slug,
                                i->record->slug);
}

/* --- the loop --- */

static void update_drift(Recovery *q, bool live, usec_t *next) {
        for (Instance *i = q->manager->instances; i; i = i->hh.next)
                *next = MIN(*next, to_monotonic(instance_update_drift(i, live)));
}

bool recovery_is_closing(const Recovery *q) {
        return q->manager->engine_state == ENGINE_AVAILABLE && access(q->gate, F_OK) < 0 &&
                        (q->closed_since == 0 ||
                                        now(CLOCK_MONOTONIC) - q->closed_since < GATE_PATIENCE_USEC);
}

static void watch_gate(Recovery *q, bool closed) {
        usec_t monotonic = now(CLOCK_MONOTONIC);

        if (!closed) {
                q->closed_since = 0;
                q->closed_told = false;
                return;
        }
        if (q->closed_since == 0)
                q->closed_since = monotonic;
        if (q->closed_told || monotonic - q->closed_since < GATE_PATIENCE_USEC)
                return;

        q->closed_told = true;
        log_warning("Docker runs, but nothing is brought back before ccp-gate.service runs too. See: "
                    "systemctl "
                    "status ccp-gate");
}

static bool is_known(const Recovery *q) {
        return q->manager->engine_state == ENGINE_AVAILABLE && q->listed;
}

static bool is_open(const Recovery *q) {
        return is_known(q) && access(q->gate, F_OK) >= 0;
}

bool recovery_is_ready(const Recovery *q) {
        return is_open(q) && !recovery_is_wanted(q);
}

static void recovery_step(Recovery *q) {
        Manager *m = q->manager;
        bool known = is_known(q), open = is_open(q),
             quiet = open && !recovery_is_wanted(q) && !recovery_is_active(q);
        usec_t next = known && !open ? now(CLOCK_MONOTONIC) + GATE_DELAY_USEC : USEC_INFINITY;
        unsigned n_own;

        watch_gate(q, known && !open);

        /* Until what should run was tried, it is nobody's fault that it does not. */
        update_drift(q, quiet, &next);
        if (!open || q->storing || !m->units_listed || !db_is_available(m->db)) {
                recovery_at(q, next);
                return;
        }

        if (recovery_is_wanted(q)) {
                recovery_begin(q);
                return;
        }
        if (recovery_is_active(q))
                recovery_round(q, &next);

        n_own = count_own_jobs(m);
        for (Instance *i = m->instances; i; i = i->hh.next) {
                try_again(q, i, &n_own, &next);
                if (quiet)
                        repair(q, i, &n_own, &next);
        }
        recovery_at(q, next);
}

static int on_timer(_unused_ sd_event_source *s, _unused_ uint64_t usec, void *userdata) {
        Recovery *q = userdata;

        q->due = USEC_INFINITY;
        if (q->manager->loaded) {
                recovery_step(q);
                /* What waits for its turn waits for instances to be back, too. */
                job_queue_dispatch(q->manager);
        }
        return 0;
}

/* Looks anew then, if not before. */
static void recovery_at(Recovery *q, usec_t monotonic) {
        int r;

        if (monotonic >= q->due)
                return;

        q->due = monotonic;
        r = sd_event_source_set_time(q->timer, monotonic);
        if (r >= 0)
                r = sd_event_source_set_enabled(q->timer, SD_EVENT_ONESHOT);
        if (r < 0)
                log_warning_errno(r, "Failed to set a timer to look after the instances: %m");
}

void recovery_queue(Recovery *q) {
        if (q)
                recovery_at(q, now(CLOCK_MONOTONIC) + STEP_DELAY_USEC);
}

void recovery_set_record(Recovery *q, RecoveryRecord *record) {
        recovery_record_free(q->record);
        q->record = record;
        q->manager->changed = true;
        manager_queue_emit(q->manager);
        recovery_queue(q);
}

void recovery_engine_changed(Recovery *q) {
        q->listed = false;
        recovery_queue(q);
}

void recovery_list_taken(Recovery *q) {
        q->listed = true;
        recovery_queue(q);
}

int recovery_append(sd_bus_message *reply, const Recovery *q, bool visible) {
        const RecoveryRecord *record = visible ? q->record : NULL;
        unsigned n_healthy = 0, n_left = 0;
        int r;

        r = sd_bus_message_open_container(reply, 'a', "{sv}");
        if (r < 0)
                return r;
        if (!record || (record->total == 0 && record->ended_at > 0))
                return sd_bus_message_close_container(reply);

        for (const Instance *i = q->manager->instances; i; i = i->hh.next) {
                usec_t next = USEC_INFINITY;

                if (!recovery_is_active(q) || !should_run(i))
                        continue;
                n_healthy += i->health == HEALTH_HEALTHY;
                n_left += turn_of(q, i, &next) != TURN_OVER;
        }

        r = sd_bus_message_append(reply, "{sv}{sv}{sv}{sv}{sv}{sv}", "Reason", "s",
                        recovery_reason_to_string(record->reason), "BegunAt", "t", record->begun_at,
                        "EndedAt", "t", record->ended_at, "Total", "u", record->total, "Healthy", "u",
                        recovery_is_active(q) ? n_healthy : record->healthy, "Pending", "u", n_left);
        if (r >= 0)
                r = bus_append_entry_strv(reply, "Failed", record->failed);
        return r < 0 ? r : sd_bus_message_close_container(reply);
}

/* When PID 1 was started, in ticks; 0 if nobody knows. */
static unsigned long long read_init_start(void) {
        _cleanup_close_ int fd = open("/proc/1/stat", O_RDONLY | O_CLOEXEC);
        unsigned long long start = 0;
        char line[512], *p;
        ssize_t n;

        n = fd >= 0 ? read(fd, line, sizeof(line) - 1) : -1;
        if (n <= 0)
                return 0;
        line[n] = 0;
        p = strrchr(line, ')');
        for (unsigned field = 2; p && field < INIT_START_FIELD; field++)
                p = strchr(p + 1, ' ');
        return p && sscanf(p, " %llu", &start) == 1 ? start : 0;
}

/* In a container the kernel's id may be that of its host, which was not booted. */
static void read_boot(char *buf, size_t size) {
        char text[SD_ID128_STRING_MAX] = "";
        sd_id128_t id;

        if (sd_id128_get_boot(&id) >= 0)
                (void) sd_id128_to_string(id, text);
        (void) snprintf(buf, size, "%s-%llu", text, read_init_start());
}

int recovery_new(Manager *m, Recovery **ret) {
        Recovery *q;
        int r;

        q = new0(Recovery, 1);
        if (!q)
                return -ENOMEM;

        *q = (Recovery) {
                .manager = m,
                .gate = secure_getenv("CCP_GATE") ?: CCP_GATE,
                .due = USEC_INFINITY,
        };
        read_boot(q->boot, sizeof(q->boot));
        r = sd_event_add_time(m->event, &q->timer, CLOCK_MONOTONIC, 0, 0, on_timer, q);
        if (r >= 0)
                r = sd_event_source_set_enabled(q->timer, SD_EVENT_OFF);
        if (r < 0) {
                recovery_free(q);
                return r;
        }

        *ret = q;
        return 0;
}

Recovery *recovery_free(Recovery *q) {
        if (!q)
                return NULL;

        for (Revival *v = q->revivals, *next; v; v = next) {
                next = v->next;
                free(v);
        }
        sd_event_source_disable_unref(q->timer);
        recovery_record_free(q->record);
        return mfree(q);
}
