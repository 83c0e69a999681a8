/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* File descriptors: closing, and reading what they hold. */

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <sys/types.h>
#include <unistd.h>

#include "ccp/macro.h"

/* Closes fd unless it is negative; keeps errno. Returns -EBADF, to be written back. */
int safe_close(int fd);

static inline void closep(int *fd) {
        safe_close(*fd);
}
#define _cleanup_close_ _cleanup_(closep)

static inline void fclosep(FILE **f) {
        if (*f)
                (void) fclose(*f);
}
#define _cleanup_fclose_ _cleanup_(fclosep)

static inline void closedirp(DIR **d) {
        if (*d)
                (void) closedir(*d);
}
#define _cleanup_closedir_ _cleanup_(closedirp)

/* Writes all of it. 0 or a negative errno. */
int loop_write(int fd, const void *data, size_t size);

/* For who writes a large file from its beginning to its end, after each piece: has the disk keep up, so that the fsync() at the
 * end does not take minutes. *flushed is 0 at first. What the disk refused is an error here, and of no later fsync()
 * (sync_file_range(2)). */
int write_behind(int fd, uint64_t *flushed);

/* Sends all of it over a socket, and a descriptor with it, without waiting: -ENOBUFS for more than the buffer takes. */
int send_with_fd(int socket, const void *data, size_t size, int fd);
/* As recv(), negative errno for -1. A descriptor that comes with it takes the place of *fd, which is closed. */
ssize_t recv_with_fd(int socket, void *data, size_t size, int flags, int *fd);

/* Memory with this in it that nobody can change or grow, and that is gone with its last descriptor, which is returned.
 * 'name' is for /proc. */
int memfd_new_sealed(const char *name, const void *data, size_t size);

/* Reads up to the end, at most max bytes (-EFBIG above). The result ends with a NUL beyond ret_size, so that
 * text can be used as a string; text with an embedded NUL is the caller's to notice. ret_size may be NULL. */
int read_full_fd(int fd, size_t max, char **ret, size_t *ret_size);
