/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* jansson with our clean-up handlers and typed access. */

#include <jansson.h>
#include <stdint.h>

#include "ccp/macro.h"

/* json_decrefp() is jansson's own. */
#define _cleanup_json_ _cleanup_(json_decrefp)

static inline json_t *json_object_get_typed(const json_t *o, const char *key, json_type type) {
        json_t *v = json_object_get(o, key);

        return v && json_typeof(v) == type ? v : NULL;
}

/* The string at a key, or NULL where it is missing or no string. Borrowed from the object. */
static inline const char *json_object_get_string(const json_t *o, const char *key) {
        return json_string_value(json_object_get(o, key));
}

/* The number at a key, or 0 where it is missing, none, or negative. */
static inline uint64_t json_get_number(const json_t *o, const char *key) {
        json_int_t n = json_integer_value(json_object_get(o, key));

        return n > 0 ? (uint64_t) n : 0;
}
