/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the parsers of the several texts share; for dump-*.c alone. */

#include <sodium.h>

#include "dump-digest.h"

/* Of a line, what is kept to see what it is. */
#define DUMP_HEAD_SIZE 4096U
#define DUMP_HASH_SIZE 16U

/* Sums of hashes: the same rows in another order give the same. */
typedef struct DumpTable {
        uint64_t n_rows, sum[2];
} DumpTable;

typedef enum StatementState {
        STATEMENT_NONE,  /* lines */
        STATEMENT_TABLE, /* "INSERT INTO …", up to its first row */
        STATEMENT_ROWS,
} StatementState;

/* An INSERT: the rows of one statement may come in one line, or in many. */
typedef struct Statement {
        StatementState state;
        char quote; /* that is open, or 0 */
        bool escaped, in_row;
        unsigned depth; /* of parentheses */
        char last[6];   /* characters, without blanks and what is quoted */
} Statement;

typedef enum ArchivePart {
        ARCHIVE_MAGIC,
        ARCHIVE_PRELUDE,
        ARCHIVE_HEADER, /* of some documents of a collection */
        ARCHIVE_DOCUMENTS,
} ArchivePart;

typedef struct DumpArchive {
        ArchivePart part;
        uint8_t word[4]; /* the magic number, or the size of a document */
        size_t n_word;
        uint32_t left; /* of a document */
} DumpArchive;

struct DumpDigest {
        crypto_generichash_state state; /* of the line, or row */
        json_t *tables;                 /* name → [rows, sum, sum], each the text of a number */
        char *name;                     /* whose rows come; NULL: none */
        size_t n_head;
        DumpTable table; /* of it */
        DumpTable other;
        DumpArchive archive;
        DumpText kind;
        Statement statement;
        bool in_line, in_body;
        char head[DUMP_HEAD_SIZE];
};

static inline void dump_hash_begin(DumpDigest *d) {
        (void) crypto_generichash_init(&d->state, NULL, 0, DUMP_HASH_SIZE);
}

static inline void dump_hash_add(DumpDigest *d, const char *data, size_t size) {
        (void) crypto_generichash_update(&d->state, (const uint8_t *) data, size);
}

static inline void dump_hash_finish(DumpDigest *d, uint8_t ret[static DUMP_HASH_SIZE]) {
        (void) crypto_generichash_final(&d->state, ret, DUMP_HASH_SIZE);
}

void dump_table_add(DumpTable *t, const uint8_t hash[static DUMP_HASH_SIZE]);
/* Printable, and of no length that hurts. NULL when out of memory. */
char *dump_name_new(const char *text, size_t size);
/* Puts the rows down that came for d->name, if there is one. */
int dump_digest_end_table(DumpDigest *d);

/* Adds to the line that is being read, which begins with it if there is none. */
void dump_line_add(DumpDigest *d, const char *data, size_t size);
/* Takes at most 'most' bytes, and no more than one line. */
int dump_line_take(DumpDigest *d, const char *data, size_t size, size_t most, size_t *ret_taken);

/* Each takes some of the bytes, at least one, and says how many. */
int dump_statement_take(DumpDigest *d, const char *data, size_t size, size_t *ret_taken);
int dump_mongodb_take(DumpDigest *d, const char *data, size_t size, size_t *ret_taken);
/* The text ends. -EBADMSG where it must not. */
int dump_statement_end(DumpDigest *d);
int dump_mongodb_end(DumpDigest *d);
