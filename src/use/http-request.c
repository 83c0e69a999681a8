/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "http-request.h"

#include "string-util.h"

#define HEAD_END "\r\n\r\n"

static const char *const status_table[_HTTP_STATUS_MAX] = {
        [HTTP_OK] = "200 OK",
        [HTTP_BAD_REQUEST] = "400 Bad Request",
        [HTTP_NOT_FOUND] = "404 Not Found",
        [HTTP_METHOD_NOT_ALLOWED] = "405 Method Not Allowed",
        [HTTP_HEAD_TOO_LARGE] = "431 Request Header Fields Too Large",
        [HTTP_UNAVAILABLE] = "503 Service Unavailable",
};

const char *http_status_text(HttpStatus s) {
        return status_table[s];
}

/* One of the three parts of "GET /metrics HTTP/1.1"; *p then points behind the blank. NULL if it is empty. */
static const char *cut_word(const char **p, const char *end, size_t *ret_size) {
        const char *start = *p, *blank = memchr(start, ' ', (size_t) (end - start));

        *ret_size = (size_t) ((blank ?: end) - start);
        *p = blank ? blank + 1 : end;
        return *ret_size > 0 ? start : NULL;
}

static bool word_is(const char *word, size_t size, const char *s) {
        return size == strlen(s) && memcmp(word, s, size) == 0;
}

static bool is_path(const char *target, size_t size, const char *path) {
        const char *query = memchr(target, '?', size);

        return word_is(target, query ? (size_t) (query - target) : size, path);
}

HttpStatus http_request_check(const char *data, size_t size, const char *path, bool *ret_head_only) {
        const char *end, *p = data, *method, *target, *version;
        size_t n_method, n_target, n_version;

        if (!memmem(data, size, HEAD_END, STRLEN(HEAD_END)))
                return size >= HTTP_HEAD_MAX ? HTTP_HEAD_TOO_LARGE : HTTP_INCOMPLETE;

        end = memmem(data, size, "\r\n", 2);
        method = cut_word(&p, end, &n_method);
        target = cut_word(&p, end, &n_target);
        version = cut_word(&p, end, &n_version);
        if (!method || !target || !version || p != end ||
                        (!word_is(version, n_version, "HTTP/1.1") &&
                                        !word_is(version, n_version, "HTTP/1.0")))
                return HTTP_BAD_REQUEST;

        *ret_head_only = word_is(method, n_method, "HEAD");
        if (!*ret_head_only && !word_is(method, n_method, "GET"))
                return HTTP_METHOD_NOT_ALLOWED;
        return is_path(target, n_target, path) ? HTTP_OK : HTTP_NOT_FOUND;
}
