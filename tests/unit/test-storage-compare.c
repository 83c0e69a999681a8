/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "alloc-util.h"
#include "ccp-storage.h"
#include "fake-s3.h"
#include "store-test.h"
#include "string-util.h"
#include "test.h"

#define CONTENTS(key, size)                                                                              \
        "<Contents><Key>host/" key "</Key><Size>" size "</Size><LastModified>1970-01-01T00:01:40.000Z</" \
        "LastModified></Contents>"
#define PAGE(contents, end) FAKE_ANSWER("200 OK", "<ListBucketResult>" contents end "</ListBucketResult>")
#define MORE "<IsTruncated>true</IsTruncated><NextContinuationToken>t</NextContinuationToken>"
#define SIZE(size) FAKE_HEAD("200 OK", "Content-Length: " size "\r\n")
#define HEAD_ONE "HEAD /backups/host/a/1 "
#define HEAD_THREE "HEAD /backups/host/a/3 "
#define ALL "GET /backups?list-type=2&prefix=host%2F "
#define NEXT "GET /backups?continuation-token=t&list-type=2&prefix=host%2F "
#define COPIED                                                                           \
        "SELECT coalesce(string_agg(copy_key, ' ' ORDER BY id), '') FROM backups WHERE " \
        "replicated_at IS NOT NULL"
#define DUE                                                                              \
        "SELECT coalesce(string_agg(copy_key, ' ' ORDER BY id), '') FROM backups WHERE " \
        "replicated_at IS NULL AND copy_due_at IS NULL AND copy_wanted_at > now() - interval '1 hour'"

typedef struct Scene {
        TestDb t;
        FakeS3 server;
        S3Client *client;
        DbSync *db;
        StorageRecord storage;
        char *instance;
        const char *meanwhile; /* a statement, once the storage is asked */
        Error error;
} Scene;

static void scene_close(Scene *s) {
        (void) s3_client_free(s->client);
        fake_s3_stop(&s->server);
        storage_record_done(&s->storage);
        db_sync_free(s->db);
        free(s->instance);
        error_done(&s->error);
        test_db_close(&s->t);
}

/* Three backups of 7 bytes, copied a day ago. */
static void scene_open(Scene *s, const FakeStep *steps, size_t n) {
        *s = (Scene) {};
        test_db_open(&s->t, NULL);
        s->instance = test_create_instance(&s->t, "oslo", NULL);
        ASSERT_OK(db_sync_open(&(DbSyncOptions) { .conninfo = s->t.conninfo }, &s->db, NULL));
        free(test_postgres_query(s->t.conninfo,
                        "UPDATE storage SET version = 1, endpoint = 'https://s3.example.org', region = '', "
                        "bucket = 'backups', prefix = '', path_style = false, ca_file = '', key_id = 'x', "
                        "sealed = 'x', set_at = now()"));
        free(test_postgres_query(s->t.conninfo,
                        "INSERT INTO backups (instance, slug, job, sequence, state, consistency, blueprint, "
                        "blueprint_version, file, archive, size, verified_at, copy_key, replicated_at, "
                        "copy_wanted_at) SELECT i.id, i.slug, n, n, 'verified', 'live', 'talk', '1', "
                        "'x', gen_random_uuid(), 7, now(), 'a/' || n, now() - interval '1 day', "
                        "now() - interval '1 day' FROM instances i, generate_series(1, 3) n"));
        ASSERT_OK(storage_get(s->db, &s->storage, NULL));
        fake_s3_start(&s->server, steps, n);
        s->client = fake_s3_client(&s->server, "host");
}
#define START(s, ...)                                    \
        static const FakeStep steps[] = { __VA_ARGS__ }; \
        _cleanup_(scene_close) Scene s;                  \
        scene_open(&s, steps, ELEMENTSOF(steps))

static int on_poll(void *userdata) {
        Scene *s = userdata;

        if (s->meanwhile)
                free(test_postgres_query(s->t.conninfo, s->meanwhile));
        s->meanwhile = NULL;
        return 0;
}

static int compare(Scene *s) {
        return storage_compare(s->db, s->client, &s->storage,
                        &(S3Progress) { .poll = on_poll, .userdata = s }, &s->error);
}

