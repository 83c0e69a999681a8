/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The blueprints that a sweep judges by, each read once. */

#include "blueprint.h"
#include "records.h"

typedef struct SweepBlueprints SweepBlueprints;

/* Both may be NULL for the usual ones; borrowed. */
int sweep_blueprints_new(char *const *templates, const char *instances_dir, SweepBlueprints **ret);
SweepBlueprints *sweep_blueprints_free(SweepBlueprints *b);
DEFINE_CLEANUP_FUNC(SweepBlueprints *, sweep_blueprints_free);

/* The blueprint of an instance: the installed one, if it has the version that the instance was made from; else
 * the copy that its revision has; else the installed one whatever its version. NULL if there is none that can
 * be read. */
const Blueprint *sweep_blueprints_find(SweepBlueprints *b, const InstanceRecord *i);

/* The host that a service is asked for, rendered with what is known of the instance without its secrets. To be
 * freed. */
int sweep_render_host(
                const Blueprint *b, const InstanceRecord *i, const char *host, char **ret, Error *reterr);
