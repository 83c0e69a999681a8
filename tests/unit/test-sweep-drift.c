/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "sweep-drift.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "alloc-util.h"
#include "fd-util.h"
#include "fs-util.h"
#include "json-util.h"
#include "revision-files.h"
#include "store-test.h"
#include "store-worker.h"
#include "string-util.h"
#include "test.h"

/* An instance with a revision of three files, and the folder that it lies in. */
typedef struct Scene {
        TestDb t;
        DbSync *db;
        char *id;
        char top[64];
        int instances, revision;
        json_t *files;
} Scene;

static void put(Scene *s, const char *name, const char *text) {
        json_t *record;

        ASSERT_OK(mkdir_parents_beneath(s->revision, name, 0755));
        ASSERT_OK(write_file_beneath(s->revision, name, text, strlen(text), 0644));
        ASSERT_OK(revision_file_describe(text, strlen(text), 0644, &record));
        ASSERT_OK(json_object_set_new(s->files, name, record));
}

static void change(const Scene *s, const char *name, const char *text) {
        ASSERT_OK(write_file_beneath(s->revision, name, text, strlen(text), 0644));
}

static void record(Scene *s) {
        const RevisionRecord revision = { .number = 1, .state = REVISION_RENDERED, .files = s->files };

        ASSERT_OK(revision_put(s->db, s->id, &revision, NULL));
        ASSERT_OK(revision_activate(s->db, s->id, 1, NULL));
}

static void scene_open(Scene *s) {
        uint64_t job;

        *s = (Scene) { .files = json_object() };
        (void) snprintf(s->top, sizeof(s->top), "/tmp/test-sweep-drift.XXXXXX");
        ck_assert_ptr_nonnull(mkdtemp(s->top));
        s->instances = open(s->top, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        s->revision = mkdir_open_beneath(s->instances, "oslo/revisions/1", 0755);
        ASSERT_OK(s->revision);

        test_db_open(&s->t, NULL);
        s->id = test_create_instance(&s->t, "oslo", &job);
        test_finish(&s->t, job, JOB_SUCCEEDED, INSTANCE_RUNNING);
        ASSERT_OK(db_sync_open(&(DbSyncOptions) { .conninfo = s->t.conninfo, .patience = 30 * USEC_PER_SEC },
                        &s->db, NULL));
        put(s, ".env", "A=1\n");
        put(s, "docker-compose.yml", "services: {}\n");
        put(s, "conf/app.conf", "a = 1\n");
        record(s);
}

static void scene_close(Scene *s) {
        _cleanup_close_ int tmp = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        db_sync_free(s->db);
        free(s->id);
        test_db_close(&s->t);
        json_decref(s->files);
        s->revision = safe_close(s->revision);
        s->instances = safe_close(s->instances);
        ASSERT_OK(rm_rf_at(tmp, s->top + STRLEN("/tmp/")));
}

/* Sweeps, and compares what is recorded then. 'recorded': whether something had to be. */
static void check(Scene *s, bool recorded, const char *expected) {
        _cleanup_test_outcome_ TestOutcome o = {};
        _cleanup_error_ Error error = {};
        int r;

        TEST_STORE(&s->t, &o, store_load_instance, test_on_instance, s->id);
        r = sweep_drift(s->db, s->instances, o.instance, &error);
        ck_assert_msg(r == recorded, "%i: %s", r, strempty(error.message));
        ASSERT_QUERY(s->t.conninfo, "SELECT array_to_string(changed_files, '; ') FROM instances", expected);
        ASSERT_QUERY(s->t.conninfo,
                        "SELECT (changed_files <> '{}') = (changed_files_at IS NOT NULL) FROM instances",
                        "t");
}

START_TEST(files_as_they_were_made_are_no_news) {
        _cleanup_(scene_close) Scene s;

        scene_open(&s);
        check(&s, false, "");
        /* Touched, with the same content. */
        change(&s, ".env", "A=1\n");
        check(&s, false, "");
}
END_TEST

START_TEST(each_difference_is_recorded_once_and_taken_back) {
        _cleanup_(scene_close) Scene s;

        scene_open(&s);
        change(&s, ".env", "A=2\n");
        ASSERT_OK(unlinkat(s.revision, "conf/app.conf", 0));
        change(&s, "extra.yml", "services: {}\n");
        check(&s, true, "added extra.yml; changed .env; missing conf/app.conf");
        check(&s, false, "added extra.yml; changed .env; missing conf/app.conf");

        change(&s, ".env", "A=1\n");
        ASSERT_OK(unlinkat(s.revision, "extra.yml", 0));
        ASSERT_OK(symlinkat("/etc/passwd", s.revision, "conf/app.conf"));
        check(&s, true, "changed conf/app.conf");
        ASSERT_OK(unlinkat(s.revision, "conf/app.conf", 0));
        change(&s, "conf/app.conf", "a = 1\n");
        check(&s, true, "");
}
END_TEST

START_TEST(what_containers_may_write_is_theirs) {
        _cleanup_(scene_close) Scene s;

        scene_open(&s);
        ASSERT_OK(json_object_set_new(json_object_get(s.files, "conf/app.conf"), "writable", json_true()));
        record(&s);
        change(&s, "conf/app.conf", "a = 2\n");
        change(&s, "conf/more.conf", "b = 2\n");
        check(&s, false, "");
}
END_TEST

START_TEST(a_folder_that_is_gone_is_one_difference) {
        _cleanup_(scene_close) Scene s;

        scene_open(&s);
        ASSERT_OK(rm_rf_beneath(s.instances, "oslo/revisions/1"));
        check(&s, true, "missing revisions/1");
}
END_TEST

START_TEST(another_revision_is_not_blamed) {
        _cleanup_(scene_close) Scene s;
        char *const changes[] = { (char *) "changed x", NULL };

        scene_open(&s);
        ASSERT_OK(instance_set_changed_files(s.db, s.id, 2, changes, NULL));
        ASSERT_QUERY(s.t.conninfo, "SELECT changed_files FROM instances", "{}");
        free(test_postgres_query(s.t.conninfo, "UPDATE instances SET state = 'updating'"));
        change(&s, ".env", "A=2\n");
        check(&s, false, "");
}
END_TEST

START_TEST(many_differences_are_cut) {
        _cleanup_(scene_close) Scene s;

        scene_open(&s);
        for (unsigned i = 0; i < 100; i++) {
                char name[16];

                (void) snprintf(name, sizeof(name), "x%u", i);
                change(&s, name, "");
        }
        {
                _cleanup_test_outcome_ TestOutcome o = {};

                TEST_STORE(&s.t, &o, store_load_instance, test_on_instance, s.id);
                ck_assert_int_eq(sweep_drift(s.db, s.instances, o.instance, NULL), 1);
        }
        ASSERT_QUERY(s.t.conninfo, "SELECT cardinality(changed_files) FROM instances", "20");
}
END_TEST

TESTS("sweep-drift", files_as_they_were_made_are_no_news, each_difference_is_recorded_once_and_taken_back,
                what_containers_may_write_is_theirs, a_folder_that_is_gone_is_one_difference,
                another_revision_is_not_blamed, many_differences_are_cut)
