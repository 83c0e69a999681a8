/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "alert.h"

#include <syslog.h>

#include "string-util.h"

/* A PostgreSQL or Docker that is only restarted is no alert. */
#define AVAILABLE_HOLD_USEC USEC_PER_MINUTE
#define AVAILABLE_CLEAR_USEC (10 * USEC_PER_SEC)
/* An instance must be well for so long; not longer than it had to be unwell. */
#define HEALTH_CLEAR_USEC USEC_PER_MINUTE

/* What just runs again gets the backup that it missed first. */
#define BACKUP_HOLD_USEC USEC_PER_MINUTE

/* After a long time without power, or with another setting, a scrub has so long for all of them. */
#define SCRUB_HOLD_USEC (6 * USEC_PER_HOUR)

/* After a time without power, too, it is looked for them first. */
#define COMPARE_HOLD_USEC USEC_PER_HOUR

/* What became of the instance is told after what became of the job. */
#define JOB_HOLD_USEC (5 * USEC_PER_SEC)

static const char *const alert_severity_table[_ALERT_SEVERITY_MAX] = {
        [ALERT_WARNING] = "warning",
        [ALERT_ERROR] = "error",
        [ALERT_CRITICAL] = "critical",
};
DEFINE_STRING_TABLE(alert_severity, AlertSeverity);

static const char *const alert_channel_table[_ALERT_CHANNEL_MAX] = {
        [ALERT_WEBHOOK] = "webhook",
        [ALERT_MAIL] = "mail",
};
DEFINE_STRING_TABLE(alert_channel, AlertChannel);

static const char *const alert_status_table[_ALERT_STATUS_MAX] = {
        [ALERT_STATUS_FIRING] = "firing",
        [ALERT_STATUS_RESOLVED] = "resolved",
        [ALERT_STATUS_TEST] = "test",
};
DEFINE_STRING_TABLE(alert_status, AlertStatus);

static const char *const alert_state_table[_ALERT_STATE_MAX] = {
        [ALERT_INACTIVE] = "inactive",
        [ALERT_PENDING] = "pending",
        [ALERT_FIRING] = "firing",
        [ALERT_RESOLVED] = "resolved",
};
DEFINE_STRING_TABLE(alert_state, AlertState);

int alert_severity_to_priority(AlertSeverity severity) {
        static const int priorities[_ALERT_SEVERITY_MAX] = {
                [ALERT_WARNING] = LOG_WARNING,
                [ALERT_ERROR] = LOG_ERR,
                [ALERT_CRITICAL] = LOG_CRIT,
        };

        assert(severity >= 0 && severity < _ALERT_SEVERITY_MAX);
        return priorities[severity];
}

/* --- rules --- */

static AlertCondition holds(bool b) {
        return b ? ALERT_CONDITION_TRUE : ALERT_CONDITION_FALSE;
}

static AlertCondition judge_failed(const AlertFacts *f, _unused_ const AlertThresholds *t) {
        return f->busy ? ALERT_CONDITION_UNKNOWN : holds(f->state == INSTANCE_FAILED);
}

/* Of what is not meant to run, or is being worked on, the health is no news; and without Docker it is not known. */
static AlertCondition judge_health(const AlertFacts *f, Health health) {
        if (f->busy)
                return ALERT_CONDITION_UNKNOWN;
        if (f->state != INSTANCE_RUNNING)
                return ALERT_CONDITION_FALSE;
        if (f->health == HEALTH_UNKNOWN)
                return ALERT_CONDITION_UNKNOWN;
        /* What crashes and starts again by turns is not well in between. */
        if (f->health == HEALTH_STARTING)
                return ALERT_CONDITION_UNDECIDED;
        return holds(f->health == health);
}

static AlertCondition judge_unhealthy(const AlertFacts *f, _unused_ const AlertThresholds *t) {
        return judge_health(f, HEALTH_UNHEALTHY);
}

static AlertCondition judge_degraded(const AlertFacts *f, _unused_ const AlertThresholds *t) {
        return judge_health(f, HEALTH_DEGRADED);
}

