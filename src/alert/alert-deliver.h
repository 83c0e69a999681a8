/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Works through the queue of one channel, in order, until nothing is due. Messages wait for the one before them, so that a
 * receiver never hears of an end before the beginning; but for one that the receiver alone refuses. */

#include "store-alert-worker.h"

/* What came of one attempt. */
typedef struct AlertResult {
        AlertOutcome outcome;
        bool answered;      /* the receiver did, so that it may be the message that it does not like */
        usec_t retry_after; /* what it asked for, 0: nothing */
        char *error;        /* a sentence without secrets; NULL after success */
} AlertResult;

void alert_result_done(AlertResult *r);
#define _cleanup_alert_result_ _cleanup_(alert_result_done)
/* Sets the outcome with a formatted sentence. */
void alert_result_set(AlertResult *r, AlertOutcome outcome, bool answered, const char *format, ...)
                _printf_(4, 5);

typedef struct AlertCarrier {
        AlertChannel channel;
        uint64_t notices_max; /* in one message */
        bool (*is_on)(const Settings *settings);
        void (*send)(const AlertMessage *m, AlertResult *ret, void *userdata);
        void *userdata;
} AlertCarrier;

/* What follows from an attempt that did not succeed: tried again, and after how long, or given up. */
void alert_result_judge(AlertResult *r, const AlertMessage *m, uint32_t random, usec_t *ret_wait);

int alert_deliver(DbSync *db, const AlertCarrier *carrier, Error *reterr);
