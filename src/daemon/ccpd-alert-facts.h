/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the rules of alerts judge, as the daemon knows it, and the causes that go with an alert. */

#include "alert.h"

typedef struct Manager Manager;
typedef struct Instance Instance;

AlertThresholds alert_thresholds(const Manager *m);

/* Time that passed since restarts are counted. */
AlertFacts alert_instance_facts(const Instance *i, usec_t counting);
AlertFacts alert_host_facts(const Manager *m, AlertAbout about);

/* File systems that ccpd, PostgreSQL, Docker or the journal cannot do without. */
#define ALERT_FILE_SYSTEMS_MAX 5U
typedef struct AlertFileSystem {
        char *path;
        unsigned percent_used; /* of blocks or inodes, whichever is worse */
        bool inodes;           /* the latter */
        uint64_t size, left;   /* bytes, or inodes */
} AlertFileSystem;

/* Asks the kernel; each file system once. The paths are the caller's. Returns how many. */
size_t alert_read_file_systems(AlertFileSystem ret[static ALERT_FILE_SYSTEMS_MAX]);
void alert_file_systems_done(AlertFileSystem *l, size_t n);

/* A sentence's second half, "" for none; NULL: out of memory. 'i' and 'f' are what the rule is about, or NULL. */
char *alert_cause(const Manager *m, AlertRule rule, const Instance *i, const AlertFileSystem *f);