static AlertCondition judge_restarting(const AlertFacts *f, _unused_ const AlertThresholds *t) {
        if (f->state != INSTANCE_RUNNING)
                return ALERT_CONDITION_FALSE;
        if (f->n_restarts >= ALERT_RESTARTS_MAX)
                return ALERT_CONDITION_TRUE;
        return f->counts_are_new ? ALERT_CONDITION_UNKNOWN : ALERT_CONDITION_FALSE;
}

/* That the instance has failed says the same, and more. */
static AlertCondition judge_job(const AlertFacts *f, _unused_ const AlertThresholds *t) {
        if (f->busy || f->last_job < 0)
                return ALERT_CONDITION_UNKNOWN;
        return holds(f->last_job == JOB_FAILED && f->state != INSTANCE_FAILED);
}

static AlertCondition judge_backup_failed(const AlertFacts *f, _unused_ const AlertThresholds *t) {
        return holds(f->last_backup == JOB_FAILED);
}

/* Whatever the reason is: that a timer did not come is one, too. What does not run is backed up when it does. */
static AlertCondition judge_backup_missing(const AlertFacts *f, const AlertThresholds *t) {
        if (t->backup_age == 0 || f->state == INSTANCE_STOPPED)
                return ALERT_CONDITION_FALSE;
        return holds(f->backup_overdue > t->backup_age);
}

static AlertCondition judge_backup_damaged(const AlertFacts *f, _unused_ const AlertThresholds *t) {
        return holds(f->n_damaged > 0);
}

static AlertCondition judge_drill_failed(const AlertFacts *f, _unused_ const AlertThresholds *t) {
        return holds(f->last_drill == JOB_FAILED);
}

/* Whatever the reason is. What does not run, or has nothing to be tried, is left out of the rounds. */
static AlertCondition judge_undrilled(const AlertFacts *f, _unused_ const AlertThresholds *t) {
        if (!f->undrilled || !f->has_backup || f->state != INSTANCE_RUNNING)
                return ALERT_CONDITION_FALSE;
        return f->drill_awaited ? ALERT_CONDITION_UNKNOWN : ALERT_CONDITION_TRUE;
}

/* Whether the instance runs or not: what it has is there once only. */
static AlertCondition judge_unreplicated(const AlertFacts *f, const AlertThresholds *t) {
        return holds(t->copy_age > 0 && f->uncopied > t->copy_age);
}

/* Whatever the reason is. As long as the records are away nobody could say when they were read. */
static AlertCondition judge_unscrubbed(const AlertFacts *f, const AlertThresholds *t) {
        return f->known ? holds(t->scrub_age > 0 && f->unread > t->scrub_age) : ALERT_CONDITION_UNKNOWN;
}

static AlertCondition judge_gone_damaged(const AlertFacts *f, _unused_ const AlertThresholds *t) {
        return f->known ? holds(f->n_damaged > 0) : ALERT_CONDITION_UNKNOWN;
}

static AlertCondition judge_uncompared(const AlertFacts *f, _unused_ const AlertThresholds *t) {
        return f->known ? holds(f->uncompared > ALERT_UNCOMPARED_USEC) : ALERT_CONDITION_UNKNOWN;
}

static AlertCondition judge_secrets(const AlertFacts *f, const AlertThresholds *t) {
        if (t->secret_age == 0)
                return ALERT_CONDITION_FALSE;
        return f->secrets_known ? holds(f->secret_age >= t->secret_age) : ALERT_CONDITION_UNKNOWN;
}

static AlertCondition judge_disk(const AlertFacts *f, const AlertThresholds *t) {
        unsigned lower = f->firing ? MIN(ALERT_DISK_HYSTERESIS, t->disk_percent) : 0;

        return holds(t->disk_percent > 0 && f->percent_used >= t->disk_percent - lower);
}

static AlertCondition judge_available(const AlertFacts *f, _unused_ const AlertThresholds *t) {
        return f->known ? holds(!f->available) : ALERT_CONDITION_UNKNOWN;
}

