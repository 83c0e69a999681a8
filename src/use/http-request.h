/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* As much of HTTP/1.1 as a reader of metrics needs: the head of one request. Pure. */

#include "ccp/macro.h"

/* Of the head; what is longer is refused. */
#define HTTP_HEAD_MAX (8U * 1024U)

/* The answer that a request has coming. */
typedef enum HttpStatus {
        HTTP_INCOMPLETE, /* the end of the head is not there yet */
        HTTP_OK,
        HTTP_BAD_REQUEST,
        HTTP_NOT_FOUND,
        HTTP_METHOD_NOT_ALLOWED,
        HTTP_HEAD_TOO_LARGE,
        HTTP_UNAVAILABLE,
        _HTTP_STATUS_MAX,
} HttpStatus;

/* "404 Not Found"; NULL for HTTP_INCOMPLETE. */
const char *http_status_text(HttpStatus s);

/* Looks at what has come so far. HTTP_OK for a GET or HEAD of 'path', with or without a query. */
HttpStatus http_request_check(const char *data, size_t size, const char *path, bool *ret_head_only);
