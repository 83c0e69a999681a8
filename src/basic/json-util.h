/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* jansson with our clean-up handlers and typed access. */

#include <jansson.h>
#include <stdint.h>

#include "ccp/macro.h"

/* json_decrefp() is jansson's own. */
#define _cleanup_json_ _cleanup_(json_decrefp)

/* Where jansson's own of these get no memory for a part of it, they give something else than what is there, or end the program.
 * So what is read from elsewhere, kept, or sent goes through these. jansson's own may stay where a person only looks at it, who
 * asks again: in ccpctl. And json_dumps() for a string alone, as only a key that cannot be appended is left out unnoticed, and
 * json_dumpf(), which appends to nothing. */

/* 'flags' are jansson's. -EBADMSG, -ENOMEM. */
int json_parse(const char *text, size_t size, size_t flags, json_t **ret);
/* Says also where it is none, and why. jansson's words may quote the text. Nothing is said where memory lacks. */
int json_parse_full(const char *text, size_t size, size_t flags, json_t **ret, json_error_t *ret_error);
/* NULL when out of memory. What was needed meanwhile is wiped. */
char *json_format(const json_t *j, size_t flags);

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
