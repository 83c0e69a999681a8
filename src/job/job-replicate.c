/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Copying a backup to the storage. What was copied is looked at again there: a copy counts once it has the size of the file, and
 * samples of it, the beginning and the end among them, are what the file has. Whatever fails leaves the backup what it is. */

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "alloc-util.h"
#include "copy-key.h"
#include "fd-util.h"
#include "fs-util.h"
#include "job-archive.h"
#include "storage-open.h"
#include "string-util.h"

/* Of each sample, and how many there are. */
#define SAMPLE_SIZE (256U * 1024U)
#define N_SAMPLES 8U

static int check_verified(const BackupRecord *record, Error *reterr) {
        return record->state == BACKUP_VERIFIED
                        ? 0
                        : error_setf(reterr, CCP_ERROR_WRONG_STATE,
                                          "Backup %" PRIu64 " is %s: no copy is made of it.", record->id,
                                          backup_state_to_string(record->state));
}

static int find_verified(Job *j, BackupRecord *ret, Error *reterr) {
        int r;

        r = job_archive_find(j, ret, reterr);
        return r < 0 ? r : check_verified(ret, reterr);
}

/* What is damaged must not become the copy. */
static int run_read(Job *j, Error *reterr) {
        _cleanup_(archive_reader_freep) ArchiveReader *reader = NULL;
        _cleanup_backup_record_ BackupRecord record = {};
        _cleanup_error_ Error error = {};
        _cleanup_close_ int fd = -EBADF;
        int r;

        r = find_verified(j, &record, reterr);
        if (r < 0)
                return r;
        r = fd = backup_file_open(&record, &error);
        if (r >= 0)
                r = job_archive_verify(j, fd, &record, &reader, &error);
        return r < 0 ? job_archive_note_damage(j, &record, r, &error, reterr) : 0;
}

static void tell_sent(uint64_t done, uint64_t size, void *userdata) {
        job_tell_bytes(userdata, -1, done, size, "Sending the backup");
}

static int run_upload(Job *j, Error *reterr) {
        const S3Progress progress = { job_poll, tell_sent, j };
        _cleanup_storage_record_ StorageRecord storage = {};
        _cleanup_(s3_client_freep) S3Client *client = NULL;
        _cleanup_backup_record_ BackupRecord record = {};
        _cleanup_close_ int fd = -EBADF;
        _cleanup_free_ char *key = NULL;
        int r;

        r = find_verified(j, &record, reterr);
        if (r < 0)
                return r;
        fd = backup_file_open(&record, reterr);
        if (fd < 0)
                return fd;
        key = copy_key_format(record.instance, record.slug, record.created_at, record.archive);
        if (!key)
                return error_set_errnof(reterr, ENOMEM, "%m");
        r = storage_open(j->db, &storage, &client, reterr);
        if (r >= 0)
                r = copy_begin(j->db, record.id, key, storage.version, reterr);
        return r < 0 ? r : s3_put_file(client, key, fd, record.size, &progress, reterr);
}

/* A piece of the copy, beside the file. */
typedef struct Sample {
        const BackupRecord *record;
        int fd;
        uint64_t at;
} Sample;

static int compare_sample(const void *data, size_t size, void *userdata, Error *reterr) {
        Sample *s = userdata;
        char buffer[16 * 1024];

        for (size_t done = 0; done < size;) {
                ssize_t n = pread(s->fd, buffer, MIN(sizeof(buffer), size - done), (off_t) s->at);

                if (n <= 0)
                        return error_set_errnof(reterr, n < 0 ? errno : ENODATA,
                                        "Cannot read the backup %s: %m", s->record->file);
                if (memcmp(buffer, (const char *) data + done, (size_t) n) != 0)
                        return error_setf(reterr, CCP_ERROR_STORAGE_FAILED,
                                        "What lies in the storage as '%s' is not the backup: it is another "
                                        "one near byte %" PRIu64
                                        ". Remove it there; then it is copied anew.",
                                        s->record->copy_key, s->at);
                done += (size_t) n;
                s->at += (uint64_t) n;
        }
        return 0;
}

static int compare(Job *j, S3Client *client, const BackupRecord *record, int fd, Error *reterr) {
        const S3Progress progress = { .poll = job_poll, .userdata = j };
        _cleanup_free_ char *etag = NULL;
        uint64_t size;
        int r;

        r = s3_head(client, record->copy_key, &size, &etag, &progress, reterr);
        if (r < 0)
                return r;
        if (size != record->size)
                return error_setf(reterr, CCP_ERROR_STORAGE_FAILED,
                                "What lies in the storage as '%s' has %" PRIu64 " bytes, and the backup "
                                "%" PRIu64 ". Remove it there; then it is copied anew.",
                                record->copy_key, size, record->size);

        for (unsigned i = 0; r >= 0 && i < N_SAMPLES; i++) {
                uint64_t n = MIN(size, (uint64_t) SAMPLE_SIZE), at = (size - n) / (N_SAMPLES - 1) * i;
                Sample s = { record, fd, i == N_SAMPLES - 1 ? size - n : at };

                job_tell(j, (double) i / N_SAMPLES, "Comparing the copy");
                r = s3_get(client, record->copy_key, etag, s.at, n, compare_sample, &s, &progress, reterr);
        }
        return r;
}

static int run_compare(Job *j, Error *reterr) {
        _cleanup_storage_record_ StorageRecord storage = {};
        _cleanup_(s3_client_freep) S3Client *client = NULL;
        _cleanup_backup_record_ BackupRecord record = {};
        _cleanup_close_ int fd = -EBADF;
        int r;

        r = find_verified(j, &record, reterr);
        if (r < 0)
                return r;
        if (!record.copy_key)
                return error_setf(reterr, CCP_ERROR_STORAGE_FAILED,
                                "The storage was changed meanwhile: what was copied to the former one does "
                                "not count.");
        fd = backup_file_open(&record, reterr);
        if (fd < 0)
                return fd;
        r = storage_open(j->db, &storage, &client, reterr);
        if (r >= 0)
                r = compare(j, client, &record, fd, reterr);
        if (r >= 0)
                r = copy_done(j->db, record.id, storage.version, reterr);
        if (r < 0)
                return r;

        storage_sweep_uploads(client, &(const S3Progress) { .poll = job_poll, .userdata = j });
        if (asprintf(&j->detail, "backup %" PRIu64 ", %s", record.id, record.copy_key) < 0)
                j->detail = NULL;
        return 0;
}

static const StepOps steps[] = {
        { "read", run_read, NULL },
        { "upload", run_upload, NULL },
        { "compare", run_compare, NULL },
};

const JobOps job_replicate_ops = {
        .steps = steps,
        .n_steps = ELEMENTSOF(steps),
        .end = STORE_END_ASIDE,
        .undone = STORE_END_ASIDE,
        .without_instance = true,
};
