/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "use.h"

#include "string-util.h"

static const char *const use_field_table[_USE_FIELD_MAX] = {
        [USE_CPU_USEC] = "CPUUsec",
        [USE_MEMORY] = "Memory",
        [USE_MEMORY_CACHE] = "MemoryCache",
        [USE_MEMORY_MAX] = "MemoryMax",
        [USE_MEMORY_PEAK] = "MemoryPeak",
        [USE_OOM_KILLS] = "OOMKills",
        [USE_IO_READ] = "IORead",
        [USE_IO_WRITTEN] = "IOWritten",
        [USE_TASKS] = "Tasks",
        [USE_NETWORK_RECEIVED] = "NetworkReceived",
        [USE_NETWORK_SENT] = "NetworkSent",
};
DEFINE_STRING_TABLE(use_field, UseField);

void use_reset(Use *u) {
        u->time = 0;
        FOREACH_ARRAY(v, u->values, _USE_FIELD_MAX)
                *v = USE_UNKNOWN;
}
