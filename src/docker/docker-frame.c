/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "docker-frame.h"

#include <errno.h>
#include <string.h>

static int frame_parser_read_header(FrameParser *p) {
        const unsigned char *h = p->header;

        if (h[0] >= _DOCKER_STREAM_MAX || h[1] != 0 || h[2] != 0 || h[3] != 0)
                return -EBADMSG;

        p->left = (uint32_t) h[4] << 24 | (uint32_t) h[5] << 16 | (uint32_t) h[6] << 8 | h[7];
        /* The header is done with once the payload begins; an empty frame ends here. */
        p->n_header = 0;
        return 0;
}

int frame_parser_feed(
                FrameParser *p, const char *data, size_t size, frame_handler_t handler, void *userdata) {
        int r;

        while (size > 0) {
                size_t n;

                if (p->left > 0) {
                        n = MIN(size, (size_t) p->left);
                        r = handler((DockerStream) p->header[0], data, n, userdata);
                        if (r < 0)
                                return r;
                        p->left -= (uint32_t) n;
                } else {
                        n = MIN(size, sizeof(p->header) - p->n_header);
                        memcpy(p->header + p->n_header, data, n);
                        p->n_header += (unsigned) n;
                        if (p->n_header == sizeof(p->header)) {
                                r = frame_parser_read_header(p);
                                if (r < 0)
                                        return r;
                        }
                }

                data += n;
                size -= n;
        }

        return 0;
}
