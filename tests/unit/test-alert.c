/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "alert.h"

#include <stdio.h>
#include <syslog.h>

#include "alloc-util.h"
#include "string-util.h"
#include "test.h"

#define T (1000 * USEC_PER_SEC)
#define HOLD (2 * USEC_PER_MINUTE)
#define CLEAR USEC_PER_MINUTE

static const AlertThresholds thresholds = {
        .health_hold = HOLD,
        .disk_percent = 90,
        .secret_age = 30 * USEC_PER_DAY,
        .backup_age = USEC_PER_HOUR,
        .copy_age = USEC_PER_HOUR,
        .scrub_age = 29 * USEC_PER_DAY,
};

/* --- one alert --- */

/* Seconds after T, what is seen then, and the state that it leaves. */
typedef struct Seen {
        unsigned at;
        AlertCondition condition;
        AlertState state;
} Seen;

#define YES ALERT_CONDITION_TRUE
#define NO ALERT_CONDITION_FALSE
#define UNKNOWN ALERT_CONDITION_UNKNOWN
#define UNDECIDED ALERT_CONDITION_UNDECIDED

static void check(const char *what, const Seen *seen, size_t n) {
        AlertMachine a = {};

        for (size_t i = 0; i < n; i++) {
                AlertState state;

                state = alert_machine_step(
                                &a, seen[i].condition, T + seen[i].at * USEC_PER_SEC, HOLD, CLEAR);
                ck_assert_msg(state == seen[i].state, "%s: %s instead of %s at %u s", what,
                                alert_state_to_string(state), alert_state_to_string(seen[i].state),
                                seen[i].at);
        }
}

#define CHECK(what, ...) \
        check(what, (const Seen[]) { __VA_ARGS__ }, ELEMENTSOF(((const Seen[]) { __VA_ARGS__ })))

START_TEST(it_fires_after_a_while_and_ends_after_a_while) {
        CHECK("the whole life", { 0, NO, ALERT_INACTIVE }, { 10, YES, ALERT_PENDING },
                        { 129, YES, ALERT_PENDING }, { 130, YES, ALERT_FIRING }, { 131, YES, ALERT_FIRING },
                        { 140, NO, ALERT_FIRING }, { 199, NO, ALERT_FIRING }, { 200, NO, ALERT_RESOLVED },
                        { 201, YES, ALERT_RESOLVED });
        CHECK("a moment is no alert", { 0, YES, ALERT_PENDING }, { 119, YES, ALERT_PENDING },
                        { 119, NO, ALERT_INACTIVE }, { 120, YES, ALERT_PENDING },
                        { 239, YES, ALERT_PENDING }, { 240, YES, ALERT_FIRING });
        CHECK("a moment is no end", { 0, YES, ALERT_PENDING }, { 120, YES, ALERT_FIRING },
                        { 130, NO, ALERT_FIRING }, { 189, NO, ALERT_FIRING }, { 189, YES, ALERT_FIRING },
                        { 190, NO, ALERT_FIRING }, { 249, NO, ALERT_FIRING }, { 250, NO, ALERT_RESOLVED });
}
END_TEST

