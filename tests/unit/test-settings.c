/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "settings.h"

#include <errno.h>
#include <stdio.h>

#include "alloc-util.h"
#include "job-kind.h"
#include "json-util.h"
#include "string-util.h"
#include "test.h"

static const PortRange *find_range(const Settings *s, const char *name) {
        for (size_t i = 0; i < s->n_port_ranges; i++)
                if (streq(s->port_ranges[i].name, name))
                        return &s->port_ranges[i].range;

        return NULL;
}

START_TEST(defaults_are_those_of_the_manual) {
        _cleanup_(settings_freep) Settings *s = NULL;
        _cleanup_json_ json_t *json = NULL;

        ASSERT_OK(settings_new(&s));
        ck_assert_uint_eq(s->job_concurrency, JOB_CONCURRENCY_DEFAULT);
        ck_assert_str_eq(s->bind_address, "127.0.0.1");
        ck_assert_uint_eq(find_range(s, "api")->first, 14000);
        ck_assert_uint_eq(find_range(s, "postgres")->last, 16399);

        ASSERT_OK(settings_to_json(s, &json));
        ck_assert_str_eq(json_string_value(json_object_get(json, "subnet_pool")), "10.200.0.0/15");
        ck_assert_str_eq(json_string_value(json_object_get(json, "port_range_nginx")), "10000-10999");
        ck_assert_str_eq(json_string_value(json_object_get(json, "bind_address")), "127.0.0.1");
        ck_assert_int_eq(json_integer_value(json_object_get(json, "job_concurrency")), 4);
        ck_assert_int_eq(json_integer_value(json_object_get(json, "audit_retention_days")), 0);
        ck_assert(json_is_integer(json_object_get(json, "audit_retention_days")));
        ck_assert_int_eq(json_integer_value(json_object_get(json, "health_interval")), 30);
        ck_assert_int_eq(json_integer_value(json_object_get(json, "health_samples_hours")), 24);
        ck_assert_int_eq(json_integer_value(json_object_get(json, "health_history_days")), 400);
        ck_assert_int_eq(json_integer_value(json_object_get(json, "recovery_concurrency")), 2);
        ck_assert_str_eq(json_object_get_string(json, "repair"), "off");
        ck_assert_str_eq(json_object_get_string(json, "backup_schedule"), "off");
        ck_assert_str_eq(json_object_get_string(json, "backup_consistency"), "auto");
        ck_assert_str_eq(json_object_get_string(json, "drill_schedule"), "off");
        ck_assert_int_eq(json_integer_value(json_object_get(json, "backup_concurrency")), 2);
        ck_assert_int_eq(json_integer_value(json_object_get(json, "alert_backup_hours")), 3);
        ck_assert_int_eq(json_integer_value(json_object_get(json, "alert_copy_hours")), 24);
        ck_assert_int_eq(json_integer_value(json_object_get(json, "backup_keep_last")), 3);
        ck_assert_int_eq(json_integer_value(json_object_get(json, "backup_keep_daily")), 7);
        ck_assert_int_eq(json_integer_value(json_object_get(json, "backup_keep_weekly")), 4);
        ck_assert_int_eq(json_integer_value(json_object_get(json, "backup_keep_monthly")), 6);
        ck_assert_str_eq(json_string_value(json_object_get(json, "alert_webhook_url")), "");
        ck_assert_str_eq(json_string_value(json_object_get(json, "alert_mail_to")), "");
        ck_assert_int_eq(json_integer_value(json_object_get(json, "alert_repeat_hours")), 24);
        ck_assert_int_eq(json_integer_value(json_object_get(json, "alert_disk_percent")), 90);
        ck_assert_int_eq(json_integer_value(json_object_get(json, "alert_health_minutes")), 2);
        ck_assert_int_eq(json_integer_value(json_object_get(json, "alert_secret_age_days")), 0);
        ck_assert_int_eq(json_integer_value(json_object_get(json, "restore_keep_hours")), 72);
        ck_assert_int_eq(json_integer_value(json_object_get(json, "scrub_days")), 14);
        ck_assert_uint_eq(json_object_size(json), 31);
}
END_TEST

