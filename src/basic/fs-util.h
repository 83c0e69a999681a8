/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Files and folders, always reached beneath a directory descriptor: a name or a link that would leave it is
 * refused by the kernel (openat2(2), Linux 5.6), not by a check of ours. */

#include <errno.h>
#include <sys/types.h>

#include "ccp/macro.h"

/* What a file system says of what it cannot read any more: a bad sector, or a checksum of its own that does not fit (ext4,
 * xfs, btrfs). Of a negative errno only: what is not negative may be a descriptor. */
#define ERRNO_IS_NEG_DISK_DAMAGE(r) IN_SET(r, -EIO, -EUCLEAN, -EBADMSG)

/* Opens a path beneath dirfd; no component may be a link. Returns a descriptor (O_CLOEXEC is added) or a
 * negative errno: -EXDEV or -ELOOP for an attempt to leave. */
int open_beneath(int dirfd, const char *path, int flags, mode_t mode);

/* The same, and no component may lie on another mount (-EXDEV). Nothing is created. */
int open_beneath_mount(int dirfd, const char *path, int flags);

/* Opens the folder that holds the last component of a path; ret_name points into the path. */
int open_parent_beneath(int dirfd, const char *path, const char **ret_name);

/* Makes the folders of a relative path beneath dirfd, each with 'mode'. Those that exist stay. */
int mkdir_parents_beneath(int dirfd, const char *path, mode_t mode);
/* The same for the path itself; returns a descriptor of the last folder. */
int mkdir_open_beneath(int dirfd, const char *path, mode_t mode);

/* Reads a whole file of at most max bytes; as read_full_fd(). */
int read_file_beneath(int dirfd, const char *path, size_t max, char **ret, size_t *ret_size);

/* Writes a file so that after a crash either the old or the new content is there: temporary file, fsync,
 * rename, fsync of the folder. The folder must exist. */
int write_file_beneath(int dirfd, const char *path, const void *data, size_t size, mode_t mode);

/* Removes a name in dirfd, with all that is in it if it is a folder. Never follows a link and never crosses
 * into another mount (-EXDEV). What is not there is no error. */
int rm_rf_at(int dirfd, const char *name);
/* The same for a path. */
int rm_rf_beneath(int dirfd, const char *path);
