/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Whether the files of a revision are what they were when it was made. What was recorded of each is an object by its
 * path: {"sha256", "mode"}, and "writable" if a container may change it. */

#include <errno.h>
#include <jansson.h>
#include <sys/types.h>

#include "error.h"
#include "time-util.h"

/* What is recorded of a file, and whether two such records are about the same content. */
int revision_file_describe(const void *data, size_t size, mode_t mode, json_t **ret);
bool revision_file_same(const json_t *a, const json_t *b);

typedef enum RevisionFileState {
        REVISION_FILE_SAME,
        REVISION_FILE_CHANGED,
        REVISION_FILE_REPLACED, /* by something that is no file, or lies elsewhere */
        REVISION_FILE_ADDED,
        REVISION_FILE_MISSING,
        _REVISION_FILE_STATE_MAX,
        _REVISION_FILE_STATE_INVALID = -EINVAL,
} RevisionFileState;

/* Compares one file beneath the revision's folder with what was recorded of it. What has not been touched since 'since'
 * (realtime, 0: any time) is taken for the same without a look into it. A negative errno: it can't be read. */
int revision_file_check(
                int dirfd, const char *target, const json_t *was, usec_t since, RevisionFileState *ret);

/* All of them, and those beside them that nobody recorded. Calls back for each that is not the same; a negative return
 * ends it and is returned. */
typedef int (*revision_file_handler_t)(const char *target, RevisionFileState state, void *userdata);
int revision_files_check(int dirfd, const json_t *files, usec_t since, revision_file_handler_t handler,
                void *userdata);
