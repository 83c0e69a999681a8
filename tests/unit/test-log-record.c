/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <syslog.h>

#include "alloc-util.h"
#include "log-record.h"
#include "test.h"

/* A record of fields "NAME=value". */
#define RECORD(r, ...)                                                  \
        _cleanup_log_record_ LogRecord r = {};                          \
        FOREACH_ARRAY(f, ((const char *[]) { __VA_ARGS__ }),            \
                        ELEMENTSOF(((const char *[]) { __VA_ARGS__ }))) \
        ASSERT_OK(log_record_take(&r, *f, strlen(*f)))

START_TEST(fields_are_taken_once) {
        RECORD(r, "MESSAGE=one", "MESSAGE=two", "MESSAGES=x", "X", "", "PRIORITY=3",
                        "_SYSTEMD_UNIT=docker.service", "_SYSTEMD_UNIT=ccpd.service", "CCP_SERVICE=web");

        ck_assert_str_eq(r.values[LOG_FIELD_MESSAGE], "one");
        ck_assert_uint_eq(r.sizes[LOG_FIELD_MESSAGE], 3);
        ck_assert_str_eq(r.values[LOG_FIELD_SERVICE], "web");
        ck_assert_int_eq(log_record_source(&r), LOG_SOURCE_CONTAINER);
        ck_assert_int_eq(log_record_priority(&r), LOG_ERR);
        ck_assert_uint_eq(log_record_part(&r), 0);
        ck_assert(log_record_ends_line(&r));
}
END_TEST

START_TEST(a_message_may_have_any_bytes) {
        static const char data[] = "MESSAGE=a\0b";
        _cleanup_log_record_ LogRecord r = {};

        ASSERT_OK(log_record_take(&r, data, sizeof(data) - 1));
        ck_assert_uint_eq(r.sizes[LOG_FIELD_MESSAGE], 3);
        ck_assert_mem_eq(r.values[LOG_FIELD_MESSAGE], "a\0b", 4);
}
END_TEST

static void assert_source(const char *unit, LogSource source) {
        _cleanup_free_ char *field = strjoin("_SYSTEMD_UNIT=", unit);

        RECORD(r, field, "UNIT=docker.service", "SYSLOG_IDENTIFIER=ccpd");
        ck_assert_msg(log_record_source(&r) == source, "%s", unit);
}

START_TEST(the_unit_tells_whose_line_it_is) {
        assert_source("docker.service", LOG_SOURCE_CONTAINER);
        assert_source("ccpd.service", LOG_SOURCE_CCPD);
        assert_source("ccp-job@12.service", LOG_SOURCE_JOB);
        assert_source("systemd-journald.service", LOG_SOURCE_JOURNAL);
        ck_assert_int_lt(log_record_source(&(LogRecord) {}), 0);
        assert_source("", _LOG_SOURCE_INVALID);
        assert_source("user@1000.service", _LOG_SOURCE_INVALID);
        assert_source("docker.service.evil.service", _LOG_SOURCE_INVALID);
        assert_source("ccp-jobs.service", _LOG_SOURCE_INVALID);
}
END_TEST

START_TEST(odd_numbers_do_no_harm) {
        RECORD(r, "PRIORITY=9", "N_DROPPED=-5", "CONTAINER_PARTIAL_ID=x",
                        "CONTAINER_PARTIAL_ORDINAL=99999999999999999999");
        RECORD(s, "PRIORITY=33", "N_DROPPED=1234", "CONTAINER_PARTIAL_ID=x", "CONTAINER_PARTIAL_ORDINAL=0");

        ck_assert_int_eq(log_record_priority(&r), LOG_INFO);
        ck_assert_uint_eq(log_record_dropped(&r), 0);
        ck_assert_uint_eq(log_record_part(&r), 1);
        ck_assert_int_eq(log_record_priority(&s), LOG_INFO);
        ck_assert_uint_eq(log_record_dropped(&s), 1234);
        ck_assert_uint_eq(log_record_part(&s), 1);
}
END_TEST

START_TEST(parts_are_told_from_lines) {
        _cleanup_string_builder_ StringBuilder full = {};

        string_builder_append(&full, "MESSAGE=");
        for (unsigned i = 0; i < 16 * 1024; i++)
                string_builder_append(&full, "x");

        {
                RECORD(r, full.data, "CONTAINER_PARTIAL_ID=x", "CONTAINER_PARTIAL_ORDINAL=1",
                                "CONTAINER_PARTIAL_LAST=false", "CONTAINER_PARTIAL_MESSAGE=true");
                ck_assert_uint_eq(log_record_part(&r), 1);
                ck_assert(!log_record_ends_line(&r));
        }
        {
                RECORD(r, full.data, "CONTAINER_PARTIAL_ID=x", "CONTAINER_PARTIAL_ORDINAL=64",
                                "CONTAINER_PARTIAL_LAST=true");
                ck_assert_uint_eq(log_record_part(&r), 64);
                ck_assert(log_record_ends_line(&r));
        }
        {
                /* The container ended without a newline. */
                RECORD(r, "MESSAGE=$ ", "CONTAINER_PARTIAL_ID=x", "CONTAINER_PARTIAL_ORDINAL=1",
                                "CONTAINER_PARTIAL_LAST=false");
                ck_assert(log_record_ends_line(&r));
        }
}
END_TEST

START_TEST(streams_are_told_apart) {
        RECORD(a, "CONTAINER_ID_FULL=c1", "PRIORITY=6");
        RECORD(b, "CONTAINER_ID_FULL=c1", "PRIORITY=3");
        RECORD(c, "CONTAINER_ID_FULL=c2", "PRIORITY=6");
        RECORD(d, "CONTAINER_ID_FULL=c1", "PRIORITY=6", "MESSAGE=x");

        ck_assert(log_record_same_stream(&a, &d));
        ck_assert(!log_record_same_stream(&a, &b));
        ck_assert(!log_record_same_stream(&a, &c));
}
END_TEST

TESTS("log-record", fields_are_taken_once, a_message_may_have_any_bytes, the_unit_tells_whose_line_it_is,
                odd_numbers_do_no_harm, parts_are_told_from_lines, streams_are_told_apart)
