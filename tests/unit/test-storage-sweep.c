/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "alloc-util.h"
#include "ccp-storage.h"
#include "fake-s3.h"
#include "store-test.h"
#include "string-util.h"
#include "test.h"

#define DELETE_ONE "DELETE /backups/host/a/1 "
#define DELETE_TWO "DELETE /backups/host/a/2 "
#define GONE FAKE_HEAD("204 No Content", "")
#define UPLOAD(name, time)                                                                 \
        "<Upload><Key>host/a/" name "</Key><UploadId>u" name "</UploadId><Initiated>" time \
        ".000Z</Initiated></Upload>"
#define DOOMED "SELECT coalesce(string_agg(key, ' ' ORDER BY key), '') FROM doomed_copies"

typedef struct Scene {
        TestDb t;
        FakeS3 server;
        S3Client *client;
        DbSync *db;
        char *instance;
        unsigned n_polls;
        const char *wanted; /* the copy that a backup gets while the first one is removed */
        uint64_t backup;
        Error error;
} Scene;

static void scene_close(Scene *s) {
        (void) s3_client_free(s->client);
        fake_s3_stop(&s->server);
        db_sync_free(s->db);
        free(s->instance);
        error_done(&s->error);
        test_db_close(&s->t);
}

/* Of two backups that are deleted the copies "a/1" and "a/2" are still there. */
static void scene_open(Scene *s, const FakeStep *steps, size_t n) {
        *s = (Scene) {};
        test_db_open(&s->t, NULL);
        s->instance = test_create_instance(&s->t, "oslo", NULL);
        ASSERT_OK(db_sync_open(&(DbSyncOptions) { .conninfo = s->t.conninfo }, &s->db, NULL));
        free(test_postgres_query(s->t.conninfo,
                        "UPDATE storage SET version = 1, endpoint = 'https://s3.example.org', region = '', "
                        "bucket = 'backups', prefix = '', path_style = false, ca_file = '', key_id = 'x', "
                        "sealed = 'x', set_at = now()"));
        free(test_postgres_query(s->t.conninfo, "INSERT INTO doomed_copies (key) VALUES ('a/1'), ('a/2')"));
        fake_s3_start(&s->server, steps, n);
        s->client = fake_s3_client(&s->server, "host");
}
#define START(s, ...)                                    \
        static const FakeStep steps[] = { __VA_ARGS__ }; \
        _cleanup_(scene_close) Scene s;                  \
        scene_open(&s, steps, ELEMENTSOF(steps))

/* The file is imported again, and copied. */
static int on_poll(void *userdata) {
        Scene *s = userdata;
        _cleanup_free_ char *id = NULL;

        /* Once before the first one is claimed, and then while it is removed. */
        if (s->n_polls++ != 1 || !s->wanted)
                return 0;
        id = test_postgres_query(s->t.conninfo,
                        "INSERT INTO backups (instance, slug, job, sequence, state, consistency, blueprint, "
                        "blueprint_version, file, archive, size, verified_at) SELECT id, slug, 1, 1, "
                        "'verified', 'live', 'talk', '1', 'oslo.ccpb', gen_random_uuid(), 4096, now() FROM "
                        "instances RETURNING id");
        s->backup = strtoull(id, NULL, 10);
        ASSERT_OK(copy_begin(s->db, s->backup, s->wanted, 1, NULL));
        ASSERT_OK(copy_done(s->db, s->backup, 1, NULL));
        return 0;
}

static int sweep(Scene *s) {
        return storage_sweep(s->db, s->client, &(S3Progress) { .poll = on_poll, .userdata = s }, &s->error);
}

