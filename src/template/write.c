/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "alloc-util.h"
#include "json-util.h"
#include "render.h"
#include "string-util.h"

#define CONTEXT_DEPTH_MAX 64U

static void write_line_start(Renderer *r) {
        if (r->indent_size == 0 || !r->line_start)
                return;

        output_append(&r->out, r->indent, r->indent_size);
        escaper_scan(r->escaper, &r->position, r->indent, r->indent_size, NULL);
        r->line_start = false;
}

/* Text of the author's, each line behind the indentation of the partial that it is in. */
static void write_indented(Renderer *r, const char *s, size_t n) {
        while (n > 0) {
                const char *e = memchr(s, '\n', n);
                size_t k = e ? (size_t) (e - s) + 1 : n;

                write_line_start(r);
                output_append(&r->out, s, k);
                escaper_scan(r->escaper, &r->position, s, k, NULL);
                r->line_start = e;
                s += k;
                n -= k;
        }
}

int write_text(Renderer *r, const char *s, size_t n, EscapeMemo *memo) {
        if (r->indent_size > 0)
                write_indented(r, s, n);
        else {
                output_append(&r->out, s, n);
                escaper_scan(r->escaper, &r->position, s, n, memo);
        }
        return 0;
}

/* As JavaScript joins lists: "1,2", nothing for null; "[object Object]" for objects. */
static void append_javascript(Output *o, const json_t *j, unsigned depth) {
        char buf[NUMBER_TEXT_MAX];

        switch (json_typeof(j)) {
        case JSON_OBJECT:
                output_append_literal(o, "[object Object]");
                return;
        case JSON_ARRAY:
                for (size_t i = 0; i < json_array_size(j) && depth < CONTEXT_DEPTH_MAX; i++) {
                        if (i > 0)
                                output_append_char(o, ',');
                        append_javascript(o, json_array_get(j, i), depth + 1);
                }
                return;
        case JSON_STRING:
                output_append(o, json_string_value(j), json_string_length(j));
                return;
        case JSON_INTEGER:
                output_append(o, buf, integer_to_text(buf, json_integer_value(j)));
                return;
        case JSON_REAL:
                output_append(o, buf, number_to_text(buf, json_real_value(j)));
                return;
        case JSON_TRUE:
                output_append_literal(o, "true");
                return;
        case JSON_FALSE:
                output_append_literal(o, "false");
                return;
        case JSON_NULL:
                return;
        }
}

void value_text(const Value *v, char buf[static NUMBER_TEXT_MAX], EscapeValue *ret) {
        json_int_t i;
        double d;
        bool b;

        *ret = (EscapeValue) { .s = "", .follow = FOLLOW_UNKNOWN };
        if (value_get_string(v, &ret->s, &ret->n))
                ret->kind = ESCAPE_STRING;
        else if (value_is_nothing(v))
                ret->kind = ESCAPE_NULL;
        else if (value_get_integer(v, &i)) {
                ret->kind = ESCAPE_NUMBER;
                ret->s = buf;
                ret->n = integer_to_text(buf, i);
        } else if (value_get_number(v, &d)) {
                ret->kind = ESCAPE_NUMBER;
                ret->s = buf;
                ret->n = number_to_text(buf, d);
        } else if (value_get_boolean(v, &b)) {
                ret->kind = ESCAPE_BOOLEAN;
                ret->s = b ? "true" : "false";
                ret->n = strlen(ret->s);
        } else
                ret->kind = ESCAPE_COMPOSITE;
}

/* The text of a list or object: JSON; in HTML as handlebars.js writes it. */
static int composite_text(Renderer *r, const Value *v, EscapeValue *ret) {
        if (r->options->format == TEMPLATE_HTML) {
                _cleanup_(output_done) Output o = { .limit = TEMPLATE_OUTPUT_MAX };

                append_javascript(&o, v->json, 0);
                ret->s = o.error < 0 ? NULL : renderer_copy(r, o.data, o.size);
                ret->n = o.size;
                ret->kind = ESCAPE_STRING;
        } else if (r->options->format == TEMPLATE_JSON) {
                char *s = json_format(v->json, JSON_COMPACT | JSON_ENCODE_ANY);

                ret->n = s ? strlen(s) : 0;
                ret->s = s ? renderer_copy(r, s, ret->n) : NULL;
                erase_and_free(s);
        }
        return ret->s ? 0 : -ENOMEM;
}

/* Finds a value of the context by its identity, which survives every way of getting at it; appends its
 * path. */
static bool find_in_context(const json_t *in, const json_t *what, StringBuilder *path, unsigned depth) {
        size_t n = path->size;
        const char *key;
        json_t *j;

        if (in == what)
                return true;
        if (depth >= CONTEXT_DEPTH_MAX)
                return false;

        if (json_is_object(in))
                json_object_foreach((json_t *) in, key, j) {
                        string_builder_append(path, n > 0 ? "." : "");
                        string_builder_append(path, key);
                        if (find_in_context(j, what, path, depth + 1))
                                return true;
                        path->size = n;
                }
        else
                for (size_t i = 0; i < json_array_size(in); i++) {
                        string_builder_appendf(path, n > 0 ? ".%zu" : "%zu", i);
                        if (find_in_context(json_array_get(in, i), what, path, depth + 1))
                                return true;
                        path->size = n;
                }
        return false;
}

static bool is_raw_allowed(Renderer *r, const Value *v) {
        _cleanup_string_builder_ StringBuilder path = {};

        if (r->escaper->raw_always)
                return true;
        if (!r->env->raw_allowed || v->type != VALUE_JSON || r->root.type != VALUE_JSON ||
                        !find_in_context(r->root.json, v->json, &path, 0) || path.failed || path.size == 0)
                return false;

        path.data[path.size] = 0;
        return r->env->raw_allowed(path.data, r->env->userdata);
}

