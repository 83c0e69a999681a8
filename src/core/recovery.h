/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* When ccpd may try to bring an instance back by itself, as tables: pure, with the time passed in. */

#include <errno.h>

#include "ccp/macro.h"
#include "time-util.h"

typedef enum RecoveryReason {
        RECOVERY_NONE,   /* it is not ccpd itself who acts */
        RECOVERY_BOOT,   /* the machine was started */
        RECOVERY_ENGINE, /* the Engine alone was */
        RECOVERY_DRIFT,  /* somebody changed something of it behind ccpd's back */
        _RECOVERY_REASON_MAX,
        _RECOVERY_REASON_INVALID = -EINVAL,
} RecoveryReason;
DECLARE_STRING_TABLE(recovery_reason, RecoveryReason);

/* What was tried so far. */
typedef struct RecoveryAttempts {
        RecoveryReason reason; /* of the last one */
        uint64_t run;          /* the recovery it belonged to; 0: to none */
        unsigned n;            /* 0: none */
        usec_t at;             /* when the last one began; realtime */
} RecoveryAttempts;

/* What was put right stays so for this long, or it counts as another attempt. */
#define RECOVERY_DRIFT_WINDOW_USEC USEC_PER_HOUR

/* How many of these attempts count for this reason: in this recovery (0: none), and not before 'since' (realtime). The
 * clock is often wrong when a machine starts, so it is not that which tells one recovery from the one before. */
unsigned recovery_attempts_counted(
                const RecoveryAttempts *a, RecoveryReason reason, uint64_t run, usec_t since);

/* When the attempt after the first n may begin (realtime); 0: at once; USEC_INFINITY: not by itself any more. */
usec_t recovery_next_attempt(const RecoveryAttempts *a, RecoveryReason reason, unsigned n, usec_t realtime);
/* How many there are at the most. */
unsigned recovery_attempts_max(RecoveryReason reason);

/* What to do about drift: a setting of the fleet, and one of each instance, which may leave it to the first. */
typedef enum RepairMode {
        REPAIR_DEFAULT,
        REPAIR_OFF, /* tell of it */
        REPAIR_ON,  /* and start what is missing */
        _REPAIR_MODE_MAX,
        _REPAIR_MODE_INVALID = -EINVAL,
} RepairMode;
DECLARE_STRING_TABLE(repair_mode, RepairMode);
