/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The frames in which the Engine sends stdout and stderr over one connection: {stream, 0, 0, 0, size as 4
 * bytes big-endian}, then so many bytes. Frames align neither with lines nor with what a read returns. */

#include "ccp/macro.h"

typedef enum DockerStream {
        DOCKER_STDIN, /* echoed input, goes with stdout */
        DOCKER_STDOUT,
        DOCKER_STDERR,
        DOCKER_SYSTEM_ERROR, /* a failure of the Engine itself, in-band */
        _DOCKER_STREAM_MAX,
} DockerStream;

/* Initialize with {}. Holds no memory, so that a size that lies costs nothing. */
typedef struct FrameParser {
        unsigned char header[8];
        unsigned n_header;
        uint32_t left; /* bytes of the current frame still to come */
} FrameParser;

typedef int (*frame_handler_t)(DockerStream stream, const char *data, size_t size, void *userdata);

/* Hands the payload to 'handler' piece by piece; a negative return of it ends and is returned. -EBADMSG for
 * a header that is none. */
int frame_parser_feed(
                FrameParser *p, const char *data, size_t size, frame_handler_t handler, void *userdata);
/* True between frames: an end of the stream elsewhere is a cut one. */
static inline bool frame_parser_is_idle(const FrameParser *p) {
        return p->n_header == 0 && p->left == 0;
}
