/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "ccpd-alert.h"

#include <stdio.h>
#include <systemd/sd-id128.h>

#include "alloc-util.h"
#include "ccpd-access.h"
#include "ccpd-alert-facts.h"
#include "ccpd-alert-queue.h"
#include "ccpd-alert-secret.h"
#include "ccpd-announce.h"
#include "ccpd-manager.h"
#include "ccpd-reload.h"
#include "event-util.h"
#include "json-util.h"
#include "log.h"
#include "string-util.h"
#include "strv.h"

/* How often what nobody tells is looked at: how full disks are, what is long ago. When exactly does not matter. */
#define LOOK_INTERVAL_USEC (5 * USEC_PER_MINUTE)
#define TEND_INTERVAL_USEC USEC_PER_HOUR
#define LOOK_ACCURACY_USEC USEC_PER_SEC

/* What is written at once at the most, and when it is tried again where no lost connection explains a failure. */
#define WRITE_MAX 500U
#define WRITE_RETRY_USEC (10 * USEC_PER_SEC)

#define MESSAGE_SIZE_MAX 1000U
#define SUBJECT_FIELDS_MAX 6U

struct Alerts {
        Manager *manager;
        usec_t begun;  /* monotonic: restarts are counted since then */
        Alert *alerts; /* those that are pending or fire, by key */
        Alert *ended;  /* those whose end is not on record yet, oldest first */
        SilenceRecords *silences;
        bool loaded; /* what fired before is taken up */
        bool host_dirty;
        bool writing;
        usec_t look_at, tend_at, write_at; /* monotonic */
        AlertQueue *queue;
        sd_event_source *defer_source, *time_source;
        DbSlot *load_slot, *write_slot, *tend_slot;
};

static void alerts_run_soon(Alerts *a);
static void alerts_set_timer(Alerts *a);

/* --- one alert --- */

static Alert *alert_free(Alert *alert) {
        if (!alert)
                return NULL;

        if (alert->key && alert->alerts) {
                Alert *found;

                HASH_FIND_STR(alert->alerts->alerts, alert->key, found);
                if (found == alert)
                        HASH_DEL(alert->alerts->alerts, alert);
        }
        alert_record_free(alert->record);
        free(alert->key);
        return mfree(alert);
}
DEFINE_CLEANUP_FUNC(Alert *, alert_free);

static char *alert_key(AlertRule rule, const char *instance, const char *subject) {
        return strjoin(alert_rule_to_string(rule), " ", instance, " ", subject);
}

static Alert *alert_find(const Alerts *a, AlertRule rule, const char *instance, const char *subject) {
        _cleanup_free_ char *key = alert_key(rule, instance, subject);
        Alert *alert = NULL;

        if (key)
                HASH_FIND_STR(a->alerts, key, alert);
        return alert;
}

static int alert_new(Alerts *a, AlertRule rule, AlertRecord **record, Alert **ret) {
        _cleanup_(alert_freep) Alert *alert = NULL;
        char *key;

        alert = new0(Alert, 1);
        if (!alert)
                return -ENOMEM;
        key = alert_key(rule, (*record)->instance, (*record)->subject);
        if (!key)
                return -ENOMEM;

        *alert = (Alert) { .alerts = a, .key = key, .rule = rule, .record = TAKE_PTR(*record) };
        HASH_ADD_KEYPTR(hh, a->alerts, alert->key, strlen(alert->key), alert);
        *ret = TAKE_PTR(alert);
        return 0;
}

