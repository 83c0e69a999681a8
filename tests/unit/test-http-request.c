/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "http-request.h"
#include "string-util.h"
#include "test.h"

static HttpStatus check(const char *text) {
        bool head_only;

        return http_request_check(text, strlen(text), "/metrics", &head_only);
}

START_TEST(a_request_is_judged_when_its_head_is_there) {
        static const struct {
                const char *text;
                HttpStatus status;
        } table[] = {
                { "", HTTP_INCOMPLETE },
                { "GET /metrics HTTP/1.1\r\n", HTTP_INCOMPLETE },
                { "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n", HTTP_OK },
                { "GET /metrics HTTP/1.0\r\n\r\n", HTTP_OK },
                { "GET /metrics?name=a HTTP/1.1\r\n\r\n", HTTP_OK },
                { "HEAD /metrics HTTP/1.1\r\n\r\n", HTTP_OK },
                { "GET /metrics HTTP/1.1\r\n\r\nand a body", HTTP_OK },
                { "GET / HTTP/1.1\r\n\r\n", HTTP_NOT_FOUND },
                { "GET /metrics/ HTTP/1.1\r\n\r\n", HTTP_NOT_FOUND },
                { "GET /metric HTTP/1.1\r\n\r\n", HTTP_NOT_FOUND },
                { "GET http://localhost/metrics HTTP/1.1\r\n\r\n", HTTP_NOT_FOUND },
                { "POST /metrics HTTP/1.1\r\n\r\n", HTTP_METHOD_NOT_ALLOWED },
                { "get /metrics HTTP/1.1\r\n\r\n", HTTP_METHOD_NOT_ALLOWED },
                { "GET /metrics HTTP/2\r\n\r\n", HTTP_BAD_REQUEST },
                { "GET /metrics\r\n\r\n", HTTP_BAD_REQUEST },
                { "GET  /metrics HTTP/1.1\r\n\r\n", HTTP_BAD_REQUEST },
                { "GET /metrics HTTP/1.1 x\r\n\r\n", HTTP_BAD_REQUEST },
                { "\r\n\r\n", HTTP_BAD_REQUEST },
                { "\x16\x03\x01\r\n\r\n", HTTP_BAD_REQUEST },
        };

        FOREACH_ARRAY(i, table, ELEMENTSOF(table))
                ck_assert_msg(check(i->text) == i->status, "%s", i->text);
        for (HttpStatus s = HTTP_OK; s < _HTTP_STATUS_MAX; s++)
                ck_assert_ptr_nonnull(http_status_text(s));
}
END_TEST

START_TEST(a_head_without_an_end_is_refused_at_the_limit) {
        char data[HTTP_HEAD_MAX];
        bool head_only;

        memset(data, 'x', sizeof(data));
        ck_assert_int_eq(
                        http_request_check(data, sizeof(data) - 1, "/metrics", &head_only), HTTP_INCOMPLETE);
        ck_assert_int_eq(
                        http_request_check(data, sizeof(data), "/metrics", &head_only), HTTP_HEAD_TOO_LARGE);
}
END_TEST

START_TEST(only_head_asks_for_the_head_alone) {
        bool head_only;

        ck_assert_int_eq(http_request_check("HEAD /metrics HTTP/1.1\r\n\r\n", 26, "/metrics", &head_only),
                        HTTP_OK);
        ck_assert(head_only);
        ck_assert_int_eq(http_request_check("GET /metrics HTTP/1.1\r\n\r\n", 25, "/metrics", &head_only),
                        HTTP_OK);
        ck_assert(!head_only);
}
END_TEST

TESTS("http-request", a_request_is_judged_when_its_head_is_there,
                a_head_without_an_end_is_refused_at_the_limit, only_head_asks_for_the_head_alone)
