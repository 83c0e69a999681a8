/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The stream on its way out, in large pieces. */

#include <stdint.h>

#include "ccp/macro.h"

typedef struct VolumeWriter {
        int fd; /* borrowed; -EBADF: nothing is written */
        char *buffer;
        size_t filled;
        uint64_t size; /* of all that was added */
} VolumeWriter;

/* 0 or -ENOMEM. */
int volume_writer_init(VolumeWriter *w, int fd);
void volume_writer_done(VolumeWriter *w);

/* 0 or what write(2) says. */
int volume_writer_add(VolumeWriter *w, const void *data, size_t size);
int volume_writer_add_zeros(VolumeWriter *w, uint64_t size);
int volume_writer_flush(VolumeWriter *w);