static int alert_record_new(AlertRule rule, const Instance *i, const char *subject, AlertRecord **ret) {
        _cleanup_(alert_record_freep) AlertRecord *r = NULL;
        sd_id128_t id;

        r = new0(AlertRecord, 1);
        if (!r || sd_id128_randomize(&id) < 0)
                return -ENOMEM;

        (void) sd_id128_to_uuid_string(id, r->uuid);
        if (i)
                memcpy(r->instance, i->record->id, sizeof(r->instance));
        if (free_and_strdup(&r->rule, alert_rule_to_string(rule)) < 0 ||
                        free_and_strdup(&r->severity, alert_severity_to_string(alert_rule_severity(rule))) <
                                        0 ||
                        free_and_strdup(&r->slug, i ? i->record->slug : NULL) < 0 ||
                        free_and_strdup(&r->name, i ? i->record->name : NULL) < 0 ||
                        free_and_strdup(&r->subject, subject) < 0 || free_and_strdup(&r->message, "") < 0)
                return -ENOMEM;

        r->since = now(CLOCK_REALTIME);
        *ret = TAKE_PTR(r);
        return 0;
}

static const char *alert_subject(const AlertRecord *r) {
        return r->slug ?: r->subject;
}

/* "alpha is unhealthy: db has ended" */
static void alert_describe(Alert *alert, const Instance *i, const DiskUse *disk) {
        _cleanup_free_ char *title = alert_rule_title(alert->rule, alert_subject(alert->record)),
                            *cause = alert_cause(alert->alerts->manager, alert->rule, i, disk), *text = NULL;

        text = title && cause ? strjoin(title, isempty(cause) ? "" : ": ", cause) : NULL;
        if (!text) {
                log_oom();
                return;
        }

        /* A cause may be a sentence; this is a part of one. */
        if (strlen(text) > MESSAGE_SIZE_MAX)
                text[MESSAGE_SIZE_MAX] = 0;
        else if (endswith(text, "."))
                *endswith(text, ".") = 0;
        utf8_make_valid(text);
        free(alert->record->message);
        alert->record->message = TAKE_PTR(text);
}

/* The journal has it at once, whatever becomes of records and messages. */
static void alert_log(const Alert *alert) {
        const AlertRecord *r = alert->record;
        _cleanup_free_ char *rule = strjoin("CCP_RULE=", r->rule),
                            *severity = strjoin("CCP_SEVERITY=", r->severity),
                            *slug = r->slug ? strjoin("CCP_INSTANCE=", r->slug) : NULL,
                            *id = r->slug ? strjoin("CCP_ID=", r->instance) : NULL,
                            *next = alert_rule_next_step(alert->rule, alert_subject(r));
        const char *fields[SUBJECT_FIELDS_MAX] = { r->firing ? "MESSAGE_ID=" CCP_MESSAGE_ALERT_FIRING
                                                             : "MESSAGE_ID=" CCP_MESSAGE_ALERT_RESOLVED,
                rule, severity, slug, id };

        if (!rule || !severity || !next) {
                log_oom();
                return;
        }

        if (r->firing)
                (void) log_struct(alert_severity_to_priority(alert_rule_severity(alert->rule)), 0, fields,
                                "Alert: %s. See: %s", r->message, next);
        else
                (void) log_struct(LOG_NOTICE, 0, fields, "Alert over after %s: %s",
                                FORMAT_TIMESPAN(r->resolved_at > r->since ? r->resolved_at - r->since : 0),
                                r->message);
}

static void alert_set_dirty(Alert *alert) {
        alert->dirty = true;
        alert->alerts->manager->changed = true;
        manager_queue_emit(alert->alerts->manager);
}

static void alert_fire(Alert *alert, const Instance *i, const DiskUse *disk) {
        alert->record->firing = true;
        alert->record->fired_at = now(CLOCK_REALTIME);
        alert_describe(alert, i, disk);
        alert_log(alert);
        alert_set_dirty(alert);
}

/* The end of what was told is told, also while it is silenced: else it would be open for ever where it was told. */
static void alert_resolve(Alert *alert) {
        Alert **tail = &alert->alerts->ended;

        alert->record->firing = false;
        alert->record->resolved_at = now(CLOCK_REALTIME);
        alert->tells_resolved = alert->record->n_notified > 0;
        alert_log(alert);
        alert_set_dirty(alert);

        HASH_DEL(alert->alerts->alerts, alert);
        while (*tail)
                tail = &(*tail)->next;
        *tail = alert;
}

