/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <errno.h>
#include <string.h>

#include "alloc-util.h"
#include "render.h"
#include "string-util.h"

#define INDEX_DIGITS_MAX 9U

static size_t utf16_length(const char *s, size_t n) {
        size_t k = 0;

        for (size_t i = 0; i < n; i++) {
                unsigned char c = (unsigned char) s[i];

                k += (c & 0xC0) != 0x80;
                k += c >= 0xF0;
        }
        return k;
}

static bool parse_index(const char *s, size_t n, size_t *ret) {
        size_t i = 0;

        if (n == 0 || n > INDEX_DIGITS_MAX)
                return false;
        for (const char *p = s; p < s + n; p++) {
                if (*p < '0' || *p > '9')
                        return false;
                i = i * 10 + (size_t) (*p - '0');
        }

        *ret = i;
        return true;
}

/* The field 'name' of v. False if there is none: that is not the same as one that is null. */
static bool get_field(const Value *v, const char *name, size_t size, Value *ret) {
        const char *s;
        size_t i, n;

        if (v->type == VALUE_JSON && json_is_object(v->json)) {
                const json_t *j = json_object_getn(v->json, name, size);

                *ret = value_of_json(j);
                return j;
        }

        *ret = (Value) {};
        if (v->type == VALUE_JSON && json_is_array(v->json)) {
                if (parse_index(name, size, &i)) {
                        *ret = value_of_json(json_array_get(v->json, i));
                        return ret->type == VALUE_JSON;
                }
                n = json_array_size(v->json);
        } else if (value_get_string(v, &s, &n))
                n = utf16_length(s, n);
        else
                return false;

        if (!streq(name, "length"))
                return false;
        *ret = value_of_integer((json_int_t) n);
        return true;
}

Value renderer_get(Renderer *r, const Value *v, const Value *key) {
        json_int_t i;
        const char *s;
        size_t n;
        Value ret;

        if (value_get_string(key, &s, &n)) {
                char *name = renderer_copy(r, s, n);

                return name && get_field(v, name, n, &ret) ? ret : (Value) {};
        }
        if (!value_get_integer(key, &i) || i < 0)
                return (Value) {};
        if (value_json(v, JSON_ARRAY))
                return value_of_json(json_array_get(v->json, (size_t) i));
        if (value_json(v, JSON_OBJECT)) {
                char buf[NUMBER_TEXT_MAX];

                return value_of_json(json_object_getn(v->json, buf, integer_to_text(buf, i)));
        }
        return (Value) {};
}

static int missing(Renderer *r, const Expression *e, const char *name) {
        return renderer_fail(r, CCP_ERROR_RENDER_FAILED, e->location,
                        "'%s' is not defined: there is no '%s'", e->path.original, name);
}

/* @name: what blocks define, then the data that the caller gave, then @root. */
static bool get_data(Renderer *r, const Path *path, Value *ret) {
        static const char *const names[] = { "index", "key", "first", "last" };
        const Frame *f = r->frame;
        const char *name;
        const json_t *j;

        if (path->n_segments == 0)
                return false;
        for (unsigned i = 0; i < path->depth && f; i++)
                f = f->parent;
        if (!f)
                return false;

        name = path->segments[0].name;
        if (f->iteration) {
                const Value values[] = { f->iteration->index, f->iteration->key,
                        value_of_boolean(f->iteration->first), value_of_boolean(f->iteration->last) };
                int i = string_table_lookup(names, ELEMENTSOF(names), name);

                if (i >= 0) {
                        *ret = values[i];
                        return true;
                }
        }
        if (f->partial_block && streq(name, "partial-block")) {
                *ret = value_of_boolean(true);
                return true;
        }
        j = json_object_get(r->env->data, name);
        if (j) {
                *ret = value_of_json(j);
                return true;
        }
        if (streq(name, "root")) {
                *ret = r->root;
                return true;
        }
        return false;
}

/* The first part of a path. Returns false if it is missing. */
static bool get_first(Renderer *r, const Path *path, Value *ret) {
        const Segment *s = &path->segments[0];
        const Scope *scope = r->scope;

        if (path->data)
                return get_data(r, path, ret);

        if (path->block_param) {
                const BlockParams *p = r->params;

                for (unsigned i = 0; i < path->block_param_depth && p; i++)
                        p = p->parent;
                if (!p || path->block_param_index >= p->n_values)
                        return false;
                *ret = p->values[path->block_param_index];
                return true;
        }

        for (unsigned i = 0; i < path->depth && scope; i++)
                scope = scope->parent;
        if (!scope) {
                *ret = (Value) {};
                return false;
        }
        if (r->options->compat && !path->scoped)
                for (const Scope *k = scope; k; k = k->parent)
                        if (get_field(&k->value, s->name, s->size, ret) && !value_is_nothing(ret))
                                return true;
        return get_field(&scope->value, s->name, s->size, ret);
}

