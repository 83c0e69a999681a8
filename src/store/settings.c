/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "settings.h"

#include <arpa/inet.h>
#include <errno.h>

#include "alert-target.h"
#include "alert.h"
#include "alloc-util.h"
#include "job-kind.h"
#include "json-util.h"
#include "schedule.h"
#include "store-backup.h"
#include "string-util.h"
#include "strv.h"
#include "validate.h"

#define BIND_ADDRESS_DEFAULT "127.0.0.1"
/* Room for one instance, up to all of 10.0.0.0/8. */
#define SUBNET_POOL_PREFIX_MIN 8U
#define PORT_RANGE_PREFIX "port_range_"

typedef struct Setting {
        const char *key;
        bool is_prefix; /* of a family of settings */
        const char *rule;
        /* 'name' is what follows the prefix. NULL for 's': only check. -EINVAL if the rule is broken; a value
         * of NULL stands for the default. */
        int (*set)(Settings *s, const char *name, const json_t *value);
        json_t *(*get)(const Settings *s);
        /* What may be shown of a text; NULL: all of it. */
        char *(*redact)(const char *value);
} Setting;

/* --- port ranges --- */

static const PortRange *default_range(const char *name) {
        for (size_t i = 0; i < n_port_range_defaults; i++)
                if (streq(port_range_defaults[i].name, name))
                        return &port_range_defaults[i].range;

        return NULL;
}

static void remove_range(Settings *s, size_t i) {
        free((char *) s->port_ranges[i].name);
        s->port_ranges[i] = s->port_ranges[--s->n_port_ranges];
}

static int put_range(Settings *s, const char *name, const PortRange *range) {
        char *copy;

        for (size_t i = 0; i < s->n_port_ranges; i++)
                if (streq(s->port_ranges[i].name, name)) {
                        if (range)
                                s->port_ranges[i].range = *range;
                        else
                                remove_range(s, i);
                        return 0;
                }

        if (!range)
                return 0;
        if (s->n_port_ranges >= SETTINGS_PORT_RANGES_MAX)
                return -E2BIG;

        copy = strdup(name);
        if (!copy)
                return -ENOMEM;

        s->port_ranges[s->n_port_ranges++] = (NamedPortRange) { copy, *range };
        return 0;
}

static int set_port_range(Settings *s, const char *name, const json_t *value) {
        PortRange range;

        if (!parameter_name_is_valid(name))
                return -EINVAL;

        if (!value)
                return s ? put_range(s, name, default_range(name)) : 0;

        if (!json_is_string(value) || port_range_parse(json_string_value(value), &range) < 0)
                return -EINVAL;

        return s ? put_range(s, name, &range) : 0;
}

/* --- the others --- */

static int set_subnet_pool(Settings *s, const char *name _unused_, const json_t *value) {
        const char *text = value ? json_string_value(value) : SUBNET_POOL_DEFAULT;
        Subnet pool;

        if (!text || subnet_parse(text, &pool) < 0 || pool.prefix < SUBNET_POOL_PREFIX_MIN ||
                        pool.prefix > INSTANCE_SUBNET_PREFIX || !subnet_is_private(&pool))
                return -EINVAL;

        if (s)
                s->subnet_pool = pool;
        return 0;
}

static json_t *get_subnet_pool(const Settings *s) {
        return json_string(SUBNET_FORMAT(&s->subnet_pool));
}

static int set_bind_address(Settings *s, const char *name _unused_, const json_t *value) {
        const char *text = value ? json_string_value(value) : BIND_ADDRESS_DEFAULT;
        struct in_addr address;

        if (!text || inet_pton(AF_INET, text, &address) != 1)
                return -EINVAL;

        return s ? free_and_strdup(&s->bind_address, text) : 0;
}

static json_t *get_bind_address(const Settings *s) {
        return json_string(s->bind_address);
}

static int set_job_concurrency(Settings *s, const char *name _unused_, const json_t *value) {
        json_int_t n = value ? json_integer_value(value) : (json_int_t) JOB_CONCURRENCY_DEFAULT;

        if ((value && !json_is_integer(value)) || n < 1 || n > (json_int_t) JOB_CONCURRENCY_MAX)
                return -EINVAL;

        if (s)
                s->job_concurrency = (unsigned) n;
        return 0;
}

