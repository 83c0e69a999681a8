/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What instances take of the disk, in the records: written by ccp-measure, read by the daemon. */

#include <errno.h>

#include "db-sync.h"
#include "store.h"

/* A notification on it (any payload): it was measured anew. */
#define STORE_CHANNEL_USE "ccpd_use"

typedef enum DiskKind {
        DISK_FOLDER,    /* what was rendered, and what containers put beside it */
        DISK_VOLUME,    /* by the name that it has in the compose file */
        DISK_CONTAINER, /* what a service wrote into its container, by the name of the service */
        _DISK_KIND_MAX,
        _DISK_KIND_INVALID = -EINVAL,
} DiskKind;
DECLARE_STRING_TABLE(disk_kind, DiskKind);

typedef struct DiskRecord {
        char instance[STORE_ID_MAX];
        DiskKind kind;
        char *name; /* "" for the folder */
        uint64_t bytes;
        bool complete; /* false: there is more of it, which could not be looked into */
        usec_t measured_at;
} DiskRecord;

/* Initialize with {}. */
typedef struct DiskRecords {
        DiskRecord *items;
        size_t n, n_allocated;
} DiskRecords;

void disk_records_done(DiskRecords *l);
#define _cleanup_disk_records_ _cleanup_(disk_records_done)
/* Copies the name. 0 or -ENOMEM. */
int disk_records_add(DiskRecords *l, const char *instance, DiskKind kind, const char *name, uint64_t bytes,
                bool complete);

typedef void (*StoreDiskCallback)(int r, DiskRecords *records, Error *error, void *userdata);
/* All of it, by instance. The array is freed after the callback, but for what was taken out. */
int store_load_disk(Db *db, StoreDiskCallback callback, void *userdata, DbSlot **ret_slot, Error *reterr);

/* The ids and slugs of all instances, in turn; to be freed with strv_free(). */
int disk_list_instances(DbSync *db, char ***ret, Error *reterr);
/* Puts what was measured in place of the earlier records of these kinds (NULL-terminated names). Records of one
 * kind and name are added up: those of several containers of one service. measured_at is not looked at. */
int disk_replace(DbSync *db, const DiskRecords *records, const char *const *kinds, Error *reterr);
