/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The Engine's frames, in pieces of any size: the first byte says how large. */

#include <stdlib.h>

#include "docker-frame.h"
#include "fuzz.h"

static int on_data(DockerStream stream, _unused_ const char *data, size_t size, void *userdata) {
        size_t *sum = userdata;

        if (stream >= _DOCKER_STREAM_MAX || size == 0)
                abort();
        *sum += size;
        return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        size_t piece = size > 0 ? data[0] % 32 + 1 : 1, sum = 0, sum_whole = 0;
        FrameParser pieces = {}, whole = {};
        int r = 0, k;

        for (size_t i = 0; i < size && r >= 0; i += piece)
                r = frame_parser_feed(&pieces, (const char *) data + i, MIN(piece, size - i), on_data, &sum);
        k = frame_parser_feed(&whole, (const char *) data, size, on_data, &sum_whole);
        /* However it is cut, the same comes out. */
        if (r != k || sum != sum_whole || sum > size)
                abort();

        return 0;
}
