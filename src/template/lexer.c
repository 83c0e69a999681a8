/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lexer.h"

#include <errno.h>
#include <string.h>

static const char *const token_type_table[_TOKEN_MAX] = {
        [TOKEN_END] = "the end of the template",
        [TOKEN_CONTENT] = "text",
        [TOKEN_COMMENT] = "a comment",
        [TOKEN_OPEN] = "'{{'",
        [TOKEN_OPEN_UNESCAPED] = "'{{{'",
        [TOKEN_OPEN_RAW] = "'{{&'",
        [TOKEN_OPEN_BLOCK] = "'{{#'",
        [TOKEN_OPEN_DECORATOR] = "'{{#*'",
        [TOKEN_OPEN_INVERSE] = "'{{^'",
        [TOKEN_OPEN_CHAIN] = "'{{else …'",
        [TOKEN_INVERSE] = "'{{else}}'",
        [TOKEN_OPEN_END_BLOCK] = "'{{/'",
        [TOKEN_OPEN_PARTIAL] = "'{{>'",
        [TOKEN_OPEN_PARTIAL_BLOCK] = "'{{#>'",
        [TOKEN_OPEN_RAW_BLOCK] = "'{{{{'",
        [TOKEN_CLOSE_RAW_BLOCK] = "'}}}}'",
        [TOKEN_CLOSE] = "'}}'",
        [TOKEN_CLOSE_UNESCAPED] = "'}}}'",
        [TOKEN_OPEN_CALL] = "'('",
        [TOKEN_CLOSE_CALL] = "')'",
        [TOKEN_OPEN_PARAMS] = "'as |'",
        [TOKEN_CLOSE_PARAMS] = "'|'",
        [TOKEN_EQUALS] = "'='",
        [TOKEN_SEPARATOR] = "a path separator",
        [TOKEN_DATA] = "'@'",
        [TOKEN_ID] = "a name",
        [TOKEN_STRING] = "a string",
        [TOKEN_NUMBER] = "a number",
        [TOKEN_BOOLEAN] = "true or false",
        [TOKEN_NULL] = "null",
        [TOKEN_UNDEFINED] = "undefined",
};

const char *token_type_to_string(TokenType t) {
        return token_type_table[t];
}

static bool is_space(char c) {
        return c == ' ' || (c >= '\t' && c <= '\r');
}

/* Everything may stand in a name but white space and these. */
static bool is_id(char c) {
        return c && !is_space(c) && !strchr("!\"#%&'()*+,./;<=>@[\\]^`{|}~", c);
}

static bool is_digit(char c) {
        return c >= '0' && c <= '9';
}

/* The byte at p + i; 0 beyond the end. The lexer refuses a source with NUL bytes, so 0 is the end. */
static char at(const Lexer *l, const char *p, size_t i) {
        return (char) ((size_t) (l->end - p) > i ? p[i] : 0);
}

static bool looking_at(const Lexer *l, const char *p, const char *s) {
        size_t n = strlen(s);

        return (size_t) (l->end - p) >= n && memcmp(p, s, n) == 0;
}

static const char *find(const Lexer *l, const char *p, const char *s) {
        return p < l->end ? memmem(p, (size_t) (l->end - p), s, strlen(s)) : NULL;
}

void lexer_init(Lexer *l, const char *source, size_t size) {
        *l = (Lexer) {
                .source = source,
                .end = source + size,
                .p = source,
                .line_start = source,
                .line = 1,
        };
}

static Location here(const Lexer *l) {
        return (Location) { l->line, (uint32_t) (l->p - l->line_start) + 1 };
}

static void advance(Lexer *l, const char *to) {
        const char *n;

        while ((n = memchr(l->p, '\n', (size_t) (to - l->p)))) {
                l->line++;
                l->p = l->line_start = n + 1;
        }
        l->p = to;
}

static int fail(Lexer *l, const char *error) {
        l->error = error;
        l->error_location = here(l);
        return -EBADMSG;
}

/* After \{{: all up to the next tag is content, the braces included. */
static const char *end_of_emulated(const Lexer *l) {
        const char *e = find(l, l->p + 2, "{{");

        if (!e)
                return l->end;
        if (e - l->p >= 3 && e[-1] == '\\')
                e--;
        if (e - l->p >= 3 && e[-1] == '\\')
                e--;
        return e;
}

static int next_content(Lexer *l, Token *t) {
        const char *e;
        size_t backslash = 0;

        t->type = TOKEN_CONTENT;
        t->text = l->p;
        if (l->emulate) {
                l->emulate = false;
                e = end_of_emulated(l);
        } else {
                e = find(l, l->p, "{{");
                if (!e)
                        e = l->end;
                else if (e > l->p && e[-1] == '\\') {
                        /* One backslash makes the braces content; of two, one is content. */
                        backslash = 1;
                        l->emulate = e - l->p < 2 || e[-2] != '\\';
                }
                l->in_tag = e < l->end && !l->emulate;
        }

        t->size = (size_t) (e - l->p) - backslash;
        advance(l, e);
        return 0;
}

