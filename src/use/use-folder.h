/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* How much of the disk a folder takes. */

#include <stdbool.h>
#include <stdint.h>

/* Beyond these the rest of a folder is left out. */
#define FOLDER_DEPTH_MAX 128U
#define FOLDER_ENTRIES_MAX 10000000U

typedef struct FolderSize {
        uint64_t bytes; /* as the file system gives them out, in blocks */
        uint64_t entries;
        bool incomplete; /* something could not be looked into, or was too much */
} FolderSize;

/* Adds up a folder in dirfd. No link is followed, and nothing on another mount counts. A file of several names
 * counts for each of them in part, so that it counts once where all of them are in the folder. 0, or a negative errno
 * if there is no such folder. */
int folder_measure(int dirfd, const char *name, FolderSize *ret);
