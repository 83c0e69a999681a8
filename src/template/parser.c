/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "parser.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "alloc-util.h"
#include "helpers.h"
#include "lexer.h"
#include "string-util.h"

#define NESTING_MAX 64U
#define ARGUMENTS_MAX 256U
#define SEGMENTS_MAX 64U
#define BLOCK_PARAMS_MAX 16U

/* The names after "as |", of the blocks around the place that is parsed. */
typedef struct ParamsScope {
        const struct ParamsScope *parent;
        const char *names[BLOCK_PARAMS_MAX];
        size_t n_names;
} ParamsScope;

typedef struct Parser {
        Template *template;
        Lexer lexer;
        Token token; /* the one to be looked at next */
        const ParamsScope *params;
        unsigned depth;
        Error *reterr;
} Parser;

static int parse_program(Parser *p, Program **ret);
static int parse_expression(Parser *p, Expression **ret);

_printf_(3, 4) static int fail_at(Parser *p, Location at, const char *format, ...) {
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

        return error_setf(p->reterr, CCP_ERROR_BLUEPRINT_INVALID, "%s:%u:%u: %s", p->template->name, at.line,
                        at.column, message);
}

static void *allocate(Parser *p, size_t n, size_t size) {
        return n <= SIZE_MAX / 2 / size ? arena_alloc(&p->template->arena, MAX(n, (size_t) 1) * size) : NULL;
}

/* Reads the next token into p->token. */
static int next(Parser *p) {
        int r;

        r = lexer_next(&p->lexer, &p->token);
        if (r < 0)
                return fail_at(p, p->lexer.error_location, "%s", p->lexer.error);
        return 0;
}

static int expect(Parser *p, TokenType type, Token *ret) {
        if (p->token.type != type)
                return fail_at(p, p->token.location, "%s stands where %s is expected",
                                token_type_to_string(p->token.type), token_type_to_string(type));
        if (ret)
                *ret = p->token;
        return next(p);
}

static int enter(Parser *p, Location at) {
        if (p->depth >= NESTING_MAX)
                return fail_at(p, at, "blocks or expressions are nested more than %u deep", NESTING_MAX);
        p->depth++;
        return 0;
}

/* The text of a token, NUL-terminated; in strings and literals a backslash takes the next delimiter in. */
static int copy_text(Parser *p, const Token *t, Segment *ret) {
        char *s, *w;

        w = s = allocate(p, t->size + 1, 1);
        if (!s)
                return -ENOMEM;

        for (size_t i = 0; i < t->size; i++) {
                char q = (char) (i + 1 < t->size ? t->text[i + 1] : 0);

                if (t->escapes && t->text[i] == '\\' &&
                                (t->type == TOKEN_STRING ? q && q == t->text[-1] : q == ']' || q == '\\'))
                        i++;
                *w++ = t->text[i];
        }

        *ret = (Segment) { s, (size_t) (w - s) };
        return 0;
}

static void resolve_block_param(const Parser *p, Path *path) {
        unsigned depth = 0;

        if (path->data || path->scoped || path->depth > 0 || path->n_segments == 0)
                return;

        for (const ParamsScope *s = p->params; s; s = s->parent, depth++)
                for (size_t i = 0; i < s->n_names; i++)
                        if (streq(s->names[i], path->segments[0].name)) {
                                path->block_param = true;
                                path->block_param_depth = depth;
                                path->block_param_index = (unsigned) i;
                                return;
                        }
}

/* A path's part: ".", ".." and "this" lead somewhere and are allowed at the beginning only. */
static int add_segment(Parser *p, Path *path, const Token *t, StringBuilder *original) {
        Segment s;
        int r;

        r = copy_text(p, t, &s);
        if (r < 0)
                return r;

        string_builder_append_n(original, s.name, s.size);
        if (!t->literal && (streq(s.name, ".") || streq(s.name, "..") || streq(s.name, "this"))) {
                if (path->n_segments > 0)
                        return fail_at(p, t->location,
                                        "'%s' can't stand inside a path; write [%s] if it is a name", s.name,
                                        s.name);
                if (streq(s.name, ".."))
                        path->depth++;
                else
                        path->scoped = true;
                return 0;
        }

        if (path->n_segments >= SEGMENTS_MAX)
                return fail_at(p, t->location, "a path has at most %u parts", SEGMENTS_MAX);
        path->segments[path->n_segments++] = s;
        return 0;
}

