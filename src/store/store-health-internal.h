/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Rows of health into records, for both halves of store-health.h. *ret is replaced. */

#include "store-health.h"
#include "store-internal.h"

/* health-probes-select */
int health_probe_records_read(const PGresult *result, HealthProbeRecords *ret, Error *reterr);
/* health-current-select */
int health_currents_read(const PGresult *result, HealthStates *ret, Error *reterr);
/* health-sweep-last */
int health_sweep_record_read(const PGresult *result, HealthSweepRecord *ret, Error *reterr);
