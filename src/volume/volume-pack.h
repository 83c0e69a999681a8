/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Reads a volume from the disk: into the stream, or for its inventory alone. Others may change it
 * meanwhile; what is seen of that is reported. A change within the same tick of the file system's clock (4
 * ms before Linux 6.13) that leaves the size as it was may not be seen. */

#include "volume-error.h"
#include "volume-report.h"

typedef enum VolumeStep {
        VOLUME_STEP_NAME,    /* it was listed, and is looked at next */
        VOLUME_STEP_OPEN,    /* it is opened next */
        VOLUME_STEP_CONTENT, /* its size is settled, and its content is read next */
        _VOLUME_STEP_MAX,
} VolumeStep;

typedef struct VolumePackOptions {
        /* Paths from the top, without "./" or "/" at their ends; each is left out with all below it. */
        char *const *exclude;
        /* For tests, which change things under our hands. */
        void (*on_step)(VolumeStep step, const char *name, void *userdata);
        void *userdata;
} VolumePackOptions;

/* Packs the open folder to 'output'; -EBADF: reads it only. 0 or a negative errno with *reterr set. */
int volume_pack(int fd, int output, const VolumePackOptions *options, VolumeReport *ret,
                VolumeError *reterr);

/* Whether a path can be one of 'exclude'. */
bool volume_exclude_is_valid(const char *path);
