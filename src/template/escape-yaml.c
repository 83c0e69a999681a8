/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <stdio.h>
#include <strings.h>

#include "escape.h"
#include "string-util.h"

/* Follows block and flow YAML closely enough to know what kind of scalar a value lands in. Where it is
 * mistaken (a quote at the start of a plain scalar's second line, say), the proof that reads the result back
 * fails: a wrong guess is an error, never a wrong document. */

enum {
        YAML_LINE,  /* in the indentation of a line */
        YAML_NODE,  /* where a node may begin */
        YAML_DASH,  /* behind one or more dashes (flags: how many) that may be an entry or a --- line */
        YAML_PLAIN, /* in a plain scalar */
        YAML_PLAIN_BLANK, /* the same, behind a blank, where # is a comment */
        YAML_PLAIN_COLON, /* behind a colon that may end a key */
        YAML_DOUBLE,
        YAML_DOUBLE_BACKSLASH,
        YAML_SINGLE,
        YAML_SINGLE_QUOTE, /* behind a quote that ends the scalar or is the first of two */
        YAML_AFTER,        /* behind a quoted scalar or a closing bracket */
        YAML_AFTER_COLON,
        YAML_AFTER_BLANK,
        YAML_COMMENT,
        YAML_BLOCK_HEADER, /* behind | or > */
        YAML_BLOCK_LINE,   /* in the indentation of a line of a block scalar */
        YAML_BLOCK_TEXT,
        YAML_PROPERTY, /* in a tag, anchor or alias */
        YAML_DIRECTIVE,
        _YAML_STATE_MAX,
};

#define FLAG_FOLDED 1U /* in YAML_BLOCK_*: the scalar began with > */
#define COLUMN_MAX 30000U

static void yaml_begin(Position *p) {
        p->node_column = p->parent_column = p->block_indent = -1;
}

static bool is_blank(char c) {
        return c == ' ' || c == '\t' || c == '\r';
}

static bool ends_flow(const Position *p, char c) {
        return p->flow > 0 && (c == ',' || c == '[' || c == ']' || c == '{' || c == '}');
}

static void new_line(Position *p) {
        p->state = YAML_LINE;
        p->column = 0;
        p->dollar = p->braces = 0;
}

static void blank(Position *p) {
        if (p->column < COLUMN_MAX)
                p->column++;
}

/* A node begins at the present column. */
static void begin_node(Position *p, uint8_t state) {
        p->node_column = (int16_t) p->column;
        p->state = state;
        p->dollar = p->braces = 0;
}

static void begin_block_scalar(Position *p, char c) {
        p->state = YAML_BLOCK_HEADER;
        p->flags = c == '>' ? FLAG_FOLDED : 0;
        p->block_indent = -1;
}

/* A flow indicator, outside of scalars. */
static void flow_indicator(Position *p, char c) {
        if (c == '[' || c == '{') {
                if (p->flow < UINT16_MAX)
                        p->flow++;
                p->state = YAML_NODE;
        } else if (c == ',')
                p->state = YAML_NODE;
        else {
                if (p->flow > 0)
                        p->flow--;
                p->state = YAML_AFTER;
        }
}

static void scan_node(Position *p, char c) {
        switch (c) {
        case '"':
                begin_node(p, YAML_DOUBLE);
                return;
        case '\'':
                begin_node(p, YAML_SINGLE);
                return;
        case '[':
        case '{':
                begin_node(p, YAML_NODE);
                flow_indicator(p, c);
                return;
        case '#':
                p->state = YAML_COMMENT;
                return;
        case '!':
        case '&':
        case '*':
                begin_node(p, YAML_PROPERTY);
                return;
        case '-':
        case '?':
                begin_node(p, YAML_DASH);
                p->flags = 1;
                return;
        case '|':
        case '>':
                if (p->flow == 0) {
                        begin_block_scalar(p, c);
                        return;
                }
                break;
        case ':':
                begin_node(p, YAML_PLAIN_COLON);
                return;
        default:
                if (ends_flow(p, c)) {
                        flow_indicator(p, c);
                        return;
                }
        }
        begin_node(p, YAML_PLAIN);
        escape_scan_dollar(p, c);
}

