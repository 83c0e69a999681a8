/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "store-alert.h"

#include <errno.h>
#include <inttypes.h>

#include "alloc-util.h"
#include "json-util.h"
#include "store-test.h"
#include "string-util.h"
#include "strv.h"
#include "test.h"

#define UUID_A "aaaaaaaa-0000-4000-8000-000000000001"
#define UUID_B "aaaaaaaa-0000-4000-8000-000000000002"
#define T (INT64_C(1763640000000001))

static char *const both[] = { (char *) "webhook", (char *) "mail", NULL };
static char *const webhook[] = { (char *) "webhook", NULL };

/* What came of a request. */
typedef struct Outcome {
        bool done;
        int r;
        Error error;
        uint64_t id;
        AlertRecords alerts;
        SilenceRecords *silences;
        StoreQueueDue due;
        size_t n_old;
        SecretRecords secrets;
} Outcome;

static void outcome_done(Outcome *o) {
        error_done(&o->error);
        alert_records_done(&o->alerts);
        silence_records_free(o->silences);
        secret_records_done(&o->secrets);
        *o = (Outcome) {};
}
#define _cleanup_outcome_ _cleanup_(outcome_done)

static void set(Outcome *o, int r, Error *error) {
        ck_assert((r < 0) == !!error);
        o->done = true;
        o->r = r;
        if (error)
                error_move(&o->error, error);
}

static void on_done(int r, Error *error, void *userdata) {
        set(userdata, r, error);
}

static void on_id(int r, uint64_t id, Error *error, void *userdata) {
        set(userdata, r, error);
        ((Outcome *) userdata)->id = id;
}

static void on_alerts(int r, AlertRecords *alerts, Error *error, void *userdata) {
        Outcome *o = userdata;

        set(o, r, error);
        o->alerts = *alerts;
        *alerts = (AlertRecords) {};
}

static void on_loaded(int r, AlertRecords *alerts, SilenceRecords *silences, Error *error, void *userdata) {
        on_alerts(r, alerts, error, userdata);
        ((Outcome *) userdata)->silences = silences;
}

static void on_silences(int r, uint64_t id, SilenceRecords *silences, Error *error, void *userdata) {
        Outcome *o = userdata;

        set(o, r, error);
        o->id = id;
        o->silences = silences;
}

static void on_due(int r, const StoreQueueDue *due, Error *error, void *userdata) {
        set(userdata, r, error);
        ((Outcome *) userdata)->due = *due;
}

static void on_old(int r, const StoreOldSecret *items _unused_, size_t n, Error *error, void *userdata) {
        set(userdata, r, error);
        ((Outcome *) userdata)->n_old = n;
}

static void on_secrets(int r, SecretRecords *secrets, Error *error, void *userdata) {
        Outcome *o = userdata;

        set(o, r, error);
        if (secrets) {
                o->secrets = *secrets;
                *secrets = (SecretRecords) {};
        }
}