/* --- judging --- */

/* What a rule is about. */
typedef struct AlertObject {
        const Instance *instance;
        const DiskUse *disk;
        const char *subject;
} AlertObject;

static void alert_step(Alert *alert, AlertCondition condition, const AlertObject *o) {
        AlertThresholds thresholds = alert_thresholds(alert->alerts->manager);
        bool fired = alert->machine.state == ALERT_FIRING;
        AlertState state;

        state = alert_machine_step(&alert->machine, condition, now(CLOCK_MONOTONIC),
                        alert_rule_hold(alert->rule, &thresholds),
                        alert_rule_clear(alert->rule, &thresholds));
        if (state == ALERT_INACTIVE)
                alert_free(alert);
        else if (state == ALERT_RESOLVED)
                alert_resolve(alert);
        else if (state == ALERT_FIRING && !fired)
                alert_fire(alert, o->instance, o->disk);
}

static void alerts_judge(Alerts *a, AlertRule rule, AlertFacts *facts, const AlertObject *o) {
        AlertThresholds thresholds = alert_thresholds(a->manager);
        Alert *alert = alert_find(a, rule, o->instance ? o->instance->record->id : "", o->subject);
        AlertCondition condition;

        facts->firing = alert && alert->machine.state == ALERT_FIRING;
        condition = alert_judge(rule, facts, &thresholds);
        if (!alert) {
                _cleanup_(alert_record_freep) AlertRecord *record = NULL;

                if (condition != ALERT_CONDITION_TRUE)
                        return;
                if (alert_record_new(rule, o->instance, o->subject, &record) < 0 ||
                                alert_new(a, rule, &record, &alert) < 0) {
                        log_oom();
                        return;
                }
        }

        alert_step(alert, condition, o);
}

static void alerts_judge_instance(Alerts *a, Instance *i) {
        AlertFacts facts = alert_instance_facts(i, now(CLOCK_MONOTONIC) - a->begun);

        i->alerts_dirty = false;
        for (AlertRule rule = 0; rule < _ALERT_RULE_MAX; rule++)
                if (alert_rule_about(rule) == ALERT_ABOUT_INSTANCE)
                        alerts_judge(a, rule, &facts, &(AlertObject) { .instance = i, .subject = "" });
}

static void alerts_judge_host(Alerts *a) {
        a->host_dirty = false;
        for (AlertRule rule = 0; rule < _ALERT_RULE_MAX; rule++) {
                AlertAbout about = alert_rule_about(rule);
                AlertFacts facts;

                if (IN_SET(about, ALERT_ABOUT_INSTANCE, ALERT_ABOUT_FILE_SYSTEM))
                        continue;
                /* Nobody could take up by then what fires already; that store and engine are away cannot wait for it. */
                if (about == ALERT_ABOUT_BACKUPS && !a->loaded)
                        continue;
                facts = alert_host_facts(a->manager, about);
                alerts_judge(a, rule, &facts, &(AlertObject) { .subject = "" });
        }
}

static bool file_systems_have(const DiskUse *l, size_t n, const char *path) {
        FOREACH_ARRAY(f, l, n)
                if (streq(f->path, path))
                        return true;
        return false;
}

static void alerts_judge_file_systems(Alerts *a) {
        DiskUse l[DISK_USE_MAX];
        size_t n = disk_use_read(NULL, l);
        Alert *alert, *next;

        FOREACH_ARRAY(f, l, n) {
                AlertFacts facts = { .percent_used = f->percent };

                alerts_judge(a, ALERT_DISK_SPACE, &facts, &(AlertObject) { .disk = f, .subject = f->path });
        }
        /* One that is not there any more, or is a part of another. */
        for (alert = a->alerts; alert; alert = next) {
                next = alert->hh.next;
                if (alert->rule == ALERT_DISK_SPACE && !file_systems_have(l, n, alert->record->subject))
                        alert_step(alert, ALERT_CONDITION_FALSE, &(AlertObject) {});
        }
        disk_use_done(l, n);
}

