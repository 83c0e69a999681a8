/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Backups as a job handles them: where their files are, how one is read back, and what is left of one that did not come to
 * its end. */

#include "archive-reader.h"
#include "job.h"
#include "store-backup.h"

/* What a file is called until it was read back, and if it is one that never was. */
#define JOB_BACKUP_PART_SUFFIX ".part"

/* Removes helper, file and record, and lets containers go on that are paused. */
int job_backup_undo(Job *j, Error *reterr);

/* A descriptor of the folder with the backups of an instance ('id'); if it is not there it is made, or -ENOENT. */
int job_backup_open_folder(const char *id, bool make, Error *reterr);
/* The number of the backup that the job is about, by its spec; 0: none. */
uint64_t job_backup_number(const Job *j);

/* Reads all of a file of the job's instance from the disk, and sees that it is the one that was recorded. The reader gives
 * what is in it. BackupDamaged, with the place; KeyMissing. */
int job_backup_read(Job *j, int fd, const BackupRecord *record, ArchiveReader **ret, Error *reterr);
/* Has each database's own tool read what is in the file of it. Needs the instance's blueprint, and its containers. */
int job_backup_check_dumps(Job *j, ArchiveReader *reader, Error *reterr);
/* Gets ready what that needs. */
int job_backup_prepare(Job *j, Error *reterr);