/* 'must': this place wants a path that exists, if the mode is strict. */
static int follow_path(Renderer *r, const Expression *e, bool must, Value *ret) {
        bool strict = r->env->strict, objects = strict || r->options->assume_objects;
        const Path *path = &e->path;
        Value v = {};

        if (path->n_segments == 0) {
                const Scope *scope = r->scope;

                for (unsigned i = 0; i < path->depth && scope; i++)
                        scope = scope->parent;
                if (!scope && strict && must)
                        return missing(r, e, path->original);
                *ret = scope && !path->data ? scope->value : (Value) {};
                return 0;
        }

        if (objects && !path->data && !path->block_param && path->depth == 0 &&
                        value_is_nothing(&r->scope->value) && (must || !strict))
                return missing(r, e, path->segments[0].name);
        if (!get_first(r, path, &v)) {
                if (strict && must && path->n_segments == 1)
                        return missing(r, e, path->segments[0].name);
                v = (Value) {};
        }

        for (size_t i = 1; i < path->n_segments; i++) {
                const Segment *s = &path->segments[i];
                Value field;

                if (objects && value_is_nothing(&v))
                        return missing(r, e, path->segments[i - 1].name);
                if (!get_field(&v, s->name, s->size, &field)) {
                        if (strict && must && i + 1 == path->n_segments)
                                return missing(r, e, s->name);
                        field = (Value) {};
                }
                v = field;
        }

        *ret = v;
        return 0;
}

static int evaluate_path(Renderer *r, Expression *e, bool must, Value *ret) {
        const Value *scope = &r->scope->value;
        Path *path = &e->path;
        int q;

        if (r->context_id == 0 || scope->type != VALUE_JSON)
                return follow_path(r, e, must, ret);
        if (path->memo_context_id == r->context_id && path->memo_scope == scope->json) {
                *ret = value_of_json(path->memo_value);
                return 0;
        }

        q = follow_path(r, e, must, ret);
        if (q < 0)
                return q;
        /* Only paths from "this" to something that exists lead to the same again. */
        if (ret->type == VALUE_JSON && path->n_segments > 0 && !path->data && path->depth == 0 &&
                        !path->block_param && !r->options->compat && r->n_objects == 0) {
                path->memo_context_id = r->context_id;
                path->memo_scope = scope->json;
                path->memo_value = ret->json;
        }
        return 0;
}

int evaluate_path_strict(Renderer *r, Expression *e, Value *ret) {
        return evaluate_path(r, e, /* must= */ true, ret);
}

int evaluate(Renderer *r, Expression *e, Value *ret) {
        switch (e->type) {
        case EXPRESSION_PATH:
                return evaluate_path(r, e, /* must= */ false, ret);
        case EXPRESSION_STRING:
                *ret = value_of_string(e->string.name, e->string.size);
                return 0;
        case EXPRESSION_INTEGER:
                *ret = value_of_integer(e->integer);
                return 0;
        case EXPRESSION_REAL:
                *ret = (Value) { VALUE_REAL, { .real = e->real } };
                return 0;
        case EXPRESSION_BOOLEAN:
                *ret = value_of_boolean(e->boolean);
                return 0;
        case EXPRESSION_NULL:
                *ret = value_of_json(json_null());
                return 0;
        case EXPRESSION_UNDEFINED:
                *ret = (Value) {};
                return 0;
        case EXPRESSION_CALL:
                return evaluate_call(r, &e->call, e->location, ret);
        }
        return -EINVAL;
}

int evaluate_arguments(Renderer *r, const Call *call, Location at, Value few[static FEW_ARGUMENTS],
                const Value **ret) {
        const Helper *h = call->helper;
        Value *args;
        int q;

        if (!h)
                return renderer_fail(r, CCP_ERROR_RENDER_FAILED, at, "there is no helper '%s'",
                                call->callee->path.original);
        if (call->n_params < h->min_args || call->n_params > h->max_args)
                return renderer_fail(r, CCP_ERROR_RENDER_FAILED, at,
                                "'%s' takes %u%s argument%s, but %zu are given", h->name, h->min_args,
                                h->max_args > h->min_args ? " or more" : "", h->min_args == 1 ? "" : "s",
                                call->n_params);

        args = call->n_params <= FEW_ARGUMENTS ? few : renderer_alloc(r, call->n_params * sizeof(Value));
        if (!args)
                return -ENOMEM;
        for (size_t i = 0; i < call->n_params; i++) {
                q = evaluate(r, call->params[i], &args[i]);
                if (q < 0)
                        return q;
        }

        *ret = args;
        return 0;
}

int evaluate_pair(Renderer *r, const Call *call, const char *name, Value *ret) {
        *ret = (Value) {};
        for (size_t i = 0; i < call->n_hash; i++)
                if (streq(call->hash[i].name, name))
                        return evaluate(r, call->hash[i].value, ret);
        return 0;
}

int evaluate_call(Renderer *r, const Call *call, Location at, Value *ret) {
        const char *reason = NULL;
        HelperCall c = { .n_args = call->n_params };
        Value few[FEW_ARGUMENTS];
        int q;

        q = evaluate_arguments(r, call, at, few, &c.args);
        if (q < 0)
                return q;
        if (!call->helper->compute)
                return renderer_fail(r, CCP_ERROR_RENDER_FAILED, at, "'%s' is a block: {{#%s …}}",
                                call->helper->name, call->helper->name);

        q = call->helper->compute(r, &c, ret, &reason);
        if (q == -EINVAL && reason)
                return renderer_fail(r, CCP_ERROR_RENDER_FAILED, at, "'%s' %s", call->helper->name, reason);
        return q;
}