START_TEST(what_nobody_knows_neither_begins_nor_ends_it) {
        CHECK("pending begins anew", { 0, YES, ALERT_PENDING }, { 60, UNKNOWN, ALERT_INACTIVE },
                        { 125, YES, ALERT_PENDING }, { 244, YES, ALERT_PENDING },
                        { 245, YES, ALERT_FIRING });
        CHECK("firing goes on", { 0, YES, ALERT_PENDING }, { 120, YES, ALERT_FIRING },
                        { 130, NO, ALERT_FIRING }, { 150, UNKNOWN, ALERT_FIRING },
                        { 5000, UNKNOWN, ALERT_FIRING }, { 5001, NO, ALERT_FIRING },
                        { 5060, NO, ALERT_FIRING }, { 5061, NO, ALERT_RESOLVED });
        CHECK("a crash loop is pending in between", { 0, YES, ALERT_PENDING },
                        { 30, UNDECIDED, ALERT_PENDING }, { 60, YES, ALERT_PENDING },
                        { 90, UNDECIDED, ALERT_PENDING }, { 121, UNDECIDED, ALERT_PENDING },
                        { 122, YES, ALERT_FIRING }, { 123, UNDECIDED, ALERT_FIRING },
                        { 124, NO, ALERT_FIRING }, { 150, UNDECIDED, ALERT_FIRING },
                        { 184, NO, ALERT_RESOLVED });
        CHECK("nothing begins so", { 0, UNKNOWN, ALERT_INACTIVE }, { 1, UNDECIDED, ALERT_INACTIVE });
}
END_TEST

START_TEST(without_a_hold_it_fires_at_once) {
        AlertMachine a = {};

        ck_assert_int_eq(alert_machine_step(&a, YES, T, 0, 0), ALERT_FIRING);
        ck_assert_int_eq(alert_machine_step(&a, NO, T, 0, 0), ALERT_RESOLVED);
}
END_TEST

START_TEST(time_is_asked_for_only_where_it_matters) {
        AlertMachine a = {};

        ck_assert_uint_eq(alert_machine_next(&a, HOLD, CLEAR), USEC_INFINITY);
        (void) alert_machine_step(&a, YES, T, HOLD, CLEAR);
        ck_assert_uint_eq(alert_machine_next(&a, HOLD, CLEAR), T + HOLD);
        (void) alert_machine_step(&a, UNDECIDED, T + 1, HOLD, CLEAR);
        ck_assert_uint_eq(alert_machine_next(&a, HOLD, CLEAR), USEC_INFINITY);
        (void) alert_machine_step(&a, YES, T + HOLD, HOLD, CLEAR);
        ck_assert_int_eq(a.state, ALERT_FIRING);
        ck_assert_uint_eq(alert_machine_next(&a, HOLD, CLEAR), USEC_INFINITY);
        (void) alert_machine_step(&a, NO, T + HOLD + 5, HOLD, CLEAR);
        ck_assert_uint_eq(alert_machine_next(&a, HOLD, CLEAR), T + HOLD + 5 + CLEAR);
        (void) alert_machine_step(&a, NO, T + HOLD + 5 + CLEAR, HOLD, CLEAR);
        ck_assert_uint_eq(alert_machine_next(&a, HOLD, CLEAR), USEC_INFINITY);
}
END_TEST

/* --- rules --- */

#define WELL                                       \
        { .state = INSTANCE_RUNNING,               \
                .health = HEALTH_HEALTHY,          \
                .last_job = JOB_SUCCEEDED,         \
                .last_backup = _JOB_STATE_INVALID, \
                .last_drill = _JOB_STATE_INVALID,  \
                .secrets_known = true }
#define WITH(...)                         \
        ({                                \
                AlertFacts _facts = WELL; \
                __VA_ARGS__;              \
                _facts;                   \
        })
#define F _facts

static void check_only(AlertRule rule, const AlertFacts *f) {
        for (AlertRule i = 0; i < _ALERT_RULE_MAX; i++) {
                AlertCondition condition;

                if (alert_rule_about(i) != ALERT_ABOUT_INSTANCE)
                        continue;
                condition = alert_judge(i, f, &thresholds);
                ck_assert_msg((condition == YES) == (i == rule), "%s, where %s is", alert_rule_to_string(i),
                                rule >= 0 ? alert_rule_to_string(rule) : "nothing");
        }
}

