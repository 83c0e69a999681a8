/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Makes a volume of a stream. The stream may come from anybody: nothing is touched but what lies in the
 * folder, and nothing in it is overwritten. Nobody else may write there meanwhile. */

#include "volume-error.h"
#include "volume-report.h"

/* Unpacks 'input' into the open folder, which must be empty. What it made stays when it fails. 0 or a
 * negative errno with *reterr set. */
int volume_unpack(int fd, int input, VolumeReport *ret, VolumeError *reterr);
