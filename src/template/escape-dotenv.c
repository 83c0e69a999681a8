/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "dotenv.h"
#include "escape.h"
#include "string-util.h"

/* The dialect of Docker Compose; dotenv.h says how it is read. */

enum {
        DOTENV_LINE,
        DOTENV_KEY,
        DOTENV_VALUE, /* behind the = */
        DOTENV_BARE,
        DOTENV_BARE_BLANK, /* behind a blank, where # is a comment */
        DOTENV_DOUBLE,
        DOTENV_DOUBLE_BACKSLASH,
        DOTENV_SINGLE,
        DOTENV_SINGLE_BACKSLASH,
        DOTENV_AFTER, /* behind a closing quote */
        DOTENV_COMMENT,
};

static void scan_bare(Position *p, char c) {
        if (c == '\n') {
                p->state = DOTENV_LINE;
                p->dollar = p->braces = 0;
                return;
        }
        if (c == '#' && p->state == DOTENV_BARE_BLANK)
                p->state = DOTENV_COMMENT;
        else
                p->state = c == ' ' ? DOTENV_BARE_BLANK : DOTENV_BARE;
        escape_scan_dollar(p, c);
}

static void scan_value_start(Position *p, char c) {
        p->dollar = p->braces = 0;
        if (c == '"')
                p->state = DOTENV_DOUBLE;
        else if (c == '\'')
                p->state = DOTENV_SINGLE;
        else if (c != ' ' && c != '\t' && c != '\r')
                scan_bare(p, c);
}

static void scan_char(Position *p, char c) {
        switch (p->state) {
        case DOTENV_LINE:
        case DOTENV_AFTER:
                if (c == '#')
                        p->state = DOTENV_COMMENT;
                else if (c == '\n')
                        p->state = DOTENV_LINE;
                else if (c != ' ' && c != '\t' && c != '\r')
                        p->state = DOTENV_KEY;
                break;
        case DOTENV_KEY:
                p->state = c == '=' || c == ':' ? DOTENV_VALUE : c == '\n' ? DOTENV_LINE : DOTENV_KEY;
                break;
        case DOTENV_VALUE:
                scan_value_start(p, c);
                break;
        case DOTENV_BARE:
        case DOTENV_BARE_BLANK:
                scan_bare(p, c);
                break;
        case DOTENV_DOUBLE:
                p->state = c == '"' ? DOTENV_AFTER : c == '\\' ? DOTENV_DOUBLE_BACKSLASH : DOTENV_DOUBLE;
                escape_scan_dollar(p, c);
                break;
        case DOTENV_DOUBLE_BACKSLASH:
                p->state = DOTENV_DOUBLE;
                p->dollar = 0;
                break;
        case DOTENV_SINGLE:
                p->state = c == '\'' ? DOTENV_AFTER : c == '\\' ? DOTENV_SINGLE_BACKSLASH : DOTENV_SINGLE;
                break;
        case DOTENV_SINGLE_BACKSLASH:
                p->state = DOTENV_SINGLE;
                break;
        case DOTENV_COMMENT:
                if (c == '\n')
                        p->state = DOTENV_LINE;
                break;
        default:
                break;
        }
}

static void dotenv_scan(Position *p, const char *s, size_t n) {
        for (const char *e = s + n; s < e; s++)
                scan_char(p, *s);
}

static bool dotenv_in_comment(const Position *p) {
        return p->state == DOTENV_COMMENT;
}

/* In double quotes; only the escapes that all versions know. */
static void append_double(Output *o, const char *s, size_t n) {
        for (size_t i = 0; i < n; i++)
                switch (s[i]) {
                case '\n':
                        output_append_literal(o, "\\n");
                        break;
                case '\r':
                        output_append_literal(o, "\\r");
                        break;
                case '"':
                case '\\':
                case '$':
                        output_append_char(o, '\\');
                        _fallthrough_;
                default:
                        output_append_char(o, s[i]);
                }
}

/* The reader trims these, and other white space of Unicode, at the ends of a bare value. */
static bool is_trimmed(const char *s, size_t n) {
        return n > 0 && (dotenv_leading_space(s, n) > 0 || dotenv_trailing_space(s, n) > 0);
}

/* Does what follows belong to the same value? Unknown counts as no. */
static bool goes_on(const EscapeValue *v) {
        size_t i = 0;

        if (v->follow == FOLLOW_VALUE)
                return true;
        if (v->follow < 0)
                return false;
        while (i < v->rest_size && (v->rest[i] == ' ' || v->rest[i] == '\t' || v->rest[i] == '\r'))
                i++;
        return i < v->rest_size && v->rest[i] != '\n' && (i == 0 || v->rest[i] != '#');
}