/* Those of an instance that is gone are over, whatever they were about. */
static void alerts_drop_instance(Alerts *a, const char *id) {
        Alert *alert, *next;

        for (alert = a->alerts; alert; alert = next) {
                next = alert->hh.next;
                if (!streq(alert->record->instance, id))
                        continue;
                if (alert->machine.state == ALERT_FIRING)
                        alert_resolve(alert);
                else
                        alert_free(alert);
        }
}

/* Of what waits for time to pass, all is judged again. */
static void alerts_wake(Alerts *a) {
        for (const Alert *alert = a->alerts; alert; alert = alert->hh.next) {
                Instance *i = instance_find_by_id(a->manager, alert->record->instance);

                if (i)
                        i->alerts_dirty = true;
                else
                        a->host_dirty = true;
        }
}

/* --- silence, and what is told --- */

static bool silence_covers(const SilenceRecord *s, const AlertRecord *r, usec_t after) {
        return s->until > after && (!s->rule || streq(s->rule, r->rule)) &&
                        (isempty(s->instance) || streq(s->instance, r->instance));
}

const SilenceRecord *alerts_silence_of(const Manager *m, const AlertRecord *r) {
        const SilenceRecords *l = m->alerts->silences;
        const SilenceRecord *longest = NULL;
        usec_t realtime = now(CLOCK_REALTIME);

        for (size_t k = 0; l && k < l->n; k++)
                if (silence_covers(l->items + k, r, realtime) &&
                                (!longest || l->items[k].until > longest->until))
                        longest = l->items + k;
        return longest;
}

/* Nobody was told since. */
static bool alert_was_silenced(const Alert *alert) {
        const SilenceRecords *l = alert->alerts->silences;

        for (size_t k = 0; l && k < l->n; k++)
                if (silence_covers(l->items + k, alert->record, alert->record->notified_at))
                        return true;
        return false;
}

bool alert_channel_is_on(const Manager *m, AlertChannel channel) {
        return !isempty(channel == ALERT_WEBHOOK ? m->settings->alert_webhook_url
                                                 : m->settings->alert_mail_to);
}

static int alerts_channels(const Alerts *a, char ***ret) {
        _cleanup_strv_free_ char **l = NULL;

        for (AlertChannel c = 0; c < _ALERT_CHANNEL_MAX; c++)
                if (alert_channel_is_on(a->manager, c) && strv_extend(&l, alert_channel_to_string(c)) < 0)
                        return -ENOMEM;

        *ret = TAKE_PTR(l);
        return 0;
}

/* When it is to be told (again), realtime; USEC_INFINITY: never. */
static usec_t alert_tell_at(const Alert *alert) {
        const Manager *m = alert->alerts->manager;
        const SilenceRecord *silence = alerts_silence_of(m, alert->record);
        usec_t at = 0;

        if (alert->machine.state != ALERT_FIRING)
                return USEC_INFINITY;
        if (alert->record->n_notified > 0 && !alert_was_silenced(alert)) {
                if (m->settings->alert_repeat_hours == 0)
                        return USEC_INFINITY;
                at = alert->record->notified_at + m->settings->alert_repeat_hours * USEC_PER_HOUR;
        }
        return silence ? MAX(at, silence->until) : at;
}

static void alerts_tell(Alerts *a) {
        usec_t realtime = now(CLOCK_REALTIME);

        if (!alert_channel_is_on(a->manager, ALERT_WEBHOOK) && !alert_channel_is_on(a->manager, ALERT_MAIL))
                return;

        for (Alert *alert = a->alerts; alert; alert = alert->hh.next) {
                if (alert_tell_at(alert) > realtime)
                        continue;

                alert->record->notified_at = realtime;
                alert->record->n_notified++;
                alert->tells_firing = true;
                alert_set_dirty(alert);
        }
}

/* --- on record --- */

