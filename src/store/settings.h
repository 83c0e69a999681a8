/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The settings of the whole service: which there are, what they may hold, and their defaults.
 * port_range_NAME "FIRST-LAST", subnet_pool "10.200.0.0/15", bind_address "127.0.0.1", job_concurrency 4,
 * audit_retention_days 0, health_interval 30, health_samples_hours 24, health_history_days 400,
 * recovery_concurrency 2, repair "off", backup_schedule "off", drill_schedule "off", backup_concurrency 2,
 * backup_consistency "auto", backup_keep_last 3, backup_keep_daily 7, backup_keep_weekly 4,
 * backup_keep_monthly 6, scrub_days 14, alert_backup_hours 3, alert_copy_hours 24, alert_webhook_url "", alert_mail_to "",
 * alert_repeat_hours 24, alert_disk_percent 90, alert_health_minutes 2, alert_secret_age_days 0, restore_keep_hours 72 */

#include <jansson.h>

#include "error.h"
#include "port-range.h"
#include "recovery.h"
#include "retention.h"
#include "subnet.h"

/* Named port ranges at most, those that every host has included. */
#define SETTINGS_PORT_RANGES_MAX 64U

/* The database removes nothing that is younger than the first. */
#define AUDIT_RETENTION_DAYS_MIN 30U
#define AUDIT_RETENTION_DAYS_MAX 3650U
#define HEALTH_INTERVAL_MIN 10
#define HEALTH_INTERVAL_MAX 3600
/* What is not over yet is no hour of the history. */
#define HEALTH_SAMPLES_HOURS_MIN 2
#define HEALTH_SAMPLES_HOURS_MAX 168
#define HEALTH_HISTORY_DAYS_MIN 1
#define HEALTH_HISTORY_DAYS_MAX 3650

#define ALERT_REPEAT_HOURS_MAX 8760U
#define ALERT_DISK_PERCENT_MAX 99U
#define ALERT_HEALTH_MINUTES_MAX 1440U
#define ALERT_SECRET_AGE_DAYS_MAX 3650U
#define RESTORE_KEEP_HOURS_MAX 8760U
#define ALERT_BACKUP_HOURS_MAX 8760U
#define SCRUB_DAYS_MAX 365U

typedef struct Settings {
        NamedPortRange *port_ranges; /* names are owned */
        size_t n_port_ranges;
        Subnet subnet_pool;
        char *bind_address;
        unsigned job_concurrency;
        unsigned audit_retention_days; /* 0: entries of the audit record are kept for ever */
        unsigned health_interval;      /* seconds between two sweeps; 0: there are none */
        unsigned health_samples_hours; /* so long each sample is kept */
        unsigned health_history_days;  /* so long the hours are kept that were made of them */
        unsigned recovery_concurrency; /* instances that are brought back at a time */
        RepairMode repair;             /* of instances that do not say it themselves; never the default */
        char *backup_schedule; /* a calendar expression, or "off"; of instances that do not say it themselves */
        char *drill_schedule; /* the same of drills, of all instances */
        char *backup_consistency; /* what is asked of backups, see store-backup.h; of instances that do not say it */
        unsigned backup_concurrency; /* backups at a time */
        RetentionPolicy backup_keep; /* of instances that do not say it themselves */
        unsigned scrub_days;         /* a backup that was not read for so long is read again; 0: never */
        char *alert_webhook_url;     /* "": none */
        char *alert_mail_to;         /* addresses with commas or blanks between them; "": none */
        unsigned alert_repeat_hours; /* 0: an alert is told once */
        unsigned alert_disk_percent; /* 0: never */
        unsigned alert_health_minutes;
        unsigned alert_secret_age_days; /* 0: never */
        unsigned restore_keep_hours;    /* so long the volumes stay that an instance had before a restore */
        unsigned alert_backup_hours;    /* 0: never */
        unsigned alert_copy_hours;      /* 0: never */
} Settings;

/* The defaults. */
int settings_new(Settings **ret);
Settings *settings_free(Settings *s);
DEFINE_CLEANUP_FUNC(Settings *, settings_free);

/* Checks one setting as a person gave it; null means "the default again". InvalidArgument. */
int settings_validate(const char *key, const json_t *value, Error *reterr);
/* False for a name that only another version knows. */
bool settings_is_known(const char *key);
/* Sets one, by the same rules. */
int settings_set(Settings *s, const char *key, const json_t *value, Error *reterr);
/* All as an object, the keys and values as above; of those that are half a secret only what may be shown. */
int settings_to_json(const Settings *s, json_t **ret);
/* Puts what may be shown in the place of such values, in an object from keys to values. 0 or -ENOMEM. */
int settings_redact(json_t *object);
