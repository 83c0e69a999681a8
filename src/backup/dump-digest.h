/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What rows are in a dump, in whatever order: two dumps with the same digest hold the same data. It is how a restored
 * database is compared with its backup. A dump is a tenant's: any bytes may come, and of all but MongoDB's any are one. */

#include <errno.h>

#include "error.h"
#include "json-util.h"

typedef enum DumpText {
        DUMP_TEXT_COPY,   /* of pg_dump and pg_restore: rows between "COPY … FROM stdin;" and "\." */
        DUMP_TEXT_MYSQL,  /* of mysqldump and mariadb-dump: rows in "INSERT INTO … VALUES (…), …;" */
        DUMP_TEXT_SQLITE, /* of sqlite3's .dump: the same, but for backslashes, which mean nothing there */
        DUMP_TEXT_COUNTS, /* counted elsewhere: lines "NAME ROWS HASH" */
        DUMP_MONGODB,     /* an archive of mongodump: a row is a document */
        _DUMP_TEXT_MAX,
        _DUMP_TEXT_INVALID = -EINVAL,
} DumpText;

typedef struct DumpDigest DumpDigest;

int dump_digest_new(DumpText kind, DumpDigest **ret);
DumpDigest *dump_digest_free(DumpDigest *d);
DEFINE_CLEANUP_FUNC(DumpDigest *, dump_digest_free);

/* The next bytes of it, cut anywhere. -E2BIG if it has more tables than anybody's; -EBADMSG if it is no archive. */
int dump_digest_add(DumpDigest *d, const void *data, size_t size);
/* At its end (-EBADMSG where an archive does not end): an object, from what begins the rows of a table to {"rows", "hash"}; "" has the lines that are about no
 * table, such as the values of sequences. Comments, and what sets up a session, do not count. */
int dump_digest_finish(DumpDigest *d, json_t **ret);

/* 0 if both hold the same; else BackupDamaged, naming the first table that differs. *ret_rows (may be NULL) is how many
 * rows there are. */
int dump_digest_compare(const json_t *wanted, const json_t *found, uint64_t *ret_rows, Error *reterr);
