/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Hash tables: uthash, with a hash function that has no fall-through, of which clang warns in every use of the
 * default one. Keys are few and our own, or bounded. */

#define HASH_FUNCTION(key, length, hash) HASH_FNV(key, length, hash)

#include <uthash.h>
