/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "store-restore.h"

#include "alloc-util.h"
#include "store-test.h"
#include "string-util.h"
#include "test.h"

#define UP (1000 * USEC_PER_SEC)

typedef struct Scene {
        TestDb t;
        DbSync *db;
        char *id;
        bool done;
        size_t n; /* instances of which something is due */
} Scene;

/* An instance that was restored just now, and what it had before is kept for three days. */
static void scene_open(Scene *s) {
        *s = (Scene) {};
        test_db_open(&s->t, NULL);
        s->id = test_create_instance(&s->t, "oslo", NULL);
        ASSERT_OK(db_sync_open(&(DbSyncOptions) { .conninfo = s->t.conninfo }, &s->db, NULL));
        free(test_postgres_query(s->t.conninfo,
                        "INSERT INTO restores (instance, job, revision_before, revision_after, "
                        "volumes_before, "
                        "volumes_after) SELECT id, 7, 1, 2, '{}', '{}' FROM instances; "
                        "INSERT INTO revisions (instance, number, state) SELECT id, 2, 'rendered' FROM "
                        "instances"));
}

static void scene_close(Scene *s) {
        db_sync_free(s->db);
        free(s->id);
        test_db_close(&s->t);
}

static void on_due(int r, char *const *instances, _unused_ Error *error, void *userdata) {
        Scene *s = userdata;

        ASSERT_OK(r);
        s->n = 0;
        STRV_FOREACH(id, instances) {
                ck_assert_str_eq(*id, s->id);
                s->n++;
        }
        s->done = true;
}

/* Whether it goes, by the daemon's question and by that of the job. */
static bool is_due(Scene *s, const char *boot, usec_t up) {
        _cleanup_restore_records_ RestoreRecords l = {};

        s->done = false;
        ASSERT_OK(store_list_due_restores(s->t.db, boot, up, on_due, s, NULL, NULL));
        TEST_DB_WAIT(&s->t, s->done);
        ASSERT_OK(restore_list(s->db, s->id, RESTORE_LIST_KEPT | RESTORE_LIST_DUE, &l, NULL));
        ck_assert_uint_eq(l.n, s->n);
        return s->n > 0;
}

static void switch_over(Scene *s, uint64_t keep_hours) {
        RestoreRecord restore = { .job = 7, .revision_after = 2 };

        (void) snprintf(restore.instance, sizeof(restore.instance), "%s", s->id);
        ASSERT_OK(restore_switch(s->db, &restore, keep_hours, NULL));
}

static void change(Scene *s, const char *statement) {
        free(test_postgres_query(s->t.conninfo, statement));
}

START_TEST(a_clock_that_jumps_ahead_discards_nothing) {
        _cleanup_(scene_close) Scene s;

        scene_open(&s);
        switch_over(&s, 72);
        ck_assert(!is_due(&s, "a", UP));
        /* Ten years, seen from the row. */
        change(&s,
                        "UPDATE restores SET switched_at = switched_at - interval '10 years', keep_until = "
                        "keep_until "
                        "- interval '10 years'");
        ck_assert(!is_due(&s, "a", UP));
        ck_assert(!is_due(&s, "a", UP + USEC_PER_HOUR));
        ck_assert(!is_due(&s, "a", UP + 72 * USEC_PER_HOUR - USEC_PER_SEC));
        ck_assert(is_due(&s, "a", UP + 72 * USEC_PER_HOUR));
}
END_TEST

START_TEST(what_was_counted_outlives_a_reboot_and_is_counted_once) {
        _cleanup_(scene_close) Scene s;

        scene_open(&s);
        switch_over(&s, 2);
        change(&s, "UPDATE restores SET keep_until = now() - interval '1 second'");
        ck_assert(!is_due(&s, "a", UP));
        ck_assert(!is_due(&s, "a", UP + USEC_PER_HOUR));
        ck_assert(!is_due(&s, "a", UP + USEC_PER_HOUR));
        /* How long that boot was up already nobody counted: no more goes than what is known. */
        ck_assert(!is_due(&s, "b", 1000 * USEC_PER_HOUR));
        ck_assert(!is_due(&s, "b", 1001 * USEC_PER_HOUR - USEC_PER_SEC));
        /* One that goes back takes nothing away. */
        ck_assert(!is_due(&s, "b", UP));
        ck_assert(is_due(&s, "b", UP + USEC_PER_SEC));
}
END_TEST

START_TEST(a_clock_that_jumps_back_keeps_nothing_for_ever) {
        _cleanup_(scene_close) Scene s;

        scene_open(&s);
        switch_over(&s, 72);
        ck_assert(!is_due(&s, "a", UP));
        /* So long was counted, but by the clock it is not time yet. */
        ck_assert(!is_due(&s, "a", UP + 80 * USEC_PER_HOUR));
        change(&s, "UPDATE restores SET keep_until = keep_until + interval '10 years'");
        ck_assert(is_due(&s, "a", UP + 80 * USEC_PER_HOUR));
        change(&s, "UPDATE restores SET kept_seconds = 0");
        ck_assert(!is_due(&s, "a", UP + 80 * USEC_PER_HOUR));
}
END_TEST

START_TEST(what_is_not_kept_goes_at_once) {
        _cleanup_(scene_close) Scene s;

        scene_open(&s);
        ck_assert(!is_due(&s, "a", UP));
        switch_over(&s, 0);
        ck_assert(is_due(&s, "a", UP));
}
END_TEST

TESTS("store-restore", a_clock_that_jumps_ahead_discards_nothing,
                what_was_counted_outlives_a_reboot_and_is_counted_once,
                a_clock_that_jumps_back_keeps_nothing_for_ever, what_is_not_kept_goes_at_once)
