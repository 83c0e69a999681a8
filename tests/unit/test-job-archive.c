/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Which file is the backup of a record. The records and keys are kept in this file: it defines all that job-archive.c asks the
 * store, the vault and the worker for, so the linker takes none of them. */

#include "job-archive.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>

#include "test.h"

#include "alloc-util.h"
#include "archive-test.h"
#include "job-dump.h"
#include "job-engine.h"
#include "string-util.h"

/* --- records and keys --- */

static struct {
        TestKeys keys;      /* of the instance */
        const char *key_id; /* what its key is called by now; 8 bytes */
        bool imported;      /* it came from elsewhere: with the file's own key, by 'signer' */
        uint8_t archive_key[ARCHIVE_KEY_SIZE], signer[ARCHIVE_KEY_SIZE];
        unsigned n_read;       /* how often the worker heard how far it was read */
        unsigned n_damaged;    /* how often it was put on record as damaged */
        json_t *recovery_keys; /* that were put on record with the last one that was verified */
} store;

int job_checkpoint(_unused_ Job *j) {
        store.n_read++;
        return 0;
}

void job_tell_bytes(_unused_ Job *j, _unused_ double fraction, _unused_ uint64_t done,
                _unused_ uint64_t total, _unused_ const char *format, ...) {
}

int job_engine_look_now_and_then(_unused_ Job *j, _unused_ Error *reterr) {
        return 0;
}

const char *job_dump_suffix(_unused_ DatabaseKind kind) {
        return ".dump";
}

int backup_get(_unused_ DbSync *db, _unused_ uint64_t id, _unused_ BackupRecord *ret,
                _unused_ Error *reterr) {
        return -ENOENT;
}

int backup_list(_unused_ DbSync *db, _unused_ const StoreBackupFilter *filter, _unused_ BackupRecords *ret,
                _unused_ Error *reterr) {
        return 0;
}

int backup_set_damaged(_unused_ DbSync *db, _unused_ uint64_t id, _unused_ const char *why,
                _unused_ Error *reterr) {
        store.n_damaged++;
        return 0;
}

int backup_set_verified(_unused_ DbSync *db, _unused_ uint64_t id, const json_t *recovery_keys,
                _unused_ Error *reterr) {
        json_decref(store.recovery_keys);
        store.recovery_keys = json_deep_copy(recovery_keys);
        return 0;
}

void backup_record_done(BackupRecord *b) {
        b->file = mfree(b->file);
}

void backup_records_done(_unused_ BackupRecords *l) {
}

int backup_record_check_verified(_unused_ const BackupRecord *b, _unused_ Error *reterr) {
        return 0;
}

int backup_import_get(_unused_ DbSync *db, _unused_ uint64_t id, BackupImport *ret, _unused_ Error *reterr) {
        *ret = (BackupImport) { .key_id = store.imported ? strdup("1") : NULL };
        memcpy(ret->signer, store.signer, sizeof(store.signer));
        return 0;
}

void backup_import_done(BackupImport *i) {
        i->key_id = mfree(i->key_id);
}

struct BackupKeys {
        int dummy;
};

int backup_keys_load(_unused_ DbSync *db, _unused_ const Vault *vault, _unused_ const char *instance,
                BackupKeys **ret, _unused_ Error *reterr) {
        *ret = new0(BackupKeys, 1);
        return 0;
}

BackupKeys *backup_keys_free(BackupKeys *k) {
        return mfree(k);
}

ArchiveOpener backup_keys_opener(_unused_ const BackupKeys *k) {
        ArchiveOpener opener = test_opener(&store.keys);

        memcpy(opener.instance_key_id, store.key_id, sizeof(opener.instance_key_id));
        return opener;
}

const uint8_t *backup_keys_signer(_unused_ const BackupKeys *k) {
        return store.keys.signer;
}

VaultLabel backup_key_label(_unused_ const char *name) {
        return (VaultLabel) {};
}

