/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <errno.h>

#include "alloc-util.h"
#include "pax.h"
#include "test.h"

static PaxRecord only_record(const char *s, size_t n) {
        PaxRecord r;

        ck_assert_int_eq(pax_next(&s, &n, &r), 1);
        ck_assert_uint_eq(n, 0);
        ck_assert_int_eq(pax_next(&s, &n, &(PaxRecord) {}), 0);
        return r;
}

START_TEST(length_counts_itself) {
        /* Around where it gets one digit more. */
        for (size_t n = 0; n < 1200; n++) {
                _cleanup_string_builder_ StringBuilder b = {};
                _cleanup_free_ char *value = malloc(n + 1);
                PaxRecord r;

                memset(value, 'v', n + 1);
                pax_append(&b, "k", value, n);
                ck_assert_uint_eq(strtoul(b.data, NULL, 10), b.size);
                r = only_record(b.data, b.size);
                ck_assert(pax_record_is(&r, "k"));
                ck_assert_uint_eq(r.value_size, n);
        }
}
END_TEST

START_TEST(values_are_any_bytes) {
        static const char value[] = "=\n\0 9 a=b\n\xff";
        _cleanup_string_builder_ StringBuilder b = {};
        PaxRecord r;

        pax_append(&b, "key", value, sizeof(value));
        r = only_record(b.data, b.size);
        ck_assert(pax_record_is(&r, "key"));
        ck_assert(!pax_record_is(&r, "ke"));
        ck_assert(!pax_record_is(&r, "keys"));
        ck_assert_uint_eq(r.value_size, sizeof(value));
        ck_assert_mem_eq(r.value, value, sizeof(value));
}
END_TEST

START_TEST(broken_records_are_refused) {
        static const char *const records[] = {
                " ",
                "x",
                "5",
                "5 a=",
                "4 a=\n",
                "05a=b\n",
                "7 ab\n\n",
                "-6 a=b\n",
                "6 a=b ",
                "99999999999999999999 a=b\n",
                "18446744073709551622 a=b\n",
                "7 a=b\n",
                "2 a=b\n",
                " 6 a=b\n",
                "0 a=b\n",
                "4 =\n\n",
        };

        FOREACH_ARRAY(s, records, ELEMENTSOF(records)) {
                size_t n = strlen(*s);
                const char *p = *s;
                PaxRecord r;
                int k;

                do
                        k = pax_next(&p, &n, &r);
                while (k > 0);
                ck_assert_msg(k == -EBADMSG, "'%s' was taken", *s);
        }
}
END_TEST

START_TEST(numbers_are_exact) {
        static const uint64_t numbers[] = { 0, 1, 2097152, 8589934592, INT64_MAX };
        static const char *const wrong[] = { "", " 1", "-1", "1x", "9223372036854775808", "1e3" };
        uint64_t n;

        FOREACH_ARRAY(i, numbers, ELEMENTSOF(numbers)) {
                _cleanup_string_builder_ StringBuilder b = {};
                PaxRecord r;

                pax_append_number(&b, "size", *i);
                r = only_record(b.data, b.size);
                ASSERT_OK(pax_record_get_number(&r, &n));
                ck_assert_uint_eq(n, *i);
        }
        FOREACH_ARRAY(s, wrong, ELEMENTSOF(wrong)) {
                PaxRecord r = { .value = *s, .value_size = strlen(*s) };

                ASSERT_ERROR(pax_record_get_number(&r, &n), EBADMSG);
        }
}
END_TEST

START_TEST(times_are_exact) {
        static const struct {
                struct timespec t;
                const char *text;
        } times[] = {
                { { 0, 0 }, "9 mtime=0\n" },
                { { 1, 5 }, "19 mtime=1.000000005\n" },
                { { -1, 0 }, "11 mtime=-1\n" },
                { { -1, 999999999 }, "21 mtime=-0.000000001\n" },
                { { -2, 500000000 }, "21 mtime=-1.500000000\n" },
                { { 8589934592, 0 }, "19 mtime=8589934592\n" },
                { { INT64_MAX, 999999999 }, "38 mtime=9223372036854775807.999999999\n" },
                { { -INT64_MAX, 0 }, "29 mtime=-9223372036854775807\n" },
        };
        static const char *const wrong[] = { "", "-", ".5", "1.", "1.5", "1.0000000000", "--1",
                "1.-00000001", "9223372036854775808", "1.00000000x", "-.000000001" };
        struct timespec t;

        FOREACH_ARRAY(i, times, ELEMENTSOF(times)) {
                _cleanup_string_builder_ StringBuilder b = {};
                PaxRecord r;

                pax_append_time(&b, "mtime", &i->t);
                ck_assert_str_eq(strchr(b.data, ' '), strchr(i->text, ' '));
                r = only_record(b.data, b.size);
                ASSERT_OK(pax_record_get_time(&r, &t));
                ck_assert_int_eq(t.tv_sec, i->t.tv_sec);
                ck_assert_int_eq(t.tv_nsec, i->t.tv_nsec);
        }
        FOREACH_ARRAY(s, wrong, ELEMENTSOF(wrong)) {
                PaxRecord r = { .value = *s, .value_size = strlen(*s) };

                ASSERT_ERROR(pax_record_get_time(&r, &t), EBADMSG);
        }
}
END_TEST

TESTS("pax", length_counts_itself, values_are_any_bytes, broken_records_are_refused, numbers_are_exact,
                times_are_exact)