static json_t *alert_notices(const Alert *alert) {
        const AlertRecord *r = alert->record;
        _cleanup_json_ json_t *l = json_array();
        int k = 0;

        if (alert->tells_firing || alert->told_firing)
                k |= json_array_append_new(l,
                                json_pack("{s:s, s:i, s:s}", "status",
                                                alert_status_to_string(ALERT_STATUS_FIRING), "number",
                                                (int) r->n_notified - 1, "message", r->message));
        if (alert->tells_resolved || alert->told_resolved)
                k |= json_array_append_new(l,
                                json_pack("{s:s, s:i, s:s}", "status",
                                                alert_status_to_string(ALERT_STATUS_RESOLVED), "number", 0,
                                                "message", r->message));
        return k < 0 ? NULL : TAKE_PTR(l);
}

static json_t *alert_to_json(const Alert *alert) {
        const AlertRecord *r = alert->record;
        json_t *notices = alert_notices(alert);

        return notices ? json_pack("{s:s, s:s, s:s, s:s?, s:s?, s:s?, s:s, s:s, s:I, s:I, s:I, s:I, s:i, "
                                   "s:o}",
                                         "uuid", r->uuid, "rule", r->rule, "severity", r->severity,
                                         "instance", isempty(r->instance) ? NULL : r->instance, "slug",
                                         r->slug, "name", r->name, "subject", r->subject, "message",
                                         r->message, "since", (json_int_t) r->since, "fired_at",
                                         (json_int_t) r->fired_at, "resolved_at",
                                         (json_int_t) r->resolved_at, "notified_at",
                                         (json_int_t) r->notified_at, "notifications", (int) r->n_notified,
                                         "notices", notices)
                       : NULL;
}

/* From the ended ones to those that fire; NULL to begin. */
static Alert *alerts_next(const Alerts *a, const Alert *alert) {
        if (!alert)
                return a->ended ?: a->alerts;
        if (alert->record->resolved_at > 0)
                return alert->next ?: a->alerts;
        return alert->hh.next;
}

static void alert_begin_write(Alert *alert) {
        alert->dirty = false;
        alert->writing = true;
        alert->told_firing = alert->told_firing || alert->tells_firing;
        alert->told_resolved = alert->told_resolved || alert->tells_resolved;
        alert->tells_firing = alert->tells_resolved = false;
}

/* Returns how many alerts there are to be written, as an array. */
static int alerts_collect(Alerts *a, json_t **ret) {
        _cleanup_json_ json_t *l = json_array();
        size_t n = 0;

        for (Alert *alert = alerts_next(a, NULL); alert && n < WRITE_MAX; alert = alerts_next(a, alert)) {
                if (!alert->dirty || alert->record->fired_at == 0)
                        continue;
                if (json_array_append_new(l, alert_to_json(alert)) < 0)
                        return -ENOMEM;
                alert_begin_write(alert);
                n++;
        }

        *ret = TAKE_PTR(l);
        return (int) n;
}

static void alerts_end_write(Alerts *a, bool written) {
        Alert **ended = &a->ended;

        for (Alert *alert = alerts_next(a, NULL); alert; alert = alerts_next(a, alert)) {
                if (!alert->writing)
                        continue;
                alert->writing = false;
                if (written)
                        alert->told_firing = alert->told_resolved = false;
                else
                        alert->dirty = true;
        }

        while (*ended) {
                Alert *alert = *ended;

                if (alert->dirty) {
                        ended = &alert->next;
                        continue;
                }
                *ended = alert->next;
                alert_free(alert);
        }
}

static void alerts_write(Alerts *a);

static void on_written(int r, Error *error, void *userdata) {
        Alerts *a = userdata;

        a->write_slot = db_slot_unref(a->write_slot);
        a->writing = false;
        alerts_end_write(a, r >= 0);
        if (r < 0) {
                log_debug("Failed to record alerts, trying again later: %s", error->message);
                a->write_at = now(CLOCK_MONOTONIC) + WRITE_RETRY_USEC;
                alerts_set_timer(a);
                return;
        }

        alert_queue_look(a->queue, /* hurry= */ false);
        alerts_write(a);
}

