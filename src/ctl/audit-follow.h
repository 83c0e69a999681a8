/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Entries of the audit record as they come. Goes on when ccpd or PostgreSQL is restarted meanwhile, and misses
 * nothing then. */

#include "audit-query.h"

/* Hands the newest entries over, at most 'max', then all that come after them, oldest first, whenever there
 * are some. Ends when 'show' returns a value below 0, and returns that. */
int audit_follow(Ctl *c, const AuditFilter *f, uint64_t max, int (*show)(Ctl *c, const json_t *rows),
                Error *reterr);
