/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "alloc-util.h"
#include "ccp-storage.h"
#include "fake-s3.h"
#include "json-util.h"
#include "store-test.h"
#include "string-util.h"
#include "test.h"

#define ONE "0e3a9f6c-1111-4222-8333-0123456789ab"
#define TWO "1f4b0a7d-1111-4222-8333-0123456789ab"
#define KEY(instance, slug, n) \
        instance "/" slug "-2026112" n "T031507Z.7d9b1c2e-5555-4666-977" n "-fedcba987654.ccpb"
#define CONTENTS(key)                              \
        "<Contents><Key>host/" key "</Key><Size>7" \
        "</Size><LastModified>1970-01-01T00:01:40.000Z</LastModified></Contents>"
#define PAGE(end, contents) FAKE_ANSWER("200 OK", "<ListBucketResult>" contents end "</ListBucketResult>")
#define MORE "<IsTruncated>true</IsTruncated><NextContinuationToken>t</NextContinuationToken>"
#define ALL "GET /backups?list-type=2&prefix=host%2F "
#define NEXT "GET /backups?continuation-token=t&list-type=2&prefix=host%2F "

/* Four copies on two pages, and what is none. */
static const FakeStep steps[] = {
        { .request = ALL,
                        .answer = PAGE(MORE,
                                        CONTENTS(KEY(ONE, "oslo", "1")) CONTENTS("something/else")
                                                        CONTENTS(KEY(ONE, "oslo", "2"))) },
        { .request = NEXT,
                        .answer = PAGE("",
                                        CONTENTS(KEY(TWO, "rome", "3")) CONTENTS(KEY(TWO, "rome", "4"))) },
        { .request = "GET /backups?list-type=2&prefix=host%2F" TWO "%2F ",
                        .answer = PAGE("",
                                        CONTENTS(KEY(TWO, "rome", "3")) CONTENTS(KEY(TWO, "rome", "4"))) },
};

typedef struct Scene {
        TestDb t;
        FakeS3 server;
        S3Client *client;
        DbSync *db;
        json_t *copies;
} Scene;

static void scene_close(Scene *s) {
        (void) s3_client_free(s->client);
        fake_s3_stop(&s->server);
        db_sync_free(s->db);
        json_decref(s->copies);
        test_db_close(&s->t);
}

static void scene_open(Scene *s) {
        *s = (Scene) {};
        test_db_open(&s->t, NULL);
        free(test_create_instance(&s->t, "oslo", NULL));
        ASSERT_OK(db_sync_open(&(DbSyncOptions) { .conninfo = s->t.conninfo }, &s->db, NULL));
        fake_s3_start(&s->server, steps, ELEMENTSOF(steps));
        s->client = fake_s3_client(&s->server, "host");
}

/* Their keys, with a blank between them. */
static void expect(Scene *s, const char *instance, uint64_t offset, uint64_t limit, const char *keys) {
        const CopyFilter filter = { .instance = instance, .offset = offset, .limit = limit };
        _cleanup_string_builder_ StringBuilder b = {};
        json_t *copy;
        size_t i;

        json_decref(s->copies);
        s->copies = json_array();
        ASSERT_OK(storage_list(s->db, s->client, &filter, s->copies, NULL, NULL));
        json_array_foreach(s->copies, i, copy)
                string_builder_appendf(&b, "%s%s", i > 0 ? " " : "", json_object_get_string(copy, "key"));
        ck_assert_str_eq(strempty(b.data), keys);
}

START_TEST(a_page_asks_for_no_more_than_it_needs) {
        _cleanup_(scene_close) Scene s;

        scene_open(&s);
        expect(&s, NULL, 0, 2, KEY(ONE, "oslo", "1") " " KEY(ONE, "oslo", "2"));
        expect(&s, "oslo", 1, 1, KEY(ONE, "oslo", "2"));
        ck_assert_uint_eq(fake_s3_count(&s.server, ALL), 2);
        ck_assert_uint_eq(fake_s3_count(&s.server, NEXT), 0);
        expect(&s, NULL, 1, 2, KEY(ONE, "oslo", "2") " " KEY(TWO, "rome", "3"));
        expect(&s, "rome", 0, 10, KEY(TWO, "rome", "3") " " KEY(TWO, "rome", "4"));
        expect(&s, NULL, 4, 10, "");
        ck_assert_uint_eq(fake_s3_count(&s.server, NEXT), 3);
}
END_TEST

/* By their instance's id only its own are asked for. */
START_TEST(those_of_an_instance) {
        _cleanup_(scene_close) Scene s;

        scene_open(&s);
        expect(&s, TWO, 0, 10, KEY(TWO, "rome", "3") " " KEY(TWO, "rome", "4"));
        expect(&s, TWO, 1, 10, KEY(TWO, "rome", "4"));
        ck_assert_uint_eq(fake_s3_count(&s.server, "GET"), 2);
        ck_assert_uint_eq(fake_s3_count(&s.server, ALL), 0);
}
END_TEST

START_TEST(those_that_are_here) {
        _cleanup_free_ char *id = NULL;
        _cleanup_(scene_close) Scene s;

        scene_open(&s);
        id = test_postgres_query(s.t.conninfo,
                        "INSERT INTO backups (instance, slug, job, sequence, state, consistency, blueprint, "
                        "blueprint_version, file, archive, size, verified_at) SELECT id, slug, 1, 1, "
                        "'verified', 'live', 'talk', '1', 'oslo.ccpb', "
                        "'7d9b1c2e-5555-4666-9772-fedcba987654', 4096, now() FROM instances RETURNING id");
        expect(&s, "oslo", 0, 2, KEY(ONE, "oslo", "1") " " KEY(ONE, "oslo", "2"));
        ck_assert_uint_eq(json_get_number(json_array_get(s.copies, 0), "backup"), 0);
        ck_assert_uint_eq(json_get_number(json_array_get(s.copies, 1), "backup"), strtoull(id, NULL, 10));
}
END_TEST

TESTS("storage-list", a_page_asks_for_no_more_than_it_needs, those_of_an_instance, those_that_are_here)
