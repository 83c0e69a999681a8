/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "store-audit.h"

#include "alloc-util.h"
#include "store-test.h"
#include "string-util.h"
#include "test.h"

START_TEST(an_entry_is_appended) {
        _cleanup_test_db_ TestDb t;
        _cleanup_test_outcome_ TestOutcome o = {};
        const AuditEntry entry = {
                .action = AUDIT_USER_LOGIN, .outcome = AUDIT_SUCCEEDED, .actor = &test_actor
        };

        test_db_open(&t, NULL);
        TEST_STORE(&t, &o, store_append_audit, test_on_entry, &entry);
        ck_assert_msg(o.r == 0, "%s", o.error.message);
        ck_assert_uint_eq(o.entry->seq, 1);
        ck_assert_str_eq(o.entry->action, "USER_LOGIN");
}
END_TEST

TESTS("store-audit", an_entry_is_appended)
