/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The helpers that a tag or subexpression can name. Handlebars' own and those that configuration needs:
 *   eq ne lt le gt ge (also lte gte)  and or not   compare; as a block they are conditions
 *   default VALUE ELSE…               the first that is neither missing, null nor ""
 *   concat VALUE…   join LIST SEPARATOR   lower upper TEXT   length LIST   contains LIST|TEXT VALUE
 * Comparisons are strict: a number never equals a text. */

#include "value.h"

typedef struct Renderer Renderer;
typedef struct Node Node;

typedef struct HelperCall {
        const Value *args;
        size_t n_args;
} HelperCall;

typedef struct Helper {
        const char *name;
        unsigned min_args, max_args;
        bool builtin; /* of Handlebars: hides fields of the same name */
        /* Computes a value. On failure *ret_reason is a static text that goes on from "NAME: …". */
        int (*compute)(Renderer *r, const HelperCall *call, Value *ret, const char **ret_reason);
        /* Renders the block. NULL: as a block the helper is a condition. */
        int (*block)(Renderer *r, Node *node, const HelperCall *call);
} Helper;

const Helper *helper_find(const char *name);
