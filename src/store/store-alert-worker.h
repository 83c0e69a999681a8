/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What a worker that delivers alerts does with their queue. As in store-worker.h all of it blocks and survives a lost
 * connection. A claim that was lost with one is claimed anew after ALERT_LEASE_USEC, like one whose worker died: what was sent
 * may be sent again then, under the same id. */

#include "alert.h"
#include "db-sync.h"
#include "records.h"
#include "settings.h"

/* Longer than any attempt takes. */
#define ALERT_LEASE_USEC (2 * USEC_PER_MINUTE)

/* One notice of a message. */
typedef struct AlertNotice {
        uint64_t alert;
        char *rule, *severity;
        AlertStatus status;
        char *slug, *name;  /* NULL: it is about no instance */
        char *subject;      /* a path, or "" */
        usec_t since, told; /* when it began; when this was the news */
        unsigned number;    /* 0: the first notice */
        char *message;
} AlertNotice;

typedef struct AlertMessage {
        uint64_t id; /* 0: there is nothing to do */
        char uuid[STORE_ID_MAX];
        bool test;
        unsigned n_attempts; /* this one too */
        usec_t age;
        AlertNotice *notices; /* in the order in which things happened */
        size_t n_notices;
        Settings *settings;
        SecretRecords secrets; /* to sign with, the newest first */
} AlertMessage;

void alert_message_done(AlertMessage *m);
#define _cleanup_alert_message_ _cleanup_(alert_message_done)

/* Takes the next message that is due, or 'after' one (0: the first) the next one, due or not; at most n_max notices become
 * one. *ret must be empty. */
int alert_queue_claim(DbSync *db, AlertChannel channel, uint64_t after, uint64_t n_max, AlertMessage *ret,
                Error *reterr);

typedef enum AlertOutcome {
        ALERT_OUTCOME_RETRY,
        ALERT_OUTCOME_DELIVERED,
        ALERT_OUTCOME_FAILED, /* it is not tried again */
} AlertOutcome;

/* What came of an attempt; 'error' is a sentence or NULL, 'wait' until the next attempt. */
int alert_queue_note(DbSync *db, uint64_t id, AlertOutcome outcome, const char *error, usec_t wait,
                Error *reterr);
/* Ends all that waits for a channel that is switched off. */
int alert_queue_drop(DbSync *db, AlertChannel channel, const char *error, Error *reterr);
/* A test came through: what waits need not wait any longer. */
int alert_queue_hurry(DbSync *db, Error *reterr);
