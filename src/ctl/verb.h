/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The table of verbs: finding the one that was asked for, checking its arguments, and the help made of it. */

#include <stdio.h>

#include "arguments.h"

typedef struct Ctl Ctl;

#define ARGUMENTS_ANY SIZE_MAX

typedef struct Verb {
        const char *noun;      /* "job" of "job list"; NULL for verbs of instances */
        const char *name;      /* NULL: run without any word, or with the noun alone */
        const char *arguments; /* as --help shows them; NULL: none */
        size_t min, max;       /* how many */
        uint64_t options;      /* besides those that go everywhere */
        const char *help;
        /* 'args' are the words behind the verb, an array that ends with NULL. Returns the exit code, or a
         * negative errno with reterr set. */
        int (*run)(Ctl *c, char **args, Error *reterr);
} Verb;

/* Finds the verb in a table that ends with an entry without 'help', and checks that arguments and options fit
 * it. ret_args points into a->words. Fails with InvalidArgument. */
int verb_find(const Verb *table, const Arguments *a, const Verb **ret, char ***ret_args, Error *reterr);

/* The help of all (verb NULL), or of one. 'words' may name a noun: then of its verbs. */
int verb_print_help(const Verb *table, char *const *words, FILE *f, Error *reterr);
