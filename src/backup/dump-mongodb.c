/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Documents in an archive of mongodump: a magic number, documents about the archive and its collections, then parts of
 * collections, each with a header; 0xffffffff ends each of these lists. A document begins with its size. */

#include <endian.h>
#include <string.h>

#include "alloc-util.h"
#include "dump-digest-internal.h"
#include "string-util.h"

#define MAGIC 0x8199e26dU
#define TERMINATOR 0xffffffffU
#define DOCUMENT_SIZE_MIN 5U
/* Beyond that of any document: a server's limit is 16 MiB and a little. */
#define DOCUMENT_SIZE_MAX (64U * 1024U * 1024U)
#define TYPE_STRING 0x02

/* A text of the document in d->head, if all before it are texts too. Its length, or -EBADMSG. */
static ssize_t find_text(const DumpDigest *d, const char *key, const char **ret) {
        const char *p = d->head + sizeof(uint32_t), *end = d->head + d->n_head;

        while (p < end && *p == TYPE_STRING) {
                const char *name = p + 1, *value = memchr(name, 0, (size_t) (end - name));
                uint32_t size;

                if (!value || (size_t) (end - ++value) < sizeof(size))
                        break;
                memcpy(&size, value, sizeof(size));
                size = le32toh(size);
                value += sizeof(size);
                if (size == 0 || size > (size_t) (end - value))
                        break;
                if (streq(name, key)) {
                        *ret = value;
                        return size - 1;
                }
                p = value + size;
        }
        return -EBADMSG;
}

/* The collection that the document in d->head is about becomes d->name. */
static int read_name(DumpDigest *d) {
        _cleanup_free_ char *database = NULL, *collection = NULL, *name = NULL;
        const char *s;
        ssize_t n;

        n = find_text(d, "db", &s);
        if (n < 0)
                return (int) n;
        database = dump_name_new(s, (size_t) n);
        n = find_text(d, "collection", &s);
        if (n < 0)
                return (int) n;
        collection = dump_name_new(s, (size_t) n);
        name = database && collection ? strjoin(database, ".", collection) : NULL;
        if (!name)
                return -ENOMEM;
        d->name = TAKE_PTR(name);
        return 0;
}

static int end_document(DumpDigest *d) {
        uint8_t hash[DUMP_HASH_SIZE];
        int r = 0;

        dump_hash_finish(d, hash);
        switch (d->archive.part) {
        case ARCHIVE_PRELUDE:
                /* Those of the archive itself tell versions; a collection is put down, for it may be empty. */
                r = read_name(d);
                if (r >= 0)
                        r = dump_digest_end_table(d);
                r = r == -EBADMSG ? 0 : r;
                break;
        case ARCHIVE_HEADER:
                r = read_name(d);
                d->archive.part = ARCHIVE_DOCUMENTS;
                break;
        case ARCHIVE_DOCUMENTS:
                dump_table_add(&d->table, hash);
                break;
        case ARCHIVE_MAGIC:
                break;
        }

        d->n_head = 0;
        d->in_line = false;
        return r;
}

static int take_terminator(DumpDigest *d) {
        if (d->archive.part == ARCHIVE_HEADER)
                return -EBADMSG;
        d->archive.part = ARCHIVE_HEADER;
        return dump_digest_end_table(d);
}

static int take_word(DumpDigest *d) {
        DumpArchive *a = &d->archive;
        uint32_t word;

        memcpy(&word, a->word, sizeof(word));
        word = le32toh(word);
        a->n_word = 0;
        if (a->part == ARCHIVE_MAGIC) {
                a->part = ARCHIVE_PRELUDE;
                return word == MAGIC ? 0 : -EBADMSG;
        }
        if (word == TERMINATOR)
                return take_terminator(d);
        if (word < DOCUMENT_SIZE_MIN || word > DOCUMENT_SIZE_MAX)
                return -EBADMSG;

        a->left = word - (uint32_t) sizeof(word);
        dump_line_add(d, (const char *) a->word, sizeof(a->word));
        return 0;
}

int dump_mongodb_take(DumpDigest *d, const char *data, size_t size, size_t *ret_taken) {
        DumpArchive *a = &d->archive;
        size_t n;

        if (a->left > 0) {
                n = MIN(size, (size_t) a->left);
                dump_line_add(d, data, n);
                a->left -= (uint32_t) n;
                *ret_taken = n;
                return a->left == 0 ? end_document(d) : 0;
        }

        n = MIN(size, sizeof(a->word) - a->n_word);
        memcpy(a->word + a->n_word, data, n);
        a->n_word += n;
        *ret_taken = n;
        return a->n_word == sizeof(a->word) ? take_word(d) : 0;
}

int dump_mongodb_end(DumpDigest *d) {
        const DumpArchive *a = &d->archive;

        return a->part == ARCHIVE_HEADER && a->n_word == 0 && a->left == 0 ? 0 : -EBADMSG;
}
