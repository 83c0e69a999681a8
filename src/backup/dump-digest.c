/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "dump-digest.h"

#include <inttypes.h>
#include <sodium.h>
#include <string.h>

#include "alloc-util.h"
#include "dump-digest-internal.h"
#include "string-util.h"

#define TABLES_MAX 100000U
/* Of a table's name in a sentence. */
#define NAME_IN_SENTENCE_MAX 64

typedef enum LineKind {
        LINE_SKIP,  /* counts for nothing */
        LINE_OTHER, /* counts, for no table */
        LINE_BEGIN, /* the rows of a table follow */
        LINE_ROW,
        LINE_END,        /* of the rows */
        LINE_COUNT,      /* rows that were counted already */
        LINE_BODY_BEGIN, /* the text of a routine follows, in which all counts, for no table */
        LINE_BODY_END,
} LineKind;

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

/* What sets up a session may differ, and comments, which tell the time. What makes views, triggers and the like stands in
 * comments of the kind that the server takes for orders. */
static LineKind judge_mysql(const DumpDigest *d) {
        static const char *const skipped[] = { "--", "/*M!", "/*!40000 ALTER TABLE ", "LOCK TABLES ",
                "UNLOCK TABLES;", "SET ", "COMMIT;" };

        if (begins(d, "/*!") && d->n_head > STRLEN("/*!50003") &&
                        startswith(d->head + STRLEN("/*!50003"), " SET "))
                return LINE_SKIP;
        if (d->in_body)
                return d->n_head == STRLEN("DELIMITER ;") && begins(d, "DELIMITER ;") ? LINE_BODY_END
                                                                                      : LINE_OTHER;
        if (begins(d, "DELIMITER "))
                return LINE_BODY_BEGIN;
        FOREACH_ARRAY(s, skipped, ELEMENTSOF(skipped))
                if (begins(d, *s))
                        return LINE_SKIP;
        return LINE_OTHER;
}

static LineKind judge_line(const DumpDigest *d) {
        switch (d->kind) {
        case DUMP_TEXT_COPY:
                return judge_copy(d);
        case DUMP_TEXT_MYSQL:
                return judge_mysql(d);
        case DUMP_TEXT_COUNTS:
                return LINE_COUNT;
        default:
                return LINE_OTHER;
        }
}

void dump_table_add(DumpTable *t, const uint8_t hash[static DUMP_HASH_SIZE]) {
        uint64_t part[2];

        memcpy(part, hash, sizeof(part));
        t->n_rows++;
        t->sum[0] += part[0];
        t->sum[1] += part[1];
}

/* Printable, and of no length that hurts: what is cut off is told by a hash of all of it. */
char *dump_name_new(const char *text, size_t size) {
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

static int table_put(json_t *tables, const char *name, const DumpTable *t) {
        json_t *known = json_object_get(tables, name);
        DumpTable sum = *t;

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

/* "NAME ROWS HASH" */
static int add_count(DumpDigest *d, const uint8_t hash[static DUMP_HASH_SIZE]) {
        const char *blank = memchr(d->head, ' ', d->n_head);
        _cleanup_free_ char *name = NULL;
        DumpTable t = {};

        if (!blank) {
                dump_table_add(&d->other, hash);
                return 0;
        }
        name = dump_name_new(d->head, (size_t) (blank - d->head));
        if (!name)
                return -ENOMEM;
        dump_table_add(&t, hash);
        t.n_rows = 0;
        for (const char *p = blank + 1; p < d->head + d->n_head && *p >= '0' && *p <= '9'; p++)
                t.n_rows = t.n_rows * 10 + (uint64_t) (*p - '0');
        return table_put(d->tables, name, &t);
}

int dump_digest_end_table(DumpDigest *d) {
        int r;

        if (!d->name)
                return 0;
        r = table_put(d->tables, d->name, &d->table);
        d->name = mfree(d->name);
        d->table = (DumpTable) {};
        return r;
}

static int end_line(DumpDigest *d) {
        LineKind kind = judge_line(d);
        uint8_t hash[DUMP_HASH_SIZE];
        int r = 0;

        dump_hash_finish(d, hash);
        switch (kind) {
        case LINE_SKIP:
                break;
        case LINE_OTHER:
                if (d->n_head > 0)
                        dump_table_add(&d->other, hash);
                break;
        case LINE_BEGIN:
                d->name = dump_name_new(d->head, d->n_head);
                r = d->name ? 0 : -ENOMEM;
                break;
        case LINE_ROW:
                dump_table_add(&d->table, hash);
                break;
        case LINE_END:
                r = dump_digest_end_table(d);
                break;
        case LINE_COUNT:
                r = d->n_head > 0 ? add_count(d, hash) : 0;
                break;
        case LINE_BODY_BEGIN:
        case LINE_BODY_END:
                d->in_body = kind == LINE_BODY_BEGIN;
                break;
        }

        d->in_line = false;
        d->n_head = 0;
        return r;
}

void dump_line_add(DumpDigest *d, const char *data, size_t size) {
        size_t n = MIN(size, DUMP_HEAD_SIZE - d->n_head);

        if (!d->in_line) {
                dump_hash_begin(d);
                d->in_line = true;
        }
        memcpy(d->head + d->n_head, data, n);
        d->n_head += n;
        dump_hash_add(d, data, size);
}

int dump_line_take(DumpDigest *d, const char *data, size_t size, size_t most, size_t *ret_taken) {
        const char *newline = memchr(data, '\n', MIN(size, most));
        size_t n = newline ? (size_t) (newline - data) : MIN(size, most);

        dump_line_add(d, data, n);
        *ret_taken = n + (newline ? 1 : 0);
        return newline ? end_line(d) : 0;
}

int dump_digest_add(DumpDigest *d, const void *data, size_t size) {
        const char *p = data, *end = p + size;

        while (p < end) {
                size_t n;
                int r;

                switch (d->kind) {
                case DUMP_TEXT_MYSQL:
                case DUMP_TEXT_SQLITE:
                        r = dump_statement_take(d, p, (size_t) (end - p), &n);
                        break;
                case DUMP_MONGODB:
                        r = dump_mongodb_take(d, p, (size_t) (end - p), &n);
                        break;
                default:
                        r = dump_line_take(d, p, (size_t) (end - p), SIZE_MAX, &n);
                }
                if (r < 0)
                        return r;
                p += n;
        }

        return 0;
}

/* What comes last may lack its end. */
static int end_text(DumpDigest *d) {
        if (d->kind == DUMP_MONGODB)
                return dump_mongodb_end(d);
        if (d->statement.state != STATEMENT_NONE)
                return dump_statement_end(d);
        return d->in_line ? end_line(d) : 0;
}

int dump_digest_finish(DumpDigest *d, json_t **ret) {
        _cleanup_json_ json_t *result = json_object();
        const char *name;
        json_t *table;
        int r;

        r = end_text(d);
        if (r >= 0)
                r = dump_digest_end_table(d);
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