static json_t *get_job_concurrency(const Settings *s) {
        return json_integer(s->job_concurrency);
}

static int set_audit_retention_days(Settings *s, const char *name _unused_, const json_t *value) {
        json_int_t n = value ? json_integer_value(value) : 0;

        if ((value && !json_is_integer(value)) ||
                        (n != 0 &&
                                        (n < (json_int_t) AUDIT_RETENTION_DAYS_MIN ||
                                                        n > (json_int_t) AUDIT_RETENTION_DAYS_MAX)))
                return -EINVAL;

        if (s)
                s->audit_retention_days = (unsigned) n;
        return 0;
}

static json_t *get_audit_retention_days(const Settings *s) {
        return json_integer(s->audit_retention_days);
}

/* A number from min to max, 0 too if 'zero'; NULL is the default. */
static int number_parse(const json_t *value, json_int_t min, json_int_t max, bool zero, unsigned fallback,
                unsigned *ret) {
        json_int_t n = json_integer_value(value);

        if (!value) {
                *ret = fallback;
                return 0;
        }
        if (!json_is_integer(value) || !((zero && n == 0) || (n >= min && n <= max)))
                return -EINVAL;

        *ret = (unsigned) n;
        return 0;
}

static int set_health_interval(Settings *s, const char *name _unused_, const json_t *value) {
        unsigned n;
        int r;

        r = number_parse(value, HEALTH_INTERVAL_MIN, HEALTH_INTERVAL_MAX, true, 30, &n);
        if (r >= 0 && s)
                s->health_interval = n;
        return r;
}

static json_t *get_health_interval(const Settings *s) {
        return json_integer(s->health_interval);
}

static int set_health_samples_hours(Settings *s, const char *name _unused_, const json_t *value) {
        unsigned n;
        int r;

        r = number_parse(value, HEALTH_SAMPLES_HOURS_MIN, HEALTH_SAMPLES_HOURS_MAX, false, 24, &n);
        if (r >= 0 && s)
                s->health_samples_hours = n;
        return r;
}

static json_t *get_health_samples_hours(const Settings *s) {
        return json_integer(s->health_samples_hours);
}

static int set_health_history_days(Settings *s, const char *name _unused_, const json_t *value) {
        unsigned n;
        int r;

        r = number_parse(value, HEALTH_HISTORY_DAYS_MIN, HEALTH_HISTORY_DAYS_MAX, false, 400, &n);
        if (r >= 0 && s)
                s->health_history_days = n;
        return r;
}

static json_t *get_health_history_days(const Settings *s) {
        return json_integer(s->health_history_days);
}

static int set_recovery_concurrency(Settings *s, const char *name _unused_, const json_t *value) {
        json_int_t n = value ? json_integer_value(value) : (json_int_t) RECOVERY_CONCURRENCY_DEFAULT;

        if ((value && !json_is_integer(value)) || n < 1 || n > (json_int_t) JOB_CONCURRENCY_MAX)
                return -EINVAL;

        if (s)
                s->recovery_concurrency = (unsigned) n;
        return 0;
}

static json_t *get_recovery_concurrency(const Settings *s) {
        return json_integer(s->recovery_concurrency);
}

static int set_repair(Settings *s, const char *name _unused_, const json_t *value) {
        RepairMode mode = REPAIR_OFF;

        if (value && !json_is_string(value))
                return -EINVAL;
        if (value)
                mode = repair_mode_from_string(json_string_value(value));
        if (!IN_SET(mode, REPAIR_OFF, REPAIR_ON))
                return -EINVAL;

        if (s)
                s->repair = mode;
        return 0;
}

static json_t *get_repair(const Settings *s) {
        return json_string(repair_mode_to_string(s->repair));
}

