/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "store-schedule.h"

#include "alloc-util.h"
#include "store-test.h"
#include "string-util.h"
#include "test.h"

typedef struct Loaded {
        bool done;
        ScheduleRecords schedules;
} Loaded;

static void on_loaded(int r, ScheduleRecords *schedules, _unused_ Error *error, void *userdata) {
        Loaded *l = userdata;

        ASSERT_OK(r);
        l->schedules = *schedules;
        *schedules = (ScheduleRecords) {};
        l->done = true;
}

static ScheduleRecords load(TestDb *t) {
        Loaded l = {};

        ASSERT_OK(store_load_schedules(t->db, on_loaded, &l, NULL, NULL));
        TEST_DB_WAIT(t, l.done);
        return l.schedules;
}

START_TEST(knocks_are_counted_over_all) {
        _cleanup_schedule_records_ ScheduleRecords before = {}, after = {};
        _cleanup_(db_sync_freep) DbSync *db = NULL;
        TestDb t = {};

        test_db_open(&t, NULL);
        ASSERT_OK(db_sync_open(&(DbSyncOptions) { .conninfo = t.conninfo }, &db, NULL));
        ASSERT_OK(schedule_knock(db, "daily", NULL));
        ASSERT_OK(schedule_knock(db, "*:*:0/5", NULL));
        before = load(&t);
        ck_assert_uint_eq(before.n, 2);
        ck_assert_str_eq(before.items[0].expression, "*:*:0/5");
        ck_assert_uint_gt(before.items[0].knock, before.items[1].knock);
        ck_assert_uint_gt(before.items[1].times.knocked, 0);
        ck_assert_uint_eq(before.items[1].times.before, 0);

        ASSERT_OK(schedule_knock(db, "daily", NULL));
        after = load(&t);
        ck_assert_uint_eq(after.n, 2);
        ck_assert_uint_gt(after.items[1].knock, before.items[0].knock);
        ck_assert_uint_ge(after.items[1].times.knocked, before.items[1].times.knocked);
        ck_assert_uint_eq(after.items[1].times.before, before.items[1].times.knocked);
        ck_assert_uint_eq(after.items[0].times.before, 0);
        test_db_close(&t);
}
END_TEST

START_TEST(what_nothing_goes_by_is_forgotten) {
        static char *const keep[] = { (char *) "daily", NULL };
        _cleanup_schedule_records_ ScheduleRecords l = {};
        _cleanup_(db_sync_freep) DbSync *db = NULL;
        TestDb t = {};

        test_db_open(&t, NULL);
        ASSERT_OK(db_sync_open(&(DbSyncOptions) { .conninfo = t.conninfo }, &db, NULL));
        ASSERT_OK(schedule_knock(db, "hourly", NULL));
        ASSERT_OK(store_keep_schedules(t.db, keep,
                        &(ScheduleRecord) { .expression = (char *) "daily", .times.next = 1893456000123456 },
                        NULL));
        l = load(&t);
        ck_assert_uint_eq(l.n, 1);
        ck_assert_str_eq(l.items[0].expression, "daily");
        ck_assert_uint_eq(l.items[0].times.next, 1893456000123456);
        ck_assert_uint_eq(l.items[0].knock, 0);
        ck_assert_uint_eq(l.items[0].times.knocked, 0);
        test_db_close(&t);
}
END_TEST

TESTS("store-schedule", knocks_are_counted_over_all, what_nothing_goes_by_is_forgotten)
