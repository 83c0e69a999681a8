/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The parameters and features that somebody chose, checked against a blueprint and completed with its
 * defaults. A sentence about a parameter with "secret: true" never has its value. */

#include "blueprint.h"
#include "json-util.h"

/* Checks one value and makes it a JSON string, integer or boolean. Fails with InvalidArgument. */
int parameter_parse_value(const BlueprintParameter *p, const char *value, json_t **ret, Error *reterr);

/* 'given' is an object from names to strings, or NULL. The result has every parameter of the blueprint, each
 * with its type. Unknown names, and required ones that are missing, are InvalidArgument. 'secrets_elsewhere': those
 * that are secrets, and not given, come from somewhere else and are left out. */
int parameters_resolve(const Blueprint *b, const json_t *given, bool secrets_elsewhere, json_t **ret,
                Error *reterr);

/* Each entry of 'given' (NULL allowed) is NAME to turn a feature on, or NAME=yes or NAME=no; those that are
 * not named have their default. The result is an object from every feature's name to true or false. */
int features_resolve(const Blueprint *b, char *const *given, json_t **ret, Error *reterr);

/* The compose profiles that the features which are on turn on, each once, in the blueprint's order. */
int features_to_profiles(const Blueprint *b, const json_t *features, char ***ret);

/* True if there is such a service under these features. */
bool service_is_enabled(const BlueprintService *s, const json_t *features);
