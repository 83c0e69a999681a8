/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Which backups of an instance are kept. What counts is their order, never how long ago they were made: whatever a clock did,
 * no more goes than the numbers of the policy allow. */

#include <errno.h>
#include <jansson.h>

#include "ccp/macro.h"
#include "time-util.h"

#define RETENTION_COUNT_MAX 1000U

/* How many are kept: the last ones, and the last one of each of so many days, weeks (from Monday) and months that have one.
 * All of them 0: everything is kept. */
typedef struct RetentionPolicy {
        unsigned last, daily, weekly, monthly;
} RetentionPolicy;

typedef struct RetentionItem {
        uint64_t sequence; /* grows with each backup */
        usec_t created_at; /* by the clock of then */
        bool verified;
        bool damaged;  /* it was verified, and is not any more */
        bool imported; /* no order: it counts as neither the newest nor the last, and takes nobody's place */
} RetentionItem;

/* Why one is kept, or is not. */
typedef enum RetentionReason {
        RETENTION_NEWEST = 1 << 0, /* that is verified */
        RETENTION_LAST = 1 << 1,
        RETENTION_DAILY = 1 << 2,
        RETENTION_WEEKLY = 1 << 3,
        RETENTION_MONTHLY = 1 << 4,
        RETENTION_UNPROVEN = 1 << 5,   /* not verified, and there is no newer one that is */
        RETENTION_NO_POLICY = 1 << 6,  /* everything is kept */
        RETENTION_SUPERSEDED = 1 << 7, /* goes: never verified, and a newer one is */
        RETENTION_IMPORTED = 1 << 8,   /* only a person deletes it */
} RetentionReason;

#define RETENTION_KEEPS                                                                               \
        (RETENTION_NEWEST | RETENTION_LAST | RETENTION_DAILY | RETENTION_WEEKLY | RETENTION_MONTHLY | \
                        RETENTION_UNPROVEN | RETENTION_NO_POLICY | RETENTION_IMPORTED)

/* Sets ret[i] to the reasons of items[i]; one that has none of RETENTION_KEEPS goes. The items may come in any order. Days are
 * those of the local time. A damaged one is kept as long as it would be if it were verified, and takes nobody's place. -ENOMEM. */
int retention_plan(const RetentionItem *items, size_t n, const RetentionPolicy *policy, unsigned *ret);

/* "the newest that is verified, one of the last 3"; freed by the caller, NULL when out of memory. */
char *retention_describe(unsigned reasons, const RetentionPolicy *policy);

/* As an object: {"last", "daily", "weekly", "monthly"}. */
json_t *retention_policy_to_json(const RetentionPolicy *policy);
/* False for what is none. */
bool retention_policy_from_json(const json_t *object, RetentionPolicy *ret);