static void scan_line_or_node(Position *p, char c) {
        if (c == '\n')
                new_line(p);
        else if (is_blank(c))
                blank(p);
        else if (c == '%' && p->state == YAML_LINE && p->column == 0)
                p->state = YAML_DIRECTIVE;
        else
                scan_node(p, c);
}

static void scan_plain(Position *p, char c) {
        if (c == '\n')
                new_line(p);
        else if (is_blank(c)) {
                p->state = YAML_PLAIN_BLANK;
                p->dollar = 0;
        } else if (c == '#' && p->state == YAML_PLAIN_BLANK)
                p->state = YAML_COMMENT;
        else if (ends_flow(p, c))
                flow_indicator(p, c);
        else {
                p->state = c == ':' ? YAML_PLAIN_COLON : YAML_PLAIN;
                escape_scan_dollar(p, c);
        }
}

/* A colon behind a scalar, and white space behind that: the scalar was a key. */
static bool scan_key_end(Position *p, char c) {
        if (c != '\n' && !is_blank(c) && !ends_flow(p, c))
                return false;

        if (p->flow == 0)
                p->parent_column = p->node_column;
        p->state = YAML_NODE;
        p->dollar = p->braces = 0;
        scan_line_or_node(p, c);
        return true;
}

static void scan_dash(Position *p, char c) {
        if (c == '\n' || is_blank(c)) {
                /* "---" at the beginning of a line starts a document. */
                p->parent_column = (int16_t) (p->flags == 3 && p->node_column == 0 ? -1 : p->node_column);
                p->state = YAML_NODE;
                blank(p);
                scan_line_or_node(p, c);
        } else if (c == '-' && p->flags < 4)
                p->flags++;
        else
                scan_plain(p, c);
}

static void scan_after(Position *p, char c) {
        if (c == '\n')
                new_line(p);
        else if (is_blank(c))
                p->state = YAML_AFTER_BLANK;
        else if (c == ':')
                p->state = YAML_AFTER_COLON;
        else if (c == '#' && p->state == YAML_AFTER_BLANK)
                p->state = YAML_COMMENT;
        else if (ends_flow(p, c))
                flow_indicator(p, c);
        else
                p->state = YAML_AFTER;
}

static void scan_block_line(Position *p, char c) {
        bool begun = p->block_indent >= 0;

        if (c == ' ')
                blank(p);
        else if (c == '\n')
                p->column = 0;
        else if (begun ? p->column < p->block_indent : (int) p->column <= p->parent_column) {
                /* Less indented: the scalar is over. */
                p->state = YAML_LINE;
                scan_line_or_node(p, c);
        } else {
                if (!begun)
                        p->block_indent = (int16_t) p->column;
                p->state = YAML_BLOCK_TEXT;
                escape_scan_dollar(p, c);
        }
}

static void scan_block_header(Position *p, char c) {
        if (c == '\n') {
                new_line(p);
                p->state = YAML_BLOCK_LINE;
        } else if (c >= '1' && c <= '9' && p->block_indent < 0)
                p->block_indent = (int16_t) (MAX(p->parent_column, (int16_t) 0) + (c - '0'));
}

static void scan_plain_colon(Position *p, char c) {
        if (!scan_key_end(p, c))
                scan_plain(p, c);
}

static void scan_double(Position *p, char c) {
        escape_scan_dollar(p, c);
        p->state = c == '"' ? YAML_AFTER : c == '\\' ? YAML_DOUBLE_BACKSLASH : YAML_DOUBLE;
}

static void scan_double_backslash(Position *p, _unused_ char c) {
        p->state = YAML_DOUBLE;
}

static void scan_single(Position *p, char c) {
        escape_scan_dollar(p, c);
        p->state = c == '\'' ? YAML_SINGLE_QUOTE : YAML_SINGLE;
}

