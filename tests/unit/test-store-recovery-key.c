/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "store-recovery-key.h"

#include <errno.h>
#include <stdio.h>

#include "store-test.h"
#include "string-util.h"
#include "test.h"

static const uint8_t public_key[STORE_RECOVERY_KEY_SIZE] = { 1, 2, 3 };

static const char *ids(const RecoveryKeyRecords *l) {
        static char text[1024];
        size_t n = 0;

        text[0] = 0;
        for (size_t i = 0; i < l->n; i++)
                n += (size_t) snprintf(text + n, sizeof(text) - n, "%s%s", i > 0 ? " " : "", l->items[i].id);
        return text;
}

START_TEST(keys_are_enrolled_and_forgotten_on_record) {
        _cleanup_test_db_ TestDb t;
        _cleanup_test_outcome_ TestOutcome o = {};
        usec_t begin = now(CLOCK_REALTIME);

        test_db_open(&t, NULL);
        TEST_STORE(&t, &o, store_load, test_on_contents);
        ck_assert_uint_eq(o.contents->recovery_keys->n, 0);

        TEST_STORE(&t, &o, store_enroll_recovery_key, test_on_keys, "bb", public_key, &test_actor);
        ck_assert_msg(o.r == 0, "%s", o.error.message);
        ck_assert_str_eq(ids(o.keys), "bb");
        ck_assert_mem_eq(o.keys->items[0].public, public_key, sizeof(public_key));
        ck_assert_str_eq(o.keys->items[0].enrolled_by, "alice");
        ck_assert_uint_ge(o.keys->items[0].enrolled_at, begin);

        /* The first one first; and the same again is nothing. */
        TEST_STORE(&t, &o, store_enroll_recovery_key, test_on_keys, "aa", public_key, &test_actor);
        TEST_STORE(&t, &o, store_enroll_recovery_key, test_on_keys, "bb", public_key, &test_actor);
        ck_assert_int_eq(o.r, 0);
        ck_assert_str_eq(ids(o.keys), "bb aa");
        TEST_STORE(&t, &o, store_load, test_on_contents);
        ck_assert_str_eq(ids(o.contents->recovery_keys), "bb aa");

        TEST_STORE(&t, &o, store_forget_recovery_key, test_on_keys, "bb", false, &test_actor);
        ck_assert_str_eq(ids(o.keys), "aa");
        TEST_STORE(&t, &o, store_forget_recovery_key, test_on_keys, "aa", true, &test_actor);
        ck_assert_uint_eq(o.keys->n, 0);
        ASSERT_QUERY(t.conninfo,
                        "SELECT string_agg(concat_ws(' ', action, outcome, user_name, details), E'\\n' "
                        "ORDER "
                        "BY seq) FROM ccpd_audit.entries WHERE action LIKE 'KEY%'",
                        "KEY_ENROLL succeeded alice {\"key\":\"bb\",\"keys\":1}\n"
                        "KEY_ENROLL succeeded alice {\"key\":\"aa\",\"keys\":2}\n"
                        "KEY_FORGET succeeded alice {\"key\":\"bb\",\"keys\":1}\n"
                        "KEY_FORGET succeeded alice {\"key\":\"aa\",\"keys\":0}");
}
END_TEST

START_TEST(what_is_refused_changes_nothing) {
        _cleanup_test_db_ TestDb t;
        _cleanup_test_outcome_ TestOutcome o = {};

        test_db_open(&t, NULL);
        TEST_STORE(&t, &o, store_forget_recovery_key, test_on_keys, "'; DROP TABLE x; --", true,
                        &test_actor);
        ck_assert_int_eq(o.r, -ENOENT);
        ck_assert_str_eq(o.error.name, CCP_ERROR_NO_SUCH_KEY);

        for (unsigned i = 0; i < STORE_RECOVERY_KEYS_MAX; i++) {
                char id[8];

                (void) snprintf(id, sizeof(id), "%02u", i);
                TEST_STORE(&t, &o, store_enroll_recovery_key, test_on_keys, id, public_key, &test_actor);
                ck_assert_int_eq(o.r, 0);
        }
        TEST_STORE(&t, &o, store_enroll_recovery_key, test_on_keys, "more", public_key, &test_actor);
        ck_assert_str_eq(o.error.name, CCP_ERROR_LIMIT_EXCEEDED);
        TEST_STORE(&t, &o, store_enroll_recovery_key, test_on_keys, "07", public_key, &test_actor);
        ck_assert_int_eq(o.r, 0);

        for (unsigned i = 0; i + 1 < STORE_RECOVERY_KEYS_MAX; i++) {
                char id[8];

                (void) snprintf(id, sizeof(id), "%02u", i);
                TEST_STORE(&t, &o, store_forget_recovery_key, test_on_keys, id, false, &test_actor);
                ck_assert_int_eq(o.r, 0);
        }
        TEST_STORE(&t, &o, store_forget_recovery_key, test_on_keys, "15", false, &test_actor);
        ck_assert_str_eq(o.error.name, CCP_ERROR_WRONG_STATE);
        ck_assert_ptr_nonnull(strstr(o.error.message, "--last 15"));
        ASSERT_QUERY(t.conninfo, "SELECT id FROM recovery_keys", "15");
        ASSERT_QUERY(t.conninfo,
                        "SELECT count(*) FROM ccpd_audit.entries WHERE action LIKE 'KEY%' AND outcome = "
                        "'succeeded'",
                        "31");
}
END_TEST

TESTS("store-recovery-key", keys_are_enrolled_and_forgotten_on_record, what_is_refused_changes_nothing)
