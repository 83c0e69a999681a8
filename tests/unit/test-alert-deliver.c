/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "alert-deliver.h"

#include <stdio.h>

#include "alloc-util.h"
#include "log.h"
#include "postgres.h"
#include "string-util.h"
#include "test.h"

/* A receiver that does what it is told, and writes down what it gets: the messages of the notices, "+" between them. */
typedef struct Scene {
        TestDb t;
        DbSync *db;
        AlertCarrier carrier;
        AlertResult answer;
        const char *poison; /* refuses messages with this in them */
        bool on;
        char got[4096];
        char last_uuid[STORE_ID_MAX];
        unsigned n;
} Scene;

static Scene *current;

static bool is_on(const Settings *settings _unused_) {
        return current->on;
}

static void receive(const AlertMessage *m, AlertResult *ret, void *userdata) {
        Scene *s = userdata;
        char *p = s->got + strlen(s->got);

        s->n++;
        memcpy(s->last_uuid, m->uuid, sizeof(s->last_uuid));
        for (size_t i = 0; i < m->n_notices; i++)
                p += snprintf(p, sizeof(s->got) - (size_t) (p - s->got), "%s%s", i > 0 ? "+" : "",
                                m->notices[i].message);
        (void) snprintf(p, sizeof(s->got) - (size_t) (p - s->got), ";");

        if (s->poison && strstr(m->notices[0].message, s->poison))
                alert_result_set(ret, ALERT_OUTCOME_RETRY, /* answered= */ true, "no");
        else if (s->answer.outcome == ALERT_OUTCOME_DELIVERED)
                *ret = (AlertResult) { .outcome = ALERT_OUTCOME_DELIVERED, .answered = true };
        else
                alert_result_set(ret, s->answer.outcome, s->answer.answered, "down \xff");
}

static void scene_open(Scene *s) {
        *s = (Scene) { .on = true, .answer = { .outcome = ALERT_OUTCOME_DELIVERED } };
        current = s;
        log_set_target(LOG_TARGET_NULL);
        test_db_open(&s->t, NULL);
        ASSERT_OK(db_sync_open(&(DbSyncOptions) { .conninfo = s->t.conninfo, .patience = 30 * USEC_PER_SEC },
                        &s->db, NULL));
        s->carrier = (AlertCarrier) {
                .channel = ALERT_WEBHOOK, .notices_max = 3, .is_on = is_on, .send = receive, .userdata = s
        };
        test_postgres_tamper(s->t.conninfo,
                        "INSERT INTO alerts (uuid, rule, severity, subject, state, message, since, "
                        "fired_at, notifications) "
                        "VALUES (gen_random_uuid(), 'engine-unavailable', 'critical', '', 'firing', '', "
                        "now(), now(), 0)");
}

static void scene_close(Scene *s) {
        db_sync_free(s->db);
        test_db_close(&s->t);
}
#define _cleanup_scene_ _cleanup_(scene_close)

static void sql(Scene *s, const char *text) {
        test_postgres_tamper(s->t.conninfo, text);
}

static void notice(Scene *s, const char *status, const char *text) {
        _cleanup_free_ char *statement = NULL;

        ck_assert_int_ge(asprintf(&statement,
                                         "INSERT INTO alert_deliveries (alert, channel, status, number, "
                                         "message, due_at) "
                                         "SELECT min(a.id), 'webhook', '%s', (SELECT count(*) FROM "
                                         "alert_deliveries), '%s', "
                                         "now() FROM alerts a",
                                         status, text),
                        0);
        sql(s, statement);
}

static void run(Scene *s, const char *expected) {
        _cleanup_error_ Error e = {};

        s->got[0] = 0;
        ck_assert_msg(alert_deliver(s->db, &s->carrier, &e) == 0, "%s", e.message);
        ck_assert_str_eq(s->got, expected);
}

/* The clock goes on, as far as it must. */
static void wait_for_due(Scene *s) {
        sql(s, "UPDATE alert_messages SET due_at = now() WHERE state = 'queued'");
}

#define ASSERT_STATES(s, expected)                                                                          \
        ASSERT_QUERY((s)->t.conninfo,                                                                       \
                        "SELECT string_agg(state || ' ' || attempts, ',' ORDER BY id) FROM alert_messages", \
                        expected)

START_TEST(what_comes_together_goes_together) {
        _cleanup_scene_ Scene s;

        scene_open(&s);
        run(&s, "");
        notice(&s, "firing", "a");
        notice(&s, "firing", "b");
        /* What is young yet goes with what is old enough. */
        sql(&s, "UPDATE alert_deliveries SET due_at = now() + interval '4 s' WHERE message = 'b'");
        run(&s, "a+b;");
        run(&s, "");
        ASSERT_STATES(&s, "delivered 1");

        notice(&s, "firing", "c");
        sql(&s, "UPDATE alert_deliveries SET due_at = now() + interval '4 s' WHERE message = 'c'");
        run(&s, "");
}
END_TEST

