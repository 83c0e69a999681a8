/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "helpers.h"

#include <errno.h>
#include <string.h>

#include "render.h"
#include "string-util.h"

#define MANY 256U

static int helper_lookup(Renderer *r, const HelperCall *c, Value *ret, _unused_ const char **ret_reason) {
        *ret = renderer_get(r, &c->args[0], &c->args[1]);
        return 0;
}

static int helper_log(_unused_ Renderer *r, _unused_ const HelperCall *c, Value *ret,
                _unused_ const char **ret_reason) {
        /* Values may be secrets, and a renderer has nobody to talk to. */
        *ret = (Value) {};
        return 0;
}

static int helper_eq(
                _unused_ Renderer *r, const HelperCall *c, Value *ret, _unused_ const char **ret_reason) {
        *ret = value_of_boolean(value_equal(&c->args[0], &c->args[1]));
        return 0;
}

static int helper_ne(
                _unused_ Renderer *r, const HelperCall *c, Value *ret, _unused_ const char **ret_reason) {
        *ret = value_of_boolean(!value_equal(&c->args[0], &c->args[1]));
        return 0;
}

/* Sets *ret to the sign of a - b. */
static int compare(const HelperCall *c, int *ret, const char **ret_reason) {
        const Value *a = &c->args[0], *b = &c->args[1];
        json_int_t i, j;
        const char *s, *t;
        size_t n, m;
        double d, e;

        if (value_get_integer(a, &i) && value_get_integer(b, &j))
                *ret = (i > j) - (i < j);
        else if (value_get_number(a, &d) && value_get_number(b, &e))
                *ret = (d > e) - (d < e);
        else if (value_get_string(a, &s, &n) && value_get_string(b, &t, &m)) {
                int k = memcmp(s, t, MIN(n, m));

                *ret = k != 0 ? k : (n > m) - (n < m);
        } else {
                *ret_reason = "compares two numbers or two texts";
                return -EINVAL;
        }
        return 0;
}

#define DEFINE_COMPARISON(name, op)                                                                       \
        static int helper_##name(                                                                         \
                        _unused_ Renderer *r, const HelperCall *c, Value *ret, const char **ret_reason) { \
                int k, q;                                                                                 \
                                                                                                          \
                q = compare(c, &k, ret_reason);                                                           \
                if (q < 0)                                                                                \
                        return q;                                                                         \
                *ret = value_of_boolean(k op 0);                                                          \
                return 0;                                                                                 \
        }
DEFINE_COMPARISON(lt, <)
DEFINE_COMPARISON(le, <=)
DEFINE_COMPARISON(gt, >)
DEFINE_COMPARISON(ge, >=)

/* The first false value, or the last one. */
static int helper_and(
                _unused_ Renderer *r, const HelperCall *c, Value *ret, _unused_ const char **ret_reason) {
        for (size_t i = 0; i < c->n_args; i++) {
                *ret = c->args[i];
                if (!value_is_true(ret))
                        break;
        }
        return 0;
}

/* The first true value, or the last one. */
static int helper_or(
                _unused_ Renderer *r, const HelperCall *c, Value *ret, _unused_ const char **ret_reason) {
        for (size_t i = 0; i < c->n_args; i++) {
                *ret = c->args[i];
                if (value_is_true(ret))
                        break;
        }
        return 0;
}

static int helper_not(
                _unused_ Renderer *r, const HelperCall *c, Value *ret, _unused_ const char **ret_reason) {
        *ret = value_of_boolean(!value_is_true(&c->args[0]));
        return 0;
}

static int helper_default(
                _unused_ Renderer *r, const HelperCall *c, Value *ret, _unused_ const char **ret_reason) {
        for (size_t i = 0; i < c->n_args; i++) {
                const char *s;
                size_t n;

                *ret = c->args[i];
                if (!value_is_nothing(ret) && !(value_get_string(ret, &s, &n) && n == 0))
                        break;
        }
        return 0;
}

static int append_value(Output *o, const Value *v, const char **ret_reason) {
        char buf[NUMBER_TEXT_MAX];
        EscapeValue text;

        value_text(v, buf, &text);
        if (text.kind == ESCAPE_COMPOSITE) {
                *ret_reason = "joins texts, numbers and booleans only";
                return -EINVAL;
        }

        output_append(o, text.s, text.n);
        return 0;
}

static int finish_text(Renderer *r, Output *o, Value *ret) {
        const char *s;

        s = o->error < 0 ? NULL : renderer_copy(r, o->data, o->size);
        if (!s)
                return o->error < 0 ? o->error : -ENOMEM;

        *ret = value_of_string(s, o->size);
        return 0;
}

static int helper_concat(Renderer *r, const HelperCall *c, Value *ret, const char **ret_reason) {
        _cleanup_(output_done) Output o = { .limit = TEMPLATE_OUTPUT_MAX };
        int q;

        for (size_t i = 0; i < c->n_args; i++) {
                q = append_value(&o, &c->args[i], ret_reason);
                if (q < 0)
                        return q;
        }
        return finish_text(r, &o, ret);
}