int vault_open(Vault **ret, _unused_ Error *reterr) {
        *ret = NULL;
        return 0;
}

Vault *vault_free(_unused_ Vault *v) {
        return NULL;
}

int vault_unseal(_unused_ const Vault *v, _unused_ const VaultLabel *label, _unused_ const char *key_id,
                _unused_ const void *sealed, _unused_ size_t size, char **ret, size_t *ret_size,
                _unused_ Error *reterr) {
        *ret = malloc(sizeof(store.archive_key));
        ck_assert_ptr_nonnull(*ret);
        memcpy(*ret, store.archive_key, sizeof(store.archive_key));
        *ret_size = sizeof(store.archive_key);
        return 0;
}

char *vault_plain_free(char *plain) {
        return mfree(plain);
}

/* --- files --- */

/* The record of a file, by what it says of itself. */
static BackupRecord record_of(int fd) {
        const ArchiveReaderOptions options = {};
        _cleanup_(archive_reader_freep) ArchiveReader *r = NULL;
        BackupRecord b = { .id = 1, .file = strdup("oslo-1.ccpb"), .state = BACKUP_VERIFIED };

        ASSERT_OK(archive_reader_new(fd, &options, &r, NULL));
        backup_format_id(archive_reader_header(r)->id, b.archive);
        b.size = archive_reader_size(r);
        return b;
}

/* The key of the file itself, as who has a recovery key gives it. */
static void take_archive_key(int fd, const ArchiveOpener *opener) {
        _cleanup_(archive_secrets_freep) ArchiveSecrets *s = NULL;
        _cleanup_free_ uint8_t *head = NULL;
        size_t n;

        ASSERT_OK(archive_header_load(fd, &head, &n, NULL));
        ASSERT_OK(archive_header_open(head, n, opener, &s, NULL));
        memcpy(store.archive_key, s->archive, sizeof(s->archive));
}

/* NULL, or the error of what happens to a file that is read for a record, as the job notes it. */
static const char *verify(int fd, const BackupRecord *record, bool *ret_damaged, char **ret_message) {
        _cleanup_(archive_reader_freep) ArchiveReader *reader = NULL;
        _cleanup_error_ Error error = {}, noted = {};
        Job j = {};
        int r;

        store.n_read = store.n_damaged = 0;
        r = job_archive_verify(&j, fd, record, &reader, &error);
        if (r < 0)
                ck_assert_int_eq(job_archive_note_damage(&j, record, r, &error, &noted), r);
        *ret_damaged = store.n_damaged > 0;
        if (ret_message)
                *ret_message = TAKE_PTR(noted.message);
        return noted.name;
}

static void expect_other(int fd, const BackupRecord *record) {
        _cleanup_free_ char *message = NULL;
        bool damaged;

        ck_assert_str_eq(verify(fd, record, &damaged, &message), CCP_ERROR_BACKUP_DAMAGED);
        ck_assert_str_eq(message, "Another file than what was written lies at oslo-1.ccpb.");
        ck_assert(damaged);
        /* It was not even read. */
        ck_assert_uint_eq(store.n_read, 0);
}

static void reset(void) {
        memset(&store, 0, sizeof(store));
        test_keys(&store.keys, 1);
        store.key_id = "instance";
}

START_TEST(only_the_file_of_its_record_is_taken) {
        _cleanup_close_ int older = -EBADF, newer = -EBADF, longer = -EBADF;
        _cleanup_backup_record_ BackupRecord record = {};
        bool damaged;

        reset();
        older = test_archive(&store.keys, 100, 0);
        newer = test_archive(&store.keys, 100, 0);
        record = record_of(newer);
        ck_assert_ptr_null(verify(newer, &record, &damaged, NULL));
        ck_assert_uint_gt(store.n_read, 0);

        /* An older backup of the same instance, whole and signed, as long as the newer one, under its name. */
        expect_other(older, &record);
        record.size++;
        expect_other(newer, &record);
        record.size = 0;
        ck_assert_ptr_null(verify(newer, &record, &damaged, NULL));
        longer = test_archive(&store.keys, 101, 0);
        expect_other(longer, &record);
}
END_TEST