static int next_comment(Lexer *l, Token *t, const char *p) {
        const char *e;

        t->type = TOKEN_COMMENT;
        if (looking_at(l, p, "!--")) {
                /* Ends at --}} or --~}} only, so that it may hold tags. */
                for (e = p + 3; (e = find(l, e, "--")); e++) {
                        t->strip.close = at(l, e, 2) == '~';
                        if (looking_at(l, e + (t->strip.close ? 3 : 2), "}}"))
                                break;
                }
                if (!e)
                        return fail(l, "this comment has no end '--}}'");
                e += t->strip.close ? 5 : 4;
        } else {
                e = find(l, p, "}}");
                if (!e)
                        return fail(l, "this comment has no end '}}'");
                t->strip.close = e[-1] == '~';
                e += 2;
        }

        advance(l, e);
        l->in_tag = false;
        return 0;
}

/* {{else}}, {{^}} and {{else NAME …}}; p is behind "{{" and "~". Returns false for any other tag. */
static bool next_inverse(Lexer *l, Token *t, const char *p) {
        const char *q = p;
        bool caret = at(l, p, 0) == '^';

        if (caret)
                q++;
        else {
                while (is_space(at(l, q, 0)))
                        q++;
                if (!looking_at(l, q, "else") || is_id(at(l, q, 4)))
                        return false;
                q += 4;
        }

        p = q;
        while (is_space(at(l, q, 0)))
                q++;
        t->strip.close = at(l, q, 0) == '~';
        if (t->strip.close)
                q++;
        if (looking_at(l, q, "}}")) {
                t->type = TOKEN_INVERSE;
                advance(l, q + 2);
                l->in_tag = false;
                return true;
        }

        /* A path like {{else.x}} or a pair {{else=…}} is not a chain. */
        if (!caret && !is_space(at(l, p, 0)))
                return false;

        t->strip.close = false;
        t->type = caret ? TOKEN_OPEN_INVERSE : TOKEN_OPEN_CHAIN;
        advance(l, p);
        return true;
}

static int next_open(Lexer *l, Token *t) {
        static const struct {
                const char *text;
                TokenType type;
        } openings[] = {
                { "#>", TOKEN_OPEN_PARTIAL_BLOCK },
                { "#*", TOKEN_OPEN_DECORATOR },
                { "#", TOKEN_OPEN_BLOCK },
                { ">", TOKEN_OPEN_PARTIAL },
                { "/", TOKEN_OPEN_END_BLOCK },
                { "{", TOKEN_OPEN_UNESCAPED },
                { "&", TOKEN_OPEN_RAW },
        };
        const char *p = l->p + 2;

        if (looking_at(l, l->p, "{{{{")) {
                t->type = TOKEN_OPEN_RAW_BLOCK;
                advance(l, l->p + 4);
                return 0;
        }

        t->strip.open = at(l, p, 0) == '~';
        if (t->strip.open)
                p++;
        if (at(l, p, 0) == '!')
                return next_comment(l, t, p);
        if (next_inverse(l, t, p))
                return 0;

        FOREACH_ARRAY(o, openings, ELEMENTSOF(openings))
                if (looking_at(l, p, o->text)) {
                        t->type = o->type;
                        advance(l, p + strlen(o->text));
                        return 0;
                }

        if (at(l, p, 0) == '*')
                return fail(l, "a decorator is a block: {{#*inline \"NAME\"}}");

        t->type = TOKEN_OPEN;
        advance(l, p);
        return 0;
}

static int next_quoted(Lexer *l, Token *t, TokenType type, char close) {
        const char *p = l->p + 1;

        while (p < l->end && *p != close) {
                if (*p == '\\' && (at(l, p, 1) == close || (close == ']' && at(l, p, 1) == '\\'))) {
                        t->escapes = true;
                        p++;
                }
                p++;
        }
        if (p >= l->end)
                return fail(l, close == ']' ? "this '[' has no ']'" : "this string has no end");

        t->type = type;
        t->literal = close == ']';
        t->text = l->p + 1;
        t->size = (size_t) (p - t->text);
        advance(l, p + 1);
        return 0;
}

/* What ends a literal: without one of these behind it, "true" or "12" is a name. */
static bool ends_literal(char c) {
        return !c || is_space(c) || c == '~' || c == '}' || c == ')' || c == ']';
}

static const char *skip_number(const Lexer *l) {
        const char *p = l->p;

        if (*p == '-')
                p++;
        if (!is_digit(at(l, p, 0)))
                return NULL;
        while (is_digit(at(l, p, 0)))
                p++;
        if (at(l, p, 0) == '.' && is_digit(at(l, p, 1)))
                for (p++; is_digit(at(l, p, 0));)
                        p++;

        return ends_literal(at(l, p, 0)) ? p : NULL;
}

