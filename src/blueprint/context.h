/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The values that templates see; ccp-blueprint(5) lists them. */

#include "blueprint.h"
#include "json-util.h"
#include "subnet.h"

typedef struct ContextInput {
        const Blueprint *blueprint;
        const char *id, *slug, *name, *domain;
        uint64_t revision;
        const char *directory; /* absolute, of the instance */
        const char *source;    /* absolute, of the copied source; NULL if there is none */
        const char *bind;      /* address that ports are published on */
        const Subnet *subnet;
        const json_t *ports;      /* object from names to numbers */
        const json_t *secrets;    /* object from names to texts, or NULL */
        const json_t *parameters; /* as parameters_resolve() gives them */
        const json_t *features;   /* as features_resolve() gives them */
} ContextInput;

/* Makes the object. It holds the secrets: whoever frees it has the memory wiped by jansson's allocation
 * functions (json_set_alloc_funcs(3)), if that matters. */
int context_make(const ContextInput *input, json_t **ret);

/* A context with a made-up instance, for trying templates: every port, secret and parameter of the blueprint
 * has some value, and every feature is as 'features' says (NULL: its default). */
int context_make_sample(const Blueprint *b, const json_t *features, json_t **ret);
