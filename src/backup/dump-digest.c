/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "dump-digest.h"

#include <inttypes.h>
#include <sodium.h>
#include <string.h>

#include "alloc-util.h"
#include "string-util.h"

/* Of a line, what is kept to see what it is. */
#define HEAD_SIZE 4096U
#define TABLES_MAX 100000U
/* Of a table's name in a sentence. */
#define NAME_IN_SENTENCE_MAX 64

typedef enum LineKind {
        LINE_SKIP,  /* counts for nothing */
        LINE_OTHER, /* counts, for no table */
        LINE_BEGIN, /* the rows of a table follow */
        LINE_ROW,
        LINE_END, /* of the rows */
} LineKind;

/* Sums of hashes: the same rows in another order give the same. */
typedef struct Table {
        uint64_t n_rows, sum[2];
} Table;

struct DumpDigest {
        DumpText kind;
        json_t *tables; /* name → [rows, sum, sum], each the text of a number */
        char *name;     /* whose rows come; NULL: none */
        Table table;    /* of it */
        Table other;

        char head[HEAD_SIZE];
        size_t n_head;
        bool in_line;
        crypto_generichash_state state;
};

int dump_digest_new(DumpText kind, DumpDigest **ret) {
        DumpDigest *d;

        assert(kind >= 0 && kind < _DUMP_TEXT_MAX);
        d = new0(DumpDigest, 1);
        if (!d)
                return -ENOMEM;
        d->kind = kind;
        d->tables = json_object();
        if (!d->tables) {
                free(d);
                return -ENOMEM;
        }

        *ret = d;
        return 0;
}

DumpDigest *dump_digest_free(DumpDigest *d) {
        if (!d)
                return NULL;

        json_decref(d->tables);
        free(d->name);
        return mfree(d);
}

static bool begins(const DumpDigest *d, const char *prefix) {
        return d->n_head >= strlen(prefix) && memcmp(d->head, prefix, strlen(prefix)) == 0;
}

static bool ends(const DumpDigest *d, const char *suffix) {
        size_t n = strlen(suffix);

        return d->n_head >= n && memcmp(d->head + d->n_head - n, suffix, n) == 0;
}

static LineKind judge_copy(const DumpDigest *d) {
        static const char *const skipped[] = { "--", "SET ", "SELECT pg_catalog.set_config(", "\\restrict ",
                "\\unrestrict " };

        if (d->name)
                return d->n_head == 2 && begins(d, "\\.") ? LINE_END : LINE_ROW;
        FOREACH_ARRAY(s, skipped, ELEMENTSOF(skipped))
                if (begins(d, *s))
                        return LINE_SKIP;
        return begins(d, "COPY ") && ends(d, " FROM stdin;") ? LINE_BEGIN : LINE_OTHER;
}

static LineKind judge_insert(const DumpDigest *d) {
        if (begins(d, "--") || begins(d, "/*!") || begins(d, "/*M!") || begins(d, "LOCK TABLES ") ||
                        begins(d, "UNLOCK TABLES"))
                return LINE_SKIP;
        return begins(d, "INSERT INTO ") ? LINE_ROW : LINE_OTHER;
}

static void table_add(Table *t, const uint8_t hash[static 16]) {
        uint64_t part[2];

        memcpy(part, hash, sizeof(part));
        t->n_rows++;
        t->sum[0] += part[0];
        t->sum[1] += part[1];
}

/* Printable, and of no length that hurts: what is cut off is told by a hash of all of it. */
static char *make_name(const char *text, size_t size) {
        char hex[2 * 16 + 1], *name;
        uint8_t hash[16];
        size_t n = MIN(size, (size_t) 512);

        (void) crypto_generichash(hash, sizeof(hash), (const uint8_t *) text, size, NULL, 0);
        (void) sodium_bin2hex(hex, sizeof(hex), hash, sizeof(hash));
        name = new0(char, n + 1 + sizeof(hex));
        if (!name)
                return NULL;
        for (size_t i = 0; i < n; i++)
                name[i] = (char) (text[i] >= ' ' && text[i] <= '~' ? text[i] : '?');
        if (n < size || strchr(name, '?')) {
                name[n] = ' ';
                memcpy(name + n + 1, hex, sizeof(hex));
        }
        return name;
}

static int table_put(json_t *tables, const char *name, const Table *t) {
        json_t *known = json_object_get(tables, name);
        Table sum = *t;

        /* One table may come in parts. */
        if (known) {
                sum.n_rows += strtoull(strempty(json_string_value(json_array_get(known, 0))), NULL, 10);
                for (size_t i = 0; i < 2; i++)
                        sum.sum[i] += strtoull(
                                        strempty(json_string_value(json_array_get(known, i + 1))), NULL, 16);
        } else if (json_object_size(tables) >= TABLES_MAX)
                return -E2BIG;

        return json_object_set_new(tables, name,
                               json_pack("[o, o, o]", json_sprintf("%" PRIu64, sum.n_rows),
                                               json_sprintf("%016" PRIx64, sum.sum[0]),
                                               json_sprintf("%016" PRIx64, sum.sum[1]))) < 0
                        ? -ENOMEM
                        : 0;
}

