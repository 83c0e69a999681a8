/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Reading a backup again, to know that it is still what was written. The instance may be stopped, or gone: then the tools of
 * its databases are not asked. */

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>

#include "alloc-util.h"
#include "fd-util.h"
#include "fs-util.h"
#include "job-archive.h"
#include "job-backup.h"
#include "log.h"
#include "string-util.h"

/* What is told of it in the step's detail: why the databases' tools did not look. NULL: they did. */
static const char *ask_databases(Job *j, ArchiveReader *reader, int *ret, Error *reterr) {
        _cleanup_error_ Error error = {};
        int r;

        *ret = 0;
        if (!job_instance(j))
                return "the instance is gone";
        if (job_instance(j)->state != INSTANCE_RUNNING)
                return "the instance does not run";

        r = job_backup_prepare(j, &error);
        if (IN_SET(r, -ECANCELED, JOB_LEFT)) {
                *ret = r;
                return NULL;
        }
        if (r < 0) {
                log_info("The databases are not asked: %s", strempty(error.message));
                return "the instance is not as it was made";
        }

        *ret = job_backup_check_dumps(j, reader, reterr);
        return NULL;
}

/* *ret stands for the keys that open it; the file itself is not open any more. */
static int read_backup(Job *j, const BackupRecord *record, ArchiveReader **ret, Error *reterr) {
        _cleanup_(archive_reader_freep) ArchiveReader *reader = NULL;
        _cleanup_close_ int fd = -EBADF;
        const char *why;
        int r;

        fd = backup_file_open(record, reterr);
        if (fd < 0)
                return fd;

        r = job_archive_verify(j, fd, record, &reader, reterr);
        if (r < 0)
                return r;
        why = ask_databases(j, reader, &r, reterr);
        if (r < 0)
                return r;

        if (asprintf(&j->detail, "backup %" PRIu64 ", %" PRIu64 " MiB%s%s", record->id,
                            record->size / 1024 / 1024, why ? "; the databases' tools were not asked: " : "",
                            strempty(why)) < 0)
                j->detail = NULL;
        *ret = TAKE_PTR(reader);
        return 0;
}

static int run_read(Job *j, Error *reterr) {
        _cleanup_(archive_reader_freep) ArchiveReader *reader = NULL;
        _cleanup_backup_record_ BackupRecord record = {};
        _cleanup_error_ Error error = {};
        int r;

        r = job_archive_find(j, &record, reterr);
        if (r < 0)
                return r;

        r = read_backup(j, &record, &reader, &error);
        return r < 0 ? job_archive_note_damage(j, &record, r, &error, reterr)
                     : job_archive_set_verified(j, record.id, reader, reterr);
}

static const StepOps steps[] = {
        { "read", run_read, NULL, STEP_ENGINE | STEP_KEEPS_RUNNING },
};

const JobOps job_verify_ops = {
        .steps = steps,
        .n_steps = ELEMENTSOF(steps),
        .end = STORE_END_ASIDE,
        .undone = STORE_END_ASIDE,
        .without_instance = true,
};
