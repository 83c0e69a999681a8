/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Reads .env files as Docker Compose does (compose-go 2, dotenv/): KEY=value or KEY: value, "export" before
 * it, a bare value up to the end of its line or to " #", "…" with escapes and '…' without, over several lines
 * if need be. $NAME and ${NAME…} are expanded in bare and double-quoted values; $$ is a dollar sign. */

#include <jansson.h>

#include "error.h"

typedef struct DotenvEntry {
        char *key, *value; /* NUL-terminated, no NUL inside; value NULL: a bare KEY, to be taken from outside */
        bool expands;      /* $ in value is still to be expanded, and $$ is $ */
        unsigned line;
} DotenvEntry;

/* In the order of the file; wiped by dotenv_entries_free(). Errors: InvalidArgument, with the line. */
int dotenv_read(const char *text, size_t size, DotenvEntry **ret, size_t *ret_n, Error *reterr);
void dotenv_entries_free(DotenvEntry *entries, size_t n);

/* The variables as an object of strings, expanded over those before them; a variable that is not there is
 * empty. A key without value is left out. */
int dotenv_load(const char *text, size_t size, json_t **ret, Error *reterr);

/* Bytes of white space (Unicode's) that trimming removes at the beginning and at the end. */
size_t dotenv_leading_space(const char *s, size_t n);
size_t dotenv_trailing_space(const char *s, size_t n);
