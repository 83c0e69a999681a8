/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "job-folder.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "alloc-util.h"
#include "copy-tree.h"
#include "fd-util.h"
#include "fs-util.h"
#include "job-remove.h"
#include "path.h"
#include "string-util.h"
#include "validate.h"

#define FOLDER_MODE 0700
#define MARKER_SIZE_MAX 256U

const char *job_instances_dir(const Job *j) {
        return j->instances_dir ?: CCP_INSTANCES_DIR;
}

static int open_instances(Job *j, Error *reterr) {
        if (j->instances_fd >= 0)
                return 0;

        j->instances_fd = open(job_instances_dir(j), O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
        if (j->instances_fd < 0)
                return error_set_errnof(reterr, errno, "Cannot open %s: %m", job_instances_dir(j));

        return 0;
}

char *job_temporary_name(const Job *j, const char *what) {
        return strjoin(".", what, ".", j->claim.job->instance);
}

/* 1 if the open folder bears this instance's mark, 0 if not. */
static int folder_is_ours(const Job *j, int fd) {
        _cleanup_free_ char *marker = NULL;
        size_t n = strlen(j->claim.job->instance);
        int r;

        r = read_file_beneath(fd, JOB_MARKER_FILE, MARKER_SIZE_MAX, &marker, NULL);
        if (IN_SET(r, -ENOENT, -ELOOP, -EISDIR, -EBADFD, -EFBIG))
                return 0;
        if (r < 0)
                return r;

        return strncmp(marker, j->claim.job->instance, n) == 0 && streq(marker + n, "\n");
}

/* Opens the folder if it is ours; -ENOENT if there is none, -EEXIST if it is not ours. */
static int open_own_folder(Job *j) {
        _cleanup_close_ int fd = -EBADF;
        int r;

        fd = open_beneath(j->instances_fd, j->claim.job->slug, O_RDONLY | O_DIRECTORY, 0);
        if (IN_SET(fd, -ENOTDIR, -ELOOP))
                return -EEXIST;
        if (fd < 0)
                return fd;

        r = folder_is_ours(j, fd);
        if (r < 0)
                return r;
        if (r == 0)
                return -EEXIST;

        return TAKE_FD(fd);
}

static int refuse_foreign(const Job *j, Error *reterr) {
        return error_setf(reterr, CCP_ERROR_SLUG_TAKEN,
                        "The folder %s is there already and was not made for this instance. Move it away, "
                        "or "
                        "choose another slug.",
                        j->directory);
}

int job_folder_make(Job *j, Error *reterr) {
        _cleanup_free_ char *new_name = NULL, *marker = NULL;
        _cleanup_close_ int fd = -EBADF, new_fd = -EBADF;
        int r;

        r = open_instances(j, reterr);
        if (r < 0)
                return r;

        fd = open_own_folder(j);
        if (fd >= 0)
                return 0;
        if (fd == -EEXIST)
                return refuse_foreign(j, reterr);
        if (fd != -ENOENT)
                return error_set_errnof(reterr, fd, "Cannot look at %s: %m", j->directory);

        new_name = job_temporary_name(j, "new");
        marker = strjoin(j->claim.job->instance, "\n");
        if (!new_name || !marker)
                return error_set_errnof(reterr, ENOMEM, "%m");

        r = mkdirat(j->instances_fd, new_name, FOLDER_MODE) < 0 && errno != EEXIST ? -errno : 0;
        if (r >= 0)
                r = new_fd = open_beneath(j->instances_fd, new_name, O_RDONLY | O_DIRECTORY, 0);
        if (r >= 0)
                r = write_file_beneath(new_fd, JOB_MARKER_FILE, marker, strlen(marker), 0600);
        if (r >= 0 &&
                        renameat2(j->instances_fd, new_name, j->instances_fd, j->claim.job->slug,
                                        RENAME_NOREPLACE) < 0)
                r = -errno;
        if (r == -EEXIST)
                return refuse_foreign(j, reterr);
        if (r < 0 || fsync(j->instances_fd) < 0)
                return error_set_errnof(
                                reterr, r < 0 ? r : -errno, "Cannot make the folder %s: %m", j->directory);

        return 0;
}

int job_folder_open(Job *j, Error *reterr) {
        int r;

        r = open_instances(j, reterr);
        if (r < 0)
                return r;

        r = open_own_folder(j);
        if (r == -EEXIST)
                return error_setf(reterr, CCP_ERROR_INTERNAL,
                                "The folder %s does not bear the mark of this instance (%s in it): it was "
                                "replaced by another one.",
                                j->directory, JOB_MARKER_FILE);
        if (r < 0)
                return error_set_errnof(reterr, r, "Cannot open the instance's folder %s: %m", j->directory);

        return r;
}

int job_folder_remove(Job *j, Error *reterr) {
        _cleanup_free_ char *new_name = job_temporary_name(j, "new"),
                            *old_name = job_temporary_name(j, "old");
        _cleanup_close_ int fd = -EBADF;
        int r;

        if (!new_name || !old_name)
                return error_set_errnof(reterr, ENOMEM, "%m");

        r = open_instances(j, reterr);
        if (r < 0)
                return r;

        r = rm_rf_at(j->instances_fd, new_name);
        if (r < 0)
                return error_set_errnof(reterr, r, "Cannot remove what is left of %s: %m", j->directory);
        r = job_trash_remove(j, reterr);
        if (r < 0)
                return r;

        fd = open_own_folder(j);
        if (IN_SET(fd, -ENOENT, -EEXIST))
                return 0;
        if (fd < 0)
                return error_set_errnof(reterr, fd, "Cannot open the folder %s: %m", j->directory);

        if (renameat2(j->instances_fd, j->claim.job->slug, j->instances_fd, old_name, RENAME_NOREPLACE) < 0)
                return error_set_errnof(reterr, errno, "Cannot rename the folder %s: %m", j->directory);

        return job_trash_remove(j, reterr);
}

static int source_poll(double fraction, void *userdata) {
        Job *j = userdata;

        if (fraction < 0)
                job_tell(j, 0, "Looking at the source tree");
        else
                job_tell(j, fraction, "Copying the source tree (%u%%)", (unsigned) (fraction * 100));
        return job_checkpoint(j);
}

/* 'what' is the tree, or something in it. */
static int refuse_unreadable(const char *path, const char *what, Error *reterr) {
        return error_setf(reterr, CCP_ERROR_INVALID_ARGUMENT,
                        "The source tree %s cannot be copied: the user ccpd may not read %s. Let it, for "
                        "example with 'setfacl -R -m u:ccpd:rX', or leave it out by the blueprint's "
                        "source.exclude.",
                        path, what);
}

/* 'where' is a path in the tree, NULL if the failure is none of the tree. */
static int report_copy(const Job *j, const char *path, const char *where, int error, Error *reterr) {
        _cleanup_free_ char *full = NULL, *printable = NULL;
        struct statvfs s = {};

        if (IN_SET(-error, ENOSPC, EDQUOT)) {
                (void) fstatvfs(j->instances_fd, &s);
                return error_setf(reterr, CCP_ERROR_NO_SPACE,
                                "There is no room in %s for the source tree %s: %llu MiB are free.",
                                j->directory, path,
                                (unsigned long long) s.f_bavail * s.f_frsize / (1024U * 1024U));
        }

        full = isempty(where) ? strdup(path) : strjoin(path, "/", where);
        if (!full || text_make_printable(full, strlen(full), &printable) < 0)
                return error_set_errnof(reterr, ENOMEM, "%m");

        if (where && error == -EACCES)
                return refuse_unreadable(path, printable, reterr);
        if (where && error == -EXDEV)
                return error_setf(reterr, CCP_ERROR_INVALID_ARGUMENT,
                                "The source tree %s cannot be copied: another file system is mounted on %s. "
                                "Unmount it, or leave it out by the blueprint's source.exclude.",
                                path, printable);
        if (where && error == -ELOOP)
                return error_setf(reterr, CCP_ERROR_INVALID_ARGUMENT,
                                "The source tree %s cannot be copied: more than %u folders lie in each "
                                "other at %s.",
                                path, COPY_TREE_DEPTH_MAX, printable);
        if (where && error == -ESTALE)
                return error_setf(reterr, CCP_ERROR_INVALID_ARGUMENT,
                                "The source tree %s cannot be copied: %s is replaced again and again. Try "
                                "again when nobody works in it.",
                                path, printable);

        return error_set_errnof(reterr, error, "Cannot copy the source tree %s, at %s: %m", path, printable);
}

/* A source tree is somebody's own: neither relative, nor in what ccpd keeps for others, nor where the system
 * keeps what no disk has: the credential of this very program is in /run. Looks at where the open folder really
 * is; nobody can put another one in its place after that. */
static int check_source(const Job *j, const char *path, int fd, Error *reterr) {
        static const char *const systems[] = { "/dev", "/proc", "/run", "/sys" };
        char link[STRLEN("/proc/self/fd/-2147483648") + 1];
        _cleanup_free_ char *real = NULL;

        (void) snprintf(link, sizeof(link), "/proc/self/fd/%i", fd);
        real = realpath(link, NULL);
        if (!real)
                return error_set_errnof(reterr, errno, "Cannot tell where the source tree %s is: %m", path);

        if (!path_is_safe_absolute(real))
                return error_setf(reterr, CCP_ERROR_INVALID_ARGUMENT,
                                "The source tree %s lies in a folder with an odd name.", path);
        if (path_is_beneath(CCP_STATE_DIR, real) || path_is_beneath(real, CCP_STATE_DIR) ||
                        path_is_beneath(job_instances_dir(j), real))
                return error_setf(reterr, CCP_ERROR_INVALID_ARGUMENT,
                                "The source tree %s lies in, or holds, what ccpd keeps for its instances.",
                                path);
        FOREACH_ARRAY(s, systems, ELEMENTSOF(systems))
                if (path_is_beneath(*s, real))
                        return error_setf(reterr, CCP_ERROR_INVALID_ARGUMENT,
                                        "The source tree %s lies in %s, where no application is kept.", path,
                                        *s);

        return 0;
}

/* What else lies in the instance's folder must not be overwritten, or deleted as not being in the tree. */
static int check_target(const char *target, Error *reterr) {
        static const char *const reserved[] = { "revisions", "current", JOB_MARKER_FILE };
        size_t n = strcspn(target, "/");

        if (!path_is_safe_relative(target))
                return error_setf(reterr, CCP_ERROR_BLUEPRINT_INVALID,
                                "The blueprint's source.target '%s' is no relative path.",
                                TEXT_FOR_ERROR(target));

        FOREACH_ARRAY(i, reserved, ELEMENTSOF(reserved))
                if (strlen(*i) == n && strncmp(target, *i, n) == 0)
                        return error_setf(reterr, CCP_ERROR_BLUEPRINT_INVALID,
                                        "The blueprint's source.target '%s' is a name that ccpd uses "
                                        "itself.",
                                        target);

        return 0;
}

/* Returns 1 if there is none, and nobody asked for it. */
static int open_source(const Job *j, const char *path, int *ret_fd, Error *reterr) {
        bool optional = streq_ptr(path, j->blueprint->source.path) && !j->blueprint->source.required;
        _cleanup_close_ int fd = -EBADF;
        struct stat st;
        int r;

        if (stat(path, &st) < 0) {
                if (errno == ENOENT && optional)
                        return 1;
                if (errno == EACCES)
                        return refuse_unreadable(path, "it, or a folder above it", reterr);
                if (IN_SET(errno, ENOENT, ENOTDIR))
                        return error_setf(reterr, CCP_ERROR_INVALID_ARGUMENT,
                                        "The source tree %s does not exist. Put it there and try again, or "
                                        "name another one: ccpctl create --source=DIR",
                                        path);
                return error_set_errnof(reterr, errno, "Cannot look at the source tree %s: %m", path);
        }
        if (!S_ISDIR(st.st_mode))
                return error_setf(reterr, CCP_ERROR_INVALID_ARGUMENT,
                                "The source tree %s is no folder. Name one: ccpctl create --source=DIR",
                                path);

        fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
                return error_set_errnof(reterr, errno, "Cannot open the source tree %s: %m", path);
        r = check_source(j, path, fd, reterr);
        if (r < 0)
                return r;

        *ret_fd = TAKE_FD(fd);
        return 0;
}

int job_source_copy(Job *j, Error *reterr) {
        const InstanceRecord *instance = job_instance(j);
        const char *path = instance->source ?: j->blueprint->source.path;
        const char *target = j->blueprint->source.target ?: "source";
        _cleanup_close_ int folder = -EBADF, fd = -EBADF, source = -EBADF;
        _cleanup_free_ char *where = NULL;
        int r;

        if (isempty(path))
                return 1;

        if (!path_is_safe_absolute(path) || streq(path, "/"))
                return error_setf(reterr, CCP_ERROR_INVALID_ARGUMENT,
                                "The source tree '%s' is not an absolute path without '.' and '..'.",
                                TEXT_FOR_ERROR(path));
        r = check_target(target, reterr);
        if (r < 0)
                return r;

        r = open_source(j, path, &source, reterr);
        if (r != 0)
                return r;

        folder = job_folder_open(j, reterr);
        if (folder < 0)
                return folder;

        /* What an earlier attempt has copied may be older than what is there now. */
        r = rm_rf_beneath(folder, target);
        if (r >= 0)
                r = fd = mkdir_open_beneath(folder, target, 0755);
        if (r < 0)
                return error_set_errnof(reterr, r, "Cannot make %s/%s: %m", j->directory, target);

        r = copy_tree(source, fd,
                        &(CopyTreeOptions) {
                                        .exclude = j->blueprint->source.exclude,
                                        .poll = source_poll,
                                        .userdata = j,
                        },
                        &where);
        if (r == -ECANCELED)
                return error_setf(reterr, CCP_ERROR_CANCELLED, "The job was cancelled.");
        if (r < 0)
                return report_copy(j, path, where, r, reterr);

        return 0;
}

int job_source_remove(Job *j, const char *target, Error *reterr) {
        _cleanup_close_ int fd = -EBADF;
        int r;

        r = open_instances(j, reterr);
        if (r < 0)
                return r;

        fd = open_own_folder(j);
        if (IN_SET(fd, -ENOENT, -EEXIST))
                return 0;
        if (fd < 0)
                return error_set_errnof(reterr, fd, "Cannot open the folder %s: %m", j->directory);

        return job_tree_remove(j, fd, j->directory, target, reterr);
}
