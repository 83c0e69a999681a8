/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "store-use.h"

#include "alloc-util.h"
#include "store-test.h"
#include "string-util.h"
#include "test.h"

#define NOBODY "00000000-0000-0000-0000-00000000dead"

typedef struct Loaded {
        bool done;
        DiskRecords records;
} Loaded;

static void on_disk(int r, DiskRecords *records, _unused_ Error *error, void *userdata) {
        Loaded *l = userdata;

        ASSERT_OK(r);
        l->records = *records;
        *records = (DiskRecords) {};
        l->done = true;
}

static void load(TestDb *t, DiskRecords *ret) {
        Loaded l = {};

        ASSERT_OK(store_load_disk(t->db, on_disk, &l, NULL, NULL));
        TEST_DB_WAIT(t, l.done);
        *ret = l.records;
}

static const char *const engine_kinds[] = { "volume", "container", NULL };
static const char *const folder_kinds[] = { "folder", NULL };

START_TEST(what_is_measured_replaces_what_was) {
        _cleanup_(db_sync_freep) DbSync *db = NULL;
        _cleanup_strv_free_ char **instances = NULL;
        _cleanup_free_ char *oslo = NULL, *bonn = NULL;
        TestDb t;

        test_db_open(&t, NULL);
        oslo = test_create_instance(&t, "oslo", NULL);
        bonn = test_create_instance(&t, "bonn", NULL);
        ASSERT_OK(db_sync_open(&(DbSyncOptions) { .conninfo = t.conninfo }, &db, NULL));

        ASSERT_OK(disk_list_instances(db, &instances, NULL));
        ck_assert_uint_eq(strv_length(instances), 4);
        ck_assert_str_eq(instances[0], bonn);
        ck_assert_str_eq(instances[1], "bonn");

        {
                _cleanup_disk_records_ DiskRecords l = {};

                ASSERT_OK(disk_records_add(&l, oslo, DISK_FOLDER, "", 5, false));
                ASSERT_OK(disk_replace(db, &l, folder_kinds, NULL));
        }
        {
                _cleanup_disk_records_ DiskRecords l = {};

                ASSERT_OK(disk_records_add(&l, oslo, DISK_VOLUME, "data \"{},\\", 1, true));
                ASSERT_OK(disk_records_add(&l, NOBODY, DISK_VOLUME, "data", 1, true));
                ASSERT_OK(disk_records_add(&l, bonn, DISK_CONTAINER, "web", 10, true));
                ASSERT_OK(disk_records_add(&l, bonn, DISK_CONTAINER, "web", 20, false));
                ASSERT_OK(disk_records_add(&l, bonn, DISK_CONTAINER, "big", UINT64_MAX, true));
                ASSERT_OK(disk_records_add(&l, bonn, DISK_CONTAINER, "big", UINT64_MAX, true));
                ASSERT_OK(disk_replace(db, &l, engine_kinds, NULL));
        }
        for (unsigned i = 0; i < 2; i++) {
                _cleanup_disk_records_ DiskRecords l = {};
                unsigned n_oslo = 0;

                load(&t, &l);
                ck_assert_uint_eq(l.n, 4);
                FOREACH_ARRAY(d, l.items, l.n) {
                        ck_assert_uint_gt(d->measured_at, 0);
                        if (streq(d->instance, oslo)) {
                                n_oslo++;
                                ck_assert_str_eq(d->name, d->kind == DISK_FOLDER ? "" : "data \"{},\\");
                                ck_assert_uint_eq(d->bytes, d->kind == DISK_FOLDER ? 5 : 1);
                                ck_assert(d->complete == (d->kind == DISK_VOLUME));
                        } else if (streq(d->name, "web")) {
                                ck_assert_uint_eq(d->bytes, 30);
                                ck_assert(!d->complete);
                        } else
                                ck_assert_uint_eq(d->bytes, INT64_MAX);
                }
                ck_assert_uint_eq(n_oslo, 2);
        }
        {
                _cleanup_disk_records_ DiskRecords none = {}, l = {};

                /* Other kinds stay. */
                ASSERT_OK(disk_replace(db, &none, engine_kinds, NULL));
                load(&t, &l);
                ck_assert_uint_eq(l.n, 1);
                ck_assert_int_eq(l.items[0].kind, DISK_FOLDER);
        }
        test_db_close(&t);
}
END_TEST

START_TEST(limits_of_an_instance_are_kept) {
        _cleanup_test_outcome_ TestOutcome o = {};
        StoreCreate create;
        TestDb t;

        test_db_open(&t, NULL);
        create = test_create("oslo", NULL);
        create.limits = (ResourceLimits) { .memory = 512ULL << 20, .cpus = 1500 };
        TEST_STORE(&t, &o, store_create_instance, test_on_created, &create);
        ASSERT_OK(o.r);
        ck_assert_uint_eq(o.instance->limits.memory, 512ULL << 20);
        ck_assert_uint_eq(o.instance->limits.cpus, 1500);
        ck_assert_uint_eq(o.instance->limits.pids, 0);
        test_db_close(&t);
}
END_TEST

TESTS("store-use", what_is_measured_replaces_what_was, limits_of_an_instance_are_kept)