START_TEST(each_rule_fires_for_its_cause_alone) {
        AlertFacts f = WELL;

        check_only(_ALERT_RULE_INVALID, &f);
        f = WITH(F.state = INSTANCE_FAILED, F.last_job = JOB_FAILED, F.health = HEALTH_UNKNOWN);
        check_only(ALERT_INSTANCE_FAILED, &f);
        f = WITH(F.health = HEALTH_UNHEALTHY);
        check_only(ALERT_INSTANCE_UNHEALTHY, &f);
        f = WITH(F.health = HEALTH_DEGRADED);
        check_only(ALERT_INSTANCE_DEGRADED, &f);
        f = WITH(F.n_restarts = ALERT_RESTARTS_MAX);
        check_only(ALERT_SERVICES_RESTARTING, &f);
        f = WITH(F.n_restarts = ALERT_RESTARTS_MAX - 1);
        check_only(_ALERT_RULE_INVALID, &f);
        f = WITH(F.last_job = JOB_FAILED);
        check_only(ALERT_JOB_FAILED, &f);
        f = WITH(F.last_backup = JOB_FAILED);
        check_only(ALERT_BACKUP_FAILED, &f);
        f = WITH(F.last_backup = JOB_SUCCEEDED, F.backup_overdue = USEC_PER_HOUR);
        check_only(_ALERT_RULE_INVALID, &f);
        f = WITH(F.backup_overdue = USEC_PER_HOUR + 1);
        check_only(ALERT_BACKUP_MISSING, &f);
        f = WITH(F.n_damaged = 1);
        check_only(ALERT_BACKUP_DAMAGED, &f);
        f = WITH(F.last_drill = JOB_FAILED, F.has_backup = true);
        check_only(ALERT_DRILL_FAILED, &f);
        f = WITH(F.last_drill = JOB_SUCCEEDED, F.has_backup = true);
        check_only(_ALERT_RULE_INVALID, &f);
        f = WITH(F.undrilled = true, F.has_backup = true);
        check_only(ALERT_BACKUP_UNDRILLED, &f);
        f = WITH(F.undrilled = true);
        check_only(_ALERT_RULE_INVALID, &f);
        f = WITH(F.uncopied = USEC_PER_HOUR);
        check_only(_ALERT_RULE_INVALID, &f);
        f = WITH(F.uncopied = USEC_PER_HOUR + 1, F.state = INSTANCE_STOPPED);
        check_only(ALERT_BACKUP_UNREPLICATED, &f);
        f = WITH(F.secret_age = 30 * USEC_PER_DAY);
        check_only(ALERT_SECRET_AGE, &f);
        f = WITH(F.secret_age = 30 * USEC_PER_DAY - 1);
        check_only(_ALERT_RULE_INVALID, &f);
}
END_TEST

START_TEST(what_is_stopped_or_worked_on_is_no_alert) {
        AlertFacts f;

        f = WITH(F.state = INSTANCE_STOPPED, F.health = HEALTH_UNHEALTHY, F.n_restarts = 9,
                        F.backup_overdue = USEC_PER_DAY, F.undrilled = true, F.has_backup = true);
        check_only(_ALERT_RULE_INVALID, &f);
        ck_assert_int_eq(alert_judge(ALERT_INSTANCE_UNHEALTHY, &f, &thresholds), NO);

        /* What fired before the job began is not over by its beginning. */
        f = WITH(F.busy = true, F.health = HEALTH_HEALTHY);
        ck_assert_int_eq(alert_judge(ALERT_INSTANCE_UNHEALTHY, &f, &thresholds), UNKNOWN);
        ck_assert_int_eq(alert_judge(ALERT_JOB_FAILED, &f, &thresholds), UNKNOWN);
        f = WITH(F.busy = true, F.health = HEALTH_UNHEALTHY, F.state = INSTANCE_FAILED,
                        F.last_job = JOB_FAILED);
        check_only(_ALERT_RULE_INVALID, &f);

        /* Without Docker nobody knows. */
        f = WITH(F.health = HEALTH_UNKNOWN);
        ck_assert_int_eq(alert_judge(ALERT_INSTANCE_DEGRADED, &f, &thresholds), UNKNOWN);
        f = WITH(F.health = HEALTH_STARTING);
        ck_assert_int_eq(alert_judge(ALERT_INSTANCE_UNHEALTHY, &f, &thresholds), UNDECIDED);
}
END_TEST

