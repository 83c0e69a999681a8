/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The state of the fleet as text for monitoring. */

#include "ccpd-manager.h"
#include "open-metrics.h"

/* Writes what is known of all instances, with the counters as they were read last (manager_read_use()). ret is freed by
 * the caller. 0 or -ENOMEM. */
int manager_make_metrics(const Manager *m, MetricsFormat format, char **ret, size_t *ret_size);
