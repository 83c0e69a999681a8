/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "store-secret.h"

#include "alloc-util.h"
#include "store-test.h"
#include "test.h"

START_TEST(the_latest_version_of_each_is_given) {
        _cleanup_test_db_ TestDb t;
        _cleanup_test_outcome_ TestOutcome o = {};
        _cleanup_free_ char *id = NULL;
        usec_t begin = now(CLOCK_REALTIME);

        test_db_open(&t, NULL);
        id = test_create_instance(&t, "oslo", NULL);
        free(test_create_instance(&t, "bergen", NULL));
        free(test_postgres_query(t.conninfo,
                        "INSERT INTO secrets SELECT id, 'smtp_password', 2, 'fedc', 'new' FROM instances "
                        "WHERE slug = "
                        "'oslo'"));

        TEST_STORE(&t, &o, store_load_secrets, test_on_secrets, id, NULL);
        ck_assert_int_eq(o.r, 0);
        ck_assert_uint_eq(o.secrets.n, 2);
        ck_assert_str_eq(o.secrets.items[0].name, "POSTGRES_PASSWORD");
        ck_assert_uint_eq(o.secrets.items[0].version, 1);
        ck_assert_uint_ge(o.secrets.items[0].created_at, begin);
        ck_assert_str_eq(o.secrets.items[1].name, "smtp_password");
        ck_assert_uint_eq(o.secrets.items[1].version, 2);
        ck_assert_str_eq(o.secrets.items[1].key_id, "fedc");
        ck_assert_uint_eq(o.secrets.items[1].sealed_size, 3);
        ck_assert_mem_eq(o.secrets.items[1].sealed, "new", 3);

        TEST_STORE(&t, &o, store_load_secrets, test_on_secrets, id, "POSTGRES_PASSWORD");
        ck_assert_uint_eq(o.secrets.n, 1);
        ck_assert_uint_eq(o.secrets.items[0].sealed_size, 8);
        TEST_STORE(&t, &o, store_load_secrets, test_on_secrets, id, "postgres_password");
        ck_assert_int_eq(o.r, 0);
        ck_assert_uint_eq(o.secrets.n, 0);
        TEST_STORE(&t, &o, store_load_secrets, test_on_secrets, "no' id", NULL);
        ck_assert_int_eq(o.r, 0);
        ck_assert_uint_eq(o.secrets.n, 0);
}
END_TEST

TESTS("store-secret", the_latest_version_of_each_is_given)
