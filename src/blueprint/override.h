/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* ccp.override.yml: what ccpd adds to a compose file, as a second file for compose.
 *
 * Each service gets the labels ccp.*, logging to the journal, the instance's slice, when Docker starts it again, and
 * the limits: they are ceilings, so a service keeps a lower limit of its own. Each network and volume gets the labels. The
 * instance's subnet goes to its network; if there are several, it is cut into equal parts (two of a /26: /27;
 * up to four: /28) that are given out in the order of the networks' names. A network that names a part of the
 * subnet itself keeps it. What is external, or a network of another driver, stays as it is. */

#include "blueprint.h"
#include "json-util.h"
#include "subnet.h"

/* The smallest part of a subnet that a network can do with: 13 containers. */
#define NETWORK_PREFIX_MAX 28U

typedef struct OverrideInput {
        const char *slug;
        const char *id;
        uint64_t revision;
        const Subnet *subnet;
        const ResourceLimits *limits; /* NULL: none */
        const Blueprint *blueprint;   /* says which services are one-shots; NULL: none is */
        const json_t *volumes; /* key → name in the engine; NULL, and those not in it: compose's own name */
} OverrideInput;

/* 'config' is the resolved compose file, which passed policy_check(). The result is the text of the YAML
 * file. Fails with BlueprintInvalid if there are more networks than the subnet has room for. */
int override_make(const json_t *config, const OverrideInput *input, char **ret, Error *reterr);
