/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What raises an alert, as a table: rules over facts, how long each must hold, and what people are told. And how an
 * alert begins and ends. All of it is pure: facts and time are passed in. */

#include <errno.h>

#include "instance.h"
#include "time-util.h"

typedef enum AlertRule {
        ALERT_INSTANCE_FAILED,
        ALERT_INSTANCE_UNHEALTHY,
        ALERT_INSTANCE_DEGRADED,
        ALERT_SERVICES_RESTARTING,
        ALERT_JOB_FAILED,
        ALERT_BACKUP_FAILED,
        ALERT_BACKUP_MISSING,
        ALERT_BACKUP_DAMAGED,
        ALERT_DRILL_FAILED,
        ALERT_BACKUP_UNDRILLED,
        ALERT_BACKUP_UNREPLICATED,
        ALERT_BACKUP_UNSCRUBBED,
        ALERT_GONE_BACKUP_DAMAGED,
        ALERT_COPIES_UNCOMPARED,
        ALERT_SECRET_AGE,
        ALERT_DISK_SPACE,
        ALERT_STORE_UNAVAILABLE,
        ALERT_ENGINE_UNAVAILABLE,
        ALERT_SWEEPS_MISSING,
        _ALERT_RULE_MAX,
        _ALERT_RULE_INVALID = -EINVAL,
} AlertRule;
DECLARE_STRING_TABLE(alert_rule, AlertRule);

/* What stands for a rule in an alert that only tries a channel. */
#define ALERT_TEST_RULE "test"

typedef enum AlertSeverity {
        ALERT_WARNING,
        ALERT_ERROR,
        ALERT_CRITICAL,
        _ALERT_SEVERITY_MAX,
        _ALERT_SEVERITY_INVALID = -EINVAL,
} AlertSeverity;
DECLARE_STRING_TABLE(alert_severity, AlertSeverity);

/* Its priority in the journal. */
int alert_severity_to_priority(AlertSeverity severity);

/* What an alert is about, and what its subject is: a slug, a path, or nothing. */
typedef enum AlertAbout {
        ALERT_ABOUT_INSTANCE,
        ALERT_ABOUT_FILE_SYSTEM,
        ALERT_ABOUT_STORE,
        ALERT_ABOUT_ENGINE,
        ALERT_ABOUT_SWEEPS,
        ALERT_ABOUT_BACKUPS, /* of all instances, and of those that are gone */
} AlertAbout;

/* Where alerts are delivered to. */
typedef enum AlertChannel {
        ALERT_WEBHOOK,
        ALERT_MAIL,
        _ALERT_CHANNEL_MAX,
        _ALERT_CHANNEL_INVALID = -EINVAL,
} AlertChannel;
DECLARE_STRING_TABLE(alert_channel, AlertChannel);

/* What is told of an alert. */
typedef enum AlertStatus {
        ALERT_STATUS_FIRING,
        ALERT_STATUS_RESOLVED,
        ALERT_STATUS_TEST,
        _ALERT_STATUS_MAX,
        _ALERT_STATUS_INVALID = -EINVAL,
} AlertStatus;
DECLARE_STRING_TABLE(alert_status, AlertStatus);

/* --- rules --- */

/* From the settings. */
typedef struct AlertThresholds {
        usec_t health_hold;    /* how long an instance is unhealthy before it is told */
        unsigned disk_percent; /* 0: never */
        usec_t secret_age;     /* 0: never */
        usec_t backup_age;     /* a backup that is overdue for so long; 0: never */
        usec_t copy_age;       /* one that should have a copy for so long; 0: never */
        usec_t scrub_age;      /* one that was not read for so long; 0: never */
} AlertThresholds;

