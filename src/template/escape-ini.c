/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "escape.h"
#include "string-util.h"

/* INI files have no grammar that all readers share, nor a common way to quote. So a value is written only
 * where all of them agree on what it means: what some take for a comment, a quote, an escape, a reference or
 * white space to be trimmed is refused. */

enum {
        INI_LINE,
        INI_SECTION, /* in [ ] */
        INI_KEY,
        INI_VALUE, /* behind the = */
        INI_BARE,
        INI_QUOTED, /* in " " */
        INI_QUOTED_BACKSLASH,
        INI_COMMENT,
};

static void scan_char(Position *p, char c) {
        if (c == '\n') {
                p->state = INI_LINE;
                return;
        }

        switch (p->state) {
        case INI_LINE:
                if (c == '[')
                        p->state = INI_SECTION;
                else if (c == ';' || c == '#')
                        p->state = INI_COMMENT;
                else if (c != ' ' && c != '\t')
                        p->state = INI_KEY;
                break;
        case INI_SECTION:
                if (c == ']')
                        p->state = INI_KEY;
                break;
        case INI_KEY:
                if (c == '=' || c == ':')
                        p->state = INI_VALUE;
                break;
        case INI_VALUE:
                if (c == '"')
                        p->state = INI_QUOTED;
                else if (c != ' ' && c != '\t')
                        p->state = INI_BARE;
                break;
        case INI_BARE:
                if (c == ';' || c == '#')
                        p->state = INI_COMMENT;
                break;
        case INI_QUOTED:
                p->state = c == '"' ? INI_BARE : c == '\\' ? INI_QUOTED_BACKSLASH : INI_QUOTED;
                break;
        case INI_QUOTED_BACKSLASH:
                p->state = INI_QUOTED;
                break;
        default:
                break;
        }
}

static void ini_scan(Position *p, const char *s, size_t n) {
        for (const char *e = s + n; s < e; s++)
                scan_char(p, *s);
}

static bool ini_in_comment(const Position *p) {
        return p->state == INI_COMMENT;
}

static bool has_any(const char *s, size_t n, const char *set) {
        for (size_t i = 0; i < n; i++)
                if (s[i] && strchr(set, s[i]))
                        return true;
        return false;
}

static const char *check(const Position *p, const char *s, size_t n) {
        if (p->state != INI_COMMENT && (memmem(s, n, "${", 2) || memmem(s, n, "%(", 2)))
                return "readers of INI files take '${' and '%(' for references";

        switch (p->state) {
        case INI_SECTION:
        case INI_LINE:
        case INI_KEY:
                return escape_is_word(s, n, "_./:@ -") && n > 0 && s[0] != ' ' && s[n - 1] != ' '
                                ? NULL
                                : "the name of a section or key has letters, digits, spaces and _./:@- only";
        case INI_VALUE:
        case INI_BARE:
                if (has_any(s, n, ";#\"'`\\"))
                        return "readers of INI files disagree on ; # quotes and backslashes in a value "
                               "without "
                               "quotes";
                if (n > 0 && (s[0] == ' ' || s[n - 1] == ' '))
                        return "readers of INI files trim white space at the ends of a value";
                return NULL;
        case INI_QUOTED:
                return has_any(s, n, "\"\\")
                                ? "readers of INI files disagree on quotes and backslashes in quotes"
                                : NULL;
        case INI_QUOTED_BACKSLASH:
                return "a value can't stand behind a backslash";
        default:
                return NULL;
        }
}

static int ini_write(Position *p, Output *o, const EscapeValue *v, const char **ret_reason) {
        if (v->kind == ESCAPE_NULL)
                return 0;
        if (v->kind == ESCAPE_COMPOSITE)
                *ret_reason = "a list or object can't be written as a whole; use {{#each}}";
        else if (!escape_is_printable(v->s, v->n, false))
                *ret_reason = "the value has a line end or control character, or is not UTF-8";
        else
                *ret_reason = check(p, v->s, v->n);
        if (*ret_reason)
                return -EINVAL;

        output_append(o, v->s, v->n);
        if (v->n > 0)
                p->state = p->state == INI_LINE ? INI_KEY : p->state == INI_VALUE ? INI_BARE : p->state;
        return 0;
}

const Escaper ini_escaper = {
        .scan = ini_scan,
        .write = ini_write,
        .in_comment = ini_in_comment,
};
