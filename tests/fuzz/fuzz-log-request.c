/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What ccp-logs is asked for: whatever can be read can be written, and reads the same again. */

#include "alloc-util.h"
#include "fuzz.h"
#include "log-request.h"
#include "string-util.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_log_request_ LogRequest q = {}, again = {};
        _cleanup_free_ char *text = NULL, *text_again = NULL;
        size_t n;

        if (size > LOG_REQUEST_MAX || log_request_parse((const char *) data, size, &q, NULL) < 0)
                return 0;

        if (log_request_format(&q, &text, &n) < 0 || n > LOG_REQUEST_MAX ||
                        log_request_parse(text, n - 1, &again, NULL) < 0 ||
                        log_request_format(&again, &text_again, &n) < 0 || !streq(text, text_again))
                abort();

        return 0;
}