static int parse_path(Parser *p, Expression *e) {
        _cleanup_string_builder_ StringBuilder original = {};
        Segment segments[SEGMENTS_MAX];
        Path path = { .segments = segments };
        char *copy;
        int r;

        if (p->token.type == TOKEN_DATA) {
                path.data = true;
                string_builder_append(&original, "@");
                r = next(p);
                if (r < 0)
                        return r;
        }

        for (bool first = true;; first = false) {
                /* A number may be a part too, as in list.0, but for the first one. */
                if (p->token.type != TOKEN_ID && (first || p->token.type != TOKEN_NUMBER))
                        return fail_at(p, p->token.location, "%s stands where a name is expected",
                                        token_type_to_string(p->token.type));
                r = add_segment(p, &path, &p->token, &original);
                if (r < 0)
                        return r;
                r = next(p);
                if (r < 0)
                        return r;
                if (p->token.type != TOKEN_SEPARATOR)
                        break;
                string_builder_append_n(&original, p->token.text, p->token.size);
                r = next(p);
                if (r < 0)
                        return r;
        }

        path.scoped = path.scoped || path.depth > 0;
        resolve_block_param(p, &path);

        path.segments = allocate(p, path.n_segments, sizeof(Segment));
        copy = allocate(p, original.size + 1, 1);
        if (!path.segments || !copy || original.failed)
                return -ENOMEM;
        memcpy(path.segments, segments, path.n_segments * sizeof(Segment));
        memcpy(copy, original.data, original.size);
        path.original = copy;

        e->type = EXPRESSION_PATH;
        e->path = path;
        return 0;
}

static int parse_number(Parser *p, Expression *e) {
        Segment s;
        int r;

        r = copy_text(p, &p->token, &s);
        if (r < 0)
                return r;

        errno = 0;
        if (strchr(s.name, '.')) {
                e->type = EXPRESSION_REAL;
                e->real = strtod(s.name, NULL);
        } else {
                e->type = EXPRESSION_INTEGER;
                e->integer = strtoll(s.name, NULL, 10);
        }
        if (errno > 0)
                return fail_at(p, p->token.location, "the number %s is too large", s.name);

        return next(p);
}

/* ( NAME ARGUMENTS ) or a path or a literal */
static int parse_simple(Parser *p, Expression *e) {
        int r;

        e->location = p->token.location;
        switch (p->token.type) {
        case TOKEN_ID:
        case TOKEN_DATA:
                return parse_path(p, e);
        case TOKEN_NUMBER:
                return parse_number(p, e);
        case TOKEN_STRING:
                e->type = EXPRESSION_STRING;
                r = copy_text(p, &p->token, &e->string);
                if (r < 0)
                        return r;
                return next(p);
        case TOKEN_BOOLEAN:
                e->type = EXPRESSION_BOOLEAN;
                e->boolean = p->token.text[0] == 't';
                return next(p);
        case TOKEN_NULL:
                e->type = EXPRESSION_NULL;
                return next(p);
        case TOKEN_UNDEFINED:
                e->type = EXPRESSION_UNDEFINED;
                return next(p);
        default:
                return fail_at(p, p->token.location, "%s stands where a name or value is expected",
                                token_type_to_string(p->token.type));
        }
}

/* A literal in the place of a name is the name of a field: {{12}}, {{"foo bar"}}. */
static int literal_to_path(Parser *p, Expression *e, const Token *t) {
        Token name = *t;
        Segment *s;
        int r;

        if (e->type == EXPRESSION_PATH || e->type == EXPRESSION_CALL)
                return 0;

        s = allocate(p, 1, sizeof(*s));
        if (!s)
                return -ENOMEM;
        r = copy_text(p, &name, s);
        if (r < 0)
                return r;

        e->type = EXPRESSION_PATH;
        e->path = (Path) { .segments = s, .n_segments = 1, .original = s->name };
        resolve_block_param(p, &e->path);
        return 0;
}

static bool starts_expression(TokenType t) {
        return IN_SET(t, TOKEN_ID, TOKEN_DATA, TOKEN_NUMBER, TOKEN_STRING, TOKEN_BOOLEAN, TOKEN_NULL,
                        TOKEN_UNDEFINED, TOKEN_OPEN_CALL);
}

