/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "job-folder.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "alloc-util.h"
#include "fd-util.h"
#include "fs-util.h"
#include "path.h"
#include "process.h"
#include "string-util.h"
#include "validate.h"

#define FOLDER_MODE 0700
#define MARKER_SIZE_MAX 256U
/* rsync(1): "Partial transfer due to vanished source files": somebody works in the tree, which is fine. */
#define RSYNC_VANISHED 24
#define RSYNC_ERROR_LINES 3U
/* Without a file, or with one in doubt, for so long, rsync gives up. */
#define RSYNC_TIMEOUT "--timeout=300"

static const char *instances_dir(const Job *j) {
        return j->instances_dir ?: CCP_INSTANCES_DIR;
}

static int open_instances(Job *j, Error *reterr) {
        if (j->instances_fd >= 0)
                return 0;

        j->instances_fd = open(instances_dir(j), O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
        if (j->instances_fd < 0)
                return error_set_errnof(reterr, errno, "Cannot open %s: %m", instances_dir(j));

        return 0;
}

/* The names that a folder has before it is complete, and while it is removed: no slug begins with a dot. */
static char *temporary_name(const Job *j, const char *what) {
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

        new_name = temporary_name(j, "new");
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
        _cleanup_free_ char *new_name = temporary_name(j, "new"), *old_name = temporary_name(j, "old");
        _cleanup_close_ int fd = -EBADF;
        int r;

        if (!new_name || !old_name)
                return error_set_errnof(reterr, ENOMEM, "%m");

        r = open_instances(j, reterr);
        if (r < 0)
                return r;

        r = rm_rf_at(j->instances_fd, new_name);
        if (r >= 0)
                r = rm_rf_at(j->instances_fd, old_name);
        if (r < 0)
                return error_set_errnof(reterr, r, "Cannot remove what is left of %s: %m", j->directory);

        fd = open_own_folder(j);
        if (IN_SET(fd, -ENOENT, -EEXIST))
                return 0;
        if (fd < 0)
                return error_set_errnof(reterr, fd, "Cannot open the folder %s: %m", j->directory);

        if (renameat2(j->instances_fd, j->claim.job->slug, j->instances_fd, old_name, RENAME_NOREPLACE) < 0)
                return error_set_errnof(reterr, errno, "Cannot rename the folder %s: %m", j->directory);

        r = rm_rf_at(j->instances_fd, old_name);
        if (r == -EACCES)
                return error_setf(reterr, CCP_ERROR_INTERNAL,
                                "Cannot remove %s/%s: a container has left files in it that belong to "
                                "another "
                                "user. Remove that folder as root, then try again.",
                                instances_dir(j), old_name);
        if (r < 0)
                return error_set_errnof(
                                reterr, r, "Cannot remove the folder %s/%s: %m", instances_dir(j), old_name);

        return 0;
}

/* How much of the tree rsync has copied: "  1,234,567  42%  1.23MB/s …" */
static void rsync_line(const char *line, void *userdata) {
        Job *j = userdata;
        const char *percent = strchr(line, '%'), *digits = percent;

        while (digits && digits > line && digits[-1] >= '0' && digits[-1] <= '9')
                digits--;
        if (digits && digits < percent)
                job_tell(j, (double) strtoul(digits, NULL, 10) / 100, "Copying the source tree (%.*s%%)",
                                (int) (percent - digits), digits);
}

/* The messages among rsync's lines, which are mostly its progress. */
static char *rsync_errors(const char *text) {
        StringBuilder b = {};
        unsigned n = 0;
        char *ret;

        for (const char *line = text; *line && n < RSYNC_ERROR_LINES;) {
                size_t size = strcspn(line, "\r\n");

                if (startswith(line, "rsync")) {
                        string_builder_append(&b, n++ > 0 ? "; " : "");
                        string_builder_append_n(&b, line, MIN(size, (size_t) 300));
                }
                line += size;
                line += strspn(line, "\r\n");
        }

        return string_builder_finish(&b, &ret, NULL) >= 0 ? ret : NULL;
}

static int report_rsync(const Job *j, const char *source, const ProcessResult *result, Error *reterr) {
        _cleanup_free_ char *errors = rsync_errors(strempty(result->err.data)), *printable = NULL;

        if (strstr(strempty(result->err.data), "No space left on device") ||
                        strstr(strempty(result->err.data), "Disk quota exceeded")) {
                struct statvfs s = {};

                (void) fstatvfs(j->instances_fd, &s);
                return error_setf(reterr, CCP_ERROR_NO_SPACE,
                                "There is no room in %s for the source tree %s: %llu MiB are free.",
                                j->directory, source,
                                (unsigned long long) s.f_bavail * s.f_frsize / (1024U * 1024U));
        }

        if (text_make_printable(strempty(errors), strlen(strempty(errors)), &printable) < 0)
                printable = NULL;
        return error_setf(reterr, CCP_ERROR_INTERNAL,
                        "Cannot copy the source tree %s: rsync ended with %i: %s", source, result->status,
                        strempty(printable));
}

/* 'source' is what the open folder is called. */
static int run_rsync(Job *j, const char *source, int fd, const char *target, char *const *exclude,
                Error *reterr) {
        _cleanup_process_result_ ProcessResult result = {};
        _cleanup_strv_free_ char **argv = NULL;
        /* rsync shall tell its progress where we read lines: by --stderr=all. */
        static const char *const fixed[] = {
                "rsync",
                "--archive",
                "--no-owner",
                "--no-group",
                "--no-devices",
                "--no-specials",
                "--chmod=u+rwX,ug-s",
                "--safe-links",
                "--delete",
                "--delete-excluded",
                "--info=progress2",
                "--no-human-readable",
                "--no-inc-recursive",
                "--stderr=all",
                RSYNC_TIMEOUT,
                NULL,
        };
        int r = 0;

        STRV_FOREACH(s, (char *const *) fixed)
                if (r >= 0)
                        r = strv_extend(&argv, *s);
        STRV_FOREACH(s, exclude)
                if (r >= 0)
                        r = strv_extendf(&argv, "--exclude=%s", *s);
        if (r >= 0)
                r = strv_extend(&argv, "--");
        if (r >= 0)
                r = strv_extendf(&argv, "/proc/%i/fd/%i/", (int) getpid(), fd);
        if (r >= 0)
                r = strv_extendf(&argv, "%s/", target);
        if (r < 0)
                return error_set_errnof(reterr, r, "%m");

        r = process_run(argv,
                        &(ProcessOptions) {
                                        .stdin_fd = -EBADF,
                                        .line = rsync_line,
                                        .poll = job_poll,
                                        .userdata = j,
                        },
                        &result);
        if (r == -ECANCELED)
                return error_setf(reterr, CCP_ERROR_CANCELLED, "The job was cancelled.");
        if (r < 0)
                return error_set_errnof(reterr, r, "Cannot run rsync: %m");
        if (!IN_SET(result.status, 0, RSYNC_VANISHED))
                return report_rsync(j, source, &result, reterr);

        return 0;
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
                        path_is_beneath(instances_dir(j), real))
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

int job_source_copy(Job *j, Error *reterr) {
        const InstanceRecord *instance = job_instance(j);
        const char *path = instance->source ?: j->blueprint->source.path;
        const char *target = j->blueprint->source.target ?: "source";
        _cleanup_close_ int folder = -EBADF, fd = -EBADF, source = -EBADF;
        _cleanup_free_ char *absolute = NULL;
        struct stat st;
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

        if (stat(path, &st) < 0) {
                if (errno == ENOENT && streq_ptr(path, j->blueprint->source.path) &&
                                !j->blueprint->source.required)
                        return 1;
                return error_setf(reterr, CCP_ERROR_INVALID_ARGUMENT, "The source tree %s %s.", path,
                                errno == ENOENT                   ? "does not exist"
                                                : errno == EACCES ? "is not readable for the user ccpd"
                                                                  : "can't be looked at");
        }
        if (!S_ISDIR(st.st_mode))
                return error_setf(reterr, CCP_ERROR_INVALID_ARGUMENT, "The source tree %s is no folder.",
                                path);

        source = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (source < 0)
                return error_set_errnof(reterr, errno, "Cannot open the source tree %s: %m", path);
        r = check_source(j, path, source, reterr);
        if (r < 0)
                return r;

        folder = job_folder_open(j, reterr);
        if (folder < 0)
                return folder;

        fd = mkdir_open_beneath(folder, target, 0755);
        absolute = strjoin(j->directory, "/", target);
        if (fd < 0 || !absolute)
                return error_set_errnof(reterr, fd < 0 ? fd : -ENOMEM, "Cannot make %s/%s: %m", j->directory,
                                target);

        return run_rsync(j, path, source, absolute, j->blueprint->source.exclude, reterr);
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
        r = fd < 0 ? fd : rm_rf_at(fd, target);
        if (r < 0)
                return error_set_errnof(reterr, r, "Cannot remove %s/%s: %m", j->directory, target);

        return 0;
}
