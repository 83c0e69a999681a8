/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "store-storage.h"

#include <errno.h>

#include "alloc-util.h"
#include "json-util.h"
#include "store-test.h"
#include "string-util.h"
#include "test.h"

typedef struct Scene {
        TestDb t;
        DbSync *db;
        char *id;
        bool done;
        int r;
        Error error;
        StorageRecord record;
        StoreCopiesDue due;
} Scene;

static void scene_open(Scene *s) {
        *s = (Scene) {};
        test_db_open(&s->t, NULL);
        s->id = test_create_instance(&s->t, "oslo", NULL);
        ASSERT_OK(db_sync_open(&(DbSyncOptions) { .conninfo = s->t.conninfo }, &s->db, NULL));
        free(test_postgres_query(s->t.conninfo, "UPDATE jobs SET state = 'succeeded', finished_at = now()"));
}

static void scene_close(Scene *s) {
        storage_record_done(&s->record);
        error_done(&s->error);
        db_sync_free(s->db);
        free(s->id);
        test_db_close(&s->t);
}

static void on_storage(int r, StorageRecord *record, Error *error, void *userdata) {
        Scene *s = userdata;

        s->r = r;
        if (r >= 0) {
                s->record = *record;
                *record = (StorageRecord) {};
        } else
                error_move(&s->error, error);
        s->done = true;
}

static void on_due(int r, const StoreCopiesDue *due, _unused_ Error *error, void *userdata) {
        Scene *s = userdata;

        ASSERT_OK(r);
        s->due = *due;
        s->done = true;
}

static void wait_for_answer(Scene *s) {
        TEST_DB_WAIT(&s->t, s->done);
        s->done = false;
}

static void begin_call(Scene *s) {
        storage_record_done(&s->record);
        error_done(&s->error);
        s->done = false;
}

static int set(Scene *s, uint32_t version, const char *bucket, const char *region) {
        const StorageRecord record = {
                .version = version,
                .endpoint = (char *) "https://s3.example.org",
                .region = (char *) region,
                .bucket = (char *) bucket,
                .key_id = (char *) "0123456789abcdef",
                .sealed = (uint8_t *) "sealed",
                .size = 6,
        };
        _cleanup_json_ json_t *details = json_pack("{s:s}", "bucket", bucket);

        begin_call(s);
        ASSERT_OK(store_set_storage(s->t.db, &record, &test_actor, details, on_storage, s, NULL, NULL));
        wait_for_answer(s);
        return s->r;
}

static int forget(Scene *s) {
        begin_call(s);
        ASSERT_OK(store_forget_storage(s->t.db, &test_actor, on_storage, s, NULL, NULL));
        wait_for_answer(s);
        return s->r;
}

static void look(Scene *s) {
        ASSERT_OK(store_copies_due(s->t.db, on_due, s, NULL, NULL));
        wait_for_answer(s);
}

static void ask(Scene *s, const char *statement, const char *expected) {
        _cleanup_free_ char *answer = test_postgres_query(s->t.conninfo, statement);

        ck_assert_pstr_eq(answer, expected);
}

static uint64_t make_backup(Scene *s, unsigned number, const char *state) {
        _cleanup_free_ char *statement = NULL, *id = NULL;

        ck_assert_int_ge(asprintf(&statement,
                                         "INSERT INTO backups (instance, slug, job, sequence, state, "
                                         "consistency, blueprint, blueprint_version, file, archive, size, "
                                         "verified_at) SELECT id, slug, %u, %u, '%s', 'live', 'talk', '1', "
                                         "'oslo.ccpb', gen_random_uuid(), 4096, now() FROM instances "
                                         "RETURNING id",
                                         1000 + number, number, state),
                        0);
        id = test_postgres_query(s->t.conninfo, statement);
        return strtoull(id, NULL, 10);
}

static void on_submitted(int r, InstanceRecord *instance, JobRecord *job, Error *error, void *userdata) {
        TestOutcome *o = userdata;

        *o = (TestOutcome) { .done = true, .r = r, .instance = instance, .job = job };
        if (error)
                error_move(&o->error, error);
}

