/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "alert-payload.h"

#include <stdio.h>

#include "alert-sign.h"
#include "alloc-util.h"
#include "json-util.h"
#include "string-util.h"
#include "test.h"

#define HOST "server"
#define EXPECTED_SIGNATURE "06e8846890acd7575ad10729d5d6b3e1977703f5e0a8a86aefc5ba383a94cb6f"

static AlertNotice notice(AlertRule rule, AlertStatus status, const char *slug, const char *name) {
        return (AlertNotice) {
                .alert = 12,
                .rule = (char *) alert_rule_to_string(rule),
                .severity = (char *) alert_severity_to_string(alert_rule_severity(rule)),
                .status = status,
                .slug = (char *) slug,
                .name = (char *) name,
                .subject = (char *) (slug ? "" : "/var/lib/docker"),
                .since = 1763640000 * USEC_PER_SEC,
                .told = 1763640125 * USEC_PER_SEC,
                .message = (char *) "it is so",
        };
}

static AlertMessage message(AlertNotice *notices, size_t n) {
        return (AlertMessage) {
                .id = 7,
                .uuid = "11111111-2222-3333-4444-555555555555",
                .notices = notices,
                .n_notices = n,
        };
}

static json_t *json_of(const AlertMessage *m) {
        _cleanup_free_ char *text = NULL, *again = NULL;
        json_t *json;

        ASSERT_OK(alert_message_to_json(m, HOST, &text));
        ASSERT_OK(alert_message_to_json(m, HOST, &again));
        ck_assert_str_eq(text, again);
        json = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
        ck_assert_ptr_nonnull(json);
        return json;
}

START_TEST(a_message_says_all_that_is_documented) {
        AlertNotice n = notice(
                        ALERT_INSTANCE_UNHEALTHY, ALERT_STATUS_FIRING, "alpha", "Alpha \"A\" \xc3\xa9");
        AlertMessage m = message(&n, 1);
        _cleanup_json_ json_t *json = json_of(&m);
        const json_t *alert = json_array_get(json_object_get(json, "alerts"), 0);

        ck_assert_uint_eq(json_object_size(json), 4);
        ck_assert_str_eq(json_object_get_string(json, "id"), m.uuid);
        ck_assert_str_eq(json_object_get_string(json, "host"), HOST);
        ck_assert_str_eq(json_object_get_string(json, "text"), "[ccpd server] firing: alpha is unhealthy");
        ck_assert_uint_eq(json_object_size(alert), 13);
        ck_assert_str_eq(json_object_get_string(alert, "id"), "12");
        ck_assert_str_eq(json_object_get_string(alert, "rule"), "instance-unhealthy");
        ck_assert_str_eq(json_object_get_string(alert, "severity"), "error");
        ck_assert_str_eq(json_object_get_string(alert, "status"), "firing");
        ck_assert_str_eq(json_object_get_string(alert, "instance"), "alpha");
        ck_assert_str_eq(json_object_get_string(alert, "name"), n.name);
        ck_assert_str_eq(json_object_get_string(alert, "message"), "it is so");
        ck_assert_str_eq(json_object_get_string(alert, "since"), "2025-11-20T12:00:00Z");
        ck_assert_str_eq(json_object_get_string(alert, "time"), "2025-11-20T12:02:05Z");
        ck_assert_int_eq(json_integer_value(json_object_get(alert, "repeated")), 0);
}
END_TEST

START_TEST(what_is_about_no_instance_has_none) {
        AlertNotice n = notice(ALERT_DISK_SPACE, ALERT_STATUS_RESOLVED, NULL, NULL);
        AlertMessage m = message(&n, 1);
        _cleanup_json_ json_t *json = json_of(&m);
        const json_t *alert = json_array_get(json_object_get(json, "alerts"), 0);

        ck_assert(json_is_null(json_object_get(alert, "instance")));
        ck_assert_str_eq(json_object_get_string(alert, "subject"), "/var/lib/docker");
        ck_assert_str_eq(json_object_get_string(json, "text"),
                        "[ccpd server] resolved: the file system of /var/lib/docker is nearly full");
}
END_TEST

