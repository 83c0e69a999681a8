/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "escape.h"

#include <stdio.h>

#include "string-util.h"

static const char *const template_format_table[_TEMPLATE_FORMAT_MAX] = {
        [TEMPLATE_YAML] = "yaml",
        [TEMPLATE_DOTENV] = "dotenv",
        [TEMPLATE_JSON] = "json",
        [TEMPLATE_NGINX] = "nginx",
        [TEMPLATE_INI] = "ini",
        [TEMPLATE_TEXT] = "text",
        [TEMPLATE_HTML] = "html",
};
DEFINE_STRING_TABLE(template_format, TemplateFormat);

bool escape_is_printable(const char *s, size_t n, bool tab) {
        bool ascii = true;

        for (size_t i = 0; i < n; i++) {
                unsigned char c = (unsigned char) s[i];

                if ((c < ' ' && !(tab && c == '\t')) || c == 0x7F)
                        return false;
                ascii = ascii && c < 0x80;
        }
        if (ascii)
                return true;
        if (!utf8_is_valid(s, n))
                return false;

        /* U+0080 to U+009F are control characters too. */
        for (size_t i = 0; i + 1 < n; i++)
                if ((unsigned char) s[i] == 0xC2 && (unsigned char) s[i + 1] < 0xA0)
                        return false;
        return true;
}

bool escape_is_word(const char *s, size_t n, const char *others) {
        for (size_t i = 0; i < n; i++) {
                char c = s[i];

                if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                                    (c && strchr(others, c))))
                        return false;
        }
        return true;
}

int escape_check_dollar(const Position *p, const EscapeValue *v, const char **ret_reason) {
        if (v->n == 0)
                return 0;
        if (p->dollar) {
                *ret_reason = "a value can't stand right behind a '$', it would become the name of a "
                              "variable; "
                              "write '$$' for the character";
                return -EINVAL;
        }
        if (p->braces > 0 && !escape_is_word(v->s, v->n, "_./:@,+= -")) {
                *ret_reason = "inside ${…} a value may have letters, digits and _./:@,+= - only";
                return -EINVAL;
        }
        return 0;
}

/* HTML: the seven characters that handlebars.js escapes */

static int write_html(
                _unused_ Position *p, Output *o, const EscapeValue *v, _unused_ const char **ret_reason) {
        static const char *const entities[256] = {
                ['&'] = "&amp;",
                ['<'] = "&lt;",
                ['>'] = "&gt;",
                ['"'] = "&quot;",
                ['\''] = "&#x27;",
                ['`'] = "&#x60;",
                ['='] = "&#x3D;",
        };
        size_t from = 0;

        for (size_t i = 0; i < v->n; i++) {
                const char *e = entities[(unsigned char) v->s[i]];

                if (!e)
                        continue;
                output_append(o, v->s + from, i - from);
                output_append(o, e, strlen(e));
                from = i + 1;
        }
        output_append(o, v->s + from, v->n - from);
        return 0;
}

/* Text: nothing is known about the target, so nothing can be escaped. */

static int write_plain_text(_unused_ Position *p, Output *o, const EscapeValue *v, const char **ret_reason) {
        const char *s = v->s, *e;
        size_t n = v->n;

        if (v->kind == ESCAPE_COMPOSITE) {
                *ret_reason = "a list or object can't be written as a whole; use {{#each}}";
                return -EINVAL;
        }

        for (; n > 0; n -= (size_t) (e - s), s = e) {
                const char *newline = memchr(s, '\n', n);

                e = newline ?: s + n;
                if (!escape_is_printable(s, (size_t) (e - s), true)) {
                        *ret_reason = "the value has a control character";
                        return -EINVAL;
                }
                e += newline ? 1 : 0;
        }
        output_append(o, v->s, v->n);
        return 0;
}

/* JSON: in a string its characters, elsewhere a value */

enum { JSON_OUTSIDE, JSON_TOKEN, JSON_IN_STRING, JSON_BACKSLASH };

static void scan_json(Position *p, const char *s, size_t n) {
        for (const char *e = s + n; s < e; s++)
                switch (p->state) {
                case JSON_IN_STRING:
                        p->state = *s == '"' ? JSON_OUTSIDE : *s == '\\' ? JSON_BACKSLASH : JSON_IN_STRING;
                        break;
                case JSON_BACKSLASH:
                        p->state = JSON_IN_STRING;
                        break;
                default:
                        p->state = *s == '"'                          ? JSON_IN_STRING
                                        : strchr(" \t\r\n,:[]{}", *s) ? JSON_OUTSIDE
                                                                      : JSON_TOKEN;
                }
}

static void append_json_text(Output *o, const char *s, size_t n) {
        size_t from = 0;

        for (size_t i = 0; i < n; i++) {
                unsigned char c = (unsigned char) s[i];
                char buf[8];

                if (c >= ' ' && c != '"' && c != '\\')
                        continue;
                output_append(o, s + from, i - from);
                if (c >= ' ')
                        output_append(o, (char[]) { '\\', s[i] }, 2);
                else
                        output_append(o, buf, (size_t) snprintf(buf, sizeof(buf), "\\u%04x", c));
                from = i + 1;
        }
        output_append(o, s + from, n - from);
}

static int write_json(Position *p, Output *o, const EscapeValue *v, const char **ret_reason) {
        if (v->kind == ESCAPE_STRING && (!utf8_is_valid(v->s, v->n) || memchr(v->s, 0, v->n)))
                *ret_reason = "the value is not text: it has a NUL byte or is not UTF-8";
        else if (p->state == JSON_BACKSLASH)
                *ret_reason = "a value can't stand right behind a backslash";
        else if (p->state == JSON_TOKEN)
                *ret_reason = "a value can't stand in the middle of a number or word";
        else if (p->state == JSON_IN_STRING && v->kind == ESCAPE_COMPOSITE)
                *ret_reason = "a list or object can't stand inside a string";
        if (*ret_reason)
                return -EINVAL;

        if (p->state == JSON_IN_STRING) {
                append_json_text(o, v->s, v->n);
                return 0;
        }

        switch (v->kind) {
        case ESCAPE_STRING:
                output_append_char(o, '"');
                append_json_text(o, v->s, v->n);
                output_append_char(o, '"');
                break;
        case ESCAPE_NULL:
                output_append_literal(o, "null");
                break;
        default:
                output_append(o, v->s, v->n);
        }
        p->state = JSON_TOKEN;
        return 0;
}

const Escaper *escaper_of(TemplateFormat f) {
        static const Escaper html = { .raw_always = true, .write = write_html };
        static const Escaper text = { .write = write_plain_text };
        static const Escaper json = { .scan = scan_json, .write = write_json };
        static const Escaper *const escapers[_TEMPLATE_FORMAT_MAX] = {
                [TEMPLATE_YAML] = &yaml_escaper,
                [TEMPLATE_DOTENV] = &dotenv_escaper,
                [TEMPLATE_JSON] = &json,
                [TEMPLATE_NGINX] = &nginx_escaper,
                [TEMPLATE_INI] = &ini_escaper,
                [TEMPLATE_TEXT] = &text,
                [TEMPLATE_HTML] = &html,
        };

        assert(f >= 0 && f < _TEMPLATE_FORMAT_MAX);
        return escapers[f];
}