/* The rest of NAME= VALUE NAME=VALUE …, whose first name was read. */
static int parse_hash(Parser *p, Call *call, const Token *first) {
        HashPair pairs[ARGUMENTS_MAX];
        Token name = *first;
        size_t n = 0;
        int r;

        for (;;) {
                Segment s;

                if (n >= ARGUMENTS_MAX)
                        return fail_at(p, name.location, "a tag has at most %u arguments", ARGUMENTS_MAX);
                r = copy_text(p, &name, &s);
                if (r < 0)
                        return r;
                pairs[n].name = s.name;
                r = expect(p, TOKEN_EQUALS, NULL);
                if (r < 0)
                        return r;
                r = parse_expression(p, &pairs[n].value);
                if (r < 0)
                        return r;
                n++;
                if (p->token.type != TOKEN_ID)
                        break;
                name = p->token;
                r = next(p);
                if (r < 0)
                        return r;
        }

        call->hash = allocate(p, n, sizeof(HashPair));
        if (!call->hash)
                return -ENOMEM;
        memcpy(call->hash, pairs, n * sizeof(HashPair));
        call->n_hash = n;
        return 0;
}

/* True if the token is an ID and "=" comes behind it, so that a pair begins. */
static bool at_pair(const Parser *p) {
        Lexer ahead = p->lexer;
        Token t;

        return p->token.type == TOKEN_ID && lexer_next(&ahead, &t) >= 0 && t.type == TOKEN_EQUALS;
}

static int parse_arguments(Parser *p, Call *call) {
        Expression *params[ARGUMENTS_MAX];
        size_t n = 0;
        int r;

        while (starts_expression(p->token.type)) {
                if (at_pair(p)) {
                        Token name = p->token;

                        r = next(p);
                        if (r < 0)
                                return r;
                        r = parse_hash(p, call, &name);
                        if (r < 0)
                                return r;
                        break;
                }

                if (n >= ARGUMENTS_MAX)
                        return fail_at(p, p->token.location, "a tag has at most %u arguments",
                                        ARGUMENTS_MAX);
                r = parse_expression(p, &params[n]);
                if (r < 0)
                        return r;
                n++;
        }

        call->params = allocate(p, n, sizeof(Expression *));
        if (!call->params)
                return -ENOMEM;
        memcpy(call->params, params, n * sizeof(Expression *));
        call->n_params = n;
        return 0;
}

/* The helper that a name means. Handlebars' own are always meant; ours only where arguments are given, so
 * that they hide no field of the context. */
static void resolve_helper(Call *call, bool must) {
        const Path *path = &call->callee->path;
        const Helper *h;

        if (call->callee->type != EXPRESSION_PATH || path->data || path->scoped || path->block_param ||
                        path->n_segments != 1)
                return;

        h = helper_find(path->segments[0].name);
        if (h && (h->builtin || must || call->n_params > 0 || call->n_hash > 0))
                call->helper = h;
}

/* NAME ARGUMENTS of any tag or subexpression. A partial's name may be a subexpression. */
static int parse_call(Parser *p, Call *call, bool must, bool partial) {
        Token first = p->token;
        int r;

        if (partial && p->token.type == TOKEN_OPEN_CALL)
                r = parse_expression(p, &call->callee);
        else {
                call->callee = allocate(p, 1, sizeof(Expression));
                if (!call->callee)
                        return -ENOMEM;
                r = parse_simple(p, call->callee);
                if (r >= 0)
                        r = literal_to_path(p, call->callee, &first);
        }
        if (r < 0)
                return r;

        r = parse_arguments(p, call);
        if (r < 0)
                return r;

        if (!partial)
                resolve_helper(call, must);
        return 0;
}

static int parse_expression(Parser *p, Expression **ret) {
        Expression *e;
        int r;

        e = allocate(p, 1, sizeof(*e));
        if (!e)
                return -ENOMEM;

        if (p->token.type == TOKEN_OPEN_CALL) {
                e->type = EXPRESSION_CALL;
                e->location = p->token.location;
                r = enter(p, e->location);
                if (r < 0)
                        return r;
                r = next(p);
                if (r < 0)
                        return r;
                r = parse_call(p, &e->call, /* must= */ true, /* partial= */ false);
                if (r < 0)
                        return r;
                r = expect(p, TOKEN_CLOSE_CALL, NULL);
                p->depth--;
        } else
                r = parse_simple(p, e);
        if (r < 0)
                return r;

        *ret = e;
        return 0;
}

static Node *new_node(Parser *p, NodeType type, const Token *t) {
        /* Most nodes are content: they take no more room than they need, which is quicker to walk over. */
        Node *n = allocate(
                        p, 1, type == NODE_CONTENT ? offsetof(Node, content) + sizeof(Content) : sizeof(*n));

        if (n) {
                n->type = type;
                n->location = t->location;
                n->strip.open = t->strip.open;
        }
        return n;
}