/* "@" in a text is where the subject stands. */
static const struct {
        const char *name;
        AlertAbout about;
        AlertSeverity severity;
        AlertCondition (*judge)(const AlertFacts *f, const AlertThresholds *t);
        bool hold_by_setting; /* alert_health_minutes */
        usec_t hold, clear;
        const char *title, *next_step;
} rules[_ALERT_RULE_MAX] = {
        [ALERT_INSTANCE_FAILED] = {
                .name = "instance-failed",
                .about = ALERT_ABOUT_INSTANCE,
                .severity = ALERT_ERROR,
                .judge = judge_failed,
                .title = "@ has failed",
                .next_step = "ccpctl status @, then ccpctl start @",
        },
        [ALERT_INSTANCE_UNHEALTHY] = {
                .name = "instance-unhealthy",
                .about = ALERT_ABOUT_INSTANCE,
                .severity = ALERT_ERROR,
                .judge = judge_unhealthy,
                .hold_by_setting = true,
                .clear = HEALTH_CLEAR_USEC,
                .title = "@ is unhealthy",
                .next_step = "ccpctl status @, journalctl CCP_INSTANCE=@",
        },
        [ALERT_INSTANCE_DEGRADED] = {
                .name = "instance-degraded",
                .about = ALERT_ABOUT_INSTANCE,
                .severity = ALERT_WARNING,
                .judge = judge_degraded,
                .hold_by_setting = true,
                .clear = HEALTH_CLEAR_USEC,
                .title = "@ is degraded",
                .next_step = "ccpctl status @, journalctl CCP_INSTANCE=@",
        },
        [ALERT_SERVICES_RESTARTING] = {
                .name = "services-restarting",
                .about = ALERT_ABOUT_INSTANCE,
                .severity = ALERT_WARNING,
                .judge = judge_restarting,
                .title = "services of @ restart again and again",
                .next_step = "ccpctl status @, journalctl CCP_INSTANCE=@",
        },
        [ALERT_JOB_FAILED] = {
                .name = "job-failed",
                .about = ALERT_ABOUT_INSTANCE,
                .severity = ALERT_WARNING,
                .judge = judge_job,
                .hold = JOB_HOLD_USEC,
                .title = "the last job on @ failed",
                .next_step = "ccpctl job list --instance @, then ccpctl job retry ID",
        },
        [ALERT_BACKUP_FAILED] = {
                .name = "backup-failed",
                .about = ALERT_ABOUT_INSTANCE,
                .severity = ALERT_ERROR,
                .judge = judge_backup_failed,
                .title = "the last backup of @ failed",
                .next_step = "ccpctl job list --instance @, then ccpctl backup create @",
        },
        [ALERT_BACKUP_MISSING] = {
                .name = "backup-missing",
                .about = ALERT_ABOUT_INSTANCE,
                .severity = ALERT_ERROR,
                .judge = judge_backup_missing,
                .hold = BACKUP_HOLD_USEC,
                .title = "there is no backup of @ as new as its schedule asks for",
                .next_step = "ccpctl status @, systemctl list-timers 'ccp-schedule*', then ccpctl backup create @",
        },
        [ALERT_BACKUP_DAMAGED] = {
                .name = "backup-damaged",
                .about = ALERT_ABOUT_INSTANCE,
                .severity = ALERT_ERROR,
                .judge = judge_backup_damaged,
                .title = "a backup of @ is damaged",
                .next_step = "ccpctl backup verify ID, in case it was the disk; if it stays so ccpctl backup fetch ID, or without "
                             "a copy ccpctl backup create @ and ccpctl backup delete ID",
        },
        [ALERT_DRILL_FAILED] = {
                .name = "drill-failed",
                .about = ALERT_ABOUT_INSTANCE,
                .severity = ALERT_ERROR,
                .judge = judge_drill_failed,
                .title = "the last drill of @ failed",
                .next_step = "ccpctl job list --instance @, ccpctl backup list --instance @, then ccpctl backup drill ID",
        },
        [ALERT_BACKUP_UNDRILLED] = {
                .name = "backup-undrilled",
                .about = ALERT_ABOUT_INSTANCE,
                .severity = ALERT_WARNING,
                .judge = judge_undrilled,
                .hold = BACKUP_HOLD_USEC,
                .title = "no backup of @ was drilled in the last two rounds",
                .next_step = "ccpctl status @, systemctl list-timers 'ccp-schedule*', then ccpctl backup drill ID",
        },
        [ALERT_BACKUP_UNREPLICATED] = {
                .name = "backup-unreplicated",
                .about = ALERT_ABOUT_INSTANCE,
                .severity = ALERT_ERROR,
                .judge = judge_unreplicated,
                .title = "a backup of @ has no copy in the storage",
                .next_step = "ccpctl storage test, ccpctl backup list --instance @, then ccpctl backup replicate ID",
        },
        [ALERT_BACKUP_UNSCRUBBED] = {
                .name = "backup-unscrubbed",
                .about = ALERT_ABOUT_BACKUPS,
                .severity = ALERT_WARNING,
                .judge = judge_unscrubbed,
                .hold = SCRUB_HOLD_USEC,
                .title = "backups are not read again as often as they should be",
                .next_step = "systemctl status ccp-scrub.timer ccp-scrub, then systemctl start --no-block ccp-scrub",
        },
        [ALERT_GONE_BACKUP_DAMAGED] = {
                .name = "gone-backup-damaged",
                .about = ALERT_ABOUT_BACKUPS,
                .severity = ALERT_ERROR,
                .judge = judge_gone_damaged,
                .title = "a backup of an instance that is gone is damaged",
                .next_step = "ccpctl backup verify ID, in case it was the disk; if it stays so ccpctl backup fetch ID, or without "
                             "a copy ccpctl backup delete ID",
        },
        [ALERT_COPIES_UNCOMPARED] = {
                .name = "copies-uncompared",
                .about = ALERT_ABOUT_BACKUPS,
                .severity = ALERT_WARNING,
                .judge = judge_uncompared,
                .hold = COMPARE_HOLD_USEC,
                .title = "nobody can tell whether the storage still has the copies of backups",
                .next_step = "ccpctl storage test, journalctl -u 'ccp-storage@*' -u ccpd",
        },
        [ALERT_SECRET_AGE] = {
                .name = "secret-age",
                .about = ALERT_ABOUT_INSTANCE,
                .severity = ALERT_WARNING,
                .judge = judge_secrets,
                .title = "secrets of @ are old",
                .next_step = "ccpctl secret list @",
        },
        [ALERT_DISK_SPACE] = {
                .name = "disk-space",
                .about = ALERT_ABOUT_FILE_SYSTEM,
                .severity = ALERT_ERROR,
                .judge = judge_disk,
                .title = "the file system of @ is nearly full",
                .next_step = "df @, docker system df, journalctl --disk-usage",
        },
        [ALERT_STORE_UNAVAILABLE] = {
                .name = "store-unavailable",
                .about = ALERT_ABOUT_STORE,
                .severity = ALERT_CRITICAL,
                .judge = judge_available,
                .hold = AVAILABLE_HOLD_USEC,
                .clear = AVAILABLE_CLEAR_USEC,
                .title = "PostgreSQL is not available",
                .next_step = "systemctl status 'postgresql*'",
        },
        [ALERT_ENGINE_UNAVAILABLE] = {
                .name = "engine-unavailable",
                .about = ALERT_ABOUT_ENGINE,
                .severity = ALERT_CRITICAL,
                .judge = judge_available,
                .hold = AVAILABLE_HOLD_USEC,
                .clear = AVAILABLE_CLEAR_USEC,
                .title = "Docker does not answer",
                .next_step = "systemctl status docker",
        },
        [ALERT_SWEEPS_MISSING] = {
                .name = "sweeps-missing",
                .about = ALERT_ABOUT_SWEEPS,
                .severity = ALERT_ERROR,
                .judge = judge_available,
                .title = "nobody looks whether services answer",
                .next_step = "systemctl status ccp-health, ccpctl doctor",
        },
};

