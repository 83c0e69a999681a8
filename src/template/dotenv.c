/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "dotenv.h"

#include <errno.h>
#include <string.h>

#include "alloc-util.h"
#include "output.h"
#include "string-util.h"

#define DOTENV_SIZE_MAX (4U * 1024U * 1024U)
#define EXPANSION_DEPTH_MAX 16U

typedef struct Reader {
        const char *p, *end;
        unsigned line;
        Error *reterr;
} Reader;

/* The white space character at s, in bytes; 0 if it is another one. */
static size_t space_at(const char *s, size_t n) {
        const unsigned char *u = (const unsigned char *) s;

        if (n == 0)
                return 0;
        if (u[0] == ' ' || (u[0] >= '\t' && u[0] <= '\r'))
                return 1;
        if (n >= 2 && u[0] == 0xC2 && (u[1] == 0x85 || u[1] == 0xA0))
                return 2;
        if (n < 3)
                return 0;
        /* U+1680, U+2000 to U+200A, U+2028, U+2029, U+202F, U+205F, U+3000 */
        if ((u[0] == 0xE1 && u[1] == 0x9A && u[2] == 0x80) ||
                        (u[0] == 0xE3 && u[1] == 0x80 && u[2] == 0x80) ||
                        (u[0] == 0xE2 && u[1] == 0x81 && u[2] == 0x9F) ||
                        (u[0] == 0xE2 && u[1] == 0x80 &&
                                        ((u[2] >= 0x80 && u[2] <= 0x8A) || u[2] == 0xA8 || u[2] == 0xA9 ||
                                                        u[2] == 0xAF)))
                return 3;
        return 0;
}

size_t dotenv_leading_space(const char *s, size_t n) {
        size_t i = 0, k;

        while ((k = space_at(s + i, n - i)) > 0)
                i += k;
        return i;
}

size_t dotenv_trailing_space(const char *s, size_t n) {
        size_t i = n;

        for (;;) {
                size_t k = 0;

                for (size_t size = 1; size <= 3 && size <= i && k == 0; size++)
                        if (space_at(s + i - size, size) == size)
                                k = size;
                if (k == 0)
                        return n - i;
                i -= k;
        }
}

_printf_(2, 3) static int fail(const Reader *r, const char *format, ...) {
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

        return error_setf(r->reterr, CCP_ERROR_INVALID_ARGUMENT, "line %u: %s", r->line, message);
}

static size_t left(const Reader *r) {
        return (size_t) (r->end - r->p);
}

static void advance(Reader *r, size_t n) {
        for (; n > 0; n--)
                if (*r->p++ == '\n')
                        r->line++;
}

/* White space within a line */
static void skip_blanks(Reader *r) {
        size_t k;

        while (r->p < r->end && *r->p != '\n' && (k = space_at(r->p, left(r))) > 0)
                r->p += k;
}

static void skip_to_statement(Reader *r) {
        for (;;) {
                const char *e;

                advance(r, dotenv_leading_space(r->p, left(r)));
                if (r->p == r->end || *r->p != '#')
                        return;
                e = memchr(r->p, '\n', left(r));
                r->p = e ?: r->end;
        }
}

/* A name up to = or :, or alone on its line. */
static int read_key(Reader *r, char **ret, bool *ret_alone) {
        const char *s, *e;

        if (left(r) > 6 && memcmp(r->p, "export", 6) == 0 && space_at(r->p + 6, left(r) - 6) > 0) {
                r->p += 6;
                skip_blanks(r);
        }

        s = r->p;
        for (e = s; e < r->end && *e != '=' && *e != ':' && *e != '\n'; e++)
                if (!((*e >= 'a' && *e <= 'z') || (*e >= 'A' && *e <= 'Z') || (*e >= '0' && *e <= '9') ||
                                    (unsigned char) *e >= 0x80 || strchr("_.-[] \t\r\v\f", *e)))
                        return fail(r, "the name of a variable has letters, digits and _.-[] only");

        *ret_alone = e == r->end || *e == '\n';
        r->p = e + (e < r->end);
        while (e > s && dotenv_trailing_space(s, (size_t) (e - s)) > 0)
                e -= dotenv_trailing_space(s, (size_t) (e - s));
        if (e == s || memchr(s, ' ', (size_t) (e - s)))
                return fail(r, "a variable needs a name without spaces");
        if (*ret_alone && r->p < r->end)
                r->line++;
        if (!*ret_alone)
                skip_blanks(r);

        *ret = strndup(s, (size_t) (e - s));
        return *ret ? 0 : -ENOMEM;
}

