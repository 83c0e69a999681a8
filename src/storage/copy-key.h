/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the copy of a backup is called in the storage: INSTANCE/SLUG-TIME.ARCHIVE.ccpb. It is made of what the file itself says,
 * so that it is the same on every server that has the file, and no two files have the same; and it tells a person of what it
 * is, and when it was made. */

#include "records.h"
#include "validate.h"

#define COPY_KEY_SUFFIX ".ccpb"

typedef struct CopyKey {
        char instance[STORE_ID_MAX], archive[STORE_ID_MAX];
        char slug[SLUG_MAX + 1];
        usec_t created_at; /* whole seconds */
} CopyKey;

/* To be freed; NULL when out of memory. */
char *copy_key_format(const char *instance, const char *slug, usec_t created_at, const char *archive);
/* What all names of an instance begin with, to be freed. -ENOMEM, -EINVAL for what is no id of one. */
int copy_key_prefix(const char *instance, char **ret);
/* -EINVAL for what is no such name. */
int copy_key_parse(const char *key, CopyKey *ret);
