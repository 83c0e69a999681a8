/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "copy-key.h"

#include <errno.h>

#include "alloc-util.h"
#include "test.h"

#define INSTANCE "0e3a9f6c-1111-4222-8333-0123456789ab"
#define ARCHIVE "7d9b1c2e-5555-4666-9777-fedcba987654"
/* 2026-11-20 03:15:07.5 UTC */
#define AT (1795144507500000ULL)
#define KEY INSTANCE "/new-york-20261120T031507Z." ARCHIVE ".ccpb"

START_TEST(a_key_is_made_and_read) {
        _cleanup_free_ char *key = copy_key_format(INSTANCE, "new-york", AT, ARCHIVE);
        CopyKey k;

        ck_assert_pstr_eq(key, KEY);
        ASSERT_OK(copy_key_parse(key, &k));
        ck_assert_str_eq(k.instance, INSTANCE);
        ck_assert_str_eq(k.archive, ARCHIVE);
        ck_assert_str_eq(k.slug, "new-york");
        ck_assert_uint_eq(k.created_at, AT / USEC_PER_SEC * USEC_PER_SEC);
}
END_TEST

START_TEST(what_is_no_key) {
        static const char *const keys[] = {
                "",
                "/",
                "ccpd-test-0123",
                INSTANCE,
                INSTANCE "/",
                INSTANCE "/.ccpb",
                INSTANCE "/" ARCHIVE ".ccpb",
                INSTANCE "/oslo-20261120T031507Z.ccpb",
                INSTANCE "/oslo-20261120T031507Z." ARCHIVE,
                INSTANCE "/oslo-20261120T031507Z." ARCHIVE ".ccpb.part",
                INSTANCE "/oslo-20261120T031507Z." ARCHIVE "0.ccpb",
                INSTANCE "/x/oslo-20261120T031507Z." ARCHIVE ".ccpb",
                "x" INSTANCE "/oslo-20261120T031507Z." ARCHIVE ".ccpb",
                "0E3A9F6C-1111-4222-8333-0123456789AB/oslo-20261120T031507Z." ARCHIVE ".ccpb",
                INSTANCE "/oslo20261120T031507Z." ARCHIVE ".ccpb",
                INSTANCE "/-20261120T031507Z." ARCHIVE ".ccpb",
                INSTANCE "/20261120T031507Z." ARCHIVE ".ccpb",
                INSTANCE "/Oslo-20261120T031507Z." ARCHIVE ".ccpb",
                INSTANCE "/oslo-20261320T031507Z." ARCHIVE ".ccpb",
                INSTANCE "/oslo-20260230T031507Z." ARCHIVE ".ccpb",
                INSTANCE "/oslo-20261120T031507." ARCHIVE ".ccpb",
                INSTANCE "/a-name-of-more-than-32-characters-20261120T031507Z." ARCHIVE ".ccpb",
        };

        FOREACH_ARRAY(key, keys, ELEMENTSOF(keys)) {
                CopyKey k;

                ck_assert_msg(copy_key_parse(*key, &k) == -EINVAL, "%s", *key);
        }
}
END_TEST

TESTS("copy-key", a_key_is_made_and_read, what_is_no_key)
