/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <errno.h>
#include <inttypes.h>
#include <uthash.h>

#include "alloc-util.h"
#include "ccp-storage.h"
#include "log.h"
#include "string-util.h"

/* The whole bucket may be empty. */
#define TOLD_MAX 10U

typedef struct Expected {
        const CopyRecord *record;
        bool found; /* under its key, and as large */
        UT_hash_handle hh;
} Expected;

typedef struct Comparison {
        Expected *items; /* an array */
        Expected *by_key;
} Comparison;

static void comparison_done(Comparison *c) {
        HASH_CLEAR(hh, c->by_key);
        free(c->items);
}

static int take(const char *key, uint64_t size, _unused_ usec_t last_modified, void *userdata,
                _unused_ Error *reterr) {
        Comparison *c = userdata;
        Expected *e;

        HASH_FIND_STR(c->by_key, key, e);
        if (e)
                e->found = size == e->record->size;
        return 0;
}

/* By who looks into it next: nothing here is removed from the storage, or written to it. */
static int note_missing(DbSync *db, const StorageRecord *storage, const CopyRecord *copy, unsigned n,
                Error *reterr) {
        int r;

        r = copy_missed(db, copy, storage->version, reterr);
        if (r <= 0)
                return r;
        if (n < TOLD_MAX)
                log_notice("The storage has not the copy of backup %" PRIu64 " of '%s' any more that was "
                           "made: it is made anew.",
                                copy->backup, copy->slug);
        return 1;
}

static int list(Comparison *c, const CopyRecords *records, S3Client *client, const S3Progress *progress,
                Error *reterr) {
        c->items = new0(Expected, records->n);
        if (!c->items)
                return error_set_errnof(reterr, ENOMEM, "Cannot compare what is in the storage: %m");
        for (size_t i = 0; i < records->n; i++) {
                Expected *e = c->items + i;

                e->record = records->items + i;
                HASH_ADD_KEYPTR(hh, c->by_key, e->record->key, strlen(e->record->key), e);
        }
        return s3_list(client, NULL, take, c, progress, reterr);
}

static int note_all(const Comparison *c, DbSync *db, const StorageRecord *storage, size_t n, Error *reterr) {
        unsigned n_missing = 0;

        for (size_t i = 0; i < n; i++) {
                int r;

                if (c->items[i].found)
                        continue;
                r = note_missing(db, storage, c->items[i].record, n_missing, reterr);
                if (r < 0)
                        return r;
                n_missing += (unsigned) r;
        }
        if (n_missing > TOLD_MAX)
                log_notice("The storage has %u copies not any more that were made: they are made anew.",
                                n_missing);
        return 0;
}

int storage_compare(DbSync *db, S3Client *client, const StorageRecord *storage, const S3Progress *progress,
                Error *reterr) {
        _cleanup_copy_records_ CopyRecords records = {};
        _cleanup_(comparison_done) Comparison c = {};
        int r;

        /* First, for a copy that is made while the storage is listed may not be in the list. */
        r = copies_list(db, &records, reterr);
        if (r >= 0)
                r = list(&c, &records, client, progress, reterr);
        if (r >= 0)
                r = note_all(&c, db, storage, records.n, reterr);
        return r < 0 ? r : copies_compared(db, storage->version, reterr);
}