static int next_word(Lexer *l, Token *t) {
        static const struct {
                const char *text;
                TokenType type;
        } words[] = {
                { "true", TOKEN_BOOLEAN },
                { "false", TOKEN_BOOLEAN },
                { "null", TOKEN_NULL },
                { "undefined", TOKEN_UNDEFINED },
        };
        const char *e;

        t->text = l->p;
        t->type = TOKEN_NUMBER;
        e = skip_number(l);
        if (!e) {
                t->type = TOKEN_ID;
                for (e = l->p; is_id(at(l, e, 0));)
                        e++;
                if (e == l->p)
                        return fail(l, "this character can't stand in a tag");
        }

        t->size = (size_t) (e - t->text);
        if (t->type == TOKEN_ID && ends_literal(at(l, e, 0)))
                FOREACH_ARRAY(w, words, ELEMENTSOF(words))
                        if (strlen(w->text) == t->size && memcmp(w->text, t->text, t->size) == 0)
                                t->type = w->type;

        if (t->type == TOKEN_ID && t->size == 2 && memcmp(t->text, "as", 2) == 0) {
                const char *p = e;

                while (is_space(at(l, p, 0)))
                        p++;
                if (p > e && at(l, p, 0) == '|') {
                        t->type = TOKEN_OPEN_PARAMS;
                        e = p + 1;
                }
        }

        advance(l, e);
        return 0;
}

static int take(Lexer *l, Token *t, TokenType type, size_t n, bool ends_tag) {
        t->type = type;
        t->text = l->p;
        t->size = n;
        advance(l, l->p + n);
        if (ends_tag)
                l->in_tag = false;
        return 0;
}

static int next_in_tag(Lexer *l, Token *t) {
        const char *p = l->p;
        char c = *p;

        if (looking_at(l, p, "}}}}"))
                return take(l, t, TOKEN_CLOSE_RAW_BLOCK, 4, true);
        if (c == '~' || c == '}') {
                t->strip.close = c == '~' || at(l, p, 1) == '~';
                if (looking_at(l, p, "}}}") || looking_at(l, p, "}~}}"))
                        return take(l, t, TOKEN_CLOSE_UNESCAPED, t->strip.close ? 4 : 3, true);
                if (looking_at(l, p, "}}") || looking_at(l, p, "~}}"))
                        return take(l, t, TOKEN_CLOSE, t->strip.close ? 3 : 2, true);
                return fail(l, "this character can't stand in a tag");
        }

        switch (c) {
        case '(':
                return take(l, t, TOKEN_OPEN_CALL, 1, false);
        case ')':
                return take(l, t, TOKEN_CLOSE_CALL, 1, false);
        case '=':
                return take(l, t, TOKEN_EQUALS, 1, false);
        case '@':
                return take(l, t, TOKEN_DATA, 1, false);
        case '|':
                return take(l, t, TOKEN_CLOSE_PARAMS, 1, false);
        case '/':
                return take(l, t, TOKEN_SEPARATOR, 1, false);
        case '"':
        case '\'':
                return next_quoted(l, t, TOKEN_STRING, c);
        case '[':
                return next_quoted(l, t, TOKEN_ID, ']');
        case '.':
                if (at(l, p, 1) == '.')
                        return take(l, t, TOKEN_ID, 2, false);
                if (is_id(at(l, p, 1)) || at(l, p, 1) == '[')
                        return take(l, t, TOKEN_SEPARATOR, 1, false);
                return take(l, t, TOKEN_ID, 1, false);
        default:
                return next_word(l, t);
        }
}

int lexer_next(Lexer *l, Token *ret) {
        Token t = {};
        int r;

        while (l->in_tag && l->p < l->end && is_space(*l->p))
                advance(l, l->p + 1);

        t.location = here(l);
        if (l->p >= l->end) {
                if (l->in_tag)
                        return fail(l, "the template ends inside a tag");
                t.type = TOKEN_END;
                r = 0;
        } else if (!l->in_tag)
                r = next_content(l, &t);
        else if (looking_at(l, l->p, "{{"))
                r = next_open(l, &t);
        else
                r = next_in_tag(l, &t);
        if (r < 0)
                return r;

        /* A backslash or nothing before a tag leaves no content. */
        if (t.type == TOKEN_CONTENT && t.size == 0)
                return lexer_next(l, ret);

        *ret = t;
        return 0;
}

int lexer_raw_block(Lexer *l, Token *ret_content, Token *ret_name) {
        const char *p = l->p, *name, *e;
        unsigned depth = 0;

        for (;; p = e + 4) {
                e = find(l, p, "{{{{");
                if (!e)
                        return fail(l, "this raw block has no end");
                if (at(l, e, 4) != '/') {
                        depth++;
                        continue;
                }
                if (depth-- == 0)
                        break;
        }

        *ret_content = (Token) {
                .type = TOKEN_CONTENT,
                .location = here(l),
                .text = l->p,
                .size = (size_t) (e - l->p),
        };
        advance(l, e);
        name = e + 5;
        for (p = name; is_id(at(l, p, 0));)
                p++;
        if (p == name || !looking_at(l, p, "}}}}"))
                return fail(l, "this end of a raw block must be {{{{/NAME}}}}");

        *ret_name = (Token) {
                .type = TOKEN_ID,
                .location = here(l),
                .text = name,
                .size = (size_t) (p - name),
        };
        advance(l, p + 4);
        l->in_tag = false;
        return 0;
}