static int submit(Scene *s, JobKind kind, uint64_t backup, TestOutcome *o) {
        _cleanup_json_ json_t *spec = json_pack("{s:o}", "backup", json_sprintf("%" PRIu64, backup));
        const StoreJobCreate create = { .backup = backup, .kind = kind, .spec = spec, .actor = &test_actor };

        TEST_STORE(&s->t, o, store_create_job, on_submitted, &create);
        return o->r;
}

START_TEST(there_is_one_storage_of_one_version) {
        _cleanup_storage_record_ StorageRecord got = {};
        _cleanup_error_ Error error = {};
        _cleanup_(scene_close) Scene s;

        scene_open(&s);
        ASSERT_ERROR(storage_get(s.db, &got, &error), ESTALE);
        ck_assert_str_eq(error.name, CCP_ERROR_WRONG_STATE);
        ck_assert_int_lt(forget(&s), 0);
        ck_assert_str_eq(s.error.name, CCP_ERROR_WRONG_STATE);

        ASSERT_OK(set(&s, 0, "one", ""));
        ck_assert_uint_eq(s.record.version, 1);
        /* Somebody else was faster. */
        ck_assert_int_lt(set(&s, 0, "two", ""), 0);
        ck_assert_str_eq(s.error.name, CCP_ERROR_BUSY);
        ASSERT_OK(storage_get(s.db, &got, NULL));
        ck_assert_str_eq(got.bucket, "one");
        ck_assert_uint_eq(got.size, 6);
        ck_assert_mem_eq(got.sealed, "sealed", 6);

        ASSERT_OK(forget(&s));
        ck_assert_ptr_null(s.record.endpoint);
        ck_assert_uint_eq(s.record.version, 2);
        ASSERT_OK(set(&s, 2, "three", ""));
        ck_assert_uint_eq(s.record.version, 3);
        ask(&s,
                        "SELECT string_agg(action || ' ' || details, ', ' ORDER BY seq) FROM "
                        "ccpd_audit.entries WHERE action LIKE 'STORAGE%'",
                        "STORAGE_SET {\"bucket\":\"one\"}, STORAGE_FORGET {}, STORAGE_SET "
                        "{\"bucket\":\"three\"}");
}
END_TEST

START_TEST(a_copy_counts_for_the_storage_that_it_is_in) {
        _cleanup_(scene_close) Scene s;
        uint64_t id;

        scene_open(&s);
        id = make_backup(&s, 1, "verified");
        ASSERT_OK(set(&s, 0, "one", ""));
        ASSERT_OK(copy_begin(s.db, id, "a/b", 1, NULL));
        /* The region is another one, the place the same. */
        ASSERT_OK(set(&s, 1, "one", "eu-west-1"));
        ASSERT_ERROR(copy_done(s.db, id, 1, NULL), EREMOTEIO);
        ASSERT_OK(copy_begin(s.db, id, "a/b", 2, NULL));
        ASSERT_OK(copy_done(s.db, id, 2, NULL));
        ASSERT_OK(set(&s, 2, "one", ""));
        ck_assert_uint_eq(s.record.n_copied, 1);
        ck_assert_uint_eq(s.record.n_missing, 0);

        /* Elsewhere there is none. */
        ASSERT_OK(set(&s, 3, "two", ""));
        ck_assert_uint_eq(s.record.n_copied, 0);
        ck_assert_uint_eq(s.record.n_missing, 1);
        ask(&s, "SELECT copy_key IS NULL AND copy_wanted_at > now() - interval '1 minute' FROM backups",
                        "t");
}
END_TEST

