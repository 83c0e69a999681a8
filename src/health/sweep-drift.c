/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "sweep-drift.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>

#include "alloc-util.h"
#include "fd-util.h"
#include "fs-util.h"
#include "revision-files.h"
#include "store-worker.h"
#include "string-util.h"

/* More names tell nobody more. */
#define CHANGES_MAX 20U

/* As they are recorded; the daemon reads them. */
static const char *const words[_REVISION_FILE_STATE_MAX] = {
        [REVISION_FILE_CHANGED] = "changed",
        [REVISION_FILE_REPLACED] = "changed",
        [REVISION_FILE_ADDED] = "added",
        [REVISION_FILE_MISSING] = "missing",
};

static int on_difference(const char *target, RevisionFileState state, void *userdata) {
        char ***changes = userdata;

        if (strv_length(*changes) >= CHANGES_MAX)
                return 0;
        return strv_extendf(changes, "%s %s", words[state], target);
}

static int compare_changes(const void *a, const void *b) {
        return strcmp(*(char *const *) a, *(char *const *) b);
}

static bool is_known(const InstanceRecord *i, char *const *changes) {
        size_t n = strv_length(changes);

        if (n != strv_length(i->changed_files))
                return false;
        for (size_t k = 0; k < n; k++)
                if (!streq(changes[k], i->changed_files[k]))
                        return false;

        return true;
}

/* Files from before the revision was recorded need not be read again. */
static int find_changes(
                int instances, const InstanceRecord *i, const RevisionRecord *revision, char ***ret) {
        _cleanup_strv_free_ char **changes = NULL;
        _cleanup_free_ char *path = NULL;
        _cleanup_close_ int fd = -EBADF;
        int r;

        if (asprintf(&path, "%s/" CCP_REVISIONS_FOLDER "/%" PRIu32, i->slug, revision->number) < 0) {
                path = NULL;
                return -ENOMEM;
        }

        fd = open_beneath(instances, path, O_RDONLY | O_DIRECTORY, 0);
        if (IN_SET(fd, -ENOENT, -ENOTDIR, -ELOOP))
                r = strv_extendf(&changes, "missing %s", path + strlen(i->slug) + 1);
        else if (fd < 0)
                r = fd;
        else
                r = revision_files_check(fd, revision->files, revision->created_at, on_difference, &changes);
        if (r < 0)
                return r;

        if (changes)
                qsort(changes, strv_length(changes), sizeof(char *), compare_changes);
        *ret = TAKE_PTR(changes);
        return 0;
}

int sweep_drift(DbSync *db, int instances, const InstanceRecord *i, Error *reterr) {
        _cleanup_(revision_record_freep) RevisionRecord *revision = NULL;
        _cleanup_strv_free_ char **changes = NULL;
        int r;

        if (i->revision == 0 || !IN_SET(i->state, INSTANCE_RUNNING, INSTANCE_STOPPED, INSTANCE_FAILED))
                return 0;

        r = revision_get(db, i->id, i->revision, &revision, reterr);
        if (r < 0 || !revision)
                return r;

        r = find_changes(instances, i, revision, &changes);
        if (r < 0)
                return error_set_errnof(reterr, r, "Cannot compare the files of '%s': %m", i->slug);
        if (is_known(i, changes))
                return 0;

        r = instance_set_changed_files(db, i->id, i->revision, changes, reterr);
        return r < 0 ? r : 1;
}