static int helper_join(Renderer *r, const HelperCall *c, Value *ret, const char **ret_reason) {
        _cleanup_(output_done) Output o = { .limit = TEMPLATE_OUTPUT_MAX };
        const json_t *list = value_json(&c->args[0], JSON_ARRAY);
        const char *separator = ",";
        size_t n = 1;
        int q;

        if (!list || (c->n_args > 1 && !value_get_string(&c->args[1], &separator, &n))) {
                *ret_reason = "takes a list and a separator";
                return -EINVAL;
        }

        for (size_t i = 0; i < json_array_size(list); i++) {
                Value v = value_of_json(json_array_get(list, i));

                if (i > 0)
                        output_append(&o, separator, n);
                q = append_value(&o, &v, ret_reason);
                if (q < 0)
                        return q;
        }
        return finish_text(r, &o, ret);
}

static int helper_length(_unused_ Renderer *r, const HelperCall *c, Value *ret, const char **ret_reason) {
        const char *s;
        size_t n;

        if (value_json(&c->args[0], JSON_ARRAY))
                n = json_array_size(c->args[0].json);
        else if (value_json(&c->args[0], JSON_OBJECT))
                n = json_object_size(c->args[0].json);
        else if (value_is_nothing(&c->args[0]))
                n = 0;
        else if (!value_get_string(&c->args[0], &s, &n)) {
                *ret_reason = "takes a list, an object or a text";
                return -EINVAL;
        }

        *ret = value_of_integer((json_int_t) n);
        return 0;
}

static int helper_contains(
                _unused_ Renderer *r, const HelperCall *c, Value *ret, _unused_ const char **ret_reason) {
        const json_t *list = value_json(&c->args[0], JSON_ARRAY);
        const char *s, *t;
        size_t n, m;

        *ret = value_of_boolean(false);
        for (size_t i = 0; i < json_array_size(list) && !ret->boolean; i++) {
                Value v = value_of_json(json_array_get(list, i));

                ret->boolean = value_equal(&v, &c->args[1]);
        }
        if (value_get_string(&c->args[0], &s, &n) && value_get_string(&c->args[1], &t, &m))
                ret->boolean = m == 0 || memmem(s, n, t, m);
        return 0;
}

/* ASCII letters only: names of hosts, databases and variables. */
static int change_case(Renderer *r, const HelperCall *c, char from, Value *ret, const char **ret_reason) {
        const char *s;
        char *copy;
        size_t n;

        if (!value_get_string(&c->args[0], &s, &n)) {
                *ret_reason = "takes a text";
                return -EINVAL;
        }

        copy = renderer_copy(r, s, n);
        if (!copy)
                return -ENOMEM;
        for (size_t i = 0; i < n; i++)
                if (copy[i] >= from && copy[i] < from + 26)
                        copy[i] ^= 'a' - 'A';

        *ret = value_of_string(copy, n);
        return 0;
}

static int helper_lower(Renderer *r, const HelperCall *c, Value *ret, const char **ret_reason) {
        return change_case(r, c, 'A', ret, ret_reason);
}

static int helper_upper(Renderer *r, const HelperCall *c, Value *ret, const char **ret_reason) {
        return change_case(r, c, 'a', ret, ret_reason);
}

static const Helper helpers[] = {
        { "if", 1, 1, true, NULL, block_if },
        { "unless", 1, 1, true, NULL, block_unless },
        { "each", 1, 1, true, NULL, block_each },
        { "with", 1, 1, true, NULL, block_with },
        { "lookup", 2, 2, true, helper_lookup, NULL },
        { "log", 0, MANY, true, helper_log, NULL },
        { "raw", 0, 0, false, NULL, block_raw },
        { "eq", 2, 2, false, helper_eq, NULL },
        { "ne", 2, 2, false, helper_ne, NULL },
        { "lt", 2, 2, false, helper_lt, NULL },
        { "le", 2, 2, false, helper_le, NULL },
        { "lte", 2, 2, false, helper_le, NULL },
        { "gt", 2, 2, false, helper_gt, NULL },
        { "ge", 2, 2, false, helper_ge, NULL },
        { "gte", 2, 2, false, helper_ge, NULL },
        { "and", 1, MANY, false, helper_and, NULL },
        { "or", 1, MANY, false, helper_or, NULL },
        { "not", 1, 1, false, helper_not, NULL },
        { "default", 2, MANY, false, helper_default, NULL },
        { "concat", 1, MANY, false, helper_concat, NULL },
        { "join", 1, 2, false, helper_join, NULL },
        { "length", 1, 1, false, helper_length, NULL },
        { "contains", 2, 2, false, helper_contains, NULL },
        { "lower", 1, 1, false, helper_lower, NULL },
        { "upper", 1, 1, false, helper_upper, NULL },
};

const Helper *helper_find(const char *name) {
        FOREACH_ARRAY(h, helpers, ELEMENTSOF(helpers))
                if (streq(h->name, name))
                        return h;

        return NULL;
}