START_TEST(what_is_not_known_is_not_gone) {
        const AlertThresholds off = { .health_hold = HOLD };
        AlertFacts f;

        f = WITH(F.last_job = _JOB_STATE_INVALID);
        ck_assert_int_eq(alert_judge(ALERT_JOB_FAILED, &f, &thresholds), UNKNOWN);
        f = WITH(F.counts_are_new = true);
        ck_assert_int_eq(alert_judge(ALERT_SERVICES_RESTARTING, &f, &thresholds), UNKNOWN);
        f = WITH(F.secrets_known = false, F.secret_age = 99 * USEC_PER_DAY);
        ck_assert_int_eq(alert_judge(ALERT_SECRET_AGE, &f, &thresholds), UNKNOWN);
        ck_assert_int_eq(alert_judge(ALERT_SECRET_AGE, &f, &off), NO);
        f = WITH(F.backup_overdue = 99 * USEC_PER_DAY);
        ck_assert_int_eq(alert_judge(ALERT_BACKUP_MISSING, &f, &off), NO);
        f = WITH(F.uncopied = 99 * USEC_PER_DAY);
        ck_assert_int_eq(alert_judge(ALERT_BACKUP_UNREPLICATED, &f, &off), NO);
        /* What fires goes on while the round is under way that may end it. */
        f = WITH(F.undrilled = true, F.has_backup = true, F.drill_awaited = true);
        ck_assert_int_eq(alert_judge(ALERT_BACKUP_UNDRILLED, &f, &thresholds), UNKNOWN);
}
END_TEST

START_TEST(store_and_engine_are_away_or_not) {
        FOREACH_ARRAY(rule,
                        ((const AlertRule[]) { ALERT_STORE_UNAVAILABLE, ALERT_ENGINE_UNAVAILABLE,
                                        ALERT_SWEEPS_MISSING }),
                        3) {
                ck_assert_int_eq(alert_judge(*rule, &(AlertFacts) { .known = true }, &thresholds), YES);
                ck_assert_int_eq(alert_judge(*rule, &(AlertFacts) { .known = true, .available = true },
                                                 &thresholds),
                                NO);
                ck_assert_int_eq(alert_judge(*rule, &(AlertFacts) {}, &thresholds), UNKNOWN);
                ck_assert(alert_rule_hold(*rule, &thresholds) > 0 || *rule == ALERT_SWEEPS_MISSING);
        }
}
END_TEST