/* A number up to max; NULL is the default. */
static int set_number(unsigned *ret, const json_t *value, unsigned fallback, unsigned max) {
        json_int_t n = value ? json_integer_value(value) : (json_int_t) fallback;

        if ((value && !json_is_integer(value)) || n < 0 || n > (json_int_t) max)
                return -EINVAL;

        if (ret)
                *ret = (unsigned) n;
        return 0;
}

/* --- backups --- */

/* Whether it is one that systemd takes is up to systemd. */
static int set_schedule(char **ret, const json_t *value) {
        const char *text = value ? json_string_value(value) : SCHEDULE_OFF;

        if (!text || !schedule_is_valid(text))
                return -EINVAL;

        return ret ? free_and_strdup(ret, text) : 0;
}

static int set_backup_schedule(Settings *s, const char *name _unused_, const json_t *value) {
        return set_schedule(s ? &s->backup_schedule : NULL, value);
}

static json_t *get_backup_schedule(const Settings *s) {
        return json_string(s->backup_schedule);
}

static int set_backup_consistency(Settings *s, const char *name _unused_, const json_t *value) {
        const char *text = value ? json_string_value(value) : BACKUP_CONSISTENCY_AUTO;

        if (!text || !backup_consistency_may_be_asked(text))
                return -EINVAL;

        return s ? free_and_strdup(&s->backup_consistency, text) : 0;
}

static json_t *get_backup_consistency(const Settings *s) {
        return json_string(s->backup_consistency);
}

static int set_drill_schedule(Settings *s, const char *name _unused_, const json_t *value) {
        return set_schedule(s ? &s->drill_schedule : NULL, value);
}

static json_t *get_drill_schedule(const Settings *s) {
        return json_string(s->drill_schedule);
}

static int set_backup_concurrency(Settings *s, const char *name _unused_, const json_t *value) {
        unsigned n;
        int r;

        r = number_parse(value, 1, JOB_CONCURRENCY_MAX, false, BACKUP_CONCURRENCY_DEFAULT, &n);
        if (r >= 0 && s)
                s->backup_concurrency = n;
        return r;
}

static json_t *get_backup_concurrency(const Settings *s) {
        return json_integer(s->backup_concurrency);
}

static int set_backup_keep_last(Settings *s, const char *name _unused_, const json_t *value) {
        return set_number(s ? &s->backup_keep.last : NULL, value, 3, RETENTION_COUNT_MAX);
}

static json_t *get_backup_keep_last(const Settings *s) {
        return json_integer(s->backup_keep.last);
}

static int set_backup_keep_daily(Settings *s, const char *name _unused_, const json_t *value) {
        return set_number(s ? &s->backup_keep.daily : NULL, value, 7, RETENTION_COUNT_MAX);
}

static json_t *get_backup_keep_daily(const Settings *s) {
        return json_integer(s->backup_keep.daily);
}

static int set_backup_keep_weekly(Settings *s, const char *name _unused_, const json_t *value) {
        return set_number(s ? &s->backup_keep.weekly : NULL, value, 4, RETENTION_COUNT_MAX);
}

static json_t *get_backup_keep_weekly(const Settings *s) {
        return json_integer(s->backup_keep.weekly);
}

static int set_backup_keep_monthly(Settings *s, const char *name _unused_, const json_t *value) {
        return set_number(s ? &s->backup_keep.monthly : NULL, value, 6, RETENTION_COUNT_MAX);
}

static json_t *get_backup_keep_monthly(const Settings *s) {
        return json_integer(s->backup_keep.monthly);
}

/* --- alerts --- */

static int set_alert_webhook_url(Settings *s, const char *name _unused_, const json_t *value) {
        const char *text = value ? json_string_value(value) : "";

        if (!text || (!isempty(text) && webhook_url_validate(text, NULL) < 0))
                return -EINVAL;

        return s ? free_and_strdup(&s->alert_webhook_url, text) : 0;
}

static json_t *get_alert_webhook_url(const Settings *s) {
        return json_string(s->alert_webhook_url);
}

