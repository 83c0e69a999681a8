/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Rows in the text of INSERT statements. The one tool writes all rows of a statement in one line, the other each in its own,
 * and which rows share a statement is the tool's choice: it is the rows that count. */

#include <string.h>

#include "alloc-util.h"
#include "dump-digest-internal.h"
#include "string-util.h"

#define INSERT "INSERT INTO "
#define VALUES "VALUES"

static void statement_begin(DumpDigest *d) {
        d->statement = (Statement) { .state = STATEMENT_TABLE };
}

static void statement_forget(DumpDigest *d) {
        d->statement = (Statement) {};
        d->in_line = false;
        d->n_head = 0;
}

/* The length of the name that begins there: quoted, the quote in it being doubled, or a word. */
static size_t name_length(const char *s, size_t size) {
        bool quoted = size > 0 && (s[0] == '`' || s[0] == '"');
        size_t n = quoted ? 1 : 0;

        for (; n < size; n++) {
                if (!quoted && (s[n] == ' ' || s[n] == '('))
                        return n;
                if (!quoted || s[n] != s[0])
                        continue;
                if (n + 1 >= size || s[n + 1] != s[0])
                        return n + 1;
                n++;
        }
        return size;
}

static int row_begin(DumpDigest *d) {
        Statement *s = &d->statement;
        const char *name = d->head + STRLEN(INSERT);

        if (s->state == STATEMENT_TABLE) {
                d->name = dump_name_new(name, name_length(name, d->n_head - STRLEN(INSERT)));
                if (!d->name)
                        return -ENOMEM;
                s->state = STATEMENT_ROWS;
        }
        s->in_row = true;
        dump_hash_begin(d);
        return 0;
}

static void row_end(DumpDigest *d) {
        uint8_t hash[DUMP_HASH_SIZE];

        dump_hash_finish(d, hash);
        dump_table_add(&d->table, hash);
        d->statement.in_row = false;
}

int dump_statement_end(DumpDigest *d) {
        uint8_t hash[DUMP_HASH_SIZE];
        int r;

        /* One that has no rows that are written out, or has no end. */
        if (d->statement.state == STATEMENT_TABLE || d->statement.in_row) {
                dump_hash_finish(d, hash);
                dump_table_add(&d->other, hash);
        }
        r = dump_digest_end_table(d);
        statement_forget(d);
        return r;
}

/* Bytes that were looked at: of the statement's begin, or of a row. */
static void keep(DumpDigest *d, const char *data, size_t size) {
        if (d->statement.state == STATEMENT_TABLE)
                dump_line_add(d, data, size);
        else if (d->statement.in_row)
                dump_hash_add(d, data, size);
}

static bool in_text(DumpDigest *d, char c) {
        Statement *s = &d->statement;

        if (!s->quote)
                return false;
        if (s->escaped)
                s->escaped = false;
        else if (c == '\\' && d->kind == DUMP_TEXT_MYSQL && s->quote != '`')
                s->escaped = true;
        else if (c == s->quote)
                s->quote = 0; /* one that is doubled opens it again */
        return true;
}

static void remember(Statement *s, char c) {
        if (c == ' ' || c == '\n' || c == '\r' || c == '\t')
                return;
        memmove(s->last, s->last + 1, sizeof(s->last) - 1);
        s->last[sizeof(s->last) - 1] = c;
        if (c == '\'' || c == '"' || c == '`')
                s->quote = c;
}

/* Looks at the next character: 1 if the statement, or a row, begins or ends with it. */
static int look(Statement *s, char c) {
        if (c == '(')
                return s->depth++ == 0 &&
                                (s->state == STATEMENT_ROWS || memcmp(s->last, VALUES, STRLEN(VALUES)) == 0);
        if (c == ')' && s->depth > 0)
                return --s->depth == 0 && s->in_row;
        return c == ';' && s->depth == 0;
}

static int take_rows(DumpDigest *d, const char *data, size_t size, size_t *ret_taken) {
        size_t n = 0;
        char c;
        int r;

        for (;; n++) {
                if (n == size) {
                        keep(d, data, n);
                        *ret_taken = n;
                        return 0;
                }
                c = data[n];
                if (in_text(d, c))
                        continue;
                if (look(&d->statement, c))
                        break;
                remember(&d->statement, c);
        }

        *ret_taken = n + 1;
        if (c == '(') {
                keep(d, data, n);
                r = row_begin(d);
                if (r >= 0)
                        keep(d, data + n, 1);
                return r;
        }
        keep(d, data, n + 1);
        if (c == ';')
                return dump_statement_end(d);
        row_end(d);
        return 0;
}

int dump_statement_take(DumpDigest *d, const char *data, size_t size, size_t *ret_taken) {
        size_t most = d->n_head < STRLEN(INSERT) ? STRLEN(INSERT) - d->n_head : SIZE_MAX;
        int r;

        if (d->statement.state != STATEMENT_NONE)
                return take_rows(d, data, size, ret_taken);

        r = dump_line_take(d, data, size, most, ret_taken);
        if (r >= 0 && !d->in_body && d->n_head == STRLEN(INSERT) &&
                        memcmp(d->head, INSERT, STRLEN(INSERT)) == 0)
                statement_begin(d);
        return r;
}
