/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "escape.h"
#include "string-util.h"

/* nginx reads words, bare or in quotes. There is no escape for $: a value that has one would name a variable,
 * so it is refused. So are line ends, which could pass into a header. */

enum {
        NGINX_START, /* where a word may begin */
        NGINX_BARE,
        NGINX_BARE_BACKSLASH,
        NGINX_DOUBLE,
        NGINX_DOUBLE_BACKSLASH,
        NGINX_SINGLE,
        NGINX_SINGLE_BACKSLASH,
        NGINX_AFTER, /* behind a closing quote */
        NGINX_COMMENT,
};

/* p->dollar: the text ends with $ or with $name. */
static void scan_variable(Position *p, char c) {
        bool name = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
                        c == '{';

        p->dollar = c == '$' || (p->dollar && name);
}

static void scan_start(Position *p, char c) {
        p->dollar = 0;
        switch (c) {
        case ' ':
        case '\t':
        case '\r':
        case '\n':
        case ';':
        case '{':
        case '}':
                p->state = NGINX_START;
                break;
        case '#':
                p->state = NGINX_COMMENT;
                break;
        case '"':
                p->state = NGINX_DOUBLE;
                break;
        case '\'':
                p->state = NGINX_SINGLE;
                break;
        case '\\':
                p->state = NGINX_BARE_BACKSLASH;
                break;
        default:
                p->state = NGINX_BARE;
                scan_variable(p, c);
        }
}

static void scan_bare(Position *p, char c) {
        bool variable = p->dollar;

        /* In a word that has begun, quotes and # are ordinary, and so is the { of ${name}. */
        if (c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == ';' || (c == '{' && !variable))
                scan_start(p, c);
        else {
                p->state = c == '\\' ? NGINX_BARE_BACKSLASH : NGINX_BARE;
                scan_variable(p, c);
        }
}

static void scan_quoted(Position *p, char c, char quote, uint8_t backslash) {
        if (c == quote)
                p->state = NGINX_AFTER;
        else if (c == '\\')
                p->state = backslash;
        scan_variable(p, c);
}

static void scan_char(Position *p, char c) {
        switch (p->state) {
        case NGINX_START:
        case NGINX_AFTER:
                scan_start(p, c);
                break;
        case NGINX_BARE:
                scan_bare(p, c);
                break;
        case NGINX_BARE_BACKSLASH:
                p->state = NGINX_BARE;
                break;
        case NGINX_DOUBLE:
                scan_quoted(p, c, '"', NGINX_DOUBLE_BACKSLASH);
                break;
        case NGINX_DOUBLE_BACKSLASH:
                p->state = NGINX_DOUBLE;
                break;
        case NGINX_SINGLE:
                scan_quoted(p, c, '\'', NGINX_SINGLE_BACKSLASH);
                break;
        case NGINX_SINGLE_BACKSLASH:
                p->state = NGINX_SINGLE;
                break;
        case NGINX_COMMENT:
                if (c == '\n')
                        p->state = NGINX_START;
                break;
        default:
                break;
        }
}

static void nginx_scan(Position *p, const char *s, size_t n) {
        for (const char *e = s + n; s < e; s++)
                scan_char(p, *s);
}

static bool nginx_in_comment(const Position *p) {
        return p->state == NGINX_COMMENT;
}

static bool has_any(const char *s, size_t n, const char *set) {
        for (size_t i = 0; i < n; i++)
                if (s[i] && strchr(set, s[i]))
                        return true;
        return false;
}

static int write_word(Position *p, Output *o, const EscapeValue *v, const char **ret_reason) {
        if (has_any(v->s, v->n, " \t;{}\"'\\#$"))
                *ret_reason = "a value without quotes can't have white space or ;{}\"'\\#$; put double "
                              "quotes "
                              "round it";
        else if (v->n == 0 && p->state == NGINX_START && (v->follow < 0 || strchr(" \t\r\n;", v->follow)))
                *ret_reason = "an empty value here would leave out a word; put double quotes round it";
        if (*ret_reason)
                return -EINVAL;

        output_append(o, v->s, v->n);
        if (v->n > 0)
                p->state = NGINX_BARE;
        return 0;
}

static int write_quoted(Output *o, const EscapeValue *v, char quote, const char **ret_reason) {
        if (memchr(v->s, '$', v->n)) {
                *ret_reason = "nginx has no escape for a '$' in a value";
                return -EINVAL;
        }

        for (size_t i = 0; i < v->n; i++) {
                if (v->s[i] == quote || v->s[i] == '\\')
                        output_append_char(o, '\\');
                output_append_char(o, v->s[i]);
        }
        return 0;
}

static int nginx_write(Position *p, Output *o, const EscapeValue *v, const char **ret_reason) {
        if (v->kind == ESCAPE_NULL)
                return 0;
        if (v->kind == ESCAPE_COMPOSITE)
                *ret_reason = "a list or object can't be written as a whole; use {{#each}}";
        else if (!escape_is_printable(v->s, v->n, p->state == NGINX_COMMENT))
                *ret_reason = "the value has a line end or control character, or is not UTF-8";
        else if (p->dollar && v->n > 0 && escape_is_word(v->s, 1, "_{"))
                *ret_reason = "the value would become part of the variable's name before it; write ${name}";
        if (*ret_reason)
                return -EINVAL;
        if (v->n > 0)
                p->dollar = 0;

        switch (p->state) {
        case NGINX_START:
        case NGINX_BARE:
                return write_word(p, o, v, ret_reason);
        case NGINX_DOUBLE:
                return write_quoted(o, v, '"', ret_reason);
        case NGINX_SINGLE:
                return write_quoted(o, v, '\'', ret_reason);
        case NGINX_COMMENT:
                output_append(o, v->s, v->n);
                return 0;
        default:
                *ret_reason = "a value can't stand behind a closing quote or a backslash";
                return -EINVAL;
        }
}

const Escaper nginx_escaper = {
        .scan = nginx_scan,
        .write = nginx_write,
        .in_comment = nginx_in_comment,
};