static void alerts_write(Alerts *a) {
        _cleanup_strv_free_ char **channels = NULL;
        _cleanup_json_ json_t *alerts = NULL;
        _cleanup_error_ Error e = {};
        int n, r;

        if (a->writing || !a->loaded || !db_is_available(a->manager->db))
                return;

        a->write_at = USEC_INFINITY;
        n = alerts_channels(a, &channels);
        if (n >= 0)
                n = alerts_collect(a, &alerts);
        if (n < 0)
                log_oom();
        if (n <= 0)
                return;

        a->writing = true;
        r = store_put_alerts(a->manager->db, alerts, channels, on_written, a, &a->write_slot, &e);
        if (r < 0)
                on_written(r, &e, a);
}

/* --- time --- */

static void on_tended(int r, const StoreOldSecret *items, size_t n, Error *error, void *userdata) {
        Alerts *a = userdata;

        a->tend_slot = db_slot_unref(a->tend_slot);
        if (r < 0) {
                log_debug("Failed to tidy up the alerts, trying again later: %s", error->message);
                return;
        }

        for (Instance *i = a->manager->instances; i; i = i->hh.next) {
                i->secrets_known = true;
                i->old_secret = 0;
                i->alerts_dirty = true;
        }
        FOREACH_ARRAY(s, items, n) {
                Instance *i = instance_find_by_id(a->manager, s->instance);

                if (i)
                        i->old_secret = s->created_at;
        }
        alerts_run_soon(a);
}

static void alerts_tend(Alerts *a) {
        _cleanup_error_ Error e = {};

        a->tend_at = now(CLOCK_MONOTONIC) + TEND_INTERVAL_USEC;
        a->tend_slot = db_slot_unref(a->tend_slot);
        if (store_tend_alerts(a->manager->db, a->manager->settings->alert_secret_age_days * USEC_PER_DAY,
                            on_tended, a, &a->tend_slot, &e) < 0)
                log_debug("Failed to tidy up the alerts, trying again later: %s", e.message);
}

/* Also what a lost word of systemd or of the records would have brought. */
static void alerts_look(Alerts *a) {
        a->look_at = now(CLOCK_MONOTONIC) + LOOK_INTERVAL_USEC;
        alerts_judge_file_systems(a);
        schedules_look(a->manager->schedules);
        for (Instance *i = a->manager->instances; i; i = i->hh.next)
                i->alerts_dirty = true;
        a->host_dirty = true;
        if (!a->loaded || !db_is_available(a->manager->db))
                return;

        alert_queue_look_anew(a->queue);
        if (a->tend_at <= now(CLOCK_MONOTONIC))
                alerts_tend(a);
}

static void alerts_run(Alerts *a) {
        Instance *i;

        if (a->host_dirty)
                alerts_judge_host(a);
        /* What is not known to fire already would fire anew. */
        if (a->loaded) {
                if (a->look_at <= now(CLOCK_MONOTONIC))
                        alerts_look(a);
                for (i = a->manager->instances; i; i = i->hh.next)
                        if (i->alerts_dirty)
                                alerts_judge_instance(a, i);
                alerts_tell(a);
                if (a->write_at == USEC_INFINITY || a->write_at <= now(CLOCK_MONOTONIC))
                        alerts_write(a);
        }
        alerts_set_timer(a);
}

static int on_defer(_unused_ sd_event_source *s, void *userdata) {
        alerts_run(userdata);
        return 0;
}

static int on_time(_unused_ sd_event_source *s, _unused_ uint64_t usec, void *userdata) {
        Alerts *a = userdata;

        /* That a silence is over changes how many fire. */
        a->manager->changed = true;
        manager_queue_emit(a->manager);
        alerts_wake(a);
        alerts_run(a);
        return 0;
}

