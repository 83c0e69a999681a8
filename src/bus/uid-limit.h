/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* How many calls a user may make: a bucket of tokens for each, over all his connections. */

#include <sys/types.h>

#include "ccp/macro.h"
#include "time-util.h"

typedef struct UidLimit UidLimit;

/* A full bucket allows 'burst' at once; it fills with 'rate' a second. */
UidLimit *uid_limit_new(unsigned rate, unsigned burst);
UidLimit *uid_limit_free(UidLimit *l);
DEFINE_CLEANUP_FUNC(UidLimit *, uid_limit_free);

/* Takes a token; false if there is none. 'ret_refused' (may be NULL) is how many were refused since
 * uid_limit_reset_refused() was last called, with this one. 'when' is monotonic. */
bool uid_limit_take(UidLimit *l, uid_t uid, usec_t when, unsigned *ret_refused);
/* How many were refused since this was last asked. */
unsigned uid_limit_reset_refused(UidLimit *l, uid_t uid);