START_TEST(what_is_due_is_told_from_rows) {
        _cleanup_test_outcome_ TestOutcome o = {}, other = {};
        uint64_t old, new, damaged;
        _cleanup_(scene_close) Scene s;

        scene_open(&s);
        old = make_backup(&s, 1, "verified");
        new = make_backup(&s, 2, "verified");
        damaged = make_backup(&s, 3, "damaged");
        ASSERT_OK(set(&s, 0, "one", ""));
        look(&s);
        /* The newest first, and nothing that is damaged. */
        ck_assert_uint_eq(s.due.n, 2);
        ck_assert_uint_eq(s.due.items[0].backup, new);
        ck_assert_uint_eq(s.due.items[1].backup, old);
        ck_assert_uint_eq(s.due.items[0].in, 0);
        ck_assert_uint_eq(s.due.doomed_in, USEC_INFINITY);

        /* A job beside others of the instance; one for each backup. */
        ASSERT_OK(submit(&s, JOB_VERIFY, damaged, &other));
        test_outcome_done(&other);
        ASSERT_OK(submit(&s, JOB_REPLICATE, new, &o));
        test_outcome_done(&o);
        ASSERT_ERROR(submit(&s, JOB_REPLICATE, new, &o), EBUSY);
        ck_assert_ptr_nonnull(strstr(o.error.message, "(replicate)"));
        test_outcome_done(&o);
        ASSERT_ERROR(submit(&s, JOB_VERIFY, old, &o), EBUSY);
        ck_assert_ptr_nonnull(strstr(o.error.message, "(verify)"));
        test_outcome_done(&o);
        look(&s);
        ck_assert_uint_eq(s.due.n, 1);
        ck_assert_uint_eq(s.due.items[0].backup, old);

        /* It failed: later, and later still. */
        free(test_postgres_query(s.t.conninfo,
                        "UPDATE jobs SET state = 'failed', finished_at = now() WHERE state = 'queued'"));
        look(&s);
        ck_assert_uint_eq(s.due.n, 2);
        ck_assert_uint_eq(s.due.items[1].backup, new);
        ck_assert(s.due.items[1].in > 20 * USEC_PER_SEC && s.due.items[1].in <= 30 * USEC_PER_SEC);
        ASSERT_OK(submit(&s, JOB_REPLICATE, new, &o));
        free(test_postgres_query(s.t.conninfo,
                        "UPDATE jobs SET state = 'failed', finished_at = now() WHERE state = 'queued'"));
        look(&s);
        ck_assert(s.due.items[1].in > 50 * USEC_PER_SEC && s.due.items[1].in <= USEC_PER_MINUTE);
        free(test_postgres_query(s.t.conninfo, "UPDATE backups SET copy_attempts = 90"));
        test_outcome_done(&o);
        ASSERT_OK(submit(&s, JOB_REPLICATE, new, &o));
        ask(&s,
                        "SELECT max(copy_due_at) BETWEEN now() + interval '59 minutes' AND now() + interval "
                        "'1 hour' FROM backups",
                        "t");

        /* What is mended is tried at once. */
        free(test_postgres_query(s.t.conninfo,
                        "UPDATE jobs SET state = 'failed', finished_at = now() WHERE state = 'queued'"));
        ASSERT_OK(set(&s, 1, "one", ""));
        look(&s);
        ck_assert_uint_eq(s.due.items[0].backup, new);
        ck_assert_uint_eq(s.due.items[0].in, 0);

        ASSERT_OK(copy_begin(s.db, new, "a/b", 2, NULL));
        ASSERT_OK(copy_done(s.db, new, 2, NULL));
        look(&s);
        ck_assert_uint_eq(s.due.n, 1);
        ASSERT_OK(copy_lost(s.db, new, 2, NULL));
        look(&s);
        ck_assert_uint_eq(s.due.n, 2);
}
END_TEST

