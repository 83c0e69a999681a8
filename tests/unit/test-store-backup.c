/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "store-backup.h"

#include <errno.h>

#include "alloc-util.h"
#include "backup-keys.h"
#include "json-util.h"
#include "store-schedule.h"
#include "store-test.h"
#include "store-worker.h"
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

static BackupSize begin(Scene *s, uint64_t job, BackupRecord *b) {
        BackupSize last;

        *b = (BackupRecord) { .job = job, .consistency = BACKUP_PAUSED };
        (void) snprintf(b->instance, sizeof(b->instance), "%s", s->id);
        b->blueprint = strdup("talk");
        b->blueprint_version = strdup("1.0");
        ASSERT_OK(backup_begin(s->db, b, &last, NULL));
        return last;
}

static void written(Scene *s, BackupRecord *b) {
        (void) snprintf(b->archive, sizeof(b->archive), "%s", ARCHIVE);
        b->size = 12345;
        b->contents = json_pack("[{s:s, s:i}]", "name", "volumes/data.tar", "size", 7);
        ASSERT_OK(backup_set_written(s->db, b, NULL));
}

static void discard(Scene *s, uint64_t job, bool gone) {
        _cleanup_backup_record_ BackupRecord b = {};

        ASSERT_OK(backup_discard(s->db, job, NULL));
        ck_assert_int_eq(backup_get_of_job(s->db, job, &b, NULL) == -ENOENT, gone);
}

START_TEST(a_backup_is_in_the_list_once_it_is_written) {
        _cleanup_(scene_close) Scene s;
        _cleanup_json_ json_t *keys = NULL;
        BackupRecord b, other;
        BackupSize last;

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
        last = begin(&s, 8, &other);
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
                ck_assert_ptr_null(l.items[0].recovery_keys);
        }

        keys = json_pack("[s]", "0123456789abcdef");
        ASSERT_OK(backup_set_verified(s.db, b.id, keys, NULL));
        {
                _cleanup_backup_records_ BackupRecords l = {};

                load(&s, NULL, b.id, &l);
                ck_assert_uint_eq(l.n, 1);
                ck_assert(json_equal(l.items[0].recovery_keys, keys));
                ck_assert_int_eq(l.items[0].state, BACKUP_VERIFIED);
                ck_assert_uint_ge(l.items[0].verified_at, l.items[0].created_at);
        }

        /* The next one knows how large it was. */
        ck_assert_uint_eq(last.file, 0);
        ck_assert_uint_eq(last.contents, 0);
        discard(&s, 8, true);
        backup_record_done(&other);
        last = begin(&s, 8, &other);
        ck_assert_uint_eq(last.file, 12345);
        ck_assert_uint_eq(last.contents, 7);

        /* What is verified is not forgotten by what undoes a job. */
        discard(&s, 7, false);
        discard(&s, 8, true);
        discard(&s, 8, true);
        ASSERT_ERROR(backup_set_verified(s.db, other.id, NULL, NULL), ENOENT);
        backup_record_done(&b);
        backup_record_done(&other);
}
END_TEST