static void alerts_run_soon(Alerts *a) {
        int r;

        if (a->defer_source)
                r = sd_event_source_set_enabled(a->defer_source, SD_EVENT_ONESHOT);
        else {
                r = sd_event_add_defer(a->manager->event, &a->defer_source, on_defer, a);
                /* Before what changed is announced. */
                if (r >= 0)
                        r = sd_event_source_set_priority(a->defer_source, SD_EVENT_PRIORITY_IDLE);
        }
        if (r < 0)
                log_warning_errno(r, "Failed to queue the judging of alerts: %m");
}

/* When anything has to be done again, monotonic. That the records are back, without which nothing can be written, is an
 * event. */
static usec_t alerts_next_time(const Alerts *a) {
        AlertThresholds thresholds = alert_thresholds(a->manager);
        usec_t monotonic = now(CLOCK_MONOTONIC), realtime = now(CLOCK_REALTIME), next = a->look_at,
               tell = USEC_INFINITY;

        for (const Alert *alert = a->alerts; alert; alert = alert->hh.next) {
                next = MIN(next,
                                alert_machine_next(&alert->machine,
                                                alert_rule_hold(alert->rule, &thresholds),
                                                alert_rule_clear(alert->rule, &thresholds)));
                tell = MIN(tell, alert_tell_at(alert));
        }
        /* What is due and was not told waits for a channel. */
        if (tell != USEC_INFINITY && tell > realtime)
                next = MIN(next, monotonic + (tell - realtime));

        if (db_is_available(a->manager->db))
                next = MIN(next, a->write_at);
        return next;
}

static void alerts_set_timer(Alerts *a) {
        usec_t at = alerts_next_time(a);
        int r;

        if (at <= now(CLOCK_MONOTONIC))
                at = now(CLOCK_MONOTONIC) + LOOK_ACCURACY_USEC;

        r = event_reset_time(a->manager->event, &a->time_source, at, LOOK_ACCURACY_USEC / 10, on_time, a);
        if (r < 0)
                log_warning_errno(r, "Failed to set a timer for alerts: %m");
}

/* --- from outside --- */

void alerts_note_instance(Instance *i) {
        i->alerts_dirty = true;
        alerts_run_soon(i->manager->alerts);
}

void alerts_note_removal(const Instance *i) {
        Alerts *a = i->manager->alerts;

        alerts_drop_instance(a, i->record->id);
        alerts_run_soon(a);
}

void alerts_note_host(Manager *m) {
        m->alerts->host_dirty = true;
        alerts_run_soon(m->alerts);
}

/* Everything is judged by settings that may be others. */
static void alerts_begin(Alerts *a) {
        a->look_at = a->tend_at = 0;
        if (alert_channel_is_on(a->manager, ALERT_WEBHOOK))
                alert_secret_ensure(a->manager);
        alerts_run_soon(a);
}

void alerts_note_settings(Manager *m) {
        if (!m->alerts->loaded)
                return;

        /* What waits for another attempt may get through now. */
        alert_queue_look(m->alerts->queue, /* hurry= */ true);
        alerts_begin(m->alerts);
}

/* Takes up what fires by the records. */
static void alerts_take(Alerts *a, AlertRecord **record) {
        AlertRule rule = alert_rule_from_string((*record)->rule);
        Alert *alert;

        /* Of a later version */
        if (rule < 0)
                return;

        alert = alert_find(a, rule, (*record)->instance, (*record)->subject);
        if (alert) {
                alert_record_free(alert->record);
                alert->record = TAKE_PTR(*record);
                alert->dirty = alert->tells_firing = false;
        } else if (alert_new(a, rule, record, &alert) < 0) {
                log_oom();
                return;
        }

        alert->machine = (AlertMachine) { .state = ALERT_FIRING, .last = ALERT_CONDITION_UNKNOWN };
        if (!isempty(alert->record->instance) && !instance_find_by_id(a->manager, alert->record->instance))
                alert_resolve(alert);
}