START_TEST(what_is_too_much_for_one_message_is_several) {
        _cleanup_scene_ Scene s;

        scene_open(&s);
        FOREACH_ARRAY(text, ((const char *[]) { "a", "b", "c", "d", "e", "f", "g" }), 7)
                notice(&s, "firing", *text);
        run(&s, "a+b+c;d+e+f;g;");
}
END_TEST

START_TEST(a_receiver_that_is_down_gets_all_in_order_once) {
        _cleanup_scene_ Scene s;
        char uuid[STORE_ID_MAX];

        scene_open(&s);
        s.answer = (AlertResult) { .outcome = ALERT_OUTCOME_RETRY };
        notice(&s, "firing", "a");
        run(&s, "a;");
        memcpy(uuid, s.last_uuid, sizeof(uuid));
        ASSERT_QUERY(s.t.conninfo,
                        "SELECT error || ' ' || (due_at BETWEEN now() + interval '9 s' AND now() + interval "
                        "'13 s') "
                        "FROM alert_messages",
                        "down ? true");
        run(&s, "");

        /* An hour: what happens meanwhile waits behind it, and is no message yet. */
        for (unsigned i = 0; i < 8; i++) {
                wait_for_due(&s);
                notice(&s, i % 2 ? "firing" : "resolved", "b");
                run(&s, "a;");
        }
        ASSERT_STATES(&s, "queued 9");

        s.answer.outcome = ALERT_OUTCOME_DELIVERED;
        wait_for_due(&s);
        run(&s, "a;b+b+b;b+b+b;b+b;");
        ck_assert_str_ne(s.last_uuid, uuid);
        run(&s, "");
        ASSERT_STATES(&s, "delivered 10,delivered 1,delivered 1,delivered 1");
}
END_TEST

START_TEST(the_id_of_a_message_stays) {
        _cleanup_scene_ Scene s;
        char uuid[STORE_ID_MAX];

        scene_open(&s);
        s.answer = (AlertResult) { .outcome = ALERT_OUTCOME_RETRY, .answered = true };
        notice(&s, "firing", "a");
        run(&s, "a;");
        memcpy(uuid, s.last_uuid, sizeof(uuid));
        notice(&s, "firing", "b");
        wait_for_due(&s);
        run(&s, "a;");
        ck_assert_str_eq(s.last_uuid, uuid);
}
END_TEST

/* The worker is killed between sending and noting: PostgreSQL has the claim, and nothing else. */
START_TEST(what_a_killed_worker_had_is_sent_again_under_its_id) {
        _cleanup_alert_message_ AlertMessage m = {}, again = {}, none = {};
        _cleanup_scene_ Scene s;

        scene_open(&s);
        notice(&s, "firing", "a");
        ASSERT_OK(alert_queue_claim(s.db, ALERT_WEBHOOK, 0, 10, &m, NULL));
        ck_assert_uint_gt(m.id, 0);
        /* Not by somebody else meanwhile. */
        ASSERT_OK(alert_queue_claim(s.db, ALERT_WEBHOOK, 0, 10, &none, NULL));
        ck_assert_uint_eq(none.id, 0);
        ASSERT_QUERY(s.t.conninfo,
                        "SELECT due_at BETWEEN now() + interval '100 s' AND now() + interval '121 s' FROM "
                        "alert_messages",
                        "t");
        wait_for_due(&s);
        ASSERT_OK(alert_queue_claim(s.db, ALERT_WEBHOOK, 0, 10, &again, NULL));
        ck_assert_str_eq(again.uuid, m.uuid);
        ck_assert_uint_eq(again.n_attempts, 2);
}
END_TEST

/* As after a clock that was years ahead, and is right again. */
START_TEST(what_a_clock_put_off_for_years_is_sent) {
        _cleanup_alert_message_ AlertMessage m = {}, again = {};
        _cleanup_scene_ Scene s;

        scene_open(&s);
        notice(&s, "firing", "a");
        test_postgres_tamper(
                        s.t.conninfo, "UPDATE alert_deliveries SET due_at = now() + interval '10 years'");
        ASSERT_OK(alert_queue_claim(s.db, ALERT_WEBHOOK, 0, 10, &m, NULL));
        ck_assert_uint_gt(m.id, 0);
        test_postgres_tamper(s.t.conninfo, "UPDATE alert_messages SET due_at = now() + interval '10 years'");
        ASSERT_OK(alert_queue_claim(s.db, ALERT_WEBHOOK, 0, 10, &again, NULL));
        ck_assert_str_eq(again.uuid, m.uuid);
}
END_TEST

