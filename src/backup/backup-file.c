/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "backup-file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "alloc-util.h"
#include "fd-util.h"
#include "fs-util.h"
#include "string-util.h"

/* What is in a folder that a power cut takes away is gone with it. */
static int make_folder(int state, const char *path) {
        _cleanup_close_ int fd = mkdir_open_beneath(state, path, 0700), parent = -EBADF;
        const char *name;

        if (fd < 0)
                return fd;
        parent = open_parent_beneath(state, path, &name);
        if (parent < 0)
                return parent;
        return fsync(parent) < 0 ? -errno : TAKE_FD(fd);
}

static int open_folder(const char *instance, bool make, Error *reterr) {
        _cleanup_free_ char *path = strjoin("backups/", instance);
        _cleanup_close_ int state = -EBADF;
        int fd;

        if (!path)
                return error_set_errnof(reterr, ENOMEM, "%m");
        state = open(CCP_STATE_DIR, O_PATH | O_DIRECTORY | O_CLOEXEC);
        fd = state < 0         ? -errno
                        : make ? make_folder(state, path)
                               : open_beneath(state, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
        return fd < 0 && fd != -ENOENT
                        ? error_set_errnof(reterr, fd, "Cannot open the folder " CCP_STATE_DIR "/%s: %m",
                                          path)
                        : fd;
}

int backup_folder_find(const char *instance, Error *reterr) {
        return open_folder(instance, false, reterr);
}

int backup_folder_open(const char *instance, bool make, Error *reterr) {
        int fd = open_folder(instance, make, reterr);

        if (fd == -ENOENT)
                (void) error_setf(reterr, CCP_ERROR_WRONG_STATE,
                                "There is no folder " CCP_BACKUPS_DIR
                                "/%s, in which backups should be. If it "
                                "lies on a file system of its own: is that mounted? If they are gone for "
                                "good, make it anew: install -d -o ccpd -g ccpd -m 700 " CCP_BACKUPS_DIR
                                "/%s",
                                instance, instance);
        return fd;
}

void backup_folder_remove(const char *instance) {
        _cleanup_close_ int backups = open(CCP_BACKUPS_DIR, O_PATH | O_DIRECTORY | O_CLOEXEC);

        if (backups >= 0)
                (void) unlinkat(backups, instance, AT_REMOVEDIR);
}

int backup_file_open(const BackupRecord *record, Error *reterr) {
        _cleanup_close_ int folder = backup_folder_open(record->instance, false, reterr);
        int fd;

        if (folder < 0)
                return folder;
        fd = open_beneath(folder, record->file, O_RDONLY | O_NOFOLLOW, 0);
        if (fd == -ENOENT)
                return record->replicated_at > 0
                                ? error_setf(reterr, CCP_ERROR_BACKUP_DAMAGED,
                                                  "The file " CCP_BACKUPS_DIR "/%s/%s is gone. There is "
                                                  "a copy in the storage; to get it: ccpctl backup fetch "
                                                  "%" PRIu64,
                                                  record->instance, record->file, record->id)
                                : error_setf(reterr, CCP_ERROR_BACKUP_DAMAGED,
                                                  "The file " CCP_BACKUPS_DIR "/%s/%s is gone.",
                                                  record->instance, record->file);
        if (ERRNO_IS_NEG_DISK_DAMAGE(fd))
                return error_setf(reterr, CCP_ERROR_BACKUP_DAMAGED, "The disk cannot read where %s lies.",
                                record->file);
        if (fd < 0)
                return error_set_errnof(reterr, fd, "Cannot open the backup %s: %m", record->file);
        /* Of its beginning, too, that counts which is on the disk. */
        (void) posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
        return fd;
}

int backup_file_check(const ArchiveReader *reader, const BackupRecord *record, const uint8_t *signer,
                Error *reterr) {
        const ArchiveHeader *h = archive_reader_header(reader);
        char id[STORE_ID_MAX];

        /* Of a file from elsewhere the size is known only once it was read. */
        backup_format_id(h->id, id);
        if (!streq(id, record->archive) ||
                        (record->size > 0 && archive_reader_size(reader) != record->size) ||
                        (signer && memcmp(h->signer, signer, ARCHIVE_KEY_SIZE) != 0))
                return error_setf(reterr, CCP_ERROR_BACKUP_DAMAGED,
                                "Another file than what was written lies at %s.", record->file);
        return 0;
}

int backup_parse_id(const char *text, uint8_t ret[ARCHIVE_ID_SIZE]) {
        size_t n;

        return sodium_hex2bin(ret, ARCHIVE_ID_SIZE, text, strlen(text), "-", &n, NULL) < 0 ||
                                        n != ARCHIVE_ID_SIZE
                        ? -EINVAL
                        : 0;
}

void backup_format_id(const uint8_t id[ARCHIVE_ID_SIZE], char ret[STORE_ID_MAX]) {
        char hex[2 * ARCHIVE_ID_SIZE + 1];

        (void) sodium_bin2hex(hex, sizeof(hex), id, ARCHIVE_ID_SIZE);
        (void) snprintf(ret, STORE_ID_MAX, "%.8s-%.4s-%.4s-%.4s-%.12s", hex, hex + 8, hex + 12, hex + 16,
                        hex + 20);
}