/* "INSERT INTO `name` VALUES …": what is before the blank. */
static int add_insert(DumpDigest *d, const uint8_t hash[static 16]) {
        const char *begin = d->head + STRLEN("INSERT INTO "),
                   *end = memchr(begin, ' ', d->n_head - STRLEN("INSERT INTO "));
        _cleanup_free_ char *name = make_name(begin, (size_t) ((end ?: d->head + d->n_head) - begin));
        Table t = {};

        if (!name)
                return -ENOMEM;
        table_add(&t, hash);
        return table_put(d->tables, name, &t);
}

static int end_table(DumpDigest *d) {
        int r;

        if (!d->name)
                return 0;
        r = table_put(d->tables, d->name, &d->table);
        d->name = mfree(d->name);
        d->table = (Table) {};
        return r;
}

static int end_line(DumpDigest *d) {
        LineKind kind = d->kind == DUMP_TEXT_COPY ? judge_copy(d) : judge_insert(d);
        uint8_t hash[16];
        int r = 0;

        (void) crypto_generichash_final(&d->state, hash, sizeof(hash));
        switch (kind) {
        case LINE_SKIP:
                break;
        case LINE_OTHER:
                if (d->n_head > 0)
                        table_add(&d->other, hash);
                break;
        case LINE_BEGIN:
                d->name = make_name(d->head, d->n_head);
                r = d->name ? 0 : -ENOMEM;
                break;
        case LINE_ROW:
                if (d->kind == DUMP_TEXT_INSERT)
                        r = add_insert(d, hash);
                else
                        table_add(&d->table, hash);
                break;
        case LINE_END:
                r = end_table(d);
                break;
        }

        d->in_line = false;
        d->n_head = 0;
        return r;
}

static void add_to_line(DumpDigest *d, const char *data, size_t size) {
        size_t n = MIN(size, HEAD_SIZE - d->n_head);

        if (!d->in_line) {
                (void) crypto_generichash_init(&d->state, NULL, 0, 16);
                d->in_line = true;
        }
        memcpy(d->head + d->n_head, data, n);
        d->n_head += n;
        (void) crypto_generichash_update(&d->state, (const uint8_t *) data, size);
}

int dump_digest_add(DumpDigest *d, const void *data, size_t size) {
        const char *p = data, *end = p + size;

        while (p < end) {
                const char *newline = memchr(p, '\n', (size_t) (end - p));
                int r;

                add_to_line(d, p, (size_t) ((newline ?: end) - p));
                if (!newline)
                        return 0;
                r = end_line(d);
                if (r < 0)
                        return r;
                p = newline + 1;
        }

        return 0;
}

int dump_digest_finish(DumpDigest *d, json_t **ret) {
        _cleanup_json_ json_t *result = json_object();
        const char *name;
        json_t *table;
        int r;

        r = d->in_line ? end_line(d) : 0;
        if (r >= 0)
                r = end_table(d);
        if (r >= 0)
                r = table_put(d->tables, "", &d->other);
        if (r < 0)
                return r;
        if (!result)
                return -ENOMEM;

        json_object_foreach(d->tables, name, table)
                if (json_object_set_new(result, name,
                                    json_pack("{s:I, s:o}", "rows",
                                                    (json_int_t) strtoull(
                                                                    strempty(json_string_value(
                                                                                    json_array_get(table,
                                                                                                    0))),
                                                                    NULL, 10),
                                                    "hash",
                                                    json_sprintf("%s%s",
                                                                    strempty(json_string_value(
                                                                                    json_array_get(table,
                                                                                                    1))),
                                                                    strempty(json_string_value(
                                                                                    json_array_get(table,
                                                                                                    2)))))) <
                                0)
                        return -ENOMEM;

        *ret = TAKE_PTR(result);
        return 0;
}

static json_int_t rows_of(const json_t *table) {
        return json_integer_value(json_object_get(table, "rows"));
}

int dump_digest_compare(const json_t *wanted, const json_t *found, uint64_t *ret_rows, Error *reterr) {
        uint64_t rows = 0;
        const char *name;
        json_t *table;

        json_object_foreach((json_t *) wanted, name, table) {
                const json_t *other = json_object_get(found, name);

                if (!other || rows_of(other) != rows_of(table))
                        return error_setf(reterr, CCP_ERROR_BACKUP_DAMAGED,
                                        "'%.*s' has %" JSON_INTEGER_FORMAT
                                        " rows in the backup, and %" JSON_INTEGER_FORMAT " once restored.",
                                        NAME_IN_SENTENCE_MAX, name, rows_of(table), rows_of(other));
                if (!json_equal(table, other))
                        return error_setf(reterr, CCP_ERROR_BACKUP_DAMAGED,
                                        "The rows of '%.*s' are not those of the backup once restored.",
                                        NAME_IN_SENTENCE_MAX, name);
                if (name[0])
                        rows += (uint64_t) rows_of(table);
        }
        json_object_foreach((json_t *) found, name, table)
                if (!json_object_get(wanted, name))
                        return error_setf(reterr, CCP_ERROR_BACKUP_DAMAGED,
                                        "'%.*s' is in the restored database, and not in the backup.",
                                        NAME_IN_SENTENCE_MAX, name);

        if (ret_rows)
                *ret_rows = rows;
        return 0;
}