#define RUN(t, o, function, callback, ...)                                                        \
        do {                                                                                      \
                outcome_done(o);                                                                  \
                ck_assert_int_eq(function((t)->db, ##__VA_ARGS__, callback, (o), NULL, NULL), 0); \
                TEST_DB_WAIT((t), (o)->done);                                                     \
        } while (0)

/* As the daemon writes it. */
static json_t *alert(const char *uuid, const char *instance, json_int_t resolved_at, const char *notices) {
        json_t *json = json_pack(
                        "[{s:s, s:s, s:s, s:s?, s:s?, s:s?, s:s, s:s, s:I, s:I, s:I, s:I, s:i, s:o}]",
                        "uuid", uuid, "rule", "instance-unhealthy", "severity", "error", "instance",
                        instance, "slug", instance ? "oslo" : NULL, "name", instance ? "Oslo \"x\"" : NULL,
                        "subject", "", "message", "oslo is unhealthy", "since", (json_int_t) T, "fired_at",
                        (json_int_t) T + 5, "resolved_at", resolved_at, "notified_at", (json_int_t) 0,
                        "notifications", 0, "notices", json_loads(notices, 0, NULL));

        ck_assert_ptr_nonnull(json);
        return json;
}

#define FIRST "[{\"status\":\"firing\",\"number\":0,\"message\":\"m0\"}]"
#define BOTH_ENDS                                                                                         \
        "[{\"status\":\"firing\",\"number\":0,\"message\":\"m0\"},{\"status\":\"resolved\",\"number\":0," \
        "\"message\":\"m1\"}]"

START_TEST(an_alert_and_its_notices_are_one_write_that_may_be_repeated) {
        _cleanup_test_db_ TestDb t;
        _cleanup_outcome_ Outcome o = {};
        _cleanup_free_ char *id = NULL;
        _cleanup_json_ json_t *firing = NULL, *ended = NULL;
        const AlertRecord *a;

        test_db_open(&t, NULL);
        id = test_create_instance(&t, "oslo", NULL);
        firing = alert(UUID_A, id, 0, FIRST);
        for (unsigned i = 0; i < 2; i++) {
                RUN(&t, &o, store_put_alerts, on_done, firing, both);
                ck_assert_msg(o.r == 0, "%s", o.error.message);
        }
        ASSERT_QUERY(t.conninfo,
                        "SELECT count(*) || ' ' || (SELECT count(*) FROM alert_deliveries) FROM alerts",
                        "1 2");

        RUN(&t, &o, store_load_alerts, on_loaded);
        ck_assert_uint_eq(o.alerts.n, 1);
        a = o.alerts.items[0];
        ck_assert(a->firing);
        ck_assert_str_eq(a->uuid, UUID_A);
        ck_assert_str_eq(a->instance, id);
        ck_assert_str_eq(a->name, "Oslo \"x\"");
        ck_assert_uint_eq(a->since, T);
        ck_assert_uint_eq(a->fired_at, T + 5);
        ck_assert_uint_eq(a->resolved_at, 0);
        ck_assert_uint_eq(a->n_deliveries, 2);
        ck_assert_int_eq(a->deliveries[0].channel, ALERT_MAIL);
        ck_assert_str_eq(a->deliveries[0].state, "queued");

        ended = alert(UUID_A, id, T + 9, BOTH_ENDS);
        RUN(&t, &o, store_put_alerts, on_done, ended, both);
        RUN(&t, &o, store_load_alerts, on_loaded);
        ck_assert_uint_eq(o.alerts.n, 0);
        ASSERT_QUERY(t.conninfo,
                        "SELECT string_agg(status || ' ' || message, ',' ORDER BY id) FROM alert_deliveries "
                        "WHERE channel = 'mail'",
                        "firing m0,resolved m1");
}
END_TEST

START_TEST(without_a_channel_nothing_is_queued) {
        _cleanup_test_db_ TestDb t;
        _cleanup_outcome_ Outcome o = {};
        _cleanup_json_ json_t *firing = alert(UUID_A, NULL, 0, FIRST);

        test_db_open(&t, NULL);
        RUN(&t, &o, store_put_alerts, on_done, firing, NULL);
        ck_assert_msg(o.r == 0, "%s", o.error.message);
        ASSERT_QUERY(t.conninfo, "SELECT count(*) FROM alert_deliveries", "0");
        RUN(&t, &o, store_alert_queue_due, on_due, false);
        ck_assert_uint_eq(o.due.in[ALERT_WEBHOOK], USEC_INFINITY);
        ck_assert_uint_eq(o.due.in[ALERT_MAIL], USEC_INFINITY);
}
END_TEST

START_TEST(lists_are_filtered_and_told_to_whom_they_concern) {
        _cleanup_test_db_ TestDb t;
        _cleanup_outcome_ Outcome o = {};
        _cleanup_free_ char *id = NULL;
        _cleanup_json_ json_t *of_instance = NULL, *of_host = alert(UUID_B, NULL, T + 9, "[]");
        char *among[] = { NULL, NULL };

        test_db_open(&t, NULL);
        id = test_create_instance(&t, "oslo", NULL);
        of_instance = alert(UUID_A, id, 0, FIRST);
        RUN(&t, &o, store_put_alerts, on_done, of_instance, both);
        RUN(&t, &o, store_put_alerts, on_done, of_host, both);

        RUN(&t, &o, store_list_alerts, on_alerts, &(StoreAlertFilter) { .limit = 10 });
        ck_assert_uint_eq(o.alerts.n, 2);
        ck_assert_str_eq(o.alerts.items[0]->uuid, UUID_B);
        RUN(&t, &o, store_list_alerts, on_alerts, &(StoreAlertFilter) { .limit = 10, .state = "firing" });
        ck_assert_uint_eq(o.alerts.n, 1);
        RUN(&t, &o, store_list_alerts, on_alerts, &(StoreAlertFilter) { .limit = 10, .instance = "oslo" });
        ck_assert_uint_eq(o.alerts.n, 1);
        RUN(&t, &o, store_list_alerts, on_alerts, &(StoreAlertFilter) { .limit = 10, .rule = "disk-space" });
        ck_assert_uint_eq(o.alerts.n, 0);
        RUN(&t, &o, store_list_alerts, on_alerts, &(StoreAlertFilter) { .limit = 1, .offset = 1 });
        ck_assert_str_eq(o.alerts.items[0]->uuid, UUID_A);

        RUN(&t, &o, store_list_alerts, on_alerts, &(StoreAlertFilter) { .limit = 10, .among = among });
        ck_assert_uint_eq(o.alerts.n, 0);
        among[0] = id;
        RUN(&t, &o, store_list_alerts, on_alerts, &(StoreAlertFilter) { .limit = 10, .among = among });
        ck_assert_uint_eq(o.alerts.n, 1);
        ck_assert_str_eq(o.alerts.items[0]->uuid, UUID_A);
}
END_TEST

/* How soon a channel has something to do: at once, later, never. */
static void check_due(TestDb *t, AlertChannel channel, const char *expected) {
        _cleanup_outcome_ Outcome o = {};
        usec_t in;

        RUN(t, &o, store_alert_queue_due, on_due, false);
        in = o.due.in[channel];
        ck_assert_str_eq(in == USEC_INFINITY                       ? "never"
                                        : in == 0                  ? "now"
                                        : in <= ALERT_COLLECT_USEC ? "soon"
                                                                   : "later",
                        expected);
}

START_TEST(the_first_in_the_queue_says_when_the_channel_is_due) {
        _cleanup_test_db_ TestDb t;
        _cleanup_outcome_ Outcome o = {};
        _cleanup_json_ json_t *firing = alert(UUID_A, NULL, 0, FIRST);

        test_db_open(&t, NULL);
        RUN(&t, &o, store_put_alerts, on_done, firing, webhook);
        check_due(&t, ALERT_WEBHOOK, "soon");
        check_due(&t, ALERT_MAIL, "never");
        test_postgres_tamper(t.conninfo, "UPDATE alert_deliveries SET due_at = now() - interval '1 s'");
        check_due(&t, ALERT_WEBHOOK, "now");
        /* No wait is that long: a clock was ahead. */
        test_postgres_tamper(t.conninfo, "UPDATE alert_deliveries SET due_at = now() + interval '10 years'");
        check_due(&t, ALERT_WEBHOOK, "now");

        /* Behind a message that waits, all wait, but a test. */
        test_postgres_tamper(t.conninfo,
                        "INSERT INTO alert_messages (channel, test, due_at) VALUES ('webhook', false, now() "
                        "+ interval '1 h')");
        check_due(&t, ALERT_WEBHOOK, "later");
        RUN(&t, &o, store_test_alert, on_id, ALERT_WEBHOOK, "a test");
        ck_assert_uint_gt(o.id, 0);
        check_due(&t, ALERT_WEBHOOK, "now");
        check_due(&t, ALERT_MAIL, "never");
        test_postgres_tamper(t.conninfo, "DELETE FROM alert_deliveries WHERE status = 'test'");
        RUN(&t, &o, store_alert_queue_due, on_due, true);
        ck_assert_uint_eq(o.due.in[ALERT_WEBHOOK], 0);
        ck_assert_uint_eq(o.due.n_attempts[ALERT_WEBHOOK], 0);
        test_postgres_tamper(t.conninfo,
                        "UPDATE alert_messages SET attempts = 2; "
                        "INSERT INTO alert_messages (channel, test, state, attempts) VALUES "
                        "('webhook', false, 'delivered', 3)");
        RUN(&t, &o, store_alert_queue_due, on_due, false);
        ck_assert_uint_eq(o.due.n_attempts[ALERT_WEBHOOK], 5);
}
END_TEST

START_TEST(silences_are_on_record_and_end) {
        _cleanup_test_db_ TestDb t;
        _cleanup_outcome_ Outcome o = {};
        _cleanup_free_ char *id = NULL;
        StoreSilence silence = { .until = now(CLOCK_REALTIME) + USEC_PER_HOUR, .reason = "we move" };
        uint64_t first;

        test_db_open(&t, NULL);
        id = test_create_instance(&t, "oslo", NULL);
        silence.instance = id;
        silence.slug = "oslo";
        silence.rule = "instance-unhealthy";
        RUN(&t, &o, store_silence_alerts, on_silences, &silence, &test_actor);
        ck_assert_msg(o.r == 0, "%s", o.error.message);
        first = o.id;
        ck_assert_uint_eq(o.silences->n, 1);
        ck_assert_uint_eq(o.silences->items[0].id, first);
        ck_assert_str_eq(o.silences->items[0].instance, id);
        ck_assert_str_eq(o.silences->items[0].slug, "oslo");
        ck_assert_str_eq(o.silences->items[0].created_by, "alice");
        ck_assert_uint_eq(o.silences->items[0].until, silence.until);

        silence = (StoreSilence) { .until = silence.until };
        RUN(&t, &o, store_silence_alerts, on_silences, &silence, &test_actor);
        ck_assert_uint_eq(o.silences->n, 2);
        ck_assert_ptr_null(o.silences->items[1].rule);
        ck_assert_str_eq(o.silences->items[1].instance, "");

        /* What it covered is told by whoever knows when it ended. */
        RUN(&t, &o, store_unsilence_alerts, on_silences, first, &test_actor);
        ck_assert_uint_eq(o.silences->n, 2);
        ck_assert_uint_le(o.silences->items[0].until, now(CLOCK_REALTIME));
        ck_assert_uint_gt(o.silences->items[1].until, now(CLOCK_REALTIME));
        RUN(&t, &o, store_unsilence_alerts, on_silences, first, &test_actor);
        ck_assert_str_eq(o.error.name, CCP_ERROR_NO_SUCH_ALERT);

        silence.instance = "00000000-1111-2222-3333-444444444444";
        RUN(&t, &o, store_silence_alerts, on_silences, &silence, &test_actor);
        ck_assert_str_eq(o.error.name, CCP_ERROR_NO_SUCH_INSTANCE);

        /* Those that are over are known for a day. */
        test_postgres_tamper(t.conninfo, "UPDATE alert_silences SET until = now() - id * interval '15 h'");
        RUN(&t, &o, store_tend_alerts, on_old, 0);
        ck_assert_msg(o.r == 0, "%s", o.error.message);
        RUN(&t, &o, store_load_alerts, on_loaded);
        ck_assert_uint_eq(o.silences->n, 1);
        ck_assert_uint_eq(o.silences->items[0].id, first);

        ASSERT_QUERY(t.conninfo,
                        "SELECT string_agg(concat_ws(' ', action, outcome, instance, details::jsonb ->> "
                        "'rule', "
                        "details::jsonb ->> 'reason'), ',' ORDER BY seq) FROM ccpd_audit.entries WHERE "
                        "action LIKE 'ALERT%'",
                        "ALERT_SILENCE succeeded oslo instance-unhealthy we move,ALERT_SILENCE succeeded  ,"
                        "ALERT_UNSILENCE succeeded oslo instance-unhealthy");
}
END_TEST

START_TEST(there_are_not_too_many_silences) {
        _cleanup_test_db_ TestDb t;
        _cleanup_outcome_ Outcome o = {};
        StoreSilence silence = { .until = now(CLOCK_REALTIME) + USEC_PER_HOUR };

        test_db_open(&t, NULL);
        test_postgres_tamper(t.conninfo,
                        "INSERT INTO alert_silences (until, reason, created_by) SELECT now() + interval '1 "
                        "h', '', 'x' "
                        "FROM generate_series(1, 256)");
        RUN(&t, &o, store_silence_alerts, on_silences, &silence, &test_actor);
        ck_assert_str_eq(o.error.name, CCP_ERROR_LIMIT_EXCEEDED);
}
END_TEST

START_TEST(the_secret_of_the_webhook_is_replaced_by_one_at_a_time) {
        _cleanup_test_db_ TestDb t;
        _cleanup_outcome_ Outcome o = {};
        StoreAlertSecret put = {
                .version = 1, .key_id = "0123456789abcdef", .sealed = "\0sealed\xff", .size = 8
        };

        test_db_open(&t, NULL);
        RUN(&t, &o, store_alert_secrets, on_secrets, NULL, NULL);
        ck_assert_uint_eq(o.secrets.n, 0);
        RUN(&t, &o, store_alert_secrets, on_secrets, &put, NULL);
        ck_assert_msg(o.r == 0, "%s", o.error.message);
        ck_assert_uint_eq(o.secrets.n, 1);
        ck_assert_uint_eq(o.secrets.items[0].sealed_size, 8);
        ck_assert_mem_eq(o.secrets.items[0].sealed, put.sealed, 8);
        /* The first one is nobody's doing. */
        ASSERT_QUERY(t.conninfo, "SELECT count(*) FROM ccpd_audit.entries WHERE action = 'SECRET_ROTATE'",
                        "0");

        put.version = 2;
        RUN(&t, &o, store_alert_secrets, on_secrets, &put, &test_actor);
        ck_assert_uint_eq(o.secrets.n, 2);
        ck_assert_uint_eq(o.secrets.items[0].version, 2);
        /* Whoever was second changes nothing, and is not on record. */
        RUN(&t, &o, store_alert_secrets, on_secrets, &put, &test_actor);
        put.version = 9;
        RUN(&t, &o, store_alert_secrets, on_secrets, &put, &test_actor);
        ASSERT_QUERY(t.conninfo, "SELECT max(version) FROM alert_secrets", "2");

        /* The one before is good for a day. */
        test_postgres_tamper(t.conninfo, "UPDATE alert_secrets SET created_at = now() - interval '25 h'");
        RUN(&t, &o, store_alert_secrets, on_secrets, NULL, NULL);
        ck_assert_uint_eq(o.secrets.n, 1);
        ck_assert_uint_eq(o.secrets.items[0].version, 2);
}
END_TEST

START_TEST(what_is_long_over_goes_and_what_is_old_is_found) {
        _cleanup_test_db_ TestDb t;
        _cleanup_outcome_ Outcome o = {};
        _cleanup_free_ char *id = NULL;
        _cleanup_json_ json_t *ended = alert(UUID_B, NULL, T + 9, BOTH_ENDS), *firing = NULL;

        test_db_open(&t, NULL);
        id = test_create_instance(&t, "oslo", NULL);
        firing = alert(UUID_A, id, 0, FIRST);
        RUN(&t, &o, store_put_alerts, on_done, ended, both);
        RUN(&t, &o, store_put_alerts, on_done, firing, both);
        test_postgres_tamper(t.conninfo,
                        "UPDATE alerts SET resolved_at = now() - interval '91 days' WHERE state = "
                        "'resolved'; "
                        "UPDATE secrets SET created_at = now() - interval '31 days' WHERE name = "
                        "'POSTGRES_PASSWORD'");
        RUN(&t, &o, store_tend_alerts, on_old, 30 * USEC_PER_DAY);
        ck_assert_msg(o.r == 0, "%s", o.error.message);
        ck_assert_uint_eq(o.n_old, 1);
        ASSERT_QUERY(t.conninfo,
                        "SELECT count(*) || ' ' || (SELECT count(*) FROM alert_deliveries) FROM alerts",
                        "1 2");
        RUN(&t, &o, store_tend_alerts, on_old, 32 * USEC_PER_DAY);
        ck_assert_uint_eq(o.n_old, 0);
        RUN(&t, &o, store_tend_alerts, on_old, 0);
        ck_assert_uint_eq(o.n_old, 0);
}
END_TEST

TESTS("store-alert", an_alert_and_its_notices_are_one_write_that_may_be_repeated,
                without_a_channel_nothing_is_queued, lists_are_filtered_and_told_to_whom_they_concern,
                the_first_in_the_queue_says_when_the_channel_is_due, silences_are_on_record_and_end,
                there_are_not_too_many_silences, the_secret_of_the_webhook_is_replaced_by_one_at_a_time,
                what_is_long_over_goes_and_what_is_old_is_found)
