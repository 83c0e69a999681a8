/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <errno.h>

#include "alloc-util.h"
#include "log-request.h"
#include "string-util.h"
#include "strv.h"
#include "test.h"

#define ID "01234567-89ab-4cde-8f01-23456789abcd"

static int parse(const char *text, LogRequest *ret, Error *reterr) {
        return log_request_parse(text, strlen(text), ret, reterr);
}

START_TEST(what_is_asked_for_can_be_read) {
        _cleanup_strv_free_ char **services = NULL;
        LogRequest q = {
                .id = (char *) ID,
                .lines = 0,
                .since = 1700000000000000,
                .until = 1700000001000000,
                .cursor = (char *) "s=1;i=2",
                .pattern = (char *) "a\"\\b\n",
                .all = true,
                .audit = true,
                .wait = LOG_WAIT_MAX,
                .limit = 1000,
                .size = 4096,
                .message = 1024,
        };
        _cleanup_log_request_ LogRequest again = {};
        _cleanup_free_ char *text = NULL;
        size_t size;

        ASSERT_OK(strv_extend(&services, "web"));
        ASSERT_OK(strv_extend(&services, "Api_2.x-y"));
        q.services = services;
        ASSERT_OK(log_request_format(&q, &text, &size));
        ck_assert_uint_eq(size, strlen(text));
        ck_assert_ptr_eq(strchr(text, '\n'), text + size - 1);
        ASSERT_OK(log_request_parse(text, size - 1, &again, NULL));
        ck_assert_str_eq(again.id, q.id);
        ck_assert_uint_eq(strv_length(again.services), 2);
        ck_assert_str_eq(again.services[1], "Api_2.x-y");
        ck_assert_uint_eq(again.lines, 0);
        ck_assert_uint_eq(again.since, q.since);
        ck_assert_uint_eq(again.until, q.until);
        ck_assert_str_eq(again.cursor, q.cursor);
        ck_assert_str_eq(again.pattern, q.pattern);
        ck_assert(!again.follow && again.all && again.audit);
        ck_assert_uint_eq(again.wait, q.wait);
        ck_assert_uint_eq(again.limit, q.limit);
        ck_assert_uint_eq(again.size, q.size);
        ck_assert_uint_eq(again.message, q.message);
}
END_TEST

START_TEST(what_is_not_said_is_not_limited) {
        LogRequest q = LOG_REQUEST_NEW;
        _cleanup_log_request_ LogRequest again = {};
        _cleanup_free_ char *text = NULL;
        size_t size;

        q.id = (char *) ID;
        ASSERT_OK(log_request_format(&q, &text, &size));
        ck_assert_str_eq(text, "{\"id\":\"" ID "\"}\n");
        ASSERT_OK(parse(text, &again, NULL));
        ck_assert_uint_eq(again.lines, LOG_LINES_ALL);
        ck_assert_uint_eq(again.until, USEC_INFINITY);
        ck_assert_ptr_null(again.services);
        ck_assert_ptr_null(again.cursor);
}
END_TEST

static void assert_refused(const char *text, const char *hint) {
        _cleanup_log_request_ LogRequest q = {};
        _cleanup_error_ Error e = {};

        ck_assert_int_lt(parse(text, &q, &e), 0);
        ck_assert_msg(e.message && strstr(e.message, hint), "%s: %s", text, strempty(e.message));
        ck_assert_ptr_null(q.id);
}

START_TEST(nonsense_is_refused) {
        _cleanup_string_builder_ StringBuilder many = {}, pattern = {};

        assert_refused("", "no JSON object");
        assert_refused("[]", "no JSON object");
        assert_refused("{} {}", "no JSON object");
        assert_refused("{\"id\":\"" ID "\",\"id\":\"" ID "\"}", "no JSON object");
        assert_refused("{}", "UUID");
        assert_refused("{\"id\":7}", "'id'");
        assert_refused("{\"id\":\"../../etc\"}", "UUID");
        assert_refused("{\"id\":\"01234567-89AB-4cde-8f01-23456789abcd\"}", "UUID");
        assert_refused("{\"id\":\"" ID "\",\"unit\":\"x\"}", "'unit'");
        assert_refused("{\"id\":\"" ID "\",\"lines\":-1}", "'lines'");
        assert_refused("{\"id\":\"" ID "\",\"lines\":1.5}", "'lines'");
        assert_refused("{\"id\":\"" ID "\",\"lines\":99999999999999999999}", "no JSON object");
        assert_refused("{\"id\":\"" ID "\",\"follow\":1}", "'follow'");
        assert_refused("{\"id\":\"" ID "\",\"services\":\"web\"}", "'services'");
        assert_refused("{\"id\":\"" ID "\",\"services\":[1]}", "'services'");
        assert_refused("{\"id\":\"" ID "\",\"services\":[\"a\\u0001=b\"]}", "service");
        assert_refused("{\"id\":\"" ID "\",\"services\":[\"\"]}", "service");
        assert_refused("{\"id\":\"" ID "\",\"cursor\":\"\"}", "cursor");
        assert_refused("{\"id\":\"" ID "\",\"cursor\":\"a\\nb\"}", "cursor");
        assert_refused("{\"id\":\"" ID "\",\"pattern\":\"\"}", "pattern");
        assert_refused("{\"id\":\"" ID "\",\"wait\":60000001}", "60 seconds");
        assert_refused("{\"id\":\"" ID "\",\"since\":2,\"until\":1}", "since");
        assert_refused("{\"id\":\"" ID "\",\"follow\":true,\"until\":1}", "follow");

        string_builder_append(&many, "{\"id\":\"" ID "\",\"services\":[\"s0\"");
        for (unsigned i = 1; i <= LOG_SERVICES_MAX; i++)
                string_builder_appendf(&many, ",\"s%u\"", i);
        string_builder_append(&many, "]}");
        assert_refused(many.data, "'services'");

        string_builder_append(&pattern, "{\"id\":\"" ID "\",\"pattern\":\"");
        for (unsigned i = 0; i <= LOG_PATTERN_MAX; i++)
                string_builder_append(&pattern, "x");
        string_builder_append(&pattern, "\"}");
        assert_refused(pattern.data, "pattern");
}
END_TEST

START_TEST(the_longest_request_fits) {
        _cleanup_strv_free_ char **services = NULL;
        _cleanup_free_ char *text = NULL, *cursor = NULL, *pattern = NULL;
        LogRequest q = LOG_REQUEST_NEW;
        size_t size;

        cursor = new0(char, LOG_CURSOR_MAX + 1);
        pattern = new0(char, LOG_PATTERN_MAX + 1);
        memset(cursor, '"', LOG_CURSOR_MAX);
        memset(pattern, 1, LOG_PATTERN_MAX);
        for (unsigned i = 0; i < LOG_SERVICES_MAX; i++)
                ASSERT_OK(strv_extendf(&services, "%063u", i));
        q.id = (char *) ID;
        q.services = services;
        q.cursor = cursor;
        q.pattern = pattern;
        q.since = q.until = INT64_MAX;
        ASSERT_OK(log_request_validate(&q, NULL));
        ASSERT_OK(log_request_format(&q, &text, &size));
        ck_assert_uint_le(size, LOG_REQUEST_MAX);
}
END_TEST

TESTS("log-request", what_is_asked_for_can_be_read, what_is_not_said_is_not_limited, nonsense_is_refused,
                the_longest_request_fits)
