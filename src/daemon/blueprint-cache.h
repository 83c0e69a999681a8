/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The blueprints that are there, kept in memory for the objects on the bus. Whoever makes something of one
 * reads it anew from disk, so that what an author saved a second ago counts. */

#include "blueprint.h"

typedef struct BlueprintCache {
        char **directories;      /* where they are looked for; NULL: the usual places */
        BlueprintEntry *entries; /* by name, broken ones too */
        size_t n_entries;
} BlueprintCache;

/* $CCP_TEMPLATES, directories separated by colons, stands for the usual places; for tests. */
BlueprintCache *blueprint_cache_new(void);
BlueprintCache *blueprint_cache_free(BlueprintCache *c);
DEFINE_CLEANUP_FUNC(BlueprintCache *, blueprint_cache_free);

/* Reads all of them again. */
int blueprint_cache_refresh(BlueprintCache *c);

/* Reads one anew, for the caller to keep. */
int blueprint_cache_load(const BlueprintCache *c, const char *name, Blueprint **ret, Error *reterr);

/* NULL if there is none of that name, or it is broken. */
const Blueprint *blueprint_cache_find(const BlueprintCache *c, const char *name);

/* How a service is to be judged; as an ordinary one if its blueprint is gone. */
ServiceKind blueprint_cache_service_kind(
                const BlueprintCache *c, const char *blueprint, const char *service);
