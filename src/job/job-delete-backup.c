/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "job-delete-backup.h"

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
#include "log.h"
#include "retention.h"
#include "string-util.h"
#include "strv.h"

/* More than a thousand of each kind are never kept. */
#define BACKUPS_MAX 100000U

/* --- files --- */

static int remove_file(int folder, const char *name, Error *reterr) {
        return unlinkat(folder, name, 0) < 0 && errno != ENOENT
                        ? error_set_errnof(reterr, errno, "Cannot remove the backup %s: %m", name)
                        : 0;
}

static int remove_files(const BackupRecord *b, Error *reterr) {
        _cleanup_close_ int folder = -EBADF;
        _cleanup_free_ char *part = strjoin(b->file, JOB_BACKUP_PART_SUFFIX);
        int r;

        if (!part)
                return error_set_errnof(reterr, ENOMEM, "%m");
        folder = backup_folder_open(b->instance, false, reterr);
        if (folder < 0)
                return folder;

        r = remove_file(folder, b->file, reterr);
        if (r >= 0)
                r = remove_file(folder, part, reterr);
        if (r >= 0 && fsync(folder) < 0)
                r = error_set_errnof(reterr, errno, "Cannot remove the backup %s: %m", b->file);
        return r;
}

/* 1 if the file is there, or nobody can tell. */
static int has_file(const BackupRecord *b, Error *reterr) {
        _cleanup_close_ int folder = -EBADF;
        struct stat st;

        folder = backup_folder_find(b->instance, reterr);
        if (folder < 0)
                return folder == -ENOENT ? 1 : folder;
        if (fstatat(folder, b->file, &st, AT_SYMLINK_NOFOLLOW) >= 0)
                return 1;
        return errno == ENOENT
                        ? 0
                        : error_set_errnof(reterr, errno, "Cannot look at the backup %s: %m", b->file);
}

/* --- what goes --- */

static int plan(const BackupRecords *l, const RetentionPolicy *policy, unsigned **ret) {
        _cleanup_free_ RetentionItem *items = new0(RetentionItem, l->n);
        _cleanup_free_ unsigned *reasons = new0(unsigned, l->n);
        int r;

        if (!items || !reasons)
                return -ENOMEM;
        for (size_t i = 0; i < l->n; i++)
                items[i] = backup_record_retention(l->items + i);
        r = retention_plan(items, l->n, policy, reasons);
        if (r >= 0)
                *ret = TAKE_PTR(reasons);
        return r;
}

static int choose_by_policy(Job *j, const RetentionPolicy *policy, Error *reterr) {
        char *among[] = { j->claim.job->instance, NULL };
        const StoreBackupFilter filter = { .among = among, .limit = BACKUPS_MAX };
        _cleanup_backup_records_ BackupRecords l = {};
        _cleanup_free_ unsigned *reasons = NULL;
        int r;

        r = backup_list(j->db, &filter, &l, reterr);
        if (r < 0)
                return r;
        r = plan(&l, policy, &reasons);
        if (r < 0)
                return error_set_errnof(reterr, r, "%m");

        for (size_t i = 0; i < l.n; i++) {
                _cleanup_error_ Error error = {};

                if (reasons[i] & RETENTION_KEEPS)
                        continue;
                r = backup_delete_mark(j->db, l.items[i].id, j->id, false, &error);
                if (r >= 0)
                        continue;
                /* Somebody uses it: the next time. */
                if (!streq_ptr(error.name, CCP_ERROR_BUSY)) {
                        error_move(reterr, &error);
                        return r;
                }
                log_info("%s", strempty(error.message));
        }
        return 0;
}

static bool find_policy(const Job *j, RetentionPolicy *ret) {
        return retention_policy_from_json(json_object_get(j->claim.job->spec, "retention"), ret);
}

static int run_choose(Job *j, Error *reterr) {
        bool last = json_is_true(json_object_get(j->claim.job->spec, "last"));
        uint64_t id = job_archive_number(j);
        _cleanup_error_ Error error = {};
        RetentionPolicy policy;
        int r;

        if (id > 0) {
                r = backup_delete_mark(j->db, id, j->id, last, &error);
                /* Busy would mean that somebody else has this job. */
                if (r < 0 && streq_ptr(error.name, CCP_ERROR_BUSY))
                        return error_setf(reterr, CCP_ERROR_WRONG_STATE, "%s", strempty(error.message));
                error_move(reterr, &error);
                return r;
        }
        return find_policy(j, &policy)
                        ? choose_by_policy(j, &policy, reterr)
                        : error_setf(reterr, CCP_ERROR_INTERNAL, "The job does not say what to delete.");
}

/* --- its end --- */

