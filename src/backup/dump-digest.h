/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What rows are in the text of a dump, in whatever order: two texts with the same digest hold the same data. It is how a
 * restored database is compared with its backup. The text is a tenant's: any bytes are a text. */

#include <errno.h>

#include "error.h"
#include "json-util.h"

typedef enum DumpText {
        DUMP_TEXT_COPY,   /* of pg_dump and pg_restore: rows between "COPY … FROM stdin;" and "\." */
        DUMP_TEXT_INSERT, /* of mysqldump and mariadb-dump: a line "INSERT INTO …" has rows */
        _DUMP_TEXT_MAX,
        _DUMP_TEXT_INVALID = -EINVAL,
} DumpText;

typedef struct DumpDigest DumpDigest;

int dump_digest_new(DumpText kind, DumpDigest **ret);
DumpDigest *dump_digest_free(DumpDigest *d);
DEFINE_CLEANUP_FUNC(DumpDigest *, dump_digest_free);

/* The next bytes of the text, cut anywhere. -E2BIG if it has more tables than anybody's. */
int dump_digest_add(DumpDigest *d, const void *data, size_t size);
/* At its end: an object, from what begins the rows of a table to {"rows", "hash"}; "" has the lines that are about no
 * table, such as the values of sequences. Comments, and what sets up a session, do not count. */
int dump_digest_finish(DumpDigest *d, json_t **ret);

/* 0 if both hold the same; else BackupDamaged, naming the first table that differs. *ret_rows (may be NULL) is how many
 * rows there are. */
int dump_digest_compare(const json_t *wanted, const json_t *found, uint64_t *ret_rows, Error *reterr);
