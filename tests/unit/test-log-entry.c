/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <errno.h>

#include "alloc-util.h"
#include "log-entry.h"
#include "test.h"

#define U_FFFD "\xEF\xBF\xBD"

static void assert_text(const char *in, size_t n, const char *out) {
        _cleanup_string_builder_ StringBuilder b = {};
        _cleanup_free_ char *s = NULL;

        string_builder_append(&b, "");
        log_text_append(&b, in, n);
        ASSERT_OK(string_builder_finish(&b, &s, NULL));
        ck_assert_str_eq(s, out);
        ck_assert(utf8_is_valid(s, strlen(s)));
}
#define ASSERT_TEXT(in, out) assert_text((in), sizeof(in) - 1, (out))

START_TEST(any_bytes_become_text) {
        ASSERT_TEXT("", "");
        ASSERT_TEXT("plain \t\x1b[31m text", "plain \t\x1b[31m text");
        ASSERT_TEXT("Gr\xC3\xBC\xC3\x9F"
                    "e \xF0\x9F\x90\xB3",
                        "Gr\xC3\xBC\xC3\x9F"
                        "e \xF0\x9F\x90\xB3");
        ASSERT_TEXT("\xFF\xFE", U_FFFD U_FFFD);
        ASSERT_TEXT("a\xC3", "a" U_FFFD);
        ASSERT_TEXT("\xC0\x80", U_FFFD U_FFFD);
        ASSERT_TEXT("\xED\xA0\x80", U_FFFD U_FFFD U_FFFD);
        ASSERT_TEXT("a\0b\0", "a" U_FFFD "b" U_FFFD);
        /* Noncharacters, which sd-bus refuses: U+FFFE, U+FFFF, U+FDD0, U+1FFFE; and their neighbours. */
        ASSERT_TEXT("\xEF\xBF\xBE|\xEF\xBF\xBF|\xEF\xB7\x90|\xF0\x9F\xBF\xBE",
                        U_FFFD "|" U_FFFD "|" U_FFFD "|" U_FFFD);
        ASSERT_TEXT(U_FFFD "|\xEF\xB7\x8F|\xEF\xB7\xB0|\xF0\x9F\xBF\xBD",
                        U_FFFD "|\xEF\xB7\x8F|\xEF\xB7\xB0|\xF0\x9F\xBF\xBD");
}
END_TEST

static void assert_line(const LogLine *l, const char *text) {
        _cleanup_string_builder_ StringBuilder b = {}, again = {};
        _cleanup_log_line_ LogLine read = {};

        ASSERT_OK(log_line_append(&b, l));
        ck_assert_int_eq(strncmp(b.data, text, b.size), 0);
        ck_assert_uint_eq(b.size, strlen(text));
        ASSERT_OK(log_line_parse(b.data, b.size - 1, &read));
        ck_assert_int_eq(read.type, l->type);
        ASSERT_OK(log_line_append(&again, &read));
        ck_assert_uint_eq(again.size, b.size);
        ck_assert_mem_eq(again.data, b.data, b.size);
}

START_TEST(lines_are_what_they_say) {
        assert_line(&(LogLine) { .type = LOG_LINE_READY }, "{\"status\":\"ready\"}\n");
        assert_line(&(LogLine) { .type = LOG_LINE_END, .end = LOG_END_AGAIN, .cursor = (char *) "s=1" },
                        "{\"end\":\"again\",\"cursor\":\"s=1\"}\n");
        assert_line(&(LogLine) { .type = LOG_LINE_END }, "{\"end\":\"complete\",\"cursor\":\"\"}\n");
        assert_line(&(LogLine) { .type = LOG_LINE_ERROR,
                                    .error = { CCP_ERROR_INVALID_ARGUMENT, (char *) "No." } },
                        "{\"error\":\"" CCP_ERROR_INVALID_ARGUMENT "\",\"message\":\"No.\"}\n");
        assert_line(&(LogLine) { .type = LOG_LINE_ENTRY,
                                    .entry = { .time = 1700000000123456,
                                                    .cursor = (char *) "s=1",
                                                    .service = (char *) "web",
                                                    .priority = 3,
                                                    .message = (char *) "a\t\x1b\"\x7f\n" } },
                        "{\"time\":1700000000123456,\"cursor\":\"s=1\",\"source\":\"container\",\"service\":"
                        "\"web\","
                        "\"priority\":3,\"message\":\"a\\u0009\\u001b\\\"\x7f\\u000a\"}\n");
        assert_line(&(LogLine) { .type = LOG_LINE_ENTRY,
                                    .entry = { .cursor = (char *) "s=1",
                                                    .source = LOG_SOURCE_JOB,
                                                    .priority = 7,
                                                    .message = (char *) "",
                                                    .truncated = true } },
                        "{\"time\":0,\"cursor\":\"s=1\",\"source\":\"job\",\"priority\":7,\"message\":\"\","
                        "\"truncated\":"
                        "true}\n");
}
END_TEST

