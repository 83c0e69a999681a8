/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "render.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "alloc-util.h"
#include "string-util.h"

#define DEPTH_MAX 512U
#define STEPS_MAX 10000000ULL
#define SCRATCH_CHUNK_SIZE 4096U

struct ScratchChunk {
        struct ScratchChunk *next;
        size_t size, used;
        max_align_t data[];
};

int renderer_fail(Renderer *r, const char *name, Location at, const char *format, ...) {
        _cleanup_free_ char *message = NULL;
        va_list ap;
        int k;

        va_start(ap, format);
        k = vasprintf(&message, format, ap);
        va_end(ap);
        if (k < 0) {
                message = NULL;
                return -ENOMEM;
        }

        return error_setf(r->reterr, name, "%s:%u:%u: %s", r->template->name, at.line, at.column, message);
}

void *renderer_alloc(Renderer *r, size_t size) {
        struct ScratchChunk *c = r->scratch;
        const size_t align = _Alignof(max_align_t);
        void *p;

        if (size > SIZE_MAX / 2)
                return NULL;

        size = (MAX(size, (size_t) 1) + align - 1) / align * align;
        if (!c || c->size - c->used < size) {
                size_t n = MAX(size, (size_t) SCRATCH_CHUNK_SIZE);

                c = malloc(sizeof(*c) + n);
                if (!c)
                        return NULL;
                c->next = r->scratch;
                c->size = n;
                c->used = 0;
                r->scratch = c;
        }

        p = (char *) c->data + c->used;
        c->used += size;
        return p;
}

char *renderer_copy(Renderer *r, const char *s, size_t n) {
        char *p;

        p = renderer_alloc(r, n + 1);
        if (!p)
                return NULL;

        if (n > 0)
                memcpy(p, s, n);
        p[n] = 0;
        return p;
}

static void renderer_done(Renderer *r) {
        struct ScratchChunk *next;

        for (struct ScratchChunk *c = r->scratch; c; c = next) {
                next = c->next;
                explicit_bzero(c->data, c->used);
                free(c);
        }
        for (size_t i = 0; i < r->n_strings; i++)
                explicit_bzero((char *) json_string_value(r->strings[i]), json_string_length(r->strings[i]));
        for (size_t i = 0; i < r->n_objects; i++)
                json_decref(r->objects[i]);
        free(r->objects);
        free(r->strings);
        output_done(&r->out);
}

void trace_done(Trace *t) {
        for (size_t i = 0; i < t->n_values; i++) {
                explicit_bzero(t->values[i].text, t->values[i].size);
                free(t->values[i].text);
        }
        free(t->values);
        *t = (Trace) {};
}

/* The same thing, so that entering it makes no new level for ../ */
static bool is_same_context(const Value *a, const Value *b) {
        if (a->type == VALUE_JSON && b->type == VALUE_JSON &&
                        (a->json == b->json || json_is_object(a->json)))
                return a->json == b->json;
        return value_equal(a, b);
}

/* A body over a context, with the values of its block parameters. */
static int render_body(
                Renderer *r, const Program *p, const Value *context, const Value *values, size_t n_values) {
        const Scope scope = { *context, r->scope }, *old_scope = r->scope;
        const BlockParams params = { r->params, values, n_values }, *old_params = r->params;
        int q;

        if (!p)
                return 0;

        if (!is_same_context(context, &r->scope->value))
                r->scope = &scope;
        if (p->n_params > 0)
                r->params = &params;
        q = render_program(r, p);
        r->scope = old_scope;
        r->params = old_params;
        return q;
}

/* A body in the context that is current. */
static int render_here(Renderer *r, const Program *p) {
        const Value none[1] = {};

        return p ? render_body(r, p, &r->scope->value, none, 0) : 0;
}

