/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "job-remove.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "alloc-util.h"
#include "docker-cli.h"
#include "fd-util.h"
#include "fs-util.h"
#include "job-folder.h"
#include "log.h"
#include "string-util.h"

/* An empty archive: two blocks of zeros */
#define TAR_SIZE 1024
/* Of the host, for find(1), which is on every Debian. The second and third are links in it, to the first. */
static const char *const host_folders[][2] = { { "/usr", "/usr" }, { "/usr/lib", "/lib" },
        { "/usr/lib64", "/lib64" } };

/* What rm_rf_at() gives for files of others, of which those in a sticky folder can't be unlinked, nor opened as
 * folders; and for folders in each other without end. */
static bool is_beyond_us(int r) {
        return IN_SET(r, -EACCES, -EPERM, -ENOTDIR, -ELOOP, -EMFILE);
}

/* Makes an image with nothing in it: no image of anybody else can be counted on. */
static int make_image(Job *j, char **ret, Error *reterr) {
        char *const argv[] = { (char *) "image", (char *) "import", (char *) "-", NULL };
        _cleanup_process_result_ ProcessResult result = {};
        _cleanup_close_ int fd = -EBADF;
        int r;

        fd = memfd_create("empty.tar", MFD_CLOEXEC);
        if (fd < 0 || ftruncate(fd, TAR_SIZE) < 0)
                return error_set_errnof(reterr, errno, "Cannot make an empty archive: %m");

        r = docker_cli(j, argv, fd, &result, reterr);
        if (r < 0)
                return r;

        *ret = strndup(strempty(result.out.data), strcspn(strempty(result.out.data), "\n"));
        return *ret ? 0 : error_set_errnof(reterr, ENOMEM, "%m");
}

static void remove_image(Job *j, const char *image) {
        char *const argv[] = { (char *) "image", (char *) "rm", (char *) image, NULL };
        _cleanup_process_result_ ProcessResult result = {};
        _cleanup_error_ Error error = {};

        if (docker_cli(j, argv, -EBADF, &result, &error) < 0)
                log_info("Cannot remove the image %s, leaving it: %s", image, strempty(error.message));
}

static int run_find(Job *j, const char *image, const char *trash, Error *reterr) {
        static const char *const head[] = {
                "container",
                "run",
                "--rm",
                "--pull=never",
                "--network=none",
                "--log-driver=none",
                "--read-only",
                "--user=0:0",
                /* Where the Engine maps users: to be root in all that containers wrote. */
                "--userns=host",
                "--cap-drop=ALL",
                "--cap-add=DAC_OVERRIDE",
                "--cap-add=FOWNER",
                "--security-opt=no-new-privileges",
                "--entrypoint=/usr/bin/find",
        };
        static const char *const arguments[] = { "/trash", "-xdev", "-mindepth", "1", "-delete" };
        _cleanup_process_result_ ProcessResult result = {};
        _cleanup_strv_free_ char **argv = NULL;
        int r = 0;

        FOREACH_ARRAY(a, head, ELEMENTSOF(head))
                if (r >= 0)
                        r = strv_extend(&argv, *a);
        FOREACH_ARRAY(f, host_folders, ELEMENTSOF(host_folders))
                if (r >= 0 && access((*f)[0], F_OK) >= 0)
                        r = strv_extendf(&argv, "--mount=type=bind,source=%s,target=%s,readonly", (*f)[0],
                                        (*f)[1]);
        if (r >= 0)
                r = strv_extendf(&argv, "--mount=type=bind,source=%s/%s,target=/trash", job_instances_dir(j),
                                trash);
        if (r >= 0)
                r = strv_extend(&argv, image);
        FOREACH_ARRAY(a, arguments, ELEMENTSOF(arguments))
                if (r >= 0)
                        r = strv_extend(&argv, *a);
        if (r < 0)
                return error_set_errnof(reterr, r, "%m");

        return docker_cli(j, argv, -EBADF, &result, reterr);
}

static int remove_as_root(Job *j, const char *trash, Error *reterr) {
        _cleanup_free_ char *image = NULL;
        _cleanup_close_ int fd = -EBADF;
        int r;

        /* The Engine would follow a link. */
        fd = open_beneath(j->instances_fd, trash, O_PATH | O_DIRECTORY, 0);
        if (fd < 0)
                return error_set_errnof(reterr, fd, "Cannot open %s/%s: %m", job_instances_dir(j), trash);

        log_info("Removing what containers left in %s/%s.", job_instances_dir(j), trash);
        r = make_image(j, &image, reterr);
        if (r < 0)
                return r;

        r = run_find(j, image, trash, reterr);
        remove_image(j, image);
        return r;
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