static int parse_content(Parser *p, const Token *t, Node **ret) {
        Node *n;

        n = new_node(p, NODE_CONTENT, t);
        if (!n)
                return -ENOMEM;

        n->content.text = n->content.original = t->text;
        n->content.size = n->content.original_size = t->size;
        *ret = n;
        return 0;
}

/* as |a b| of an opening tag */
static int parse_block_params(Parser *p, ParamsScope *scope) {
        int r;

        if (p->token.type != TOKEN_OPEN_PARAMS)
                return 0;

        r = next(p);
        if (r < 0)
                return r;
        while (p->token.type == TOKEN_ID) {
                Segment s;

                if (scope->n_names >= BLOCK_PARAMS_MAX)
                        return fail_at(p, p->token.location, "a block has at most %u parameters",
                                        BLOCK_PARAMS_MAX);
                r = copy_text(p, &p->token, &s);
                if (r < 0)
                        return r;
                scope->names[scope->n_names++] = s.name;
                r = next(p);
                if (r < 0)
                        return r;
        }
        if (scope->n_names == 0)
                return fail_at(p, p->token.location, "a name is expected after 'as |'");

        return expect(p, TOKEN_CLOSE_PARAMS, NULL);
}

/* The statements of a block, under the names of its parameters. */
static int parse_body(Parser *p, ParamsScope *scope, Program **ret) {
        int r;

        if (scope->n_names > 0) {
                scope->parent = p->params;
                p->params = scope;
        }
        r = parse_program(p, ret);
        if (scope->n_names > 0)
                p->params = scope->parent;
        if (r < 0)
                return r;

        (*ret)->n_params = scope->n_names;
        return 0;
}

/* {{/NAME}} must name the opening tag. */
static int parse_end(Parser *p, const Node *open, Strip *ret) {
        Expression e = {};
        Token end = p->token, first, close = {};
        int r;

        if (end.type != TOKEN_OPEN_END_BLOCK)
                return fail_at(p, open->location, "the block '%s' has no end",
                                open->call.callee->path.original);
        r = next(p);
        if (r < 0)
                return r;
        first = p->token;
        r = parse_simple(p, &e);
        if (r >= 0)
                r = literal_to_path(p, &e, &first);
        if (r < 0)
                return r;
        r = expect(p, TOKEN_CLOSE, &close);
        if (r < 0)
                return r;

        if (!streq(e.path.original, open->call.callee->path.original))
                return fail_at(p, end.location, "'%s' ends here, but the open block is '%s' of line %u",
                                e.path.original, open->call.callee->path.original, open->location.line);

        *ret = (Strip) { end.strip.open, close.strip.close };
        return 0;
}

static int parse_block_tag(Parser *p, Node *n, ParamsScope *scope) {
        Token close = {};
        int r;

        r = parse_call(p, &n->call, /* must= */ false, /* partial= */ false);
        if (r < 0)
                return r;
        r = parse_block_params(p, scope);
        if (r < 0)
                return r;
        r = expect(p, TOKEN_CLOSE, &close);
        if (r < 0)
                return r;

        n->strip.close = close.strip.close;
        return 0;
}

/* What comes between the body and the end tag: {{else}} and its body, or a chain of {{else NAME …}}, each of
 * which is a block inside the inverse of the one before. */
static int parse_inverse(Parser *p, Node *block) {
        ParamsScope none = {}, scope = {};
        Program *chain;
        Node *n;
        int r;

        block->inverse_strip = p->token.strip;
        if (p->token.type == TOKEN_INVERSE) {
                r = next(p);
                if (r < 0)
                        return r;
                return parse_body(p, &none, &block->inverse);
        }

        n = new_node(p, NODE_BLOCK, &p->token);
        chain = allocate(p, 1, sizeof(*chain));
        if (!n || !chain)
                return -ENOMEM;
        chain->nodes = allocate(p, 1, sizeof(Node *));
        if (!chain->nodes)
                return -ENOMEM;
        chain->nodes[0] = n;
        chain->n_nodes = 1;
        chain->chained = true;

        r = enter(p, n->location);
        if (r < 0)
                return r;
        r = next(p);
        if (r < 0)
                return r;
        r = parse_block_tag(p, n, &scope);
        if (r < 0)
                return r;
        block->inverse_strip.close = n->strip.close;
        r = parse_body(p, &scope, &n->program);
        if (r < 0)
                return r;
        if (IN_SET(p->token.type, TOKEN_INVERSE, TOKEN_OPEN_CHAIN)) {
                r = parse_inverse(p, n);
                if (r < 0)
                        return r;
        }
        p->depth--;

        block->inverse = chain;
        return 0;
}