int render_closure(Renderer *r, const Closure *c, Value context) {
        const Scope scope = { context, c->scope }, *old_scope = r->scope;
        const BlockParams *old_params = r->params;
        const Template *old_template = r->template;
        const Frame frame = { r->frame, r->frame->iteration, c->partial_block }, *old_frame = r->frame;
        int q;

        r->scope = c->scope && is_same_context(&context, &c->scope->value) ? c->scope : &scope;
        r->params = c->params;
        r->template = c->template;
        r->frame = &frame;
        q = render_program(r, c->program);
        r->scope = old_scope;
        r->params = old_params;
        r->template = old_template;
        r->frame = old_frame;
        return q;
}

int block_if(Renderer *r, Node *node, const HelperCall *call) {
        bool condition = value_is_true(&call->args[0]);
        double d;
        Value v;
        int q;

        if (!condition && value_get_number(&call->args[0], &d)) {
                q = evaluate_pair(r, &node->call, "includeZero", &v);
                if (q < 0)
                        return q;
                condition = value_is_true(&v);
        }
        return render_here(r, condition ? node->program : node->inverse);
}

int block_unless(Renderer *r, Node *node, const HelperCall *call) {
        return render_here(r, value_is_true(&call->args[0]) ? node->inverse : node->program);
}

int block_with(Renderer *r, Node *node, const HelperCall *call) {
        const Value *v = &call->args[0];

        /* Unlike for if, 0 is something. */
        if (!value_is_true(v) && !value_get_number(v, &(double) { 0 }))
                return render_here(r, node->inverse);
        return render_body(r, node->program, v, v, 1);
}

int block_raw(Renderer *r, Node *node, _unused_ const HelperCall *call) {
        return render_here(r, node->program);
}

/* Counts as work, so that a small template can't keep us busy for long. */
static int step(Renderer *r, Location at) {
        if (++r->steps > STEPS_MAX)
                return renderer_fail(r, CCP_ERROR_LIMIT_EXCEEDED, at, "rendering takes more than %llu steps",
                                STEPS_MAX);
        if (r->out.error == -E2BIG)
                return renderer_fail(r, CCP_ERROR_LIMIT_EXCEEDED, at, "the output is larger than %u bytes",
                                TEMPLATE_OUTPUT_MAX);
        return r->out.error;
}

static int render_item(Renderer *r, Node *node, Iteration *i, Value value) {
        const Value values[] = { value, i->key };
        int q;

        q = step(r, node->location);
        if (q < 0)
                return q;
        return render_body(r, node->program, &value, values, ELEMENTSOF(values));
}

static int each_array(Renderer *r, Node *node, const json_t *array, Iteration *i) {
        size_t n = json_array_size(array);
        int q;

        for (size_t k = 0; k < n; k++) {
                i->index = i->key = value_of_integer((json_int_t) k);
                i->first = k == 0;
                i->last = k + 1 == n;
                q = render_item(r, node, i, value_of_json(json_array_get(array, k)));
                if (q < 0)
                        return q;
        }
        return 0;
}

typedef struct Pair {
        const char *key;
        size_t key_size;
        const json_t *value;
} Pair;

/* JavaScript's order of keys: those that are array indexes by number, then the others as they were added. */
static bool key_is_index(const char *key, unsigned long *ret) {
        size_t n;

        if (key[0] < '0' || key[0] > '9')
                return false;
        n = strspn(key, "0123456789");
        if (n > 9 || key[n] || (key[0] == '0' && n > 1))
                return false;
        *ret = strtoul(key, NULL, 10);
        return true;
}

static int compare_pairs(const void *a, const void *b) {
        unsigned long x = 0, y = 0;

        (void) key_is_index(((const Pair *) a)->key, &x);
        (void) key_is_index(((const Pair *) b)->key, &y);
        return (x > y) - (x < y);
}

