/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <errno.h>
#include <inttypes.h>

#include "alloc-util.h"
#include "ccp-storage.h"
#include "hash.h"
#include "log.h"
#include "string-util.h"

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

static void log_lost(const CopyRecord *copy) {
        _cleanup_free_ char *instance = strjoin("CCP_INSTANCE=", copy->slug);
        const char *fields[] = { instance, NULL };

        if (copy->alone)
                (void) log_struct(LOG_ERR, 0, fields,
                                "The storage has not the copy of backup %" PRIu64 " of '%s' any more that "
                                "was made, and its file here is damaged.",
                                copy->backup, copy->slug);
        else
                (void) log_struct(LOG_NOTICE, 0, fields,
                                "The storage has not the copy of backup %" PRIu64 " of '%s' any more that "
                                "was made: it is made anew.",
                                copy->backup, copy->slug);
}

/* A list may lag behind, or count sizes in a way of its own: it is asked for by its key. Nothing is written or removed here. */
static int look_for(DbSync *db, S3Client *client, const StorageRecord *storage, const CopyRecord *copy,
                const S3Progress *progress, Error *reterr) {
        _cleanup_error_ Error error = {};
        uint64_t size = 0;
        int r;

        r = s3_head(client, copy->key, &size, NULL, progress, &error);
        if (r >= 0 && size == copy->size)
                return 0;
        if (r < 0 && !streq_ptr(error.name, CCP_ERROR_NO_SUCH_BACKUP)) {
                error_move(reterr, &error);
                return r;
        }
        log_lost(copy);
        return copy_lost(db, copy->backup, storage->version, reterr);
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

int storage_compare(DbSync *db, S3Client *client, const StorageRecord *storage, const S3Progress *progress,
                Error *reterr) {
        _cleanup_copy_records_ CopyRecords records = {};
        _cleanup_(comparison_done) Comparison c = {};
        int r;

        /* First, for a copy that is made while the storage is listed may not be in the list. */
        r = copies_list(db, &records, reterr);
        if (r >= 0)
                r = list(&c, &records, client, progress, reterr);
        for (size_t i = 0; r >= 0 && i < records.n; i++)
                if (!c.items[i].found)
                        r = look_for(db, client, storage, c.items[i].record, progress, reterr);
        return r < 0 ? r : copies_compared(db, storage->version, reterr);
}
