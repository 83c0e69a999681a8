/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The values that expressions have: those of the context, borrowed, and those that evaluation makes, without
 * an allocation. */

#include <jansson.h>

#include "ccp/macro.h"

typedef enum ValueType {
        VALUE_UNDEFINED,
        VALUE_JSON, /* any JSON value, null included */
        VALUE_INTEGER,
        VALUE_REAL,
        VALUE_BOOLEAN,
        VALUE_STRING,
} ValueType;

typedef struct Value {
        ValueType type;
        union {
                const json_t *json;
                json_int_t integer;
                double real;
                bool boolean;
                struct {
                        const char *s;
                        size_t n;
                };
        };
} Value;

/* NULL: undefined. Borrowed. */
static inline Value value_of_json(const json_t *j) {
        return (Value) { j ? VALUE_JSON : VALUE_UNDEFINED, { .json = j } };
}

static inline Value value_of_integer(json_int_t i) {
        return (Value) { VALUE_INTEGER, { .integer = i } };
}

static inline Value value_of_boolean(bool b) {
        return (Value) { VALUE_BOOLEAN, { .boolean = b } };
}

static inline Value value_of_string(const char *s, size_t n) {
        Value v = { VALUE_STRING, {} };

        v.s = s;
        v.n = n;
        return v;
}

/* undefined or null */
static inline bool value_is_nothing(const Value *v) {
        return v->type == VALUE_UNDEFINED || (v->type == VALUE_JSON && json_is_null(v->json));
}

static inline const json_t *value_json(const Value *v, json_type type) {
        return v->type == VALUE_JSON && json_typeof(v->json) == type ? v->json : NULL;
}

bool value_get_string(const Value *v, const char **ret, size_t *ret_size);
bool value_get_boolean(const Value *v, bool *ret);
/* Numbers: false for anything else. */
bool value_get_number(const Value *v, double *ret);
/* True for an integer, which compares exactly. */
bool value_get_integer(const Value *v, json_int_t *ret);

/* False are undefined, null, false, 0, NaN, "" and the empty list. */
bool value_is_true(const Value *v);
/* Same type and content; integers and reals compare as numbers, lists and objects by identity. */
bool value_equal(const Value *a, const Value *b);

#define NUMBER_TEXT_MAX 40U
/* A number as JavaScript prints it. Returns the length. */
size_t number_to_text(char buf[static NUMBER_TEXT_MAX], double d);
size_t integer_to_text(char buf[static NUMBER_TEXT_MAX], json_int_t i);
