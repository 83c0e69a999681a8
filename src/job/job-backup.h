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
/* File and record alone. */
int job_backup_undo_file(Job *j, Error *reterr);

/* Has each database's own tool read what is in the file of it. Needs the instance's blueprint, and its containers. */
int job_backup_check_dumps(Job *j, ArchiveReader *reader, Error *reterr);
/* Gets ready what that needs. */
int job_backup_prepare(Job *j, Error *reterr);

/* Removes the file that somebody brought to be imported (job-import.c). */
int job_import_forget_brought(Job *j, Error *reterr);
