/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The files of backups as jobs have them: what their streams are called, and opening one. */

#include "archive-reader.h"
#include "backup-file.h"
#include "backup-keys.h"
#include "job.h"
#include "store-backup.h"

#define STREAM_DATABASE "databases/%s/%s%s"
#define STREAM_VOLUME "volumes/%s.tar"
#define STREAM_FOLDER "folder.tar"
#define STREAM_SECRETS "secrets.json"

/* "databases/SERVICE/NAME.SUFFIX", NULL when out of memory. */
char *job_archive_database_stream(const BlueprintDatabase *d);
char *job_archive_volume_stream(const char *key);

/* Whether a file of 'size' bytes, or that many bytes more of one, fit into such a folder beside what is kept free there for
 * others: PostgreSQL and Docker may lie on the same disk. NoSpace. */
int job_archive_check_space(int folder, uint64_t size, Error *reterr);
/* The number of the backup that the job is about, by its spec; 0: none. */
uint64_t job_archive_number(const Job *j);
/* The keys of an instance's backups. */
int job_archive_load_keys(Job *j, const char *instance, BackupKeys **ret, Error *reterr);

/* Reads all of an open file from the disk: with success it is whole, and the one that was recorded. 'fd' stays the caller's,
 * and open as long as the reader. BackupDamaged, with the place; KeyMissing. */
int job_archive_verify(Job *j, int fd, const BackupRecord *record, ArchiveReader **ret, Error *reterr);

/* Puts on record that what was read is verified, and which recovery keys open it. */
int job_archive_set_verified(Job *j, uint64_t backup, const ArchiveReader *reader, Error *reterr);

/* Makes an empty file that is not a backup yet, under its name until then, in place of what a former attempt left there, for
 * 'size' bytes, which must fit into the folder; 0: nobody knows. */
int job_archive_make_unfinished(int folder, const char *part, uint64_t size, Error *reterr);
/* write_behind() */
int job_archive_write_behind(const char *part, int fd, uint64_t *flushed, Error *reterr);
/* From here on it is there, and all of it, whatever becomes of the server. */
int job_archive_sync_unfinished(int folder, const char *part, int fd, Error *reterr);
/* A file that is not a backup yet, under its name until then, or, where a worker was killed right after it got its own,
 * under that. What is read of it comes from the disk. */
int job_archive_open_unfinished(int folder, const char *part, const char *file, Error *reterr);
/* Gives it its own name, for good. 'flags' are those of renameat2(). */
int job_archive_finish(int folder, const char *part, const char *file, unsigned flags, Error *reterr);

/* The backup that the job is about, whole or damaged. NoSuchBackup. */
int job_archive_find(Job *j, BackupRecord *ret, Error *reterr);
/* What became of reading it, where that failed: damage is put on record. Moves the error, and returns r. */
int job_archive_note_damage(Job *j, const BackupRecord *record, int r, Error *error, Error *reterr);
/* The same for a step that failed, with the backup that the job restores from, if it is that what was found damaged. */
int job_archive_note_step(Job *j, int r, Error *error, Error *reterr);

/* A backup that a job restores from. */
typedef struct JobArchive {
        BackupRecord record;
        int fd;
        ArchiveReader *reader;
} JobArchive;

JobArchive *job_archive_free(JobArchive *a);
/* The backup that the job's request names ("backup"), authenticated as a whole by this process before anything is
 * taken out of it. It is
 * kept for the next call. */
int job_archive_get(Job *j, JobArchive **ret, Error *reterr);