static void read_bare(Reader *r, Output *value) {
        const char *e = memchr(r->p, '\n', left(r)) ?: r->end, *s = r->p, *comment;
        size_t n = (size_t) (e - s);

        comment = memmem(s, n, " #", 2);
        if (comment)
                n = (size_t) (comment - s);
        output_append(value, s, n - dotenv_trailing_space(s, n));
        advance(r, (size_t) (e - s) + (e < r->end));
}

static void append_rune(Output *o, unsigned c) {
        if (c >= 0x80)
                output_append(o, (char[]) { (char) (0xC0 | c >> 6), (char) (0x80 | (c & 0x3F)) }, 2);
        else
                output_append_char(o, (char) c);
}

/* The escape behind a backslash at s, in double quotes. Returns the bytes used; 0 if it is none. */
static size_t read_escape(const char *s, size_t n, Output *value) {
        static const char from[] = "abfnrtv\"\\", to[] = "\a\b\f\n\r\t\v\"\\";
        const char *i = n > 0 && *s ? strchr(from, *s) : NULL;
        unsigned c = 0;

        if (i) {
                output_append_char(value, to[i - from]);
                return 1;
        }
        if (n > 0 && *s == '$') {
                output_append_literal(value, "$$");
                return 1;
        }
        /* \0 and three octal digits; anything else behind \0 stays as it is. */
        if (n < 4 || *s != '0')
                return 0;
        for (size_t k = 1; k < 4; k++) {
                if (s[k] < '0' || s[k] > '7')
                        return 0;
                c = c * 8 + (unsigned) (s[k] - '0');
        }
        if (c > 0xFF || c == 0)
                return 0;
        append_rune(value, c);
        return 4;
}

/* Two passes, as in compose-go: the first finds the end and takes the backslash from quotes, the second one
 * resolves the other escapes. */
static int read_quoted(Reader *r, Output *value) {
        _cleanup_(output_done) Output first = { .limit = DOTENV_SIZE_MAX };
        char quote = *r->p;
        const char *p;
        bool backslash = false;

        for (p = r->p + 1; p < r->end && (*p != quote || backslash); p++) {
                if (*p == quote)
                        output_append_char(&first, quote);
                else if (*p == '\\' && !backslash) {
                        backslash = true;
                        continue;
                } else {
                        if (backslash)
                                output_append_char(&first, '\\');
                        output_append_char(&first, *p);
                }
                backslash = false;
        }
        if (p >= r->end)
                return fail(r, "a quoted value has no end");
        advance(r, (size_t) (p + 1 - r->p));

        for (size_t i = 0; i < first.size; i++) {
                size_t k = 0;

                if (quote == '"' && first.data[i] == '\\')
                        k = read_escape(first.data + i + 1, first.size - i - 1, value);
                if (k == 0)
                        output_append_char(value, first.data[i]);
                i += k;
        }
        return first.error;
}

static int read_entry(Reader *r, DotenvEntry *ret) {
        _cleanup_(output_done) Output value = { .limit = DOTENV_SIZE_MAX };
        _cleanup_free_ char *key = NULL;
        unsigned line = r->line;
        bool alone = false, single = false;
        int q;

        q = read_key(r, &key, &alone);
        if (q < 0)
                return q;

        if (!alone && r->p < r->end && (*r->p == '"' || *r->p == '\'')) {
                single = *r->p == '\'';
                q = read_quoted(r, &value);
                if (q < 0)
                        return q;
        } else if (!alone)
                read_bare(r, &value);

        if (!alone) {
                output_append_char(&value, 0);
                if (value.error < 0)
                        return value.error;
        }
        *ret = (DotenvEntry) { TAKE_PTR(key), TAKE_PTR(value.data), !single, line };
        return 0;
}

void dotenv_entries_free(DotenvEntry *entries, size_t n) {
        for (size_t i = 0; i < n; i++) {
                free(entries[i].key);
                erase_and_free(entries[i].value);
        }
        free(entries);
}

int dotenv_read(const char *text, size_t size, DotenvEntry **ret, size_t *ret_n, Error *reterr) {
        Reader r = { .p = text, .end = text + size, .line = 1, .reterr = reterr };
        size_t n = 0, allocated = 0;
        DotenvEntry *entries = NULL;
        int q = 0;

        if (size > DOTENV_SIZE_MAX)
                return error_setf(reterr, CCP_ERROR_LIMIT_EXCEEDED, "the file is larger than %u bytes",
                                DOTENV_SIZE_MAX);
        if (!utf8_is_valid(text, size) || (size > 0 && memchr(text, 0, size)))
                return error_setf(reterr, CCP_ERROR_INVALID_ARGUMENT, "the file is not UTF-8 text");
        if (size >= 3 && memcmp(text, "\xEF\xBB\xBF", 3) == 0)
                r.p += 3;

        while (q >= 0) {
                skip_to_statement(&r);
                if (r.p == r.end)
                        break;
                if (!GREEDY_REALLOC(entries, allocated, n + 1))
                        q = -ENOMEM;
                else
                        q = read_entry(&r, &entries[n]);
                if (q >= 0)
                        n++;
        }
        if (q < 0) {
                dotenv_entries_free(entries, n);
                return q;
        }

        *ret = entries;
        *ret_n = n;
        return 0;
}