static int fail_value(Renderer *r, const Node *n, const char *reason) {
        return renderer_fail(r, CCP_ERROR_RENDER_FAILED, n->location, "'%s': %s",
                        n->call.callee->path.original, reason);
}

static int write_raw(Renderer *r, const Node *n, const Value *v, const EscapeValue *text) {
        if (!is_raw_allowed(r, v))
                return fail_value(r, n,
                                "the blueprint does not mark this value as raw; write {{ }} to have it "
                                "escaped");
        if (!r->escaper->raw_always && memchr(text->s, 0, text->n))
                return fail_value(r, n, "the value has a NUL byte");
        return write_text(r, text->s, text->n, NULL);
}

static int trace_value(Renderer *r, const Node *n, const EscapeValue *v) {
        Trace *t = r->trace;
        char *text;

        if (!GREEDY_REALLOC(t->values, t->n_allocated, t->n_values + 1))
                return -ENOMEM;
        text = malloc(v->n + 1);
        if (!text)
                return -ENOMEM;
        memcpy(text, v->s, v->n);
        text[v->n] = 0;

        t->values[t->n_values++] = (WrittenValue) {
                .text = text,
                .size = v->n,
                .kind = v->kind,
                .in_comment = r->escaper->in_comment && r->escaper->in_comment(&r->position),
                .template_name = r->template->name,
                .path = n->call.callee->path.original,
                .location = n->location,
        };
        return 0;
}

/* A value whose lines are to be indented too: what the escaper wrote from 'from' on is text of its own. */
static int indent_written(Renderer *r, size_t from) {
        size_t n = r->out.size - from;
        char *copy;

        if (r->out.error < 0 || !memchr(r->out.data + from, '\n', n))
                return 0;

        copy = renderer_copy(r, r->out.data + from, n);
        if (!copy)
                return -ENOMEM;
        r->out.size = from;
        write_indented(r, copy, n);
        return 0;
}

/* Remembers a value of the context that was written as it is. Paths that do not start at "this" may mean
 * another value next time. */
static void remember_value(const Renderer *r, Node *n, const Value *v, const EscapeValue *text,
                const Position *from, size_t offset) {
        const Path *path = &n->call.callee->path;
        ValueMemo *m = &n->memo;

        if (r->context_id == 0 || r->trace || v->type != VALUE_JSON || r->scope->value.type != VALUE_JSON ||
                        n->call.helper || path->data || path->depth > 0 || path->block_param ||
                        r->options->compat || r->n_objects > 0 || r->out.error < 0 ||
                        r->out.size - offset != text->n ||
                        memcmp(r->out.data + offset, text->s, text->n) != 0)
                return;
        if (text->kind == ESCAPE_COMPOSITE || (text->kind == ESCAPE_STRING && !json_is_string(v->json)) ||
                        (text->kind == ESCAPE_NUMBER && text->n > sizeof(m->number)))
                return;

        if (m->context_id == r->context_id && m->scope != r->scope->value.json) {
                /* The template is our own to remember things in, const or not. */
                Arena *a = &((Template *) r->template)->arena;

                n->more = n->more ?: arena_alloc(a, VALUE_MEMOS_MORE * sizeof(ValueMemo));
                if (!n->more)
                        return;
                m = &n->more[value_memo_index(r->scope->value.json)];
        }
        if (text->kind == ESCAPE_NUMBER)
                memcpy(m->number, text->s, text->n);

        m->s = text->kind == ESCAPE_NUMBER ? m->number : text->s;
        m->n = text->n;
        m->scope = r->scope->value.json;
        m->from = *from;
        m->to = r->position;
        m->context_id = r->context_id;
}

int write_value(Renderer *r, Node *n, const Value *v) {
        char buf[NUMBER_TEXT_MAX], marker[MARKER_TOKEN_SIZE + 32];
        const char *reason = NULL;
        EscapeValue text;
        Position position;
        size_t from;
        int q = 0;

        value_text(v, buf, &text);
        if (text.kind == ESCAPE_COMPOSITE) {
                q = composite_text(r, v, &text);
                if (q < 0)
                        return q;
        }
        if (n->raw && (text.kind == ESCAPE_STRING || r->escaper->raw_always))
                return write_raw(r, n, v, &text);

        text.follow = n->follow;
        if (n->rest) {
                text.rest = n->rest->text;
                text.rest_size = n->rest->size;
        }
        if (r->trace && text.kind != ESCAPE_NULL) {
                if (r->trace->markers) {
                        text.s = marker;
                        text.n = (size_t) snprintf(marker, sizeof(marker), "%s%zuz", r->trace->token,
                                        r->trace->n_markers++);
                        text.kind = ESCAPE_STRING;
                } else
                        q = trace_value(r, n, &text);
                if (q < 0)
                        return q;
        }

        if (text.n > 0)
                write_line_start(r);
        from = r->out.size;
        position = r->position;
        q = r->escaper->write(&r->position, &r->out, &text, &reason);
        if (q == -EINVAL)
                return fail_value(r, n, reason);
        if (q < 0)
                return q;
        if (r->indent_size > 0 && r->out.size > from) {
                if (!r->escaper->scan)
                        return indent_written(r, from);
                r->line_start = r->out.data[r->out.size - 1] == '\n';
        } else
                remember_value(r, n, v, &text, &position, from);
        return 0;
}
