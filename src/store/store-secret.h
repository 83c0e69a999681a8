/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Sealed secrets for the daemon, one at a time. As in store.h nothing blocks. */

#include "store.h"

typedef void (*StoreSecretsCallback)(int r, SecretRecords *secrets, Error *error, void *userdata);
/* The latest version of each secret of an instance (its id), by name; of one only if 'name' is given. With
 * n = 0 there is no such secret or no such instance. The array is freed by secret_records_done() after the
 * callback, but for what was taken out. */
int store_load_secrets(Db *db, const char *instance, const char *name, StoreSecretsCallback callback,
                void *userdata, DbSlot **ret_slot, Error *reterr);