const char *alert_rule_to_string(AlertRule rule) {
        return rule >= 0 && rule < _ALERT_RULE_MAX ? rules[rule].name : NULL;
}

AlertRule alert_rule_from_string(const char *s) {
        for (AlertRule i = 0; i < _ALERT_RULE_MAX; i++)
                if (streq(rules[i].name, s))
                        return i;
        return _ALERT_RULE_INVALID;
}

AlertCondition alert_judge(AlertRule rule, const AlertFacts *facts, const AlertThresholds *thresholds) {
        return rules[rule].judge(facts, thresholds);
}

AlertAbout alert_rule_about(AlertRule rule) {
        return rules[rule].about;
}

AlertSeverity alert_rule_severity(AlertRule rule) {
        return rules[rule].severity;
}

usec_t alert_rule_hold(AlertRule rule, const AlertThresholds *thresholds) {
        return rules[rule].hold_by_setting ? thresholds->health_hold : rules[rule].hold;
}

usec_t alert_rule_clear(AlertRule rule, const AlertThresholds *thresholds) {
        usec_t clear = rules[rule].clear;

        return rules[rule].hold_by_setting ? MIN(clear, thresholds->health_hold) : clear;
}

static char *expand(const char *text, const char *subject) {
        _cleanup_string_builder_ StringBuilder b = {};
        char *s;

        for (; *text; text++)
                if (*text == '@')
                        string_builder_append(&b, subject);
                else
                        string_builder_append_n(&b, text, 1);

        return string_builder_finish(&b, &s, NULL) < 0 ? NULL : s;
}

