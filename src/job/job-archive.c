/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "job-archive.h"

#include <fcntl.h>
#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>

#include "alloc-util.h"
#include "archive-pool.h"
#include "disk-room.h"
#include "fd-util.h"
#include "fs-util.h"
#include "job-dump.h"
#include "job-engine.h"
#include "json-util.h"
#include "string-util.h"
#include "validate.h"

char *job_archive_database_stream(const BlueprintDatabase *d) {
        char *name;

        return asprintf(&name, STREAM_DATABASE, d->service, d->database ?: database_kind_to_string(d->kind),
                               job_dump_suffix(d->kind)) < 0
                        ? NULL
                        : name;
}

char *job_archive_volume_stream(const char *key) {
        char *name;

        return asprintf(&name, STREAM_VOLUME, key) < 0 ? NULL : name;
}

uint64_t job_archive_number(const Job *j) {
        const char *text = json_object_get_string(j->claim.job->spec, "backup");
        uint64_t id;

        return text && decimal_id_parse(text, &id) >= 0 ? id : 0;
}

int job_archive_check_space(int folder, uint64_t size, Error *reterr) {
        return disk_check_room(folder, CCP_BACKUPS_DIR, size,
                        "Make room, or keep fewer backups ('ccpctl backup prune'), then retry.", reterr);
}

int job_archive_load_keys(Job *j, const char *instance, BackupKeys **ret, Error *reterr) {
        _cleanup_(vault_freep) Vault *vault = NULL;
        int r;

        r = vault_open(&vault, reterr);
        return r < 0 ? r : backup_keys_load(j->db, vault, instance, ret, reterr);
}

static int on_read(uint64_t at, uint64_t size, void *userdata) {
        _cleanup_error_ Error error = {};
        Job *j = userdata;
        int r;

        job_tell_bytes(j, -1, at, size, "Reading the backup from the disk");
        /* It fails only if the worker is asked to end, which the reader says in its own words. */
        r = job_engine_look_now_and_then(j, &error);
        return r < 0 ? r : job_checkpoint(j);
}

/* What opens a file, and who must have signed it. */
typedef struct Keys {
        BackupKeys *own;
        BackupImport import;
        char *plain; /* the key of a file from elsewhere, in locked memory */
} Keys;

static void keys_done(Keys *k) {
        backup_keys_free(k->own);
        backup_import_done(&k->import);
        vault_plain_freep(&k->plain);
}

static int unseal_import(Keys *k, const BackupRecord *record, Error *reterr) {
        const VaultLabel label = backup_key_label(record->archive);
        _cleanup_(vault_freep) Vault *vault = NULL;
        size_t n;
        int r;

        r = vault_open(&vault, reterr);
        if (r >= 0)
                r = vault_unseal(vault, &label, k->import.key_id, k->import.sealed, k->import.size,
                                &k->plain, &n, reterr);
        if (r < 0)
                return r;
        return n == ARCHIVE_KEY_SIZE ? 0
                                     : error_setf(reterr, CCP_ERROR_INTERNAL,
                                                       "The key of backup %" PRIu64 " is none.", record->id);
}

static int load_opener(Job *j, Keys *k, const BackupRecord *record, ArchiveOpener *ret,
                const uint8_t **ret_signer, Error *reterr) {
        int r;

        r = backup_import_get(j->db, record->id, &k->import, reterr);
        if (r < 0)
                return r;
        if (k->import.key_id) {
                r = unseal_import(k, record, reterr);
                *ret = (ArchiveOpener) { .archive_key = (const uint8_t *) k->plain };
                *ret_signer = k->import.signer;
                return r;
        }
        r = job_archive_load_keys(j, record->instance, &k->own, reterr);
        if (r < 0)
                return r;
        *ret = backup_keys_opener(k->own);
        *ret_signer = backup_keys_signer(k->own);
        return 0;
}

/* Reads all of a file by one of the reader's two functions for it. */
static int read_archive(Job *j, int fd, const BackupRecord *record,
                int (*read_all)(ArchiveReader *reader, Error *reterr), ArchiveReader **ret, Error *reterr) {
        const ArchiveReaderOptions options = {
                .n_threads = archive_pool_threads(),
                .progress = on_read,
                .userdata = j,
        };
        _cleanup_(archive_reader_freep) ArchiveReader *reader = NULL;
        _cleanup_(keys_done) Keys keys = {};
        ArchiveOpener opener = {};
        const uint8_t *signer = NULL;
        int r;

        r = load_opener(j, &keys, record, &opener, &signer, reterr);
        if (r >= 0)
                r = archive_reader_new(fd, &options, &reader, reterr);
        if (r >= 0)
                r = archive_reader_unlock(reader, &opener, reterr);
        if (r >= 0)
                r = backup_file_check(reader, record, signer, reterr);
        if (r >= 0)
                r = read_all(reader, reterr);
        if (r < 0)
                return r;

        archive_reader_be_quiet(reader);
        *ret = TAKE_PTR(reader);
        return 0;
}

int job_archive_verify(Job *j, int fd, const BackupRecord *record, ArchiveReader **ret, Error *reterr) {
        return read_archive(j, fd, record, archive_reader_verify, ret, reterr);
}

