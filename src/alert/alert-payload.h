/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What is told: a message as JSON for machines, and its parts in words for people. */

#include <jansson.h>

#include "store-alert-worker.h"

/* This machine, in letters that are safe everywhere. Static. */
const char *alert_host_name(void);

/* "alpha is unhealthy"; NULL: out of memory. */
char *alert_notice_title(const AlertNotice *n);
/* What to do; "" where nobody knows. */
char *alert_notice_next_step(const AlertNotice *n);

/* How many of each there are. */
typedef struct AlertCounts {
        unsigned n[_ALERT_STATUS_MAX];
} AlertCounts;
AlertCounts alert_message_counts(const AlertMessage *m);
/* "[ccpd HOST] firing: alpha is unhealthy", "[ccpd HOST] 12 alerts: 10 firing, 2 resolved" */
char *alert_message_summary(const AlertMessage *m, const char *host);

/* The body for the webhook; the same each time that it is made. 0 or -ENOMEM. */
int alert_message_to_json(const AlertMessage *m, const char *host, char **ret);
