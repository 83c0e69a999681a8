/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Scrubs in the records: which backups were not read for long, and what came of reading them. */

#include "db-sync.h"
#include "db.h"
#include "store-backup.h"

/* Initialize with {}; freed by scrub_due_done(). */
typedef struct ScrubDue {
        unsigned days; /* the setting scrub_days; 0: never */
        uint64_t *ids; /* of backups; that which was read the longest ago first */
        size_t n;
} ScrubDue;

void scrub_due_done(ScrubDue *d);
#define _cleanup_scrub_due_ _cleanup_(scrub_due_done)

/* In all of these: StoreUnavailable, and Internal. */
int scrub_list_due(DbSync *db, ScrubDue *ret, Error *reterr);
/* The backup was read, and is what was written; or it is not, and 'why' is a sentence. Nothing, with 0 instead of 1, if it is not
 * the verified one any more that 'b' was read as. */
int scrub_set_read(DbSync *db, const BackupRecord *b, Error *reterr);
int scrub_set_damaged(DbSync *db, const BackupRecord *b, const char *why, Error *reterr);

/* The backups of instances that are gone. */
typedef struct GoneBackups {
        uint64_t n, n_damaged, first_damaged; /* as in BackupSummary */
        usec_t unread_since;                  /* as in BackupSummary */
} GoneBackups;

int gone_backups_read(const PGresult *result, GoneBackups *ret, Error *reterr);

typedef void (*StoreGoneBackupsCallback)(int r, const GoneBackups *gone, Error *error, void *userdata);
/* For the daemon. */
int store_load_gone_backups(
                Db *db, StoreGoneBackupsCallback callback, void *userdata, DbSlot **ret_slot, Error *reterr);
