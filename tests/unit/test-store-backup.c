/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "store-backup.h"

#include <errno.h>

#include "alloc-util.h"
#include "backup-keys.h"
#include "json-util.h"
#include "store-test.h"
#include "string-util.h"
#include "test.h"

#define ARCHIVE "11111111-2222-3333-4444-555555555555"

typedef struct Scene {
        TestDb t;
        DbSync *db;
        char *id;
} Scene;

static void scene_open(Scene *s) {
        *s = (Scene) {};
        test_db_open(&s->t, NULL);
        s->id = test_create_instance(&s->t, "oslo", NULL);
        ASSERT_OK(db_sync_open(&(DbSyncOptions) { .conninfo = s->t.conninfo }, &s->db, NULL));
}

static void scene_close(Scene *s) {
        db_sync_free(s->db);
        free(s->id);
        test_db_close(&s->t);
}

typedef struct Loaded {
        bool done;
        BackupRecords records;
} Loaded;

static void on_backups(int r, BackupRecords *records, _unused_ Error *error, void *userdata) {
        Loaded *l = userdata;

        ASSERT_OK(r);
        l->records = *records;
        *records = (BackupRecords) {};
        l->done = true;
}

static void load(Scene *s, const char *instance, uint64_t id, BackupRecords *ret) {
        char *among[] = { (char *) instance, NULL };
        const StoreBackupFilter filter = { .id = id, .among = instance ? among : NULL, .limit = 10 };
        Loaded l = {};

        ASSERT_OK(store_list_backups(s->t.db, &filter, on_backups, &l, NULL, NULL));
        TEST_DB_WAIT(&s->t, l.done);
        *ret = l.records;
}

static void begin(Scene *s, uint64_t job, BackupRecord *b) {
        *b = (BackupRecord) { .job = job, .consistency = BACKUP_PAUSED };
        (void) snprintf(b->instance, sizeof(b->instance), "%s", s->id);
        b->blueprint = strdup("talk");
        b->blueprint_version = strdup("1.0");
        ASSERT_OK(backup_begin(s->db, b, NULL));
}

static void written(Scene *s, BackupRecord *b) {
        (void) snprintf(b->archive, sizeof(b->archive), "%s", ARCHIVE);
        b->size = 12345;
        b->contents = json_pack("[{s:s, s:i}]", "name", "volumes/data.tar", "size", 7);
        ASSERT_OK(backup_set_written(s->db, b, NULL));
}

static void discard(Scene *s, uint64_t job, const char *expected) {
        _cleanup_free_ char *file = NULL;

        ASSERT_OK(backup_discard(s->db, job, &file, NULL));
        if (expected)
                ck_assert_pstr_eq(file, expected);
        else
                ck_assert_ptr_null(file);
}

START_TEST(a_backup_is_in_the_list_once_it_is_written) {
        _cleanup_(scene_close) Scene s;
        BackupRecord b, other;

        scene_open(&s);
        begin(&s, 7, &b);
        ck_assert_uint_eq(b.sequence, 1);
        ck_assert_ptr_nonnull(startswith(b.file, "oslo-2"));
        ck_assert_ptr_nonnull(endswith(b.file, "Z-1.ccpb"));
        {
                _cleanup_backup_records_ BackupRecords l = {};

                load(&s, NULL, 0, &l);
                ck_assert_uint_eq(l.n, 0);
        }

        written(&s, &b);
        begin(&s, 8, &other);
        ck_assert_uint_eq(other.sequence, 2);
        {
                _cleanup_backup_records_ BackupRecords l = {};

                load(&s, s.id, 0, &l);
                ck_assert_uint_eq(l.n, 1);
                ck_assert_uint_eq(l.items[0].id, b.id);
                ck_assert_uint_eq(l.items[0].job, 7);
                ck_assert_int_eq(l.items[0].state, BACKUP_WRITTEN);
                ck_assert_int_eq(l.items[0].consistency, BACKUP_PAUSED);
                ck_assert_str_eq(l.items[0].archive, ARCHIVE);
                ck_assert_str_eq(l.items[0].slug, "oslo");
                ck_assert_uint_eq(l.items[0].size, 12345);
                ck_assert_uint_eq(l.items[0].verified_at, 0);
                ck_assert_uint_eq(json_array_size(l.items[0].contents), 1);
        }

        ASSERT_OK(backup_set_verified(s.db, b.id, NULL));
        {
                _cleanup_backup_records_ BackupRecords l = {};

                load(&s, NULL, b.id, &l);
                ck_assert_uint_eq(l.n, 1);
                ck_assert_int_eq(l.items[0].state, BACKUP_VERIFIED);
                ck_assert_uint_ge(l.items[0].verified_at, l.items[0].created_at);
        }

        /* What is verified is not forgotten by what undoes a job. */
        discard(&s, 7, NULL);
        discard(&s, 8, other.file);
        discard(&s, 8, NULL);
        ASSERT_ERROR(backup_set_verified(s.db, other.id, NULL), ENOENT);
        backup_record_done(&b);
        backup_record_done(&other);
}
END_TEST

