/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "volume-writer.h"

#include "alloc-util.h"
#include "fd-util.h"

#define BUFFER_SIZE (256U * 1024U)

int volume_writer_init(VolumeWriter *w, int fd) {
        *w = (VolumeWriter) { .fd = fd, .buffer = malloc(BUFFER_SIZE) };
        return w->buffer ? 0 : -ENOMEM;
}

void volume_writer_done(VolumeWriter *w) {
        w->buffer = mfree(w->buffer);
}

int volume_writer_flush(VolumeWriter *w) {
        size_t n = w->filled;

        w->filled = 0;
        return n > 0 ? loop_write(w->fd, w->buffer, n) : 0;
}

int volume_writer_add(VolumeWriter *w, const void *data, size_t size) {
        int r;

        if (w->fd < 0 || size == 0)
                return 0;

        w->size += size;
        if (size > BUFFER_SIZE - w->filled) {
                r = volume_writer_flush(w);
                if (r < 0)
                        return r;
                if (size >= BUFFER_SIZE)
                        return loop_write(w->fd, data, size);
        }

        memcpy(w->buffer + w->filled, data, size);
        w->filled += size;
        return 0;
}

int volume_writer_add_zeros(VolumeWriter *w, uint64_t size) {
        static const char zeros[64U * 1024U];

        if (w->fd < 0)
                return 0;

        while (size > 0) {
                size_t n = (size_t) MIN(size, (uint64_t) sizeof(zeros));
                int r;

                r = volume_writer_add(w, zeros, n);
                if (r < 0)
                        return r;
                size -= n;
        }

        return 0;
}
