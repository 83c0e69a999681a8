/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Bringing the file of a backup back from the storage, for one that is gone or damaged here. What comes is read as a whole, as
 * every backup is, before it takes the place of what was there. */

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "alloc-util.h"
#include "fd-util.h"
#include "fs-util.h"
#include "job-archive.h"
#include "job-fetch.h"
#include "storage-open.h"
#include "string-util.h"

#define FETCHED_SUFFIX ".fetched"

static void tell_received(uint64_t done, uint64_t size, void *userdata) {
        job_tell_bytes(userdata, -1, done, size, "Receiving the copy");
}

static char *fetched_name(const BackupRecord *record) {
        return strjoin(record->file, FETCHED_SUFFIX);
}

static int remove_fetched(int folder, const char *name, Error *reterr) {
        return unlinkat(folder, name, 0) < 0 && errno != ENOENT
                        ? error_set_errnof(reterr, errno, "Cannot remove the unfinished backup %s: %m", name)
                        : 0;
}

typedef struct Sink {
        int fd;
        const char *name;
        uint64_t flushed; /* write_behind() */
} Sink;

static int take(const void *data, size_t size, void *userdata, Error *reterr) {
        Sink *s = userdata;
        int r;

        r = loop_write(s->fd, data, size);
        return r < 0 ? error_set_errnof(reterr, r, "Cannot write the backup %s: %m", s->name)
                     : job_archive_write_behind(s->name, s->fd, &s->flushed, reterr);
}

static int get(Job *j, const BackupRecord *record, int fd, const char *name, Error *reterr) {
        const S3Progress progress = { job_poll, tell_received, j };
        _cleanup_storage_record_ StorageRecord storage = {};
        _cleanup_(s3_client_freep) S3Client *client = NULL;
        _cleanup_free_ char *etag = NULL;
        _cleanup_error_ Error error = {}, ignored = {};
        Sink sink = { .fd = fd, .name = name };
        uint64_t size;
        int r;

        r = storage_open(j->db, &storage, &client, reterr);
        if (r < 0)
                return r;
        r = s3_head(client, record->copy_key, &size, &etag, &progress, &error);
        if (r < 0 && streq_ptr(error.name, CCP_ERROR_NO_SUCH_BACKUP))
                (void) copy_lost(j->db, record->id, storage.version, &ignored);
        if (r < 0) {
                error_move(reterr, &error);
                return r;
        }
        if (size != record->size)
                return error_setf(reterr, CCP_ERROR_BACKUP_DAMAGED,
                                "What lies in the storage as '%s' has %" PRIu64 " bytes, and the backup "
                                "had %" PRIu64 ".",
                                record->copy_key, size, record->size);
        return s3_get(client, record->copy_key, etag, 0, size, take, &sink, &progress, reterr);
}

static int run_download(Job *j, Error *reterr) {
        _cleanup_backup_record_ BackupRecord record = {};
        _cleanup_close_ int folder = -EBADF, fd = -EBADF;
        _cleanup_free_ char *name = NULL;
        int r;

        r = job_archive_find(j, &record, reterr);
        if (r < 0)
                return r;
        if (record.replicated_at == 0)
                return error_setf(reterr, CCP_ERROR_WRONG_STATE,
                                "Of backup %" PRIu64 " there is no copy in the storage. For others: ccpctl "
                                "backup list --instance=%s",
                                record.id, record.slug);
        folder = backup_folder_open(record.instance, true, reterr);
        if (folder < 0)
                return folder;
        name = fetched_name(&record);
        if (!name)
                return error_set_errnof(reterr, ENOMEM, "%m");
        fd = job_archive_make_unfinished(folder, name, record.size, reterr);
        if (fd < 0)
                return fd;
        r = get(j, &record, fd, name, reterr);
        return r < 0 ? r : job_archive_sync_unfinished(folder, name, fd, reterr);
}

static int run_verify(Job *j, Error *reterr) {
        _cleanup_(archive_reader_freep) ArchiveReader *reader = NULL;
        _cleanup_backup_record_ BackupRecord record = {};
        _cleanup_close_ int folder = -EBADF, fd = -EBADF;
        _cleanup_free_ char *name = NULL;
        int r;

        r = job_archive_find(j, &record, reterr);
        if (r < 0)
                return r;
        folder = backup_folder_open(record.instance, false, reterr);
        if (folder < 0)
                return folder;
        name = fetched_name(&record);
        if (!name)
                return error_set_errnof(reterr, ENOMEM, "%m");
        fd = job_archive_open_unfinished(folder, name, record.file, reterr);
        if (fd < 0)
                return fd;

        r = job_archive_verify(j, fd, &record, &reader, reterr);
        if (r < 0)
                return error_prefixf(reterr, r, "The copy in the storage");
        r = job_archive_finish(folder, name, record.file, 0, reterr);
        if (r < 0)
                return r;
        if (asprintf(&j->detail, "backup %" PRIu64 ", %" PRIu64 " MiB", record.id,
                            record.size / 1024 / 1024) < 0)
                j->detail = NULL;
        return job_archive_set_verified(j, record.id, reader, reterr);
}

int job_fetch_undo(Job *j, Error *reterr) {
        _cleanup_backup_record_ BackupRecord record = {};
        _cleanup_close_ int folder = -EBADF;
        _cleanup_free_ char *name = NULL;
        _cleanup_error_ Error error = {};
        int r;

        r = job_archive_find(j, &record, &error);
        if (r == -ENOENT)
                return 0;
        if (r < 0) {
                error_move(reterr, &error);
                return r;
        }
        folder = backup_folder_find(record.instance, reterr);
        if (folder < 0)
                return folder == -ENOENT ? 0 : folder;
        name = fetched_name(&record);
        return name ? remove_fetched(folder, name, reterr) : error_set_errnof(reterr, ENOMEM, "%m");
}

static const StepOps steps[] = {
        { "download", run_download, "discard-fetched" },
        { "verify", run_verify, NULL },
};

const JobOps job_fetch_ops = {
        .steps = steps,
        .n_steps = ELEMENTSOF(steps),
        .end = STORE_END_ASIDE,
        .undone = STORE_END_ASIDE,
        .without_instance = true,
};
