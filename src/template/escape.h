/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Writes a value into the text of a target so that the program that reads the target gets exactly this value
 * and nothing else. What that takes depends on where the value stands: inside "…", inside '…', bare, in a
 * block of text, in a comment. So the escaper of a format follows the text that the template's author wrote,
 * in a Position, and each value is written for the position where it lands. */

#include <errno.h>
#include <jansson.h>

#include "ccp/macro.h"
#include "output.h"

typedef enum TemplateFormat {
        TEMPLATE_YAML,
        TEMPLATE_DOTENV,
        TEMPLATE_JSON,
        TEMPLATE_NGINX,
        TEMPLATE_INI,
        TEMPLATE_TEXT, /* as is, but no control character other than newline and tab */
        TEMPLATE_HTML, /* as handlebars.js escapes; raw values are always allowed */
        _TEMPLATE_FORMAT_MAX,
        _TEMPLATE_FORMAT_INVALID = -EINVAL,
} TemplateFormat;
DECLARE_STRING_TABLE(template_format, TemplateFormat);

/* Where the end of the text lies in its format's grammar. Each format gives the fields the meaning it needs
 * (see its file); zero is the beginning of a file. There is no padding: positions are compared as bytes. */
typedef struct Position {
        uint8_t state;
        uint8_t flags;
        uint8_t dollar; /* the text ends with an unescaped $ (or, in nginx, with the name of a variable) */
        uint8_t braces; /* depth in the author's own ${…} */
        uint16_t flow;  /* depth in [ ] and { } */
        uint16_t column;
        int16_t node_column; /* YAML: where the latest scalar or dash of this line began */
        int16_t parent_column; /* YAML: the column of the key or dash that the value here belongs to; -1: none */
        int16_t block_indent; /* YAML: indentation of the block scalar, -1 as long as it is not known */
        uint8_t format;       /* whose position this is: memos of a partial serve several targets */
        bool compose;         /* YAML of a compose file: $ in a value becomes $$ */
} Position;

static inline bool position_equal(const Position *a, const Position *b) {
        uint64_t x[2], y[2];

        _Static_assert(sizeof(Position) == sizeof(x), "a position has padding or is larger than thought");
        memcpy(x, a, sizeof(x));
        memcpy(y, b, sizeof(y));
        return x[0] == y[0] && x[1] == y[1];
}

/* Remembers what following a piece of text did last time. */
typedef struct EscapeMemo {
        Position from, to;
        bool valid;
} EscapeMemo;

typedef enum EscapeKind {
        ESCAPE_STRING,
        ESCAPE_NUMBER,
        ESCAPE_BOOLEAN,
        ESCAPE_NULL,      /* null, or nothing at all: writes nothing (null in JSON) */
        ESCAPE_COMPOSITE, /* a list or object: JSON text; only where a JSON value may stand */
} EscapeKind;

/* What comes behind the value, if not the byte of the author's text there. */
#define FOLLOW_UNKNOWN (-1) /* a block or partial */
#define FOLLOW_VALUE (-2)   /* another value */
#define FOLLOW_END (-3)     /* the end of the template */

typedef struct EscapeValue {
        const char *s;
        size_t n;
        EscapeKind kind;
        int follow;
        const char *rest; /* the text behind it, up to the next tag, if 'follow' is a byte */
        size_t rest_size;
} EscapeValue;

typedef struct Escaper {
        bool raw_always; /* {{{x}}} needs no permission */
        /* At the start of a file. NULL: all zero. */
        void (*begin)(Position *p);
        /* Moves p over text of the author's. NULL: the position does not matter. */
        void (*scan)(Position *p, const char *s, size_t n);
        /* Appends a value and moves p over it. 0, or -EINVAL with *ret_reason a static text that goes on
         * from "'path': …" and never holds the value. */
        int (*write)(Position *p, Output *o, const EscapeValue *v, const char **ret_reason);
        /* True if p is in a comment, so that the value does not occur in what the file means. */
        bool (*in_comment)(const Position *p);
} Escaper;

/* Never NULL for a valid format. */
const Escaper *escaper_of(TemplateFormat f);

extern const Escaper yaml_escaper, dotenv_escaper, nginx_escaper, ini_escaper;

/* Moves over the author's text, by way of a memo. */
static inline void escaper_scan(const Escaper *e, Position *p, const char *s, size_t n, EscapeMemo *memo) {
        if (!e->scan || n == 0)
                return;

        if (memo && memo->valid && position_equal(&memo->from, p)) {
                *p = memo->to;
                return;
        }

        if (memo)
                memo->from = *p;
        e->scan(p, s, n);
        if (memo) {
                memo->to = *p;
                memo->valid = true;
        }
}

/* Shared by the formats' files */

/* True if all n bytes are UTF-8 without control characters; tab is allowed on request. */
bool escape_is_printable(const char *s, size_t n, bool tab);
/* True if all n bytes are ASCII letters, digits or one of 'others'. */
bool escape_is_word(const char *s, size_t n, const char *others);
/* Follows $, $$ and ${…} of Compose's interpolation over one byte. */
static inline void escape_scan_dollar(Position *p, char c) {
        if (c == '$') {
                p->dollar = !p->dollar;
                return;
        }
        if (c == '{' && (p->dollar || p->braces > 0) && p->braces < UINT8_MAX)
                p->braces++;
        else if (c == '}' && p->braces > 0)
                p->braces--;
        p->dollar = 0;
}
/* Refuses a value that would become part of a ${…} or $… of the author's. */
int escape_check_dollar(const Position *p, const EscapeValue *v, const char **ret_reason);

/* What a plain (unquoted) YAML scalar of this text means: true if a string under YAML 1.1 and 1.2 alike. */
bool yaml_plain_is_string(const char *s, size_t n);