static int set_alert_mail_to(Settings *s, const char *name _unused_, const json_t *value) {
        const char *text = value ? json_string_value(value) : "";
        _cleanup_strv_free_ char **addresses = NULL;

        if (!text || (!isempty(text) && mail_addresses_parse(text, &addresses, NULL) < 0))
                return -EINVAL;

        return s ? free_and_strdup(&s->alert_mail_to, text) : 0;
}

static json_t *get_alert_mail_to(const Settings *s) {
        return json_string(s->alert_mail_to);
}

static int set_alert_repeat_hours(Settings *s, const char *name _unused_, const json_t *value) {
        return set_number(s ? &s->alert_repeat_hours : NULL, value, 24, ALERT_REPEAT_HOURS_MAX);
}

static json_t *get_alert_repeat_hours(const Settings *s) {
        return json_integer(s->alert_repeat_hours);
}

static int set_alert_disk_percent(Settings *s, const char *name _unused_, const json_t *value) {
        return set_number(s ? &s->alert_disk_percent : NULL, value, ALERT_DISK_PERCENT,
                        ALERT_DISK_PERCENT_MAX);
}

static json_t *get_alert_disk_percent(const Settings *s) {
        return json_integer(s->alert_disk_percent);
}

static int set_alert_health_minutes(Settings *s, const char *name _unused_, const json_t *value) {
        return set_number(s ? &s->alert_health_minutes : NULL, value, 2, ALERT_HEALTH_MINUTES_MAX);
}

static json_t *get_alert_health_minutes(const Settings *s) {
        return json_integer(s->alert_health_minutes);
}

static int set_alert_secret_age_days(Settings *s, const char *name _unused_, const json_t *value) {
        return set_number(s ? &s->alert_secret_age_days : NULL, value, 0, ALERT_SECRET_AGE_DAYS_MAX);
}

static json_t *get_alert_secret_age_days(const Settings *s) {
        return json_integer(s->alert_secret_age_days);
}

#define RESTORE_KEEP_HOURS 72U

static int set_restore_keep_hours(Settings *s, const char *name _unused_, const json_t *value) {
        return set_number(s ? &s->restore_keep_hours : NULL, value, RESTORE_KEEP_HOURS,
                        RESTORE_KEEP_HOURS_MAX);
}

static json_t *get_restore_keep_hours(const Settings *s) {
        return json_integer(s->restore_keep_hours);
}

static int set_alert_backup_hours(Settings *s, const char *name _unused_, const json_t *value) {
        return set_number(s ? &s->alert_backup_hours : NULL, value, 3, ALERT_BACKUP_HOURS_MAX);
}

static json_t *get_alert_backup_hours(const Settings *s) {
        return json_integer(s->alert_backup_hours);
}

static int set_alert_copy_hours(Settings *s, const char *name _unused_, const json_t *value) {
        return set_number(s ? &s->alert_copy_hours : NULL, value, 24, ALERT_BACKUP_HOURS_MAX);
}

static json_t *get_alert_copy_hours(const Settings *s) {
        return json_integer(s->alert_copy_hours);
}

static int set_scrub_days(Settings *s, const char *name _unused_, const json_t *value) {
        return set_number(s ? &s->scrub_days : NULL, value, 14, SCRUB_DAYS_MAX);
}

static json_t *get_scrub_days(const Settings *s) {
        return json_integer(s->scrub_days);
}