/* What a rule judges; only what belongs to that which it is about is set. */
typedef struct AlertFacts {
        /* an instance */
        InstanceState state;
        Health health;
        bool busy;           /* a job is at work on it, or will be when it is its turn to be brought back */
        bool counts_are_new; /* restarts are counted for too short a time to say that there are few */
        unsigned n_restarts; /* of the service with the most, not long ago */
        JobState last_job;   /* of the last one that succeeded or failed; _JOB_STATE_INVALID: not known */
        bool secrets_known;
        usec_t secret_age;     /* of the oldest one */
        JobState last_backup;  /* of the last job that was to make one, as above */
        usec_t backup_overdue; /* how long ago one was due that is not there; 0: none is */
        usec_t uncopied; /* how long a verified backup waits for its copy; 0: none does, or there is no storage */
        uint64_t n_damaged;  /* backups; or, about backups, those of instances that are gone */
        bool has_backup;     /* that is verified */
        JobState last_drill; /* of the last job that was to try one, as above */
        bool undrilled;      /* the last two rounds came to nothing */
        bool drill_awaited;  /* the last one may still come to something */

        /* a file system */
        unsigned percent_used;

        /* backups */
        usec_t unread; /* how long ago that was read that was read the longest ago; 0: there is none */
        usec_t uncompared; /* how long ago it was looked whether the storage has all copies; 0: there is no storage */

        /* the store or the engine; backups */
        bool known, available;

        bool firing; /* the alert is: what ends it may lie lower than what begins it */
} AlertFacts;

typedef enum AlertCondition {
        ALERT_CONDITION_FALSE,
        ALERT_CONDITION_UNKNOWN,   /* what fires goes on, what does not begins anew */
        ALERT_CONDITION_UNDECIDED, /* on the way to one or the other: all stays as it is */
        ALERT_CONDITION_TRUE,
} AlertCondition;

/* A service that was restarted this often, not long ago. */
#define ALERT_RESTARTS_MAX 3U
/* When a file system is nearly full, for alerts and for the doctor, unless alert_disk_percent says otherwise. */
#define ALERT_DISK_PERCENT 90U
/* It is looked once a day whether the storage has all copies. */
#define ALERT_UNCOMPARED_USEC (3 * USEC_PER_DAY)
/* Percent that a file system must fall below its threshold. */
#define ALERT_DISK_HYSTERESIS 2U

AlertCondition alert_judge(AlertRule rule, const AlertFacts *facts, const AlertThresholds *thresholds);
AlertAbout alert_rule_about(AlertRule rule);
AlertSeverity alert_rule_severity(AlertRule rule);
/* How long the condition must hold, and be gone. */
usec_t alert_rule_hold(AlertRule rule, const AlertThresholds *thresholds);
usec_t alert_rule_clear(AlertRule rule, const AlertThresholds *thresholds);

/* "alpha is unhealthy", and what to do: "ccpctl status alpha". The subject is a slug or a path. Freed by the caller;
 * NULL when out of memory. */
char *alert_rule_title(AlertRule rule, const char *subject);
char *alert_rule_next_step(AlertRule rule, const char *subject);

/* --- one alert --- */

typedef enum AlertState {
        ALERT_INACTIVE,
        ALERT_PENDING, /* the condition holds, not for long enough yet */
        ALERT_FIRING,
        ALERT_RESOLVED, /* its end */
        _ALERT_STATE_MAX,
        _ALERT_STATE_INVALID = -EINVAL,
} AlertState;
DECLARE_STRING_TABLE(alert_state, AlertState);

typedef struct AlertMachine {
        AlertState state;
        AlertCondition last; /* what was seen last */
        usec_t since;        /* pending: the condition holds; firing: it is gone, 0: it is not */
} AlertMachine;

/* Takes what is seen at a time, of any clock that does not jump and is not 0. */
AlertState alert_machine_step(
                AlertMachine *a, AlertCondition condition, usec_t t, usec_t hold, usec_t clear);
/* When time alone changes it, if what was seen last stays true; USEC_INFINITY: never. */
usec_t alert_machine_next(const AlertMachine *a, usec_t hold, usec_t clear);

/* --- delivery --- */

/* Notices of one moment go into one message. */
#define ALERT_COLLECT_USEC (5 * USEC_PER_SEC)
/* After that a message is given up. */
#define ALERT_PATIENCE_USEC (3 * USEC_PER_DAY)
/* A receiver that refused a message this often may refuse that one only: the next one is tried too. */
#define ALERT_REFUSALS_MAX 8U
#define ALERT_BACKOFF_MIN_USEC (10 * USEC_PER_SEC)
#define ALERT_BACKOFF_MAX_USEC USEC_PER_HOUR

/* How long to wait after so many attempts (from 1): from 10 s to 1 h, give or take a fifth by 'random'. */
usec_t alert_backoff(unsigned n_attempts, uint32_t random);
/* The same if the receiver said how long (0: it did not), within bounds. */
usec_t alert_backoff_asked(unsigned n_attempts, uint32_t random, usec_t asked);
