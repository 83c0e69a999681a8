/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Ceilings for each container of an instance: from its blueprint, or chosen for the instance. */

#include <errno.h>

#include "error.h"
#include "json-util.h"

typedef struct ResourceLimits {
        uint64_t memory; /* bytes; 0, here and below: none */
        uint64_t cpus;   /* thousandths */
        uint64_t pids;
} ResourceLimits;

typedef enum LimitKind {
        LIMIT_MEMORY,
        LIMIT_CPUS,
        LIMIT_PIDS,
        _LIMIT_KIND_MAX,
        _LIMIT_KIND_INVALID = -EINVAL,
} LimitKind;
DECLARE_STRING_TABLE(limit_kind, LimitKind);

/* Sets a limit to what a person wrote: "512M", "1.5", "200". -EINVAL for a text that limit_rule() does not describe. */
int limits_set(ResourceLimits *limits, LimitKind kind, const char *text);
/* Completes "has to be …". Static. */
const char *limit_rule(LimitKind kind);
/* The same by name; sets an error that says what is wrong. */
int limits_set_named(ResourceLimits *limits, const char *name, const char *text, Error *reterr);

#define LIMIT_TEXT_MAX 24U
/* As limits_set() takes it; "" for none. Returns buf. */
const char *limit_format(char *buf, size_t size, const ResourceLimits *limits, LimitKind kind);
#define LIMIT_FORMAT(l, kind) limit_format((char[LIMIT_TEXT_MAX]) {}, LIMIT_TEXT_MAX, (l), (kind))

/* Those that were chosen, and where none was those of the blueprint. */
ResourceLimits limits_merge(const ResourceLimits *chosen, const ResourceLimits *blueprint);

/* {"memory": BYTES, "cpus": THOUSANDTHS, "pids": NUMBER} with those that are set. */
int limits_to_json(const ResourceLimits *limits, json_t **ret);
/* -EBADMSG for anything else. */
int limits_from_json(const json_t *json, ResourceLimits *ret);
