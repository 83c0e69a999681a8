/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Taking in a backup file that somebody brought: a copy that nobody else can write to is made, and is a backup once all of
 * it was read with the key that he gave for it. */

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "alloc-util.h"
#include "fd-util.h"
#include "fs-util.h"
#include "job-archive.h"
#include "job-backup.h"
#include "json-util.h"
#include "string-util.h"
#include "validate.h"

#define COPY_SIZE (8U * 1024U * 1024U)
/* Of what a manifest says of the instance. */
#define SHOWN_MAX 256U

/* The file that the caller wrote into, in the folder of all backups. */
static int open_brought(Job *j, char **ret_name, int *ret_folder, Error *reterr) {
        const char *token = json_object_get_string(j->claim.job->spec, "token");
        _cleanup_free_ char *name = NULL;
        _cleanup_close_ int folder = -EBADF;
        int fd;

        name = token && token[strspn(token, "0123456789abcdef")] == 0 ? strjoin(CCP_IMPORT_PREFIX, token)
                                                                      : NULL;
        if (!name)
                return error_setf(reterr, CCP_ERROR_INTERNAL, "The job does not say what is imported.");
        folder = open(CCP_BACKUPS_DIR, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        fd = folder < 0 ? -errno : open_beneath(folder, name, O_RDONLY | O_NOFOLLOW, 0);
        if (fd < 0)
                return error_set_errnof(reterr, fd,
                                "Cannot open what is imported, " CCP_BACKUPS_DIR "/%s: %m", name);

        *ret_name = TAKE_PTR(name);
        *ret_folder = TAKE_FD(folder);
        return fd;
}

static int copy(Job *j, int from, int to, const char *part, uint64_t size, Error *reterr) {
        uint64_t done = 0, flushed = 0;
        int r;

        for (;;) {
                ssize_t n = copy_file_range(from, NULL, to, NULL, COPY_SIZE, 0);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return error_set_errnof(reterr, errno, "Cannot copy what is imported: %m");
                if (n == 0)
                        break;
                done += (uint64_t) n;
                r = job_archive_write_behind(part, to, &flushed, reterr);
                if (r < 0)
                        return r;
                job_tell_bytes(j, -1, done, size, "Copying the file");
                if (job_checkpoint(j) < 0)
                        return error_setf(reterr, CCP_ERROR_CANCELLED, "The job was cancelled.");
        }
        return 0;
}

static int run_copy(Job *j, Error *reterr) {
        _cleanup_backup_record_ BackupRecord record = {};
        _cleanup_close_ int all = -EBADF, folder = -EBADF, from = -EBADF, to = -EBADF;
        _cleanup_free_ char *name = NULL, *part = NULL;
        struct stat st;
        int r;

        r = backup_import_claim(j->db, job_archive_number(j), j->id, reterr);
        if (r >= 0)
                r = backup_get_of_job(j->db, j->id, &record, reterr);
        if (r < 0)
                return r;
        from = open_brought(j, &name, &all, reterr);
        if (from < 0)
                return from;
        folder = backup_folder_open(record.instance, true, reterr);
        if (folder < 0)
                return folder;
        part = strjoin(record.file, JOB_BACKUP_PART_SUFFIX);
        if (!part)
                return error_set_errnof(reterr, ENOMEM, "%m");
        if (fstat(from, &st) < 0)
                return error_set_errnof(reterr, errno, "Cannot look at what is imported: %m");
        to = job_archive_make_unfinished(folder, part, (uint64_t) st.st_size, reterr);
        if (to < 0)
                return to;
        r = copy(j, from, to, part, (uint64_t) st.st_size, reterr);
        return r < 0 ? r : job_archive_sync_unfinished(folder, part, to, reterr);
}

static bool is_shown(const char *s) {
        return s && strlen(s) <= SHOWN_MAX && string_is_safe(s);
}

/* What the manifest says of it. */
static int describe(BackupRecord *record, const ArchiveReader *reader, Error *reterr) {
        json_t *manifest = archive_reader_manifest(reader),
               *instance = json_object_get(manifest, "instance"),
               *streams = json_object_get(manifest, "streams");
        const char *consistency = json_object_get_string(manifest, "consistency"),
                   *blueprint = json_object_get_string(instance, "blueprint"),
                   *version = json_object_get_string(instance, "blueprint_version");

        record->consistency = backup_consistency_from_string(consistency);
        /* Both are shown to people, wherever the file comes from. */
        if (record->consistency < 0 || !is_shown(blueprint) || !is_shown(version) || !json_is_array(streams))
                return error_setf(reterr, CCP_ERROR_BACKUP_DAMAGED,
                                "The backup does not say what it is of; no ccpd wrote it.");
        if (free_and_strdup(&record->blueprint, blueprint) < 0 ||
                        free_and_strdup(&record->blueprint_version, version) < 0)
                return error_set_errnof(reterr, ENOMEM, "%m");

        record->size = archive_reader_size(reader);
        json_decref(record->contents);
        json_decref(record->config);
        record->contents = json_incref(streams);
        record->config = json_incref(instance);
        return 0;
}

static int record_it(Job *j, const BackupRecord *record, const ArchiveReader *reader, Error *reterr) {
        int r;

        r = backup_import_describe(j->db, record, reterr);
        if (r >= 0)
                r = backup_set_written(j->db, record, reterr);
        return r < 0 ? r : job_archive_set_verified(j, record->id, reader, reterr);
}

static int run_verify(Job *j, Error *reterr) {
        _cleanup_(archive_reader_freep) ArchiveReader *reader = NULL;
        _cleanup_backup_record_ BackupRecord record = {};
        _cleanup_close_ int folder = -EBADF, fd = -EBADF;
        _cleanup_free_ char *part = NULL;
        int r;

        r = backup_get_of_job(j->db, j->id, &record, reterr);
        if (r < 0)
                return r;
        folder = backup_folder_open(record.instance, false, reterr);
        if (folder < 0)
                return folder;
        part = strjoin(record.file, JOB_BACKUP_PART_SUFFIX);
        if (!part)
                return error_set_errnof(reterr, ENOMEM, "%m");
        fd = job_archive_open_unfinished(folder, part, record.file, reterr);
        if (fd < 0)
                return fd;

        record.size = 0;
        r = job_archive_verify(j, fd, &record, &reader, reterr);
        if (r >= 0)
                r = describe(&record, reader, reterr);
        if (r >= 0)
                r = job_archive_finish(folder, part, record.file, RENAME_NOREPLACE, reterr);
        if (r >= 0)
                r = record_it(j, &record, reader, reterr);
        if (r < 0)
                return r;
        if (asprintf(&j->detail, "backup %" PRIu64 ", signed by %s", record.id, strempty(record.signer)) < 0)
                j->detail = NULL;
        return job_import_forget_brought(j, reterr);
}

int job_import_forget_brought(Job *j, Error *reterr) {
        _cleanup_close_ int folder = -EBADF, fd = -EBADF;
        _cleanup_free_ char *name = NULL;
        _cleanup_error_ Error error = {};

        fd = open_brought(j, &name, &folder, &error);
        if (fd < 0)
                return 0;
        return unlinkat(folder, name, 0) < 0 && errno != ENOENT
                        ? error_set_errnof(reterr, errno, "Cannot remove " CCP_BACKUPS_DIR "/%s: %m", name)
                        : 0;
}

static const StepOps steps[] = {
        { "copy", run_copy, "discard-import" },
        { "verify", run_verify, NULL },
};

const JobOps job_import_ops = {
        .steps = steps,
        .n_steps = ELEMENTSOF(steps),
        .end = STORE_END_ASIDE,
        .undone = STORE_END_ASIDE,
        .without_instance = true,
};