START_TEST(settings_are_set_and_reset) {
        _cleanup_(settings_freep) Settings *s = NULL;
        _cleanup_json_ json_t *range = json_string("20000-20099"), *number = json_integer(64),
                              *days = json_integer(30), *zero = json_integer(0), *null = json_null();

        ASSERT_OK(settings_new(&s));
        ASSERT_OK(settings_set(s, "port_range_api", range, NULL));
        ASSERT_OK(settings_set(s, "port_range_debug", range, NULL));
        ASSERT_OK(settings_set(s, "job_concurrency", number, NULL));
        ck_assert_uint_eq(find_range(s, "api")->first, 20000);
        ck_assert_uint_eq(find_range(s, "debug")->last, 20099);
        ck_assert_uint_eq(s->job_concurrency, 64);

        ASSERT_OK(settings_set(s, "port_range_api", null, NULL));
        ASSERT_OK(settings_set(s, "port_range_debug", null, NULL));
        ASSERT_OK(settings_set(s, "job_concurrency", null, NULL));
        ck_assert_uint_eq(find_range(s, "api")->first, 14000);
        ck_assert_ptr_null(find_range(s, "debug"));
        ck_assert_uint_eq(s->job_concurrency, 4);

        ASSERT_OK(settings_set(s, "audit_retention_days", days, NULL));
        ck_assert_uint_eq(s->audit_retention_days, 30);
        ASSERT_OK(settings_set(s, "audit_retention_days", zero, NULL));
        ck_assert_uint_eq(s->audit_retention_days, 0);
        ASSERT_OK(settings_set(s, "audit_retention_days", days, NULL));
        ASSERT_OK(settings_set(s, "audit_retention_days", null, NULL));
        ck_assert_uint_eq(s->audit_retention_days, 0);

        ASSERT_OK(settings_set(s, "health_interval", zero, NULL));
        ck_assert_uint_eq(s->health_interval, 0);
        ASSERT_OK(settings_set(s, "health_interval", days, NULL));
        ASSERT_OK(settings_set(s, "health_interval", null, NULL));
        ck_assert_uint_eq(s->health_interval, 30);
}
END_TEST