static int object_pairs(Renderer *r, json_t *object, Pair **ret, size_t *ret_n) {
        size_t n_indexes = 0, k = 0;
        unsigned long index;
        Pair *pairs;

        pairs = renderer_alloc(r, json_object_size(object) * sizeof(Pair));
        if (!pairs)
                return -ENOMEM;

        for (int indexes = 1; indexes >= 0; indexes--) {
                for (void *i = json_object_iter(object); i; i = json_object_iter_next(object, i)) {
                        const char *key = json_object_iter_key(i);

                        if (key_is_index(key, &index) == (indexes > 0))
                                pairs[k++] = (Pair) { key, json_object_iter_key_len(i),
                                        json_object_iter_value(i) };
                }
                if (indexes > 0)
                        n_indexes = k;
        }
        if (n_indexes > 1)
                qsort(pairs, n_indexes, sizeof(Pair), compare_pairs);

        *ret = pairs;
        *ret_n = k;
        return 0;
}

static int each_object(Renderer *r, Node *node, const json_t *object, Iteration *i) {
        Pair *pairs = NULL;
        size_t n = 0;
        int q;

        q = object_pairs(r, (json_t *) object, &pairs, &n);
        if (q < 0)
                return q;
        for (size_t k = 0; k < n; k++) {
                i->index = value_of_integer((json_int_t) k);
                i->key = value_of_string(pairs[k].key, pairs[k].key_size);
                i->first = k == 0;
                i->last = k + 1 == n;
                q = render_item(r, node, i, value_of_json(pairs[k].value));
                if (q < 0)
                        return q;
        }
        return 0;
}

int block_each(Renderer *r, Node *node, const HelperCall *call) {
        const json_t *array = value_json(&call->args[0], JSON_ARRAY),
                     *object = value_json(&call->args[0], JSON_OBJECT);
        Iteration i = {};
        const Frame frame = { r->frame, &i, r->frame->partial_block }, *old_frame = r->frame;
        int q;

        if (json_array_size(array) == 0 && json_object_size(object) == 0)
                return render_here(r, node->inverse);

        r->frame = &frame;
        q = array ? each_array(r, node, array, &i) : each_object(r, node, object, &i);
        r->frame = old_frame;
        return q;
}

/* {{#path}}: a condition, a list or a context, by what the value is. */
static int render_path_block(Renderer *r, Node *node) {
        HelperCall call = { .n_args = 1 };
        Value v;
        bool b;
        int q;

        q = evaluate_path_strict(r, node->call.callee, &v);
        if (q < 0)
                return q;

        call.args = &v;
        if (value_is_nothing(&v))
                return render_here(r, node->inverse);
        if (value_get_boolean(&v, &b))
                return render_here(r, b ? node->program : node->inverse);
        if (value_json(&v, JSON_ARRAY))
                return block_each(r, node, &call);
        return render_body(r, node->program, &v, &v, 1);
}

static int render_block(Renderer *r, Node *node) {
        HelperCall call = { .n_args = node->call.n_params };
        Value v, few[FEW_ARGUMENTS];
        int q;

        if (!node->call.helper && call.n_args == 0 && node->call.n_hash == 0)
                return render_path_block(r, node);

        if (node->call.helper && !node->call.helper->block) {
                q = evaluate_call(r, &node->call, node->location, &v);
                if (q < 0)
                        return q;
                return render_here(r, value_is_true(&v) ? node->program : node->inverse);
        }

        q = evaluate_arguments(r, &node->call, node->location, few, &call.args);
        if (q < 0)
                return q;
        assert(node->call.helper);
        return node->call.helper->block(r, node, &call);
}

static int render_mustache(Renderer *r, Node *node) {
        const Call *call = &node->call;
        Value v;
        int q;

        if (call->helper || call->n_params > 0 || call->n_hash > 0)
                q = evaluate_call(r, call, node->location, &v);
        else
                q = evaluate_path_strict(r, call->callee, &v);
        if (q < 0)
                return q;
        return write_value(r, node, &v);
}