static void scan_single_quote(Position *p, char c) {
        p->state = YAML_AFTER;
        if (c == '\'')
                p->state = YAML_SINGLE;
        else
                scan_after(p, c);
}

static void scan_after_colon(Position *p, char c) {
        if (scan_key_end(p, c))
                return;
        if (p->flow == 0) {
                scan_after(p, c);
                return;
        }
        /* In flow a value may follow a quoted key's colon at once. */
        p->state = YAML_NODE;
        scan_line_or_node(p, c);
}

static void scan_block_text(Position *p, char c) {
        escape_scan_dollar(p, c);
        if (c == '\n') {
                new_line(p);
                p->state = YAML_BLOCK_LINE;
        }
}

static void scan_property(Position *p, char c) {
        if (c == '\n')
                new_line(p);
        else if (is_blank(c))
                p->state = YAML_NODE;
        else if (ends_flow(p, c))
                flow_indicator(p, c);
}

static void scan_to_line_end(Position *p, char c) {
        if (c == '\n')
                new_line(p);
}

static void yaml_scan(Position *p, const char *s, size_t n) {
        static void (*const scanners[_YAML_STATE_MAX])(Position *p, char c) = {
                [YAML_LINE] = scan_line_or_node,
                [YAML_NODE] = scan_line_or_node,
                [YAML_DASH] = scan_dash,
                [YAML_PLAIN] = scan_plain,
                [YAML_PLAIN_BLANK] = scan_plain,
                [YAML_PLAIN_COLON] = scan_plain_colon,
                [YAML_DOUBLE] = scan_double,
                [YAML_DOUBLE_BACKSLASH] = scan_double_backslash,
                [YAML_SINGLE] = scan_single,
                [YAML_SINGLE_QUOTE] = scan_single_quote,
                [YAML_AFTER] = scan_after,
                [YAML_AFTER_COLON] = scan_after_colon,
                [YAML_AFTER_BLANK] = scan_after,
                [YAML_COMMENT] = scan_to_line_end,
                [YAML_BLOCK_HEADER] = scan_block_header,
                [YAML_BLOCK_LINE] = scan_block_line,
                [YAML_BLOCK_TEXT] = scan_block_text,
                [YAML_PROPERTY] = scan_property,
                [YAML_DIRECTIVE] = scan_to_line_end,
        };

        for (const char *e = s + n; s < e; s++)
                scanners[p->state](p, *s);
}

static bool yaml_in_comment(const Position *p) {
        return p->state == YAML_COMMENT;
}

/* True if the text has a line end or a character that YAML allows in double quotes only. */
static bool needs_escapes(const char *s, size_t n) {
        if (!escape_is_printable(s, n, /* tab= */ true))
                return true;

        /* U+2028, U+2029, U+FEFF, U+FFFE, U+FFFF */
        for (size_t i = 0; i + 2 < n; i++)
                if (memcmp(s + i, "\xE2\x80\xA8", 3) == 0 || memcmp(s + i, "\xE2\x80\xA9", 3) == 0 ||
                                memcmp(s + i, "\xEF\xBB\xBF", 3) == 0 ||
                                memcmp(s + i, "\xEF\xBF\xBE", 3) == 0 ||
                                memcmp(s + i, "\xEF\xBF\xBF", 3) == 0)
                        return true;
        return false;
}

/* The value's characters; compose: $ doubled. 'quote' is written twice. */
static void append_doubling(Output *o, const char *s, size_t n, char quote, bool compose) {
        size_t from = 0;

        for (size_t i = 0; i < n; i++)
                if ((s[i] == quote && quote) || (s[i] == '$' && compose)) {
                        output_append(o, s + from, i + 1 - from);
                        from = i;
                }
        output_append(o, s + from, n - from);
}

