/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "revision-files.h"

#include <dirent.h>
#include <fcntl.h>
#include <sodium.h>
#include <sys/stat.h>

#include "alloc-util.h"
#include "blueprint.h"
#include "engine.h"
#include "fd-util.h"
#include "fs-util.h"
#include "json-util.h"
#include "string-util.h"

#define HASH_TEXT_MAX (2 * crypto_hash_sha256_BYTES + 1)
#define NSEC_PER_USEC 1000U

/* A file gets the time of the kernel's last tick, which is earlier than now by up to that much (CONFIG_HZ=100). */
#define TICK_MAX_USEC (10 * USEC_PER_MSEC)

int revision_file_describe(const void *data, size_t size, mode_t mode, json_t **ret) {
        unsigned char hash[crypto_hash_sha256_BYTES];
        char text[HASH_TEXT_MAX];
        json_t *o;

        crypto_hash_sha256(hash, data, size);
        sodium_bin2hex(text, sizeof(text), hash, sizeof(hash));
        o = json_pack("{s:s, s:i}", "sha256", text, "mode", (int) mode);
        if (!o)
                return -ENOMEM;

        *ret = o;
        return 0;
}

bool revision_file_same(const json_t *a, const json_t *b) {
        const char *hash = json_object_get_string(a, "sha256");

        return hash && streq_ptr(hash, json_object_get_string(b, "sha256")) &&
                        json_equal(json_object_get(a, "mode"), json_object_get(b, "mode"));
}

/* The time of the last change of a file can be set by nobody. */
static bool is_untouched(int dirfd, const char *target, usec_t since) {
        _cleanup_close_ int fd = -EBADF;
        struct stat st;

        if (since == 0)
                return false;
        fd = open_beneath(dirfd, target, O_PATH | O_NOFOLLOW, 0);
        if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
                return false;

        return (usec_t) st.st_ctim.tv_sec * USEC_PER_SEC + (usec_t) st.st_ctim.tv_nsec / NSEC_PER_USEC +
                        TICK_MAX_USEC <
                        since;
}

int revision_file_check(
                int dirfd, const char *target, const json_t *was, usec_t since, RevisionFileState *ret) {
        _cleanup_free_ char *data = NULL;
        _cleanup_json_ json_t *is = NULL;
        size_t size = 0;
        int r;

        *ret = REVISION_FILE_SAME;
        if (is_untouched(dirfd, target, since))
                return 0;

        r = read_file_beneath(dirfd, target, BLUEPRINT_STATIC_SIZE_MAX, &data, &size);
        if (IN_SET(r, -ENOENT, -ENOTDIR)) {
                *ret = REVISION_FILE_MISSING;
                return 0;
        }
        /* One that we may not read is not what we wrote. */
        if (IN_SET(r, -ELOOP, -EISDIR, -EBADFD, -EFBIG, -EACCES, -EPERM)) {
                *ret = REVISION_FILE_REPLACED;
                return 0;
        }
        if (r < 0)
                return r;

        r = revision_file_describe(
                        data, size, (mode_t) json_integer_value(json_object_get(was, "mode")), &is);
        explicit_bzero(data, size);
        if (r < 0)
                return r;

        if (!revision_file_same(is, was))
                *ret = REVISION_FILE_CHANGED;
        return 0;
}

/* Containers may write where something that they may write lies. */
static bool is_written_by_containers(const json_t *files) {
        const char *target;
        json_t *was;

        json_object_foreach((json_t *) files, target, was)
                if (json_is_true(json_object_get(was, "writable")) && !strchr(target, '/'))
                        return true;

        return false;
}

/* What else there is in the folder itself. Folders belong to mounts of containers, or hold recorded files. */
static int check_added(int dirfd, const json_t *files, revision_file_handler_t handler, void *userdata) {
        DIR *d;
        int fd, r = 0;

        fd = open_beneath(dirfd, ".", O_RDONLY | O_DIRECTORY, 0);
        if (fd < 0)
                return fd;
        d = fdopendir(fd);
        if (!d) {
                r = -errno;
                (void) safe_close(fd);
                return r;
        }

        errno = 0;
        for (struct dirent *entry; r >= 0 && (entry = readdir(d));) {
                struct stat st;

                if (json_object_get(files, entry->d_name) || !string_is_safe(entry->d_name) ||
                                fstatat(dirfd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
                                S_ISDIR(st.st_mode))
                        continue;
                r = handler(entry->d_name, REVISION_FILE_ADDED, userdata);
        }
        (void) closedir(d);
        return r;
}

int revision_files_check(int dirfd, const json_t *files, usec_t since, revision_file_handler_t handler,
                void *userdata) {
        const char *target;
        json_t *was;
        int r;

        json_object_foreach((json_t *) files, target, was) {
                RevisionFileState state;

                if (json_is_true(json_object_get(was, "writable")))
                        continue;
                r = revision_file_check(dirfd, target, was, since, &state);
                if (r >= 0 && state != REVISION_FILE_SAME)
                        r = handler(target, state, userdata);
                if (r < 0)
                        return r;
        }

        return is_written_by_containers(files) ? 0 : check_added(dirfd, files, handler, userdata);
}