START_TEST(what_is_refused_for_good_makes_room) {
        _cleanup_scene_ Scene s;

        scene_open(&s);
        notice(&s, "firing", "a");
        s.answer = (AlertResult) { .outcome = ALERT_OUTCOME_FAILED, .answered = true };
        run(&s, "a;");
        ASSERT_STATES(&s, "failed 1");
        s.answer.outcome = ALERT_OUTCOME_DELIVERED;
        notice(&s, "firing", "b");
        run(&s, "b;");
}
END_TEST

START_TEST(one_poisoned_message_does_not_hold_up_the_others) {
        _cleanup_scene_ Scene s;

        scene_open(&s);
        s.poison = "poison";
        notice(&s, "firing", "poison");
        run(&s, "poison;");
        notice(&s, "firing", "b");
        for (unsigned i = 2; i < ALERT_REFUSALS_MAX; i++) {
                wait_for_due(&s);
                run(&s, "poison;");
        }
        wait_for_due(&s);
        run(&s, "poison;b;");
        ASSERT_STATES(&s, "failed 8,delivered 1");
        run(&s, "");
}
END_TEST

START_TEST(a_receiver_that_refuses_everything_is_ill_and_loses_nothing) {
        _cleanup_scene_ Scene s;

        scene_open(&s);
        s.answer = (AlertResult) { .outcome = ALERT_OUTCOME_RETRY, .answered = true };
        notice(&s, "firing", "a");
        run(&s, "a;");
        notice(&s, "resolved", "b");
        sql(&s, "UPDATE alert_messages SET attempts = 20");
        wait_for_due(&s);
        run(&s, "a;b;");
        ASSERT_STATES(&s, "queued 21,queued 1");
        wait_for_due(&s);
        run(&s, "a;b;");
        s.answer.outcome = ALERT_OUTCOME_DELIVERED;
        wait_for_due(&s);
        run(&s, "a;b;");
        ASSERT_STATES(&s, "delivered 23,delivered 3");
}
END_TEST

START_TEST(a_test_waits_for_nobody_and_wakes_the_others) {
        _cleanup_scene_ Scene s;

        scene_open(&s);
        s.answer = (AlertResult) { .outcome = ALERT_OUTCOME_RETRY };
        notice(&s, "firing", "a");
        run(&s, "a;");
        notice(&s, "test", "t1");
        notice(&s, "test", "t2");
        run(&s, "t1;t2;");
        s.answer.outcome = ALERT_OUTCOME_DELIVERED;
        notice(&s, "test", "t3");
        run(&s, "t3;t1;t2;a;");
}
END_TEST

START_TEST(a_message_is_given_up_after_days) {
        _cleanup_scene_ Scene s;

        scene_open(&s);
        s.answer = (AlertResult) { .outcome = ALERT_OUTCOME_RETRY };
        notice(&s, "firing", "a");
        run(&s, "a;");
        sql(&s, "UPDATE alert_messages SET created_at = now() - interval '73 h'");
        wait_for_due(&s);
        run(&s, "a;");
        ASSERT_STATES(&s, "failed 2");
        /* The alert is what it was. */
        ASSERT_QUERY(s.t.conninfo, "SELECT state FROM alerts", "firing");
}
END_TEST

START_TEST(a_channel_that_is_off_has_no_queue) {
        _cleanup_scene_ Scene s;

        scene_open(&s);
        s.answer = (AlertResult) { .outcome = ALERT_OUTCOME_RETRY };
        notice(&s, "firing", "a");
        run(&s, "a;");
        notice(&s, "firing", "b");
        s.on = false;
        wait_for_due(&s);
        run(&s, "");
        ASSERT_STATES(&s, "failed 2");
        ASSERT_QUERY(s.t.conninfo, "SELECT count(*) FROM alert_deliveries WHERE sent_in IS NULL", "0");
        s.on = true;
        run(&s, "");
}
END_TEST

TESTS("alert-deliver", what_comes_together_goes_together, what_is_too_much_for_one_message_is_several,
                a_receiver_that_is_down_gets_all_in_order_once, the_id_of_a_message_stays,
                what_a_killed_worker_had_is_sent_again_under_its_id, what_a_clock_put_off_for_years_is_sent,
                what_is_refused_for_good_makes_room, one_poisoned_message_does_not_hold_up_the_others,
                a_receiver_that_refuses_everything_is_ill_and_loses_nothing,
                a_test_waits_for_nobody_and_wakes_the_others, a_message_is_given_up_after_days,
                a_channel_that_is_off_has_no_queue)
