/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Findings (finding.h) on the bus. */

#include "ccpd-manager.h"

/* An operation_append_t: the k-th of a JSON array, as (ssss). Its texts are partly those of others, who may say anything: what is no
 * text is left out. */
int finding_append(sd_bus_message *reply, Operation *o, const void *findings, size_t k);

/* The text at a key, or "" where there is none that the bus takes. Borrowed from the object. */
const char *json_get_bus_text(const json_t *o, const char *key);
