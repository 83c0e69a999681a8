/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Cuts a template into tokens. Between tags there is content; a tag's opening says what kind of tag it is. */

#include "ast.h"

typedef enum TokenType {
        TOKEN_END,
        TOKEN_CONTENT,
        TOKEN_COMMENT,
        TOKEN_OPEN,               /* {{ */
        TOKEN_OPEN_UNESCAPED,     /* {{{ */
        TOKEN_OPEN_RAW,           /* {{& */
        TOKEN_OPEN_BLOCK,         /* {{# */
        TOKEN_OPEN_DECORATOR,     /* {{#* */
        TOKEN_OPEN_INVERSE,       /* {{^ */
        TOKEN_OPEN_CHAIN,         /* {{else NAME */
        TOKEN_INVERSE,            /* {{else}} {{^}} */
        TOKEN_OPEN_END_BLOCK,     /* {{/ */
        TOKEN_OPEN_PARTIAL,       /* {{> */
        TOKEN_OPEN_PARTIAL_BLOCK, /* {{#> */
        TOKEN_OPEN_RAW_BLOCK,     /* {{{{ */
        TOKEN_CLOSE_RAW_BLOCK,    /* }}}} */
        TOKEN_CLOSE,              /* }} */
        TOKEN_CLOSE_UNESCAPED,    /* }}} */
        TOKEN_OPEN_CALL,          /* ( */
        TOKEN_CLOSE_CALL,         /* ) */
        TOKEN_OPEN_PARAMS,        /* as | */
        TOKEN_CLOSE_PARAMS,       /* | */
        TOKEN_EQUALS,
        TOKEN_SEPARATOR, /* . or / in a path */
        TOKEN_DATA,      /* @ */
        TOKEN_ID,
        TOKEN_STRING,
        TOKEN_NUMBER,
        TOKEN_BOOLEAN,
        TOKEN_NULL,
        TOKEN_UNDEFINED,
        _TOKEN_MAX,
} TokenType;

typedef struct Token {
        TokenType type;
        Location location;
        const char *text; /* of strings and [..] what is between the delimiters, escapes not yet resolved */
        size_t size;
        Strip strip;  /* ~ just inside an opening, or just before a closing */
        bool literal; /* an ID in brackets */
        bool escapes; /* the text of a string or literal has escapes */
} Token;

typedef struct Lexer {
        const char *source, *end, *p;
        const char *line_start;
        uint32_t line;
        bool in_tag, emulate; /* emulate: after \{{, the braces are content */
        const char *error;    /* static text, set when lexer_next() fails */
        Location error_location;
} Lexer;

void lexer_init(Lexer *l, const char *source, size_t size);
/* 0 or -EBADMSG with l->error and l->error_location set. */
int lexer_next(Lexer *l, Token *ret);
/* After TOKEN_CLOSE_RAW_BLOCK: the content of a raw block up to its end tag, and the name in that. */
int lexer_raw_block(Lexer *l, Token *ret_content, Token *ret_name);

const char *token_type_to_string(TokenType t);