START_TEST(copies_go_with_their_backups) {
        _cleanup_free_ char *key = NULL, *none = NULL, *again = NULL;
        _cleanup_(scene_close) Scene s;
        uint64_t id;

        scene_open(&s);
        id = make_backup(&s, 1, "verified");
        (void) make_backup(&s, 2, "verified");
        ASSERT_OK(set(&s, 0, "one", ""));
        ASSERT_OK(copy_begin(s.db, id, "a/b", 1, NULL));
        free(test_postgres_query(s.t.conninfo, "DELETE FROM backups WHERE deleted_by IS NULL"));
        look(&s);
        ck_assert_uint_eq(s.due.doomed_in, 0);
        ASSERT_OK(doomed_copy_claim(s.db, &key, NULL));
        ck_assert_pstr_eq(key, "a/b");

        /* Nobody else gets it now; who dies leaves it for later. */
        ASSERT_OK(doomed_copy_claim(s.db, &none, NULL));
        ck_assert_ptr_null(none);
        look(&s);
        ck_assert(s.due.doomed_in > 50 * USEC_PER_SEC && s.due.doomed_in <= USEC_PER_MINUTE);

        /* The same file is here again, and its copy wanted. */
        free(test_postgres_query(s.t.conninfo, "UPDATE doomed_copies SET due_at = now()"));
        id = make_backup(&s, 3, "verified");
        ASSERT_OK(copy_begin(s.db, id, "a/b", 1, NULL));
        ASSERT_OK(doomed_copy_claim(s.db, &again, NULL));
        ck_assert_ptr_null(again);
        ask(&s, "SELECT count(*) FROM doomed_copies", "0");

        free(test_postgres_query(s.t.conninfo, "DELETE FROM backups"));
        ASSERT_OK(doomed_copy_end(s.db, "a/b", NULL));
        look(&s);
        ck_assert_uint_eq(s.due.doomed_in, USEC_INFINITY);
}
END_TEST

START_TEST(copies_are_looked_for_once_a_day) {
        _cleanup_(scene_close) Scene s;

        scene_open(&s);
        look(&s);
        ck_assert_uint_eq(s.due.compare_in, USEC_INFINITY);
        /* Where they are copied to from now on none is missing yet. */
        ASSERT_OK(set(&s, 0, "one", ""));
        look(&s);
        ck_assert(s.due.compare_in > 23 * USEC_PER_HOUR && s.due.compare_in <= USEC_PER_DAY);
        free(test_postgres_query(
                        s.t.conninfo, "UPDATE storage SET compared_at = now() - interval '25 hours'"));
        look(&s);
        ck_assert_uint_eq(s.due.compare_in, 0);
        ASSERT_OK(copies_compared(s.db, 2, NULL));
        look(&s);
        ck_assert_uint_eq(s.due.compare_in, 0);
        ASSERT_OK(copies_compared(s.db, 1, NULL));
        look(&s);
        ck_assert_uint_gt(s.due.compare_in, 23 * USEC_PER_HOUR);
        /* By a clock that was ahead, and from before that was done. */
        free(test_postgres_query(
                        s.t.conninfo, "UPDATE storage SET compared_at = now() + interval '1 hour'"));
        look(&s);
        ck_assert_uint_eq(s.due.compare_in, 0);
        free(test_postgres_query(s.t.conninfo, "UPDATE storage SET compared_at = NULL"));
        look(&s);
        ck_assert_uint_eq(s.due.compare_in, 0);
}
END_TEST