static const Setting settings[] = {
        { PORT_RANGE_PREFIX, true,
                        "a range \"FIRST-LAST\" of ports from 1024 to 65535, under a name of "
                        "lower-case letters, digits and underscores",
                        set_port_range, NULL },
        { "subnet_pool", false, "a private IPv4 subnet from /8 to /26, such as \"10.200.0.0/15\"",
                        set_subnet_pool, get_subnet_pool },
        { "bind_address", false, "an IPv4 address, such as \"127.0.0.1\"", set_bind_address,
                        get_bind_address },
        { "job_concurrency", false, "a number from 1 to 64", set_job_concurrency, get_job_concurrency },
        { "audit_retention_days", false, "a number from 30 to 3650, or 0 to keep everything",
                        set_audit_retention_days, get_audit_retention_days },
        { "health_interval", false, "a number of seconds from 10 to 3600, or 0 for no sweeps",
                        set_health_interval, get_health_interval },
        { "health_samples_hours", false, "a number from 2 to 168", set_health_samples_hours,
                        get_health_samples_hours },
        { "health_history_days", false, "a number from 1 to 3650", set_health_history_days,
                        get_health_history_days },
        { "recovery_concurrency", false, "a number from 1 to 64", set_recovery_concurrency,
                        get_recovery_concurrency },
        { "repair", false, "off or on", set_repair, get_repair },
        { "backup_schedule", false, "a calendar expression such as \"daily\" or \"*-*-* 02:30\", or off",
                        set_backup_schedule, get_backup_schedule },
        { "drill_schedule", false, "a calendar expression such as \"monthly\" or \"Sun 04:00\", or off",
                        set_drill_schedule, get_drill_schedule },
        { "backup_consistency", false, "auto, live, paused or cold", set_backup_consistency,
                        get_backup_consistency },
        { "backup_concurrency", false, "a number from 1 to 64", set_backup_concurrency,
                        get_backup_concurrency },
        { "backup_keep_last", false, "a number up to 1000", set_backup_keep_last, get_backup_keep_last },
        { "backup_keep_daily", false, "a number up to 1000", set_backup_keep_daily, get_backup_keep_daily },
        { "backup_keep_weekly", false, "a number up to 1000", set_backup_keep_weekly,
                        get_backup_keep_weekly },
        { "backup_keep_monthly", false, "a number up to 1000", set_backup_keep_monthly,
                        get_backup_keep_monthly },
        { "scrub_days", false, "a number up to 365, or 0 for no scrubs", set_scrub_days, get_scrub_days },
        { "alert_webhook_url", false,
                        "an address such as \"https://HOST[:PORT]/PATH\", without user and password (each "
                        "message is signed instead, see ccpctl alert secret), or nothing",
                        set_alert_webhook_url, get_alert_webhook_url, webhook_url_redact },
        { "alert_mail_to", false,
                        "at most ten mail addresses with commas between them, each "
                        "USER@DOMAIN or a user of this machine, or nothing",
                        set_alert_mail_to, get_alert_mail_to },
        { "alert_repeat_hours", false, "a number up to 8760, or 0 to tell of an alert once",
                        set_alert_repeat_hours, get_alert_repeat_hours },
        { "alert_disk_percent", false, "a number up to 99, or 0 for no such alert", set_alert_disk_percent,
                        get_alert_disk_percent },
        { "alert_health_minutes", false, "a number up to 1440", set_alert_health_minutes,
                        get_alert_health_minutes },
        { "alert_secret_age_days", false, "a number up to 3650, or 0 for no such alert",
                        set_alert_secret_age_days, get_alert_secret_age_days },
        { "restore_keep_hours", false, "a number up to 8760", set_restore_keep_hours,
                        get_restore_keep_hours },
        { "alert_backup_hours", false, "a number up to 8760, or 0 for no such alert", set_alert_backup_hours,
                        get_alert_backup_hours },
        { "alert_copy_hours", false, "a number up to 8760, or 0 for no such alert", set_alert_copy_hours,
                        get_alert_copy_hours },
};

static const Setting *find(const char *key, const char **ret_name) {
        FOREACH_ARRAY(i, settings, ELEMENTSOF(settings)) {
                const char *name = startswith(key, i->key);

                if (name && (i->is_prefix || !*name)) {
                        *ret_name = name;
                        return i;
                }
        }

        return NULL;
}

static int fail_unknown(const char *key, Error *reterr) {
        _cleanup_string_builder_ StringBuilder b = {};
        _cleanup_free_ char *names = NULL;

        FOREACH_ARRAY(i, settings, ELEMENTSOF(settings))
                string_builder_appendf(
                                &b, "%s%s%s", i == settings ? "" : ", ", i->key, i->is_prefix ? "NAME" : "");
        if (string_builder_finish(&b, &names, NULL) < 0)
                return error_set_errnof(reterr, ENOMEM, "Could not set '%s': %m", TEXT_FOR_ERROR(key));

        return error_setf(reterr, CCP_ERROR_INVALID_ARGUMENT, "There is no setting '%s'. There are: %s.",
                        TEXT_FOR_ERROR(key), names);
}

