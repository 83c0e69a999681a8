/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Datagrams to ccpd: whatever can be read can be written, and reads the same again. */

#include "alloc-util.h"
#include "fuzz.h"
#include "notify-proto.h"
#include "string-util.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_notify_message_ NotifyMessage m = {}, again = {};
        _cleanup_free_ char *text = NULL, *text_again = NULL;
        size_t n;

        if (notify_message_parse((const char *) data, size, &m) < 0)
                return 0;

        if (notify_message_format(&m, &text, &n) < 0 || n > NOTIFY_DATAGRAM_MAX ||
                        notify_message_parse(text, n, &again) < 0 ||
                        notify_message_format(&again, &text_again, NULL) < 0 || !streq(text, text_again))
                abort();

        return 0;
}
