/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "use.h"

#include "string-util.h"

static const char *const use_field_table[_USE_FIELD_MAX] = {
        [USE_CPU_USEC] = "cpu_usec",
        [USE_MEMORY] = "memory",
        [USE_MEMORY_CACHE] = "memory_cache",
        [USE_MEMORY_MAX] = "memory_max",
        [USE_MEMORY_PEAK] = "memory_peak",
        [USE_OOM_KILLS] = "oom_kills",
        [USE_IO_READ] = "io_read",
        [USE_IO_WRITTEN] = "io_written",
        [USE_TASKS] = "tasks",
        [USE_NETWORK_RECEIVED] = "network_received",
        [USE_NETWORK_SENT] = "network_sent",
};
DEFINE_STRING_TABLE(use_field, UseField);

void use_reset(Use *u) {
        u->time = 0;
        FOREACH_ARRAY(v, u->values, _USE_FIELD_MAX)
                *v = USE_UNKNOWN;
}
