/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <errno.h>
#include <string.h>

#include "alloc-util.h"
#include "render.h"
#include "string-util.h"

#define PARTIAL_DEPTH_MAX 32U

int renderer_add_inlines(Renderer *r, const Program *p) {
        for (size_t i = 0; i < p->n_nodes; i++) {
                const Node *n = p->nodes[i];
                Inline *inl;
                Value name;
                int q;

                if (n->type != NODE_INLINE)
                        continue;

                inl = renderer_alloc(r, sizeof(*inl));
                if (!inl)
                        return -ENOMEM;
                q = evaluate(r, n->call.params[0], &name);
                if (q < 0)
                        return q;
                *inl = (Inline) {
                        .next = r->inlines,
                        .closure = { r->template, n->program, r->scope, r->params, r->frame->partial_block },
                };
                if (!value_get_string(&name, &inl->name, &inl->name_size))
                        return renderer_fail(r, CCP_ERROR_RENDER_FAILED, n->location,
                                        "the name of an inline partial must be a text");
                r->inlines = inl;
        }
        return 0;
}

/* A JSON value that lives as long as the rendering. */
static json_t *to_json(Renderer *r, const Value *v) {
        json_t *j = NULL;

        switch (v->type) {
        case VALUE_UNDEFINED:
                return json_null();
        case VALUE_JSON:
                return json_incref((json_t *) v->json);
        case VALUE_INTEGER:
                return json_integer(v->integer);
        case VALUE_REAL:
                return json_real(v->real);
        case VALUE_BOOLEAN:
                return json_boolean(v->boolean);
        case VALUE_STRING:
                if (!GREEDY_REALLOC(r->strings, r->n_strings_allocated, r->n_strings + 1))
                        return NULL;
                j = json_stringn_nocheck(v->s, v->n);
                if (j)
                        r->strings[r->n_strings++] = j;
                return j;
        }
        return NULL;
}

/* The context of a partial with pairs: the fields of its context, overlaid by them. */
static int merge_pairs(Renderer *r, const Call *call, Value *context) {
        json_t *object;
        int q;

        if (!GREEDY_REALLOC(r->objects, r->n_objects_allocated, r->n_objects + 1))
                return -ENOMEM;
        object = json_object();
        if (!object)
                return -ENOMEM;
        r->objects[r->n_objects++] = object;

        if (value_json(context, JSON_OBJECT) && json_object_update(object, (json_t *) context->json) < 0)
                return -ENOMEM;
        for (size_t i = 0; i < call->n_hash; i++) {
                json_t *j;
                Value v;

                q = evaluate(r, call->hash[i].value, &v);
                if (q < 0)
                        return q;
                j = to_json(r, &v);
                if (!j || json_object_set_new_nocheck(object, call->hash[i].name, j) < 0)
                        return -ENOMEM;
        }

        *context = value_of_json(object);
        return 0;
}

static int partial_name(Renderer *r, const Node *n, const char **ret, size_t *ret_size) {
        Expression *e = n->call.callee;
        Value v;
        int q;

        if (e->type == EXPRESSION_PATH) {
                *ret = e->path.original;
                *ret_size = strlen(*ret);
                return 0;
        }

        q = evaluate(r, e, &v);
        if (q < 0)
                return q;
        if (!value_get_string(&v, ret, ret_size))
                return renderer_fail(r, CCP_ERROR_RENDER_FAILED, n->location,
                                "the name of a partial must be a text");
        return 0;
}

static int partial_context(Renderer *r, const Node *n, Value *ret) {
        int q = 0;

        if (n->call.n_params > 0)
                q = evaluate(r, n->call.params[0], ret);
        else
                *ret = r->options->explicit_partial_context ? (Value) {} : r->scope->value;
        if (q >= 0 && n->call.n_hash > 0)
                q = merge_pairs(r, &n->call, ret);
        return q;
}

/* A whole template as a partial: it sees its context and nothing outside, but in compat mode. */
static int render_template(Renderer *r, const Template *t, Value context) {
        const Scope scope = { context, r->options->compat ? r->scope : NULL }, *old_scope = r->scope;
        const BlockParams *old_params = r->params;
        const Template *old_template = r->template;
        int q;

        r->scope = &scope;
        r->params = NULL;
        r->template = t;
        q = render_program(r, t->program);
        r->scope = old_scope;
        r->params = old_params;
        r->template = old_template;
        return q;
}

