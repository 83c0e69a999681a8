/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <poll.h>

#include "ccp-storage.h"

bool storage_caller_is_late(const StorageCaller *c) {
        return now(CLOCK_MONOTONIC) >= c->until;
}

/* That no more comes is said from the beginning, and does not count: only an end in both directions is a hang-up. */
bool storage_caller_is_gone(const StorageCaller *c) {
        struct pollfd p = { .fd = c->fd };

        return poll(&p, 1, 0) > 0;
}

int storage_caller_poll(void *userdata) {
        const StorageCaller *c = userdata;

        return storage_caller_is_late(c) || storage_caller_is_gone(c);
}