static int render_node(Renderer *r, Node *n) {
        switch (n->type) {
        case NODE_CONTENT:
                return write_text(r, n->content.text, n->content.size, &n->content.memo);
        case NODE_MUSTACHE:
                return render_mustache(r, n);
        case NODE_BLOCK:
                return render_block(r, n);
        case NODE_PARTIAL:
        case NODE_PARTIAL_BLOCK:
                return render_partial(r, n);
        case NODE_INLINE:
        case NODE_COMMENT:
                return 0;
        }
        return -EINVAL;
}

/* The usual case, without detours: text whose effect is known, a value that was written here before. False if
 * it is another case. */
static inline bool render_known(Renderer *r, const Node *n) {
        const ValueMemo *m;

        if (n->type == NODE_CONTENT) {
                const Content *c = &n->content;

                if (!c->memo.valid || !position_equal(&c->memo.from, &r->position))
                        return false;
                output_append_short(&r->out, c->text, c->size);
                r->position = c->memo.to;
                return true;
        }

        if (n->type != NODE_MUSTACHE || r->scope->value.type != VALUE_JSON)
                return false;
        m = &n->memo;
        if (m->scope != r->scope->value.json && n->more)
                m = &n->more[value_memo_index(r->scope->value.json)];
        if (m->context_id == 0 || m->context_id != r->context_id || m->scope != r->scope->value.json ||
                        !position_equal(&m->from, &r->position))
                return false;
        output_append_short(&r->out, m->s, m->n);
        r->position = m->to;
        return true;
}

int render_program(Renderer *r, const Program *p) {
        const Inline *old_inlines = r->inlines;
        bool plain = r->indent_size == 0 && !r->trace;
        int q;

        if (r->depth >= DEPTH_MAX)
                return renderer_fail(r, CCP_ERROR_LIMIT_EXCEEDED,
                                p->n_nodes > 0 ? p->nodes[0]->location : (Location) { 1, 1 },
                                "blocks and partials are nested more than %u deep", DEPTH_MAX);

        r->steps += p->n_nodes;
        q = step(r, p->n_nodes > 0 ? p->nodes[0]->location : (Location) { 1, 1 });
        if (q >= 0 && p->inlines)
                q = renderer_add_inlines(r, p);
        r->depth++;
        for (size_t i = 0; i < p->n_nodes && q >= 0; i++)
                if (!plain || !render_known(r, p->nodes[i]))
                        q = render_node(r, p->nodes[i]);
        r->depth--;
        r->inlines = old_inlines;
        return q;
}

int render(const Template *t, const json_t *context, const TemplateEnvironment *env, Trace *trace,
                char **ret, size_t *ret_size, Error *reterr) {
        static const TemplateEnvironment no_environment = {};
        const Scope scope = { value_of_json(context), NULL };
        const Frame frame = {};
        _cleanup_(renderer_done) Renderer r = {
                .template = t,
                .options = &t->options,
                .env = env ?: &no_environment,
                .escaper = escaper_of(t->options.format),
                .trace = trace,
                .reterr = reterr,
                .out.limit = TEMPLATE_OUTPUT_MAX,
                .root = value_of_json(context),
                .scope = &scope,
                .frame = &frame,
        };
        int q;

        r.context_id = r.env->context_id;
        r.position.format = (uint8_t) t->options.format;
        r.position.compose = t->options.compose_interpolation;
        if (r.escaper->begin)
                r.escaper->begin(&r.position);
        /* Most outputs are about as long as their template. */
        if (!output_grow(&r.out, t->source_size + t->source_size / 4))
                return -ENOMEM;

        q = render_program(&r, t->program);
        if (q < 0)
                return q;
        q = step(&r, (Location) { 1, 1 });
        if (q < 0)
                return q;

        r.out.data[r.out.size] = 0;
        if (ret_size)
                *ret_size = r.out.size;
        *ret = TAKE_PTR(r.out.data);
        return 0;
}