START_TEST(what_is_there_stays_as_it_is) {
        START(s, { .request = ALL, .answer = PAGE(CONTENTS("a/1", "7") CONTENTS("b/9", "1"), MORE) },
                        { .request = NEXT, .answer = PAGE(CONTENTS("a/2", "7") CONTENTS("a/3", "7"), "") });

        ASSERT_OK(compare(&s));
        ASSERT_QUERY(s.t.conninfo, COPIED, "a/1 a/2 a/3");
        ASSERT_QUERY(s.t.conninfo, "SELECT compared_at > now() - interval '1 hour' FROM storage", "t");
        /* Nothing is asked for but the list. */
        ck_assert_uint_eq(fake_s3_count(&s.server, ALL) + fake_s3_count(&s.server, NEXT), 2);
        ck_assert_uint_eq(fake_s3_count(&s.server, "body: "), 2);
}
END_TEST

START_TEST(what_is_gone_or_of_another_size_is_copied_anew) {
        START(s, { .request = ALL, .answer = PAGE(CONTENTS("a/1", "8") CONTENTS("a/2", "7"), "") },
                        { .request = HEAD_ONE, .answer = SIZE("8") });

        ASSERT_OK(compare(&s));
        ASSERT_QUERY(s.t.conninfo, COPIED, "a/2");
        ASSERT_QUERY(s.t.conninfo, DUE, "a/1 a/3");
        ck_assert_uint_eq(fake_s3_count(&s.server, "body: "), 3);
}
END_TEST

/* A list may lag behind, or tell another size than the object has. */
START_TEST(what_the_list_alone_does_not_have_is_there) {
        START(s, { .request = ALL, .answer = PAGE(CONTENTS("a/1", "9") CONTENTS("a/2", "7"), "") },
                        { .request = HEAD_ONE, .answer = SIZE("7") },
                        { .request = HEAD_THREE, .answer = SIZE("7") });

        ASSERT_OK(compare(&s));
        ASSERT_QUERY(s.t.conninfo, COPIED, "a/1 a/2 a/3");
}
END_TEST

/* Who may not ask, or gets no answer, knows nothing. */
START_TEST(what_cannot_be_asked_for_stays_as_it_is) {
        START(s, { .request = ALL, .answer = PAGE("", "") },
                        { .request = HEAD_ONE, .answer = FAKE_HEAD("403 Forbidden", "") });

        ck_assert_int_lt(compare(&s), 0);
        ASSERT_QUERY(s.t.conninfo, COPIED, "a/1 a/2 a/3");
        ASSERT_QUERY(s.t.conninfo, "SELECT compared_at IS NULL FROM storage", "t");
}
END_TEST

/* A list that breaks off says nothing of what would have been in the rest. */
START_TEST(a_list_without_its_end_tells_nothing) {
        START(s, { .request = ALL, .answer = PAGE(CONTENTS("a/1", "7"), MORE) },
                        { .request = NEXT, .answer = FAKE_ANSWER("403 Forbidden", "") });

        ck_assert_int_lt(compare(&s), 0);
        ASSERT_QUERY(s.t.conninfo, COPIED, "a/1 a/2 a/3");
        ASSERT_QUERY(s.t.conninfo, "SELECT compared_at IS NULL FROM storage", "t");
}
END_TEST

/* None any more, and one of another storage. */
START_TEST(what_became_of_them_meanwhile_is_newer) {
        static const struct {
                const char *meanwhile, *query, *expected;
        } cases[] = {
                { "DELETE FROM backups WHERE id = 1", DUE, "a/2 a/3" },
                { "UPDATE storage SET version = 2", COPIED, "a/1 a/2 a/3" },
        };

        FOREACH_ARRAY(c, cases, ELEMENTSOF(cases)) {
                START(s, { .request = ALL, .answer = PAGE("", "") });

                s.meanwhile = c->meanwhile;
                ASSERT_OK(compare(&s));
                ASSERT_QUERY(s.t.conninfo, c->query, c->expected);
        }
}
END_TEST

TESTS("storage-compare", what_is_there_stays_as_it_is, what_is_gone_or_of_another_size_is_copied_anew,
                what_the_list_alone_does_not_have_is_there, what_cannot_be_asked_for_stays_as_it_is,
                a_list_without_its_end_tells_nothing, what_became_of_them_meanwhile_is_newer)