START_TEST(wrong_values_are_refused) {
        static const struct {
                const char *key, *value;
        } cases[] = {
                { "port_range_api", "\"1-2\"" },
                { "port_range_api", "\"20000-10000\"" },
                { "port_range_api", "\"20000-70000\"" },
                { "port_range_api", "20000" },
                { "port_range_", "\"20000-20099\"" },
                { "port_range_A", "\"20000-20099\"" },
                { "port_range_a b", "\"20000-20099\"" },
                { "subnet_pool", "\"10.200.0.1/15\"" },
                { "subnet_pool", "\"8.8.0.0/16\"" },
                { "subnet_pool", "\"10.200.0.0/27\"" },
                { "subnet_pool", "\"0.0.0.0/0\"" },
                { "subnet_pool", "15" },
                { "bind_address", "\"localhost\"" },
                { "bind_address", "\"127.0.0.1; rm\"" },
                { "bind_address", "\"\"" },
                { "job_concurrency", "0" },
                { "job_concurrency", "65" },
                { "job_concurrency", "\"4\"" },
                { "job_concurrency", "4.0" },
                { "job_concurrency", "true" },
                { "job_concurrency_", "4" },
                { "recovery_concurrency", "0" },
                { "recovery_concurrency", "65" },
                { "recovery_concurrency", "\"2\"" },
                { "repair", "\"default\"" },
                { "repair", "\"yes\"" },
                { "repair", "true" },
                { "audit_retention_days", "29" },
                { "audit_retention_days", "3651" },
                { "audit_retention_days", "-1" },
                { "audit_retention_days", "\"30\"" },
                { "health_interval", "9" },
                { "health_interval", "3601" },
                { "health_interval", "-1" },
                { "health_interval", "\"30s\"" },
                { "health_samples_hours", "1" },
                { "health_samples_hours", "0" },
                { "health_samples_hours", "169" },
                { "health_history_days", "0" },
                { "health_history_days", "3651" },
                { "alert_webhook_url", "\"ftp://example.org/\"" },
                { "alert_webhook_url", "\"https://user:secret@example.org/\"" },
                { "alert_webhook_url", "\"https://example.org/\u2026\"" },
                { "alert_webhook_url", "4" },
                { "alert_mail_to", "\"-oops@example.org\"" },
                { "alert_mail_to", "\"a@example.org\\nBcc: b@example.org\"" },
                { "alert_mail_to", "\" , \"" },
                { "alert_repeat_hours", "8761" },
                { "alert_repeat_hours", "-1" },
                { "alert_disk_percent", "100" },
                { "alert_health_minutes", "1441" },
                { "restore_keep_hours", "8761" },
                { "backup_consistency", "\"lukewarm\"" },
                { "backup_consistency", "1" },
                { "restore_keep_hours", "-1" },
                { "scrub_days", "366" },
                { "scrub_days", "-1" },
                { "scrub_days", "\"off\"" },
                { "alert_health_minutes", "0.5" },
                { "alert_secret_age_days", "3651" },
                { "", "4" },
                { "nonsense", "4" },
        };

        FOREACH_ARRAY(c, cases, ELEMENTSOF(cases)) {
                _cleanup_json_ json_t *value = json_loads(c->value, JSON_DECODE_ANY, NULL);
                _cleanup_error_ Error error = {};

                ck_assert_ptr_nonnull(value);
                ck_assert_msg(settings_validate(c->key, value, &error) == -EINVAL, "%s = %s", c->key,
                                c->value);
                ck_assert_str_eq(error.name, CCP_ERROR_INVALID_ARGUMENT);
                ck_assert_ptr_nonnull(error.message);
        }
}
END_TEST

START_TEST(what_is_half_a_secret_is_not_shown) {
        _cleanup_(settings_freep) Settings *s = NULL;
        _cleanup_json_ json_t *json = NULL,
                              *url = json_string("https://hooks.example.org/services/T0/secret?key=1"),
                              *shown = NULL;
        _cleanup_error_ Error error = {};

        ASSERT_OK(settings_new(&s));
        ASSERT_OK(settings_set(s, "alert_webhook_url", url, NULL));
        ck_assert_str_eq(s->alert_webhook_url, json_string_value(url));
        ASSERT_OK(settings_to_json(s, &json));
        shown = json_incref(json_object_get(json, "alert_webhook_url"));
        ck_assert_str_eq(json_string_value(shown), "https://hooks.example.org/…");
        /* Whoever sets what was shown does not lose the address. */
        ASSERT_ERROR(settings_set(s, "alert_webhook_url", shown, &error), EINVAL);
        ck_assert_ptr_null(strstr(error.message, "secret?key"));
}
END_TEST

START_TEST(port_ranges_are_limited) {
        _cleanup_(settings_freep) Settings *s = NULL;
        _cleanup_json_ json_t *range = json_string("20000-20099");
        int r = 0;

        ASSERT_OK(settings_new(&s));
        for (unsigned i = 0; i < SETTINGS_PORT_RANGES_MAX && r >= 0; i++) {
                char key[32];

                (void) snprintf(key, sizeof(key), "port_range_r%u", i);
                r = settings_set(s, key, range, NULL);
        }
        ck_assert_int_eq(r, -E2BIG);
        ck_assert_uint_eq(s->n_port_ranges, SETTINGS_PORT_RANGES_MAX);
}
END_TEST

TESTS("settings", defaults_are_those_of_the_manual, settings_are_set_and_reset, wrong_values_are_refused,
                what_is_half_a_secret_is_not_shown, port_ranges_are_limited)
