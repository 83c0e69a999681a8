/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Where the files of backups lie, and whether one is that of its record. */

#include "archive-reader.h"
#include "store-backup.h"

/* A descriptor of the folder with the backups of an instance, by its id. It is there as long as one is on record: else its file
 * system may not be mounted, and that there are no files says nothing of backups. If it is not there it is made, or -ENOENT
 * (WrongState). */
int backup_folder_open(const char *instance, bool make, Error *reterr);
/* The same, where there may be none: -ENOENT without an error then. */
int backup_folder_find(const char *instance, Error *reterr);
/* Removes it if nothing is in it. */
void backup_folder_remove(const char *instance);

/* A descriptor of a backup's file, of which nothing comes out of memory. BackupDamaged if it is gone from its folder, or the disk
 * cannot read it; -ENOENT (WrongState) if the folder is not there. */
int backup_file_open(const BackupRecord *record, Error *reterr);

/* Whether an open file is that which was recorded. 'signer' is the public half of the key that must have signed it; NULL: that
 * is not known. BackupDamaged. */
int backup_file_check(const ArchiveReader *reader, const BackupRecord *record, const uint8_t *signer,
                Error *reterr);

/* Text of a UUID from the 16 bytes that a file has, and back. */
void backup_format_id(const uint8_t id[ARCHIVE_ID_SIZE], char ret[STORE_ID_MAX]);
int backup_parse_id(const char *text, uint8_t ret[ARCHIVE_ID_SIZE]);