/* Rows as they are after a clock was years ahead, and is right again. */
START_TEST(what_a_clock_put_off_for_years_is_due) {
        _cleanup_free_ char *key = NULL, *none = NULL;
        _cleanup_(scene_close) Scene s;
        uint64_t first, second;

        scene_open(&s);
        first = make_backup(&s, 1, "verified");
        second = make_backup(&s, 2, "verified");
        ASSERT_OK(set(&s, 0, "one", ""));
        free(test_postgres_query(s.t.conninfo,
                        "UPDATE backups SET copy_attempts = 3, copy_due_at = now() + CASE sequence WHEN 1 "
                        "THEN "
                        "interval '10 years' ELSE interval '50 minutes' END, copy_wanted_at = now() + "
                        "interval '10 "
                        "years'; INSERT INTO doomed_copies (key, due_at) VALUES ('far', now() + interval "
                        "'10 years'), "
                        "('soon', now() + interval '50 minutes')"));
        look(&s);
        ck_assert_uint_eq(s.due.n, 2);
        ck_assert_uint_eq(s.due.items[0].backup, first);
        ck_assert_uint_eq(s.due.items[0].in, 0);
        ck_assert_uint_eq(s.due.items[1].backup, second);
        ck_assert_uint_gt(s.due.items[1].in, 49 * USEC_PER_MINUTE);
        ck_assert_uint_eq(s.due.doomed_in, 0);
        ASSERT_OK(doomed_copy_claim(s.db, &key, NULL));
        ck_assert_pstr_eq(key, "far");
        ASSERT_OK(doomed_copy_claim(s.db, &none, NULL));
        ck_assert_ptr_null(none);
        look(&s);
        ck_assert(s.due.doomed_in > 0 && s.due.doomed_in <= USEC_PER_MINUTE);

        /* Since when there is none is told from now on, and grows older. */
        ask(&s, "SELECT bool_and(copy_wanted_at BETWEEN now() - interval '1 minute' AND now()) FROM backups",
                        "t");
        free(test_postgres_query(
                        s.t.conninfo, "UPDATE backups SET copy_wanted_at = now() - interval '3 hours'"));
        look(&s);
        ask(&s, "SELECT bool_and(copy_wanted_at < now() - interval '2 hours') FROM backups", "t");
}
END_TEST

/* It goes while it is wanted again: neither one that was seen there counts, nor one that is being looked at. */
START_TEST(a_copy_that_went_counts_for_nobody) {
        _cleanup_free_ char *key = NULL;
        _cleanup_(scene_close) Scene s;
        uint64_t id;

        scene_open(&s);
        id = make_backup(&s, 1, "verified");
        ASSERT_OK(set(&s, 0, "one", ""));
        ASSERT_OK(copy_begin(s.db, id, "a/b", 1, NULL));
        free(test_postgres_query(s.t.conninfo, "DELETE FROM backups"));
        ASSERT_OK(doomed_copy_claim(s.db, &key, NULL));

        id = make_backup(&s, 2, "verified");
        (void) make_backup(&s, 3, "verified");
        ASSERT_OK(copy_begin(s.db, id, "a/b", 1, NULL));
        ASSERT_OK(copy_done(s.db, id, 1, NULL));
        ASSERT_OK(doomed_copy_lost(s.db, key, NULL));
        look(&s);
        ck_assert_uint_eq(s.due.n, 2);

        ASSERT_OK(copy_begin(s.db, id, "a/b", 1, NULL));
        ASSERT_OK(doomed_copy_lost(s.db, key, NULL));
        ASSERT_ERROR(copy_done(s.db, id, 1, NULL), EREMOTEIO);
}
END_TEST

START_TEST(which_are_here) {
        static const char *const archives[] = { "11111111-2222-3333-4444-555555555555",
                "11111111-2222-3333-4444-666666666666" };
        _cleanup_free_ uint64_t *ids = NULL;
        _cleanup_(scene_close) Scene s;
        uint64_t id;

        scene_open(&s);
        id = make_backup(&s, 1, "damaged");
        free(test_postgres_query(s.t.conninfo,
                        "UPDATE backups SET archive = '11111111-2222-3333-4444-666666666666'"));
        ASSERT_OK(copies_find(s.db, archives, ELEMENTSOF(archives), &ids, NULL));
        ck_assert_uint_eq(ids[0], 0);
        ck_assert_uint_eq(ids[1], id);
}
END_TEST

TESTS("store-storage", there_is_one_storage_of_one_version, a_copy_counts_for_the_storage_that_it_is_in,
                what_is_due_is_told_from_rows, copies_go_with_their_backups,
                copies_are_looked_for_once_a_day, what_a_clock_put_off_for_years_is_due,
                a_copy_that_went_counts_for_nobody, which_are_here)