START_TEST(backups_are_read_again_and_whole_or_not) {
        const AlertThresholds off = { .health_hold = HOLD };
        const AlertFacts late = { .known = true, .unread = 29 * USEC_PER_DAY + 1 },
                         timely = { .known = true,
                                 .unread = 29 * USEC_PER_DAY,
                                 .uncompared = 3 * USEC_PER_DAY },
                         unlisted = { .known = true, .uncompared = 3 * USEC_PER_DAY + 1 },
                         torn = { .known = true, .n_damaged = 1 }, away = { .unread = 99 * USEC_PER_DAY };

        ck_assert_int_eq(alert_judge(ALERT_BACKUP_UNSCRUBBED, &late, &thresholds), YES);
        ck_assert_int_eq(alert_judge(ALERT_BACKUP_UNSCRUBBED, &late, &off), NO);
        ck_assert_int_eq(alert_judge(ALERT_BACKUP_UNSCRUBBED, &timely, &thresholds), NO);
        ck_assert_int_eq(alert_judge(ALERT_BACKUP_UNSCRUBBED, &away, &thresholds), UNKNOWN);
        /* A server that was off for a month reads them first. */
        ck_assert_uint_ge(alert_rule_hold(ALERT_BACKUP_UNSCRUBBED, &thresholds), 2 * USEC_PER_HOUR);
        /* What is held is not on record: a ccpd that is started anew each night must come to tell it. */
        ck_assert_uint_le(alert_rule_hold(ALERT_BACKUP_UNSCRUBBED, &thresholds), 12 * USEC_PER_HOUR);
        ck_assert_int_eq(alert_judge(ALERT_COPIES_UNCOMPARED, &unlisted, &thresholds), YES);
        ck_assert_int_eq(alert_judge(ALERT_COPIES_UNCOMPARED, &timely, &thresholds), NO);
        ck_assert_int_eq(alert_judge(ALERT_COPIES_UNCOMPARED, &away, &thresholds), UNKNOWN);
        ck_assert_uint_gt(alert_rule_hold(ALERT_COPIES_UNCOMPARED, &thresholds), 0);
        ck_assert_int_eq(alert_judge(ALERT_GONE_BACKUP_DAMAGED, &torn, &thresholds), YES);
        ck_assert_int_eq(alert_judge(ALERT_GONE_BACKUP_DAMAGED, &late, &thresholds), NO);
        ck_assert_int_eq(alert_judge(ALERT_GONE_BACKUP_DAMAGED, &away, &thresholds), UNKNOWN);
}
END_TEST

START_TEST(a_disk_at_its_threshold_does_not_flap) {
        const AlertThresholds off = {}, one = { .disk_percent = 1 };
        static const struct {
                unsigned percent;
                bool firing;
                AlertCondition condition;
        } cases[] = {
                { 89, false, NO },
                { 90, false, YES },
                { 100, false, YES },
                { 89, true, YES },
                { 88, true, YES },
                { 87, true, NO },
        };

        FOREACH_ARRAY(c, cases, ELEMENTSOF(cases))
                ck_assert_int_eq(alert_judge(ALERT_DISK_SPACE,
                                                 &(AlertFacts) { .percent_used = c->percent,
                                                                 .firing = c->firing },
                                                 &thresholds),
                                c->condition);
        ck_assert_int_eq(alert_judge(ALERT_DISK_SPACE, &(AlertFacts) { .percent_used = 100, .firing = true },
                                         &off),
                        NO);
        ck_assert_int_eq(alert_judge(ALERT_DISK_SPACE, &(AlertFacts) { .percent_used = 0, .firing = true },
                                         &one),
                        YES);
}
END_TEST

START_TEST(every_rule_is_complete) {
        for (AlertRule i = 0; i < _ALERT_RULE_MAX; i++) {
                _cleanup_free_ char *title = alert_rule_title(i, "SUBJECT"),
                                    *next = alert_rule_next_step(i, "SUBJECT");
                bool has_subject =
                                IN_SET(alert_rule_about(i), ALERT_ABOUT_INSTANCE, ALERT_ABOUT_FILE_SYSTEM);
                const char *name = alert_rule_to_string(i);

                ck_assert_int_eq(alert_rule_from_string(name), i);
                ck_assert_ptr_null(strchr(title, '@'));
                ck_assert_ptr_null(strchr(next, '@'));
                ck_assert_msg(!strstr(title, "SUBJECT") == !has_subject, "%s: %s", name, title);
                ck_assert_msg(*next, "%s says nothing of what to do", name);
                ck_assert_int_ge(alert_severity_to_priority(alert_rule_severity(i)), LOG_CRIT);
                ck_assert_int_le(alert_severity_to_priority(alert_rule_severity(i)), LOG_WARNING);
        }
        ck_assert_int_lt(alert_rule_from_string(ALERT_TEST_RULE), 0);
        ck_assert_int_lt(alert_rule_from_string(""), 0);
        ck_assert_ptr_null(alert_rule_to_string(_ALERT_RULE_INVALID));
}
END_TEST