static bool is_name(char c, bool first) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
                        (!first && c >= '0' && c <= '9');
}

static size_t name_size(const char *s, size_t n) {
        size_t i = 0;

        while (i < n && is_name(s[i], i == 0))
                i++;
        return i;
}

/* The closing brace of the ${ whose inside begins at s; n if there is none. */
static size_t find_brace(const char *s, size_t n) {
        size_t depth = 1;

        for (size_t i = 0; i < n; i++)
                if (s[i] == '{')
                        depth++;
                else if (s[i] == '}' && --depth == 0)
                        return i;
        return n;
}

static int expand(const char *s, size_t n, const json_t *variables, Output *o, unsigned depth);

/* NAME, NAME:-text, NAME-text, NAME:+text, NAME+text, NAME:?text, NAME?text */
static int expand_braced(const char *s, size_t n, const json_t *variables, Output *o, unsigned depth) {
        size_t k = name_size(s, n), op = k;
        const json_t *j = json_object_getn(variables, s, k);
        bool set;

        if (k == 0)
                return -EBADMSG;
        if (op < n && s[op] == ':')
                op++;
        set = j && (op == k || json_string_length(j) > 0);
        if (k == n) {
                output_append(o, strempty(json_string_value(j)), json_string_length(j));
                return 0;
        }
        if (op == n || !strchr("-+?", s[op]) || (s[op] == '?' && !set))
                return -EBADMSG;

        if (s[op] == '+' ? set : !set)
                return expand(s + op + 1, n - op - 1, variables, o, depth + 1);
        if (s[op] != '+')
                output_append(o, strempty(json_string_value(j)), json_string_length(j));
        return 0;
}

static int expand(const char *s, size_t n, const json_t *variables, Output *o, unsigned depth) {
        int q;

        if (depth > EXPANSION_DEPTH_MAX)
                return -E2BIG;

        for (size_t i = 0; i < n; i++) {
                size_t k;

                if (s[i] != '$' || i + 1 == n) {
                        output_append_char(o, s[i]);
                        continue;
                }
                if (s[i + 1] == '$') {
                        output_append_char(o, '$');
                        i++;
                } else if (s[i + 1] == '{') {
                        k = find_brace(s + i + 2, n - i - 2);
                        if (i + 2 + k == n)
                                return -EBADMSG;
                        q = expand_braced(s + i + 2, k, variables, o, depth);
                        if (q < 0)
                                return q;
                        i += k + 2;
                } else {
                        k = name_size(s + i + 1, n - i - 1);
                        if (k == 0)
                                output_append_char(o, '$');
                        else {
                                const json_t *j = json_object_getn(variables, s + i + 1, k);

                                output_append(o, strempty(json_string_value(j)), json_string_length(j));
                        }
                        i += k;
                }
        }
        return 0;
}

int dotenv_load(const char *text, size_t size, json_t **ret, Error *reterr) {
        DotenvEntry *entries = NULL;
        size_t n = 0;
        json_t *variables;
        int q;

        variables = json_object();
        if (!variables)
                return -ENOMEM;
        q = dotenv_read(text, size, &entries, &n, reterr);
        for (size_t i = 0; i < n && q >= 0; i++) {
                _cleanup_(output_done) Output o = { .limit = DOTENV_SIZE_MAX };
                const DotenvEntry *e = &entries[i];

                if (!e->value)
                        continue;
                if (e->expands)
                        q = expand(e->value, strlen(e->value), variables, &o, 0);
                else
                        output_append(&o, e->value, strlen(e->value));
                if (q >= 0)
                        q = o.error;
                if (q == -EBADMSG)
                        q = error_setf(reterr, CCP_ERROR_INVALID_ARGUMENT,
                                        "line %u: '%s' refers to other variables in a way that can't be "
                                        "resolved",
                                        e->line, e->key);
                else if (q >= 0 &&
                                json_object_set_new(variables, e->key, json_stringn(o.data ?: "", o.size)) <
                                                0)
                        q = -ENOMEM;
        }
        dotenv_entries_free(entries, n);
        if (q < 0) {
                json_decref(variables);
                return q;
        }

        *ret = variables;
        return 0;
}