static int apply(Settings *s, const char *key, const json_t *value, Error *reterr) {
        const Setting *setting;
        const char *name;
        int r;

        setting = find(key, &name);
        if (!setting)
                return fail_unknown(key, reterr);

        r = setting->set(s, name, json_is_null(value) ? NULL : value);
        if (r == -EINVAL)
                return error_setf(reterr, CCP_ERROR_INVALID_ARGUMENT, "The setting '%s' has to be %s.",
                                TEXT_FOR_ERROR(key), setting->rule);
        if (r == -E2BIG)
                return error_setf(reterr, CCP_ERROR_LIMIT_EXCEEDED,
                                "There are %u port ranges already, which is all there can be.",
                                SETTINGS_PORT_RANGES_MAX);
        if (r < 0)
                return error_set_errnof(reterr, r, "Could not set '%s': %m", TEXT_FOR_ERROR(key));

        return 0;
}

int settings_validate(const char *key, const json_t *value, Error *reterr) {
        return apply(NULL, key, value, reterr);
}

int settings_set(Settings *s, const char *key, const json_t *value, Error *reterr) {
        return apply(s, key, value, reterr);
}

bool settings_is_known(const char *key) {
        const char *name;

        return find(key, &name);
}

int settings_new(Settings **ret) {
        _cleanup_(settings_freep) Settings *s = NULL;
        int r;

        s = new0(Settings, 1);
        if (!s)
                return -ENOMEM;

        s->port_ranges = new0(NamedPortRange, SETTINGS_PORT_RANGES_MAX);
        if (!s->port_ranges)
                return -ENOMEM;

        for (size_t i = 0; i < n_port_range_defaults; i++) {
                r = put_range(s, port_range_defaults[i].name, &port_range_defaults[i].range);
                if (r < 0)
                        return r;
        }
        FOREACH_ARRAY(i, settings, ELEMENTSOF(settings)) {
                r = i->is_prefix ? 0 : i->set(s, "", NULL);
                if (r < 0)
                        return r;
        }

        *ret = TAKE_PTR(s);
        return 0;
}

Settings *settings_free(Settings *s) {
        if (!s)
                return NULL;

        for (size_t i = 0; i < s->n_port_ranges; i++)
                free((char *) s->port_ranges[i].name);
        free(s->port_ranges);
        free(s->bind_address);
        free(s->alert_webhook_url);
        free(s->alert_mail_to);
        free(s->backup_schedule);
        free(s->backup_consistency);
        free(s->drill_schedule);
        return mfree(s);
}

int settings_to_json(const Settings *s, json_t **ret) {
        _cleanup_json_ json_t *object = NULL;
        int r = 0;

        object = json_object();
        for (size_t i = 0; i < s->n_port_ranges; i++) {
                _cleanup_free_ char *key = NULL;
                char range[PORT_RANGE_TEXT_MAX];

                key = strjoin(PORT_RANGE_PREFIX, s->port_ranges[i].name);
                (void) port_range_format(range, sizeof(range), &s->port_ranges[i].range);
                r |= key ? json_object_set_new(object, key, json_string(range)) : -1;
        }
        FOREACH_ARRAY(i, settings, ELEMENTSOF(settings))
                if (i->get)
                        r |= json_object_set_new(object, i->key, i->get(s));
        if (r < 0)
                return -ENOMEM;

        r = settings_redact(object);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(object);
        return 0;
}

int settings_redact(json_t *object) {
        FOREACH_ARRAY(i, settings, ELEMENTSOF(settings)) {
                const char *value = i->redact ? json_object_get_string(object, i->key) : NULL;
                _cleanup_free_ char *text = NULL;

                if (!value)
                        continue;
                text = i->redact(value);
                if (!text || json_object_set_new(object, i->key, json_string(text)) < 0)
                        return -ENOMEM;
        }

        return 0;
}