/* Which is in the files of who has the keys. */
START_TEST(what_is_no_size_is_not_counted) {
        static const struct {
                const char *contents;
                uint64_t size;
        } rows[] = {
                { "[{\"size\":7},{\"size\":\"x\"},{\"size\":null},{},{\"size\":[1]},3,\"size\",null,{"
                  "\"size\":\"5\"}]",
                                7 },
                { "[{\"size\":1.5},{\"size\":1e1}]", 12 },
                { "[{\"size\":9223372036854775807},{\"size\":1e999}]", INT64_MAX },
                { "[{\"size\":-1}]", 0 },
                { "[{\"size\":true}]", 0 },
                { "[]", 0 },
        };
        _cleanup_(scene_close) Scene s;
        BackupRecord b;

        scene_open(&s);
        begin(&s, 7, &b);
        written(&s, &b);
        ASSERT_OK(backup_set_verified(s.db, b.id, NULL, NULL));
        FOREACH_ARRAY(row, rows, ELEMENTSOF(rows)) {
                _cleanup_backup_record_ BackupRecord next;
                _cleanup_free_ char *sql = strjoin("UPDATE backups SET contents = '", row->contents,
                                "' WHERE job = 7 RETURNING 'done'");

                ck_assert_ptr_nonnull(sql);
                ASSERT_QUERY(s.t.conninfo, sql, "done");
                ck_assert_uint_eq(begin(&s, 8, &next).contents, row->size);
                discard(&s, 8, true);
        }
        backup_record_done(&b);
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

/* --- jobs about backups --- */

static void verified(Scene *s, uint64_t job, BackupRecord *b) {
        begin(s, job, b);
        written(s, b);
        ASSERT_OK(backup_set_verified(s->db, b->id, NULL, NULL));
}

/* Also of an instance that is gone. */
static void on_submitted(int r, InstanceRecord *instance, JobRecord *job, Error *error, void *userdata) {
        TestOutcome *o = userdata;

        *o = (TestOutcome) { .done = true, .r = r, .instance = instance, .job = job };
        if (error)
                error_move(&o->error, error);
}

static int submit(Scene *s, JobKind kind, uint64_t backup, bool last, TestOutcome *o) {
        char id[32];
        json_auto_t *spec = NULL;
        StoreJobCreate create;

        (void) snprintf(id, sizeof(id), "%llu", (unsigned long long) backup);
        spec = json_pack("{s:s}", "backup", id);
        create = (StoreJobCreate) {
                .backup = backup, .kind = kind, .last = last, .spec = spec, .actor = &test_actor
        };
        TEST_STORE(&s->t, o, store_create_job, on_submitted, &create);
        return o->r;
}

static void finish(Scene *s, uint64_t job) {
        const StoreFinish f = { .job = job,
                .state = JOB_FAILED,
                .error_name = CCP_ERROR_BACKUP_DAMAGED,
                .error_message = "It is.",
                .end = STORE_END_ASIDE };

        ASSERT_OK(job_finish(s->db, &f, NULL));
}

static size_t count_listed(Scene *s) {
        _cleanup_backup_records_ BackupRecords l = {};

        load(s, NULL, 0, &l);
        return l.n;
}

static void ask(Scene *s, const char *statement, const char *expected) {
        _cleanup_free_ char *answer = test_postgres_query(s->t.conninfo, statement);

        ck_assert_pstr_eq(answer, expected);
}

START_TEST(a_job_about_a_backup_leaves_the_instance_alone) {
        _cleanup_test_outcome_ TestOutcome o = {};
        _cleanup_(scene_close) Scene s;
        BackupRecord b;
        uint64_t job;

        scene_open(&s);
        verified(&s, 700, &b);
        free(test_postgres_query(s.t.conninfo,
                        "UPDATE jobs SET state = 'succeeded', finished_at = now(); UPDATE instances SET "
                        "state = 'failed', "
                        "error_name = 'x', error_message = 'y', recovery_reason = 'boot', recovery_attempts "
                        "= 2, "
                        "recovery_at = now()"));
        ASSERT_OK(submit(&s, JOB_VERIFY, b.id, false, &o));
        ck_assert_int_eq(o.job->kind, JOB_VERIFY);
        ck_assert_str_eq(o.job->instance, s.id);
        ck_assert_int_eq(o.instance->state, INSTANCE_FAILED);
        job = o.job->id;

        /* One at a time, as with all jobs. */
        ASSERT_ERROR(submit(&s, JOB_VERIFY, b.id, false, &o), EBUSY);
        ASSERT_ERROR(submit(&s, JOB_VERIFY, b.id + 1000, false, &o), ENOENT);
        ck_assert_str_eq(o.error.name, CCP_ERROR_NO_SUCH_BACKUP);

        ASSERT_OK(backup_set_damaged(s.db, b.id, "It is.", NULL));
        finish(&s, job);
        ask(&s, "SELECT state || error_name || error_message || recovery_attempts FROM instances",
                        "failedxy2");
        ask(&s, "SELECT state || error FROM backups", "damagedIt is.");
        ASSERT_OK(backup_set_verified(s.db, b.id, NULL, NULL));
        ask(&s, "SELECT state || coalesce(error, '-') FROM backups", "verified-");
        backup_record_done(&b);
}
END_TEST

START_TEST(a_job_about_a_backup_does_without_the_instance) {
        _cleanup_test_outcome_ TestOutcome o = {};
        _cleanup_(scene_close) Scene s;
        BackupRecord b;

        scene_open(&s);
        verified(&s, 700, &b);
        free(test_postgres_query(s.t.conninfo, "DELETE FROM instances; DELETE FROM jobs"));
        ASSERT_OK(submit(&s, JOB_VERIFY, b.id, false, &o));
        ck_assert_ptr_null(o.instance);
        ck_assert_str_eq(o.job->slug, "oslo");
        ck_assert_str_eq(o.job->instance, s.id);
        finish(&s, o.job->id);
        backup_record_done(&b);
}
END_TEST

START_TEST(the_last_verified_one_of_what_is_gone_is_not_deleted) {
        _cleanup_test_outcome_ TestOutcome o = {};
        _cleanup_error_ Error error = {};
        _cleanup_(scene_close) Scene s;
        BackupRecord first, second;

        scene_open(&s);
        verified(&s, 700, &first);
        verified(&s, 701, &second);
        free(test_postgres_query(s.t.conninfo, "DELETE FROM instances; DELETE FROM jobs"));
        ASSERT_OK(backup_delete_mark(s.db, second.id, 900, false, NULL));
        ASSERT_ERROR(submit(&s, JOB_DELETE_BACKUP, first.id, false, &o), ESTALE);
        ck_assert_str_eq(o.error.name, CCP_ERROR_WRONG_STATE);
        ck_assert_ptr_nonnull(strstr(o.error.message, "no such instance here"));
        ck_assert_ptr_nonnull(strstr(o.error.message, "--last"));
        ck_assert_ptr_null(strstr(o.error.message, "backup create"));
        ASSERT_ERROR(backup_delete_mark(s.db, first.id, 901, false, &error), ESTALE);
        ASSERT_OK(submit(&s, JOB_DELETE_BACKUP, first.id, true, &o));
        finish(&s, o.job->id);

        /* What is damaged brings nothing back. */
        ASSERT_OK(backup_set_damaged(s.db, first.id, "x", NULL));
        ASSERT_OK(backup_delete_mark(s.db, first.id, 901, false, NULL));
        backup_record_done(&first);
        backup_record_done(&second);
}
END_TEST

START_TEST(the_last_verified_one_is_not_deleted) {
        _cleanup_test_outcome_ TestOutcome o = {};
        _cleanup_error_ Error error = {};
        _cleanup_(scene_close) Scene s;
        BackupRecord first, second;

        scene_open(&s);
        verified(&s, 700, &first);
        free(test_postgres_query(s.t.conninfo, "DELETE FROM jobs"));
        ASSERT_ERROR(submit(&s, JOB_DELETE_BACKUP, first.id, false, &o), ESTALE);
        ck_assert_str_eq(o.error.name, CCP_ERROR_WRONG_STATE);
        ck_assert_ptr_nonnull(strstr(o.error.message, "of 'oslo' that can be restored"));
        ck_assert_ptr_nonnull(strstr(o.error.message, "--last"));

        verified(&s, 701, &second);
        ASSERT_OK(backup_delete_mark(s.db, second.id, 900, false, NULL));
        ASSERT_ERROR(backup_delete_mark(s.db, first.id, 901, false, &error), ESTALE);
        /* What is marked is no other's. */
        error_done(&error);
        ASSERT_ERROR(backup_delete_mark(s.db, second.id, 901, true, &error), ENOENT);
        ASSERT_OK(backup_delete_mark(s.db, first.id, 901, true, NULL));
        ck_assert_uint_eq(count_listed(&s), 0);
        backup_record_done(&first);
        backup_record_done(&second);
}
END_TEST

START_TEST(what_a_job_uses_is_not_deleted) {
        _cleanup_test_outcome_ TestOutcome o = {};
        _cleanup_error_ Error error = {};
        _cleanup_(scene_close) Scene s;
        BackupRecord b;

        scene_open(&s);
        verified(&s, 700, &b);
        free(test_postgres_query(s.t.conninfo, "DELETE FROM jobs"));
        ASSERT_OK(submit(&s, JOB_VERIFY, b.id, false, &o));
        ASSERT_ERROR(backup_delete_mark(s.db, b.id, 900, true, &error), EBUSY);
        /* It does not stand in its own way. */
        ASSERT_OK(backup_delete_mark(s.db, b.id, o.job->id, true, NULL));
        backup_record_done(&b);
}
END_TEST

START_TEST(what_is_deleted_is_gone_step_by_step) {
        static const AuditActor actor = { .uid = 1, .user = "x", .login_uid = -1 };
        const AuditEntry entry = {
                .action = AUDIT_BACKUP_DELETE, .outcome = AUDIT_SUCCEEDED, .actor = &actor
        };
        _cleanup_(scene_close) Scene s;
        BackupRecord first, second, third;

        scene_open(&s);
        verified(&s, 700, &first);
        verified(&s, 701, &second);
        ASSERT_OK(backup_delete_mark(s.db, second.id, 900, true, NULL));
        ASSERT_OK(backup_delete_mark(s.db, second.id, 900, true, NULL));
        ck_assert_uint_eq(count_listed(&s), 1);
        {
                /* The job 900 is not there any more: another one goes on with what it left. */
                _cleanup_backup_records_ BackupRecords none = {}, l = {};

                ASSERT_OK(backup_delete_list(s.db, 901, false, &none, NULL));
                ck_assert_uint_eq(none.n, 0);
                ASSERT_OK(backup_delete_list(s.db, 901, true, &l, NULL));
                ck_assert_uint_eq(l.n, 1);
                ck_assert_str_eq(l.items[0].file, second.file);
                ASSERT_OK(backup_delete_record(s.db, l.items, 901, &entry, NULL));
                ASSERT_OK(backup_delete_record(s.db, l.items, 901, &entry, NULL));
        }
        ask(&s, "SELECT count(*) FROM ccpd_audit.entries WHERE action = 'BACKUP_DELETE'", "1");
        ask(&s, "SELECT count(*) FROM backups", "1");

        /* No number is given twice. */
        verified(&s, 702, &third);
        ck_assert_uint_eq(third.sequence, 3);

        ASSERT_OK(backup_delete_mark(s.db, first.id, 902, true, NULL));
        ASSERT_OK(backup_delete_keep(s.db, first.id, 902, NULL));
        ck_assert_uint_eq(count_listed(&s), 2);
        backup_record_done(&first);
        backup_record_done(&second);
        backup_record_done(&third);
}
END_TEST

START_TEST(what_there_is_is_known_of_the_instance) {
        _cleanup_test_outcome_ TestOutcome o = {};
        _cleanup_(scene_close) Scene s;
        BackupRecord first, second, third;

        scene_open(&s);
        TEST_STORE(&s.t, &o, store_load_instance, test_on_instance, s.id);
        ck_assert_uint_eq(o.instance->backups.last_at, 0);
        ck_assert_uint_eq(o.instance->backups.n_ids, 0);

        verified(&s, 700, &first);
        verified(&s, 701, &second);
        begin(&s, 702, &third);
        /* The order is that of the numbers, whatever the clock said. */
        free(test_postgres_query(s.t.conninfo,
                        "UPDATE backups SET created_at = '2000-01-01 00:00:00Z' WHERE sequence = 2"));
        TEST_STORE(&s.t, &o, store_load_instance, test_on_instance, s.id);
        ck_assert_uint_eq(o.instance->backups.last_at, UINT64_C(946684800000000));
        ck_assert_uint_gt(o.instance->backups.verified_at, o.instance->backups.last_at);
        ck_assert_uint_eq(o.instance->backups.n_ids, 2);
        ck_assert_uint_eq(o.instance->backups.ids[1], second.id);
        ck_assert_uint_eq(o.instance->backups.n_damaged, 0);

        ASSERT_OK(backup_set_damaged(s.db, second.id, "x", NULL));
        TEST_STORE(&s.t, &o, store_load_instance, test_on_instance, s.id);
        ck_assert_uint_eq(o.instance->backups.last_at, first.created_at);
        ck_assert_uint_eq(o.instance->backups.n_damaged, 1);
        backup_record_done(&first);
        backup_record_done(&second);
        backup_record_done(&third);
}
END_TEST

/* As it is once a file was taken in that is older than all the others, and came last. */
static void take_in(Scene *s, const BackupRecord *b) {
        char statement[256];

        (void) snprintf(statement, sizeof(statement),
                        "UPDATE backups SET archive = gen_random_uuid(), created_at = '2000-01-01 "
                        "00:00:00Z', signer = decode(repeat('ab', 32), "
                        "'hex') WHERE id = %llu",
                        (unsigned long long) b->id);
        free(test_postgres_query(s->t.conninfo, statement));
}

START_TEST(what_was_imported_is_neither_the_last_nor_proof) {
        _cleanup_test_outcome_ TestOutcome o = {};
        _cleanup_error_ Error error = {};
        _cleanup_(scene_close) Scene s;
        BackupRecord own, imported, other;
        usec_t verified_at;

        scene_open(&s);
        verified(&s, 700, &own);
        TEST_STORE(&s.t, &o, store_load_instance, test_on_instance, s.id);
        verified_at = o.instance->backups.verified_at;
        verified(&s, 701, &imported);
        take_in(&s, &imported);
        free(test_postgres_query(s.t.conninfo,
                        "DELETE FROM jobs; UPDATE instances SET state = 'running'; UPDATE backups SET "
                        "copy_key = 'k', "
                        "replicated_at = now() WHERE signer IS NOT NULL"));
        TEST_STORE(&s.t, &o, store_load_instance, test_on_instance, s.id);
        ck_assert_uint_eq(o.instance->backups.last, own.id);
        ck_assert_uint_eq(o.instance->backups.last_at, own.created_at);
        ck_assert_uint_eq(o.instance->backups.verified_at, verified_at);
        ck_assert_uint_eq(o.instance->backups.replicated_at, 0);
        ck_assert_uint_eq(o.instance->backups.n_ids, 2);
        {
                _cleanup_backup_records_ BackupRecords l = {};

                load(&s, s.id, 0, &l);
                ck_assert_uint_eq(l.n, 2);
                ck_assert_pstr_eq(l.items[0].signer,
                                "abababababababababababababababababababababababababababababababab");
                ck_assert_uint_eq(l.items[0].created_at, UINT64_C(946684800000000));
                ck_assert_ptr_null(l.items[1].signer);
        }

        /* A drill of it is one of that file alone. */
        ASSERT_OK(submit(&s, JOB_DRILL, imported.id, false, &o));
        ASSERT_OK(backup_set_drilled(s.db, imported.id, o.job->id, NULL));
        finish(&s, o.job->id);
        TEST_STORE(&s.t, &o, store_load_instance, test_on_instance, s.id);
        ck_assert_uint_eq(o.instance->backups.drilled_at, 0);
        ask(&s, "SELECT count(*) FROM backups WHERE drilled_at IS NOT NULL", "1");

        /* It stands in for none that was made here, but may itself go. */
        ASSERT_ERROR(backup_delete_mark(s.db, own.id, 900, false, &error), ESTALE);
        ASSERT_OK(backup_delete_mark(s.db, imported.id, 900, false, NULL));
        ASSERT_OK(backup_delete_keep(s.db, imported.id, 900, NULL));
        ASSERT_OK(backup_delete_mark(s.db, own.id, 901, true, NULL));

        /* Of an instance that has nothing else the last one stays. */
        error_done(&error);
        ASSERT_ERROR(backup_delete_mark(s.db, imported.id, 902, false, &error), ESTALE);
        verified(&s, 703, &other);
        take_in(&s, &other);
        ASSERT_OK(backup_delete_mark(s.db, imported.id, 902, false, NULL));
        TEST_STORE(&s.t, &o, store_load_instance, test_on_instance, s.id);
        ck_assert_uint_eq(o.instance->backups.last, 0);
        ck_assert_uint_eq(o.instance->backups.last_at, 0);
        backup_record_done(&own);
        backup_record_done(&imported);
        backup_record_done(&other);
}
END_TEST

static void on_trust(int r, const StoreImportTrust *trust, _unused_ Error *error, void *userdata) {
        TestOutcome *o = userdata;
        int which = (trust->ours ? 1 : 0) + (trust->imported ? 2 : 0) + (trust->known ? 4 : 0) +
                        (trust->size > 0 ? 8 : 0);

        *o = (TestOutcome) { .done = true, .r = r < 0 ? r : which };
}

static int ask_trust(Scene *s, const char *instance, const uint8_t signer[BACKUP_SIGNER_SIZE]) {
        _cleanup_test_outcome_ TestOutcome o = {};
        BackupImport import = {};

        (void) snprintf(import.instance, sizeof(import.instance), "%s", instance);
        memcpy(import.signer, signer, sizeof(import.signer));
        TEST_STORE(&s->t, &o, store_get_import_trust, on_trust, &import);
        return o.r;
}

START_TEST(whose_word_counts_for_an_instance) {
        static const uint8_t master[VAULT_KEY_SIZE] = { 1 }, another[VAULT_KEY_SIZE] = { 2 };
        static const char elsewhere[] = "00000000-0000-0000-0000-00000000beef";
        uint8_t signer[BACKUP_SIGNER_SIZE], forger[BACKUP_SIGNER_SIZE] = { 1 }, own[ARCHIVE_KEY_SIZE];
        _cleanup_backup_key_record_ BackupKeyRecord sealed = {};
        _cleanup_(backup_keys_freep) BackupKeys *keys = NULL;
        _cleanup_(vault_freep) Vault *vault = NULL, *wrong = NULL;
        _cleanup_error_ Error error = {};
        _cleanup_(scene_close) Scene s;
        BackupRecord b;

        memset(signer, 0xab, sizeof(signer));
        scene_open(&s);
        ck_assert_int_eq(ask_trust(&s, elsewhere, signer), 0);
        ck_assert_int_eq(ask_trust(&s, s.id, signer), 1);
        verified(&s, 700, &b);

        /* Neither what was imported nor who signed it makes an instance one of this server; what was made here does, even if
         * the instance is gone, and so does its key. */
        free(test_postgres_query(s.t.conninfo, "DELETE FROM jobs; DELETE FROM instances"));
        ck_assert_int_eq(ask_trust(&s, s.id, signer), 1);
        take_in(&s, &b);
        ck_assert_int_eq(ask_trust(&s, s.id, signer), 2 + 4);
        ck_assert_int_eq(ask_trust(&s, s.id, forger), 2);
        ck_assert_int_eq(ask_trust(&s, elsewhere, signer), 0);
        ASSERT_OK(vault_new(master, &vault, NULL));
        ASSERT_OK(backup_keys_load(s.db, vault, s.id, &keys, NULL));
        ck_assert_int_eq(ask_trust(&s, s.id, forger), 1 + 2 + 8);
        ck_assert_int_eq(ask_trust(&s, elsewhere, signer), 8);

        /* Its public half is told by the record alone. */
        ASSERT_OK(backup_key_ensure(s.db, "signing", NULL, &sealed, NULL));
        ASSERT_OK(backup_signer_unseal(vault, sealed.key_id, sealed.sealed, sealed.size, own, NULL));
        ck_assert_mem_eq(own, backup_keys_signer(keys), sizeof(own));
        ASSERT_OK(vault_new(another, &wrong, NULL));
        ASSERT_ERROR(backup_signer_unseal(wrong, sealed.key_id, sealed.sealed, sealed.size, own, &error),
                        ENOKEY);
        backup_record_done(&b);
}
END_TEST

static int skip_drill(Db *db, const char *instance, uint64_t knock, StoreSkippedCallback callback,
                void *userdata, _unused_ DbSlot **ret_slot, Error *reterr) {
        return store_skip_drill(db, instance, knock, callback, userdata, reterr);
}

static void on_skipped(int r, _unused_ Error *error, void *userdata) {
        TestOutcome *o = userdata;

        *o = (TestOutcome) { .done = true, .r = r };
}

START_TEST(drills_are_known_of_the_instance) {
        _cleanup_test_outcome_ TestOutcome o = {};
        _cleanup_(scene_close) Scene s;
        BackupRecord first, second;
        usec_t since, drilled_at;
        uint64_t job;

        scene_open(&s);
        verified(&s, 700, &first);
        verified(&s, 701, &second);
        free(test_postgres_query(s.t.conninfo, "DELETE FROM jobs; UPDATE instances SET state = 'running'"));
        TEST_STORE(&s.t, &o, store_load_instance, test_on_instance, s.id);
        ck_assert_uint_eq(o.instance->backups.last, second.id);
        ck_assert_uint_eq(o.instance->backups.drilled_at, 0);
        ck_assert_int_eq(o.instance->backups.last_drill.state, _JOB_STATE_INVALID);

        /* One that fails, after one that succeeded; and the backup is deleted that was drilled. */
        ASSERT_OK(submit(&s, JOB_DRILL, first.id, false, &o));
        job = o.job->id;
        ASSERT_OK(backup_set_drilled(s.db, first.id, job, NULL));
        finish(&s, job);
        free(test_postgres_query(s.t.conninfo, "DELETE FROM backups WHERE drilled_at IS NOT NULL"));
        TEST_STORE(&s.t, &o, store_load_instance, test_on_instance, s.id);
        drilled_at = o.instance->backups.drilled_at;
        since = o.instance->turns[SCHEDULE_DRILL].scheduled_at;
        ck_assert_uint_ge(drilled_at, since);
        ck_assert_int_eq(o.instance->backups.last_drill.state, JOB_FAILED);
        ck_assert_str_eq(o.instance->backups.last_drill.error, "It is.");
        ck_assert_int_eq(o.instance->backups.last_job.state, _JOB_STATE_INVALID);

        /* A round leaves it out; backups do not go by it. An older knock takes nothing back. */
        TEST_STORE(&s.t, &o, skip_drill, on_skipped, s.id, 7);
        TEST_STORE(&s.t, &o, skip_drill, on_skipped, s.id, 3);
        TEST_STORE(&s.t, &o, store_load_instance, test_on_instance, s.id);
        ck_assert_uint_eq(o.instance->turns[SCHEDULE_DRILL].knock, 7);
        ck_assert_uint_eq(o.instance->turns[SCHEDULE_BACKUP].knock, 0);
        ck_assert_uint_gt(o.instance->turns[SCHEDULE_DRILL].scheduled_at, since);
        ck_assert_uint_eq(o.instance->backups.drilled_at, drilled_at);
        backup_record_done(&first);
        backup_record_done(&second);
}
END_TEST

START_TEST(no_instance_no_backup) {
        _cleanup_(scene_close) Scene s;
        _cleanup_error_ Error error = {};
        BackupRecord b = { .job = 1,
                .instance = "00000000-0000-0000-0000-00000000dead",
                .blueprint = (char *) "x",
                .blueprint_version = (char *) "1" };
        BackupSize last;

        scene_open(&s);
        ASSERT_ERROR(backup_begin(s.db, &b, &last, &error), ENOENT);
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

TESTS("store-backup", a_backup_is_in_the_list_once_it_is_written, what_is_no_size_is_not_counted,
                a_job_that_begins_again_keeps_the_name, a_job_about_a_backup_leaves_the_instance_alone,
                a_job_about_a_backup_does_without_the_instance, the_last_verified_one_is_not_deleted,
                the_last_verified_one_of_what_is_gone_is_not_deleted, what_a_job_uses_is_not_deleted,
                what_is_deleted_is_gone_step_by_step, what_there_is_is_known_of_the_instance,
                what_was_imported_is_neither_the_last_nor_proof, whose_word_counts_for_an_instance,
                drills_are_known_of_the_instance, no_instance_no_backup, keys_are_made_once)