START_TEST(a_job_that_begins_again_keeps_the_name) {
        _cleanup_(scene_close) Scene s;
        BackupRecord first, again;

        scene_open(&s);
        begin(&s, 7, &first);
        written(&s, &first);
        begin(&s, 7, &again);
        ck_assert_uint_eq(again.id, first.id);
        ck_assert_str_eq(again.file, first.file);
        {
                _cleanup_backup_records_ BackupRecords l = {};

                load(&s, NULL, 0, &l);
                ck_assert_uint_eq(l.n, 0);
        }
        backup_record_done(&first);
        backup_record_done(&again);
}
END_TEST

START_TEST(no_instance_no_backup) {
        _cleanup_(scene_close) Scene s;
        _cleanup_error_ Error error = {};
        BackupRecord b = { .job = 1,
                .instance = "00000000-0000-0000-0000-00000000dead",
                .blueprint = (char *) "x",
                .blueprint_version = (char *) "1" };

        scene_open(&s);
        ASSERT_ERROR(backup_begin(s.db, &b, &error), ENOENT);
        ck_assert_str_eq(error.name, CCP_ERROR_NO_SUCH_INSTANCE);
}
END_TEST

START_TEST(keys_are_made_once) {
        static const uint8_t master[VAULT_KEY_SIZE] = { 1 }, another[VAULT_KEY_SIZE] = { 2 };
        _cleanup_(vault_freep) Vault *vault = NULL, *wrong = NULL;
        _cleanup_(backup_keys_freep) BackupKeys *first = NULL, *second = NULL, *other = NULL, *none = NULL;
        _cleanup_error_ Error error = {};
        _cleanup_(scene_close) Scene s;
        ArchiveSealers a, b, c;

        scene_open(&s);
        ASSERT_OK(vault_new(master, &vault, NULL));
        ASSERT_OK(vault_new(another, &wrong, NULL));
        free(test_postgres_query(s.t.conninfo,
                        "INSERT INTO recovery_keys (id, public, enrolled_by) VALUES ('x', "
                        "decode(repeat('ab', 32), 'hex'), 'root') "
                        "RETURNING 1"));

        ASSERT_OK(backup_keys_load(s.db, vault, s.id, &first, NULL));
        ASSERT_OK(backup_keys_load(s.db, vault, s.id, &second, NULL));
        ASSERT_OK(backup_keys_load(s.db, vault, "00000000-0000-0000-0000-00000000beef", &other, NULL));
        a = backup_keys_sealers(first);
        b = backup_keys_sealers(second);
        c = backup_keys_sealers(other);
        ck_assert_int_eq(memcmp(a.instance_key, b.instance_key, ARCHIVE_KEY_SIZE), 0);
        ck_assert_int_eq(memcmp(a.instance_key_id, b.instance_key_id, ARCHIVE_KEY_ID_SIZE), 0);
        ck_assert_int_ne(memcmp(a.instance_key, c.instance_key, ARCHIVE_KEY_SIZE), 0);
        ck_assert_int_eq(memcmp(a.signing_key, c.signing_key, ARCHIVE_SIGNING_KEY_SIZE), 0);
        ck_assert_uint_eq(backup_keys_n_recipients(first), 1);
        ck_assert_uint_eq(a.recipients[0][31], 0xab);

        ASSERT_ERROR(backup_keys_load(s.db, wrong, s.id, &none, &error), ENOKEY);
        ck_assert_str_eq(error.name, CCP_ERROR_KEY_MISSING);
}
END_TEST

TESTS("store-backup", a_backup_is_in_the_list_once_it_is_written, a_job_that_begins_again_keeps_the_name,
                no_instance_no_backup, keys_are_made_once)