static int find_template(Renderer *r, const Node *n, const char *name, size_t size, const Template **ret) {
        _cleanup_error_ Error e = {};
        char *copy;
        int q;

        *ret = NULL;
        if (!r->env->find_partial)
                return 0;

        copy = renderer_copy(r, name, size);
        if (!copy)
                return -ENOMEM;
        q = r->env->find_partial(copy, r->env->userdata, ret, &e);
        if (q < 0 && error_is_set(&e))
                return renderer_fail(r, e.name, n->location, "%s", strempty(e.message));
        return q;
}

static int render_named(Renderer *r, const Node *n, const char *name, size_t size, Value context) {
        const Template *t;
        int q;

        if (size == STRLEN("@partial-block") && memcmp(name, "@partial-block", size) == 0) {
                if (r->frame->partial_block)
                        return render_closure(r, r->frame->partial_block, context);
        } else
                for (const Inline *i = r->inlines; i; i = i->next)
                        if (i->name_size == size && memcmp(i->name, name, size) == 0) {
                                Closure c = i->closure;

                                /* Unlike a block, it sees the block that it was called with. */
                                c.partial_block = r->frame->partial_block;
                                return render_closure(r, &c, context);
                        }

        q = find_template(r, n, name, size, &t);
        if (q < 0)
                return q;
        if (t)
                return render_template(r, t, context);
        return -ENOENT;
}

static int call_partial(Renderer *r, const Node *n) {
        const char *name;
        size_t size;
        Value context;
        int q;

        q = partial_name(r, n, &name, &size);
        if (q < 0)
                return q;
        q = partial_context(r, n, &context);
        if (q < 0)
                return q;

        if (n->type == NODE_PARTIAL_BLOCK) {
                const Closure block = { r->template, n->program, r->scope, r->params,
                        r->frame->partial_block };
                const Frame frame = { r->frame, r->frame->iteration, &block }, *old_frame = r->frame;
                const Inline *old_inlines = r->inlines;

                q = n->program->inlines ? renderer_add_inlines(r, n->program) : 0;
                if (q >= 0) {
                        r->frame = &frame;
                        q = render_named(r, n, name, size, context);
                        r->frame = old_frame;
                }
                r->inlines = old_inlines;
                /* The block stands in for a partial that does not exist. */
                if (q == -ENOENT)
                        q = render_closure(r, &block, context);
        } else
                q = render_named(r, n, name, size, context);

        if (q == -ENOENT && !error_is_set(r->reterr))
                return renderer_fail(r, CCP_ERROR_RENDER_FAILED, n->location, "there is no partial '%.*s'",
                                (int) MIN(size, (size_t) 255), name);
        return q;
}

int render_partial(Renderer *r, Node *n) {
        const char *old_indent = r->indent;
        size_t old_indent_size = r->indent_size, indent_size, old_size;
        bool indents = n->type == NODE_PARTIAL && n->indent_size > 0, old_line_start = r->line_start;
        int q;

        if (r->partial_depth >= PARTIAL_DEPTH_MAX)
                return renderer_fail(r, CCP_ERROR_LIMIT_EXCEEDED, n->location,
                                "partials are nested more than %u deep", PARTIAL_DEPTH_MAX);

        if (indents && r->options->prevent_indent) {
                q = write_text(r, n->indent, n->indent_size, NULL);
                if (q < 0)
                        return q;
        } else if (indents) {
                char *p;

                indent_size = old_indent_size + n->indent_size;
                p = renderer_alloc(r, indent_size);
                if (!p)
                        return -ENOMEM;
                if (old_indent_size > 0)
                        memcpy(p, old_indent, old_indent_size);
                memcpy(p + old_indent_size, n->indent, n->indent_size);
                r->indent = p;
                r->indent_size = indent_size;
                r->line_start = true;
        }

        old_size = r->out.size;
        r->partial_depth++;
        q = call_partial(r, n);
        r->partial_depth--;
        r->indent = old_indent;
        r->indent_size = old_indent_size;
        r->line_start = r->out.size > old_size ? r->out.data[r->out.size - 1] == '\n' : old_line_start;
        return q;
}
