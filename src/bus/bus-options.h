/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Reading a{sv}: a table says which keys there are and of what type; an unknown key, a wrong type or a
 * repeated key is an error, never passed over. */

#include <systemd/sd-bus.h>

#include "error.h"

typedef struct BusOption {
        const char *key;
        const char *signature; /* "s", "t", "b", "as", "a{ss}" */
        size_t offset;         /* into the target; see below */
} BusOption;

/* Reads the dictionary at the current place of m into target: for "s" a const char * that lives as long as
 * the message, for "t" a uint64_t, for "b" a bool, for "as" a char ** (strv), for "a{ss}" a char ** of keys and
 * values in turn; both to be freed by the caller with strv_free(), also after an error. Text is capped at
 * BUS_OPTION_SIZE_MAX bytes in sum (LimitExceeded). */
int bus_read_options(sd_bus_message *m, const BusOption *options, size_t n, void *target, Error *reterr);

#define BUS_OPTION_SIZE_MAX (1024U * 1024U)
#define BUS_OPTION_ITEMS_MAX 256U

/* Entries that a method with pages gives at a time. InvalidArgument unless 'limit' is 1 to that. */
#define BUS_PAGE_MAX 1000U
int bus_check_page(uint64_t limit, Error *reterr);
