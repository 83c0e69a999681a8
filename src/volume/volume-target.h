/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What unpack does with single entries on the disk. */

#include "volume-entry.h"
#include "volume-error.h"
#include "volume-report.h"

struct stat;

/* For what failed on the disk with an errno: of a full one, how much was needed (bytes; 0: not known) and
 * is free. */
int volume_target_fail(int fd, int error, const char *path, uint64_t needed, VolumeError *reterr);

/* -ENOTEMPTY unless there is nothing in the open folder. */
int volume_target_check_empty(int fd);
/* Removes what the folder would hand on to all that is made in it, and keeps others out meanwhile. */
int volume_target_prepare(int fd);

/* Gives the open file, folder or pipe its owner, attributes, mode and time, in the order in which none
 * undoes another. What the file system does not keep of the time is reported. */
int volume_target_finish(int fd, const VolumeEntry *e, VolumeReport *report, VolumeError *reterr);

/* Both make the name in the open folder. */
int volume_target_symlink(int dirfd, const char *name, const VolumeEntry *e, VolumeReport *report,
                VolumeError *reterr);
/* The link's target is looked up from the top. */
int volume_target_hard_link(int top, int dirfd, const char *name, const VolumeEntry *e, VolumeReport *report,
                VolumeError *reterr);
