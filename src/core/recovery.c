/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "recovery.h"

#include "string-util.h"

#define DELAYS_MAX 5U

static const char *const recovery_reason_table[_RECOVERY_REASON_MAX] = {
        [RECOVERY_NONE] = "none",
        [RECOVERY_BOOT] = "boot",
        [RECOVERY_ENGINE] = "engine",
        [RECOVERY_DRIFT] = "drift",
};
DEFINE_STRING_TABLE(recovery_reason, RecoveryReason);

static const char *const repair_mode_table[_REPAIR_MODE_MAX] = {
        [REPAIR_DEFAULT] = "default",
        [REPAIR_OFF] = "off",
        [REPAIR_ON] = "on",
};
DEFINE_STRING_TABLE(repair_mode, RepairMode);

/* How long after the one before each attempt begins; there are no more than these. */
typedef struct RecoveryRule {
        usec_t delays[DELAYS_MAX];
        unsigned n;
} RecoveryRule;

static const RecoveryRule come_back = {
        .delays = { 0, USEC_PER_MINUTE, 5 * USEC_PER_MINUTE, 30 * USEC_PER_MINUTE, 2 * USEC_PER_HOUR },
        .n = 5,
};
static const RecoveryRule put_right = {
        .delays = { 0, USEC_PER_MINUTE, 5 * USEC_PER_MINUTE },
        .n = 3,
};

static const RecoveryRule *find_rule(RecoveryReason reason) {
        assert(reason > RECOVERY_NONE && reason < _RECOVERY_REASON_MAX);

        return reason == RECOVERY_DRIFT ? &put_right : &come_back;
}

unsigned recovery_attempts_counted(
                const RecoveryAttempts *a, RecoveryReason reason, uint64_t run, usec_t since) {
        if (a->n == 0 || a->reason <= RECOVERY_NONE || find_rule(a->reason) != find_rule(reason) ||
                        a->run != run || a->at < since)
                return 0;

        return a->n;
}

usec_t recovery_next_attempt(const RecoveryAttempts *a, RecoveryReason reason, unsigned n, usec_t realtime) {
        const RecoveryRule *rule = find_rule(reason);

        if (n == 0)
                return 0;
        if (n >= rule->n)
                return USEC_INFINITY;

        /* A clock that was set back makes nobody wait for longer. */
        return MIN(a->at, realtime) + rule->delays[n];
}

unsigned recovery_attempts_max(RecoveryReason reason) {
        return find_rule(reason)->n;
}