static int run_files(Job *j, Error *reterr) {
        _cleanup_backup_records_ BackupRecords l = {};
        int r;

        r = backup_delete_list(j->db, j->id, true, &l, reterr);
        for (size_t i = 0; r >= 0 && i < l.n; i++) {
                job_tell(j, (double) i / (double) l.n, "%s", l.items[i].file);
                r = job_checkpoint(j);
                if (r >= 0)
                        r = remove_files(l.items + i, reterr);
        }
        return r;
}

/* What the record of the job itself does not tell is put on record one by one. */
static int remove_record(Job *j, const BackupRecord *b, Error *reterr) {
        const AuditActor actor = {
                .uid = j->claim.job->started_by_uid,
                .user = j->claim.job->started_by,
                .login_uid = -1,
        };
        const char *by = json_object_get_string(j->claim.job->spec, "schedule");
        _cleanup_json_ json_t *details = NULL;
        char id[STRLEN("18446744073709551615") + 1];

        if (b->id == job_archive_number(j))
                return backup_delete_record(j->db, b, j->id, NULL, reterr);

        (void) snprintf(id, sizeof(id), "%" PRIu64, b->id);
        details = json_pack("{s:s, s:s, s:s, s:s*, s:I}", "backup", id, "file", b->file, "job", j->id_text,
                        "schedule", by, "created_at", (json_int_t) b->created_at);
        if (!details)
                return error_set_errnof(reterr, ENOMEM, "%m");
        log_info("The backup %s (%s) is deleted.", id, b->file);
        return backup_delete_record(j->db, b, j->id,
                        &(AuditEntry) {
                                        .action = AUDIT_BACKUP_DELETE,
                                        .outcome = AUDIT_SUCCEEDED,
                                        .actor = &actor,
                                        .instance = b->slug,
                                        .instance_id = b->instance,
                                        .details = details,
                        },
                        reterr);
}

/* The folder goes with the last backup that is on record, and is made again when there is another one. In that of another
 * instance somebody else may be at work. */
static int remove_folder(Job *j, Error *reterr) {
        char *among[] = { j->claim.job->instance, NULL };
        const StoreBackupFilter filter = { .among = among, .limit = 1 };
        _cleanup_backup_records_ BackupRecords l = {};
        int r;

        r = backup_list(j->db, &filter, &l, reterr);
        if (r >= 0 && l.n == 0)
                backup_folder_remove(j->claim.job->instance);
        return r;
}

static int run_records(Job *j, Error *reterr) {
        _cleanup_backup_records_ BackupRecords l = {};
        int r;

        r = backup_delete_list(j->db, j->id, false, &l, reterr);
        for (size_t i = 0; r >= 0 && i < l.n; i++)
                r = remove_record(j, l.items + i, reterr);
        if (r >= 0)
                r = remove_folder(j, reterr);
        if (r >= 0 && asprintf(&j->detail, "%zu deleted", l.n) < 0)
                j->detail = NULL;
        return r;
}

int job_delete_backup_undo(Job *j, Error *reterr) {
        _cleanup_backup_records_ BackupRecords l = {};
        int r;

        r = backup_delete_list(j->db, j->id, false, &l, reterr);
        for (size_t i = 0; r >= 0 && i < l.n; i++) {
                r = has_file(l.items + i, reterr);
                if (r >= 0)
                        r = r > 0 ? backup_delete_keep(j->db, l.items[i].id, j->id, reterr)
                                  : remove_record(j, l.items + i, reterr);
        }
        return r;
}

int job_retention_run(Job *j, Error *reterr) {
        _cleanup_error_ Error error = {}, ignored = {};
        RetentionPolicy policy;
        int r;

        if (!find_policy(j, &policy))
                return 1;

        r = choose_by_policy(j, &policy, &error);
        if (r >= 0)
                r = run_files(j, &error);
        if (r >= 0)
                r = run_records(j, &error);
        if (r >= 0)
                return 0;
        if (IN_SET(r, -ECANCELED, JOB_LEFT)) {
                error_move(reterr, &error);
                return r;
        }

        /* The backup is there all the same, and the next one tries again. */
        log_warning("Old backups could not be deleted: %s", strempty(error.message));
        (void) job_delete_backup_undo(j, &ignored);
        j->detail = mfree(j->detail);
        if (asprintf(&j->detail, "Old backups could not be deleted: %s", strempty(error.message)) < 0)
                j->detail = NULL;
        return 0;
}

static const StepOps steps[] = {
        { "choose", run_choose, "keep-backups", 0 },
        { "files", run_files, NULL, STEP_COMMIT },
        { "records", run_records, NULL, STEP_COMMIT },
};

const JobOps job_delete_backup_ops = {
        .steps = steps,
        .n_steps = ELEMENTSOF(steps),
        .end = STORE_END_ASIDE,
        .undone = STORE_END_ASIDE,
        .without_instance = true,
};