START_TEST(many_are_counted_and_all_are_there) {
        AlertNotice l[300];
        AlertMessage m = message(l, ELEMENTSOF(l));
        _cleanup_json_ json_t *json = NULL;
        const char *text;

        FOREACH_ARRAY(n, l, ELEMENTSOF(l))
                *n = notice(ALERT_INSTANCE_UNHEALTHY,
                                n - l < 280 ? ALERT_STATUS_FIRING : ALERT_STATUS_RESOLVED, "alpha", "A");
        json = json_of(&m);
        text = json_object_get_string(json, "text");
        ck_assert_ptr_nonnull(startswith(text, "[ccpd server] 300 alerts: 280 firing, 20 resolved\n"));
        ck_assert_ptr_nonnull(endswith(text, "\nand 290 more"));
        ck_assert_uint_eq(json_array_size(json_object_get(json, "alerts")), 300);
}
END_TEST

/* Neither names nor causes, and no sign that makes a chat call somebody. */
START_TEST(the_text_for_chats_is_of_our_own_words) {
        AlertNotice n[] = {
                notice(ALERT_INSTANCE_UNHEALTHY, ALERT_STATUS_FIRING, "alpha", "<!channel> @all"),
                notice(ALERT_DISK_SPACE, ALERT_STATUS_FIRING, NULL, NULL),
        };
        AlertMessage m = message(n, ELEMENTSOF(n));
        _cleanup_json_ json_t *json = NULL;

        n[0].message = (char *) "<!channel> <https://evil.example.org|click>";
        n[1].subject = (char *) "/srv/<!here>&";
        json = json_of(&m);
        ck_assert_str_eq(json_object_get_string(json, "text"),
                        "[ccpd server] 2 alerts: 2 firing, 0 resolved\nfiring: alpha is unhealthy\n"
                        "firing: the file system of /srv/&lt;!here&gt;&amp; is nearly full");
}
END_TEST

START_TEST(a_rule_of_another_version_is_told_as_it_is) {
        AlertNotice n = notice(ALERT_INSTANCE_FAILED, ALERT_STATUS_FIRING, "alpha", "A"), test = n;
        AlertMessage m = message(&n, 1), t = message(&test, 1);
        _cleanup_json_ json_t *json = NULL, *test_json = NULL;

        n.rule = (char *) "backup-age";
        json = json_of(&m);
        ck_assert_str_eq(json_object_get_string(json, "text"), "[ccpd server] firing: it is so");

        test.rule = (char *) ALERT_TEST_RULE;
        test.status = ALERT_STATUS_TEST;
        test.slug = NULL;
        test_json = json_of(&t);
        ck_assert_str_eq(json_object_get_string(test_json, "text"), "[ccpd server] test: this is a test");
}
END_TEST

/* RFC 4231, test case 2 has "what do ya want for nothing?"; ours begins with the time: computed with openssl(1). */
START_TEST(signatures_are_those_of_others) {
        char signature[ALERT_SIGNATURE_HEX_MAX];

        alert_sign("Jefe", 4, 1763640000 * USEC_PER_SEC, "{\"id\":\"1\"}", 10, signature);
        ck_assert_str_eq(signature, EXPECTED_SIGNATURE);
        alert_sign("Jefe", 4, 1763640001 * USEC_PER_SEC, "{\"id\":\"1\"}", 10, signature);
        ck_assert_str_ne(signature, EXPECTED_SIGNATURE);
        alert_sign("Jefe", 4, 1763640000 * USEC_PER_SEC + 999999, "{\"id\":\"1\"}", 10, signature);
        ck_assert_str_eq(signature, EXPECTED_SIGNATURE);
}
END_TEST

START_TEST(the_name_of_the_host_is_safe_in_a_header) {
        for (const char *p = alert_host_name(); *p; p++)
                ck_assert(strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-", *p));
}
END_TEST

TESTS("alert-payload", a_message_says_all_that_is_documented, what_is_about_no_instance_has_none,
                many_are_counted_and_all_are_there, the_text_for_chats_is_of_our_own_words,
                a_rule_of_another_version_is_told_as_it_is, signatures_are_those_of_others,
                the_name_of_the_host_is_safe_in_a_header)
