/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* How each kind of database is dumped, looked at, restored and compared, by its own tools in its own container. */

#include "blueprint.h"
#include "dump-digest.h"

/* What a dump began and ended with, and how long it is. */
typedef struct DumpEnds {
        char head[32], tail[256 + 1];
        size_t n_head, n_tail;
        uint64_t size;
} DumpEnds;

typedef const char *const RecipeTool[16];

/* In the words of a tool USER, DATABASE, FILE and UNTIL stand for what the blueprint says, and for the time (in ms since 1970)
 * up to which keys that expire are not compared. An option that has one is left out where the blueprint does not say it. The
 * password is handed over in the environment of the tool, which only who may look into the container sees. */
#define RECIPE_USER "@user"
#define RECIPE_DATABASE "@database"
#define RECIPE_FILE "@file"
#define RECIPE_UNTIL "@until"

typedef struct Recipe {
        const char *suffix;
        const char *password;        /* name of the variable */
        const char *password_format; /* the text of the variable, with the password as JSON; NULL: the password */
        RecipeTool version;          /* says which version the tools and the server are */
        unsigned n_version_parts; /* so many of its numbers must not be older than those of a dump; 0: none */
        RecipeTool dump;          /* writes the dump to stdout */
        bool (*is_whole)(const DumpEnds *e);
        RecipeTool check; /* reads a dump on stdin, as far as it can tell that it is whole; [0] NULL: there is none */

        /* Back into a database that was made anew. 'ready' ends well once that is up for good. 'restore' reads the dump
         * from stdin. */
        RecipeTool ready, restore;
        /* The rows of the database, and of a dump on stdin, as one and the same text; the dump itself if there is no
         * 'text'. */
        RecipeTool dump_rows, text;
        DumpText rows;
        bool offline;    /* it is a file of an application, restored while nobody uses it */
        bool check_asks; /* 'check' asks the server, which must run */
} Recipe;

const Recipe *recipe_get(DatabaseKind kind);