static void on_alerts_loaded(
                int r, AlertRecords *alerts, SilenceRecords *silences, Error *error, void *userdata) {
        Alerts *a = userdata;

        a->load_slot = db_slot_unref(a->load_slot);
        if (r < 0) {
                log_debug("Failed to read the alerts, all is read again later: %s", error->message);
                manager_resync_later(a->manager);
                return;
        }

        a->loaded = true;
        alerts_set_silences(a->manager, silences);
        /* They come newest first. */
        for (size_t k = alerts->n; k > 0; k--)
                alerts_take(a, alerts->items + k - 1);
        a->manager->changed = true;
        alerts_begin(a);
}

void alerts_note_loaded(Manager *m) {
        Alerts *a = m->alerts;
        _cleanup_error_ Error e = {};

        a->host_dirty = true;
        if (a->loaded) {
                a->write_at = USEC_INFINITY;
                alert_queue_look(a->queue, /* hurry= */ false);
                alerts_run_soon(a);
                return;
        }

        a->load_slot = db_slot_unref(a->load_slot);
        if (store_load_alerts(m->db, on_alerts_loaded, a, &a->load_slot, &e) < 0) {
                log_debug("Failed to read the alerts, all is read again later: %s", e.message);
                manager_resync_later(m);
        }
}

void alerts_set_silences(Manager *m, SilenceRecords *silences) {
        Alerts *a = m->alerts;

        silence_records_free(a->silences);
        a->silences = silences;
        m->changed = true;
        manager_queue_emit(m);
        alerts_run_soon(a);
}

const SilenceRecords *alerts_silences(const Manager *m) {
        return m->alerts->silences;
}

const SilenceRecord *alerts_find_silence(const Manager *m, uint64_t id) {
        const SilenceRecords *l = m->alerts->silences;

        for (size_t k = 0; l && k < l->n; k++)
                if (l->items[k].id == id)
                        return l->items + k;
        return NULL;
}

Alert *alerts_first(const Manager *m) {
        return m->alerts->alerts;
}

bool alert_is_visible(const Manager *m, Caller *viewer, const AlertRecord *r) {
        const Instance *i = isempty(r->instance) ? NULL : instance_find_by_id(m, r->instance);

        return i ? access_sees_instance(m, viewer, i) : access_sees_fleet(m, viewer);
}

uint32_t alerts_count(const Manager *m, Caller *viewer) {
        uint32_t n = 0;

        if (!m->alerts)
                return 0;
        for (const Alert *alert = m->alerts->alerts; alert; alert = alert->hh.next)
                n += alert->record->firing && !alerts_silence_of(m, alert->record) &&
                                alert_is_visible(m, viewer, alert->record);
        return n;
}

void alerts_note_unit(Manager *m, const char *unit) {
        alert_queue_note_unit(m->alerts->queue, unit);
}

void alerts_dispatch_queue(Manager *m) {
        alert_queue_look(m->alerts->queue, /* hurry= */ false);
}

int alerts_new(Manager *m, Alerts **ret) {
        _cleanup_(alerts_freep) Alerts *a = NULL;
        int r;

        a = new0(Alerts, 1);
        if (!a)
                return -ENOMEM;

        *a = (Alerts) {
                .manager = m,
                .begun = now(CLOCK_MONOTONIC),
                .look_at = USEC_INFINITY,
                .write_at = USEC_INFINITY,
        };
        r = alert_queue_new(m, &a->queue);
        if (r < 0)
                return r;

        *ret = TAKE_PTR(a);
        return 0;
}

Alerts *alerts_free(Alerts *a) {
        Alert *alert, *next;

        if (!a)
                return NULL;

        for (alert = a->ended; alert; alert = next) {
                next = alert->next;
                alert_free(alert);
        }
        for (alert = a->alerts; alert; alert = next) {
                next = alert->hh.next;
                alert_free(alert);
        }
        alert_queue_free(a->queue);
        db_slot_unref(a->load_slot);
        db_slot_unref(a->write_slot);
        db_slot_unref(a->tend_slot);
        sd_event_source_unref(a->defer_source);
        sd_event_source_unref(a->time_source);
        silence_records_free(a->silences);
        return mfree(a);
}
