/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "job-remove.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "alloc-util.h"
#include "fd-util.h"
#include "fs-util.h"
#include "job-folder.h"
#include "job-helper.h"
#include "log.h"
#include "string-util.h"

/* Of the host, for find(1), which is on every Debian. The second and third are links in it, to the first. */
static const char *const host_folders[][2] = { { "/usr", "/usr" }, { "/usr/lib", "/lib" },
        { "/usr/lib64", "/lib64" } };

/* What rm_rf_at() gives for files of others, of which those in a sticky folder can't be unlinked, nor opened as
 * folders; and for folders in each other without end. */
static bool is_beyond_us(int r) {
        return IN_SET(r, -EACCES, -EPERM, -ENOTDIR, -ELOOP, -EMFILE);
}

/* With the host's find(1), which is on every Debian, in an otherwise empty container. */
static int run_find(Job *j, const char *trash, Error *reterr) {
        static const char *const capabilities[] = { "DAC_OVERRIDE", "FOWNER" };
        static char *const argv[] = { (char *) "/usr/bin/find", (char *) "/trash", (char *) "-xdev",
                (char *) "-mindepth", (char *) "1", (char *) "-delete", NULL };
        _cleanup_free_ char *source = strjoin(job_instances_dir(j), "/", trash);
        _cleanup_process_result_ ProcessResult result = {};
        HelperMount mounts[ELEMENTSOF(host_folders) + 1];
        size_t n = 0;

        if (!source)
                return error_set_errnof(reterr, ENOMEM, "%m");

        FOREACH_ARRAY(f, host_folders, ELEMENTSOF(host_folders))
                if (access((*f)[0], F_OK) >= 0)
                        mounts[n++] = (HelperMount) { "bind", (*f)[0], (*f)[1] };
        mounts[n++] = (HelperMount) { "bind", source, "/trash", .writable = true };

        return job_helper_run(j,
                        &(JobHelper) {
                                        .capabilities = capabilities,
                                        .n_capabilities = ELEMENTSOF(capabilities),
                                        .mounts = mounts,
                                        .n_mounts = n,
                                        .argv = argv,
                        },
                        &result, reterr);
}

static int remove_as_root(Job *j, const char *trash, Error *reterr) {
        _cleanup_close_ int fd = -EBADF;

        /* The Engine would follow a link. */
        fd = open_beneath(j->instances_fd, trash, O_PATH | O_DIRECTORY, 0);
        if (fd < 0)
                return error_set_errnof(reterr, fd, "Cannot open %s/%s: %m", job_instances_dir(j), trash);

        log_info("Removing what containers left in %s/%s.", job_instances_dir(j), trash);
        return run_find(j, trash, reterr);
}

int job_trash_remove(Job *j, Error *reterr) {
        _cleanup_free_ char *trash = job_temporary_name(j, "old");
        _cleanup_error_ Error error = {};
        int r;

        if (!trash)
                return error_set_errnof(reterr, ENOMEM, "%m");

        r = rm_rf_at(j->instances_fd, trash);
        if (is_beyond_us(r)) {
                r = remove_as_root(j, trash, &error);
                if (streq_ptr(error.name, CCP_ERROR_ENGINE_UNAVAILABLE) || r == -ECANCELED) {
                        error_move(reterr, &error);
                        return r;
                }
                if (r < 0)
                        return error_setf(reterr, CCP_ERROR_INTERNAL,
                                        "Cannot remove %s/%s, in which a container has left files of "
                                        "another user: %s Remove that folder as root, then try again.",
                                        job_instances_dir(j), trash, strempty(error.message));

                r = rm_rf_at(j->instances_fd, trash);
        }
        if (r < 0)
                return error_set_errnof(reterr, r, "Cannot remove %s/%s: %m", job_instances_dir(j), trash);

        return 0;
}

int job_tree_remove(Job *j, int dirfd, const char *directory, const char *path, Error *reterr) {
        _cleanup_free_ char *trash = job_temporary_name(j, "old");
        _cleanup_close_ int parent = -EBADF;
        const char *name;
        int r;

        if (!trash)
                return error_set_errnof(reterr, ENOMEM, "%m");

        r = rm_rf_beneath(dirfd, path);
        if (is_beyond_us(r)) {
                r = job_trash_remove(j, reterr);
                if (r < 0)
                        return r;

                /* Its path is then made of folders alone that no container can write: what the Engine mounts
                 * is what was meant. */
                r = parent = open_parent_beneath(dirfd, path, &name);
                if (r >= 0 && renameat2(parent, name, j->instances_fd, trash, RENAME_NOREPLACE) < 0)
                        r = -errno;
                if (r >= 0)
                        return job_trash_remove(j, reterr);
        }
        if (r < 0)
                return error_set_errnof(reterr, r, "Cannot remove %s/%s: %m", directory, path);

        return 0;
}