int job_archive_set_verified(Job *j, uint64_t backup, const ArchiveReader *reader, Error *reterr) {
        const ArchiveHeader *header = archive_reader_header(reader);
        _cleanup_json_ json_t *keys = json_array();

        FOREACH_ARRAY(id, header->recipients, header->n_recipients) {
                char text[2 * ARCHIVE_KEY_ID_SIZE + 1];

                (void) sodium_bin2hex(text, sizeof(text), *id, sizeof(*id));
                if (json_array_append_new(keys, json_string(text)) < 0)
                        return error_set_errnof(reterr, ENOMEM, "%m");
        }
        return keys ? backup_set_verified(j->db, backup, keys, reterr)
                    : error_set_errnof(reterr, ENOMEM, "%m");
}

int job_archive_make_unfinished(int folder, const char *part, uint64_t size, Error *reterr) {
        int fd, r;

        /* What a former attempt wrote is given back to the disk before it is asked. */
        if (unlinkat(folder, part, 0) < 0 && errno != ENOENT)
                return error_set_errnof(reterr, errno, "Cannot remove the unfinished backup %s: %m", part);
        r = job_archive_check_space(folder, size, reterr);
        if (r < 0)
                return r;
        fd = open_beneath(folder, part, O_WRONLY | O_CREAT | O_EXCL, 0600);
        return fd < 0 ? error_set_errnof(reterr, fd, "Cannot make the backup %s: %m", part) : fd;
}

int job_archive_write_behind(const char *part, int fd, uint64_t *flushed, Error *reterr) {
        int r = write_behind(fd, flushed);

        return r < 0 ? error_set_errnof(reterr, r, "Cannot write the backup %s: %m", part) : 0;
}

int job_archive_sync_unfinished(int folder, const char *part, int fd, Error *reterr) {
        return fsync(fd) < 0 || fsync(folder) < 0
                        ? error_set_errnof(reterr, errno, "Cannot write the backup %s: %m", part)
                        : 0;
}

int job_archive_open_unfinished(int folder, const char *part, const char *file, Error *reterr) {
        int fd;

        fd = open_beneath(folder, part, O_RDONLY | O_NOFOLLOW, 0);
        if (fd == -ENOENT)
                fd = open_beneath(folder, file, O_RDONLY | O_NOFOLLOW, 0);
        if (fd < 0)
                return error_set_errnof(reterr, fd, "Cannot open the backup %s: %m", file);
        (void) posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
        return fd;
}

int job_archive_finish(int folder, const char *part, const char *file, unsigned flags, Error *reterr) {
        if ((renameat2(folder, part, folder, file, flags) < 0 && errno != ENOENT) || fsync(folder) < 0)
                return error_set_errnof(reterr, errno, "Cannot give the backup its name %s: %m", file);
        return 0;
}

int job_archive_find(Job *j, BackupRecord *ret, Error *reterr) {
        const StoreBackupFilter filter = { .id = job_archive_number(j), .limit = 1 };
        _cleanup_backup_records_ BackupRecords l = {};
        int r;

        if (filter.id == 0)
                return error_setf(reterr, CCP_ERROR_INTERNAL, "The job does not say of which backup it is.");
        r = backup_list(j->db, &filter, &l, reterr);
        if (r < 0)
                return r;
        if (l.n == 0)
                return error_setf(reterr, CCP_ERROR_NO_SUCH_BACKUP,
                                "There is no backup %" PRIu64 " any more.", filter.id);

        *ret = l.items[0];
        l.items[0] = (BackupRecord) {};
        return 0;
}

int job_archive_note_damage(Job *j, const BackupRecord *record, int r, Error *error, Error *reterr) {
        int k;

        if (streq_ptr(error->name, CCP_ERROR_BACKUP_DAMAGED)) {
                k = backup_set_damaged(j->db, record->id, strempty(error->message), reterr);
                if (k < 0)
                        return k;
        }
        error_move(reterr, error);
        return r;
}

int job_archive_note_step(Job *j, int r, Error *error, Error *reterr) {
        if (j->archive && archive_reader_found_damage(j->archive->reader))
                return job_archive_note_damage(j, &j->archive->record, r, error, reterr);
        error_move(reterr, error);
        return r;
}

JobArchive *job_archive_free(JobArchive *a) {
        if (!a)
                return NULL;

        archive_reader_free(a->reader);
        backup_record_done(&a->record);
        safe_close(a->fd);
        return mfree(a);
}

static int open_archive(Job *j, JobArchive *a, Error *reterr) {
        _cleanup_error_ Error error = {};
        uint64_t id = job_archive_number(j);
        int r;

        r = backup_get(j->db, id, &a->record, reterr);
        if (r < 0)
                return r;
        r = backup_record_check_verified(&a->record, reterr);
        if (r < 0)
                return r;

        r = a->fd = backup_file_open(&a->record, &error);
        if (r >= 0)
                r = read_archive(j, a->fd, &a->record, archive_reader_authenticate, &a->reader, &error);
        return r < 0 ? job_archive_note_damage(j, &a->record, r, &error, reterr) : 0;
}

int job_archive_get(Job *j, JobArchive **ret, Error *reterr) {
        JobArchive *a;
        int r;

        if (!j->archive) {
                a = new0(JobArchive, 1);
                if (!a)
                        return error_set_errnof(reterr, ENOMEM, "%m");
                a->fd = -EBADF;
                r = open_archive(j, a, reterr);
                if (r < 0) {
                        job_archive_free(a);
                        return r;
                }
                j->archive = a;
        }

        *ret = j->archive;
        return 0;
}
