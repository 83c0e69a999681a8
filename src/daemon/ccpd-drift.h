/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What of an instance that should run is not as it was made, and was not made so by ccpd. */

#include <errno.h>

#include "ccp/macro.h"
#include "time-util.h"

typedef struct Instance Instance;

typedef enum DriftKind {
        DRIFT_STOPPED, /* a container, as the next two */
        DRIFT_PAUSED,
        DRIFT_REMOVED,
        DRIFT_IMAGE, /* a container of another image than the revision's */
        DRIFT_EXTRA, /* a container of a service that the instance does not have */
        DRIFT_FILE_CHANGED,
        DRIFT_FILE_ADDED,
        DRIFT_FILE_MISSING,
        _DRIFT_KIND_MAX,
        _DRIFT_KIND_INVALID = -EINVAL,
} DriftKind;
DECLARE_STRING_TABLE(drift_kind, DriftKind);

typedef struct Drift {
        DriftKind kind;
        char *subject; /* service, or path below the revision's folder */
        usec_t since;  /* realtime */
} Drift;

typedef struct Drifts {
        Drift *items;
        size_t n, n_allocated;
} Drifts;

void drifts_done(Drifts *l);

/* Whether a start of the instance puts it right. */
bool drift_is_repairable(DriftKind kind);

/* Looks anew. 'live': what the containers do is known, and it is not ccpd that does something to them. Returns when time
 * alone makes a difference (realtime), USEC_INFINITY: never. */
usec_t instance_update_drift(Instance *i, bool live);

/* Whether all runs that has to; what may fail, and what was stopped on purpose, does not count. */
bool instance_is_up(const Instance *i);
