/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What ccp-storage does, verb by verb. The answers are JSON objects, made by whoever asks for them. */

#include <jansson.h>

#include "s3-client.h"
#include "store-storage.h"

/* Who waits for the answer. */
typedef struct StorageCaller {
        int fd;       /* the connection */
        usec_t until; /* CLOCK_MONOTONIC: so long; USEC_INFINITY: for ever */
} StorageCaller;

bool storage_caller_is_late(const StorageCaller *c);
bool storage_caller_is_gone(const StorageCaller *c);
/* For S3Progress: whether nobody waits any more. */
int storage_caller_poll(void *userdata);

/* In all verbs: Cancelled once 'progress' says so; it may be NULL. */

/* Which rights the credentials have, by use of a small object that is removed again, if that is allowed: findings (finding.h). */
int storage_try(S3Client *client, json_t *findings, const S3Progress *progress, Error *reterr);
/* Whether it answers and lets us in; nothing is written. */
int storage_check(S3Client *client, const StorageRecord *storage, json_t *findings,
                const S3Progress *progress, Error *reterr);

/* Removes copies whose backups are deleted, one after the other, up to the first that cannot be tried now; and then what old
 * uploads left. One that is wanted
 * again meanwhile stays, or is made again. */
int storage_sweep(DbSync *db, S3Client *client, const S3Progress *progress, Error *reterr);

/* Looks whether the storage has each copy that is on record, as large as it was. What it has not is on record as not copied any
 * more, so that the copy is made anew, or found to be something else. */
int storage_compare(DbSync *db, S3Client *client, const StorageRecord *storage, const S3Progress *progress,
                Error *reterr);

/* What of it is listed. */
typedef struct CopyFilter {
        const char *instance; /* slug or id; NULL: all */
        uint64_t offset, limit;
} CopyFilter;

/* Appends an object for each copy to an array, in the order of their keys. What is no copy of a backup is left out. */
int storage_list(DbSync *db, S3Client *client, const CopyFilter *filter, json_t *copies,
                const S3Progress *progress, Error *reterr);
