/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What an instance, or a container of it, uses: numbers that the kernel counts, read in one moment. */

#include <errno.h>

#include "time-util.h"

typedef enum UseField {
        USE_CPU_USEC,
        USE_MEMORY,       /* bytes, with what the kernel caches of files */
        USE_MEMORY_CACHE, /* the part of it that the kernel gives back first */
        USE_MEMORY_MAX,   /* the limit */
        USE_MEMORY_PEAK,
        USE_OOM_KILLS,
        USE_IO_READ, /* bytes, as are all below but tasks */
        USE_IO_WRITTEN,
        USE_TASKS,
        USE_NETWORK_RECEIVED,
        USE_NETWORK_SENT,
        _USE_FIELD_MAX,
        _USE_FIELD_INVALID = -EINVAL,
} UseField;
/* Their names on the bus: "CPUUsec" */
DECLARE_STRING_TABLE(use_field, UseField);

/* The kernel does not say: a controller is missing, or the container is gone. Never 0 instead. */
#define USE_UNKNOWN UINT64_MAX

typedef struct Use {
        usec_t time; /* when it was read, realtime; 0: never */
        uint64_t values[_USE_FIELD_MAX];
} Use;

/* All unknown. */
void use_reset(Use *u);

static inline uint64_t use_get(const Use *u, UseField field) {
        return u->time > 0 ? u->values[field] : USE_UNKNOWN;
}
