/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Targets of alerts: an address of a webhook that passes means the same to libcurl, and a mail address that passes is neither
 * an option nor more than one. */

#include <curl/curl.h>

#include "alert-target.h"
#include "alloc-util.h"
#include "fuzz.h"
#include "string-util.h"
#include "strv.h"

static void check_part(CURLU *u, CURLUPart part, bool must_be) {
        char *s = NULL;
        bool found = curl_url_get(u, part, &s, 0) == CURLUE_OK && !isempty(s);

        curl_free(s);
        if (found != must_be)
                abort();
}

static void check_url(const char *url) {
        _cleanup_free_ char *shown = NULL;
        CURLU *u;

        if (webhook_url_validate(url, NULL) < 0)
                return;

        u = curl_url();
        if (!u || curl_url_set(u, CURLUPART_URL, url, 0) != CURLUE_OK)
                abort();
        check_part(u, CURLUPART_HOST, true);
        check_part(u, CURLUPART_USER, false);
        check_part(u, CURLUPART_PASSWORD, false);
        check_part(u, CURLUPART_FRAGMENT, false);
        curl_url_cleanup(u);

        shown = webhook_url_redact(url);
        if (!shown || strchr(shown, '?'))
                abort();
}

static void check_addresses(const char *text) {
        _cleanup_strv_free_ char **l = NULL;

        if (mail_addresses_parse(text, &l, NULL) < 0)
                return;
        if (strv_length(l) == 0 || strv_length(l) > MAIL_ADDRESSES_MAX)
                abort();
        STRV_FOREACH(s, l)
                if (**s == '-' || strpbrk(*s, " ,;:|/<>()\"'\\\n\r\t!%"))
                        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_free_ char *text = strndup((const char *) data, size);

        if (!text)
                return 0;
        check_url(text);
        check_addresses(text);
        return 0;
}