/* {{#NAME}} … {{else}} … {{/NAME}}, or {{^NAME}} … with the two bodies swapped. */
static int parse_block(Parser *p, const Token *open, Node **ret) {
        bool inverted = open->type == TOKEN_OPEN_INVERSE;
        ParamsScope scope = {};
        Node *n;
        int r;

        n = new_node(p, NODE_BLOCK, open);
        if (!n)
                return -ENOMEM;
        r = enter(p, n->location);
        if (r < 0)
                return r;
        r = parse_block_tag(p, n, &scope);
        if (r < 0)
                return r;
        r = parse_body(p, &scope, &n->program);
        if (r < 0)
                return r;
        if (p->token.type == TOKEN_INVERSE || (p->token.type == TOKEN_OPEN_CHAIN && !inverted)) {
                r = parse_inverse(p, n);
                if (r < 0)
                        return r;
        }
        r = parse_end(p, n, &n->close_strip);
        if (r < 0)
                return r;
        if (inverted) {
                Program *program = n->program;

                n->program = n->inverse;
                n->inverse = program;
                n->inverted = true;
        }

        p->depth--;
        *ret = n;
        return 0;
}

/* {{#*inline "NAME"}} … {{/inline}} */
static int parse_inline(Parser *p, const Token *open, Node **ret) {
        ParamsScope scope = {};
        Node *n;
        int r;

        n = new_node(p, NODE_INLINE, open);
        if (!n)
                return -ENOMEM;
        r = enter(p, n->location);
        if (r < 0)
                return r;
        r = parse_block_tag(p, n, &scope);
        if (r < 0)
                return r;
        if (!streq(n->call.callee->path.original, "inline"))
                return fail_at(p, n->location, "there is no decorator '%s'; the only one is 'inline'",
                                n->call.callee->path.original);
        if (n->call.n_params != 1)
                return fail_at(p, n->location, "'inline' takes one argument, the partial's name");
        r = parse_body(p, &scope, &n->program);
        if (r < 0)
                return r;
        r = parse_end(p, n, &n->close_strip);
        if (r < 0)
                return r;

        p->depth--;
        *ret = n;
        return 0;
}

/* {{> NAME CONTEXT? PAIRS}}, {{#> NAME …}} … {{/NAME}} */
static int parse_partial(Parser *p, const Token *open, Node **ret) {
        bool block = open->type == TOKEN_OPEN_PARTIAL_BLOCK;
        ParamsScope none = {};
        Token close = {};
        Node *n;
        int r;

        n = new_node(p, block ? NODE_PARTIAL_BLOCK : NODE_PARTIAL, open);
        if (!n)
                return -ENOMEM;
        r = enter(p, n->location);
        if (r < 0)
                return r;
        r = parse_call(p, &n->call, /* must= */ false, /* partial= */ true);
        if (r < 0)
                return r;
        if (n->call.n_params > 1)
                return fail_at(p, n->location, "a partial takes one context, but %zu are given",
                                n->call.n_params);
        r = expect(p, TOKEN_CLOSE, &close);
        if (r < 0)
                return r;
        n->strip.close = close.strip.close;
        if (block) {
                if (n->call.callee->type != EXPRESSION_PATH)
                        return fail_at(p, n->location,
                                        "a partial block needs a fixed name, for its end tag");
                r = parse_body(p, &none, &n->program);
                if (r < 0)
                        return r;
                r = parse_end(p, n, &n->close_strip);
                if (r < 0)
                        return r;
        }

        p->depth--;
        *ret = n;
        return 0;
}

