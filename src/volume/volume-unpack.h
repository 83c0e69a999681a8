/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Makes a volume of a stream. The stream may come from anybody: nothing is touched but what lies in the
 * folder, and nothing in it is overwritten. Nobody else may write there meanwhile. */

#include "volume-error.h"
#include "volume-report.h"

/* Whom all that is made shall belong to, instead of whom the stream says. */
typedef struct VolumeOwner {
        uint32_t uid, gid;
} VolumeOwner;

/* Unpacks 'input' into the open folder, which must be empty. 'owner' may be NULL. What it made stays when it fails. 0 or a
 * negative errno with *reterr set. */
int volume_unpack(int fd, int input, const VolumeOwner *owner, VolumeReport *ret, VolumeError *reterr);