/* A part of a bare value: nothing is quoted there, only $ has an escape. */
static int write_bare(Position *p, Output *o, const EscapeValue *v, const char **ret_reason) {
        if (!escape_is_printable(v->s, v->n, true) || is_trimmed(v->s, v->n) ||
                        memmem(v->s, v->n, " #", 2) ||
                        (p->state == DOTENV_VALUE && (*v->s == '"' || *v->s == '\'')) ||
                        (p->state == DOTENV_BARE_BLANK && *v->s == '#')) {
                *ret_reason = "this value can't stand there without quotes; put double quotes round the "
                              "whole";
                return -EINVAL;
        }

        for (size_t i = 0; i < v->n; i++) {
                if (v->s[i] == '$')
                        output_append_char(o, '$');
                output_append_char(o, v->s[i]);
        }
        p->state = DOTENV_BARE;
        return 0;
}

static void write_whole(Position *p, Output *o, const EscapeValue *v) {
        /* Behind nothing but blanks, a # would not begin a comment but the value. */
        if (escape_is_word(v->s, v->n, "_./:@%+,=-") && (v->n > 0 || !IN_SET(v->follow, ' ', '\t'))) {
                output_append(o, v->s, v->n);
                p->state = v->n > 0 ? DOTENV_BARE : DOTENV_VALUE;
                return;
        }

        /* Single quotes are literal but for a quote and a backslash. */
        if (memchr(v->s, '\'', v->n) || memchr(v->s, '\\', v->n) || memchr(v->s, '\r', v->n) ||
                        memchr(v->s, '\n', v->n)) {
                output_append_char(o, '"');
                append_double(o, v->s, v->n);
                output_append_char(o, '"');
        } else {
                output_append_char(o, '\'');
                output_append(o, v->s, v->n);
                output_append_char(o, '\'');
        }
        p->state = DOTENV_AFTER;
}

/* In single quotes a backslash takes the next quote in, and stays itself before anything else. */
static int write_single(Position *p, Output *o, const EscapeValue *v, const char **ret_reason) {
        bool backslash = p->state == DOTENV_SINGLE_BACKSLASH;

        for (size_t i = 0; i < v->n; i++) {
                char c = v->s[i];

                if ((c == '\'' && backslash) || c == '\r') {
                        *ret_reason = "single quotes can't hold this value; use double quotes";
                        return -EINVAL;
                }
                backslash = c == '\\' && !backslash;
        }
        if (backslash && v->n > 0) {
                *ret_reason = "single quotes can't hold a value that ends with a backslash; use double "
                              "quotes";
                return -EINVAL;
        }

        for (size_t i = 0; i < v->n; i++) {
                if (v->s[i] == '\'')
                        output_append_char(o, '\\');
                output_append_char(o, v->s[i]);
        }
        if (v->n > 0)
                p->state = DOTENV_SINGLE;
        return 0;
}

/* Text without control characters but for line ends and tabs. */
static bool is_text(const char *s, size_t n) {
        const char *from = s, *e = s + n;

        for (; s < e; s++)
                if (*s == '\n' || *s == '\r') {
                        if (!escape_is_printable(from, (size_t) (s - from), true))
                                return false;
                        from = s + 1;
                }
        return escape_is_printable(from, (size_t) (e - from), true);
}

static int dotenv_write(Position *p, Output *o, const EscapeValue *v, const char **ret_reason) {
        bool expands = IN_SET(p->state, DOTENV_BARE, DOTENV_BARE_BLANK, DOTENV_DOUBLE);
        int r;

        if (v->kind == ESCAPE_COMPOSITE)
                *ret_reason = "a list or object can't be written as a whole; use {{#each}}";
        else if (!is_text(v->s, v->n))
                *ret_reason = "the value has a NUL byte or control character, or is not UTF-8";
        if (*ret_reason)
                return -EINVAL;
        if (v->n == 0 && p->state != DOTENV_VALUE)
                return 0;
        if (expands) {
                r = escape_check_dollar(p, v, ret_reason);
                if (r < 0)
                        return r;
                p->dollar = 0;
        }

        switch (p->state) {
        case DOTENV_VALUE:
                if (goes_on(v) && v->n > 0)
                        return write_bare(p, o, v, ret_reason);
                write_whole(p, o, v);
                return 0;
        case DOTENV_BARE:
        case DOTENV_BARE_BLANK:
                return write_bare(p, o, v, ret_reason);
        case DOTENV_DOUBLE:
                append_double(o, v->s, v->n);
                return 0;
        case DOTENV_SINGLE:
        case DOTENV_SINGLE_BACKSLASH:
                return write_single(p, o, v, ret_reason);
        case DOTENV_COMMENT:
                if (memchr(v->s, '\n', v->n) || memchr(v->s, '\r', v->n)) {
                        *ret_reason = "a comment can't hold this value's line ends";
                        return -EINVAL;
                }
                output_append(o, v->s, v->n);
                return 0;
        case DOTENV_LINE:
        case DOTENV_KEY:
                if (!escape_is_word(v->s, v->n, "_")) {
                        *ret_reason = "the name of a variable has letters, digits and _ only";
                        return -EINVAL;
                }
                output_append(o, v->s, v->n);
                p->state = DOTENV_KEY;
                return 0;
        default:
                *ret_reason = "a value can't stand behind a closing quote or a backslash";
                return -EINVAL;
        }
}

const Escaper dotenv_escaper = {
        .scan = dotenv_scan,
        .write = dotenv_write,
        .in_comment = dotenv_in_comment,
};
