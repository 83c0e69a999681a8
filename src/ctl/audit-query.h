/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Entries of the audit record, as ccpd hands them out: by filter, in pages. */

#include "ctl.h"

/* The most that ccpd gives with one call. */
#define AUDIT_PAGE_MAX 1000U

/* Which entries are wanted. Strings are borrowed; NULL: any. */
typedef struct AuditFilter {
        const char *instance, *user, *action, *outcome;
        usec_t since, until; /* since <= time < until; 0 and USEC_INFINITY: any */
} AuditFilter;

/* Those of --instance, --user, --action, --outcome, --since and --until. Fails with InvalidArgument. */
int audit_filter_from_arguments(const Ctl *c, AuditFilter *ret, Error *reterr);

/* A page of entries, oldest first, with numbers above 'after'; it is empty when there are none. */
int audit_query_after(Ctl *c, const AuditFilter *f, uint64_t after, json_t **ret, Error *reterr);
/* The newest entries, at most 'max', oldest first. */
int audit_query_newest(Ctl *c, const AuditFilter *f, uint64_t max, json_t **ret, Error *reterr);

/* The number of an entry. */
uint64_t audit_seq(const json_t *row);
