/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The tree that the parser makes of a template. All of it lies in the template's arena and goes with it;
 * texts are parts of the template's copy of the source, or copies in the arena. */

#include <jansson.h>

#include "ccp/macro.h"
#include "escape.h"

typedef struct Helper Helper;
typedef struct Node Node;
typedef struct Expression Expression;

/* Both count from 1; columns are bytes. */
typedef struct Location {
        uint32_t line, column;
} Location;

typedef struct Segment {
        const char *name; /* NUL-terminated */
        size_t size;
} Segment;

/* a.b, ../a, this.a, @index, @../key, or a block parameter */
typedef struct Path {
        Segment *segments;
        size_t n_segments;
        const char *original; /* as written, without brackets: what end tags are compared with */
        unsigned depth;       /* number of ../ */
        bool data;            /* began with @ */
        bool scoped;          /* began with ./ or this: never a helper */
        bool block_param;     /* segments[0] names a parameter of a block around it, found thus: */
        unsigned block_param_depth, block_param_index;
        /* What it led to last time: for one context (see TemplateEnvironment.context_id) and "this". */
        uint64_t memo_context_id;
        const json_t *memo_scope, *memo_value;
} Path;

typedef struct HashPair {
        const char *name;
        Expression *value;
} HashPair;

/* What stands in a tag: a name, arguments, name=value pairs. */
typedef struct Call {
        Expression *callee;   /* a path; a partial's name may be a subexpression or literal too */
        const Helper *helper; /* the helper that the name means, or NULL */
        Expression **params;
        size_t n_params;
        HashPair *hash;
        size_t n_hash;
} Call;

typedef enum ExpressionType {
        EXPRESSION_PATH,
        EXPRESSION_STRING,
        EXPRESSION_INTEGER,
        EXPRESSION_REAL,
        EXPRESSION_BOOLEAN,
        EXPRESSION_NULL,
        EXPRESSION_UNDEFINED,
        EXPRESSION_CALL,
} ExpressionType;

struct Expression {
        ExpressionType type;
        Location location;
        union {
                Path path;
                Segment string;
                json_int_t integer;
                double real;
                bool boolean;
                Call call;
        };
};

typedef struct Program {
        Node **nodes;
        size_t n_nodes;
        size_t n_params; /* block parameters: as |a b| */
        bool chained;    /* made of {{else NAME …}} */
        bool inlines;    /* has {{#*inline}} among its nodes */
} Program;

/* Which sides of a tag had a ~. */
typedef struct Strip {
        bool open, close;
} Strip;

typedef enum NodeType {
        NODE_CONTENT,
        NODE_MUSTACHE,
        NODE_BLOCK,
        NODE_PARTIAL,
        NODE_PARTIAL_BLOCK,
        NODE_INLINE,
        NODE_COMMENT,
} NodeType;

typedef struct Content {
        const char *original, *text; /* as written; what is left after whitespace control */
        size_t original_size, size;
        bool left_stripped, right_stripped;
        EscapeMemo memo;
} Content;

/* What writing a value did last time. It holds for one context (see TemplateEnvironment.context_id), the value
 * of "this" there and the position, and only where the value was written as it is. */
typedef struct ValueMemo {
        uint64_t context_id; /* 0: nothing is remembered */
        const json_t *scope;
        Position from, to;
        const char *s; /* in the context, or number */
        size_t n;
        char number[24];
} ValueMemo;

/* In a list each item has its own "this": further memos, by the address of that. */
#define VALUE_MEMOS_MORE 8U
static inline size_t value_memo_index(const json_t *scope) {
        return (((uintptr_t) scope >> 5) ^ ((uintptr_t) scope >> 8)) % VALUE_MEMOS_MORE;
}

struct Node {
        NodeType type;
        Location location;
        Strip strip; /* of a block: its opening tag */
        union {
                Content content;
                struct {
                        Call call;
                        union {
                                struct {
                                        bool raw;
                                        int follow; /* see EscapeValue */
                                        const Content *rest;
                                        ValueMemo memo, *more; /* 'more': NULL until needed */
                                };
                                struct {
                                        Program *program, *inverse;
                                        Strip inverse_strip, close_strip;
                                        bool inverted; /* {{^NAME}}: the inverse came first */
                                };
                                struct {
                                        const char *indent; /* of a partial alone on its line */
                                        size_t indent_size;
                                };
                        };
                };
        };
};

/* Memory that is freed at once. */
typedef struct Arena {
        struct ArenaChunk *chunks;
        size_t left;
        char *next;
} Arena;

void *arena_alloc(Arena *a, size_t size);
void arena_done(Arena *a);
