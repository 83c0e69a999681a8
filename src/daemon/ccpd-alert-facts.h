/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the rules of alerts judge, as the daemon knows it, and the causes that go with an alert. */

#include "alert.h"
#include "disk-use.h"

typedef struct Manager Manager;
typedef struct Instance Instance;

AlertThresholds alert_thresholds(const Manager *m);

/* Time that passed since restarts are counted. */
AlertFacts alert_instance_facts(const Instance *i, usec_t counting);
AlertFacts alert_host_facts(const Manager *m, AlertAbout about);

/* A sentence's second half, "" for none; NULL: out of memory. 'i' and 'disk' are what the rule is about, or NULL. */
char *alert_cause(const Manager *m, AlertRule rule, const Instance *i, const DiskUse *disk);