/* The escape of the character at s in double quotes, of *ret_size bytes; NULL if it needs none. */
static const char *double_escape(const char *s, size_t left, char buf[static 16], size_t *ret_size) {
        static const char *const controls[] = {
                [0x07] = "\\a", "\\b", "\\t", "\\n", "\\v", "\\f", "\\r", [0x1B] = "\\e"
        };
        unsigned char c = (unsigned char) *s;

        *ret_size = 1;
        if (c == '"')
                return "\\\"";
        if (c == '\\')
                return "\\\\";
        if (c < ELEMENTSOF(controls) && controls[c])
                return controls[c];
        if (c < ' ' || c == 0x7F) {
                (void) snprintf(buf, 16, "\\x%02x", c);
                return buf;
        }
        if (c == 0xC2 && left > 1 && (unsigned char) s[1] < 0xA0) {
                (void) snprintf(buf, 16, "\\x%02x", (unsigned char) s[1]);
                *ret_size = 2;
                return buf;
        }
        if (c >= 0xE2 && c < 0xF0 && left > 2 && needs_escapes(s, 3)) {
                (void) snprintf(buf, 16, "\\u%04x",
                                (c & 0x0FU) << 12 | ((unsigned char) s[1] & 0x3FU) << 6 |
                                                ((unsigned char) s[2] & 0x3FU));
                *ret_size = 3;
                return buf;
        }
        return NULL;
}

static void append_double(Output *o, const char *s, size_t n, bool compose) {
        size_t from = 0, size;
        char buf[16];

        for (size_t i = 0; i < n; i += size) {
                const char *e = double_escape(s + i, n - i, buf, &size);

                /* Blanks at an end could be next to a line fold. */
                if (!e && s[i] == ' ' && (i == 0 || i + 1 == n))
                        e = "\\x20";
                if (!e && s[i] == '$' && compose)
                        e = "$$";
                if (!e)
                        continue;
                output_append(o, s + from, i - from);
                output_append(o, e, strlen(e));
                from = i + size;
        }
        output_append(o, s + from, n - from);
}

/* May this stand in a plain scalar, at its beginning or later on? */
static bool is_safe_plain(const Position *p, const char *s, size_t n, bool begins) {
        if (n == 0 || s[0] == ' ' || s[n - 1] == ' ' || s[n - 1] == ':' || needs_escapes(s, n) ||
                        memchr(s, '\t', n))
                return false;
        if (begins && !escape_is_word(s, 1, "_./") && (unsigned char) s[0] < 0x80)
                return false;
        if (s[0] == '#' && p->state == YAML_PLAIN_BLANK)
                return false;
        /* "---" and "..." at the beginning of a line are not scalars. */
        if (begins && n >= 3 && memcmp(s, "...", 3) == 0)
                return false;

        for (size_t i = 0; i < n; i++)
                if ((s[i] == ':' && (p->flow > 0 || s[i + 1] == ' ')) || (s[i] == ' ' && s[i + 1] == '#') ||
                                ends_flow(p, s[i]))
                        return false;
        return true;
}

/* Does what follows belong to the same plain scalar? Unknown counts as no. */
static bool goes_on(const Position *p, const EscapeValue *v) {
        size_t i = 0;

        if (v->follow == FOLLOW_VALUE)
                return true;
        if (v->follow < 0 || v->follow == ':' || ends_flow(p, (char) v->follow))
                return false;

        while (i < v->rest_size && is_blank(v->rest[i]))
                i++;
        if (i == v->rest_size || v->rest[i] == '\n' || ends_flow(p, v->rest[i]))
                return false;
        return i == 0 || (v->rest[i] != '#' && v->rest[i] != ':');
}

