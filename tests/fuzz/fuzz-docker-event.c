/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The Engine's stream of events. */

#include "alloc-util.h"
#include "docker-event.h"
#include "fuzz.h"

static int on_event(const char *data, size_t size, void *userdata) {
        _cleanup_docker_event_ DockerEvent e = {};
        unsigned *n = userdata;

        if (data && docker_event_parse(data, size, &e) >= 0) {
                if (!e.container || e.type < 0 || e.type >= _DOCKER_EVENT_TYPE_MAX)
                        abort();
                (*n)++;
        }
        return 0;
}

/* In pieces the same comes out as in one. */
static void split(const uint8_t *data, size_t size, bool list) {
        size_t piece = size > 0 ? data[size - 1] % 64 + 1 : 1;
        unsigned n = 0, n_whole = 0;
        JsonSplitter pieces = { .list = list }, whole = { .list = list };
        int r = 0;

        for (size_t i = 0; i < size && r >= 0; i += piece)
                r = json_splitter_feed(&pieces, (const char *) data + i, MIN(piece, size - i), on_event, &n);
        (void) json_splitter_feed(&whole, (const char *) data, size, on_event, &n_whole);
        if (n != n_whole)
                abort();

        json_splitter_done(&pieces);
        json_splitter_done(&whole);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        split(data, size, false);
        split(data, size, true);
        return 0;
}
