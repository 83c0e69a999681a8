/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "store-scrub.h"

#include "alloc-util.h"
#include "store-test.h"
#include "test.h"

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

static void sql(Scene *s, const char *statement) {
        free(test_postgres_query(s->t.conninfo, statement));
}

/* A verified backup of 1000 bytes that was read so long ago; the numbers begin with 1. NULL: of an instance that is gone. */
static void add_backup(Scene *s, const char *instance, const char *read_at) {
        char statement[1024];

        (void) snprintf(statement, sizeof(statement),
                        "INSERT INTO backups (instance, slug, job, sequence, state, consistency, blueprint, "
                        "blueprint_version, file, archive, size, verified_at, read_at) SELECT '%s', 'oslo', "
                        "coalesce(max(id), 0) + 100, coalesce(max(id), 0) + 1, 'verified', 'live', 'talk', "
                        "'1', 'x', gen_random_uuid(), 1000, now() - interval '99 days', %s FROM backups",
                        instance ?: "11111111-2222-3333-4444-555555555555", read_at);
        sql(s, statement);
}

static void list_due(Scene *s, ScrubDue *ret) {
        ASSERT_OK(scrub_list_due(s->db, ret, NULL));
}

static void assert_n_due(Scene *s, size_t n) {
        _cleanup_scrub_due_ ScrubDue d = {};

        list_due(s, &d);
        ck_assert_uint_eq(d.n, n);
}

static void get(Scene *s, uint64_t id, BackupRecord *ret) {
        ASSERT_OK(backup_get(s->db, id, ret, NULL));
}

START_TEST(what_was_not_read_for_long_is_due) {
        _cleanup_(scene_close) Scene s;

        scene_open(&s);
        assert_n_due(&s, 0);
        add_backup(&s, s.id, "now() - interval '15 days'");
        add_backup(&s, s.id, "now() - interval '13 days'");
        add_backup(&s, NULL, "now() - interval '20 days'");
        /* From before there were scrubs; and of a clock that was ahead. */
        add_backup(&s, s.id, "NULL");
        add_backup(&s, s.id, "now() + interval '2 days'");
        {
                _cleanup_scrub_due_ ScrubDue d = {};

                list_due(&s, &d);
                ck_assert_uint_eq(d.n, 4);
                ck_assert_uint_eq(d.ids[0], 4);
                ck_assert_uint_eq(d.ids[1], 3);
                ck_assert_uint_eq(d.ids[2], 1);
                ck_assert_uint_eq(d.ids[3], 5);
                ck_assert_uint_eq(d.days, 14);
        }

        /* What is damaged already, was never verified, or is being deleted is none of them. */
        sql(&s, "UPDATE backups SET state = 'damaged' WHERE id = 1");
        sql(&s, "UPDATE backups SET state = 'written' WHERE id = 3");
        sql(&s, "UPDATE backups SET deleted_by = 9 WHERE id = 4");
        assert_n_due(&s, 1);
        sql(&s, "INSERT INTO settings (key, value) VALUES ('scrub_days', '12')");
        assert_n_due(&s, 2);
        sql(&s, "UPDATE settings SET value = '0' WHERE key = 'scrub_days'");
        assert_n_due(&s, 0);
}
END_TEST

START_TEST(what_was_read_is_not_due_for_some_time) {
        _cleanup_backup_record_ BackupRecord before = {}, after = {};
        _cleanup_(scene_close) Scene s;

        scene_open(&s);
        add_backup(&s, s.id, "now() - interval '15 days'");
        get(&s, 1, &before);
        ck_assert_int_eq(scrub_set_read(s.db, &before, NULL), 1);
        get(&s, 1, &after);
        ck_assert_uint_gt(after.read_at, before.read_at + 14 * USEC_PER_DAY);
        ck_assert_uint_eq(after.verified_at, before.verified_at);
        assert_n_due(&s, 0);
}
END_TEST

START_TEST(a_verification_is_a_reading) {
        _cleanup_backup_record_ BackupRecord b = {};
        _cleanup_json_ json_t *keys = json_array();
        _cleanup_(scene_close) Scene s;

        scene_open(&s);
        add_backup(&s, s.id, "now() - interval '15 days'");
        ASSERT_OK(backup_set_verified(s.db, 1, keys, NULL));
        get(&s, 1, &b);
        ck_assert_uint_eq(b.read_at, b.verified_at);
        assert_n_due(&s, 0);
}
END_TEST

