/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The storage that backups are copied to: which it is, and that each verified backup gets a copy, by a job of its own, a few at a
 * time, again and again until there is one; and that copies go when their backups went. Rows tell what is to be done and when:
 * nothing here has to be remembered. */

#include <jansson.h>

#include "store-storage.h"
#include "worker-call.h"

typedef struct Instance Instance;
typedef struct Manager Manager;
typedef struct Storage Storage;

int storage_new(Manager *m, Storage **ret);
/* Returns NULL. */
Storage *storage_free(Storage *s);

/* Reads it again. */
void storage_read(Storage *s);
/* Looks a little later what is to be done. */
void storage_queue(Storage *s);
/* Takes over what was just recorded, out of the record. */
void storage_take(Storage *s, StorageRecord *record);

/* Where ccp-storage is asked. */
const char *storage_socket(void);
/* Asks it, as worker_call_new(). It is told in the request, an object, how long it has: by then its work is over, and so it is when
 * the call is freed. */
int storage_ask(Manager *m, json_t *request, size_t max, usec_t timeout, worker_call_done_t done,
                void *userdata, WorkerCall **ret, Error *reterr);
/* Whether it was read which storage there is, if any. */
bool storage_is_known(const Storage *s);
/* NULL: there is none, or it is not known. */
const StorageRecord *storage_record(const Storage *s);
/* The version of the record, of one that is forgotten, too. */
uint32_t storage_version(const Storage *s);
/* Since when the oldest backup of an instance should have a copy, and has none; 0: all have, or there is no storage. */
usec_t instance_uncopied_since(const Instance *i);