static int write_start(Position *p, Output *o, const EscapeValue *v, const char **ret_reason) {
        bool safe = v->kind != ESCAPE_STRING || is_safe_plain(p, v->s, v->n, /* begins= */ true);

        if (goes_on(p, v)) {
                if (v->n == 0)
                        return 0;
                if (!safe) {
                        *ret_reason = "this value can't stand in plain text; put quotes round the whole";
                        return -EINVAL;
                }
        } else if (!safe || (v->kind == ESCAPE_STRING && !yaml_plain_is_string(v->s, v->n))) {
                begin_node(p, YAML_AFTER);
                output_append_char(o, '"');
                append_double(o, v->s, v->n, p->compose);
                output_append_char(o, '"');
                return 0;
        }

        begin_node(p, YAML_PLAIN);
        append_doubling(o, v->s, v->n, 0, p->compose);
        return 0;
}

static int write_block(Position *p, Output *o, const EscapeValue *v, const char **ret_reason) {
        const char *s = v->s, *e = v->s + v->n;
        bool at_start = p->state == YAML_BLOCK_LINE;

        if (at_start && p->block_indent < 0 && (v->n == 0 || *s == ' ' || *s == '\t' || *s == '\n')) {
                *ret_reason = "the first line of a block of text can't begin with white space from a value; "
                              "put "
                              "the value in double quotes";
                return -EINVAL;
        }
        if ((p->flags & FLAG_FOLDED) &&
                        (memchr(s, '\n', v->n) || (at_start && (v->n == 0 || *s == ' ' || *s == '\t')))) {
                *ret_reason = "a folded block (>) can't hold this value's line ends; use | or double quotes";
                return -EINVAL;
        }

        if (at_start && p->block_indent < 0)
                p->block_indent = (int16_t) p->column;
        while (s < e) {
                const char *newline = memchr(s, '\n', (size_t) (e - s)), *end = newline ?: e;

                if (needs_escapes(s, (size_t) (end - s))) {
                        *ret_reason = "the value has characters that YAML allows in double quotes only";
                        return -EINVAL;
                }
                append_doubling(o, s, (size_t) (end - s), 0, p->compose);
                if (!newline)
                        break;
                output_append_char(o, '\n');
                for (int i = 0; i < p->block_indent; i++)
                        output_append_char(o, ' ');
                s = newline + 1;
        }
        p->state = YAML_BLOCK_TEXT;
        return 0;
}

static int write_part(Position *p, Output *o, const EscapeValue *v, const char **ret_reason) {
        if (v->kind == ESCAPE_STRING && !is_safe_plain(p, v->s, v->n, /* begins= */ false)) {
                *ret_reason = "this value can't stand in plain text; put quotes round the whole";
                return -EINVAL;
        }

        p->state = YAML_PLAIN;
        append_doubling(o, v->s, v->n, 0, p->compose);
        return 0;
}

/* Is this line of a block scalar the first one that no longer belongs to it? */
static bool block_is_over(const Position *p) {
        return p->state == YAML_BLOCK_LINE &&
                        (p->block_indent >= 0 ? p->column < p->block_indent
                                              : (int) p->column <= p->parent_column);
}

static const char *check_text(const EscapeValue *v) {
        if (v->kind == ESCAPE_COMPOSITE)
                return "a list or object can't be written as a whole; use {{#each}}";
        if (v->kind == ESCAPE_STRING && (memchr(v->s, 0, v->n) || !utf8_is_valid(v->s, v->n)))
                return "the value is not text: it has a NUL byte or is not UTF-8";
        return NULL;
}