START_TEST(which_recovery_keys_open_it_is_put_on_record) {
        _cleanup_(archive_reader_freep) ArchiveReader *reader = NULL;
        uint8_t id[ARCHIVE_KEY_ID_SIZE];
        char text[2 * sizeof(id) + 1];
        _cleanup_close_ int fd = -EBADF;
        _cleanup_backup_record_ BackupRecord record = {};
        Job j = {};

        reset();
        fd = test_archive(&store.keys, 100, 0);
        record = record_of(fd);
        ASSERT_OK(job_archive_verify(&j, fd, &record, &reader, NULL));
        ASSERT_OK(job_archive_set_verified(&j, record.id, reader, NULL));
        archive_recipient_id(store.keys.recovery_public, id);
        ck_assert_uint_eq(json_array_size(store.recovery_keys), 1);
        ck_assert_str_eq(json_string_value(json_array_get(store.recovery_keys, 0)),
                        sodium_bin2hex(text, sizeof(text), id, sizeof(id)));
        json_decref(store.recovery_keys);
}
END_TEST

START_TEST(a_forged_file_is_not_taken) {
        _cleanup_close_ int own = -EBADF, forged = -EBADF;
        _cleanup_backup_record_ BackupRecord record = {};
        TestKeys forger;
        bool damaged;

        reset();
        test_keys(&forger, 90);
        memcpy(forger.recovery_public, store.keys.recovery_public, sizeof(forger.recovery_public));
        forged = test_archive(&forger, 100, 0);
        record = record_of(forged);

        /* Who writes to the storage can seal for the recovery key, and call the file as he likes; its key is right then. */
        store.imported = true;
        take_archive_key(forged, &(ArchiveOpener) { .recovery_key = store.keys.recovery });
        memcpy(store.signer, store.keys.signer, sizeof(store.signer));
        expect_other(forged, &record);
        /* If it is his files that are asked for, this is one. */
        memcpy(store.signer, forger.signer, sizeof(store.signer));
        ck_assert_ptr_null(verify(forged, &record, &damaged, NULL));

        /* For the instance nobody can seal without its key. */
        store.imported = false;
        ck_assert_str_eq(verify(forged, &record, &damaged, NULL), CCP_ERROR_BACKUP_DAMAGED);
        ck_assert_uint_eq(store.n_read, 0);

        own = test_archive(&store.keys, 100, 0);
        store.imported = true;
        ck_assert_str_eq(verify(own, &record, &damaged, NULL), CCP_ERROR_BACKUP_DAMAGED);
}
END_TEST

/* What cannot be opened is not damaged for that, and is not put on record so. */
START_TEST(a_key_that_is_missing_is_no_damage) {
        _cleanup_close_ int fd = -EBADF;
        _cleanup_backup_record_ BackupRecord record = {};
        bool damaged;

        reset();
        fd = test_archive(&store.keys, 100, 0);
        record = record_of(fd);
        store.key_id = "replaced";
        ck_assert_str_eq(verify(fd, &record, &damaged, NULL), CCP_ERROR_KEY_MISSING);
        ck_assert(!damaged);

        store.key_id = "instance";
        ck_assert_int_eq(pwrite(fd, "x", 1, 2000), 1);
        ck_assert_str_eq(verify(fd, &record, &damaged, NULL), CCP_ERROR_BACKUP_DAMAGED);
        ck_assert(damaged);
}
END_TEST

TESTS("job-archive", only_the_file_of_its_record_is_taken, which_recovery_keys_open_it_is_put_on_record,
                a_forged_file_is_not_taken, a_key_that_is_missing_is_no_damage)