char *alert_rule_title(AlertRule rule, const char *subject) {
        return expand(rules[rule].title, subject);
}

char *alert_rule_next_step(AlertRule rule, const char *subject) {
        return expand(rules[rule].next_step, subject);
}

/* --- one alert --- */

static void step_pending(AlertMachine *a, usec_t t, usec_t hold) {
        if (IN_SET(a->last, ALERT_CONDITION_FALSE, ALERT_CONDITION_UNKNOWN))
                *a = (AlertMachine) { .last = a->last };
        else if (a->last == ALERT_CONDITION_TRUE && t >= a->since && t - a->since >= hold)
                *a = (AlertMachine) { .state = ALERT_FIRING, .last = a->last };
}

static void step_firing(AlertMachine *a, usec_t t, usec_t clear) {
        if (IN_SET(a->last, ALERT_CONDITION_TRUE, ALERT_CONDITION_UNKNOWN))
                a->since = 0;
        else if (a->last == ALERT_CONDITION_FALSE) {
                a->since = a->since ?: t;
                if (t >= a->since && t - a->since >= clear)
                        a->state = ALERT_RESOLVED;
        }
}

AlertState alert_machine_step(
                AlertMachine *a, AlertCondition condition, usec_t t, usec_t hold, usec_t clear) {
        a->last = condition;
        if (a->state == ALERT_INACTIVE && condition == ALERT_CONDITION_TRUE) {
                a->state = ALERT_PENDING;
                a->since = t;
        }

        if (a->state == ALERT_PENDING)
                step_pending(a, t, hold);
        else if (a->state == ALERT_FIRING)
                step_firing(a, t, clear);
        return a->state;
}

usec_t alert_machine_next(const AlertMachine *a, usec_t hold, usec_t clear) {
        if (a->state == ALERT_PENDING && a->last == ALERT_CONDITION_TRUE)
                return a->since + hold;
        if (a->state == ALERT_FIRING && a->last == ALERT_CONDITION_FALSE)
                return a->since + clear;
        return USEC_INFINITY;
}

/* --- delivery --- */

usec_t alert_backoff(unsigned n_attempts, uint32_t random) {
        usec_t span = ALERT_BACKOFF_MIN_USEC;

        for (unsigned i = 1; i < n_attempts && span < ALERT_BACKOFF_MAX_USEC; i++)
                span *= 2;
        span = MIN(span, ALERT_BACKOFF_MAX_USEC);

        /* Not more than the most, not less than the least. */
        span = span - span / 5 + (usec_t) ((double) span * 0.4 * ((double) random / UINT32_MAX));
        return MAX(MIN(span, ALERT_BACKOFF_MAX_USEC), ALERT_BACKOFF_MIN_USEC);
}

usec_t alert_backoff_asked(unsigned n_attempts, uint32_t random, usec_t asked) {
        usec_t span = alert_backoff(n_attempts, random);

        return asked > 0 ? MIN(MAX(span, asked), ALERT_BACKOFF_MAX_USEC) : span;
}
