/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The records of a pax extended header, "LENGTH KEY=VALUE\n". */

#include <time.h>

#include "string-util.h"

typedef struct PaxRecord {
        const char *key, *value; /* in the header's bytes, not terminated */
        size_t key_size, value_size;
} PaxRecord;

/* Appends a record. The key must have no "=" in it; the value may be any bytes. */
void pax_append(StringBuilder *b, const char *key, const void *value, size_t size);
void pax_append_number(StringBuilder *b, const char *key, uint64_t value);
/* Seconds in decimal, with nine digits of a fraction if there is one. */
void pax_append_time(StringBuilder *b, const char *key, const struct timespec *t);

/* Takes the first record off: 1, or 0 at the end. -EBADMSG: it is none. */
int pax_next(const char **p, size_t *size, PaxRecord *ret);

bool pax_record_is(const PaxRecord *r, const char *key);
/* What pax_append_number() and pax_append_time() write. -EBADMSG, also for numbers above INT64_MAX and
 * fractions of other than nine digits. */
int pax_record_get_number(const PaxRecord *r, uint64_t *ret);
int pax_record_get_time(const PaxRecord *r, struct timespec *ret);