START_TEST(all_go) {
        START(s, { .request = "DELETE", .answer = GONE },
                        { .request = "GET /backups?prefix=host%2F&uploads= ",
                                        .answer = FAKE_HEAD("200 OK",
                                                        "Date: Fri, 01 Jan 2021 00:00:00 "
                                                        "GMT\r\n") "<ListMultipartUploadsResult>" UPLOAD("3",
                                                        "2020-12-30T00:00:01") UPLOAD("4",
                                                        "2020-12-29T23:59:59") "</ListMultipartUploadsResult"
                                                                               ">" });

        ASSERT_OK(sweep(&s));
        ck_assert_uint_eq(fake_s3_count(&s.server, DELETE_ONE), 1);
        ck_assert_uint_eq(fake_s3_count(&s.server, DELETE_TWO), 1);
        /* Two days old by the storage's clock. */
        ck_assert_uint_eq(fake_s3_count(&s.server, "DELETE /backups/host/a/3?uploadId="), 0);
        ck_assert_uint_eq(fake_s3_count(&s.server, "DELETE /backups/host/a/4?uploadId="), 1);
        ASSERT_QUERY(s.t.conninfo, DOOMED, "");
}
END_TEST

/* What is wanted again while another one is removed is left alone. */
START_TEST(the_next_one_is_wanted_again) {
        START(s, { .request = "DELETE", .answer = GONE });

        s.wanted = "a/2";
        ASSERT_OK(sweep(&s));
        ck_assert_uint_eq(fake_s3_count(&s.server, DELETE_ONE), 1);
        ck_assert_uint_eq(fake_s3_count(&s.server, DELETE_TWO), 0);
        ASSERT_QUERY(s.t.conninfo, DOOMED, "");
        ASSERT_QUERY(s.t.conninfo, "SELECT replicated_at IS NOT NULL FROM backups", "t");
}
END_TEST

/* Too late to keep it: it is copied anew. */
START_TEST(this_one_is_wanted_again) {
        START(s, { .request = "DELETE", .answer = GONE });

        s.wanted = "a/1";
        ASSERT_OK(sweep(&s));
        ASSERT_QUERY(s.t.conninfo, DOOMED, "");
        ASSERT_QUERY(s.t.conninfo, "SELECT replicated_at IS NULL AND copy_key IS NULL FROM backups", "t");
}
END_TEST

/* Nobody knows whether it goes. */
START_TEST(this_one_is_wanted_again_and_no_answer_comes) {
        START(s, { .request = "DELETE", .end = FAKE_RESET });

        s.wanted = "a/1";
        ASSERT_ERROR(sweep(&s), EREMOTEIO);
        ck_assert_str_eq(s.error.name, CCP_ERROR_STORAGE_FAILED);
        ck_assert_uint_eq(fake_s3_count(&s.server, DELETE_TWO), 0);
        ASSERT_QUERY(s.t.conninfo, DOOMED, "a/2");
        ASSERT_QUERY(s.t.conninfo, "SELECT replicated_at IS NULL FROM backups", "t");
}
END_TEST

START_TEST(what_stays_is_forgotten) {
        START(s, { .request = "DELETE", .answer = FAKE_ERROR("403 Forbidden", "AccessDenied") });

        s.wanted = "a/1";
        ASSERT_OK(sweep(&s));
        ASSERT_QUERY(s.t.conninfo, DOOMED, "");
        ASSERT_QUERY(s.t.conninfo, "SELECT replicated_at IS NOT NULL FROM backups", "t");
}
END_TEST

START_TEST(what_fails_is_tried_later) {
        START(s, { .request = "DELETE", .answer = FAKE_ERROR("503 Slow Down", "SlowDown") },
                        { .request = "DELETE", .answer = GONE, .from = 2 });

        ASSERT_ERROR(sweep(&s), EREMOTEIO);
        ASSERT_QUERY(s.t.conninfo, DOOMED, "a/1 a/2");
        ASSERT_OK(sweep(&s));
        ASSERT_QUERY(s.t.conninfo, DOOMED, "a/1");
        free(test_postgres_query(s.t.conninfo, "UPDATE doomed_copies SET due_at = now()"));
        ASSERT_OK(sweep(&s));
        ASSERT_QUERY(s.t.conninfo, DOOMED, "");
}
END_TEST

TESTS("storage-sweep", all_go, the_next_one_is_wanted_again, this_one_is_wanted_again,
                this_one_is_wanted_again_and_no_answer_comes, what_stays_is_forgotten,
                what_fails_is_tried_later)