static int yaml_write(Position *p, Output *o, const EscapeValue *v, const char **ret_reason) {
        int r;

        if (v->kind == ESCAPE_NULL)
                return 0;
        *ret_reason = check_text(v);
        if (*ret_reason)
                return -EINVAL;
        if (p->compose && p->state != YAML_COMMENT) {
                r = escape_check_dollar(p, v, ret_reason);
                if (r < 0)
                        return r;
        }
        if (block_is_over(p))
                p->state = YAML_LINE;
        if (v->n > 0)
                p->dollar = 0;

        switch (p->state) {
        case YAML_LINE:
        case YAML_NODE:
                return write_start(p, o, v, ret_reason);
        case YAML_PLAIN:
        case YAML_PLAIN_BLANK:
        case YAML_PLAIN_COLON:
        case YAML_DASH:
                return v->n > 0 ? write_part(p, o, v, ret_reason) : 0;
        case YAML_DOUBLE:
                append_double(o, v->s, v->n, p->compose);
                return 0;
        case YAML_SINGLE:
                if (needs_escapes(v->s, v->n)) {
                        *ret_reason = "single quotes can't hold this value's line ends or control "
                                      "characters; "
                                      "use double quotes";
                        return -EINVAL;
                }
                append_doubling(o, v->s, v->n, '\'', p->compose);
                return 0;
        case YAML_BLOCK_LINE:
        case YAML_BLOCK_TEXT:
                return write_block(p, o, v, ret_reason);
        case YAML_COMMENT:
                if (needs_escapes(v->s, v->n)) {
                        *ret_reason = "a comment can't hold this value's line ends or control characters";
                        return -EINVAL;
                }
                output_append(o, v->s, v->n);
                return 0;
        default:
                *ret_reason = "a value can't stand here (in a tag, an anchor, a directive or a block's "
                              "header, "
                              "or behind a quoted text or a backslash)";
                return -EINVAL;
        }
}

/* What plain scalars mean */

static bool is_word_of(const char *s, size_t n, const char *const *words, size_t n_words) {
        for (size_t i = 0; i < n_words; i++)
                if (strlen(words[i]) == n && strncasecmp(words[i], s, n) == 0)
                        return true;
        return false;
}

static size_t skip_digits(const char *s, size_t n, const char *digits) {
        size_t i = 0;

        while (i < n && (strchr(digits, s[i]) || s[i] == '_') && s[i])
                i++;
        return i;
}

/* Integers in all notations, with sexagesimal numbers, and what looks like a date. */
static bool is_integer_or_date(const char *s, size_t n) {
        static const char decimal[] = "0123456789";
        size_t k;

        if (n > 2 && s[0] == '0' && strchr("xXoObB", s[1]))
                return skip_digits(s + 2, n - 2, "0123456789abcdefABCDEF") == n - 2;

        k = skip_digits(s, n, decimal);
        if (k == 0 || s[0] == '_')
                return false;
        if (k == 4 && n > k && s[k] == '-')
                return true;
        while (k < n && s[k] == ':') {
                size_t d = skip_digits(s + k + 1, n - k - 1, decimal);

                if (d == 0 || d > 2)
                        return false;
                k += d + 1;
        }
        return k == n ||
                        (s[k] == '.' && memchr(s, ':', k) &&
                                        skip_digits(s + k + 1, n - k - 1, decimal) == n - k - 1);
}

static bool is_real(const char *s, size_t n) {
        static const char decimal[] = "0123456789";
        size_t k = skip_digits(s, n, decimal), d = k;

        if (k < n && s[k] == '.') {
                k++;
                d += skip_digits(s + k, n - k, decimal);
                k += skip_digits(s + k, n - k, decimal);
        }
        if (d == 0 || s[0] == '_')
                return false;
        if (k < n && (s[k] == 'e' || s[k] == 'E')) {
                k++;
                if (k < n && (s[k] == '-' || s[k] == '+'))
                        k++;
                d = skip_digits(s + k, n - k, decimal);
                k += d;
        }
        return k == n && d > 0;
}

bool yaml_plain_is_string(const char *s, size_t n) {
        static const char *const words[] = { "~", "null", "true", "false", "yes", "no", "on", "off", "y",
                "n", "<<", "=", ".inf", "+.inf", "-.inf", ".nan" };

        if (n == 0 || (n <= 5 && is_word_of(s, n, words, ELEMENTSOF(words))))
                return false;
        if (*s == '-' || *s == '+') {
                s++;
                n--;
        }
        return !is_integer_or_date(s, n) && !is_real(s, n);
}

const Escaper yaml_escaper = {
        .begin = yaml_begin,
        .scan = yaml_scan,
        .write = yaml_write,
        .in_comment = yaml_in_comment,
};