START_TEST(damage_is_on_record_and_known_of_the_instance) {
        _cleanup_test_outcome_ TestOutcome o = {};
        _cleanup_backup_record_ BackupRecord b = {}, after = {};
        _cleanup_(scene_close) Scene s;

        scene_open(&s);
        add_backup(&s, s.id, "now() - interval '15 days'");
        add_backup(&s, s.id, "now() - interval '3 days'");
        get(&s, 1, &b);
        TEST_STORE(&s.t, &o, store_load_instance, test_on_instance, s.id);
        ck_assert_uint_eq(o.instance->backups.unread_since, b.read_at);

        ck_assert_int_eq(scrub_set_damaged(s.db, &b, "It is torn.", NULL), 1);
        /* As after a connection that was lost in COMMIT. */
        ck_assert_int_eq(scrub_set_damaged(s.db, &b, "It is torn.", NULL), 1);
        get(&s, 1, &after);
        ck_assert_int_eq(after.state, BACKUP_DAMAGED);
        ck_assert_str_eq(after.error, "It is torn.");
        assert_n_due(&s, 0);
        TEST_STORE(&s.t, &o, store_load_instance, test_on_instance, s.id);
        ck_assert_uint_eq(o.instance->backups.n_damaged, 1);
        ck_assert_uint_eq(o.instance->backups.first_damaged, 1);
        ck_assert_uint_gt(o.instance->backups.unread_since, b.read_at);
}
END_TEST

/* A file that was put in its place, or is on its way out, is not the one that was read. */
START_TEST(what_became_of_it_meanwhile_is_newer) {
        static const char *const changes[] = {
                "UPDATE backups SET verified_at = now()",
                "UPDATE backups SET deleted_by = 9",
                "UPDATE backups SET state = 'damaged', error = 'It was torn before.'",
                "DELETE FROM backups",
        };

        FOREACH_ARRAY(change, changes, ELEMENTSOF(changes)) {
                _cleanup_backup_record_ BackupRecord b = {};
                _cleanup_(scene_close) Scene s;
                _cleanup_free_ char *n = NULL;

                scene_open(&s);
                add_backup(&s, s.id, "now() - interval '15 days'");
                get(&s, 1, &b);
                sql(&s, *change);
                ck_assert_int_eq(scrub_set_damaged(s.db, &b, "It is torn.", NULL), 0);
                ck_assert_int_eq(scrub_set_read(s.db, &b, NULL), 0);
                n = test_postgres_query(s.t.conninfo,
                                "SELECT count(*) FROM backups WHERE error = 'It is torn.' OR read_at > "
                                "now() - interval '1 day'");
                ck_assert_str_eq(n, "0");
        }
}
END_TEST

typedef struct Gone {
        bool done;
        GoneBackups gone;
} Gone;

static void on_gone(int r, const GoneBackups *gone, _unused_ Error *error, void *userdata) {
        Gone *g = userdata;

        ASSERT_OK(r);
        *g = (Gone) { true, *gone };
}

START_TEST(backups_of_what_is_gone_are_counted) {
        _cleanup_backup_record_ BackupRecord b = {};
        _cleanup_(scene_close) Scene s;
        Gone g = {};

        scene_open(&s);
        add_backup(&s, s.id, "now() - interval '15 days'");
        ASSERT_OK(store_load_gone_backups(s.t.db, on_gone, &g, NULL, NULL));
        TEST_DB_WAIT(&s.t, g.done);
        ck_assert_uint_eq(g.gone.n, 0);
        ck_assert_uint_eq(g.gone.unread_since, 0);

        add_backup(&s, NULL, "now() - interval '20 days'");
        add_backup(&s, NULL, "now() - interval '19 days'");
        sql(&s, "UPDATE backups SET state = 'damaged' WHERE id = 2");
        get(&s, 3, &b);
        g.done = false;
        ASSERT_OK(store_load_gone_backups(s.t.db, on_gone, &g, NULL, NULL));
        TEST_DB_WAIT(&s.t, g.done);
        ck_assert_uint_eq(g.gone.n, 2);
        ck_assert_uint_eq(g.gone.n_damaged, 1);
        ck_assert_uint_eq(g.gone.first_damaged, 2);
        ck_assert_uint_eq(g.gone.unread_since, b.read_at);
}
END_TEST

TESTS("store-scrub", what_was_not_read_for_long_is_due, what_was_read_is_not_due_for_some_time,
                a_verification_is_a_reading, damage_is_on_record_and_known_of_the_instance,
                what_became_of_it_meanwhile_is_newer, backups_of_what_is_gone_are_counted)