START_TEST(health_holds_as_long_as_the_setting_says) {
        const AlertThresholds short_ones = { .health_hold = 5 * USEC_PER_SEC };

        ck_assert_uint_eq(alert_rule_hold(ALERT_INSTANCE_UNHEALTHY, &thresholds), HOLD);
        ck_assert_uint_eq(alert_rule_clear(ALERT_INSTANCE_UNHEALTHY, &thresholds), CLEAR);
        ck_assert_uint_eq(alert_rule_hold(ALERT_INSTANCE_DEGRADED, &short_ones), 5 * USEC_PER_SEC);
        ck_assert_uint_eq(alert_rule_clear(ALERT_INSTANCE_DEGRADED, &short_ones), 5 * USEC_PER_SEC);
        ck_assert_uint_eq(alert_rule_hold(ALERT_INSTANCE_FAILED, &thresholds), 0);
}
END_TEST

/* --- delivery --- */

START_TEST(attempts_come_ever_more_rarely) {
        static const struct {
                unsigned n;
                usec_t middle;
        } cases[] = {
                { 1, 10 * USEC_PER_SEC },
                { 2, 20 * USEC_PER_SEC },
                { 3, 40 * USEC_PER_SEC },
                { 6, 320 * USEC_PER_SEC },
                { 9, 2560 * USEC_PER_SEC },
                { 10, USEC_PER_HOUR },
                { 1000, USEC_PER_HOUR },
                { UINT32_MAX, USEC_PER_HOUR },
        };

        FOREACH_ARRAY(c, cases, ELEMENTSOF(cases)) {
                usec_t least = alert_backoff(c->n, 0), most = alert_backoff(c->n, UINT32_MAX);

                ck_assert_uint_eq(least, MAX(c->middle * 4 / 5, ALERT_BACKOFF_MIN_USEC));
                ck_assert_uint_eq(most, MIN(c->middle * 6 / 5, ALERT_BACKOFF_MAX_USEC));
        }
}
END_TEST

/* With a clock of our own: what an hour, and three days, come to. */
START_TEST(an_hour_takes_few_attempts) {
        usec_t t = 0;
        unsigned n = 0;

        while (t < USEC_PER_HOUR)
                t += alert_backoff(++n, UINT32_MAX / 2);
        ck_assert_uint_ge(n, 8);
        ck_assert_uint_le(n, 10);
        while (t < ALERT_PATIENCE_USEC)
                t += alert_backoff(++n, UINT32_MAX / 2);
        ck_assert_uint_le(n, 100);
}
END_TEST

START_TEST(who_asks_to_wait_is_heard_within_bounds) {
        ck_assert_uint_eq(alert_backoff_asked(1, UINT32_MAX, 0), alert_backoff(1, UINT32_MAX));
        ck_assert_uint_eq(alert_backoff_asked(1, UINT32_MAX, USEC_PER_SEC), alert_backoff(1, UINT32_MAX));
        ck_assert_uint_eq(alert_backoff_asked(1, 0, 5 * USEC_PER_MINUTE), 5 * USEC_PER_MINUTE);
        ck_assert_uint_eq(alert_backoff_asked(1, 0, 99 * USEC_PER_DAY), ALERT_BACKOFF_MAX_USEC);
}
END_TEST

TESTS("alert", it_fires_after_a_while_and_ends_after_a_while, what_nobody_knows_neither_begins_nor_ends_it,
                without_a_hold_it_fires_at_once, time_is_asked_for_only_where_it_matters,
                each_rule_fires_for_its_cause_alone, what_is_stopped_or_worked_on_is_no_alert,
                what_is_not_known_is_not_gone, store_and_engine_are_away_or_not,
                backups_are_read_again_and_whole_or_not, a_disk_at_its_threshold_does_not_flap,
                every_rule_is_complete, health_holds_as_long_as_the_setting_says,
                attempts_come_ever_more_rarely, an_hour_takes_few_attempts,
                who_asks_to_wait_is_heard_within_bounds)