/* {{{{NAME}}}} … {{{{/NAME}}}}: what is between is text. */
static int parse_raw_block(Parser *p, const Token *open, Node **ret) {
        Token content, name;
        Segment end;
        Node *n, *text;
        int r;

        n = new_node(p, NODE_BLOCK, open);
        if (!n)
                return -ENOMEM;
        r = parse_call(p, &n->call, /* must= */ true, /* partial= */ false);
        if (r < 0)
                return r;
        if (p->token.type != TOKEN_CLOSE_RAW_BLOCK)
                return expect(p, TOKEN_CLOSE_RAW_BLOCK, NULL);
        r = lexer_raw_block(&p->lexer, &content, &name);
        if (r < 0)
                return fail_at(p, p->lexer.error_location, "%s", p->lexer.error);
        r = copy_text(p, &name, &end);
        if (r < 0)
                return r;
        if (!streq(end.name, n->call.callee->path.original))
                return fail_at(p, name.location, "'%s' ends here, but the open block is '%s' of line %u",
                                end.name, n->call.callee->path.original, n->location.line);

        n->program = allocate(p, 1, sizeof(Program));
        if (!n->program)
                return -ENOMEM;
        n->program->nodes = allocate(p, 1, sizeof(Node *));
        if (!n->program->nodes)
                return -ENOMEM;
        r = parse_content(p, &content, &text);
        if (r < 0)
                return r;
        n->program->nodes[n->program->n_nodes++] = text;

        *ret = n;
        return next(p);
}

static int parse_mustache(Parser *p, const Token *open, Node **ret) {
        Token close = {};
        Node *n;
        int r;

        n = new_node(p, NODE_MUSTACHE, open);
        if (!n)
                return -ENOMEM;
        n->raw = open->type != TOKEN_OPEN;
        n->follow = FOLLOW_UNKNOWN;
        r = parse_call(p, &n->call, /* must= */ false, /* partial= */ false);
        if (r < 0)
                return r;
        r = expect(p, open->type == TOKEN_OPEN_UNESCAPED ? TOKEN_CLOSE_UNESCAPED : TOKEN_CLOSE, &close);
        if (r < 0)
                return r;

        n->strip.close = close.strip.close;
        *ret = n;
        return 0;
}

static int parse_statement(Parser *p, Node **ret) {
        Token t = p->token;
        int r;

        r = next(p);
        if (r < 0)
                return r;

        switch (t.type) {
        case TOKEN_CONTENT:
                return parse_content(p, &t, ret);
        case TOKEN_COMMENT:
                *ret = new_node(p, NODE_COMMENT, &t);
                if (!*ret)
                        return -ENOMEM;
                (*ret)->strip = t.strip;
                return 0;
        case TOKEN_OPEN:
        case TOKEN_OPEN_UNESCAPED:
        case TOKEN_OPEN_RAW:
                return parse_mustache(p, &t, ret);
        case TOKEN_OPEN_BLOCK:
        case TOKEN_OPEN_INVERSE:
                return parse_block(p, &t, ret);
        case TOKEN_OPEN_DECORATOR:
                return parse_inline(p, &t, ret);
        case TOKEN_OPEN_PARTIAL:
        case TOKEN_OPEN_PARTIAL_BLOCK:
                return parse_partial(p, &t, ret);
        case TOKEN_OPEN_RAW_BLOCK:
                return parse_raw_block(p, &t, ret);
        default:
                return fail_at(p, t.location, "%s can't stand here", token_type_to_string(t.type));
        }
}

/* Statements up to {{else}}, an end tag or the end of the template. */
static int parse_program(Parser *p, Program **ret) {
        _cleanup_free_ Node **nodes = NULL;
        size_t n = 0, allocated = 0;
        Program *program;
        int r;

        program = allocate(p, 1, sizeof(*program));
        if (!program)
                return -ENOMEM;

        while (!IN_SET(p->token.type, TOKEN_END, TOKEN_INVERSE, TOKEN_OPEN_CHAIN, TOKEN_OPEN_END_BLOCK)) {
                if (!GREEDY_REALLOC(nodes, allocated, n + 1))
                        return -ENOMEM;
                r = parse_statement(p, &nodes[n]);
                if (r < 0)
                        return r;
                program->inlines = program->inlines || nodes[n]->type == NODE_INLINE;
                n++;
        }

        program->nodes = allocate(p, n, sizeof(Node *));
        if (!program->nodes)
                return -ENOMEM;
        if (n > 0)
                memcpy(program->nodes, nodes, n * sizeof(Node *));
        program->n_nodes = n;
        *ret = program;
        return 0;
}

int template_parse_source(Template *t, Error *reterr) {
        Parser p = { .template = t, .reterr = reterr };
        int r;

        lexer_init(&p.lexer, t->source, t->source_size);
        r = next(&p);
        if (r < 0)
                return r;
        r = parse_program(&p, &t->program);
        if (r < 0)
                return r;
        if (p.token.type != TOKEN_END)
                return fail_at(&p, p.token.location, "%s can't stand outside a block",
                                token_type_to_string(p.token.type));

        return 0;
}
