/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Evaluates a template's tree over a context. */

#include "ast.h"
#include "error.h"
#include "helpers.h"
#include "output.h"
#include "template-internal.h"

/* The contexts around a place: this, and by ../ the ones outside. */
typedef struct Scope {
        Value value;
        const struct Scope *parent;
} Scope;

/* What blocks define by @name. Each block that defines something has a frame; @../ leads to the outer one. */
typedef struct Iteration {
        Value index, key;
        bool first, last;
} Iteration;

typedef struct Frame {
        const struct Frame *parent;
        const Iteration *iteration;          /* inherited from the parent where it defines none */
        const struct Closure *partial_block; /* so is this */
} Frame;

typedef struct BlockParams {
        const struct BlockParams *parent;
        const Value *values;
        size_t n_values;
} BlockParams;

/* A body and what is visible where it was written. */
typedef struct Closure {
        const Template *template;
        const Program *program;
        const Scope *scope;
        const BlockParams *params;
        const struct Closure *partial_block; /* that of the frame there */
} Closure;

typedef struct Inline {
        const struct Inline *next;
        const char *name;
        size_t name_size;
        Closure closure;
} Inline;

/* One value that was written. The texts are borrowed from templates, but for 'text', which is wiped. */
typedef struct WrittenValue {
        char *text; /* what a reader of the target must find */
        size_t size;
        EscapeKind kind;
        bool in_comment;
        const char *template_name, *path;
        Location location;
} WrittenValue;

/* For the proof that a rendering is right: the first pass records what is written, the second one writes a
 * marker in the place of each value. */
#define MARKER_TOKEN_SIZE 20U
typedef struct Trace {
        bool markers;
        char token[MARKER_TOKEN_SIZE + 1]; /* letters and digits, random */
        WrittenValue *values;
        size_t n_values, n_allocated;
        size_t n_markers;
} Trace;

void trace_done(Trace *t);

struct Renderer {
        const Template *template; /* of the node that is being rendered */
        const TemplateOptions *options;
        const TemplateEnvironment *env;
        const Escaper *escaper;
        Trace *trace;
        Error *reterr;

        Output out;
        Position position;
        const char *indent; /* before each line of a partial that stands alone on an indented line */
        size_t indent_size;
        bool line_start;

        Value root;
        const Scope *scope;
        const Frame *frame;
        const BlockParams *params;
        const Inline *inlines;
        unsigned depth, partial_depth;
        uint64_t steps, context_id;

        struct ScratchChunk *scratch;
        json_t **objects, **strings; /* made for partials' contexts; the strings are wiped */
        size_t n_objects, n_objects_allocated, n_strings, n_strings_allocated;
};

/* Renders; 'trace' may be NULL. As template_render(). */
int render(const Template *t, const json_t *context, const TemplateEnvironment *env, Trace *trace,
                char **ret, size_t *ret_size, Error *reterr);

/* For helpers */

/* Memory that lives as long as the rendering and is wiped; NULL when out of memory. The copy ends with NUL. */
void *renderer_alloc(Renderer *r, size_t size);
char *renderer_copy(Renderer *r, const char *s, size_t n);
/* The field or element of a value; undefined if there is none. */
Value renderer_get(Renderer *r, const Value *v, const Value *key);
/* The text of a value; that of numbers goes to buf. A list or object gives ESCAPE_COMPOSITE and no text. */
void value_text(const Value *v, char buf[static NUMBER_TEXT_MAX], EscapeValue *ret);

int block_if(Renderer *r, Node *node, const HelperCall *call);
int block_unless(Renderer *r, Node *node, const HelperCall *call);
int block_each(Renderer *r, Node *node, const HelperCall *call);
int block_with(Renderer *r, Node *node, const HelperCall *call);
int block_raw(Renderer *r, Node *node, const HelperCall *call);

/* Between render.c, evaluate.c, partial.c and write.c */

_printf_(4, 5) int renderer_fail(Renderer *r, const char *name, Location at, const char *format, ...);
int evaluate(Renderer *r, Expression *e, Value *ret);
/* The value of a path in a place where strict mode wants it to exist. */
int evaluate_path_strict(Renderer *r, Expression *e, Value *ret);
/* Calls the helper of a call for its value. */
int evaluate_call(Renderer *r, const Call *call, Location at, Value *ret);
/* *ret is 'few' or, for more arguments, memory of the renderer. */
#define FEW_ARGUMENTS 2U
int evaluate_arguments(Renderer *r, const Call *call, Location at, Value few[static FEW_ARGUMENTS],
                const Value **ret);
/* The value of NAME= in a tag; undefined if it is not given. */
int evaluate_pair(Renderer *r, const Call *call, const char *name, Value *ret);

int render_program(Renderer *r, const Program *p);
int render_closure(Renderer *r, const Closure *c, Value context);
int render_partial(Renderer *r, Node *n);
/* Makes the inline partials of a body visible; the caller restores r->inlines. */
int renderer_add_inlines(Renderer *r, const Program *p);

int write_text(Renderer *r, const char *s, size_t n, EscapeMemo *memo);
int write_value(Renderer *r, Node *n, const Value *v);