static void assert_cut(const char *message, size_t max, const char *rest) {
        const LogEntry e = { .cursor = (char *) "s=1", .message = (char *) message };
        _cleanup_string_builder_ StringBuilder b = {};
        _cleanup_log_line_ LogLine read = {};

        ASSERT_OK(log_entry_append(&b, &e, max));
        ASSERT_OK(log_line_parse(b.data, b.size - 1, &read));
        ck_assert_str_eq(read.entry.message, rest);
        ck_assert(read.entry.truncated == (strlen(rest) < strlen(message)));
}

START_TEST(a_message_is_cut_to_what_it_takes_as_json) {
        assert_cut("abc", 0, "abc");
        assert_cut("abc", 3, "abc");
        assert_cut("abcd", 3, "abc");
        assert_cut("\x01\x02", 12, "\x01\x02");
        assert_cut("\x01\x02", 11, "\x01");
        assert_cut("\"\\x", 4, "\"\\");
        assert_cut("\"\\x", 3, "\"");
        assert_cut("\xC3\xBC\xC3\xBC", 3, "\xC3\xBC");
        assert_cut("\xF0\x9F\x90\xB3", 3, "");
}
END_TEST

START_TEST(what_is_no_line_is_refused) {
        static const char *const lines[] = {
                "",
                "null",
                "{}",
                "{\"status\":\"steady\"}",
                "{\"status\":\"ready\"",
                "{\"end\":\"never\",\"cursor\":\"\"}",
                "{\"end\":\"complete\"}",
                "{\"error\":\"x\"}",
                "{\"time\":1,\"cursor\":\"c\",\"source\":\"container\",\"priority\":6}",
                "{\"time\":-1,\"cursor\":\"c\",\"source\":\"container\",\"priority\":6,\"message\":\"\"}",
                "{\"time\":1,\"cursor\":\"c\",\"source\":\"container\",\"priority\":8,\"message\":\"\"}",
                "{\"time\":1,\"cursor\":\"c\",\"source\":\"kernel\",\"priority\":6,\"message\":\"\"}",
                "{\"time\":1,\"cursor\":\"c\",\"source\":\"job\",\"priority\":6,\"message\":\"\\u0000\"}",
                "{\"time\":1,\"cursor\":\"c\",\"source\":\"container\",\"priority\":6,\"message\":\"\xFF\"}",
        };

        FOREACH_ARRAY(s, lines, ELEMENTSOF(lines)) {
                _cleanup_log_line_ LogLine l = {};

                ck_assert_msg(log_line_parse(*s, strlen(*s), &l) == -EBADMSG, "%s", *s);
        }
}
END_TEST

START_TEST(an_unknown_error_is_internal) {
        static const char text[] = "{\"error\":\"org.example.Mine\",\"message\":\"Oh.\"}";
        _cleanup_log_line_ LogLine l = {};

        ASSERT_OK(log_line_parse(text, strlen(text), &l));
        ck_assert_int_eq(l.type, LOG_LINE_ERROR);
        ck_assert_str_eq(l.error.name, CCP_ERROR_INTERNAL);
        ck_assert_str_eq(l.error.message, "Oh.");
}
END_TEST

TESTS("log-entry", any_bytes_become_text, lines_are_what_they_say, a_message_is_cut_to_what_it_takes_as_json,
                what_is_no_line_is_refused, an_unknown_error_is_internal)
