/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What 'ccpctl top' makes of two readings of the use. Pure. */

#include <errno.h>

#include "json-util.h"

typedef enum TopSort {
        TOP_SORT_NAME,
        TOP_SORT_CPU,
        TOP_SORT_MEMORY,
        TOP_SORT_TASKS,
        TOP_SORT_IO,
        TOP_SORT_NETWORK,
        TOP_SORT_DISK,
        _TOP_SORT_MAX,
        _TOP_SORT_INVALID = -EINVAL,
} TopSort;
DECLARE_STRING_TABLE(top_sort, TopSort);

/* Adds to each row what follows from it and the row of the same instance, or container, in the reading before, which may
 * be NULL: cpu_percent (of one processor), io_read_rate and the others (bytes a second), memory_used (without what is
 * given back first), memory_percent (of the limit). What is not known is left out. */
int top_add_rates(json_t *rows, const json_t *before);
/* The largest first, those without a value last; equal ones, and all with TOP_SORT_NAME, by name. */
int top_sort(json_t *rows, TopSort sort);
/* "12 instances, CPU 35.2%, memory 1.2G" */
int top_summarize(const json_t *rows, const char *what, char **ret);

#define TOP_SIZE_MAX 16U
/* "0", "1023", "1.5K", "20M": at most four characters and the unit. Returns buf. */
const char *top_format_size(char *buf, size_t size, double bytes);
/* The bytes that a row tells under a key, for a cell; "" if it does not. Freed by the caller; NULL: out of memory. */
char *top_format_bytes(const json_t *row, const char *key);
